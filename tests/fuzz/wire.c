#include "wire.h"

#include <string.h>

#include "base/number.h"
#include "fuzz.h"

enum { LINE_BYTES_MAX = 64 * 1024, DEPTH_MAX = 16 };

/* The line at `at`, without its end; *ret_next is behind it. False: incomplete. */
static bool take_line(struct slice bytes, size_t at, struct slice *ret_line, size_t *ret_next)
{
    const uint8_t *end = at < bytes.bytes ? memchr(bytes.data + at, '\n', bytes.bytes - at) : NULL;
    if (end == NULL) {
        MUST(bytes.bytes - at < LINE_BYTES_MAX);
        return false;
    }
    size_t length = (size_t)(end - bytes.data) - at;
    MUST(length > 0 && end[-1] == '\r');
    *ret_line = slice_of(bytes.data + at, length - 1);
    MUST(memchr(ret_line->data, '\r', ret_line->bytes) == NULL);
    *ret_next = at + length + 1;
    return true;
}

static int64_t line_number(struct slice line)
{
    int64_t number;
    MUST(number_parse_i64(slice_skip(line, 1), &number) == 0);
    return number;
}

/* How many values stand inside of an aggregate of this kind; -1: it is none. */
static int64_t inner_count(char kind, int64_t number)
{
    switch (kind) {
    case '*':
    case '~':
    case '>':
        return number;
    case '%':
        return number * 2;
    default:
        return -1;
    }
}

static bool kind_is_known(char kind, int resp)
{
    return kind != '\0' && strchr(resp == 2 ? "+-:$*" : "+-:$*_#,(%~>=!", kind) != NULL;
}

/* The bytes of a bulk, with what ends it; 0: incomplete. */
static size_t bulk_bytes(struct slice bytes, size_t at, int64_t length)
{
    size_t wanted = (size_t)length + 2;
    if (bytes.bytes - at < wanted) {
        return 0;
    }
    MUST(memcmp(bytes.data + at + length, "\r\n", 2) == 0);
    return wanted;
}

/* Checks a line that is a value by itself. */
static void check_simple(char kind, struct slice line)
{
    if (kind == ':') {
        (void)line_number(line);
    } else if (kind == '_') {
        MUST(line.bytes == 1);
    } else if (kind == '#') {
        MUST(line.bytes == 2 && (line.data[1] == 't' || line.data[1] == 'f'));
    }
}

size_t wire_reply_bytes(struct slice bytes, int resp)
{
    int64_t left[DEPTH_MAX] = {1}; /* values still to come at each depth */
    int depth = 0;
    size_t at = 0;
    while (depth >= 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        struct slice line;
        if (!take_line(bytes, at, &line, &at)) {
            return 0;
        }
        char kind = line.bytes > 0 ? (char)line.data[0] : '\0';
        MUST(kind_is_known(kind, resp));
        if (kind == '$' || kind == '=' || kind == '!') {
            int64_t length = line_number(line);
            MUST(length >= 0 || (length == -1 && kind == '$' && resp != 3));
            size_t count = length < 0 ? 0 : bulk_bytes(bytes, at, length);
            if (length >= 0 && count == 0) {
                return 0;
            }
            at += count;
        } else if (inner_count(kind, 0) == 0) {
            int64_t number = line_number(line);
            MUST(number >= 0 || (number == -1 && kind == '*' && resp != 3));
            MUST(depth + 1 < DEPTH_MAX);
            left[++depth] = number < 0 ? 0 : inner_count(kind, number);
        } else {
            check_simple(kind, line);
        }
    }
    return at;
}
