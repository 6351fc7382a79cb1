#include "base/logger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

static char captured[8][LOGGER_LINE_BYTES_MAX];
static int captured_count;

static void capture(enum logger_level level, const char *line, size_t bytes, void *arg)
{
    (void)level;
    (void)arg;
    cr_assert_eq(strlen(line), bytes);
    memcpy(captured[captured_count++ % 8], line, bytes + 1);
}

static void capture_start(void)
{
    captured_count = 0;
    logger_set_hook(capture, NULL);
}

Test(logger, line_has_rediss_form)
{
    capture_start();
    LOGGER_NOTICE("ready on port %d", 6379);
    regex_t form;
    cr_assert_eq(regcomp(&form,
                         "^[0-9]+:M [0-9]{2} [A-Z][a-z]{2} [0-9]{4} "
                         "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} \\* ready on port 6379$",
                         REG_EXTENDED | REG_NOSUB),
                 0);
    cr_assert_eq(regexec(&form, captured[0], 0, NULL, 0), 0, "got: %s", captured[0]);
    regfree(&form);
}

static int64_t fixed_mono_ns(void *arg)
{
    (void)arg;
    return 0;
}

static int64_t fixed_real_us(void *arg)
{
    (void)arg;
    return INT64_C(1700000000123456);
}

Test(logger, line_carries_the_clocks_time)
{
    const struct clock_source source = {.mono_ns = fixed_mono_ns, .real_us = fixed_real_us};
    setenv("TZ", "UTC", 1);
    clock_set_source(&source);
    capture_start();
    LOGGER_WARNING("now");
    char wanted[128];
    (void)snprintf(wanted, sizeof(wanted), "%d:M 14 Nov 2023 22:13:20.123 # now", (int)getpid());
    cr_assert_str_eq(captured[0], wanted);
}

Test(logger, levels_have_their_marks_and_a_threshold)
{
    capture_start();
    logger_set_level(LOGGER_LEVEL_DEBUG);
    LOGGER_DEBUG("a");
    LOGGER_VERBOSE("b");
    LOGGER_NOTICE("c");
    LOGGER_WARNING("d");
    cr_assert_eq(captured_count, 4);
    const char *endings[] = {" . a", " - b", " * c", " # d"};
    for (int i = 0; i < 4; i++) {
        cr_assert_neq(strstr(captured[i], endings[i]), NULL, "got: %s", captured[i]);
    }
    logger_set_level(LOGGER_LEVEL_WARNING);
    LOGGER_NOTICE("not heard");
    cr_assert_eq(captured_count, 4);
    LOGGER_WARNING("heard");
    cr_assert_eq(captured_count, 5);
    logger_set_level(LOGGER_LEVEL_NOTHING);
    LOGGER_WARNING("not heard");
    cr_assert_eq(captured_count, 5);
}

Test(logger, does_not_evaluate_what_it_drops)
{
    int evaluated = 0;
    capture_start();
    LOGGER_DEBUG("%d", ++evaluated);
    cr_assert_eq(evaluated, 0);
}

Test(logger, masks_control_characters)
{
    capture_start();
    LOGGER_NOTICE("a\nb\rc\x1b\x7f %s", "\xc3\xa4");
    cr_assert_neq(strstr(captured[0], "* a?b?c?? \xc3\xa4"), NULL, "got: %s", captured[0]);
}

Test(logger, cuts_a_line_that_is_too_long)
{
    static char text[2 * LOGGER_LINE_BYTES_MAX];
    memset(text, 'x', sizeof(text) - 1);
    capture_start();
    LOGGER_NOTICE("%s", text);
    cr_assert_eq(strlen(captured[0]), LOGGER_LINE_BYTES_MAX - 1);
}

static size_t file_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    size_t lines = 0;
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
        lines += c == '\n';
    }
    (void)fclose(file);
    return lines;
}

static char dir[64];
static char path_one[128];
static char path_two[128];

static void files_start(void)
{
    strcpy(dir, "/tmp/logger-XXXXXX");
    cr_assert_neq(mkdtemp(dir), NULL);
    (void)snprintf(path_one, sizeof(path_one), "%s/one.log", dir);
    (void)snprintf(path_two, sizeof(path_two), "%s/two.log", dir);
}

