#include "base/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/*
 * The descriptor is standard output at first. Once a file is named, logger_fd is a descriptor of
 * our own that is never closed: another target is put under the same number by dup3, which is
 * atomic, so no thread needs a lock to write a line while the main thread reopens the file.
 */
static _Atomic int logger_fd = STDOUT_FILENO;
static _Atomic int logger_level = LOGGER_LEVEL_NOTICE;
static char logger_path[PATH_MAX]; /* empty: standard output; main thread */

static logger_hook_fn logger_hook;
static void *logger_hook_arg;

void logger_set_level(enum logger_level level)
{
    atomic_store_explicit(&logger_level, (int)level, memory_order_relaxed);
}

enum logger_level logger_get_level(void)
{
    return (enum logger_level)atomic_load_explicit(&logger_level, memory_order_relaxed);
}

int logger_descriptor(void)
{
    return atomic_load_explicit(&logger_fd, memory_order_relaxed);
}

/* Puts the open file `fd` (handed over) under the number that all threads use. */
static int logger_adopt(int fd)
{
    int current = logger_descriptor();
    if (current == STDOUT_FILENO) {
        atomic_store_explicit(&logger_fd, fd, memory_order_relaxed);
        return 0;
    }
    int err = dup3(fd, current, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    return err;
}

static int logger_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        return -errno;
    }
    return logger_adopt(fd);
}

int logger_set_file(const char *path)
{
    if (path == NULL || path[0] == '\0') {
        if (logger_descriptor() != STDOUT_FILENO) {
            int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
            if (fd < 0) {
                return -errno;
            }
            TRY(logger_adopt(fd));
        }
        logger_path[0] = '\0';
        return 0;
    }
    size_t bytes = strlen(path) + 1;
    if (bytes > sizeof(logger_path)) {
        return -ENAMETOOLONG;
    }
    TRY(logger_open(path));
    memcpy(logger_path, path, bytes);
    return 0;
}

int logger_reopen(void)
{
    return logger_path[0] == '\0' ? 0 : logger_open(logger_path);
}

void logger_set_hook(logger_hook_fn fn, void *arg)
{
    logger_hook = fn;
    logger_hook_arg = arg;
}

/* Writes "<pid>:M <time> <mark> "; returns its bytes. */
static size_t logger_prefix(char *to, size_t to_bytes, enum logger_level level)
{
    static const char marks[] = {'.', '-', '*', '#'};
    ASSERT((size_t)level < sizeof(marks));
    int64_t now_ms = clock_real_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char when[32];
    if (localtime_r(&seconds, &parts) == NULL ||
        strftime(when, sizeof(when), "%d %b %Y %H:%M:%S", &parts) == 0) {
        when[0] = '\0';
    }
    int bytes = snprintf(to, to_bytes, "%d:M %s.%03d %c ", (int)getpid(), when,
                         (int)(now_ms % 1000), marks[level]);
    ASSERT(bytes > 0 && (size_t)bytes < to_bytes);
    return (size_t)bytes;
}

static void logger_mask_control(char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

/* Its digits at the end of `to`; returns where they begin. */
static char *put_pid(char *to, size_t to_bytes)
{
    char *digit = to + to_bytes;
    for (unsigned rest = (unsigned)getpid(); rest > 0; rest /= 10) {
        ASSERT(digit > to);
        *--digit = (char)('0' + rest % 10);
    }
    return digit;
}

void logger_last_words(const char *text)
{
    char line[256];
    char digits[16];
    const char *pid = put_pid(digits, sizeof(digits));
    size_t pid_bytes = (size_t)(digits + sizeof(digits) - pid);
    size_t bytes = strlen(text);
    ASSERT(pid_bytes + bytes + 5 < sizeof(line));
    memcpy(line, pid, pid_bytes);
    memcpy(line + pid_bytes, ":M # ", 5);
    memcpy(line + pid_bytes + 5, text, bytes);
    line[pid_bytes + 5 + bytes] = '\n';
    IGNORE(write(logger_descriptor(), line, pid_bytes + 6 + bytes), "nowhere else to say so");
}

void logger_line(enum logger_level level, const char *fmt, ...)
{
    if (level < logger_get_level()) {
        return;
    }
    char line[LOGGER_LINE_BYTES_MAX];
    size_t prefix = logger_prefix(line, sizeof(line), level);
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(line + prefix, sizeof(line) - prefix, fmt, args);
    va_end(args);
    size_t room = sizeof(line) - prefix - 1;
    size_t message = wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room;
    logger_mask_control(line + prefix, message);
    size_t bytes = prefix + message;
    if (logger_hook != NULL) {
        line[bytes] = '\0';
        logger_hook(level, line, bytes, logger_hook_arg);
        return;
    }
    line[bytes] = '\n';
    IGNORE(write(logger_descriptor(), line, bytes + 1), "a log that fails has nowhere to say so");
}
