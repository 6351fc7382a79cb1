#include "net/resp.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/quote.h"

/*
 * The states of a command that is being read. `pos` is always the first byte that no finished part
 * covers.
 *
 *     START ──'*'──▶ COUNT ──line──▶ HEADER ──"$n"──▶ BULK ──n bytes, CRLF──▶ HEADER ... ──▶ START
 *       └────else──▶ INLINE ──line──▶ START
 */
enum resp_state { RESP_START, RESP_COUNT, RESP_HEADER, RESP_BULK, RESP_INLINE };

enum {
    RESP_ERROR_BYTES = 64,
    RESP_STORAGE_KEEP_BYTES = 1024,
};

struct resp_parser {
    enum resp_state state;
    uint32_t args_declared;
    uint32_t argc;
    uint32_t args_capacity;
    const uint8_t *base; /* where the window was when `args` were made */
    size_t pos;
    size_t scanned;     /* searched for the end of the line up to here; >= pos */
    size_t bulk_bytes;  /* in BULK */
    struct slice *args; /* args_inline, or owned */
    struct slice args_inline[RESP_ARGS_INLINE];
    struct buffer storage; /* the arguments of an inline command that had quotes */
    char error[RESP_ERROR_BYTES];
};

int resp_parser_create(struct resp_parser **ret_parser)
{
    struct resp_parser *parser = mem_calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return ERR_MEMORY;
    }
    parser->args = parser->args_inline;
    parser->args_capacity = RESP_ARGS_INLINE;
    buffer_init(&parser->storage, RESP_INLINE_BYTES_MAX + 1);
    *ret_parser = parser;
    return 0;
}

static void parser_drop_table(struct resp_parser *parser)
{
    if (parser->args != parser->args_inline) {
        mem_free(parser->args);
        parser->args = parser->args_inline;
        parser->args_capacity = RESP_ARGS_INLINE;
    }
}

void resp_parser_destroy(struct resp_parser *parser)
{
    if (parser == NULL) {
        return;
    }
    parser_drop_table(parser);
    buffer_deinit(&parser->storage);
    mem_free(parser);
}

void resp_parser_reset(struct resp_parser *parser)
{
    parser_drop_table(parser);
    buffer_clear(&parser->storage);
    if (parser->storage.capacity > RESP_STORAGE_KEEP_BYTES) {
        buffer_release(&parser->storage);
    }
    parser->state = RESP_START;
    parser->args_declared = 0;
    parser->argc = 0;
    parser->base = NULL;
    parser->pos = 0;
    parser->scanned = 0;
    parser->bulk_bytes = 0;
}

bool resp_parser_in_command(const struct resp_parser *parser)
{
    return parser->state != RESP_START;
}

size_t resp_parser_memory_bytes(const struct resp_parser *parser)
{
    size_t bytes = sizeof(*parser) + parser->storage.capacity + parser->storage.consumed;
    if (parser->args != parser->args_inline) {
        bytes += parser->args_capacity * sizeof(struct slice);
    }
    return bytes;
}

/* Makes room for argument number argc. The table grows by half with what has arrived (an argument
 * has at least six bytes on the wire, so it stays below four times that), never to a declared
 * count. */
static int parser_grow_table(struct resp_parser *parser, uint32_t wanted)
{
    uint32_t capacity = parser->args_capacity + parser->args_capacity / 2;
    capacity = wanted > capacity ? wanted : capacity;
    bool owned = parser->args != parser->args_inline;
    struct slice *args = mem_realloc(owned ? parser->args : NULL, (size_t)capacity * sizeof(*args));
    if (args == NULL) {
        return ERR_MEMORY;
    }
    if (!owned) {
        memcpy(args, parser->args_inline, sizeof(parser->args_inline));
    }
    parser->args = args;
    parser->args_capacity = capacity;
    return 0;
}

static int parser_add_arg(struct resp_parser *parser, struct slice arg)
{
    if (parser->argc == parser->args_capacity) {
        TRY(parser_grow_table(parser, parser->argc + 1));
    }
    parser->args[parser->argc] = arg;
    parser->argc++;
    return 0;
}

/* The window has moved: so have the arguments in it. */
static void parser_rebase(struct resp_parser *parser, const uint8_t *base)
{
    for (uint32_t i = 0; i < parser->argc; i++) {
        size_t offset = (uintptr_t)parser->args[i].data - (uintptr_t)parser->base;
        parser->args[i].data = base + offset;
    }
    parser->base = base;
}

