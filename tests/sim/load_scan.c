/*
 * Walks. Keys come and go, one writer for each at a time, while clients walk over them: SCAN from 0
 * to 0 with any COUNT, with and without MATCH, and KEYS. A walk notes for each key
 *
 *     must   it was there when the walk began, and nobody has begun to delete it since: it is met
 *     may    it was there then, or somebody has begun to write it since: it can be met
 *
 * A cursor is good as long as the server's life. One of an earlier life is refused with an error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "load.h"
#include "world.h"

enum {
    KEYS_MAX = 300,
    NAME_BYTES_MAX = 160,
    LONG_NAME_EACH = 7,
    VALUE_BYTES_MAX = 3000,
    LARGE_RATE = 20000,
    WALKS_MAX = 8,
    STEPS_MAX = 1000000,
    WALK_RATE = 30000,
    CLASSES = 2,
};

struct key {
    struct history history;
    uint32_t class;
    char name[NAME_BYTES_MAX];
};

struct walk {
    bool active;
    bool is_keys;     /* one KEYS */
    uint32_t class;   /* CLASSES: all */
    char pattern[16]; /* "": none */
    uint32_t steps;
    uint8_t must[KEYS_MAX], may[KEYS_MAX], met[KEYS_MAX];
};

struct scan {
    struct load load;
    uint32_t key_count;
    uint32_t delete_rate;
    uint64_t next_number;
    char old_cursor[24]; /* of an earlier life; "": none */
    char new_cursor[24];
    struct key keys[KEYS_MAX];
    struct walk walks[WALKS_MAX];
    char value[VALUE_BYTES_MAX];
};

/* ---- writing ---- */

static void write_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    struct history *history = &scan->keys[request->a].history;
    if (load_in_doubt(&scan->load, history->name, reply)) {
        history_doubt(history, (uint32_t)request->b);
    } else {
        history_answer(history, (uint32_t)request->b);
    }
}

/* Walks under way have to know. */
static void tell_walks(struct scan *scan, uint32_t index, bool deletes)
{
    for (uint32_t i = 0; i < WALKS_MAX; i++) {
        struct walk *walk = &scan->walks[i];
        if (deletes) {
            walk->must[index] = false;
        } else {
            walk->may[index] = true;
        }
    }
}

static void issue_write(struct scan *scan, struct client *client, uint32_t index)
{
    struct key *key = &scan->keys[index];
    bool deletes = world_chance(STREAM_LOAD, scan->delete_rate);
    uint64_t number = deletes ? 0 : scan->next_number++;
    struct command command = {.argc = 0};
    command_add_text(&command, deletes ? "DEL" : "SET");
    command_add_text(&command, key->name);
    if (!deletes) {
        bool large = world_chance(STREAM_LOAD, LARGE_RATE);
        size_t bytes = world_below(STREAM_LOAD, large ? VALUE_BYTES_MAX : 60);
        memset(scan->value, '.', sizeof(scan->value));
        size_t head = (size_t)snprintf(scan->value, 32, "%" PRIu64, number);
        scan->value[head] = ':';
        command_add(&command, scan->value, bytes > head ? bytes : head);
    }
    struct request *request = request_make(write_done, scan);
    request->a = index;
    request->b = history_issue(&key->history, number, 0);
    tell_walks(scan, index, deletes);
    client_send(client, &command, request);
}

/* ---- reading one ---- */

static uint64_t number_of(const struct reply *reply)
{
    char text[24] = "";
    if (reply->type == '$') {
        memcpy(text, reply->data, reply->bytes < 23 ? reply->bytes : 23);
    }
    return strtoull(text, NULL, 10);
}

static void read_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    struct history *history = &scan->keys[request->a].history;
    if (!load_in_doubt(&scan->load, history->name, reply)) {
        struct history_read read = {.floor_ns = (int64_t)request->b};
        history_read_end(history, read, number_of(reply));
    }
}

static void check_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    struct history *history = &scan->keys[request->a].history;
    history->settling = false;
    if (load_in_doubt(&scan->load, history->name, reply)) {
        return;
    }
    history_settle(history, number_of(reply));
}

