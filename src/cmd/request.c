#include "cmd/request.h"

#include <strings.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/number.h"
#include "cmd/multi.h"
#include "data/expire.h"
#include "data/foreign.h"

int64_t request_now_ms(const struct request *request)
{
    return keyspace_now_ms(request->here->keyspace);
}

/* ---- views ---- */

static void view_of_record(const struct request *request, const struct record *record,
                           struct view *ret_view)
{
    uint32_t now_s = (uint32_t)(request_now_ms(request) / 1000);
    uint32_t access_s = record_access_s(record);
    *ret_view = (struct view){
        .exists = true,
        .type = record_type(record),
        .meta = record_meta(record),
        .expire_ms = record_expire_ms(record),
        .value = record_value(record),
        .blob = record_blob(record),
        .idle_s = now_s > access_s ? now_s - access_s : 0,
    };
}

int view_key(struct request *request, uint32_t index, struct view *ret_view)
{
    ASSERT(index < request->key_count);
    if (request->multi != NULL) {
        multi_view(request->multi, index, ret_view);
        return 0;
    }
    struct record *record = NULL;
    int found =
        keyspace_find(request->here->keyspace, &request->keys[index], !request->no_touch, &record);
    if (found < 0 && !(found == ERR_AGAIN && request->resident)) {
        return found;
    }
    if (found != 1) {
        *ret_view = (struct view){.exists = false};
        return 0;
    }
    view_of_record(request, record, ret_view);
    return 0;
}

int view_string(struct request *request, uint32_t index, struct view *ret_view)
{
    struct view view;
    int err = view_key(request, index, &view);
    if (err < 0) {
        return err;
    }
    if (view.exists && view.type != RECORD_STRING) {
        reply_error(request->reply, REPLY_WRONGTYPE);
        return ERR_WRONG_TYPE;
    }
    *ret_view = view;
    return 0;
}

int view_all_resident(struct request *request)
{
    if (request->multi != NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < request->key_count; i++) {
        struct record *record;
        int found = keyspace_find(request->here->keyspace, &request->keys[i], false, &record);
        if (found < 0) {
            return found;
        }
    }
    /* Without a pin nothing is left in memory of a key that is removed, because it has expired or
     * by the command itself, and that the trees never had. It must not become unknown again. */
    request->resident = true;
    return 0;
}

/* ---- changes ---- */

/* The reply for a change that was refused; hands the error back. */
static int refuse(struct request *request, int err)
{
    switch (err) {
    case ERR_MEMORY:
        reply_error(request->reply, "OOM command not allowed when used memory > 'maxmemory'.");
        break;
    case ERR_KEY_TOO_LONG:
        reply_errorf(request->reply, "ERR key is too long (at most %d bytes)", STORE_KEY_BYTES_MAX);
        break;
    case ERR_VALUE_TOO_LARGE:
        reply_error(request->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        break;
    default:
        reply_errorf(request->reply, "ERR %s", error_text(err));
        break;
    }
    return err;
}

int change_put(struct request *request, uint32_t index, const struct put *put)
{
    ASSERT(index < request->key_count);
    int err = request->multi != NULL
                  ? multi_put(request->multi, index, put)
                  : keyspace_put(request->here->keyspace, &request->keys[index], put);
    return LIKELY(err == 0) ? 0 : refuse(request, err);
}

int change_put_all(struct request *request, uint8_t type, const struct slice *values)
{
    ASSERT(request->multi == NULL);
    struct change *changes = mem_calloc(request->key_count, sizeof(*changes));
    int err = changes == NULL ? ERR_MEMORY : 0;
    if (err == 0) {
        for (uint32_t i = 0; i < request->key_count; i++) {
            changes[i].key = request->keys[i];
            changes[i].put = (struct put){.type = type, .value = values[(size_t)2 * i]};
        }
        err = keyspace_put_all(request->here->keyspace, changes, request->key_count);
    }
    mem_free(changes);
    return LIKELY(err == 0) ? 0 : refuse(request, err);
}

int change_remove(struct request *request, uint32_t index, bool *ret_existed)
{
    ASSERT(index < request->key_count);
    if (request->multi != NULL) {
        *ret_existed = multi_remove(request->multi, index);
        return 0;
    }
    int existed = keyspace_remove(request->here->keyspace, &request->keys[index]);
    if (existed < 0 && !(existed == ERR_AGAIN && request->resident)) {
        return existed == ERR_AGAIN ? existed : refuse(request, existed);
    }
    *ret_existed = existed == 1;
    return 0;
}

int change_expire(struct request *request, uint32_t index, int64_t expire_ms)
{
    ASSERT(index < request->key_count);
    ASSERT(request->multi == NULL); /* no command over several keys changes only an expiry */
    int err = keyspace_set_expire(request->here->keyspace, &request->keys[index], expire_ms);
    return LIKELY(err == 0) ? 0 : refuse(request, err);
}

int change_range(struct request *request, uint32_t index, uint64_t offset, struct slice bytes)
{
    ASSERT(index < request->key_count);
    ASSERT(request->multi == NULL); /* nor a part of a value */
    int err = keyspace_write_range(request->here->keyspace, &request->keys[index], offset, bytes);
    return LIKELY(err == 0) ? 0 : refuse(request, err);
}

void change_group_begin(struct request *request)
{
    if (request->multi == NULL) {
        keyspace_group_begin(request->here->keyspace);
    }
}

void change_group_end(struct request *request)
{
    if (request->multi == NULL) {
        keyspace_group_end(request->here->keyspace);
    }
}

/* ---- arguments ---- */

int arg_i64(struct request *request, uint32_t index, int64_t *ret_value)
{
    ASSERT(index < request->argc);
    int err = number_parse_i64(request->args[index], ret_value);
    if (err < 0) {
        reply_error(request->reply, REPLY_NOT_INTEGER);
    }
    return err;
}

int arg_i64_range(struct request *request, uint32_t index, int64_t min, int64_t max,
                  const char *error, int64_t *ret_value)
{
    int64_t value;
    TRY(arg_i64(request, index, &value));
    if (value < min || value > max) {
        reply_error(request->reply, error);
        return ERR_LIMIT;
    }
    *ret_value = value;
    return 0;
}

int arg_database(struct request *request, uint32_t index, uint32_t *ret_database)
{
    int64_t number;
    TRY(arg_i64_range(request, index, INT32_MIN, INT32_MAX,
                      "ERR value is out of range, value must between -2147483648 and 2147483647",
                      &number));
    if (number < 0 || number >= request->here->server->databases) {
        reply_error(request->reply, REPLY_NO_DATABASE);
        return ERR_LIMIT;
    }
    *ret_database = (uint32_t)number;
    return 0;
}

bool arg_is(const struct request *request, uint32_t index, const char *word)
{
    ASSERT(index < request->argc);
    return slice_equal_nocase_cstr(request->args[index], word);
}

void reply_view_bulk(struct request *request, const struct view *view)
{
    if (!view->exists) {
        reply_null(request->reply);
        return;
    }
    if (view->blob != NULL && view->value.bytes >= REPLY_SHARED_BYTES_MIN) {
        reply_bulk_shared(request->reply, view->value, blob_drop, blob_hold(view->blob));
        return;
    }
    reply_bulk(request->reply, view->value);
}
