/*
 * Times to live: EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST.
 */
#include "cmd/expiry.h"
#include "cmd/families.h"
#include "cmd/request.h"

struct expire_options {
    bool nx, xx, gt, lt;
};

static int expire_options_parse(struct request *request, struct expire_options *ret_options)
{
    struct expire_options options = {.nx = false};
    for (uint32_t i = 3; i < request->argc; i++) {
        if (arg_is(request, i, "nx")) {
            options.nx = true;
        } else if (arg_is(request, i, "xx")) {
            options.xx = true;
        } else if (arg_is(request, i, "gt")) {
            options.gt = true;
        } else if (arg_is(request, i, "lt")) {
            options.lt = true;
        } else {
            reply_errorf(request->reply, "ERR Unsupported option %.*s", (int)request->args[i].bytes,
                         (const char *)request->args[i].data);
            return ERR_PROTOCOL;
        }
    }
    if (options.nx && (options.xx || options.gt || options.lt)) {
        reply_error(request->reply,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return ERR_PROTOCOL;
    }
    if (options.gt && options.lt) {
        reply_error(request->reply, "ERR GT and LT options at the same time are not compatible");
        return ERR_PROTOCOL;
    }
    *ret_options = options;
    return 0;
}

/* For GT and LT a key without an expiry counts as one that expires at the end of time. */
static bool expire_allowed(const struct expire_options *options, int64_t current_ms,
                           int64_t wanted_ms)
{
    bool forever = current_ms == 0;
    if (options->nx && !forever) {
        return false;
    }
    if (options->xx && forever) {
        return false;
    }
    if (options->gt && (forever || wanted_ms <= current_ms)) {
        return false;
    }
    return !(options->lt && !forever && wanted_ms >= current_ms);
}

static int expire_at(struct request *request, int64_t expire_ms)
{
    if (expire_ms <= request_now_ms(request)) {
        bool existed;
        return change_remove(request, 0, &existed);
    }
    return change_expire(request, 0, expire_ms);
}

static int expire_generic(struct request *request, enum expiry_unit unit)
{
    struct expire_options options;
    int64_t value;
    int64_t expire_ms;
    if (expire_options_parse(request, &options) < 0 || arg_i64(request, 2, &value) < 0) {
        return 0;
    }
    if (!expiry_to_ms(value, unit, request_now_ms(request), &expire_ms)) {
        expiry_reply_invalid(request);
        return 0;
    }
    struct view view;
    TRY(view_key(request, 0, &view));
    if (!view.exists || !expire_allowed(&options, view.expire_ms, expire_ms)) {
        reply_i64(request->reply, 0);
    } else if (expire_at(request, expire_ms) == 0) {
        reply_i64(request->reply, 1);
    }
    return 0;
}

int cmd_expire(struct request *request)
{
    return expire_generic(request, EXPIRY_EX);
}

int cmd_pexpire(struct request *request)
{
    return expire_generic(request, EXPIRY_PX);
}

int cmd_expireat(struct request *request)
{
    return expire_generic(request, EXPIRY_EXAT);
}

int cmd_pexpireat(struct request *request)
{
    return expire_generic(request, EXPIRY_PXAT);
}

/* ---- asking ---- */

enum { TTL_NO_KEY = -2, TTL_FOREVER = -1 };

/* The answer in ms, or one of the two above. Looking at a time to live is no use of the key. */
static int ttl_of(struct request *request, bool absolute, int64_t *ret_ms)
{
    bool no_touch = request->no_touch;
    request->no_touch = true;
    struct view view;
    int err = view_key(request, 0, &view);
    request->no_touch = no_touch;
    if (err < 0) {
        return err;
    }
    if (!view.exists) {
        *ret_ms = TTL_NO_KEY;
    } else if (view.expire_ms == 0) {
        *ret_ms = TTL_FOREVER;
    } else {
        int64_t ms = view.expire_ms - (absolute ? 0 : request_now_ms(request));
        *ret_ms = ms < 0 ? 0 : ms;
    }
    return 0;
}

/* Seconds are rounded to the nearest, as Redis does. */
static int reply_ttl(struct request *request, bool absolute, bool seconds)
{
    int64_t ms;
    TRY(ttl_of(request, absolute, &ms));
    bool special = ms == TTL_NO_KEY || ms == TTL_FOREVER;
    reply_i64(request->reply, special || !seconds ? ms : ms / 1000 + (ms % 1000 >= 500));
    return 0;
}

int cmd_ttl(struct request *request)
{
    return reply_ttl(request, false, true);
}

int cmd_pttl(struct request *request)
{
    return reply_ttl(request, false, false);
}

int cmd_expiretime(struct request *request)
{
    return reply_ttl(request, true, true);
}

int cmd_pexpiretime(struct request *request)
{
    return reply_ttl(request, true, false);
}

int cmd_persist(struct request *request)
{
    struct view view;
    TRY(view_key(request, 0, &view));
    if (!view.exists || view.expire_ms == 0) {
        reply_i64(request->reply, 0);
    } else if (change_expire(request, 0, 0) == 0) {
        reply_i64(request->reply, 1);
    }
    return 0;
}