static void issue_read(struct scan *scan, struct client *client, uint32_t index,
                       request_done_fn *done)
{
    struct key *key = &scan->keys[index];
    struct command command = {.argc = 0};
    command_add_text(&command, "GET");
    command_add_text(&command, key->name);
    struct request *request = request_make(done, scan);
    request->a = index;
    request->b = (uint64_t)key->history.floor_ns;
    client_send(client, &command, request);
}

/* ---- walks ---- */

static bool exists_surely(const struct history *history)
{
    return history->current != HISTORY_UNKNOWN && history->doubts == 0 &&
           history->writes[history->current].value != 0;
}

static bool may_exist(const struct history *history)
{
    return history->current == HISTORY_UNKNOWN || history->doubts > 0 ||
           history->writes[history->current].value != 0;
}

/* Over all keys, as they are now. */
static void walk_reset(const struct scan *scan, struct walk *walk)
{
    memset(walk, 0, sizeof(*walk));
    walk->active = true;
    walk->class = CLASSES;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        walk->must[i] = exists_surely(&scan->keys[i].history);
        walk->may[i] = may_exist(&scan->keys[i].history);
    }
}

static void walk_begin(const struct scan *scan, struct walk *walk)
{
    walk_reset(scan, walk);
    walk->is_keys = world_chance(STREAM_LOAD, 150000);
    walk->class = (uint32_t)world_below(STREAM_LOAD, CLASSES + 1);
    if (walk->class < CLASSES) {
        (void)snprintf(walk->pattern, sizeof(walk->pattern), "scan:%c*", 'a' + (char)walk->class);
    } else if (walk->is_keys || world_chance(STREAM_LOAD, 500000)) {
        (void)snprintf(walk->pattern, sizeof(walk->pattern), "scan:*");
    }
    for (uint32_t i = 0; i < scan->key_count; i++) {
        walk->must[i] &= walk->class == CLASSES || walk->class == scan->keys[i].class;
    }
}

/* The index of a name of ours; KEYS_MAX: it belongs to another load. */
static uint32_t key_find(const struct scan *scan, const struct reply *item)
{
    char text[NAME_BYTES_MAX] = "";
    if (item->bytes < 8 || item->bytes >= sizeof(text) || memcmp(item->data, "scan:", 5) != 0) {
        return KEYS_MAX;
    }
    memcpy(text, item->data, item->bytes);
    unsigned long index = strtoul(text + 7, NULL, 10);
    SIM_CHECK(index < scan->key_count && strcmp(scan->keys[index].name, text) == 0,
              "a walk meets '%s', which nobody has written", text);
    return (uint32_t)index;
}

static void walk_meet(const struct scan *scan, struct walk *walk, const struct reply *item)
{
    uint32_t index = key_find(scan, item);
    if (index == KEYS_MAX) {
        SIM_CHECK(walk->pattern[0] == '\0', "a walk over %s meets '%.*s'", walk->pattern,
                  (int)item->bytes, (const char *)item->data);
        return;
    }
    const struct key *key = &scan->keys[index];
    SIM_CHECK(walk->class == CLASSES || walk->class == key->class, "a walk over %s meets %s",
              walk->pattern, key->name);
    SIM_CHECK(walk->may[index], "a walk meets %s, which wasn't there", key->name);
    SIM_CHECK(!walk->is_keys || !walk->met[index], "KEYS tells %s twice", key->name);
    if (walk->met[index]) {
        SOMETIMES("a walk meets a key twice");
    }
    walk->met[index] = true;
}

static void walk_end(const struct scan *scan, struct walk *walk)
{
    walk->active = false;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        SIM_CHECK(!walk->must[i] || walk->met[i],
                  "a walk of %u steps over %s has not met %s, which was there all the time",
                  walk->steps, walk->pattern[0] != '\0' ? walk->pattern : "all keys",
                  scan->keys[i].name);
    }
}

static void walk_step(struct scan *scan, struct client *client, struct walk *walk,
                      const char *cursor);

