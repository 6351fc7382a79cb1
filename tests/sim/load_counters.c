/*
 * Counters. All clients add to few keys; every addition to a key has the same sign. So the key's
 * value goes in one direction only, each answer is the end of a piece of the number line that
 * belongs to that addition alone, and pieces lie in the order of the additions:
 *
 *     base ├── 5 ──┤├─ 3 ─┤ ... ├──── 9 ────┤ value
 *
 * What no answered addition covers must be filled by ones in doubt. Numbers here are in units:
 * ones, or quarters where INCRBYFLOAT adds, and their direction is taken off.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "world.h"

enum { KEYS_MAX = 8, PIECES_MAX = 20000, QUARTERS = 4, SUM_ITEMS_MAX = 14 };

enum direction { UP_BY_ONE, UP, DOWN_BY_ONE, DOWN, UP_BY_QUARTERS, DIRECTIONS };

struct piece {
    int64_t units;
    int64_t end; /* INT64_MIN: not answered */
    int64_t issued_ns, answered_ns;
};

struct key {
    char name[32];
    enum direction direction;
    bool exists;
    int64_t base;   /* when it was settled */
    int64_t floor;  /* it has been there, answered or shown */
    int64_t issued; /* base and all that was issued since */
    struct piece *pieces;
    uint32_t piece_count;
    uint32_t doubts;
    uint32_t open;
    bool unsettled, may_lose;
};

struct counters {
    struct load load;
    uint32_t key_count;
    struct key keys[KEYS_MAX];
};

/* ---- numbers ---- */

static bool goes_down(const struct key *key)
{
    return key->direction == DOWN || key->direction == DOWN_BY_ONE;
}

/* A text like -12, 3.25 or 7.5 in quarters or ones. */
static int64_t parse_text(const struct key *key, const uint8_t *text, size_t bytes)
{
    char copy[40] = "";
    SIM_CHECK(bytes > 0 && bytes < sizeof(copy), "%s: a number of %zu bytes", key->name, bytes);
    memcpy(copy, text, bytes);
    char *end;
    double number = strtod(copy, &end);
    SIM_CHECK(*end == '\0', "%s: shows '%s'", key->name, copy);
    double units = key->direction == UP_BY_QUARTERS ? number * QUARTERS : number;
    int64_t whole = (int64_t)units;
    SIM_CHECK((double)whole == units, "%s: shows '%s', which no additions lead to", key->name,
              copy);
    return goes_down(key) ? -whole : whole;
}

static int64_t value_of(const struct key *key, const struct reply *reply)
{
    if (reply->type == 'n') {
        return 0;
    }
    if (reply->type == ':') {
        return goes_down(key) ? -reply->integer : reply->integer;
    }
    return parse_text(key, reply->data, reply->bytes);
}

/* ---- adding ---- */

static void raise_floor(struct key *key, int64_t value)
{
    SIM_CHECK(value <= key->issued, "%s: is at %" PRId64 ", all additions lead to %" PRId64,
              key->name, value, key->issued);
    key->floor = value > key->floor ? value : key->floor;
}

static void add_done(struct request *request, const struct reply *reply)
{
    struct counters *counters = request->owner;
    struct key *key = &counters->keys[request->a];
    struct piece *piece = &key->pieces[request->b];
    key->open--;
    if (load_in_doubt(&counters->load, key->name, reply)) {
        key->doubts++;
        return;
    }
    int64_t end = value_of(key, reply);
    int64_t floor = (int64_t)request->c;
    SIM_CHECK(end - piece->units >= floor,
              "%s: an addition of %" PRId64 " leads to %" PRId64 ", though it was at %" PRId64
              " before that was issued",
              key->name, piece->units, end, floor);
    piece->end = end;
    piece->answered_ns = world_now_ns();
    raise_floor(key, end);
}

static void command_of(struct key *key, int64_t units, struct command *ret_command, char *number)
{
    static const char *const names[DIRECTIONS] = {"INCR", "INCRBY", "DECR", "DECRBY",
                                                  "INCRBYFLOAT"};
    *ret_command = (struct command){.argc = 0};
    bool negated = key->direction == DOWN && world_chance(STREAM_LOAD, 500000);
    command_add_text(ret_command, negated ? "INCRBY" : names[key->direction]);
    command_add_text(ret_command, key->name);
    if (key->direction == UP_BY_QUARTERS) {
        (void)snprintf(number, 32, "%" PRId64 ".%02" PRId64, units / QUARTERS,
                       units % QUARTERS * (100 / QUARTERS));
        command_add_text(ret_command, number);
    } else if (key->direction == UP || key->direction == DOWN) {
        (void)snprintf(number, 32, "%" PRId64, negated ? -units : units);
        command_add_text(ret_command, number);
    }
}

