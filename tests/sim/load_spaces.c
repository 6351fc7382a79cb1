/*
 * Spaces. Keys of the databases 1 to 3, each a register of its own (history.h), and commands over
 * whole databases, which are writes to all of their keys at one moment:
 *
 *     FLUSHDB      leaves nothing in all of them
 *     SWAPDB a b   leaves in each key of a what b had there, and the other way round
 *     COPY k k DB  leaves in another database what the key had
 *
 * For the last two it must be known what there was, so they begin when nothing is under way or in
 * doubt on what they read, and nothing else is written there until they are answered. After a power
 * cut a command over all keys is there whole or not at all.
 *
 * Connections are shared with other loads: each command stands between SELECT n and SELECT 0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "load.h"
#include "world.h"

enum {
    DATABASES = 3,
    KEYS_MAX = 10,
    CHANGES_MAX = 2000, /* commands over whole databases between two settlements */
    FLUSH_RATE = 30000,
    SWAP_RATE = 60000,
    COPY_RATE = 100000,
};

struct key {
    struct history history;
    char name[24];
    uint32_t held; /* by commands that read it and write elsewhere */
};

/* One command over several keys: the index of its write in each key's history. */
struct change {
    uint64_t op;
    uint8_t databases; /* a bit for each */
    bool is_swap;
    uint32_t writes[DATABASES][KEYS_MAX];
    bool there, lost; /* a key says so */
};

struct spaces {
    struct load load;
    uint32_t key_count;
    uint64_t next_number, next_op;
    struct key keys[DATABASES][KEYS_MAX];
    struct change *changes;
    uint32_t change_count;
};

static struct key *key_of(struct spaces *spaces, uint64_t packed)
{
    return &spaces->keys[packed / KEYS_MAX][packed % KEYS_MAX];
}

static uint64_t key_pack(const struct spaces *spaces, const struct key *key)
{
    return (uint64_t)(key - &spaces->keys[0][0]);
}

static uint64_t number_of(const struct reply *reply)
{
    char text[24] = "";
    if (reply->type == '$') {
        memcpy(text, reply->data, reply->bytes < 23 ? reply->bytes : 23);
    }
    return strtoull(text, NULL, 10);
}

/* ---- the database of a connection ---- */

/* It can't fail: whatever follows would happen in another database. */
static void select_done(struct request *request, const struct reply *reply)
{
    (void)request;
    SIM_CHECK(reply == NULL || reply_is_text(reply, "OK"), "SELECT is answered with %c%.*s",
              reply->type, (int)reply->bytes, (const char *)reply->data);
}

static void send_select(struct spaces *spaces, struct client *client, uint32_t number)
{
    char text[8];
    (void)snprintf(text, sizeof(text), "%u", number);
    struct command command = {.argc = 0};
    command_add_text(&command, "SELECT");
    command_add_text(&command, text);
    client_send(client, &command, request_make(select_done, spaces));
}

/* `database` counts from 0 here. */
static void send_in(struct spaces *spaces, struct client *client, uint32_t database,
                    const struct command *command, struct request *request)
{
    send_select(spaces, client, database + 1);
    client_send(client, command, request);
    send_select(spaces, client, 0);
}

/* ---- one key ---- */

static void write_done(struct request *request, const struct reply *reply)
{
    struct spaces *spaces = request->owner;
    struct history *history = &key_of(spaces, request->a)->history;
    if (load_in_doubt(&spaces->load, history->name, reply)) {
        history_doubt(history, (uint32_t)request->b);
    } else {
        history_answer(history, (uint32_t)request->b);
    }
}

static void issue_write(struct spaces *spaces, struct client *client, uint32_t database,
                        struct key *key)
{
    bool deletes = world_chance(STREAM_LOAD, 200000);
    uint64_t number = deletes ? 0 : spaces->next_number++;
    char text[24];
    struct command command = {.argc = 0};
    command_add_text(&command, deletes ? "DEL" : "SET");
    command_add_text(&command, key->name);
    if (!deletes) {
        (void)snprintf(text, sizeof(text), "%" PRIu64, number);
        command_add_text(&command, text);
    }
    struct request *request = request_make(write_done, spaces);
    request->a = key_pack(spaces, key);
    request->b = history_issue(&key->history, number, 0);
    send_in(spaces, client, database, &command, request);
}