static void scan_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    struct walk *walk = &scan->walks[request->a];
    SIM_CHECK(reply == NULL || !reply_is_error(reply, "ERR this SCAN cursor is not known"),
              "a cursor is not known in step %u of a walk", walk->steps);
    if (load_in_doubt(&scan->load, "SCAN", reply)) {
        walk->active = false;
        return;
    }
    SIM_CHECK(reply->type == '*' && reply->count == 2 && reply->items[0].bytes < 24,
              "SCAN is answered with %c", reply->type);
    for (uint32_t i = 0; i < reply->items[1].count; i++) {
        walk_meet(scan, walk, &reply->items[1].items[i]);
    }
    char cursor[24] = "";
    memcpy(cursor, reply->items[0].data, reply->items[0].bytes);
    if (strcmp(cursor, "0") == 0) {
        walk_end(scan, walk);
        return;
    }
    memcpy(scan->new_cursor, cursor, sizeof(cursor));
    SIM_CHECK(walk->steps < STEPS_MAX, "a walk doesn't end");
    walk_step(scan, request->client, walk, cursor);
}

static void walk_step(struct scan *scan, struct client *client, struct walk *walk,
                      const char *cursor)
{
    char count[16];
    uint64_t most = world_chance(STREAM_LOAD, 500000) ? 100 : 10;
    (void)snprintf(count, sizeof(count), "%" PRIu64, world_between(STREAM_LOAD, 1, most));
    struct command command = {.argc = 0};
    command_add_text(&command, "SCAN");
    command_add_text(&command, cursor);
    command_add_text(&command, "COUNT");
    command_add_text(&command, count);
    if (walk->pattern[0] != '\0') {
        command_add_text(&command, "MATCH");
        command_add_text(&command, walk->pattern);
    }
    struct request *request = request_make(scan_done, scan);
    request->a = (uint64_t)(walk - scan->walks);
    walk->steps++;
    client_send(client, &command, request);
}

static void keys_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    struct walk *walk = &scan->walks[request->a];
    if (load_in_doubt(&scan->load, "KEYS", reply)) {
        walk->active = false;
        return;
    }
    for (uint32_t i = 0; i < reply->count; i++) {
        walk_meet(scan, walk, &reply->items[i]);
    }
    walk_end(scan, walk);
}

static void issue_keys(struct scan *scan, struct client *client, struct walk *walk)
{
    struct command command = {.argc = 0};
    command_add_text(&command, "KEYS");
    command_add_text(&command, walk->pattern);
    struct request *request = request_make(keys_done, scan);
    request->a = (uint64_t)(walk - scan->walks);
    client_send(client, &command, request);
}

static void issue_walk(struct scan *scan, struct client *client)
{
    for (uint32_t i = 0; i < WALKS_MAX; i++) {
        struct walk *walk = &scan->walks[i];
        if (walk->active) {
            continue;
        }
        walk_begin(scan, walk);
        if (walk->is_keys) {
            issue_keys(scan, client, walk);
        } else {
            walk_step(scan, client, walk, "0");
        }
        return;
    }
}

/* ---- a cursor of an earlier life ---- */

static void old_cursor_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    if (reply == NULL) {
        return;
    }
    SIM_CHECK(reply->type == '-', "a cursor of an earlier life is taken");
    SOMETIMES("a cursor of an earlier life is refused");
    scan->old_cursor[0] = '\0';
}

static void issue_old_cursor(struct scan *scan, struct client *client)
{
    struct command command = {.argc = 0};
    command_add_text(&command, "SCAN");
    command_add_text(&command, scan->old_cursor);
    client_send(client, &command, request_make(old_cursor_done, scan));
}

/* ---- the load ---- */

