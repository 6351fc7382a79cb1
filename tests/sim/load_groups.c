/*
 * Groups. The keys of a group lie on all shards and are only ever written together: MSET, MSETNX,
 * DEL of all, with the number of the transaction in each value. So whatever a reader sees of a
 * group at one moment comes from one transaction, and a group as a whole is one register
 * (history.h), whose value is the transaction's number.
 *
 * And a ring: each key names the next one's index. One writer at a time swaps two neighbours by one
 * MSET of three keys. A walk through what one MGET shows must meet all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "load.h"
#include "world.h"

enum {
    GROUPS_MAX = 16,
    MEMBERS_MAX = 12,
    RING_MAX = 24,
    VALUE_BYTES_MAX = 4000,
    LARGE_RATE = 30000,
};

struct group {
    struct history history;
    uint32_t members;
    char names[MEMBERS_MAX][32];
};

struct ring {
    struct history history;     /* of fingerprints of all of it */
    uint32_t keys;              /* 0: there is no ring */
    uint32_t next[RING_MAX];    /* after the last swap */
    uint32_t next_if[RING_MAX]; /* and after the one under way */
    bool writing;               /* or nobody knows */
    char names[RING_MAX][32];
};

struct groups {
    struct load load;
    uint32_t group_count;
    uint64_t next_number;
    uint32_t delete_rate;
    struct group groups[GROUPS_MAX];
    struct ring ring;
    char values[MEMBERS_MAX][VALUE_BYTES_MAX]; /* of the command under construction */
};

/* ---- values: number.member:padding ---- */

static size_t value_make(char *to, uint64_t number, uint32_t member, size_t bytes)
{
    size_t head = (size_t)snprintf(to, VALUE_BYTES_MAX, "%" PRIu64 ".%u:", number, member);
    bytes = bytes < head ? head : bytes;
    memset(to + head, 'a' + (int)(number % 26), bytes - head);
    return bytes;
}

/* The transaction; 0: the key isn't there. */
static uint64_t value_number(const struct group *group, uint32_t member, const struct reply *item)
{
    if (item->type == 'n') {
        return 0;
    }
    static char again[VALUE_BYTES_MAX];
    char head[24] = "";
    SIM_CHECK(item->bytes < VALUE_BYTES_MAX && item->bytes > 0, "%s: a value of %zu bytes",
              group->names[member], item->bytes);
    memcpy(head, item->data, item->bytes < 23 ? item->bytes : 23);
    uint64_t number = strtoull(head, NULL, 10);
    size_t bytes = value_make(again, number, member, item->bytes);
    SIM_CHECK(bytes == item->bytes && memcmp(again, item->data, bytes) == 0,
              "%s: a value that nobody has written: '%.23s'", group->names[member], head);
    return number;
}

/* ---- writing a group ---- */

static struct request *write_request(struct groups *groups, struct group *group, uint64_t value,
                                     request_done_fn *done)
{
    struct request *request = request_make(done, groups);
    request->a = (uint64_t)(group - groups->groups);
    request->b = history_issue(&group->history, value, 0);
    return request;
}

static void set_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct group *group = &groups->groups[request->a];
    if (load_in_doubt(&groups->load, group->history.name, reply)) {
        history_doubt(&group->history, (uint32_t)request->b);
    } else if (reply->type == ':' && reply->integer == 0) {
        SOMETIMES("MSETNX finds a key");
        history_refuse(&group->history, (uint32_t)request->b);
    } else {
        history_answer(&group->history, (uint32_t)request->b);
    }
}

static void issue_set(struct groups *groups, struct client *client, struct group *group)
{
    struct command command = {.argc = 0};
    command_add_text(&command, world_chance(STREAM_LOAD, 150000) ? "MSETNX" : "MSET");
    uint64_t number = groups->next_number++;
    uint32_t first = (uint32_t)world_below(STREAM_LOAD, group->members);
    bool large = world_chance(STREAM_LOAD, LARGE_RATE);
    for (uint32_t i = 0; i < group->members; i++) {
        uint32_t member = (first + i) % group->members;
        size_t bytes = world_below(STREAM_LOAD, large ? VALUE_BYTES_MAX : 100);
        bytes = value_make(groups->values[i], number, member, bytes);
        command_add_text(&command, group->names[member]);
        command_add(&command, groups->values[i], bytes);
    }
    client_send(client, &command, write_request(groups, group, number, set_done));
}

