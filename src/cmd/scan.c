/*
 * Walking the keyspace: SCAN, KEYS, RANDOMKEY, DBSIZE. All are wide: they visit the partitions one
 * after the other, each on the shard that owns it.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/request.h"

enum {
    SCAN_NAMES_BYTES_MAX = 1 << 30, /* of one reply */
    SCAN_COUNT_DEFAULT = 10,
};

/* One walk; lent to the shard that owns the partition while it is asked. */
struct walk {
    uint32_t database;
    uint32_t space;
    uint32_t partition;
    uint32_t examine;
    uint32_t examined;
    bool has_pattern;
    struct slice pattern;
    bool other_type; /* TYPE asks for something that we have none of */
    struct slice prefix;
    struct scan_position position;
    struct buffer names; /* u32 length and bytes of each */
    uint64_t count;
    uint64_t cursor;
    int more; /* of the partition */
    uint8_t prefix_bytes[STORE_KEY_BYTES_MAX];
};

static bool walk_each(void *context, struct slice key, const struct record *record, uint8_t type)
{
    (void)record;
    (void)type;
    struct walk *walk = context;
    walk->examined++;
    if (walk->other_type || (walk->has_pattern && !glob_match(walk->pattern, key, false))) {
        return walk->examined < walk->examine;
    }
    uint32_t bytes = (uint32_t)key.bytes;
    if (buffer_append(&walk->names, &bytes, sizeof(bytes)) < 0 ||
        buffer_append(&walk->names, key.data, key.bytes) < 0) {
        walk->more = ERR_MEMORY;
        return false;
    }
    walk->count++;
    return walk->examined < walk->examine;
}

/* At the owner of walk->partition. */
static co_fn int walk_step(struct shard *there, void *argument)
{
    struct walk *walk = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    walk->more = 0;
    struct scan_range range = {
        .partition = walk->partition,
        .space = walk->space,
        .prefix = walk->prefix,
        .examine_max =
            walk->examine == UINT32_MAX ? UINT32_MAX : walk->examine - walk->examined,
    };
    int more = scan_partition(here->keyspace, &range, &walk->position, walk_each, walk);
    return walk->more < 0 ? walk->more : more;
}

static co_fn int walk_call(struct cmd_shard *here, struct walk *walk, shard_call_fn *fn)
{
    uint32_t owner = walk->partition % here->server->shards;
    return owner == shard_id(here->shard) ? fn(here->shard, walk)
                                          : shard_call(here->shard, owner, fn, walk);
}

/* Goes on until enough keys were looked at or all partitions are done (partition == partitions). */
static co_fn int walk_go(struct cmd_shard *here, struct walk *walk)
{
    while (walk->partition < here->server->partitions && walk->examined < walk->examine) {
        int more = walk_call(here, walk, walk_step);
        if (more < 0) {
            return more;
        }
        if (more == 0) {
            walk->partition++;
            walk->position.in_tree = false;
            walk->position.hash_next = 0;
            walk->position.key_bytes = 0;
        }
    }
    return 0;
}

/* `pattern`: NULL for all keys. */
static struct walk *walk_create(struct request *request, const struct slice *pattern)
{
    struct walk *walk = mem_calloc(1, sizeof(*walk));
    if (walk == NULL) {
        reply_error(request->reply, "OOM out of memory");
        return NULL;
    }
    walk->space = request->space;
    walk->prefix.data = walk->prefix_bytes;
    if (pattern != NULL) {
        walk->has_pattern = true;
        walk->pattern = *pattern;
        walk->prefix.bytes = glob_literal_prefix(*pattern, walk->prefix_bytes, STORE_KEY_BYTES_MAX);
    }
    buffer_init(&walk->names, SCAN_NAMES_BYTES_MAX);
    return walk;
}

static void walk_destroy(struct walk *walk)
{
    buffer_deinit(&walk->names);
    mem_free(walk);
}

