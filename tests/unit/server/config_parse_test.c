#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"

static struct config *config;
static struct config_failure failure;

static void setup(void)
{
    config = config_create();
    cr_assert_not_null(config);
}

static void teardown(void)
{
    config_destroy(config);
}

TestSuite(config_parse, .init = setup, .fini = teardown);

static int read_text(const char *text)
{
    return config_read_text(config, slice_cstr(text), "test.conf", &failure);
}

Test(config_parse, blank_lines_comments_and_quotes)
{
    cr_assert_eq(read_text("\n  # port 1\n\t\r\n  port   7000  \r\nrequirepass \"a b\\x41\"\n"
                           "logfile ''\nloglevel debug"),
                 0, "%s", failure.reason);
    cr_expect_eq(config_number(config, DIRECTIVE_PORT), 7000);
    cr_expect_str_eq(config_text(config, DIRECTIVE_REQUIREPASS), "a bA");
    cr_expect_str_eq(config_text(config, DIRECTIVE_LOGFILE), "");
    cr_expect_eq(config_number(config, DIRECTIVE_LOGLEVEL), 0);
}

Test(config_parse, later_lines_win_and_save_adds_up)
{
    cr_assert_eq(read_text("timeout 1\ntimeout 2\nsave 60 1\nsave 30 2 10 3\n"), 0);
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 2);
    cr_expect_str_eq(config_text(config, DIRECTIVE_SAVE), "60 1 30 2 10 3");
    cr_assert_eq(read_text("save \"\"\n"), 0);
    cr_expect_str_eq(config_text(config, DIRECTIVE_SAVE), "");
    cr_assert_eq(read_text("save 5 5\n"), 0);
    cr_expect_str_eq(config_text(config, DIRECTIVE_SAVE), "5 5");
}

Test(config_parse, failures_name_file_line_text_and_reason)
{
    static const struct {
        const char *text;
        uint32_t line;
        const char *shown, *reason;
    } rows[] = {
        {"port 1\nprt 2\n", 2, "prt 2",
         "Bad directive or wrong number of arguments (did you mean 'port'?)"},
        {"frobnicate yes", 1, "frobnicate yes", "Bad directive or wrong number of arguments"},
        {"\n\n  port\n", 3, "port", "wrong number of arguments"},
        {"port 1 2\n", 1, "port 1 2", "wrong number of arguments"},
        {"requirepass \"open\n", 1, "requirepass \"open",
         "Unbalanced quotes in configuration line"},
        {"requirepass 'a'b\n", 1, "requirepass 'a'b", "Unbalanced quotes in configuration line"},
        {"include\n", 1, "include", "Bad directive or wrong number of arguments"},
        {"include /no/such/file\n", 1, "include /no/such/file",
         "can't read the file '/no/such/file': No such file or directory"},
        {"save 1 2 3\n", 1, "save 1 2 3", "Invalid save parameters"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(read_text(rows[i].text), ERR_CONFIG, "%s", rows[i].text);
        cr_expect_str_eq(failure.file, "test.conf");
        cr_expect_eq(failure.line, rows[i].line, "%s: %u", rows[i].text, failure.line);
        cr_expect_str_eq(failure.text, rows[i].shown);
        cr_expect_str_eq(failure.reason, rows[i].reason, "%s: %s", rows[i].text, failure.reason);
    }
}

Test(config_parse, a_zero_byte_is_no_text)
{
    cr_expect_eq(config_read_text(config, slice_of("port 7\0 8\n", 10), "x", &failure), ERR_CONFIG);
    cr_expect_str_eq(failure.reason, "the line holds a zero byte");
    /* Also where blanks are cut off. */
    cr_expect_eq(config_read_text(config, slice_of("\0port 7", 7), "x", &failure), ERR_CONFIG);
    cr_expect_eq(config_read_text(config, slice_of("port 7\0\n", 8), "x", &failure), ERR_CONFIG);
}

Test(config_parse, so_many_words_and_no_more)
{
    char line[1024] = "bind";
    for (int i = 0; i < CONFIG_WORDS_MAX - 1; i++) {
        strcat(line, " a");
    }
    cr_expect_eq(read_text(line), 0);
    strcat(line, " a");
    cr_expect_eq(read_text(line), ERR_CONFIG);
    cr_expect_str_eq(failure.reason, "too many words in configuration line");
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

Test(config_parse, includes_are_read_in_their_place)
{
    char folder[] = "/tmp/config_parse-XXXXXX";
    cr_assert_not_null(mkdtemp(folder));
    char inner[64];
    char outer[64];
    char text[256];
    (void)snprintf(inner, sizeof(inner), "%s/inner.conf", folder);
    (void)snprintf(outer, sizeof(outer), "%s/outer.conf", folder);
    write_file(inner, "timeout 5\nport 5\n");
    (void)snprintf(text, sizeof(text), "timeout 1\nport 1\ninclude %s\nport 9\n", inner);
    write_file(outer, text);
    cr_expect_eq(config_read_file(config, outer, &failure), 0, "%s", failure.reason);
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 5);
    cr_expect_eq(config_number(config, DIRECTIVE_PORT), 9);
    cr_expect_str_eq(config->file, outer);

    write_file(inner, "timeout 5\n\nnosuch\n");
    cr_expect_eq(config_read_file(config, outer, &failure), ERR_CONFIG);
    cr_expect_str_eq(failure.file, inner);
    cr_expect_eq(failure.line, 3);

    (void)snprintf(text, sizeof(text), "include %s\n", outer);
    write_file(outer, text);
    cr_expect_eq(config_read_file(config, outer, &failure), ERR_CONFIG);
    cr_expect_str_eq(failure.reason, "too many files include each other");
    (void)unlink(inner);
    (void)unlink(outer);
    (void)rmdir(folder);
}

/* ---- arguments ---- */

static int read_arguments(const char **arguments)
{
    int count = 0;
    while (arguments[count] != NULL) {
        count++;
    }
    return config_read_arguments(config, count, (char **)arguments, &failure);
}

Test(config_parse, arguments_become_lines)
{
    const char *arguments[] = {
        "--port",        "7000", "--save", "60", "1", "--bind",    "::1", "-::2",
        "--requirepass", "a b",  "--save", "30", "2", "--timeout", "5",   NULL};
    cr_assert_eq(read_arguments(arguments), 0, "%s: %s", failure.text, failure.reason);
    cr_expect_eq(config_number(config, DIRECTIVE_PORT), 7000);
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 5);
    cr_expect_str_eq(config_text(config, DIRECTIVE_SAVE), "60 1 30 2");
    cr_expect_str_eq(config_text(config, DIRECTIVE_BIND), "::1 -::2");
    cr_expect_str_eq(config_text(config, DIRECTIVE_REQUIREPASS), "a b");
}

