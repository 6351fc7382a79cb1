#include "net/error_tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static struct error_count *tally_find(struct error_tally *tally, const char *code)
{
    for (uint32_t i = 0; i < tally->used; i++) {
        if (strcmp(tally->codes[i].code, code) == 0) {
            return &tally->codes[i];
        }
    }
    return NULL;
}

/* The count of a code, which is new perhaps. The last place is kept for what doesn't fit. */
static struct error_count *tally_get(struct error_tally *tally, const char *code)
{
    struct error_count *found = tally_find(tally, code);
    if (found != NULL) {
        return found;
    }
    ASSERT(tally->used <= ERROR_TALLY_CODES_MAX);
    if (tally->used >= ERROR_TALLY_CODES_MAX - 1) {
        code = ERROR_TALLY_OVERFLOW;
        found = tally_find(tally, code);
        if (found != NULL) {
            return found;
        }
    }
    struct error_count *fresh = &tally->codes[tally->used++];
    size_t bytes = strnlen(code, ERROR_CODE_BYTES_MAX - 1);
    memcpy(fresh->code, code, bytes);
    fresh->code[bytes] = '\0';
    fresh->count = 0;
    return fresh;
}

void error_tally_note(struct error_tally *tally, const char *text)
{
    char code[ERROR_CODE_BYTES_MAX];
    size_t bytes = strcspn(text, " \r\n");
    bytes = bytes < sizeof(code) ? bytes : sizeof(code) - 1;
    memcpy(code, text, bytes);
    code[bytes] = '\0';
    tally_get(tally, code)->count++;
    tally->total++;
}

void error_tally_add(struct error_tally *to, const struct error_tally *from)
{
    for (uint32_t i = 0; i < from->used; i++) {
        tally_get(to, from->codes[i].code)->count += from->codes[i].count;
    }
    to->total += from->total;
}

static int compare_codes(const void *a, const void *b)
{
    const struct error_count *one = a;
    const struct error_count *other = b;
    return strcmp(one->code, other->code);
}

void error_tally_sort(struct error_tally *tally)
{
    qsort(tally->codes, tally->used, sizeof(*tally->codes), compare_codes);
}