/* ---- results ---- */

static enum resp_result result_more(struct resp_command *ret_command, size_t need_bytes)
{
    ret_command->need_bytes = need_bytes;
    return RESP_MORE;
}

static enum resp_result result_broken(struct resp_parser *parser, const char *text,
                                      struct resp_command *ret_command)
{
    resp_parser_reset(parser);
    ret_command->error_text = text;
    return RESP_BROKEN;
}

/* The command ends at `pos`. The table stays as it is until the next call. */
static enum resp_result result_command(struct resp_parser *parser, struct resp_command *ret_command)
{
    parser->state = RESP_START;
    ret_command->used_bytes = parser->pos;
    if (parser->argc == 0) {
        return RESP_EMPTY;
    }
    ret_command->args = parser->args;
    ret_command->argc = parser->argc;
    ret_command->args_in_window = parser->storage.bytes == 0;
    return RESP_COMMAND;
}

static enum resp_result result_unexpected(struct resp_parser *parser, uint8_t byte,
                                          struct resp_command *ret_command)
{
    char shown = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    (void)snprintf(parser->error, sizeof(parser->error), "Protocol error: expected '$', got '%c'",
                   shown);
    return result_broken(parser, parser->error, ret_command);
}

/* ---- lines ---- */

enum line_result { LINE_MORE, LINE_FOUND, LINE_TOO_LONG };

/* Looks for `end` in the line that starts at pos, from where the last search stopped. The limit is
 * on the line, not on the window, so that how the bytes were cut into packets makes no difference.
 */
static enum line_result line_find(struct resp_parser *parser, struct slice window, uint8_t end,
                                  size_t *ret_at)
{
    const uint8_t *from = window.data + parser->scanned;
    const uint8_t *found = memchr(from, end, window.bytes - parser->scanned);
    size_t at = found == NULL ? window.bytes : (size_t)(found - window.data);
    parser->scanned = at;
    if (at - parser->pos > RESP_INLINE_BYTES_MAX) {
        return LINE_TOO_LONG;
    }
    if (found == NULL) {
        return LINE_MORE;
    }
    *ret_at = at;
    return LINE_FOUND;
}

struct header_texts {
    const char *too_long;
    const char *invalid;
};

static const struct header_texts count_texts = {
    "Protocol error: too big mbulk count string",
    "Protocol error: invalid multibulk length",
};
static const struct header_texts bulk_texts = {
    "Protocol error: too big bulk count string",
    "Protocol error: invalid bulk length",
};

/* Reads the number of a "*n" or "$n" line and moves behind the line. RESP_COMMAND stands for
 * "done". */
static enum resp_result header_parse(struct resp_parser *parser, struct slice window,
                                     const struct header_texts *texts, int64_t *ret_number,
                                     struct resp_command *ret_command)
{
    size_t at = 0;
    switch (line_find(parser, window, '\r', &at)) {
    case LINE_TOO_LONG:
        return result_broken(parser, texts->too_long, ret_command);
    case LINE_MORE:
        return result_more(ret_command, window.bytes + 1);
    case LINE_FOUND:
        break;
    }
    if (at + 1 == window.bytes) {
        return result_more(ret_command, window.bytes + 1);
    }
    struct slice digits = slice_of(window.data + parser->pos + 1, at - parser->pos - 1);
    if (window.data[at + 1] != '\n' || number_parse_i64(digits, ret_number) != 0) {
        return result_broken(parser, texts->invalid, ret_command);
    }
    parser->pos = at + 2;
    parser->scanned = parser->pos;
    return RESP_COMMAND;
}

/* ---- multi-bulk ---- */

static enum resp_result count_parse(struct resp_parser *parser, const struct resp_limits *limits,
                                    struct slice window, struct resp_command *ret_command)
{
    int64_t count = 0;
    enum resp_result result = header_parse(parser, window, &count_texts, &count, ret_command);
    if (result != RESP_COMMAND) {
        return result;
    }
    if (count > RESP_ARGS_MAX) {
        return result_broken(parser, count_texts.invalid, ret_command);
    }
    if (count > RESP_UNAUTH_ARGS_MAX && !limits->authenticated) {
        return result_broken(parser, "Protocol error: unauthenticated multibulk length",
                             ret_command);
    }
    parser->args_declared = count > 0 ? (uint32_t)count : 0;
    parser->state = RESP_HEADER;
    return RESP_COMMAND;
}