static void issue_add(struct counters *counters, struct client *client, struct key *key)
{
    if (key->piece_count % 64 == 0) {
        key->pieces = sim_realloc(key->pieces, (key->piece_count + 64) * sizeof(*key->pieces));
    }
    bool by_one = key->direction == UP_BY_ONE || key->direction == DOWN_BY_ONE;
    int64_t units = by_one ? 1 : (int64_t)world_between(STREAM_LOAD, 1, 999);
    key->pieces[key->piece_count] = (struct piece){
        .units = units, .end = INT64_MIN, .issued_ns = world_now_ns(), .answered_ns = INT64_MAX};
    key->issued += units;
    struct command command;
    char number[32];
    command_of(key, units, &command, number);
    struct request *request = request_make(add_done, counters);
    request->a = (uint64_t)(key - counters->keys);
    request->b = key->piece_count++;
    request->c = (uint64_t)key->floor;
    key->open++;
    client_send(client, &command, request);
}

/* ---- reading ---- */

static void read_done(struct request *request, const struct reply *reply)
{
    struct counters *counters = request->owner;
    struct key *key = &counters->keys[request->a];
    key->open--;
    if (load_in_doubt(&counters->load, key->name, reply)) {
        return;
    }
    int64_t value = value_of(key, reply);
    int64_t floor = (int64_t)request->c;
    SIM_CHECK(value >= floor, "%s: is at %" PRId64 ", it was at %" PRId64 " before", key->name,
              value, floor);
    raise_floor(key, value);
}

static void issue_read(struct counters *counters, struct client *client, struct key *key,
                       request_done_fn *done)
{
    struct command command = {.argc = 0};
    command_add_text(&command, "GET");
    command_add_text(&command, key->name);
    struct request *request = request_make(done, counters);
    request->a = (uint64_t)(key - counters->keys);
    request->c = (uint64_t)key->floor;
    key->open++;
    client_send(client, &command, request);
}

/* ---- the end of a life ---- */

static void counters_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct counters *counters = (struct counters *)load;
    for (uint32_t i = 0; i < counters->key_count; i++) {
        struct key *key = &counters->keys[i];
        SIM_CHECK(key->open == 0, "simulator: %s: a request outlives its connection", key->name);
        key->unsettled = true;
        key->may_lose |= end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS;
    }
}

/* Answered ones first, by their place. */
static int compare_pieces(const void *left, const void *right)
{
    const struct piece *a = left;
    const struct piece *b = right;
    bool a_open = a->end == INT64_MIN;
    bool b_open = b->end == INT64_MIN;
    if (a_open != b_open) {
        return a_open ? 1 : -1;
    }
    return a->end < b->end ? -1 : a->end > b->end;
}

/* Whether some of the pieces have this sum; few of them. */
static bool has_subset(const struct piece *pieces, uint32_t count, int64_t sum)
{
    for (uint32_t set = 0; set < UINT32_C(1) << count; set++) {
        int64_t left = sum;
        for (uint32_t i = 0; i < count; i++) {
            left -= (set >> i & 1) != 0 ? pieces[i].units : 0;
        }
        if (left == 0) {
            return true;
        }
    }
    return false;
}

/* What answered pieces leave open below `value` must be filled by some in doubt. */
static void check_gaps(const struct key *key, uint32_t answered, int64_t gaps)
{
    int64_t in_doubt = 0;
    for (uint32_t i = answered; i < key->piece_count; i++) {
        in_doubt += key->pieces[i].units;
    }
    uint32_t count = key->piece_count - answered;
    SIM_CHECK(gaps <= in_doubt &&
                  (count > SUM_ITEMS_MAX || has_subset(key->pieces + answered, count, gaps)),
              "%s: %" PRId64 " were added by nobody; %u additions in doubt make %" PRId64,
              key->name, gaps, count, in_doubt);
}

