#include "base/quote.h"

#include <stdbool.h>

/* Reads a line from `at`; writes what it finds to `to`, which has room for the whole line. */
struct quote_reader {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t *to;
};

/* The blanks of isspace in the C locale. */
static bool quote_is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* What ends a word outside quotes: as in Redis, a vertical tab and a form feed do not. */
static bool quote_ends_word(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static int quote_hex(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Reads the escape whose backslash was just read; there is at least one more byte. */
static uint8_t quote_read_escape(struct quote_reader *reader)
{
    const uint8_t *at = reader->at;
    if (at[0] == 'x' && reader->end - at >= 3 && quote_hex(at[1]) >= 0 && quote_hex(at[2]) >= 0) {
        reader->at += 3;
        return (uint8_t)(quote_hex(at[1]) * 16 + quote_hex(at[2]));
    }
    reader->at++;
    switch (at[0]) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return at[0];
    }
}

/* Reads to the closing quote, which must be followed by a blank or the end. The opening one was
 * read. */
static int quote_read_quoted(struct quote_reader *reader, uint8_t quote)
{
    while (reader->at < reader->end) {
        uint8_t byte = *reader->at++;
        bool more = reader->at < reader->end;
        if (byte == quote) {
            return more && !quote_is_blank(*reader->at) ? ERR_PROTOCOL : 0;
        }
        if (byte == '\\' && more && quote == '"') {
            byte = quote_read_escape(reader);
        } else if (byte == '\\' && more && *reader->at == '\'') {
            byte = *reader->at++;
        }
        *reader->to++ = byte;
    }
    return ERR_PROTOCOL;
}

/* Reads one argument; `at` is at its first byte. */
static int quote_read_argument(struct quote_reader *reader)
{
    while (reader->at < reader->end && !quote_ends_word(*reader->at)) {
        uint8_t byte = *reader->at++;
        if (byte == '"' || byte == '\'') {
            return quote_read_quoted(reader, byte);
        }
        *reader->to++ = byte;
    }
    return 0;
}

static void quote_skip_blanks(struct quote_reader *reader)
{
    while (reader->at < reader->end && quote_is_blank(*reader->at)) {
        reader->at++;
    }
}

int quote_split(struct slice line, struct slice *args, uint32_t args_max, struct buffer *storage)
{
    ASSERT(args_max <= INT32_MAX);
    const uint8_t *nul = line.bytes == 0 ? NULL : memchr(line.data, '\0', line.bytes);
    if (nul != NULL) {
        line.bytes = (size_t)(nul - line.data);
    }
    /* No argument is longer than its text, so the storage never moves under the slices. */
    TRY(buffer_reserve(storage, line.bytes));
    if (line.bytes == 0) {
        return 0;
    }
    struct quote_reader reader = {
        .at = line.data,
        .end = line.data + line.bytes,
        .to = storage->data + storage->bytes,
    };
    uint32_t count = 0;
    quote_skip_blanks(&reader);
    while (reader.at < reader.end) {
        if (count == args_max) {
            return ERR_LIMIT;
        }
        const uint8_t *start = reader.to;
        TRY(quote_read_argument(&reader));
        args[count++] = slice_of(start, (size_t)(reader.to - start));
        quote_skip_blanks(&reader);
    }
    storage->bytes = (size_t)(reader.to - storage->data);
    ASSERT(storage->bytes <= storage->capacity);
    return (int)count;
}

/* Writes the quoted form of one byte (at most 4 bytes); returns its bytes. */
static size_t quote_byte(uint8_t *to, uint8_t byte)
{
    static const char plain[] = "\n\r\t\a\b\\\"";
    static const char letters[] = "nrtab\\\"";
    static const char hex[] = "0123456789abcdef";
    const char *special = byte == 0 ? NULL : strchr(plain, byte);
    if (special != NULL) {
        to[0] = '\\';
        to[1] = (uint8_t)letters[special - plain];
        return 2;
    }
    if (byte >= 0x20 && byte < 0x7f) {
        to[0] = byte;
        return 1;
    }
    to[0] = '\\';
    to[1] = 'x';
    to[2] = (uint8_t)hex[byte >> 4];
    to[3] = (uint8_t)hex[byte & 15];
    return 4;
}

int quote_append(struct buffer *buffer, struct slice text)
{
    uint8_t quoted[4];
    size_t bytes = 2;
    for (size_t i = 0; i < text.bytes; i++) {
        bytes += quote_byte(quoted, text.data[i]);
    }
    TRY(buffer_reserve(buffer, bytes));
    uint8_t *to = buffer->data + buffer->bytes;
    *to++ = '"';
    for (size_t i = 0; i < text.bytes; i++) {
        /* Byte by byte through `quoted`: the last ones have less room than quote_byte may use. */
        size_t used = quote_byte(quoted, text.data[i]);
        memcpy(to, quoted, used);
        to += used;
    }
    *to = '"';
    buffer->bytes += bytes;
    return 0;
}
