/*
 * Errors are negative ints: -errno for what the kernel said, and the codes below for what we say
 * ourselves. The two never meet: -errno stays above -4096, ours start there and go down.
 *
 * ERR_CORRUPT is made only by err_corrupt(), so that every report of damage names its file and
 * offset, and one breakpoint catches them all.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdint.h>

#include "base/assert.h"

/* The order gives the numbers; add at the end. */
#define ERROR_LIST(X)                                 \
    X(ERR_CORRUPT, "data is corrupt")                 \
    X(ERR_CHECKSUM, "checksum does not match")        \
    X(ERR_FULL, "no room left")                       \
    X(ERR_LIMIT, "limit reached")                     \
    X(ERR_CANCELED, "canceled")                       \
    X(ERR_NOT_FOUND, "not found")                     \
    X(ERR_VERSION, "format version is not supported") \
    X(ERR_UNSORTED, "batch is not sorted")            \
    X(ERR_KEY_TOO_LONG, "key is too long")            \
    X(ERR_VALUE_TOO_LARGE, "value is too large")      \
    X(ERR_TRUNCATED, "data ends early")               \
    X(ERR_LOCKED, "locked by another process")        \
    X(ERR_BUSY, "busy")                               \
    X(ERR_CONFIG, "bad configuration")                \
    X(ERR_PROTOCOL, "protocol error")                 \
    X(ERR_FOREIGN, "belongs to another store")        \
    X(ERR_MEMORY, "out of memory")                    \
    X(ERR_CLOSED, "closed")                           \
    X(ERR_WRONG_TYPE, "wrong type")                   \
    X(ERR_AGAIN, "try again")

/* NUMBER_OF_ERR_x counts 0, 1, 2 ... in the list's order; ERR_x is -4096 minus that. */
enum error_number {
#define X(name, text) NUMBER_OF_##name,
    ERROR_LIST(X)
#undef X
        ERROR_COUNT,
};

#define ERROR_FIRST (-4096)

enum error_code {
#define X(name, text) name = ERROR_FIRST - NUMBER_OF_##name,
    ERROR_LIST(X)
#undef X
};

/* The caller must look at the result. */
#define NODISCARD __attribute__((warn_unused_result))

/*
 * Evaluates an expression that is negative on failure: a failure is returned from the function that
 * stands around it, any other value is the value of TRY.
 */
#define TRY(expr)                         \
    ({                                    \
        __auto_type try_result_ = (expr); \
        if (UNLIKELY(try_result_ < 0)) {  \
            return (int)try_result_;      \
        }                                 \
        try_result_;                      \
    })

/* Drops the result of a NODISCARD function; `why` is a string literal that tells the reader why. */
#define IGNORE(x, why)                                                      \
    do {                                                                    \
        static_assert(sizeof("" why) > 1, "say why the result is ignored"); \
        __auto_type ignored_ = (x);                                         \
        (void)ignored_;                                                     \
    } while (0)

/* What `err` means, for a person: ours or -errno; 0 is "ok". The text is constant. Any thread. */
const char *error_text(int err);

/* The name of `err` ("ERR_FULL", "ENOENT"); the text is constant. Any thread. */
const char *error_name(int err);

/*
 * Reports damage: logs "<file> at offset <offset>: <message>" as a warning and returns ERR_CORRUPT.
 * `file` is borrowed for the call. Any thread.
 */
NODISCARD __attribute__((format(printf, 3, 4), cold)) int
err_corrupt(const char *file, uint64_t offset, const char *fmt, ...);

#endif
