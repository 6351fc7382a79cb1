/*
 * Strings that are numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. What is stored and logged is
 * the outcome.
 */
#include <math.h>

#include "base/mem.h"
#include "base/number.h"
#include "cmd/families.h"
#include "cmd/request.h"

static int store_number(struct request *request, const char *text, size_t bytes,
                        const struct view *old)
{
    struct put put = {.type = RECORD_STRING,
                      .expire_ms = old->exists ? old->expire_ms : 0,
                      .value = {(const uint8_t *)text, bytes}};
    return change_put(request, 0, &put);
}

static int incr_by(struct request *request, int64_t by)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    int64_t value = 0;
    if (view.exists && number_parse_i64(view.value, &value) < 0) {
        reply_error(request->reply, REPLY_NOT_INTEGER);
        return 0;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(request->reply, "ERR increment or decrement would overflow");
        return 0;
    }
    char text[32];
    size_t bytes = number_format_i64(text, value);
    if (store_number(request, text, bytes, &view) == 0) {
        reply_i64(request->reply, value);
    }
    return 0;
}

int cmd_incr(struct request *request)
{
    return incr_by(request, 1);
}

int cmd_decr(struct request *request)
{
    return incr_by(request, -1);
}

int cmd_incrby(struct request *request)
{
    int64_t by;
    return arg_i64(request, 2, &by) < 0 ? 0 : incr_by(request, by);
}

int cmd_decrby(struct request *request)
{
    int64_t by;
    if (arg_i64(request, 2, &by) < 0) {
        return 0;
    }
    if (by == INT64_MIN) {
        reply_error(request->reply, "ERR decrement would overflow");
        return 0;
    }
    return incr_by(request, -by);
}

int cmd_incrbyfloat(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    long double value = 0;
    long double by;
    if ((view.exists && number_parse_ld(view.value, &value) < 0) ||
        number_parse_ld(request->args[2], &by) < 0) {
        reply_error(request->reply, REPLY_NOT_FLOAT);
        return 0;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_error(request->reply, "ERR increment would produce NaN or Infinity");
        return 0;
    }
    char *text = mem_alloc(NUMBER_LD_BYTES_MAX); /* too much for a coroutine's stack */
    if (text == NULL) {
        reply_error(request->reply, "OOM out of memory");
        return 0;
    }
    size_t bytes = number_format_ld_human(text, NUMBER_LD_BYTES_MAX, value);
    if (store_number(request, text, bytes, &view) == 0) {
        reply_bulk(request->reply, (struct slice){(const uint8_t *)text, bytes});
    }
    mem_free(text);
    return 0;
}
