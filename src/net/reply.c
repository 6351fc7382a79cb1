#include "net/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "net/error_tally.h"
#include "net/output.h"

enum {
    REPLY_HEADER_BYTES_MAX = 1 + NUMBER_U64_BYTES_MAX + 2,
    REPLY_ERROR_BYTES_MAX = 1024,
    REPLY_DOUBLE_BYTES_MAX = 40,
};

static bool reply_is_off(const struct reply *reply)
{
    return reply->muted || reply->output->broken;
}

static void reply_raw(struct reply *reply, const char *bytes, size_t count)
{
    if (!reply_is_off(reply)) {
        output_append(reply->output, slice_of(bytes, count));
    }
}

#define REPLY_LITERAL(reply, text) reply_raw((reply), (text), sizeof(text) - 1)

static size_t header_i64(char *to, char kind, int64_t number)
{
    to[0] = kind;
    size_t bytes = 1 + number_format_i64(to + 1, number);
    to[bytes] = '\r';
    to[bytes + 1] = '\n';
    return bytes + 2;
}

static size_t header_u64(char *to, char kind, uint64_t number)
{
    to[0] = kind;
    /* Nearly all lengths have one or two digits. */
    size_t bytes = 2;
    if (number < 10) {
        to[1] = (char)('0' + number);
    } else if (number < 100) {
        to[1] = (char)('0' + number / 10);
        to[2] = (char)('0' + number % 10);
        bytes = 3;
    } else {
        bytes = 1 + number_format_u64(to + 1, number);
    }
    to[bytes] = '\r';
    to[bytes + 1] = '\n';
    return bytes + 2;
}

static void reply_header(struct reply *reply, char kind, uint64_t number)
{
    char line[REPLY_HEADER_BYTES_MAX];
    reply_raw(reply, line, header_u64(line, kind, number));
}

/* ---- status, errors, numbers ---- */

void reply_ok(struct reply *reply)
{
    REPLY_LITERAL(reply, "+OK\r\n");
}

/* A line of one kind byte and a text in which no line may end. */
static void reply_line(struct reply *reply, char kind, const char *text)
{
    if (reply_is_off(reply)) {
        return;
    }
    size_t bytes = strlen(text);
    uint8_t *to = output_room(reply->output, bytes + 3);
    if (to == NULL) {
        return;
    }
    *to++ = (uint8_t)kind;
    for (size_t i = 0; i < bytes; i++) {
        bool ends_line = text[i] == '\r' || text[i] == '\n';
        *to++ = ends_line ? ' ' : (uint8_t)text[i];
    }
    *to++ = '\r';
    *to++ = '\n';
    reply->output->bytes.bytes += bytes + 3;
}

void reply_status(struct reply *reply, const char *text)
{
    reply_line(reply, '+', text);
}

void reply_error(struct reply *reply, const char *text)
{
    reply->errors++;
    if (reply->tally != NULL) {
        error_tally_note(reply->tally, text);
    }
    reply_line(reply, '-', text);
}