static void walk_reply_names(struct request *request, const struct walk *walk)
{
    reply_array(request->reply, walk->count);
    size_t at = 0;
    for (uint64_t i = 0; i < walk->count; i++) {
        uint32_t bytes;
        memcpy(&bytes, walk->names.data + at, sizeof(bytes));
        at += sizeof(bytes);
        reply_bulk(request->reply, (struct slice){walk->names.data + at, bytes});
        at += bytes;
    }
    ASSERT(at == walk->names.bytes);
}

static void walk_reply_error(struct request *request, int err)
{
    if (err == ERR_NOT_FOUND) {
        reply_error(request->reply, "ERR this SCAN cursor is not known (any longer): start again "
                                    "with cursor 0");
    } else {
        reply_errorf(request->reply, "ERR reading from the store failed: %s", error_text(err));
    }
}

/* ---- SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] ---- */

struct scan_options {
    uint64_t cursor;
    const struct slice *pattern; /* NULL: none */
    int64_t count;
    bool other_type;
};

static int scan_options_parse(struct request *request, struct scan_options *ret_options)
{
    struct scan_options options = {.count = SCAN_COUNT_DEFAULT};
    if (number_parse_u64(request->args[1], &options.cursor) < 0) {
        reply_error(request->reply, "ERR invalid cursor");
        return ERR_PROTOCOL;
    }
    for (uint32_t i = 2; i < request->argc; i += 2) {
        if (i + 1 >= request->argc) {
            reply_error(request->reply, REPLY_SYNTAX);
            return ERR_PROTOCOL;
        }
        if (arg_is(request, i, "match")) {
            options.pattern = &request->args[i + 1];
        } else if (arg_is(request, i, "count")) {
            TRY(arg_i64(request, i + 1, &options.count));
        } else if (arg_is(request, i, "type")) {
            options.other_type = !arg_is(request, i + 1, "string");
        } else {
            reply_error(request->reply, REPLY_SYNTAX);
            return ERR_PROTOCOL;
        }
        if (options.count < 1) {
            reply_error(request->reply, REPLY_SYNTAX);
            return ERR_PROTOCOL;
        }
    }
    *ret_options = options;
    return 0;
}

static int scan_fetch(struct shard *there, void *argument)
{
    struct walk *walk = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    uint32_t space;
    TRY(scan_cursors_get(here->cursors, walk->cursor, &space, &walk->position));
    /* A cursor of another database, or of contents that a FLUSH has replaced. */
    return space == walk->space ? 0 : ERR_NOT_FOUND;
}

static int scan_keep(struct shard *there, void *argument)
{
    struct walk *walk = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    return scan_cursors_put(here->cursors, walk->partition, walk->space, &walk->position,
                            &walk->cursor);
}

static co_fn int scan_run(struct request *request, struct walk *walk)
{
    struct cmd_shard *here = request->here;
    if (walk->cursor != 0) {
        walk->partition = scan_cursor_partition(walk->cursor);
        if (walk->partition >= here->server->partitions) {
            return ERR_NOT_FOUND;
        }
        TRY(walk_call(here, walk, scan_fetch));
    }
    TRY(walk_go(here, walk));
    walk->cursor = 0;
    if (walk->partition < here->server->partitions) {
        TRY(walk_call(here, walk, scan_keep));
    }
    return 0;
}

co_fn int cmd_scan(struct request *request)
{
    struct scan_options options;
    if (scan_options_parse(request, &options) < 0) {
        return 0;
    }
    struct walk *walk = walk_create(request, options.pattern);
    if (walk == NULL) {
        return 0;
    }
    walk->cursor = options.cursor;
    walk->other_type = options.other_type;
    walk->examine = options.count > INT32_MAX ? INT32_MAX : (uint32_t)options.count;
    int err = scan_run(request, walk);
    if (err < 0) {
        walk_reply_error(request, err);
    } else {
        char number[NUMBER_U64_BYTES_MAX];
        size_t bytes = number_format_u64(number, walk->cursor);
        reply_array(request->reply, 2);
        reply_bulk(request->reply, (struct slice){(uint8_t *)number, bytes});
        walk_reply_names(request, walk);
    }
    walk_destroy(walk);
    return 0;
}

