#include "server/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/config_table.h"

static struct config *config;

static void setup(void)
{
    config = config_create();
    cr_assert_not_null(config);
}

static void teardown(void)
{
    config_destroy(config);
}

TestSuite(config, .init = setup, .fini = teardown);

/* Sets by name from words in one text; an empty text is one empty word. */
static int set(const char *name, const char *text, char error[CONFIG_ERROR_BYTES])
{
    struct slice words[CONFIG_WORDS_MAX];
    uint32_t count = 0;
    do {
        size_t bytes = strcspn(text, " ");
        words[count++] = slice_of(text, bytes);
        text += bytes;
        text += strspn(text, " ");
    } while (*text != '\0');
    int index = directive_find(slice_cstr(name));
    cr_assert_geq(index, 0, "%s", name);
    error[0] = '\0';
    return config_set(config, (uint32_t)index, words, count, error);
}

static const char *get(const char *name)
{
    return config->values[directive_find(slice_cstr(name))].text;
}

Test(config, canonical_texts)
{
    static const struct {
        const char *name, *given, *text;
    } rows[] = {
        {"appendonly", "NO", "no"},
        {"port", "0", "0"},
        {"maxmemory", "1gb", "1073741824"},
        {"maxmemory", "100", "100"},
        {"maxmemory", "2K", "2000"},
        {"unixsocketperm", "755", "755"},
        {"appendfsync", "ALWAYS", "always"},
        {"requirepass", "a#b", "a#b"},
        {"requirepass", "", ""},
        {"bind", "127.0.0.1 -::1", "127.0.0.1 -::1"},
        {"save", "60 1 30 5", "60 1 30 5"},
        {"save", "", ""},
        {"slowlog-log-slower-than", "-1", "-1"},
        {"client-output-buffer-limit", "replica 1mb 2mb 3",
         "normal 536870912 134217728 60 slave 1048576 2097152 3 pubsub 33554432 8388608 60"},
        {"slave-priority", "7", "7"},
        {"latency-tracking-info-percentiles", "50 99", "50 99"},
        {"partitions", "128", "128"},
        {"cluster-enabled", "no", "no"},
    };
    char error[CONFIG_ERROR_BYTES];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(set(rows[i].name, rows[i].given, error), 0, "%s %s: %s", rows[i].name,
                     rows[i].given, error);
        cr_expect_str_eq(get(rows[i].name), rows[i].text, "%s", rows[i].name);
    }
}

Test(config, bad_values_name_the_reason_and_change_nothing)
{
    static const struct {
        const char *name, *given, *error;
    } rows[] = {
        {"appendonly", "maybe", "argument must be 'yes' or 'no'"},
        {"port", "x", "argument couldn't be parsed into an integer"},
        {"port", "65536", "argument must be between 0 and 65535 inclusive"},
        {"port", "-1", "argument must be between 0 and 65535 inclusive"},
        {"port", "1 2", "wrong number of arguments"},
        {"maxmemory", "lots", "argument must be a memory value"},
        {"maxmemory", "-1", "argument must be a memory value"},
        {"maxmemory", "99999999999999999999gb", "argument must be a memory value"},
        {"unixsocketperm", "789", "argument couldn't be parsed as an octal number"},
        {"unixsocketperm", "1000", "argument must be between 0 and 777 inclusive"},
        {"appendfsync", "sometimes",
         "argument(s) must be one of the following: everysec, always, no"},
        {"save", "60", "Invalid save parameters"},
        {"save", "60 x", "Invalid save parameters"},
        {"save", "0 1", "Invalid save parameters"},
        {"client-output-buffer-limit", "normal 1 2",
         "Wrong number of arguments in buffer limit configuration."},
        {"client-output-buffer-limit", "friends 1 2 3",
         "Invalid client class specified in buffer limit configuration."},
        {"client-output-buffer-limit", "normal 1 2 -3",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
        {"log-segment-size", "3mb", "argument must be a power of two"},
        {"partitions", "3", "argument must be 0 or a power of two"},
        {"cluster-enabled", "yes", "there is no cluster mode yet"},
        {"replicaof", "localhost 6379", "this server can not be a replica yet"},
        {"user", "default on", "there are no ACL users yet: requirepass guards the default user"},
    };
    char error[CONFIG_ERROR_BYTES];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char before[256];
        (void)snprintf(before, sizeof(before), "%s", get(rows[i].name));
        cr_expect_eq(set(rows[i].name, rows[i].given, error), ERR_CONFIG, "%s %s", rows[i].name,
                     rows[i].given);
        cr_expect_str_eq(error, rows[i].error, "%s %s: %s", rows[i].name, rows[i].given, error);
        cr_expect_str_eq(get(rows[i].name), before);
    }
}

Test(config, a_password_may_have_so_many_bytes_and_no_more)
{
    char text[513];
    char error[CONFIG_ERROR_BYTES];
    memset(text, 'x', sizeof(text));
    text[511] = '\0';
    cr_expect_eq(set("requirepass", text, error), 0);
    text[511] = 'x';
    text[512] = '\0';
    cr_expect_eq(set("requirepass", text, error), ERR_CONFIG);
}

