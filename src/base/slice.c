#include "base/slice.h"

#include "base/mem.h"

static uint8_t slice_lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.bytes != b.bytes) {
        return false;
    }
    for (size_t i = 0; i < a.bytes; i++) {
        if (slice_lower(a.data[i]) != slice_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool slice_equal_nocase_cstr(struct slice a, const char *text)
{
    return slice_equal_nocase(a, slice_cstr(text));
}

char *slice_dup_cstr(struct slice a)
{
    char *copy = mem_alloc(a.bytes + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (a.bytes > 0) {
        memcpy(copy, a.data, a.bytes);
    }
    copy[a.bytes] = '\0';
    return copy;
}