static enum resp_result bulk_header_parse(struct resp_parser *parser,
                                          const struct resp_limits *limits, struct slice window,
                                          struct resp_command *ret_command)
{
    if (parser->pos == window.bytes) {
        return result_more(ret_command, window.bytes + 1);
    }
    if (window.data[parser->pos] != '$') {
        return result_unexpected(parser, window.data[parser->pos], ret_command);
    }
    int64_t bytes = 0;
    enum resp_result result = header_parse(parser, window, &bulk_texts, &bytes, ret_command);
    if (result != RESP_COMMAND) {
        return result;
    }
    if (bytes < 0 || (uint64_t)bytes > limits->bulk_bytes_max) {
        return result_broken(parser, bulk_texts.invalid, ret_command);
    }
    if (bytes > RESP_UNAUTH_BULK_BYTES_MAX && !limits->authenticated) {
        return result_broken(parser, "Protocol error: unauthenticated bulk length", ret_command);
    }
    parser->bulk_bytes = (size_t)bytes;
    parser->state = RESP_BULK;
    return RESP_COMMAND;
}

static enum resp_result bulk_parse(struct resp_parser *parser, struct slice window,
                                   struct resp_command *ret_command)
{
    size_t have = window.bytes - parser->pos;
    if (have < 2 || have - 2 < parser->bulk_bytes) {
        return result_more(ret_command, parser->pos + parser->bulk_bytes + 2);
    }
    const uint8_t *data = window.data + parser->pos;
    if (data[parser->bulk_bytes] != '\r' || data[parser->bulk_bytes + 1] != '\n') {
        return result_broken(parser, "Protocol error: expected CRLF after bulk", ret_command);
    }
    if (parser_add_arg(parser, slice_of(data, parser->bulk_bytes)) != 0) {
        return result_broken(parser, "Protocol error: out of memory", ret_command);
    }
    parser->pos += parser->bulk_bytes + 2;
    parser->scanned = parser->pos;
    parser->state = RESP_HEADER;
    return RESP_COMMAND;
}

static enum resp_result multibulk_parse(struct resp_parser *parser,
                                        const struct resp_limits *limits, struct slice window,
                                        struct resp_command *ret_command)
{
    enum resp_result result = RESP_COMMAND;
    if (parser->state == RESP_COUNT) {
        result = count_parse(parser, limits, window, ret_command);
    }
    while (result == RESP_COMMAND) {
        if (parser->state == RESP_BULK) {
            result = bulk_parse(parser, window, ret_command);
        } else if (parser->argc == parser->args_declared) {
            return result_command(parser, ret_command);
        } else {
            result = bulk_header_parse(parser, limits, window, ret_command);
        }
    }
    return result;
}

/* ---- inline ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Words, cut where they lie. */
static int inline_split_plain(struct resp_parser *parser, struct slice line)
{
    size_t at = 0;
    while (at < line.bytes) {
        while (at < line.bytes && is_blank(line.data[at])) {
            at++;
        }
        size_t from = at;
        while (at < line.bytes && !is_blank(line.data[at])) {
            at++;
        }
        if (at > from) {
            TRY(parser_add_arg(parser, slice_of(line.data + from, at - from)));
        }
    }
    return 0;
}

/* Words with quotes: their bytes differ from those on the wire, so they get a place of their own.
 */
static int inline_split_quoted(struct resp_parser *parser, struct slice line)
{
    uint32_t words = 0;
    for (size_t i = 0; i < line.bytes; i++) {
        bool starts = !is_blank(line.data[i]) && (i == 0 || is_blank(line.data[i - 1]));
        words += starts;
    }
    if (words > parser->args_capacity) {
        TRY(parser_grow_table(parser, words));
    }
    TRY(buffer_reserve(&parser->storage, line.bytes));
    int count = quote_split(line, parser->args, parser->args_capacity, &parser->storage);
    if (count < 0) {
        return count;
    }
    parser->argc = (uint32_t)count;
    return 0;
}

static bool line_is_plain(struct slice line)
{
    return memchr(line.data, '"', line.bytes) == NULL &&
           memchr(line.data, '\'', line.bytes) == NULL &&
           memchr(line.data, '\0', line.bytes) == NULL;
}