Test(config, names_are_found_by_alias_and_in_any_case)
{
    cr_expect_eq(directive_find(slice_cstr("PORT")), DIRECTIVE_PORT);
    cr_expect_eq(directive_find(slice_cstr("slave-read-only")),
                 directive_find(slice_cstr("replica-read-only")));
    cr_expect_eq(directive_find(slice_cstr("por")), ERR_NOT_FOUND);
    cr_expect_eq(directive_find(slice_cstr("")), ERR_NOT_FOUND);
}

Test(config, nearest_names)
{
    cr_expect_str_eq(directive_nearest(slice_cstr("maxmemry")), "maxmemory");
    cr_expect_str_eq(directive_nearest(slice_cstr("Maxclient")), "maxclients");
    cr_expect_str_eq(directive_nearest(slice_cstr("append-only")), "appendonly");
    cr_expect_null(directive_nearest(slice_cstr("nothing-like-it-at-all")));
    cr_expect_null(directive_nearest(slice_cstr("x")));
}

Test(config, every_name_occurs_once)
{
    uint32_t count = directive_count();
    for (uint32_t i = 0; i < count; i++) {
        cr_expect_eq(directive_find(slice_cstr(directive_at(i)->name)), (int)i, "%s",
                     directive_at(i)->name);
        cr_expect_not_null(directive_at(i)->note);
        if (directive_at(i)->alias != NULL) {
            cr_expect_eq(directive_find(slice_cstr(directive_at(i)->alias)), (int)i);
        }
    }
}

Test(config, a_copy_stands_alone)
{
    char error[CONFIG_ERROR_BYTES];
    struct config *copy = config_copy(config);
    cr_assert_not_null(copy);
    cr_assert_eq(set("timeout", "9", error), 0);
    cr_expect_eq(config_number(config, DIRECTIVE_TIMEOUT), 9);
    cr_expect_eq(config_number(copy, DIRECTIVE_TIMEOUT), 0);
    config_destroy(copy);
}

static void count_ignored(void *context, const struct directive *directive)
{
    cr_expect_str_eq(directive->name, "activerehashing");
    ++*(int *)context;
}

Test(config, tells_of_what_was_given_and_has_no_effect)
{
    char error[CONFIG_ERROR_BYTES];
    int count = 0;
    config_each_ignored(config, count_ignored, &count);
    cr_expect_eq(count, 0);
    cr_assert_eq(set("activerehashing", "no", error), 0);
    cr_assert_eq(set("timeout", "9", error), 0);
    config_each_ignored(config, count_ignored, &count);
    cr_expect_eq(count, 1);
}

Test(config, without_memory_the_old_value_stays)
{
    char error[CONFIG_ERROR_BYTES];
    for (uint64_t n = 1; n < 10; n++) {
        mem_fail_after(n, false);
        int err = set("timeout", "9", error);
        mem_fail_after(0, false);
        if (err == 0) {
            cr_expect_gt(n, 1);
            return;
        }
        cr_expect_eq(err, ERR_MEMORY);
        cr_expect_str_eq(get("timeout"), "0");
    }
    cr_expect_fail("it never succeeded");
}

Test(config, creating_and_copying_without_memory_gives_nothing)
{
    for (uint64_t n = 1; n < 400; n += 13) {
        mem_fail_after(n, true);
        struct config *created = config_create();
        mem_fail_after(0, false);
        cr_expect_null(created);
        mem_fail_after(n < 150 ? n : 150, true);
        struct config *copy = config_copy(config);
        mem_fail_after(0, false);
        cr_expect_null(copy);
    }
}

/* ---- the configuration file that comes with the server ---- */

Test(config, the_file_says_what_the_table_says)
{
    struct config_failure failure;
    struct config *read = config_create();
    cr_assert_not_null(read);
    int err = config_read_file(read, CONF_FILE, &failure);
    cr_assert_eq(err, 0, "%s:%u: %s", CONF_FILE, failure.line, failure.reason);
    for (uint32_t i = 0; i < directive_count(); i++) {
        const struct directive *directive = directive_at(i);
        bool honoured = i < DIRECTIVE_ID_COUNT;
        cr_expect_eq(read->values[i].given, honoured, "%s is %s in the file", directive->name,
                     honoured ? "missing" : "there");
        cr_expect_str_eq(read->values[i].text, config->values[i].text, "%s", directive->name);
    }
    config_destroy(read);
}

/* The list of what has no effect names all of it, with its default. */
Test(config, the_list_of_ignored_directives_is_complete)
{
    static char text[1 << 16];
    FILE *file = fopen(DOCS_FILE, "r");
    cr_assert_not_null(file, "%s", DOCS_FILE);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    cr_assert_lt(bytes, sizeof(text) - 1);
    text[bytes] = '\0';
    for (uint32_t i = DIRECTIVE_ID_COUNT; i < directive_count(); i++) {
        const struct directive *directive = directive_at(i);
        char row[512];
        (void)snprintf(
            row, sizeof(row), "| `%s` | %s%s%s | %s%s%s | %s | %s |", directive->name,
            directive->alias != NULL ? "`" : "", directive->alias != NULL ? directive->alias : "",
            directive->alias != NULL ? "`" : "", directive->fallback[0] != '\0' ? "`" : "",
            directive->fallback, directive->fallback[0] != '\0' ? "`" : "",
            (directive->flags & DIRECTIVE_IGNORED) != 0 ? "accepted" : "refused", directive->note);
        cr_expect_not_null(strstr(text, row), "%s", row);
    }
}
