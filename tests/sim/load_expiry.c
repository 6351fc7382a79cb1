/*
 * Expiry. Keys with times to live of a millisecond to hours, under a wall clock that jumps both
 * ways. One writer for each key at a time, any readers. The rule:
 *
 *     a key that has expired by the clock is not shown
 *     time for expiry never goes back: not while the server runs, and not over a stop in order
 *     a key that was met as expired stays away, also after a kill; after a power cut its removal
 *     may be lost like any write
 *     nothing expires before any clock has been there
 *
 * Which time a server has when it looks is known from two sides: not above what the wall clock has
 * ever been, not below what it was from shortly before the command on (a shard reads the clock once
 * in a pass) nor below what an answered command of the same key has seen.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "load.h"
#include "world.h"

enum {
    KEYS_MAX = 60,
    STALE_NS = 500000000, /* so old may a shard's idea of the time be */
    NEVER = -1,           /* what PEXPIRETIME says */
    ABSENT = -2,
};

enum kind {
    SET_PX,
    SET_PXAT,
    SET_PLAIN,
    DELETE,
    INDEPENDENT_KINDS, /* those above leave the same whatever was there */
    PEXPIRE = INDEPENDENT_KINDS,
    EXPIRE,
    PEXPIREAT,
    PERSIST,
    GETEX_PX,
    GETEX_PERSIST,
    KINDS,
};

struct key {
    struct history history;
    char name[24];
    int64_t seen_ms; /* its shard has seen this time in this life */
    uint64_t found;  /* by the first half of a check */
    bool found_readable;
};

struct expiry {
    struct load load;
    uint32_t key_count;
    uint64_t next_number;
    struct key keys[KEYS_MAX];
};

static uint64_t number_of(const struct reply *reply)
{
    char text[24] = "";
    if (reply->type == '$') {
        memcpy(text, reply->data, reply->bytes < 23 ? reply->bytes : 23);
    }
    return strtoull(text, NULL, 10);
}

/* ---- what time it may be ---- */

/* At the server when it ran a command that was issued then and has been answered now. */
static int64_t time_low_ms(const struct request *request)
{
    int64_t from_ns = request->issued_ns > STALE_NS ? request->issued_ns - STALE_NS : 0;
    int64_t low_ms = world_real_low_ms(from_ns);
    int64_t seen_ms = (int64_t)(request->a >> 8);
    return low_ms > seen_ms ? low_ms : seen_ms;
}

/* The key, and the time that its shard has seen when the request is issued. */
static uint64_t key_pack(const struct expiry *expiry, const struct key *key)
{
    return (uint64_t)(key - expiry->keys) | (uint64_t)key->seen_ms << 8;
}

static struct key *key_of(struct expiry *expiry, const struct request *request)
{
    return &expiry->keys[request->a & 0xff];
}

static bool was_gone(const struct history_write *write, int64_t issued_ns)
{
    return write->gone_ns <= issued_ns;
}

static void set_gone(struct history_write *write)
{
    int64_t now_ns = world_now_ns();
    write->gone_ns = now_ns < write->gone_ns ? now_ns : write->gone_ns;
}

static bool may_live(const struct history_write *write, int64_t issued_ns, int64_t low_ms)
{
    return write->value != 0 && !was_gone(write, issued_ns) && write->expires_high_ms > low_ms;
}

static bool may_be_gone(const struct history_write *write)
{
    return write->value == 0 || write->expires_low_ms <= world_real_high_ms();
}

static bool is_candidate(const struct history_write *write, int64_t floor_ns)
{
    return !write->dead && write->answered_ns >= floor_ns;
}

/* ---- what an answer may show ---- */

/* What is asked of a write: that it may have left this. */
struct sight {
    int64_t floor_ns, issued_ns;
    int64_t low_ms;
    bool has_value, has_expiry; /* what is known */
    uint64_t value;             /* 0: nothing is there */
    int64_t expires_ms;         /* NEVER, or the time */
};

static bool fits(const struct history_write *write, const struct sight *sight)
{
    if (!is_candidate(write, sight->floor_ns)) {
        return false;
    }
    if (sight->has_value && sight->value == 0) {
        return may_be_gone(write);
    }
    bool never = write->expires_low_ms == INT64_MAX;
    bool expiry_fits = sight->expires_ms == NEVER
                           ? never
                           : !never && write->expires_low_ms <= sight->expires_ms &&
                                 sight->expires_ms <= write->expires_high_ms;
    return may_live(write, sight->issued_ns, sight->low_ms) &&
           (!sight->has_value || write->value == sight->value) &&
           (!sight->has_expiry || expiry_fits);
}

