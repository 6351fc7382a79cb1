/*
 * What Redis tells about a value's insides: OBJECT, MEMORY USAGE.
 */
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/request.h"

enum { EMBSTR_BYTES_MAX = 44, RECORD_OVERHEAD_BYTES = 40 };

const char *object_encoding(const struct view *view)
{
    int64_t number;
    if ((view->meta & RECORD_META_RAW) == 0 && view->value.bytes <= NUMBER_I64_BYTES_MAX &&
        number_parse_i64(view->value, &number) == 0) {
        return "int";
    }
    bool raw = (view->meta & RECORD_META_RAW) != 0 || view->value.bytes > EMBSTR_BYTES_MAX;
    return raw ? "raw" : "embstr";
}

/* Looking at an object is no use of it. 1: it exists; 0: null was replied; ERR_AGAIN. */
static int object_view(struct request *request, struct view *ret_view)
{
    request->no_touch = true;
    TRY(view_key(request, 0, ret_view));
    if (!ret_view->exists) {
        reply_null(request->reply);
        return 0;
    }
    return 1;
}

int cmd_object_encoding(struct request *request)
{
    struct view view;
    int found = object_view(request, &view);
    if (found > 0) {
        reply_bulk_cstr(request->reply, object_encoding(&view));
    }
    return found < 0 ? found : 0;
}

int cmd_object_idletime(struct request *request)
{
    struct view view;
    int found = object_view(request, &view);
    if (found > 0) {
        reply_i64(request->reply, view.idle_s);
    }
    return found < 0 ? found : 0;
}

int cmd_object_refcount(struct request *request)
{
    struct view view;
    int found = object_view(request, &view);
    if (found > 0) {
        reply_i64(request->reply, 1);
    }
    return found < 0 ? found : 0;
}

/* We count use in one bit, not in a frequency; Redis answers so too unless an LFU policy is chosen.
 */
int cmd_object_freq(struct request *request)
{
    struct view view;
    int found = object_view(request, &view);
    if (found > 0) {
        reply_error(request->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
    }
    return found < 0 ? found : 0;
}

/* MEMORY USAGE key [SAMPLES count]: what the record takes while it is in memory. */
int cmd_memory_usage(struct request *request)
{
    for (uint32_t i = 3; i < request->argc; i += 2) {
        int64_t samples;
        if (!arg_is(request, i, "samples") || i + 1 >= request->argc) {
            reply_error(request->reply, REPLY_SYNTAX);
            return 0;
        }
        if (arg_i64_range(request, i + 1, 0, INT64_MAX, REPLY_SYNTAX, &samples) < 0) {
            return 0;
        }
    }
    struct view view;
    int found = object_view(request, &view);
    if (found > 0) {
        reply_i64(request->reply, (int64_t)(RECORD_OVERHEAD_BYTES + request->keys[0].name.bytes +
                                            view.value.bytes));
    }
    return found < 0 ? found : 0;
}