static void read_done(struct request *request, const struct reply *reply)
{
    struct spaces *spaces = request->owner;
    struct history *history = &key_of(spaces, request->a)->history;
    if (!load_in_doubt(&spaces->load, history->name, reply)) {
        struct history_read read = {.floor_ns = (int64_t)request->b,
                                    .count = (uint32_t)(request->c >> 1),
                                    .quiet = (request->c & 1) != 0};
        history_read_end(history, read, number_of(reply));
    }
}

static void issue_read(struct spaces *spaces, struct client *client, uint32_t database,
                       struct key *key, request_done_fn *done)
{
    struct history_read read = history_read_begin(&key->history);
    struct command command = {.argc = 0};
    command_add_text(&command, "GET");
    command_add_text(&command, key->name);
    struct request *request = request_make(done, spaces);
    request->a = key_pack(spaces, key);
    request->b = (uint64_t)read.floor_ns;
    request->c = (uint64_t)read.count << 1 | read.quiet;
    send_in(spaces, client, database, &command, request);
}

/* ---- whole databases ---- */

static bool is_certain(const struct key *key)
{
    return key->history.current != HISTORY_UNKNOWN && key->history.open == 0 &&
           key->history.doubts == 0;
}

static uint64_t value_now(const struct key *key)
{
    return key->history.writes[key->history.current].value;
}

static bool can_write(const struct key *key)
{
    return key->held == 0 && !key->history.ended && !history_is_full(&key->history);
}

static bool database_can(const struct spaces *spaces, uint32_t database, bool certain)
{
    for (uint32_t i = 0; i < spaces->key_count; i++) {
        const struct key *key = &spaces->keys[database][i];
        if (!can_write(key) || (certain && !is_certain(key))) {
            return false;
        }
    }
    return spaces->change_count < CHANGES_MAX;
}

static void change_done(struct request *request, const struct reply *reply)
{
    struct spaces *spaces = request->owner;
    const struct change *change = &spaces->changes[request->a];
    bool doubt = load_in_doubt(&spaces->load, change->is_swap ? "SWAPDB" : "FLUSHDB", reply);
    for (uint32_t database = 0; database < DATABASES; database++) {
        for (uint32_t i = 0; i < spaces->key_count; i++) {
            struct key *key = &spaces->keys[database][i];
            if ((change->databases >> database & 1) == 0) {
                continue;
            }
            if (doubt) {
                /* A SWAPDB that may still come holds on to both: what it will leave is not known
                 * once they change. */
                history_doubt(&key->history, change->writes[database][i]);
                continue;
            }
            history_answer(&key->history, change->writes[database][i]);
            key->held -= change->is_swap;
        }
    }
}

static struct change *change_begin(struct spaces *spaces, uint8_t databases, bool is_swap)
{
    if (spaces->changes == NULL) {
        spaces->changes = sim_alloc(CHANGES_MAX * sizeof(*spaces->changes));
    }
    struct change *change = &spaces->changes[spaces->change_count++];
    *change = (struct change){.op = spaces->next_op++, .databases = databases, .is_swap = is_swap};
    return change;
}

static void issue_flush(struct spaces *spaces, struct client *client, uint32_t database)
{
    struct change *change = change_begin(spaces, (uint8_t)(1u << database), false);
    for (uint32_t i = 0; i < spaces->key_count; i++) {
        struct history *history = &spaces->keys[database][i].history;
        change->writes[database][i] = history_issue(history, 0, change->op);
    }
    struct request *request = request_make(change_done, spaces);
    request->a = (uint64_t)(change - spaces->changes);
    struct command command = {.argc = 0};
    command_add_text(&command, "FLUSHDB");
    send_in(spaces, client, database, &command, request);
}

static void issue_swap(struct spaces *spaces, struct client *client, uint32_t a, uint32_t b)
{
    struct change *change = change_begin(spaces, (uint8_t)(1u << a | 1u << b), true);
    for (uint32_t i = 0; i < spaces->key_count; i++) {
        struct key *first = &spaces->keys[a][i];
        struct key *second = &spaces->keys[b][i];
        uint64_t first_value = value_now(first);
        uint64_t second_value = value_now(second);
        change->writes[a][i] = history_issue(&first->history, second_value, change->op);
        change->writes[b][i] = history_issue(&second->history, first_value, change->op);
        first->held++;
        second->held++;
    }
    char texts[2][8];
    (void)snprintf(texts[0], sizeof(texts[0]), "%u", a + 1);
    (void)snprintf(texts[1], sizeof(texts[1]), "%u", b + 1);
    struct command command = {.argc = 0};
    command_add_text(&command, "SWAPDB");
    command_add_text(&command, texts[0]);
    command_add_text(&command, texts[1]);
    struct request *request = request_make(change_done, spaces);
    request->a = (uint64_t)(change - spaces->changes);
    client_send(client, &command, request);
}