static enum resp_result inline_parse(struct resp_parser *parser, struct slice window,
                                     struct resp_command *ret_command)
{
    size_t at = 0;
    switch (line_find(parser, window, '\n', &at)) {
    case LINE_TOO_LONG:
        return result_broken(parser, "Protocol error: too big inline request", ret_command);
    case LINE_MORE:
        return result_more(ret_command, window.bytes + 1);
    case LINE_FOUND:
        break;
    }
    struct slice line = slice_of(window.data + parser->pos, at - parser->pos);
    if (line.bytes > 0 && line.data[line.bytes - 1] == '\r') {
        line.bytes--;
    }
    int err =
        line_is_plain(line) ? inline_split_plain(parser, line) : inline_split_quoted(parser, line);
    if (err != 0) {
        const char *text = err == ERR_MEMORY ? "Protocol error: out of memory"
                                             : "Protocol error: unbalanced quotes in request";
        return result_broken(parser, text, ret_command);
    }
    parser->pos = at + 1;
    return result_command(parser, ret_command);
}

/* ---- the parser ---- */

enum resp_result resp_parse(struct resp_parser *parser, const struct resp_limits *limits,
                            struct slice window, struct resp_command *ret_command)
{
    *ret_command = (struct resp_command){0};
    if (parser->state == RESP_START) {
        resp_parser_reset(parser);
        if (window.bytes == 0) {
            return result_more(ret_command, 1);
        }
        parser->state = window.data[0] == '*' ? RESP_COUNT : RESP_INLINE;
        parser->base = window.data;
    }
    ASSERT(window.bytes >= parser->scanned);
    if (parser->base != window.data) {
        parser_rebase(parser, window.data);
    }
    if (parser->state == RESP_INLINE) {
        return inline_parse(parser, window, ret_command);
    }
    return multibulk_parse(parser, limits, window, ret_command);
}

/* ---- the fast path ---- */

/* Reads a canonical number below 2^26 and the CRLF behind it; NULL when it isn't plainly there. */
static inline const uint8_t *whole_number(const uint8_t *at, const uint8_t *end,
                                          uint32_t *ret_number)
{
    if (UNLIKELY(end - at < 3)) {
        return NULL;
    }
    uint32_t number = (uint32_t)*at - '0';
    if (UNLIKELY(number > 9)) {
        return NULL;
    }
    at++;
    bool zero = number == 0;
    for (uint32_t digit; at < end && (digit = (uint32_t)*at - '0') <= 9; at++) {
        number = number * 10 + digit;
        if (UNLIKELY(zero || number >= 1U << 26)) {
            return NULL;
        }
    }
    if (UNLIKELY(end - at < 2 || at[0] != '\r' || at[1] != '\n')) {
        return NULL;
    }
    *ret_number = number;
    return at + 2;
}

size_t resp_parse_whole(struct slice window, uint64_t bulk_bytes_max, struct slice *args,
                        uint32_t args_max, uint32_t *ret_argc)
{
    const uint8_t *at = window.data;
    const uint8_t *end = window.data + window.bytes;
    uint32_t argc = 0;
    if (window.bytes == 0 || *at != '*' || (at = whole_number(at + 1, end, &argc)) == NULL ||
        argc == 0 || argc > args_max) {
        return 0;
    }
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t bytes = 0;
        if (at == end || *at != '$' || (at = whole_number(at + 1, end, &bytes)) == NULL) {
            return 0;
        }
        if (UNLIKELY(bytes > bulk_bytes_max || (size_t)(end - at) < (size_t)bytes + 2 ||
                     at[bytes] != '\r' || at[bytes + 1] != '\n')) {
            return 0;
        }
        args[i] = slice_of(at, bytes);
        at += bytes + 2;
    }
    *ret_argc = argc;
    return (size_t)(at - window.data);
}

/* ---- client side ---- */

static int encode_header(struct buffer *out, char kind, uint64_t number)
{
    char line[NUMBER_U64_BYTES_MAX + 3];
    line[0] = kind;
    size_t bytes = 1 + number_format_u64(line + 1, number);
    line[bytes++] = '\r';
    line[bytes++] = '\n';
    return buffer_append(out, line, bytes);
}

int resp_encode_command(struct buffer *out, const struct slice *args, uint32_t argc)
{
    TRY(encode_header(out, '*', argc));
    for (uint32_t i = 0; i < argc; i++) {
        TRY(encode_header(out, '$', args[i].bytes));
        TRY(buffer_append_slice(out, args[i]));
        TRY(buffer_append(out, "\r\n", 2));
    }
    return 0;
}
