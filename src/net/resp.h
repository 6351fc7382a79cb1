/*
 * resp: the request side of the Redis protocol, as a pure incremental parser: bytes in, commands
 * out. No sockets, no memory of its own beyond the argument table.
 *
 * The parser looks at a growing window of bytes and remembers how far it got, so a command that
 * arrives one byte at a time costs no rescans. Arguments are slices into the window, valid until
 * the window moves. Multi-bulk and inline commands; strict CRLF; Redis's limits and error texts.
 * Nothing is allocated from a declared count or length: the argument table grows with the arguments
 * that have arrived.
 */
#ifndef NET_RESP_H
#define NET_RESP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

enum {
    RESP_INLINE_BYTES_MAX = 64 * 1024,
    RESP_ARGS_INLINE = 8, /* arguments kept without an allocation */
    RESP_ARGS_MAX = 1024 * 1024,
    RESP_UNAUTH_ARGS_MAX = 10,
    RESP_UNAUTH_BULK_BYTES_MAX = 16384,
};

struct resp_limits {
    uint64_t bulk_bytes_max; /* proto-max-bulk-len */
    bool authenticated;      /* false: the tight limits */
};

struct resp_parser; /* opaque; small until a command with many arguments comes */
NODISCARD int resp_parser_create(struct resp_parser **ret_parser);
void resp_parser_destroy(struct resp_parser *parser);

enum resp_result {
    RESP_MORE,    /* the window holds no whole command yet */
    RESP_COMMAND, /* args[0..argc) is the next one; used_bytes of the window are done with */
    RESP_EMPTY,   /* an empty line or *0: skip used_bytes, no reply */
    RESP_BROKEN,  /* protocol error: error_text (without the leading "-ERR "); answer and close */
};

struct resp_command {
    struct slice *args; /* the parser's table; valid until the next call */
    uint32_t argc;
    bool args_in_window; /* else their bytes, too, are the parser's (an inline command with quotes)
                          */
    size_t used_bytes;
    const char *error_text;
    size_t need_bytes; /* with RESP_MORE: the window has to reach at least this size, by what was
                          declared: for sizing a buffer that grows, not for allocating at once */
};

/* Continues on window[0..bytes): the same bytes as before plus more at the end. After COMMAND,
 * EMPTY the window of the next call begins used_bytes later. */
enum resp_result resp_parse(struct resp_parser *parser, const struct resp_limits *limits,
                            struct slice window, struct resp_command *ret_command);

/* Whether part of a command has been seen. */
bool resp_parser_in_command(const struct resp_parser *parser);

/* Forgets a half-seen command; the window of the next call begins with a new one. */
void resp_parser_reset(struct resp_parser *parser);

/* What the parser holds on the heap, itself included. */
size_t resp_parser_memory_bytes(const struct resp_parser *parser);

/*
 * The fast path: takes a multi-bulk command that stands whole and well-formed at the start of the
 * window, with at most args_max arguments, straight into the caller's table. Returns the bytes
 * used, or 0 for everything else (incomplete, inline, empty, broken, too many arguments):
 * resp_parse then tells which. Applies no limit but bulk_bytes_max: not for clients that are not
 * authenticated.
 */
size_t resp_parse_whole(struct slice window, uint64_t bulk_bytes_max, struct slice *args,
                        uint32_t args_max, uint32_t *ret_argc);

/* ---- client side, for tests, --healthcheck and monitors ---- */
struct buffer;
NODISCARD int resp_encode_command(struct buffer *out, const struct slice *args, uint32_t argc);

#endif
