#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/logger.h"

_Thread_local const char *assert_context;

void assert_failed(const char *expression, const char *file, int line, const char *function)
{
    char text[512];
    const char *context = assert_context;
    int bytes = snprintf(text, sizeof(text), "assertion failed: %s (%s:%d, %s, pid %d%s%s)\n",
                         expression, file, line, function, (int)getpid(),
                         context == NULL ? "" : ", in ", context == NULL ? "" : context);
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