static void delete_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct group *group = &groups->groups[request->a];
    if (load_in_doubt(&groups->load, group->history.name, reply)) {
        history_doubt(&group->history, (uint32_t)request->b);
        return;
    }
    SIM_CHECK(reply->type == ':' && (reply->integer == 0 || reply->integer == group->members),
              "%s: DEL has found %lld of %u keys", group->history.name, (long long)reply->integer,
              group->members);
    history_answer(&group->history, (uint32_t)request->b);
}

static void issue_delete(struct groups *groups, struct client *client, struct group *group)
{
    struct command command = {.argc = 0};
    command_add_text(&command, "DEL");
    for (uint32_t i = 0; i < group->members; i++) {
        command_add_text(&command, group->names[i]);
    }
    client_send(client, &command, write_request(groups, group, 0, delete_done));
}

/* ---- reading a group ---- */

/* What a request carries: the group, the history's floor, and in c which members in which order and
 * the rest of the read. */
struct look {
    struct history_read read;
    uint32_t first, count;
};

static uint64_t look_pack(const struct look *look)
{
    return (uint64_t)look->read.count | (uint64_t)look->first << 32 | (uint64_t)look->count << 40 |
           (uint64_t)look->read.quiet << 48;
}

static struct look look_unpack(const struct request *request)
{
    return (struct look){.read = {.floor_ns = (int64_t)request->b,
                                  .count = (uint32_t)request->c,
                                  .quiet = (request->c >> 48 & 1) != 0},
                         .first = (uint32_t)(request->c >> 32 & 0xff),
                         .count = (uint32_t)(request->c >> 40 & 0xff)};
}

/* The one transaction that all of them show. */
static uint64_t shown_by(const struct group *group, const struct look *look,
                         const struct reply *reply)
{
    SIM_CHECK(reply->type == '*' && reply->count == look->count, "%s: MGET answers with %c",
              group->history.name, reply->type);
    uint64_t number = value_number(group, look->first, &reply->items[0]);
    for (uint32_t i = 1; i < look->count; i++) {
        uint32_t member = (look->first + i) % group->members;
        uint64_t other = value_number(group, member, &reply->items[i]);
        SIM_CHECK(number == other,
                  "%s: member %u shows transaction %" PRIu64 ", member %u shows %" PRIu64,
                  group->history.name, look->first, number, member, other);
    }
    return number;
}

static void look_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct group *group = &groups->groups[request->a];
    if (load_in_doubt(&groups->load, group->history.name, reply)) {
        return;
    }
    struct look look = look_unpack(request);
    history_read_end(&group->history, look.read, shown_by(group, &look, reply));
}

static void check_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct group *group = &groups->groups[request->a];
    group->history.settling = false;
    if (load_in_doubt(&groups->load, group->history.name, reply)) {
        return;
    }
    struct look look = look_unpack(request);
    history_settle(&group->history, shown_by(group, &look, reply));
}

static void issue_look(struct groups *groups, struct client *client, struct group *group,
                       bool whole)
{
    struct look look = {.read = history_read_begin(&group->history), .count = group->members};
    if (!whole) {
        look.first = (uint32_t)world_below(STREAM_LOAD, group->members);
        look.count = (uint32_t)world_between(STREAM_LOAD, 1, group->members);
    }
    struct command command = {.argc = 0};
    command_add_text(&command, "MGET");
    for (uint32_t i = 0; i < look.count; i++) {
        command_add_text(&command, group->names[(look.first + i) % group->members]);
    }
    struct request *request = request_make(whole ? check_done : look_done, groups);
    request->a = (uint64_t)(group - groups->groups);
    request->b = (uint64_t)look.read.floor_ns;
    request->c = look_pack(&look);
    client_send(client, &command, request);
}

/* ---- the ring ---- */

static uint64_t fingerprint(const uint32_t *next, uint32_t keys)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = 0; i < keys; i++) {
        hash = (hash ^ next[i]) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    return hash | 1;
}

