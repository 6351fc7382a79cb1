/*
 * Keys, whatever their values: DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME, RENAMENX, COPY.
 */
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/request.h"

/* ---- counting over several keys ---- */

int cmd_del(struct request *request)
{
    TRY(view_all_resident(request));
    int64_t removed = 0;
    int err = 0;
    change_group_begin(request);
    for (uint32_t i = 0; i < request->key_count && err == 0; i++) {
        bool existed = false;
        err = change_remove(request, i, &existed);
        removed += existed;
    }
    change_group_end(request);
    if (err == 0) {
        reply_i64(request->reply, removed);
    }
    return 0;
}

int cmd_exists(struct request *request)
{
    TRY(view_all_resident(request));
    int64_t count = 0;
    for (uint32_t i = 0; i < request->key_count; i++) {
        struct view view;
        TRY(view_key(request, i, &view));
        count += view.exists;
    }
    reply_i64(request->reply, count);
    return 0;
}

/* view_key has marked the keys as used: that is all a TOUCH does beyond counting. */
int cmd_touch(struct request *request)
{
    return cmd_exists(request);
}

int cmd_type(struct request *request)
{
    struct view view;
    TRY(view_key(request, 0, &view));
    reply_status(request->reply, view.exists ? "string" : "none");
    return 0;
}

/* ---- moving a value to another key ---- */

/* Puts what `view` shows under key `to`. */
static int put_view(struct request *request, const struct view *view, uint32_t to)
{
    struct put put = {.type = view->type, .meta = view->meta, .expire_ms = view->expire_ms};
    if (view->blob != NULL) {
        put.blob = blob_hold(view->blob);
    } else {
        put.value = view->value;
    }
    return change_put(request, to, &put);
}

/* The value is borrowed until the next change, so the copy comes first, the removal after it. */
static int rename_key(struct request *request, const struct view *source)
{
    int err = 0;
    change_group_begin(request);
    err = put_view(request, source, 1);
    if (err == 0) {
        bool existed;
        err = change_remove(request, 0, &existed);
    }
    change_group_end(request);
    return err;
}

static bool same_key(const struct request *request)
{
    return key_equal(&request->keys[0], &request->keys[1]);
}

int cmd_rename(struct request *request)
{
    TRY(view_all_resident(request));
    struct view source;
    TRY(view_key(request, 0, &source));
    if (!source.exists) {
        reply_error(request->reply, REPLY_NO_KEY);
    } else if (same_key(request) || rename_key(request, &source) == 0) {
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_renamenx(struct request *request)
{
    TRY(view_all_resident(request));
    struct view source;
    struct view target;
    TRY(view_key(request, 1, &target));
    TRY(view_key(request, 0, &source));
    if (!source.exists) {
        reply_error(request->reply, REPLY_NO_KEY);
    } else if (target.exists) {
        reply_i64(request->reply, 0);
    } else if (rename_key(request, &source) == 0) {
        reply_i64(request->reply, 1);
    }
    return 0;
}

/* ---- COPY source destination [DB destination-db] [REPLACE] ---- */

struct copy_options {
    bool replace;
    bool has_database;
    uint32_t database;
};

static int copy_options_parse(struct request *request, struct copy_options *ret_options)
{
    struct copy_options options = {.replace = false};
    for (uint32_t i = 3; i < request->argc; i++) {
        if (arg_is(request, i, "replace")) {
            options.replace = true;
        } else if (arg_is(request, i, "db") && i + 1 < request->argc) {
            TRY(arg_database(request, ++i, &options.database));
            options.has_database = true;
        } else {
            reply_error(request->reply, REPLY_SYNTAX);
            return ERR_PROTOCOL;
        }
    }
    *ret_options = options;
    return 0;
}

/* The last DB counts, as in copy_options_parse. */
int copy_key_database(const struct slice *args, uint32_t argc, uint32_t key_index)
{
    int found = -1;
    for (uint32_t i = 3; key_index == 1 && i + 1 < argc; i++) {
        int64_t database;
        if (!slice_equal_nocase_cstr(args[i], "db")) {
            continue;
        }
        i++;
        if (number_parse_i64(args[i], &database) == 0 && database >= 0 &&
            database < KEYSPACE_DATABASES_MAX) {
            found = (int)database;
        }
    }
    return found;
}

int cmd_copy(struct request *request)
{
    struct copy_options options;
    if (copy_options_parse(request, &options) < 0) {
        return 0;
    }
    if (same_key(request)) {
        reply_error(request->reply, "ERR source and destination objects are the same");
        return 0;
    }
    TRY(view_all_resident(request));
    struct view source;
    struct view target;
    TRY(view_key(request, 1, &target));
    TRY(view_key(request, 0, &source));
    if (!source.exists || (target.exists && !options.replace)) {
        reply_i64(request->reply, 0);
    } else if (put_view(request, &source, 1) == 0) {
        reply_i64(request->reply, 1);
    }
    return 0;
}