/* ---- COPY ---- */

static void copy_done(struct request *request, const struct reply *reply)
{
    struct spaces *spaces = request->owner;
    struct key *to = key_of(spaces, request->a);
    struct key *from = key_of(spaces, request->c);
    if (load_in_doubt(&spaces->load, to->history.name, reply)) {
        history_doubt(&to->history, (uint32_t)request->b);
        return;
    }
    SIM_CHECK(reply->type == ':' && reply->integer == 1, "%s: COPY answers %lld", to->history.name,
              (long long)reply->integer);
    from->held--;
    history_answer(&to->history, (uint32_t)request->b);
}

static void issue_copy(struct spaces *spaces, struct client *client, struct key *from,
                       struct key *to)
{
    uint32_t from_database = (uint32_t)(key_pack(spaces, from) / KEYS_MAX);
    char number[8];
    (void)snprintf(number, sizeof(number), "%u", (uint32_t)(key_pack(spaces, to) / KEYS_MAX) + 1);
    struct command command = {.argc = 0};
    command_add_text(&command, "COPY");
    command_add_text(&command, from->name);
    command_add_text(&command, to->name);
    command_add_text(&command, "DB");
    command_add_text(&command, number);
    command_add_text(&command, "REPLACE");
    struct request *request = request_make(copy_done, spaces);
    request->a = key_pack(spaces, to);
    request->b = history_issue(&to->history, value_now(from), 0);
    request->c = key_pack(spaces, from);
    from->held++;
    send_in(spaces, client, from_database, &command, request);
}

/* ---- the load ---- */

/* True if it has found one that can be done now. */
static bool issue_wide(struct spaces *spaces, struct client *client, uint32_t database)
{
    uint32_t other = (database + 1 + (uint32_t)world_below(STREAM_LOAD, DATABASES - 1)) % DATABASES;
    if (world_chance(STREAM_LOAD, FLUSH_RATE) && database_can(spaces, database, false)) {
        SOMETIMES("a database is flushed");
        issue_flush(spaces, client, database);
        return true;
    }
    if (world_chance(STREAM_LOAD, SWAP_RATE) && database_can(spaces, database, true) &&
        database_can(spaces, other, true)) {
        SOMETIMES("two databases are swapped");
        issue_swap(spaces, client, database, other);
        return true;
    }
    struct key *from = &spaces->keys[database][world_below(STREAM_LOAD, spaces->key_count)];
    struct key *to = &spaces->keys[other][world_below(STREAM_LOAD, spaces->key_count)];
    if (world_chance(STREAM_LOAD, COPY_RATE) && is_certain(from) && value_now(from) != 0 &&
        can_write(from) && can_write(to)) {
        issue_copy(spaces, client, from, to);
        return true;
    }
    return false;
}

/* ---- the end of a life ---- */

static void spaces_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct spaces *spaces = (struct spaces *)load;
    bool may_lose = end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS;
    for (uint32_t database = 0; database < DATABASES; database++) {
        for (uint32_t i = 0; i < spaces->key_count; i++) {
            history_life_ended(&spaces->keys[database][i].history, may_lose);
            spaces->keys[database][i].held = 0;
        }
    }
}

/* What this key's value says about the commands over all keys. */
static void judge_changes(struct spaces *spaces, uint64_t packed, uint64_t value)
{
    uint32_t database = (uint32_t)(packed / KEYS_MAX);
    const struct history *history = &key_of(spaces, packed)->history;
    for (uint32_t i = 0; i < spaces->change_count; i++) {
        struct change *change = &spaces->changes[i];
        if ((change->databases >> database & 1) == 0) {
            continue;
        }
        uint32_t write = change->writes[database][packed % KEYS_MAX];
        if (write >= history->count || history->writes[write].op != change->op) {
            continue; /* this key was settled by an earlier check that wasn't finished */
        }
        enum history_verdict verdict = history_judge(history, write, value);
        change->there |= verdict == HISTORY_THERE;
        change->lost |= verdict == HISTORY_LOST;
        SIM_CHECK(!change->there || !change->lost,
                  "%s: it and another key disagree on whether a %s is there", history->name,
                  change->is_swap ? "SWAPDB" : "FLUSHDB");
    }
}

