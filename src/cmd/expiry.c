#include "cmd/expiry.h"

bool expiry_unit_parse(struct slice word, enum expiry_unit *ret_unit)
{
    static const char *const words[] = {
        [EXPIRY_EX] = "ex", [EXPIRY_PX] = "px", [EXPIRY_EXAT] = "exat", [EXPIRY_PXAT] = "pxat"};
    for (int i = EXPIRY_EX; i <= EXPIRY_PXAT; i++) {
        if (slice_equal_nocase_cstr(word, words[i])) {
            *ret_unit = (enum expiry_unit)i;
            return true;
        }
    }
    return false;
}

bool expiry_to_ms(int64_t value, enum expiry_unit unit, int64_t now_ms, int64_t *ret_expire_ms)
{
    int64_t ms = value;
    if ((unit == EXPIRY_EX || unit == EXPIRY_EXAT) && __builtin_mul_overflow(value, 1000, &ms)) {
        return false;
    }
    if ((unit == EXPIRY_EX || unit == EXPIRY_PX) && __builtin_add_overflow(ms, now_ms, &ms)) {
        return false;
    }
    *ret_expire_ms = ms;
    return true;
}

void expiry_reply_invalid(struct request *request)
{
    reply_errorf(request->reply, "ERR invalid expire time in '%s' command", request->command->name);
}

int expiry_arg(struct request *request, uint32_t index, enum expiry_unit unit,
               int64_t *ret_expire_ms)
{
    int64_t value;
    TRY(arg_i64(request, index, &value));
    if (value <= 0 || !expiry_to_ms(value, unit, request_now_ms(request), ret_expire_ms)) {
        expiry_reply_invalid(request);
        return ERR_LIMIT;
    }
    return 0;
}