void reply_errorf(struct reply *reply, const char *format, ...)
{
    char text[REPLY_ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* Ends of lines at the end go, others become blanks: as Redis has it. */
    for (size_t bytes = strlen(text); bytes > 0 && strchr("\r\n", text[bytes - 1]) != NULL;) {
        text[--bytes] = '\0';
    }
    reply_error(reply, text);
}

void reply_i64(struct reply *reply, int64_t value)
{
    char line[REPLY_HEADER_BYTES_MAX];
    if (value >= 0) {
        reply_raw(reply, line, header_u64(line, ':', (uint64_t)value));
    } else {
        reply_raw(reply, line, header_i64(line, ':', value));
    }
}

void reply_bool(struct reply *reply, bool value)
{
    if (reply->resp >= 3) {
        reply_raw(reply, value ? "#t\r\n" : "#f\r\n", 4);
    } else {
        reply_i64(reply, value);
    }
}

static bool reads_back(const char *text, double value)
{
    long double read;
    return number_parse_ld(slice_cstr(text), &read) == 0 && (double)read == value;
}

/* The shortest text that reads back as the same number. */
static size_t double_format(char *to, double value)
{
    if (isnan(value)) {
        return (size_t)snprintf(to, REPLY_DOUBLE_BYTES_MAX, "nan");
    }
    if (isinf(value)) {
        return (size_t)snprintf(to, REPLY_DOUBLE_BYTES_MAX, value > 0 ? "inf" : "-inf");
    }
    int bytes = 0;
    for (int digits = 15; digits <= 17; digits++) {
        bytes = snprintf(to, REPLY_DOUBLE_BYTES_MAX, "%.*g", digits, value);
        if (reads_back(to, value)) {
            break;
        }
    }
    return (size_t)bytes;
}

void reply_double(struct reply *reply, double value)
{
    char text[REPLY_DOUBLE_BYTES_MAX];
    size_t bytes = double_format(text, value);
    if (reply->resp < 3) {
        reply_bulk(reply, slice_of(text, bytes));
        return;
    }
    REPLY_LITERAL(reply, ",");
    reply_raw(reply, text, bytes);
    REPLY_LITERAL(reply, "\r\n");
}

/* ---- strings ---- */

/* Header, bytes and line end with one look at the room. */
static void reply_string(struct reply *reply, char kind, struct slice prefix, struct slice bytes)
{
    if (reply_is_off(reply)) {
        return;
    }
    size_t total = prefix.bytes + bytes.bytes;
    uint8_t *room = output_room(reply->output, REPLY_HEADER_BYTES_MAX + total + 2);
    if (UNLIKELY(room == NULL)) {
        return;
    }
    uint8_t *to = room + header_u64((char *)room, kind, total);
    if (prefix.bytes > 0) {
        memcpy(to, prefix.data, prefix.bytes);
        to += prefix.bytes;
    }
    if (bytes.bytes > 0) {
        memcpy(to, bytes.data, bytes.bytes);
        to += bytes.bytes;
    }
    *to++ = '\r';
    *to++ = '\n';
    reply->output->bytes.bytes += (size_t)(to - room);
}

void reply_bulk(struct reply *reply, struct slice bytes)
{
    reply_string(reply, '$', slice_of(NULL, 0), bytes);
}

void reply_bulk_cstr(struct reply *reply, const char *text)
{
    reply_bulk(reply, slice_cstr(text));
}

void reply_bulk_shared(struct reply *reply, struct slice bytes, output_release_fn *release,
                       void *owner)
{
    if (reply_is_off(reply)) {
        release(owner);
    } else if (bytes.bytes < REPLY_SHARED_BYTES_MIN) {
        reply_bulk(reply, bytes);
        release(owner);
    } else {
        reply_header(reply, '$', bytes.bytes);
        output_append_ref(reply->output, bytes, release, owner);
        REPLY_LITERAL(reply, "\r\n");
    }
}

void reply_verbatim(struct reply *reply, const char *format3, struct slice text)
{
    if (reply->resp < 3) {
        reply_bulk(reply, text);
        return;
    }
    ASSERT(strlen(format3) == 3);
    const char prefix[4] = {format3[0], format3[1], format3[2], ':'};
    reply_string(reply, '=', slice_of(prefix, sizeof(prefix)), text);
}

void reply_null(struct reply *reply)
{
    if (reply->resp >= 3) {
        REPLY_LITERAL(reply, "_\r\n");
    } else {
        REPLY_LITERAL(reply, "$-1\r\n");
    }
}

void reply_null_array(struct reply *reply)
{
    if (reply->resp >= 3) {
        REPLY_LITERAL(reply, "_\r\n");
    } else {
        REPLY_LITERAL(reply, "*-1\r\n");
    }
}

/* ---- aggregates ---- */

/* The header line of `count` entries of `kind` ('*', '%', '~', '>'), as this client's version has
 * it. */
static size_t aggregate_header(const struct reply *reply, char *to, char kind, uint64_t count)
{
    if (reply->resp >= 3) {
        return header_u64(to, kind, count);
    }
    return header_u64(to, '*', kind == '%' ? count * 2 : count);
}

static void reply_aggregate(struct reply *reply, char kind, uint64_t count)
{
    char line[REPLY_HEADER_BYTES_MAX];
    reply_raw(reply, line, aggregate_header(reply, line, kind, count));
}

void reply_array(struct reply *reply, uint64_t count)
{
    reply_aggregate(reply, '*', count);
}

void reply_map(struct reply *reply, uint64_t pairs)
{
    reply_aggregate(reply, '%', pairs);
}

void reply_set(struct reply *reply, uint64_t count)
{
    reply_aggregate(reply, '~', count);
}

void reply_push(struct reply *reply, uint64_t count)
{
    reply_aggregate(reply, '>', count);
}

size_t reply_deferred_open(struct reply *reply)
{
    return reply->output->bytes.bytes;
}

void reply_deferred_close(struct reply *reply, size_t mark, char kind, uint64_t count)
{
    if (reply_is_off(reply)) {
        return;
    }
    char line[REPLY_HEADER_BYTES_MAX];
    size_t bytes = aggregate_header(reply, line, kind, count);
    output_insert(reply->output, mark, slice_of(line, bytes));
}