static void check_done(struct request *request, const struct reply *reply)
{
    struct spaces *spaces = request->owner;
    struct key *key = key_of(spaces, request->a);
    key->history.settling = false;
    if (load_in_doubt(&spaces->load, key->history.name, reply)) {
        return;
    }
    uint64_t value = number_of(reply);
    if (key->history.ended) {
        judge_changes(spaces, request->a, value);
        history_settle(&key->history, value);
    } else {
        history_read_end(&key->history, (struct history_read){.floor_ns = key->history.floor_ns},
                         value);
    }
}

static void spaces_issue(struct load *load, struct client *client)
{
    struct spaces *spaces = (struct spaces *)load;
    uint32_t database = (uint32_t)world_below(STREAM_LOAD, DATABASES);
    struct key *key = &spaces->keys[database][world_below(STREAM_LOAD, spaces->key_count)];
    if (history_wants_settling(&key->history)) {
        issue_read(spaces, client, database, key, check_done);
        return;
    }
    if (key->history.ended || issue_wide(spaces, client, database)) {
        return;
    }
    if (can_write(key) && world_chance(STREAM_LOAD, 300000)) {
        issue_write(spaces, client, database, key);
    } else {
        issue_read(spaces, client, database, key, read_done);
    }
}

static void check_size_done(struct request *request, const struct reply *reply)
{
    struct spaces *spaces = request->owner;
    int64_t count = 0;
    for (uint32_t i = 0; i < spaces->key_count; i++) {
        const struct history *history = &spaces->keys[request->a][i].history;
        if (!history_is_settled(history)) {
            return;
        }
        count += history->writes[0].value != 0;
    }
    if (reply != NULL && reply->type == ':') {
        SIM_CHECK(reply->integer == count, "DBSIZE of database %llu says %lld, there are %lld keys",
                  (unsigned long long)request->a + 1, (long long)reply->integer, (long long)count);
    }
}

static void spaces_check_all(struct load *load, struct client *client)
{
    struct spaces *spaces = (struct spaces *)load;
    load->checking = true;
    for (uint32_t database = 0; database < DATABASES; database++) {
        send_select(spaces, client, database + 1);
        for (uint32_t i = 0; i < spaces->key_count; i++) {
            struct command command = {.argc = 0};
            command_add_text(&command, "GET");
            command_add_text(&command, spaces->keys[database][i].name);
            struct request *request = request_make(check_done, spaces);
            request->a = key_pack(spaces, &spaces->keys[database][i]);
            client_send(client, &command, request);
        }
        struct command command = {.argc = 0};
        command_add_text(&command, "DBSIZE");
        struct request *request = request_make(check_size_done, spaces);
        request->a = database;
        client_send(client, &command, request);
    }
    send_select(spaces, client, 0);
}

static void spaces_check_end(struct load *load)
{
    struct spaces *spaces = (struct spaces *)load;
    load->checking = false;
    spaces->change_count = 0;
}

/* Its keys are in databases of their own. */
static int64_t spaces_count(const struct load *load)
{
    (void)load;
    return 0;
}

/* ---- life ---- */

static struct load *spaces_create(const struct load_rules *rules)
{
    struct spaces *spaces = sim_alloc(sizeof(*spaces));
    spaces->load = (struct load){.kind = &load_spaces, .rules = *rules};
    spaces->key_count = (uint32_t)world_between(STREAM_PLAN, 1, KEYS_MAX);
    spaces->next_number = 1;
    spaces->next_op = 1;
    for (uint32_t database = 0; database < DATABASES; database++) {
        for (uint32_t i = 0; i < spaces->key_count; i++) {
            struct key *key = &spaces->keys[database][i];
            (void)snprintf(key->name, sizeof(key->name), "space:%u", i);
            (void)snprintf(key->history.name, sizeof(key->history.name), "space:%u of database %u",
                           i, database + 1);
            history_init(&key->history);
        }
    }
    return &spaces->load;
}

static void spaces_destroy(struct load *load)
{
    struct spaces *spaces = (struct spaces *)load;
    for (uint32_t database = 0; database < DATABASES; database++) {
        for (uint32_t i = 0; i < spaces->key_count; i++) {
            history_deinit(&spaces->keys[database][i].history);
        }
    }
    sim_free(spaces->changes);
    sim_free(spaces);
}

const struct load_kind load_spaces = {
    .name = "spaces",
    .create = spaces_create,
    .destroy = spaces_destroy,
    .issue = spaces_issue,
    .life_ended = spaces_life_ended,
    .check_all = spaces_check_all,
    .check_end = spaces_check_end,
    .count = spaces_count,
};