/* Walks it; returns its fingerprint, 0 if there is none. */
static uint64_t ring_walk(const struct ring *ring, const struct reply *reply, uint32_t *ret_next)
{
    SIM_CHECK(reply->type == '*' && reply->count == ring->keys, "ring: MGET answers with %c",
              reply->type);
    uint32_t absent = 0;
    for (uint32_t i = 0; i < ring->keys; i++) {
        char text[16] = "";
        const struct reply *item = &reply->items[i];
        absent += item->type == 'n';
        memcpy(text, item->data, item->bytes < 15 ? item->bytes : 15);
        ret_next[i] = (uint32_t)strtoul(text, NULL, 10);
    }
    if (absent == ring->keys) {
        return 0;
    }
    SIM_CHECK(absent == 0, "ring: %u of %u keys are missing", absent, ring->keys);
    uint32_t at = 0;
    uint32_t met = 0;
    do {
        at = ret_next[at];
        met++;
    } while (at > 0 && at < ring->keys && met <= ring->keys);
    SIM_CHECK(at == 0 && met == ring->keys, "ring: a walk meets %u of %u keys and ends at %u", met,
              ring->keys, at);
    return fingerprint(ret_next, ring->keys);
}

static void ring_write_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct ring *ring = &groups->ring;
    if (load_in_doubt(&groups->load, "ring", reply)) {
        history_doubt(&ring->history, (uint32_t)request->b);
        return;
    }
    history_answer(&ring->history, (uint32_t)request->b);
    memcpy(ring->next, ring->next_if, sizeof(ring->next));
    ring->writing = false;
}

/* One MSET of the keys whose next one changes. */
static void ring_write(struct groups *groups, struct client *client)
{
    struct ring *ring = &groups->ring;
    bool fresh = ring->history.writes[ring->history.count - 1].value == 0;
    char texts[RING_MAX][16];
    struct command command = {.argc = 0};
    command_add_text(&command, "MSET");
    for (uint32_t i = 0; i < ring->keys; i++) {
        if (fresh || ring->next_if[i] != ring->next[i]) {
            (void)snprintf(texts[i], sizeof(texts[i]), "%u", ring->next_if[i]);
            command_add_text(&command, ring->names[i]);
            command_add_text(&command, texts[i]);
        }
    }
    struct request *request = request_make(ring_write_done, groups);
    request->b = history_issue(&ring->history, fingerprint(ring->next_if, ring->keys), 0);
    ring->writing = true;
    client_send(client, &command, request);
}

/* a → b → c → d becomes a → c → b → d. */
static void issue_swap(struct groups *groups, struct client *client)
{
    struct ring *ring = &groups->ring;
    memcpy(ring->next_if, ring->next, sizeof(ring->next));
    if (ring->history.writes[ring->history.count - 1].value != 0) {
        uint32_t a = (uint32_t)world_below(STREAM_LOAD, ring->keys);
        uint32_t b = ring->next[a];
        uint32_t c = ring->next[b];
        ring->next_if[a] = c;
        ring->next_if[b] = ring->next[c];
        ring->next_if[c] = b;
    }
    ring_write(groups, client);
}

static void ring_look_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct ring *ring = &groups->ring;
    uint32_t next[RING_MAX];
    if (load_in_doubt(&groups->load, "ring", reply)) {
        return;
    }
    struct look look = look_unpack(request);
    history_read_end(&ring->history, look.read, ring_walk(ring, reply, next));
}

static void ring_check_done(struct request *request, const struct reply *reply)
{
    struct groups *groups = request->owner;
    struct ring *ring = &groups->ring;
    uint32_t next[RING_MAX];
    ring->history.settling = false;
    if (load_in_doubt(&groups->load, "ring", reply)) {
        return;
    }
    uint64_t value = ring_walk(ring, reply, next);
    bool ended = ring->history.ended;
    history_settle(&ring->history, value);
    if (ended) {
        ring->writing = false;
        if (value != 0) {
            memcpy(ring->next, next, sizeof(next));
        }
    }
}

static void issue_ring_look(struct groups *groups, struct client *client, request_done_fn *done)
{
    struct ring *ring = &groups->ring;
    struct look look = {.read = history_read_begin(&ring->history)};
    struct command command = {.argc = 0};
    command_add_text(&command, "MGET");
    for (uint32_t i = 0; i < ring->keys; i++) {
        command_add_text(&command, ring->names[i]);
    }
    struct request *request = request_make(done, groups);
    request->b = (uint64_t)look.read.floor_ns;
    request->c = look_pack(&look);
    client_send(client, &command, request);
}

/* ---- the load ---- */

static void issue_on_ring(struct groups *groups, struct client *client)
{
    struct ring *ring = &groups->ring;
    if (history_wants_settling(&ring->history)) {
        issue_ring_look(groups, client, ring_check_done);
    } else if (!ring->writing && !ring->history.ended && !history_is_full(&ring->history) &&
               world_chance(STREAM_LOAD, 600000)) {
        issue_swap(groups, client);
    } else {
        issue_ring_look(groups, client, ring_look_done);
    }
}