static void scan_issue(struct load *load, struct client *client)
{
    struct scan *scan = (struct scan *)load;
    uint32_t index = (uint32_t)world_below(STREAM_LOAD, scan->key_count);
    struct history *history = &scan->keys[index].history;
    if (history_wants_settling(history)) {
        issue_read(scan, client, index, check_done);
    } else if (world_chance(STREAM_LOAD, WALK_RATE)) {
        issue_walk(scan, client);
    } else if (scan->old_cursor[0] != '\0' && world_chance(STREAM_LOAD, WALK_RATE)) {
        issue_old_cursor(scan, client);
    } else if (!history->ended && history->open == 0 && !history_is_full(history) &&
               world_chance(STREAM_LOAD, 850000)) {
        issue_write(scan, client, index);
    } else {
        issue_read(scan, client, index, read_done);
    }
}

static void scan_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct scan *scan = (struct scan *)load;
    bool may_lose = end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        history_life_ended(&scan->keys[i].history, may_lose);
    }
    memcpy(scan->old_cursor, scan->new_cursor, sizeof(scan->old_cursor));
    scan->new_cursor[0] = '\0';
}

/* Comes after all of check_done: now it is known what is there. */
static void check_keys_done(struct request *request, const struct reply *reply)
{
    struct scan *scan = request->owner;
    if (load_in_doubt(&scan->load, "KEYS", reply)) {
        return;
    }
    struct walk walk;
    walk_reset(scan, &walk);
    walk.is_keys = true;
    (void)snprintf(walk.pattern, sizeof(walk.pattern), "scan:*");
    for (uint32_t i = 0; i < reply->count; i++) {
        walk_meet(scan, &walk, &reply->items[i]);
    }
    walk_end(scan, &walk);
}

static void scan_check_all(struct load *load, struct client *client)
{
    struct scan *scan = (struct scan *)load;
    load->checking = true;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        issue_read(scan, client, i, check_done);
    }
    struct command command = {.argc = 0};
    command_add_text(&command, "KEYS");
    command_add_text(&command, "scan:*");
    client_send(client, &command, request_make(check_keys_done, scan));
}

static void scan_check_end(struct load *load)
{
    const struct scan *scan = (const struct scan *)load;
    load->checking = false;
    for (uint32_t i = 0; i < WALKS_MAX; i++) {
        SIM_CHECK(!scan->walks[i].active, "simulator: a walk is under way at the end");
    }
}

static int64_t scan_count(const struct load *load)
{
    const struct scan *scan = (const struct scan *)load;
    int64_t count = 0;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        if (!history_is_settled(&scan->keys[i].history)) {
            return -1;
        }
        count += scan->keys[i].history.writes[0].value != 0;
    }
    return count;
}

/* ---- life ---- */

static void key_init(struct key *key, uint32_t index)
{
    (void)snprintf(key->history.name, sizeof(key->history.name), "scan:%u", index);
    history_init(&key->history);
    key->class = (uint32_t)world_below(STREAM_PLAN, CLASSES);
    int bytes = snprintf(key->name, 32, "scan:%c:%u", 'a' + (char)key->class, index);
    if (index % LONG_NAME_EACH == 0) {
        memset(key->name + bytes, 'x', 100);
        key->name[bytes + 100] = '\0';
    }
}

static struct load *scan_create(const struct load_rules *rules)
{
    struct scan *scan = sim_alloc(sizeof(*scan));
    scan->load = (struct load){.kind = &load_scan, .rules = *rules};
    scan->key_count = (uint32_t)world_between(STREAM_PLAN, 1, KEYS_MAX);
    scan->delete_rate = (uint32_t)world_below(STREAM_PLAN, 500000);
    scan->next_number = 1;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        key_init(&scan->keys[i], i);
    }
    return &scan->load;
}

static void scan_destroy(struct load *load)
{
    struct scan *scan = (struct scan *)load;
    for (uint32_t i = 0; i < scan->key_count; i++) {
        history_deinit(&scan->keys[i].history);
    }
    sim_free(scan);
}

const struct load_kind load_scan = {
    .name = "scan",
    .create = scan_create,
    .destroy = scan_destroy,
    .issue = scan_issue,
    .life_ended = scan_life_ended,
    .check_all = scan_check_all,
    .check_end = scan_check_end,
    .count = scan_count,
};