/* The newest write that fits; checks that there is one. */
static uint32_t find(const struct key *key, const struct sight *sight, uint32_t *ret_matches)
{
    uint32_t newest = HISTORY_UNKNOWN;
    *ret_matches = 0;
    for (uint32_t i = key->history.count; i-- > 0;) {
        if (fits(&key->history.writes[i], sight)) {
            newest = newest == HISTORY_UNKNOWN ? i : newest;
            (*ret_matches)++;
        }
    }
    if (newest != HISTORY_UNKNOWN) {
        return newest;
    }
    const struct history_write *last = &key->history.writes[key->history.count - 1];
    world_violation(
        "%s shows value %lld, expiry %lld at a time from %lld to %lld; of %u writes the "
        "last left %llu, expiring from %lld to %lld%s",
        key->name, sight->has_value ? (long long)sight->value : -1,
        sight->has_expiry ? (long long)sight->expires_ms : 0, (long long)sight->low_ms,
        (long long)world_real_high_ms(), key->history.count, (unsigned long long)last->value,
        (long long)last->expires_low_ms, (long long)last->expires_high_ms,
        was_gone(last, sight->issued_ns) ? ", met as expired" : "");
}

/* An answer about the key has come, of a request issued then: its shard has seen this time. */
static void note_time(struct key *key, const struct request *request)
{
    int64_t low_ms = time_low_ms(request);
    key->seen_ms = low_ms > key->seen_ms ? low_ms : key->seen_ms;
}

/* ---- writing ---- */

/* A value that the server has added to its time. While nobody knows when, it may be any. */
static void set_unknown(struct history_write *write)
{
    write->expires_low_ms = INT64_MIN;
    write->expires_high_ms = INT64_MAX - 1;
}

static bool is_relative(enum kind kind)
{
    return kind == SET_PX || kind == PEXPIRE || kind == EXPIRE || kind == GETEX_PX;
}

/* What a request carries: the key, in b the write, the one it builds on and the kind, in c the ms.
 */
static uint64_t pack(uint32_t write, uint32_t base, enum kind kind)
{
    return (uint64_t)write | (uint64_t)(base & 0xffff) << 32 | (uint64_t)kind << 48;
}

/* It found nothing to change. */
static void not_there(struct key *key, uint32_t index, uint32_t base, enum kind kind)
{
    struct history *history = &key->history;
    struct history_write *before = &history->writes[base];
    history_refuse(history, index);
    history->current = base;
    if (kind == PERSIST && before->expires_low_ms == INT64_MAX) {
        return;
    }
    SIM_CHECK(may_be_gone(before), "%s is not there, though it expires at %lld at the earliest",
              key->name, (long long)before->expires_low_ms);
    SOMETIMES("a key expires under a command that changes its expiry");
    set_gone(before);
}

static bool has_found_key(const struct reply *reply, enum kind kind)
{
    if (kind < INDEPENDENT_KINDS) {
        return true;
    }
    return reply->type == ':' ? reply->integer == 1 : reply->type != 'n';
}

static void write_done(struct request *request, const struct reply *reply)
{
    struct expiry *expiry = request->owner;
    struct key *key = key_of(expiry, request);
    uint32_t index = (uint32_t)request->b;
    uint32_t base = (uint32_t)(request->b >> 32 & 0xffff);
    enum kind kind = (enum kind)(request->b >> 48);
    struct history_write *write = &key->history.writes[index];
    if (load_in_doubt(&expiry->load, key->name, reply)) {
        history_doubt(&key->history, index);
        return;
    }
    int64_t low_ms = time_low_ms(request);
    note_time(key, request);
    if (!has_found_key(reply, kind)) {
        not_there(key, index, base, kind);
        return;
    }
    const struct history_write *before = &key->history.writes[base];
    SIM_CHECK(kind < INDEPENDENT_KINDS || may_live(before, request->issued_ns, low_ms),
              "%s: its expiry is changed at a time from %lld on, though it expired at %lld%s",
              key->name, (long long)low_ms, (long long)before->expires_high_ms,
              was_gone(before, request->issued_ns) ? " and was met as expired" : "");
    if (is_relative(kind)) {
        write->expires_low_ms = low_ms + (int64_t)request->c;
        write->expires_high_ms = world_real_high_ms() + (int64_t)request->c;
    }
    history_answer(&key->history, index);
}

