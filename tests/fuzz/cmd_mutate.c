#include "cmd_mutate.h"

#include <string.h>

#include "base/buffer.h"
#include "base/random.h"
#include "cmd/command.h"
#include "cmd_model.h"
#include "fuzz.h"

enum { LINES_MAX = 64, EXTRA_ARGS_MAX = 4, WORD_BYTES = 32 };

static struct random draws;

static uint32_t draw(uint32_t below)
{
    return (uint32_t)random_below(&draws, below);
}

/* ---- one argument ---- */

static const char *const numbers[] = {
    "0",
    "1",
    "-1",
    "2",
    "10",
    "100",
    "-100",
    "1000000",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "1048576",
    "536870911",
    "536870912",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775807",
    "18446744073709551615",
    "9007199254740992",
    "3.0e3",
    "0.1",
    "1e4932",
    "inf",
    "nan",
    "01",
    "+1",
    "-0",
};

static const char *const words[] = {
    "\"\"",    "value",          "*",       "k*",     "[a-c]", "*1",         "MATCH", "COUNT",
    "TYPE",    "string",         "NX",      "XX",     "GET",   "KEEPTTL",    "EX",    "PX",
    "EXAT",    "PXAT",           "GT",      "LT",     "ASYNC", "SYNC",       "DB",    "REPLACE",
    "PERSIST", "\"\\x00\\xff\"", "\"a b\"", "ON",     "OFF",   "SETNAME",    "3",     "ID",
    "default", "maxmemory",      "port",    "server", "all",   "everything",
};

enum {
    NUMBERS = sizeof(numbers) / sizeof(numbers[0]),
    WORDS = sizeof(words) / sizeof(words[0]),
};

/* A word in capitals out of the command's own syntax, or NULL. */
static const char *syntax_word(const struct command *command, char word[WORD_BYTES])
{
    size_t length = command->syntax != NULL ? strlen(command->syntax) : 0;
    size_t at = length > 0 ? draw((uint32_t)length) : 0;
    while (at < length && !(command->syntax[at] >= 'A' && command->syntax[at] <= 'Z')) {
        at++;
    }
    while (at > 0 && command->syntax[at - 1] >= 'A' && command->syntax[at - 1] <= 'Z') {
        at--;
    }
    size_t bytes = 0;
    while (at < length && bytes + 1 < WORD_BYTES && command->syntax[at] >= 'A' &&
           command->syntax[at] <= 'Z') {
        word[bytes++] = command->syntax[at++];
    }
    word[bytes] = '\0';
    return bytes > 0 ? word : NULL;
}

static const char *argument(const struct command *command, char word[WORD_BYTES])
{
    const char *own = command != NULL && draw(3) == 0 ? syntax_word(command, word) : NULL;
    if (own != NULL) {
        return own;
    }
    switch (draw(4)) {
    case 0:
        return words[draw(WORDS)];
    case 1:
        return model_key(draw(MODEL_KEYS));
    default:
        return numbers[draw(NUMBERS)];
    }
}

/* ---- one command ---- */

static void append(struct buffer *to, const char *text)
{
    IGNORE(buffer_append_cstr(to, text), "a line that does not fit is cut");
}

static void append_command(struct buffer *to)
{
    const struct command *command = command_at(draw(command_count()));
    char word[WORD_BYTES];
    char name[64];
    (void)snprintf(name, sizeof(name), "%s", command->name);
    char *bar = strchr(name, '|');
    int argc = bar != NULL ? 2 : 1;
    if (bar != NULL) {
        *bar = ' ';
    }
    append(to, name);
    int wanted = command->arity < 0 ? -command->arity + (int)draw(EXTRA_ARGS_MAX) : command->arity;
    wanted += draw(16) == 0;
    for (; argc < wanted; argc++) {
        bool is_key = command->first_key > 0 && argc >= command->first_key &&
                      (command->last_key < 0 || argc <= command->last_key) &&
                      (argc - command->first_key) % command->key_step == 0;
        append(to, " ");
        append(to, is_key && draw(8) != 0 ? model_key(draw(MODEL_KEYS)) : argument(command, word));
    }
}

/* ---- the list ---- */

struct lines {
    struct slice line[LINES_MAX];
    uint32_t count;
};

static void lines_split(struct lines *lines, struct slice text)
{
    lines->count = 0;
    while (text.bytes > 0 && lines->count < LINES_MAX - 2) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        size_t bytes = end != NULL ? (size_t)(end - text.data) : text.bytes;
        lines->line[lines->count++] = slice_of(text.data, bytes);
        text = slice_skip(text, end != NULL ? bytes + 1 : bytes);
    }
}

static void lines_insert(struct lines *lines, uint32_t at, struct slice line)
{
    memmove(&lines->line[at + 1], &lines->line[at], (lines->count - at) * sizeof(lines->line[0]));
    lines->line[at] = line;
    lines->count++;
}

static void lines_remove(struct lines *lines, uint32_t at)
{
    lines->count--;
    memmove(&lines->line[at], &lines->line[at + 1], (lines->count - at) * sizeof(lines->line[0]));
}

/* One argument of a line becomes another; written to `to`. */
static void change_argument(struct slice line, struct buffer *to)
{
    char word[WORD_BYTES];
    uint32_t blanks = 0;
    for (size_t i = 0; i < line.bytes; i++) {
        blanks += line.data[i] == ' ';
    }
    uint32_t which = draw(blanks + 1);
    size_t at = 0;
    for (; at < line.bytes && which > 0; at++) {
        which -= line.data[at] == ' ';
    }
    size_t end = at;
    while (end < line.bytes && line.data[end] != ' ') {
        end++;
    }
    IGNORE(buffer_append(to, line.data, at), "a line that does not fit is cut");
    append(to, argument(NULL, word));
    IGNORE(buffer_append_slice(to, slice_skip(line, end)), "as above");
}

/* One change; new text goes to `fresh`. */
static void change(struct lines *lines, struct buffer *fresh)
{
    uint32_t kind = lines->count == 0 ? 0 : draw(8);
    uint32_t at = lines->count == 0 ? 0 : draw(lines->count);
    switch (kind) {
    case 4:
        lines_remove(lines, at);
        return;
    case 5:
        lines_insert(lines, draw(lines->count), lines->line[at]);
        return;
    case 6:
    case 7:
        change_argument(lines->line[at], fresh);
        lines->line[at] = buffer_slice(fresh);
        return;
    default:
        append_command(fresh);
        lines_insert(lines, draw(lines->count + 1), buffer_slice(fresh));
    }
}

size_t cmd_mutate(uint8_t *data, size_t bytes, size_t bytes_max, uint64_t seed)
{
    static struct lines lines;
    random_seed(&draws, seed);
    uint8_t *text = copy_exactly(slice_of(data, bytes));
    struct buffer fresh;
    buffer_init(&fresh, bytes_max);
    lines_split(&lines, slice_of(text, bytes));
    change(&lines, &fresh);
    size_t at = 0;
    for (uint32_t i = 0; i < lines.count && at + lines.line[i].bytes + 1 <= bytes_max; i++) {
        if (lines.line[i].bytes > 0) {
            memcpy(data + at, lines.line[i].data, lines.line[i].bytes);
        }
        at += lines.line[i].bytes;
        data[at++] = '\n';
    }
    buffer_deinit(&fresh);
    free(text);
    return at;
}
