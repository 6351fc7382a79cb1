/*
 * Reading configuration files and arguments.
 *
 * A line is blank, a comment (first non-blank is #), or a directive's name and its words, quoted as
 * base/quote.h says. `include path` reads another file in its place. Later lines win; `save` lines
 * add up, but the first one takes the place of the default, and `save ""` begins anew.
 *
 * Arguments become such lines: `--port 7000 --save 60 1` is `port "7000"` and `save "60" "1"`. They
 * are applied after the file.
 */
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/quote.h"
#include "io/file.h"

/* What the lines of one file, and of those it includes, have in common. */
struct config_reading {
    struct config *config;
    const char *file; /* "": the arguments */
    uint32_t depth;   /* of includes */
    struct config_failure *failure;
};

static int read_file(struct config_reading *outer, const char *path);

static int fail(const struct config_reading *reading, const char *reason)
{
    (void)snprintf(reading->failure->reason, CONFIG_ERROR_BYTES, "%s", reason);
    return ERR_CONFIG;
}

static int fail_unknown(const struct config_reading *reading, struct slice name)
{
    const char *nearest = directive_nearest(name);
    int used = snprintf(reading->failure->reason, CONFIG_ERROR_BYTES,
                        "Bad directive or wrong number of arguments");
    if (nearest != NULL) {
        (void)snprintf(reading->failure->reason + used, (size_t)(CONFIG_ERROR_BYTES - used),
                       " (did you mean '%s'?)", nearest);
    }
    return ERR_CONFIG;
}

/* ---- one line ---- */

/* A line of `save` adds to those before, unless these were only the default. */
static int apply_save(struct config_reading *reading, const struct slice *words, uint32_t count,
                      char error[CONFIG_ERROR_BYTES])
{
    const struct config_value *value = &reading->config->values[DIRECTIVE_SAVE];
    bool begins = !value->given || value->text[0] == '\0' || (count == 1 && words[0].bytes == 0);
    if (begins) {
        return config_set(reading->config, DIRECTIVE_SAVE, words, count, error);
    }
    struct slice *all = mem_alloc(CONFIG_WORDS_MAX * 2 * sizeof(*all));
    if (all == NULL) {
        return ERR_MEMORY;
    }
    struct buffer storage;
    buffer_init(&storage, CONFIG_TEXT_BYTES_MAX);
    int before = quote_split(slice_cstr(value->text), all, CONFIG_WORDS_MAX, &storage);
    int err = before;
    if (before >= 0) {
        memcpy(all + before, words, count * sizeof(*words));
        err = config_set(reading->config, DIRECTIVE_SAVE, all, (uint32_t)before + count, error);
    }
    buffer_deinit(&storage);
    mem_free(all);
    return err;
}

static int apply_include(struct config_reading *reading, const struct slice *words, uint32_t count)
{
    if (count != 2) {
        return fail_unknown(reading, words[0]);
    }
    char *path = slice_dup_cstr(words[1]);
    int err = path != NULL ? read_file(reading, path) : ERR_MEMORY;
    mem_free(path);
    return err;
}