Test(config_parse, what_follows_a_name_is_its_value)
{
    const char *arguments[] = {"--requirepass", "--secret", "--timeout", "5", NULL};
    cr_assert_eq(read_arguments(arguments), 0);
    cr_expect_str_eq(config_text(config, DIRECTIVE_REQUIREPASS), "--secret");
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 5);
}

/* What a file says in several lines CONFIG REWRITE writes in one, which must be read again. */
Test(config_parse, save_lines_are_as_many_as_fit_in_one)
{
    struct buffer text;
    buffer_init(&text, CONFIG_TEXT_BYTES_MAX);
    uint32_t fit = (CONFIG_WORDS_MAX - 1) / 2;
    for (uint32_t i = 0; i < fit; i++) {
        cr_assert_eq(buffer_append_cstr(&text, "save 60 1\n"), 0);
    }
    struct config_failure failed;
    cr_assert_eq(config_read_text(config, buffer_slice(&text), "", &failed), 0);
    struct buffer rewritten;
    buffer_init(&rewritten, CONFIG_TEXT_BYTES_MAX);
    cr_assert_eq(config_rewrite(config, slice_of(NULL, 0), &rewritten), 0);
    cr_assert_eq(config_read_text(config, buffer_slice(&rewritten), "", &failed), ERR_CONFIG);
    cr_assert_eq(failed.line, 2); /* the mark, then pairs that add up to too many */
    struct config *fresh = config_create();
    cr_assert_eq(config_read_text(fresh, buffer_slice(&rewritten), "", &failed), 0);
    config_destroy(fresh);
    cr_assert_eq(buffer_append_cstr(&text, "save 60 1\n"), 0);
    fresh = config_create();
    cr_assert_eq(config_read_text(fresh, buffer_slice(&text), "", &failed), ERR_CONFIG);
    cr_assert_eq(failed.line, fit + 1);
    cr_assert_str_eq(failed.reason, "too many save parameters");
    config_destroy(fresh);
    buffer_deinit(&rewritten);
    buffer_deinit(&text);
}

Test(config_parse, save_may_stand_alone)
{
    const char *in_front[] = {"--save", "--timeout", "5", NULL};
    cr_assert_eq(read_arguments(in_front), 0);
    cr_expect_str_eq(config_text(config, DIRECTIVE_SAVE), "");
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 5);
    const char *at_end[] = {"--timeout", "6", "--save", NULL};
    cr_assert_eq(read_arguments(at_end), 0);
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 6);
}

Test(config_parse, name_and_value_in_one_argument)
{
    const char *arguments[] = {"--port 7000", "--timeout", "5", NULL};
    cr_assert_eq(read_arguments(arguments), 0, "%s: %s", failure.text, failure.reason);
    cr_expect_eq(config_number(config, DIRECTIVE_PORT), 7000);
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 5);
}

Test(config_parse, an_option_without_value_is_an_error)
{
    const char *arguments[] = {"--port", NULL};
    cr_expect_eq(read_arguments(arguments), ERR_CONFIG);
    cr_expect_str_eq(failure.file, "");
    cr_expect_str_eq(failure.text, "port");
}

Test(config_parse, no_arguments_are_fine)
{
    const char *arguments[] = {NULL};
    cr_expect_eq(read_arguments(arguments), 0);
}