static int64_t draw_ms(void)
{
    static const uint32_t most[] = {50, 1000, 30000, 10000000};
    return (int64_t)world_between(STREAM_LOAD, 1, most[world_below(STREAM_LOAD, 4)]);
}

static void add_number(struct command *command, char *text, int64_t number)
{
    (void)snprintf(text, 24, "%" PRId64, number);
    command_add_text(command, text);
}

static void build(enum kind kind, const char *name, uint64_t value, int64_t ms, char (*texts)[24],
                  struct command *ret_command)
{
    static const char *const names[KINDS] = {"SET",    "SET",       "SET",     "DEL",   "PEXPIRE",
                                             "EXPIRE", "PEXPIREAT", "PERSIST", "GETEX", "GETEX"};
    static const char *const words[KINDS] = {
        [SET_PX] = "PX", [SET_PXAT] = "PXAT", [GETEX_PX] = "PX", [GETEX_PERSIST] = "PERSIST"};
    *ret_command = (struct command){.argc = 0};
    command_add_text(ret_command, names[kind]);
    command_add_text(ret_command, name);
    if (kind < DELETE) {
        add_number(ret_command, texts[0], (int64_t)value);
    }
    if (words[kind] != NULL) {
        command_add_text(ret_command, words[kind]);
    }
    if (ms != 0) {
        add_number(ret_command, texts[1], kind == EXPIRE ? ms / 1000 : ms);
    }
}

static uint32_t issue_of_kind(struct expiry *expiry, struct key *key, enum kind kind, int64_t ms)
{
    struct history *history = &key->history;
    bool depends = kind >= INDEPENDENT_KINDS;
    uint64_t value = depends          ? history->writes[history->current].value
                     : kind == DELETE ? 0
                                      : expiry->next_number++;
    uint32_t index = history_issue(history, value, 0);
    struct history_write *write = &history->writes[index];
    if (is_relative(kind)) {
        set_unknown(write);
    } else if (kind == SET_PXAT || kind == PEXPIREAT) {
        write->expires_low_ms = ms;
        write->expires_high_ms = ms;
    }
    return index;
}

static int64_t draw_time(enum kind kind)
{
    if (kind == SET_PXAT || kind == PEXPIREAT) {
        int64_t past = (int64_t)world_below(STREAM_LOAD, 100);
        return world_real_ms() + draw_ms() - past;
    }
    if (kind == EXPIRE) {
        return (draw_ms() / 1000 + 1) * 1000;
    }
    return is_relative(kind) ? draw_ms() : 0;
}

static void issue_write(struct expiry *expiry, struct client *client, struct key *key)
{
    struct history *history = &key->history;
    uint32_t base = history->current;
    bool depends = base != HISTORY_UNKNOWN && history->doubts == 0 && base < UINT16_MAX &&
                   history->writes[base].value != 0 && world_chance(STREAM_LOAD, 500000);
    enum kind kind = (enum kind)(depends ? world_between(STREAM_LOAD, INDEPENDENT_KINDS, KINDS - 1)
                                         : world_below(STREAM_LOAD, INDEPENDENT_KINDS));
    int64_t ms = draw_time(kind);
    uint32_t index = issue_of_kind(expiry, key, kind, ms);
    struct command command;
    char texts[2][24];
    build(kind, key->name, history->writes[index].value, ms, texts, &command);
    struct request *request = request_make(write_done, expiry);
    request->a = key_pack(expiry, key);
    request->b = pack(index, base, kind);
    request->c = (uint64_t)ms;
    client_send(client, &command, request);
}

/* ---- reading ---- */

static struct sight sight_of(const struct request *request, const struct reply *reply,
                             int64_t floor_ns)
{
    struct sight sight = {
        .floor_ns = floor_ns, .issued_ns = request->issued_ns, .low_ms = time_low_ms(request)};
    if (reply->type == ':') {
        sight.has_value = reply->integer == ABSENT;
        sight.has_expiry = !sight.has_value;
        sight.expires_ms = reply->integer;
    } else {
        sight.has_value = true;
        sight.value = number_of(reply);
    }
    return sight;
}