/* ---- KEYS pattern ---- */

co_fn int cmd_keys(struct request *request)
{
    struct walk *walk = walk_create(request, &request->args[1]);
    if (walk == NULL) {
        return 0;
    }
    int err = 0;
    while (err == 0 && walk->partition < request->here->server->partitions) {
        walk->examined = 0;
        /* Whole partitions: then no key is met twice. */
        walk->examine = UINT32_MAX;
        err = walk_go(request->here, walk);
        co_yield ();
    }
    if (err < 0) {
        walk_reply_error(request, err);
    } else {
        walk_reply_names(request, walk);
    }
    walk_destroy(walk);
    return 0;
}

/* ---- DBSIZE and RANDOMKEY ---- */

struct size_question {
    uint32_t space;
    uint64_t count;
};

static co_fn int size_ask(struct shard *there, void *argument)
{
    struct size_question *question = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    return keyspace_count(here->keyspace, question->space, &question->count);
}

static int size_ask_quick(struct shard *there, void *argument)
{
    struct size_question *question = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    uint64_t expires;
    question->count = keyspace_count_quick(here->keyspace, question->space, &expires);
    return 0;
}

/* Asks all shards at once; the answers are per shard. */
static co_fn int sizes_ask(struct request *request, shard_call_fn *fn,
                           struct size_question *questions)
{
    for (uint32_t i = 0; i < request->here->server->shards; i++) {
        questions[i] = (struct size_question){.space = request->space};
    }
    return shard_call_all(request->here->shard, fn, questions, sizeof(questions[0]));
}

co_fn int cmd_dbsize(struct request *request)
{
    struct size_question questions[SHARDS_MAX];
    int err = sizes_ask(request, size_ask, questions);
    if (err < 0) {
        walk_reply_error(request, err);
        return 0;
    }
    uint64_t count = 0;
    for (uint32_t i = 0; i < request->here->server->shards; i++) {
        count += questions[i].count;
    }
    reply_i64(request->reply, (int64_t)count);
    return 0;
}

struct random_question {
    uint32_t space;
    uint32_t bytes;
    uint8_t name[STORE_KEY_BYTES_MAX];
};

/* 1: a key was found. */
static co_fn int random_ask(struct shard *there, void *argument)
{
    struct random_question *question = argument;
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    return keyspace_random(here->keyspace, question->space, question->name, &question->bytes);
}

/* A shard by its share of the keys; then, if it has none after all, the others. */
static uint32_t random_shard(struct request *request, const struct size_question *sizes)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < request->here->server->shards; i++) {
        total += sizes[i].count;
    }
    uint64_t pick = total > 0 ? random_below(&request->here->random, total) : 0;
    uint32_t shard = 0;
    while (shard + 1 < request->here->server->shards && pick >= sizes[shard].count) {
        pick -= sizes[shard].count;
        shard++;
    }
    return shard;
}

/* The chosen shard first; the others in turn if it has none after all. */
static co_fn int random_find(struct request *request, struct random_question *question)
{
    struct size_question sizes[SHARDS_MAX];
    uint32_t shards = request->here->server->shards;
    TRY(sizes_ask(request, size_ask_quick, sizes));
    uint32_t first = random_shard(request, sizes);
    int found = 0;
    for (uint32_t i = 0; i < shards && found == 0; i++) {
        found = shard_call(request->here->shard, (first + i) % shards, random_ask, question);
    }
    return found;
}

co_fn int cmd_randomkey(struct request *request)
{
    struct random_question *question = mem_calloc(1, sizeof(*question));
    if (question == NULL) {
        reply_error(request->reply, "OOM out of memory");
        return 0;
    }
    question->space = request->space;
    int found = random_find(request, question);
    if (found < 0) {
        walk_reply_error(request, found);
    } else if (found == 0) {
        reply_null(request->reply);
    } else {
        reply_bulk(request->reply, (struct slice){question->name, question->bytes});
    }
    mem_free(question);
    return 0;
}
