/*
 * Registers. Each key has one writer at a time, which gives every write a version; any client
 * reads. A read must show a version that was not overwritten by an answered write before the read
 * was issued, was issued before the read's answer, and is not older than what an earlier read
 * showed.
 *
 * Versions of a key since the last settlement are kept in a window: what each wrote (a value of
 * some size, or nothing), when it was issued and when it was answered.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "load.h"
#include "world.h"

enum {
    KEYS_MAX = 400,
    WINDOW_MAX = 4096, /* versions of one key in one life */
    VALUE_BYTES_MAX = 20000,
    LARGE_RATE = 30000,
};

enum fate { FATE_OPEN, FATE_ANSWERED, FATE_IN_DOUBT };

struct version {
    uint64_t number;
    uint32_t bytes; /* of the value; UINT32_MAX: the key is deleted */
    enum fate fate;
    int64_t issued_ns, answered_ns;
};

struct key {
    char name[64];
    struct version *window; /* ascending numbers; the first is settled */
    uint32_t count;
    bool writing; /* one write at a time */
    uint32_t low; /* index: reads and answered writes have shown this one at least */
};

struct registers {
    struct load load;
    uint32_t key_count;
    uint32_t delete_rate;
    struct key keys[KEYS_MAX];
    uint8_t scratch[VALUE_BYTES_MAX];
};

/* ---- values: what a version wrote can be told from its number alone ---- */

static uint32_t value_draw_bytes(void)
{
    if (world_chance(STREAM_LOAD, LARGE_RATE)) {
        return (uint32_t)world_between(STREAM_LOAD, 2000, VALUE_BYTES_MAX);
    }
    return (uint32_t)world_between(STREAM_LOAD, 8, 300);
}

static void value_make(uint8_t *to, uint32_t bytes, uint64_t number)
{
    memcpy(to, &number, sizeof(number));
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint32_t i = 8; i < bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        to[i] = (uint8_t)(state >> 56);
    }
}

/* ---- windows ---- */

static struct version *version_push(struct key *key, uint32_t bytes)
{
    if (key->count % 64 == 0) {
        key->window = sim_realloc(key->window, (key->count + 64) * sizeof(*key->window));
    }
    uint64_t number = key->window[key->count - 1].number + 1;
    key->window[key->count] = (struct version){
        .number = number, .bytes = bytes, .issued_ns = world_now_ns(), .answered_ns = INT64_MAX};
    return &key->window[key->count++];
}

static struct version *version_of(struct key *key, uint64_t number)
{
    uint64_t first = key->window[0].number;
    SIM_CHECK(number >= first && number < first + key->count, "%s: version %llu is not known",
              key->name, (unsigned long long)number);
    return &key->window[number - first];
}

/* Only `index` is left: everything is known about the key. */
static void settle(struct key *key, uint32_t index)
{
    key->window[0] = key->window[index];
    key->window[0].fate = FATE_ANSWERED;
    key->count = 1;
    key->low = 0;
}

static bool shows(struct registers *registers, const struct version *version,
                  const struct reply *reply)
{
    if (reply->type == 'n') {
        return version->bytes == UINT32_MAX;
    }
    if (reply->bytes != version->bytes) {
        return false;
    }
    value_make(registers->scratch, version->bytes, version->number);
    return memcmp(registers->scratch, reply->data, reply->bytes) == 0;
}

/* The index of what a reply shows, from `from` to the last; the first one that fits. (Only nil fits
 * more than one.) */
static uint32_t shown_by(struct registers *registers, struct key *key, uint32_t from,
                         const struct reply *reply)
{
    for (uint32_t i = from; i < key->count; i++) {
        if (shows(registers, &key->window[i], reply)) {
            return i;
        }
    }
    uint64_t number = 0;
    memcpy(&number, reply->data, reply->bytes < 8 ? 0 : 8);
    world_violation("%s: reads version %llu, %zu bytes, type %c; known: %llu and on, from index %u "
                    "of %u, answered at %.6f ms",
                    key->name, (unsigned long long)number, reply->bytes, reply->type,
                    (unsigned long long)key->window[0].number, from, key->count,
                    (double)key->window[from].answered_ns / 1e6);
}

/* ---- writing ---- */

static void write_done(struct request *request, const struct reply *reply)
{
    struct registers *registers = request->owner;
    struct key *key = &registers->keys[request->a];
    struct version *version = version_of(key, request->b);
    key->writing = false;
    if (reply == NULL) {
        version->fate = FATE_IN_DOUBT;
        return;
    }
    if (reply->type == '-') {
        SIM_CHECK(registers->load.rules.faults || registers->load.rules.damage,
                  "%s: a write fails: %.*s", key->name, (int)reply->bytes,
                  (const char *)reply->data);
        version->fate = FATE_IN_DOUBT;
        return;
    }
    SIM_CHECK(reply_is_text(reply, "OK") || reply->type == ':', "%s: a write is answered with %c",
              key->name, reply->type);
    version->fate = FATE_ANSWERED;
    version->answered_ns = world_now_ns();
    uint32_t index = (uint32_t)(version - key->window);
    key->low = (uint32_t)max_u64(key->low, index);
}

static void issue_write(struct registers *registers, struct client *client, uint32_t index)
{
    struct key *key = &registers->keys[index];
    bool deletes = world_chance(STREAM_LOAD, registers->delete_rate);
    struct version *version = version_push(key, deletes ? UINT32_MAX : value_draw_bytes());
    struct command command = {.argc = 0};
    command_add_text(&command, deletes ? "DEL" : "SET");
    command_add_text(&command, key->name);
    if (!deletes) {
        value_make(registers->scratch, version->bytes, version->number);
        command_add(&command, registers->scratch, version->bytes);
    }
    struct request *request = request_make(write_done, registers);
    request->a = index;
    request->b = version->number;
    key->writing = true;
    client_send(client, &command, request);
}