static int apply_words(struct config_reading *reading, const struct slice *words, uint32_t count)
{
    if (slice_equal_nocase_cstr(words[0], "include")) {
        return apply_include(reading, words, count);
    }
    int index = directive_find(words[0]);
    if (index < 0) {
        return fail_unknown(reading, words[0]);
    }
    char error[CONFIG_ERROR_BYTES] = "";
    int err;
    if (index == DIRECTIVE_SAVE && count > 1) {
        err = apply_save(reading, words + 1, count - 1, error);
    } else {
        err = config_set(reading->config, (uint32_t)index, words + 1, count - 1, error);
    }
    return err == ERR_CONFIG ? fail(reading, error) : err;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct slice trim(struct slice line)
{
    while (line.bytes > 0 && is_blank(line.data[line.bytes - 1])) {
        line.bytes--;
    }
    while (line.bytes > 0 && is_blank(line.data[0])) {
        line = slice_skip(line, 1);
    }
    return line;
}

int config_split_line(struct slice line, struct slice *words, struct buffer *storage)
{
    line = trim(line);
    if (line.bytes == 0 || line.data[0] == '#') {
        return 0;
    }
    return quote_split(line, words, CONFIG_WORDS_MAX, storage);
}

/* Not inlined: the words are enough for one frame. */
static __attribute__((noinline)) int apply_line(struct config_reading *reading, struct slice line)
{
    line = trim(line);
    (void)snprintf(reading->failure->text, CONFIG_ERROR_BYTES, "%.*s",
                   line.bytes < CONFIG_ERROR_BYTES ? (int)line.bytes : CONFIG_ERROR_BYTES - 1,
                   (const char *)line.data);
    if (line.bytes > 0 && line.data[0] != '#' && memchr(line.data, '\0', line.bytes) != NULL) {
        return fail(reading, "the line holds a zero byte");
    }
    struct slice words[CONFIG_WORDS_MAX];
    struct buffer storage;
    buffer_init(&storage, CONFIG_TEXT_BYTES_MAX);
    int count = config_split_line(line, words, &storage);
    int err = count;
    if (count == ERR_PROTOCOL) {
        err = fail(reading, "Unbalanced quotes in configuration line");
    } else if (count == ERR_LIMIT) {
        err = fail(reading, "too many words in configuration line");
    } else if (count > 0) {
        err = apply_words(reading, words, (uint32_t)count);
    }
    buffer_deinit(&storage);
    return err;
}

static int apply_text(struct config_reading *reading, struct slice text)
{
    uint32_t line_number = 0;
    while (text.bytes > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        size_t bytes = end != NULL ? (size_t)(end - text.data) : text.bytes;
        reading->failure->line = ++line_number;
        (void)snprintf(reading->failure->file, CONFIG_PATH_BYTES, "%s", reading->file);
        TRY(apply_line(reading, slice_of(text.data, bytes)));
        text = slice_skip(text, end != NULL ? bytes + 1 : bytes);
    }
    return 0;
}

int config_read_text(struct config *config, struct slice text, const char *file,
                     struct config_failure *ret_failure)
{
    *ret_failure = (struct config_failure){.line = 0};
    struct config_reading reading = {.config = config, .file = file, .failure = ret_failure};
    return apply_text(&reading, text);
}

/* ---- files ---- */

/* Reads at most CONFIG_TEXT_BYTES_MAX. */
static int load_file(const char *path, struct buffer *text)
{
    int fd = file_open(path, O_RDONLY, 0);
    if (fd < 0) {
        return fd;
    }
    int64_t got = 0;
    int err = buffer_reserve(text, CONFIG_TEXT_BYTES_MAX);
    if (err == 0) {
        got = file_read(fd, text->data, CONFIG_TEXT_BYTES_MAX, 0);
        err = got < 0 ? (int)got : 0;
    }
    if (err == 0) {
        text->bytes = (size_t)got;
        err = got == CONFIG_TEXT_BYTES_MAX ? -EFBIG : 0;
    }
    IGNORE(file_close(fd), "nothing was written to it");
    return err;
}

static int read_file(struct config_reading *outer, const char *path)
{
    if (outer->depth == CONFIG_INCLUDES_MAX) {
        return fail(outer, "too many files include each other");
    }
    struct config_reading reading = *outer;
    reading.file = path;
    reading.depth = outer->depth + 1;
    struct buffer text;
    buffer_init(&text, CONFIG_TEXT_BYTES_MAX);
    int err = load_file(path, &text);
    if (err < 0) {
        (void)snprintf(outer->failure->reason, CONFIG_ERROR_BYTES,
                       "can't read the file '%.150s': %s", path, error_text(err));
        err = ERR_CONFIG;
    } else {
        err = apply_text(&reading, buffer_slice(&text));
    }
    buffer_deinit(&text);
    return err;
}

int config_read_file(struct config *config, const char *path, struct config_failure *ret_failure)
{
    *ret_failure = (struct config_failure){.line = 0};
    (void)snprintf(ret_failure->file, sizeof(ret_failure->file), "%s", path);
    struct config_reading reading = {.config = config, .file = path, .failure = ret_failure};
    int err = read_file(&reading, path);
    if (err == 0) {
        (void)snprintf(config->file, sizeof(config->file), "%s", path);
    }
    return err;
}

/* Standard input may be a pipe, which has no offsets to read at. */
static int read_standard_input(struct buffer *text)
{
    int c;
    while ((c = getchar()) != EOF) {
        TRY(buffer_append_byte(text, (uint8_t)c));
    }
    return 0;
}

/* ---- arguments ---- */

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] == '-';
}

/* What follows an option's name is its value, even if it begins with --; except for --save, which
 * may stand alone. */
static int append_option(struct buffer *lines, const char *name, const char *next)
{
    if (lines->bytes > 0) {
        TRY(buffer_append_byte(lines, '\n'));
    }
    TRY(buffer_append_cstr(lines, name + 2));
    bool alone = next == NULL || is_option(next);
    if (strcmp(name, "--save") == 0 && alone) {
        TRY(buffer_append_cstr(lines, " \"\""));
        return 0;
    }
    return strchr(name, ' ') == NULL ? 1 : 0;
}

static int arguments_to_lines(int argc, char **argv, struct buffer *lines)
{
    bool value_must_follow = false;
    for (int i = 0; i < argc; i++) {
        if (!value_must_follow && is_option(argv[i])) {
            value_must_follow =
                TRY(append_option(lines, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) > 0;
        } else {
            TRY(buffer_append_byte(lines, ' '));
            TRY(quote_append(lines, slice_cstr(argv[i])));
            value_must_follow = false;
        }
    }
    return 0;
}

static int read_first(struct config *config, const char *argument,
                      struct config_failure *ret_failure)
{
    if (strcmp(argument, "-") != 0) {
        return config_read_file(config, argument, ret_failure);
    }
    struct buffer text;
    buffer_init(&text, CONFIG_TEXT_BYTES_MAX);
    int err = read_standard_input(&text);
    if (err == 0) {
        err = config_read_text(config, buffer_slice(&text), "standard input", ret_failure);
    }
    buffer_deinit(&text);
    return err;
}

int config_read_arguments(struct config *config, int argc, char **argv,
                          struct config_failure *ret_failure)
{
    *ret_failure = (struct config_failure){.line = 0};
    if (argc > 0 && !is_option(argv[0])) {
        TRY(read_first(config, argv[0], ret_failure));
        argc--;
        argv++;
    }
    struct buffer lines;
    buffer_init(&lines, CONFIG_TEXT_BYTES_MAX);
    int err = arguments_to_lines(argc, argv, &lines);
    if (err == 0) {
        err = config_read_text(config, buffer_slice(&lines), "", ret_failure);
    }
    buffer_deinit(&lines);
    return err;
}
