/*
 * Strings, several keys at a time: MGET, MSET, MSETNX.
 */
#include "base/assert.h"
#include "cmd/families.h"
#include "cmd/request.h"

int cmd_mget(struct request *request)
{
    TRY(view_all_resident(request));
    reply_array(request->reply, request->key_count);
    for (uint32_t i = 0; i < request->key_count; i++) {
        struct view view;
        int err = view_key(request, i, &view);
        ASSERT(err == 0); /* all were resident a moment ago */
        if (view.exists && view.type != RECORD_STRING) {
            view.exists = false;
        }
        reply_view_bulk(request, &view);
    }
    return 0;
}

/* Key i's value stands behind it. All are set, or none. */
static int mset_all(struct request *request)
{
    int err = 0;
    if (request->multi == NULL && request->key_count > 1) {
        return change_put_all(request, RECORD_STRING, &request->args[2]);
    }
    for (uint32_t i = 0; i < request->key_count && err == 0; i++) {
        struct put put = {.type = RECORD_STRING, .value = request->args[2 + i * 2]};
        err = change_put(request, i, &put);
    }
    return err;
}

int cmd_mset(struct request *request)
{
    if (request->argc % 2 == 0) {
        reply_error(request->reply, "ERR wrong number of arguments for 'mset' command");
    } else if (mset_all(request) == 0) {
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_msetnx(struct request *request)
{
    if (request->argc % 2 == 0) {
        reply_error(request->reply, "ERR wrong number of arguments for 'msetnx' command");
        return 0;
    }
    TRY(view_all_resident(request));
    for (uint32_t i = 0; i < request->key_count; i++) {
        struct view view;
        TRY(view_key(request, i, &view));
        if (view.exists) {
            reply_i64(request->reply, 0);
            return 0;
        }
    }
    if (mset_all(request) == 0) {
        reply_i64(request->reply, 1);
    }
    return 0;
}