/* ---- reading ---- */

static void read_done(struct request *request, const struct reply *reply)
{
    struct registers *registers = request->owner;
    struct key *key = &registers->keys[request->a];
    if (reply == NULL) {
        return;
    }
    if (reply->type == '-') {
        SIM_CHECK(registers->load.rules.faults || registers->load.rules.damage,
                  "%s: a read fails: %.*s", key->name, (int)reply->bytes,
                  (const char *)reply->data);
        return;
    }
    uint32_t from = (uint32_t)(version_of(key, request->b) - key->window);
    key->low = (uint32_t)max_u64(key->low, shown_by(registers, key, from, reply));
}

static void issue_read(struct registers *registers, struct client *client, uint32_t index)
{
    struct key *key = &registers->keys[index];
    struct command command = {.argc = 0};
    command_add_text(&command, "GET");
    command_add_text(&command, key->name);
    struct request *request = request_make(read_done, registers);
    request->a = index;
    request->b = key->window[key->low].number;
    client_send(client, &command, request);
}

static void registers_issue(struct load *load, struct client *client)
{
    struct registers *registers = (struct registers *)load;
    uint32_t index = (uint32_t)world_below(STREAM_LOAD, registers->key_count);
    struct key *key = &registers->keys[index];
    if (!key->writing && key->count < WINDOW_MAX && world_chance(STREAM_LOAD, 500000)) {
        issue_write(registers, client, index);
    } else {
        issue_read(registers, client, index);
    }
}

/* ---- the end of a life ---- */

/* What may be found next: from the last that is safe on. */
static void registers_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct registers *registers = (struct registers *)load;
    bool may_lose = end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS;
    for (uint32_t i = 0; i < registers->key_count; i++) {
        struct key *key = &registers->keys[i];
        SIM_CHECK(!key->writing, "simulator: a write outlives its connection");
        if (may_lose) {
            key->low = 0;
        }
    }
}

static void check_done(struct request *request, const struct reply *reply)
{
    struct registers *registers = request->owner;
    struct key *key = &registers->keys[request->a];
    if (reply == NULL) {
        return;
    }
    if (reply->type == '-') {
        SIM_CHECK(registers->load.rules.damage, "%s: reads '%.*s' with no fault on", key->name,
                  (int)reply->bytes, (const char *)reply->data);
        return;
    }
    uint32_t first = shown_by(registers, key, key->low, reply);
    uint32_t last = first;
    for (uint32_t i = first; i < key->count; i++) {
        last = shows(registers, &key->window[i], reply) ? i : last;
    }
    if (first > 0) {
        losses_survivor(key->window[first].issued_ns);
    }
    for (uint32_t i = last + 1; i < key->count; i++) {
        if (key->window[i].fate == FATE_ANSWERED) {
            losses_lost(key->window[i].issued_ns, key->window[i].answered_ns);
        }
    }
    settle(key, last);
}

static void registers_check_all(struct load *load, struct client *client)
{
    struct registers *registers = (struct registers *)load;
    for (uint32_t i = 0; i < registers->key_count; i++) {
        struct command command = {.argc = 0};
        command_add_text(&command, "GET");
        command_add_text(&command, registers->keys[i].name);
        struct request *request = request_make(check_done, registers);
        request->a = i;
        client_send(client, &command, request);
    }
}

static void registers_check_end(struct load *load)
{
    (void)load;
}

static int64_t registers_count(const struct load *load)
{
    const struct registers *registers = (const struct registers *)load;
    int64_t count = 0;
    for (uint32_t i = 0; i < registers->key_count; i++) {
        if (registers->keys[i].count != 1) {
            return -1;
        }
        count += registers->keys[i].window[0].bytes != UINT32_MAX;
    }
    return count;
}

/* ---- life ---- */

static struct load *registers_create(const struct load_rules *rules)
{
    struct registers *registers = sim_alloc(sizeof(*registers));
    registers->load = (struct load){.kind = &load_registers, .rules = *rules};
    bool few = world_below(STREAM_PLAN, 3) == 0;
    registers->key_count = (uint32_t)world_between(STREAM_PLAN, 1, few ? 10 : KEYS_MAX);
    registers->delete_rate = (uint32_t)world_below(STREAM_PLAN, 300000);
    for (uint32_t i = 0; i < registers->key_count; i++) {
        struct key *key = &registers->keys[i];
        (void)snprintf(key->name, sizeof(key->name), "register:%u", i);
        key->window = sim_alloc(64 * sizeof(*key->window));
        key->window[0] = (struct version){.bytes = UINT32_MAX, .fate = FATE_ANSWERED};
        key->count = 1;
    }
    return &registers->load;
}

static void registers_destroy(struct load *load)
{
    struct registers *registers = (struct registers *)load;
    for (uint32_t i = 0; i < registers->key_count; i++) {
        sim_free(registers->keys[i].window);
    }
    sim_free(registers);
}

const struct load_kind load_registers = {
    .name = "registers",
    .create = registers_create,
    .destroy = registers_destroy,
    .issue = registers_issue,
    .life_ended = registers_life_ended,
    .check_all = registers_check_all,
    .check_end = registers_check_end,
    .count = registers_count,
};
