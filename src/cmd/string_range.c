/*
 * Parts of strings: APPEND, GETRANGE (SUBSTR), SETRANGE.
 */
#include "base/bytes.h"
#include "cmd/families.h"
#include "cmd/request.h"

static bool too_large(struct request *request, uint64_t offset, uint64_t bytes)
{
    uint64_t end;
    uint64_t limit = min_u64(request->here->options.bulk_bytes_max, STORE_VALUE_BYTES_MAX);
    if (!__builtin_add_overflow(offset, bytes, &end) && end <= limit) {
        return false;
    }
    reply_error(request->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return true;
}

int cmd_append(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    struct slice tail = request->args[2];
    uint64_t old_bytes = view.exists ? view.value.bytes : 0;
    if (view.exists && too_large(request, old_bytes, tail.bytes)) {
        return 0;
    }
    if (!view.exists) {
        struct put put = {.type = RECORD_STRING, .value = tail};
        err = change_put(request, 0, &put);
    } else if (tail.bytes > 0) {
        err = change_range(request, 0, old_bytes, tail);
    }
    if (err == 0) {
        reply_i64(request->reply, (int64_t)(old_bytes + tail.bytes));
    }
    return 0;
}

int cmd_setrange(struct request *request)
{
    int64_t offset;
    if (arg_i64(request, 2, &offset) < 0) {
        return 0;
    }
    if (offset < 0) {
        reply_error(request->reply, "ERR offset is out of range");
        return 0;
    }
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    struct slice bytes = request->args[3];
    uint64_t old_bytes = view.exists ? view.value.bytes : 0;
    if (bytes.bytes == 0) {
        reply_i64(request->reply, (int64_t)old_bytes);
        return 0;
    }
    if (too_large(request, (uint64_t)offset, bytes.bytes)) {
        return 0;
    }
    if (!view.exists) {
        struct put put = {.type = RECORD_STRING, .meta = RECORD_META_RAW};
        err = change_put(request, 0, &put);
    }
    if (err == 0 && change_range(request, 0, (uint64_t)offset, bytes) == 0) {
        reply_i64(request->reply, (int64_t)max_u64(old_bytes, (uint64_t)offset + bytes.bytes));
    }
    return 0;
}

/* Redis's rules: negative positions count from the end, and what lies outside is cut off. */
static struct slice range_of(struct slice value, int64_t start, int64_t end)
{
    int64_t bytes = (int64_t)value.bytes;
    if (start < 0 && end < 0 && start > end) {
        return (struct slice){NULL, 0};
    }
    start = start < 0 ? start + bytes : start;
    end = end < 0 ? end + bytes : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= bytes ? bytes - 1 : end;
    if (start > end || bytes == 0) {
        return (struct slice){NULL, 0};
    }
    return (struct slice){value.data + start, (size_t)(end - start + 1)};
}

int cmd_getrange(struct request *request)
{
    int64_t start;
    int64_t end;
    if (arg_i64(request, 2, &start) < 0 || arg_i64(request, 3, &end) < 0) {
        return 0;
    }
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    struct slice part = view.exists ? range_of(view.value, start, end) : (struct slice){NULL, 0};
    if (view.blob != NULL && part.bytes >= REPLY_SHARED_BYTES_MIN) {
        reply_bulk_shared(request->reply, part, blob_drop, blob_hold(view.blob));
    } else {
        reply_bulk(request->reply, part);
    }
    return 0;
}