static void files_end(void)
{
    unlink(path_one);
    unlink(path_two);
    rmdir(dir);
}

Test(logger, writes_to_the_file_that_was_set_last, .init = files_start, .fini = files_end)
{
    cr_assert_eq(logger_set_file(path_one), 0);
    LOGGER_NOTICE("first");
    int fd = logger_descriptor();
    cr_assert_eq(logger_set_file(path_two), 0);
    LOGGER_NOTICE("second");
    LOGGER_NOTICE("third");
    cr_assert_eq(logger_descriptor(), fd);
    cr_assert_eq(logger_set_file(NULL), 0);
    LOGGER_NOTICE("to standard output");
    cr_assert_eq(file_lines(path_one), 1);
    cr_assert_eq(file_lines(path_two), 2);
}

Test(logger, last_words_are_a_line_with_the_process_and_no_time, .init = files_start,
     .fini = files_end)
{
    char line[64] = "";
    char wanted[64];
    cr_assert_eq(logger_set_file(path_one), 0);
    logger_set_level(LOGGER_LEVEL_NOTHING);
    logger_last_words("You insist.");
    logger_set_level(LOGGER_LEVEL_NOTICE);
    cr_assert_eq(logger_set_file(NULL), 0);
    FILE *file = fopen(path_one, "r");
    cr_assert_neq(file, NULL);
    cr_assert_neq(fgets(line, sizeof(line), file), NULL);
    (void)fclose(file);
    (void)snprintf(wanted, sizeof(wanted), "%d:M # You insist.\n", (int)getpid());
    cr_assert_str_eq(line, wanted);
}

Test(logger, reopens_after_a_rotation, .init = files_start, .fini = files_end)
{
    cr_assert_eq(logger_reopen(), 0);
    cr_assert_eq(logger_set_file(path_one), 0);
    LOGGER_NOTICE("first");
    cr_assert_eq(rename(path_one, path_two), 0);
    LOGGER_NOTICE("second, to the old file");
    cr_assert_eq(logger_reopen(), 0);
    LOGGER_NOTICE("third");
    cr_assert_eq(file_lines(path_two), 2);
    cr_assert_eq(file_lines(path_one), 1);
}

Test(logger, keeps_its_target_when_a_file_cannot_be_opened, .init = files_start, .fini = files_end)
{
    cr_assert_eq(logger_set_file(path_one), 0);
    cr_assert_eq(logger_set_file("/nowhere/at/all.log"), -ENOENT);
    static char long_path[PATH_MAX + 1];
    memset(long_path, 'a', PATH_MAX);
    cr_assert_eq(logger_set_file(long_path), -ENAMETOOLONG);
    LOGGER_NOTICE("still here");
    cr_assert_eq(logger_reopen(), 0);
    LOGGER_NOTICE("and here");
    cr_assert_eq(file_lines(path_one), 2);
}

#define LINES_EACH 500

static void log_many(void *arg)
{
    for (int i = 0; i < LINES_EACH; i++) {
        LOGGER_NOTICE("%s %d", (const char *)arg, i);
    }
}

Test(logger, lines_of_threads_do_not_mix, .init = files_start, .fini = files_end)
{
    cr_assert_eq(logger_set_file(path_one), 0);
    struct thread threads[3];
    const char *words[] = {"aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb", "cccccccccccccccccccc"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(thread_start(&threads[i], "log", log_many, (void *)(uintptr_t)words[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    FILE *file = fopen(path_one, "r");
    cr_assert_neq(file, NULL);
    char line[LOGGER_LINE_BYTES_MAX];
    int seen[3] = {0};
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *word = strstr(line, " * ");
        cr_assert_neq(word, NULL, "got: %s", line);
        int which = word[3] - 'a';
        cr_assert(which >= 0 && which < 3);
        cr_assert_eq(strncmp(word + 3, words[which], 20), 0);
        cr_assert_eq(atoi(word + 24), seen[which]);
        seen[which]++;
    }
    (void)fclose(file);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(seen[i], LINES_EACH);
    }
}
