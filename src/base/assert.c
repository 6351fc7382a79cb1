#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/logger.h"

void assert_failed(const char *expression, const char *file, int line, const char *function)
{
    char text[512];
    int bytes = snprintf(text, sizeof(text), "assertion failed: %s (%s:%d, %s, pid %d)\n",
                         expression, file, line, function, (int)getpid());
    if (bytes >= (int)sizeof(text)) {
        bytes = sizeof(text) - 1;
        text[bytes - 1] = '\n';
    }
    IGNORE(write(STDERR_FILENO, text, (size_t)bytes), "nobody is left to tell");
    int log = logger_descriptor();
    if (log != STDOUT_FILENO) {
        /* A daemon's standard error goes nowhere; its log is where somebody will look. */
        IGNORE(write(log, text, (size_t)bytes), "nobody is left to tell");
    }
    abort();
}
