/*
 * Assertions: what must be true of things this program made itself. They stay on in release builds;
 * a storage server that carries on after its own proof has failed can only spread the damage. Bytes
 * that come from a disk, a socket or a file are never asserted, they are checked and give an error.
 *
 * A failed assertion writes one line to standard error by a raw write (no allocation, no lock, safe
 * on any stack and in any thread) and aborts.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include <assert.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What the calling thread is at, for the line a failed assertion writes; NULL: nothing special. A
 * string literal or one that outlives its use here. */
extern _Thread_local const char *assert_context;

/* Aborts with `expression`, file, line and function on standard error. */
__attribute__((noreturn, cold)) void assert_failed(const char *expression, const char *file,
                                                   int line, const char *function);

/* The expression is always evaluated and must have no side effect. */
#define ASSERT(x)                                                 \
    do {                                                          \
        if (UNLIKELY(!(x))) {                                     \
            assert_failed(#x, __FILE_NAME__, __LINE__, __func__); \
        }                                                         \
    } while (0)

/* For checks whose cost grows with the data (a whole page, a whole tree): -Dassert_slow=true. */
#ifdef ASSERT_SLOW_ENABLED
#define ASSERT_SLOW(x) ASSERT(x)
#else
#define ASSERT_SLOW(x) \
    do {               \
        if (0) {       \
            (void)(x); \
        }              \
    } while (0)
#endif

/* A place that no correct execution reaches; `why` is a string literal and is printed. */
#define UNREACHABLE(why) assert_failed("unreachable: " why, __FILE_NAME__, __LINE__, __func__)

#endif