static void groups_issue(struct load *load, struct client *client)
{
    struct groups *groups = (struct groups *)load;
    uint32_t index = (uint32_t)world_below(STREAM_LOAD, groups->group_count + 1);
    if (index == groups->group_count) {
        if (groups->ring.keys > 0) {
            issue_on_ring(groups, client);
        }
        return;
    }
    struct group *group = &groups->groups[index];
    if (history_wants_settling(&group->history)) {
        issue_look(groups, client, group, true);
    } else if (group->history.ended || history_is_full(&group->history) ||
               world_chance(STREAM_LOAD, 500000)) {
        issue_look(groups, client, group, false);
    } else if (world_chance(STREAM_LOAD, groups->delete_rate)) {
        issue_delete(groups, client, group);
    } else {
        issue_set(groups, client, group);
    }
}

static void groups_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct groups *groups = (struct groups *)load;
    bool may_lose = end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS;
    for (uint32_t i = 0; i < groups->group_count; i++) {
        history_life_ended(&groups->groups[i].history, may_lose);
    }
    history_life_ended(&groups->ring.history, may_lose);
}

static void groups_check_all(struct load *load, struct client *client)
{
    struct groups *groups = (struct groups *)load;
    load->checking = true;
    for (uint32_t i = 0; i < groups->group_count; i++) {
        issue_look(groups, client, &groups->groups[i], true);
    }
    if (groups->ring.keys > 0) {
        issue_ring_look(groups, client, ring_check_done);
    }
}

static void groups_check_end(struct load *load)
{
    load->checking = false;
}

static int64_t groups_count(const struct load *load)
{
    const struct groups *groups = (const struct groups *)load;
    int64_t count = 0;
    for (uint32_t i = 0; i < groups->group_count; i++) {
        const struct group *group = &groups->groups[i];
        if (!history_is_settled(&group->history)) {
            return -1;
        }
        count += group->history.writes[0].value != 0 ? group->members : 0;
    }
    if (!history_is_settled(&groups->ring.history)) {
        return -1;
    }
    return count + (groups->ring.history.writes[0].value != 0 ? groups->ring.keys : 0);
}

/* ---- life ---- */

static void group_init(struct group *group, uint32_t index)
{
    (void)snprintf(group->history.name, sizeof(group->history.name), "group:%u", index);
    history_init(&group->history);
    group->members = (uint32_t)world_between(STREAM_PLAN, 2, MEMBERS_MAX);
    for (uint32_t i = 0; i < group->members; i++) {
        (void)snprintf(group->names[i], sizeof(group->names[i]), "group:%u:%u", index, i);
    }
}

static void ring_init(struct ring *ring)
{
    (void)snprintf(ring->history.name, sizeof(ring->history.name), "ring");
    history_init(&ring->history);
    ring->keys =
        world_chance(STREAM_PLAN, 700000) ? (uint32_t)world_between(STREAM_PLAN, 4, RING_MAX) : 0;
    for (uint32_t i = 0; i < ring->keys; i++) {
        (void)snprintf(ring->names[i], sizeof(ring->names[i]), "ring:%u", i);
        ring->next[i] = (i + 1) % ring->keys;
    }
}

static struct load *groups_create(const struct load_rules *rules)
{
    struct groups *groups = sim_alloc(sizeof(*groups));
    groups->load = (struct load){.kind = &load_groups, .rules = *rules};
    groups->group_count = (uint32_t)world_between(STREAM_PLAN, 1, GROUPS_MAX);
    groups->delete_rate = (uint32_t)world_below(STREAM_PLAN, 300000);
    groups->next_number = 1;
    for (uint32_t i = 0; i < groups->group_count; i++) {
        group_init(&groups->groups[i], i);
    }
    ring_init(&groups->ring);
    return &groups->load;
}

static void groups_destroy(struct load *load)
{
    struct groups *groups = (struct groups *)load;
    for (uint32_t i = 0; i < groups->group_count; i++) {
        history_deinit(&groups->groups[i].history);
    }
    history_deinit(&groups->ring.history);
    sim_free(groups);
}

const struct load_kind load_groups = {
    .name = "groups",
    .create = groups_create,
    .destroy = groups_destroy,
    .issue = groups_issue,
    .life_ended = groups_life_ended,
    .check_all = groups_check_all,
    .check_end = groups_check_end,
    .count = groups_count,
};
