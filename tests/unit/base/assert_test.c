#include "base/assert.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/logger.h"

Test(assert, passes_what_is_true)
{
    int evaluated = 0;
    ASSERT(++evaluated == 1);
    cr_assert_eq(evaluated, 1);
}

Test(assert, aborts_on_what_is_false, .signal = SIGABRT)
{
    ASSERT(1 + 1 == 3);
}

Test(assert, aborts_at_an_unreachable_place, .signal = SIGABRT)
{
    UNREACHABLE("the test gets here");
}

/* Runs a failing assertion in a child that logs to `log`, and reads what it wrote to standard
 * error. */
static void assert_in_child(const char *log, char *text, size_t text_bytes)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        if (logger_set_file(log) == 0) {
            ASSERT(2 < 1);
        }
        _exit(0);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], text, text_bytes - 1);
    close(ends[0]);
    text[got < 0 ? 0 : got] = '\0';
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGABRT);
}

Test(assert, names_expression_file_and_function_on_stderr_and_in_the_log)
{
    char path[] = "/tmp/assert-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    char text[512];
    assert_in_child(path, text, sizeof(text));
    cr_assert_neq(strstr(text, "2 < 1"), NULL, "got: %s", text);
    cr_assert_neq(strstr(text, "assert_test.c:"), NULL, "got: %s", text);
    cr_assert_neq(strstr(text, "assert_in_child"), NULL, "got: %s", text);

    char logged[512];
    ssize_t got = read(fd, logged, sizeof(logged) - 1);
    cr_assert_gt(got, 0);
    logged[got] = '\0';
    cr_assert_str_eq(logged, text);
    close(fd);
    unlink(path);
}