static void read_done(struct request *request, const struct reply *reply)
{
    struct expiry *expiry = request->owner;
    struct key *key = key_of(expiry, request);
    if (load_in_doubt(&expiry->load, key->name, reply)) {
        return;
    }
    struct sight sight = sight_of(request, reply, (int64_t)request->b);
    uint32_t matches;
    uint32_t newest = find(key, &sight, &matches);
    struct history_write *write = &key->history.writes[newest];
    bool nil = sight.has_value && sight.value == 0;
    note_time(key, request);
    if (matches == 1 && !nil && write->issued_ns > key->history.floor_ns) {
        key->history.floor_ns = write->issued_ns;
    }
    if (matches == 1 && sight.has_expiry && sight.expires_ms != NEVER) {
        write->expires_low_ms = sight.expires_ms;
        write->expires_high_ms = sight.expires_ms;
    }
    /* Nothing else was written from its issue to now. */
    bool alone = request->c == key->history.count && key->history.current == newest;
    if (nil && alone && write->value != 0) {
        SOMETIMES("a key is met as expired");
        set_gone(write);
    }
}

static void issue_read(struct expiry *expiry, struct client *client, struct key *key,
                       const char *name, request_done_fn *done)
{
    struct command command = {.argc = 0};
    command_add_text(&command, name);
    command_add_text(&command, key->name);
    struct request *request = request_make(done, expiry);
    request->a = key_pack(expiry, key);
    request->b = (uint64_t)key->history.floor_ns;
    request->c = key->history.current == HISTORY_UNKNOWN ? 0 : key->history.count;
    client_send(client, &command, request);
}

/* ---- the end of a life ---- */

static void expiry_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct expiry *expiry = (struct expiry *)load;
    bool may_lose = end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS;
    int64_t seen_ms = 0;
    for (uint32_t i = 0; i < expiry->key_count; i++) {
        int64_t here_ms = expiry->keys[i].seen_ms;
        seen_ms = here_ms > seen_ms ? here_ms : seen_ms;
    }
    for (uint32_t i = 0; i < expiry->key_count; i++) {
        struct key *key = &expiry->keys[i];
        history_life_ended(&key->history, may_lose);
        key->seen_ms = end == LIFE_STOPPED ? seen_ms : 0;
        for (uint32_t j = 0; may_lose && j < key->history.count; j++) {
            key->history.writes[j].gone_ns = INT64_MAX;
        }
    }
}

/* Nothing is there: what may have expired stays in the history, for a power cut may bring it back.
 */
static void settle_nothing(struct key *key, const struct sight *sight)
{
    struct history *history = &key->history;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        if (fits(&history->writes[i], sight)) {
            history->writes[kept] = history->writes[i];
            history->writes[kept].answered = true;
            history->writes[kept].answered_ns = world_now_ns();
            set_gone(&history->writes[kept]);
            kept++;
        }
    }
    history->count = kept;
    history->current = kept == 1 ? 0 : HISTORY_UNKNOWN;
    history->doubts = 0;
    history->ended = false;
}

static void report_losses(const struct key *key, const struct sight *sight)
{
    const struct history *history = &key->history;
    int64_t issued_ns = INT64_MAX;
    int64_t answered_ns = INT64_MIN;
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_write *write = &history->writes[i];
        if (fits(write, sight)) {
            issued_ns = write->issued_ns < issued_ns ? write->issued_ns : issued_ns;
            answered_ns = write->answered_ns > answered_ns ? write->answered_ns : answered_ns;
        }
    }
    losses_survivor(issued_ns);
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_write *write = &history->writes[i];
        if (write->answered && !write->dead && write->issued_ns > answered_ns) {
            losses_lost(write->issued_ns, write->answered_ns);
        }
    }
}

static void settle_value(struct key *key, const struct sight *sight, uint32_t index)
{
    struct history *history = &key->history;
    report_losses(key, sight);
    history->writes[0] = history->writes[index];
    if (sight->has_expiry && sight->expires_ms != NEVER) {
        history->writes[0].expires_low_ms = sight->expires_ms;
        history->writes[0].expires_high_ms = sight->expires_ms;
    }
    history->writes[0].answered = true;
    history->writes[0].answered_ns = world_now_ns();
    history->floor_ns = history->writes[0].issued_ns;
    history->count = 1;
    history->current = 0;
    history->doubts = 0;
    history->ended = false;
}