/* The value is `value`: pieces below it are there, ones above are lost. */
static void check_pieces(struct key *key, int64_t value)
{
    if (key->piece_count > 0) {
        qsort(key->pieces, key->piece_count, sizeof(*key->pieces), compare_pieces);
    }
    int64_t at = key->base;
    int64_t gaps = 0;
    uint32_t answered = 0;
    while (answered < key->piece_count && key->pieces[answered].end != INT64_MIN) {
        const struct piece *piece = &key->pieces[answered++];
        int64_t start = piece->end - piece->units;
        SIM_CHECK(start >= at,
                  "%s: two additions have led to %" PRId64 " and %" PRId64
                  ", the second by %" PRId64,
                  key->name, at, piece->end, piece->units);
        SIM_CHECK(piece->end <= value || start >= value,
                  "%s: is at %" PRId64 ", in the middle of an addition that led to %" PRId64,
                  key->name, value, piece->end);
        if (piece->end <= value) {
            gaps += start - at;
            losses_survivor(piece->issued_ns);
        } else {
            losses_lost(piece->issued_ns, piece->answered_ns);
            gaps += start >= value && at < value ? value - at : 0;
        }
        at = piece->end;
    }
    gaps += at < value ? value - at : 0;
    check_gaps(key, answered, gaps);
}

static void check_done(struct request *request, const struct reply *reply)
{
    struct counters *counters = request->owner;
    struct key *key = &counters->keys[request->a];
    key->open--;
    if (load_in_doubt(&counters->load, key->name, reply)) {
        return;
    }
    int64_t value = value_of(key, reply);
    SIM_CHECK(key->may_lose || value >= key->floor,
              "%s: is at %" PRId64 ", it was at %" PRId64 " before the end", key->name, value,
              key->floor);
    SIM_CHECK(value >= key->base && value <= key->issued,
              "%s: is at %" PRId64 ", not from %" PRId64 " to %" PRId64, key->name, value,
              key->base, key->issued);
    key->exists = reply->type != 'n';
    check_pieces(key, value);
    if (key->unsettled || key->doubts == 0) {
        key->base = value;
        key->floor = value;
        key->issued = value;
        key->piece_count = 0;
        key->doubts = 0;
        key->unsettled = false;
        key->may_lose = false;
    }
}

/* ---- the load ---- */

static void counters_issue(struct load *load, struct client *client)
{
    struct counters *counters = (struct counters *)load;
    struct key *key = &counters->keys[world_below(STREAM_LOAD, counters->key_count)];
    if (key->unsettled) {
        if (key->open == 0) {
            issue_read(counters, client, key, check_done);
        }
    } else if (key->piece_count < PIECES_MAX && world_chance(STREAM_LOAD, 700000)) {
        issue_add(counters, client, key);
    } else {
        issue_read(counters, client, key, read_done);
    }
}

static void counters_check_all(struct load *load, struct client *client)
{
    struct counters *counters = (struct counters *)load;
    load->checking = true;
    for (uint32_t i = 0; i < counters->key_count; i++) {
        issue_read(counters, client, &counters->keys[i], check_done);
    }
}

static void counters_check_end(struct load *load)
{
    load->checking = false;
}

static int64_t counters_count(const struct load *load)
{
    const struct counters *counters = (const struct counters *)load;
    int64_t count = 0;
    for (uint32_t i = 0; i < counters->key_count; i++) {
        if (counters->keys[i].unsettled || counters->keys[i].doubts > 0) {
            return -1;
        }
        count += counters->keys[i].exists;
    }
    return count;
}

/* ---- life ---- */

static struct load *counters_create(const struct load_rules *rules)
{
    struct counters *counters = sim_alloc(sizeof(*counters));
    counters->load = (struct load){.kind = &load_counters, .rules = *rules};
    counters->key_count = (uint32_t)world_between(STREAM_PLAN, 1, KEYS_MAX);
    for (uint32_t i = 0; i < counters->key_count; i++) {
        struct key *key = &counters->keys[i];
        (void)snprintf(key->name, sizeof(key->name), "counter:%u", i);
        key->direction = (enum direction)world_below(STREAM_PLAN, DIRECTIONS);
    }
    return &counters->load;
}

static void counters_destroy(struct load *load)
{
    struct counters *counters = (struct counters *)load;
    for (uint32_t i = 0; i < counters->key_count; i++) {
        sim_free(counters->keys[i].pieces);
    }
    sim_free(counters);
}

const struct load_kind load_counters = {
    .name = "counters",
    .create = counters_create,
    .destroy = counters_destroy,
    .issue = counters_issue,
    .life_ended = counters_life_ended,
    .check_all = counters_check_all,
    .check_end = counters_check_end,
    .count = counters_count,
};
