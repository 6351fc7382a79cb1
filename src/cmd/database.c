/*
 * Databases as a whole: FLUSHDB, FLUSHALL, SWAPDB. Each is one change of the map of databases to
 * spaces, at one moment for all shards.
 */
#include "base/number.h"
#include "cmd/exclusive.h"
#include "cmd/families.h"
#include "cmd/request.h"

static co_fn void run_change(struct request *request, spaces_change_fn *change, void *context)
{
    int err = exclusive_change_spaces(request->here, change, context);
    if (err < 0) {
        reply_errorf(request->reply, "ERR %s", error_text(err));
    } else {
        reply_ok(request->reply);
    }
}

/* Memory and files are given back in the background either way; the words are accepted. */
static int flush_mode(struct request *request)
{
    bool fits = request->argc == 1 ||
                (request->argc == 2 && (arg_is(request, 1, "async") || arg_is(request, 1, "sync")));
    if (!fits) {
        reply_error(request->reply, REPLY_SYNTAX);
        return ERR_PROTOCOL;
    }
    return 0;
}

static void flush_one(void *context, uint32_t *spaces, uint32_t *space_next)
{
    spaces[*(const uint32_t *)context] = (*space_next)++;
}

co_fn int cmd_flushdb(struct request *request)
{
    if (flush_mode(request) == 0) {
        run_change(request, flush_one, &request->database);
    }
    return 0;
}

static void flush_every(void *context, uint32_t *spaces, uint32_t *space_next)
{
    uint32_t databases = *(const uint32_t *)context;
    for (uint32_t i = 0; i < databases; i++) {
        spaces[i] = (*space_next)++;
    }
}

co_fn int cmd_flushall(struct request *request)
{
    if (flush_mode(request) == 0) {
        run_change(request, flush_every, &request->here->server->databases);
    }
    return 0;
}

static void swap_two(void *context, uint32_t *spaces, uint32_t *space_next)
{
    (void)space_next;
    const uint32_t *pair = context;
    uint32_t first = spaces[pair[0]];
    spaces[pair[0]] = spaces[pair[1]];
    spaces[pair[1]] = first;
}

co_fn int cmd_swapdb(struct request *request)
{
    static const char *const errors[] = {"ERR invalid first DB index",
                                         "ERR invalid second DB index"};
    for (uint32_t i = 0; i < 2; i++) {
        int64_t number;
        if (number_parse_i64(request->args[1 + i], &number) < 0 || number < INT32_MIN ||
            number > INT32_MAX) {
            reply_error(request->reply, errors[i]);
            return 0;
        }
    }
    uint32_t pair[2];
    for (uint32_t i = 0; i < 2; i++) {
        if (arg_database(request, 1 + i, &pair[i]) < 0) {
            return 0;
        }
    }
    run_change(request, swap_two, pair);
    return 0;
}