static void check_value_done(struct request *request, const struct reply *reply)
{
    struct expiry *expiry = request->owner;
    struct key *key = key_of(expiry, request);
    key->found_readable = !load_in_doubt(&expiry->load, key->name, reply);
    if (key->found_readable) {
        struct sight sight = sight_of(request, reply, key->history.floor_ns);
        uint32_t matches;
        (void)find(key, &sight, &matches);
        key->found = sight.value;
    }
}

/* The second half: both together say which write it is. */
static void check_time_done(struct request *request, const struct reply *reply)
{
    struct expiry *expiry = request->owner;
    struct key *key = key_of(expiry, request);
    key->history.settling = false;
    if (load_in_doubt(&expiry->load, key->name, reply) || !key->found_readable) {
        return;
    }
    struct sight sight = sight_of(request, reply, key->history.floor_ns);
    SIM_CHECK(sight.has_value || key->found != 0, "%s comes back within a check", key->name);
    if (!sight.has_value) {
        sight.has_value = true;
        sight.value = key->found;
    }
    uint32_t matches;
    uint32_t index = find(key, &sight, &matches);
    note_time(key, request);
    if (!key->history.ended && key->history.doubts > 0) {
        return;
    }
    if (sight.value == 0) {
        settle_nothing(key, &sight);
    } else {
        settle_value(key, &sight, index);
    }
}

static void check_key(struct expiry *expiry, struct client *client, struct key *key)
{
    issue_read(expiry, client, key, "GET", check_value_done);
    issue_read(expiry, client, key, "PEXPIRETIME", check_time_done);
}

/* ---- the load ---- */

static void expiry_issue(struct load *load, struct client *client)
{
    struct expiry *expiry = (struct expiry *)load;
    struct key *key = &expiry->keys[world_below(STREAM_LOAD, expiry->key_count)];
    if (history_wants_settling(&key->history)) {
        check_key(expiry, client, key);
    }
    if (key->history.ended) {
        return;
    }
    if (key->history.open == 0 && !history_is_full(&key->history) &&
        world_chance(STREAM_LOAD, 400000)) {
        issue_write(expiry, client, key);
    } else {
        bool get = world_chance(STREAM_LOAD, 700000);
        issue_read(expiry, client, key, get ? "GET" : "PEXPIRETIME", read_done);
    }
}

static void expiry_check_all(struct load *load, struct client *client)
{
    struct expiry *expiry = (struct expiry *)load;
    load->checking = true;
    for (uint32_t i = 0; i < expiry->key_count; i++) {
        check_key(expiry, client, &expiry->keys[i]);
    }
}

static void expiry_check_end(struct load *load)
{
    load->checking = false;
}

/* Keys go by themselves. */
static int64_t expiry_count(const struct load *load)
{
    const struct expiry *expiry = (const struct expiry *)load;
    int64_t count = 0;
    for (uint32_t i = 0; i < expiry->key_count; i++) {
        const struct history *history = &expiry->keys[i].history;
        if (!history_is_settled(history) || history->writes[0].expires_low_ms != INT64_MAX) {
            return -1;
        }
        count += history->writes[0].value != 0;
    }
    return count;
}

/* ---- life ---- */

static struct load *expiry_create(const struct load_rules *rules)
{
    struct expiry *expiry = sim_alloc(sizeof(*expiry));
    expiry->load = (struct load){.kind = &load_expiry, .rules = *rules};
    expiry->key_count = (uint32_t)world_between(STREAM_PLAN, 1, KEYS_MAX);
    expiry->next_number = 1;
    for (uint32_t i = 0; i < expiry->key_count; i++) {
        struct key *key = &expiry->keys[i];
        (void)snprintf(key->name, sizeof(key->name), "expiry:%u", i);
        (void)snprintf(key->history.name, sizeof(key->history.name), "expiry:%u", i);
        history_init(&key->history);
    }
    return &expiry->load;
}

static void expiry_destroy(struct load *load)
{
    struct expiry *expiry = (struct expiry *)load;
    for (uint32_t i = 0; i < expiry->key_count; i++) {
        history_deinit(&expiry->keys[i].history);
    }
    sim_free(expiry);
}

const struct load_kind load_expiry = {
    .name = "expiry",
    .create = expiry_create,
    .destroy = expiry_destroy,
    .issue = expiry_issue,
    .life_ended = expiry_life_ended,
    .check_all = expiry_check_all,
    .check_end = expiry_check_end,
    .count = expiry_count,
};
