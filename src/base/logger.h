/*
 * The server's own log lines, in Redis's form:
 *
 *     <pid>:M <DD Mon YYYY HH:MM:SS.mmm> <.-*#> <message>
 *
 * (The word "log" alone means the redo log, a room of its own.) A line is made on the caller's
 * stack and leaves by one write(), so lines of several threads never mix and nothing is allocated.
 * A line is cut at LOGGER_LINE_BYTES_MAX; control characters become '?', so that what a client sent
 * cannot forge a line. Any thread may log; what sets up the target belongs to the main thread.
 */
#ifndef BASE_LOGGER_H
#define BASE_LOGGER_H

#include <stddef.h>

#include "base/error.h"

#define LOGGER_LINE_BYTES_MAX 1024

enum logger_level {
    LOGGER_LEVEL_DEBUG,
    LOGGER_LEVEL_VERBOSE,
    LOGGER_LEVEL_NOTICE,
    LOGGER_LEVEL_WARNING,
    LOGGER_LEVEL_NOTHING, /* as a threshold: no line at all */
};

/* Lines below `level` are dropped. The default is notice. */
void logger_set_level(enum logger_level level);
enum logger_level logger_get_level(void);

/*
 * Sends lines to the end of the file `path`, which is made if absent; NULL or "" is standard
 * output, the default. Main thread. Returns 0 or -errno, and then the old target stays.
 */
NODISCARD int logger_set_file(const char *path);

/* Opens the file again by its name, after a log rotation. Main thread. Returns 0 or -errno. */
NODISCARD int logger_reopen(void);

/* Writes a warning without the time of day, however high the threshold: for handlers of signals,
 * which may call little else. `text` is at most 200 bytes. */
void logger_last_words(const char *text);

/* The descriptor lines go to: for the last words of a failing process only. */
int logger_descriptor(void);

/*
 * Hands each line to `fn` instead of writing it; NULL ends that. `line` has no newline, is ended by
 * NUL and is borrowed for the call. For tests; set it before other threads log.
 */
typedef void (*logger_hook_fn)(enum logger_level level, const char *line, size_t bytes, void *arg);
void logger_set_hook(logger_hook_fn fn, void *arg);

/* Writes one line if `level` is not below the threshold. Use the macros. */
__attribute__((format(printf, 2, 3))) void logger_line(enum logger_level level, const char *fmt,
                                                       ...);

#define LOGGER_AT_(level, ...)                 \
    do {                                       \
        if ((level) >= logger_get_level()) {   \
            logger_line((level), __VA_ARGS__); \
        }                                      \
    } while (0)

#define LOGGER_DEBUG(...) LOGGER_AT_(LOGGER_LEVEL_DEBUG, __VA_ARGS__)
#define LOGGER_VERBOSE(...) LOGGER_AT_(LOGGER_LEVEL_VERBOSE, __VA_ARGS__)
#define LOGGER_NOTICE(...) LOGGER_AT_(LOGGER_LEVEL_NOTICE, __VA_ARGS__)
#define LOGGER_WARNING(...) LOGGER_AT_(LOGGER_LEVEL_WARNING, __VA_ARGS__)

#endif
