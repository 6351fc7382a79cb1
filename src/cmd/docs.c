#include "cmd/docs.h"

#include <ctype.h>
#include <string.h>

#include "base/assert.h"

/*
 * The syntax texts, as Redis writes them:
 *
 *   sequence  = element { " " element }
 *   element   = "[" choice "]" | word
 *   choice    = sequence { " | " sequence }
 *
 * An upper-case word is a token; with a lower-case word behind it, it names that argument ("EX
 * seconds"). "..." at the end of a bracket says that what stood before the bracket may be repeated
 * ("key [key ...]"). Nesting is at most DOCS_DEPTH_MAX, so the recursion is bounded by our own
 * texts.
 */
enum { DOCS_DEPTH_MAX = 4, DOCS_WORD_MAX = 48 };

struct syntax {
    const char *at;
    const char *end;
};

/* ---- reading ---- */

static void skip_spaces(struct syntax *syntax)
{
    while (syntax->at < syntax->end && *syntax->at == ' ') {
        syntax->at++;
    }
}

static struct slice next_word(struct syntax *syntax)
{
    const char *start = syntax->at;
    while (syntax->at < syntax->end && strchr(" []|", *syntax->at) == NULL) {
        syntax->at++;
    }
    return (struct slice){(const uint8_t *)start, (size_t)(syntax->at - start)};
}

/* The text up to the bracket that closes the one before it; moves behind it. */
static struct syntax next_bracket(struct syntax *syntax)
{
    ASSERT(*syntax->at == '[');
    struct syntax inside = {.at = syntax->at + 1};
    int depth = 0;
    do {
        ASSERT(syntax->at < syntax->end);
        depth += *syntax->at == '[' ? 1 : *syntax->at == ']' ? -1 : 0;
        syntax->at++;
    } while (depth > 0);
    inside.end = syntax->at - 1;
    return inside;
}

/* The text up to the next "|" outside of brackets; moves behind it. */
static struct syntax next_branch(struct syntax *syntax)
{
    struct syntax branch = {.at = syntax->at};
    int depth = 0;
    while (syntax->at < syntax->end && !(depth == 0 && *syntax->at == '|')) {
        depth += *syntax->at == '[' ? 1 : *syntax->at == ']' ? -1 : 0;
        syntax->at++;
    }
    branch.end = syntax->at;
    if (syntax->at < syntax->end) {
        syntax->at++;
    }
    return branch;
}

static bool has_branches(struct syntax syntax)
{
    next_branch(&syntax);
    return syntax.at < syntax.end;
}

static bool repeats(struct syntax inside)
{
    return inside.end - inside.at >= 3 && memcmp(inside.end - 3, "...", 3) == 0;
}

/* Whether a bracket that only repeats what came before follows. */
static bool repeat_follows(struct syntax syntax)
{
    skip_spaces(&syntax);
    return syntax.at < syntax.end && *syntax.at == '[' && repeats(next_bracket(&syntax));
}

/* ---- writing ---- */

static const char *type_of(struct slice word)
{
    static const struct {
        const char *part, *type;
    } types[] = {{"unix-time", "unix-time"},  {"key", "key"},
                 {"pattern", "pattern"},      {"seconds", "integer"},
                 {"milliseconds", "integer"}, {"count", "integer"},
                 {"index", "integer"},        {"db", "integer"},
                 {"offset", "integer"},       {"start", "integer"},
                 {"end", "integer"},          {"timeout", "integer"},
                 {"cursor", "integer"},       {"protover", "integer"},
                 {"crement", "integer"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (memmem(word.data, word.bytes, types[i].part, strlen(types[i].part)) != NULL) {
            return types[i].type;
        }
    }
    return "string";
}

/* A lower-case name for a token. */
static void reply_lower(struct reply *reply, struct slice word)
{
    uint8_t name[DOCS_WORD_MAX];
    ASSERT(word.bytes <= sizeof(name));
    for (size_t i = 0; i < word.bytes; i++) {
        name[i] = (uint8_t)tolower(word.data[i]);
    }
    reply_bulk(reply, (struct slice){name, word.bytes});
}

static void reply_flags(struct reply *reply, bool optional, bool multiple)
{
    reply_bulk_cstr(reply, "flags");
    reply_array(reply, (uint64_t)optional + multiple);
    if (optional) {
        reply_status(reply, "optional");
    }
    if (multiple) {
        reply_status(reply, "multiple");
    }
}

struct argument {
    struct slice name;
    struct slice token; /* empty: none */
    bool optional, multiple;
};

static void reply_argument(struct reply *reply, const struct argument *argument)
{
    bool pure = argument->name.bytes == 0;
    bool token = argument->token.bytes > 0;
    bool flags = argument->optional || argument->multiple;
    reply_map(reply, 2 + (uint64_t)token + flags);
    reply_bulk_cstr(reply, "name");
    reply_lower(reply, pure ? argument->token : argument->name);
    reply_bulk_cstr(reply, "type");
    reply_bulk_cstr(reply, pure ? "pure-token" : type_of(argument->name));
    if (token) {
        reply_bulk_cstr(reply, "token");
        reply_bulk(reply, argument->token);
    }
    if (flags) {
        reply_flags(reply, argument->optional, argument->multiple);
    }
}

static uint64_t reply_sequence(struct reply *reply, struct syntax syntax, bool optional, int depth);

/* "a | b" */
static void reply_choice(struct reply *reply, struct syntax inside, bool optional, int depth)
{
    reply_map(reply, 3 + (uint64_t)optional);
    reply_bulk_cstr(reply, "name");
    reply_bulk_cstr(reply, "option");
    reply_bulk_cstr(reply, "type");
    reply_bulk_cstr(reply, "oneof");
    if (optional) {
        reply_flags(reply, true, false);
    }
    reply_bulk_cstr(reply, "arguments");
    size_t mark = reply_deferred_open(reply);
    uint64_t count = 0;
    while (inside.at < inside.end) {
        count += reply_sequence(reply, next_branch(&inside), false, depth + 1);
    }
    reply_deferred_close(reply, mark, '*', count);
}

static bool is_token(struct slice word)
{
    return word.bytes > 0 && isupper(word.data[0]);
}

static struct argument next_argument(struct syntax *syntax, bool optional)
{
    struct argument argument = {.optional = optional};
    struct slice word = next_word(syntax);
    if (is_token(word)) {
        argument.token = word;
        struct syntax ahead = *syntax;
        skip_spaces(&ahead);
        struct slice name = next_word(&ahead);
        if (name.bytes > 0 && !is_token(name)) {
            argument.name = name;
            *syntax = ahead;
        }
    } else {
        argument.name = word;
    }
    argument.multiple = repeat_follows(*syntax);
    return argument;
}

/* Writes the arguments of a sequence; returns how many. */
static uint64_t reply_sequence(struct reply *reply, struct syntax syntax, bool optional, int depth)
{
    ASSERT(depth <= DOCS_DEPTH_MAX);
    uint64_t count = 0;
    for (;;) {
        skip_spaces(&syntax);
        if (syntax.at >= syntax.end) {
            return count;
        }
        if (*syntax.at != '[') {
            struct argument argument = next_argument(&syntax, optional);
            reply_argument(reply, &argument);
            count++;
            continue;
        }
        struct syntax inside = next_bracket(&syntax);
        if (repeats(inside)) {
            continue; /* said by the flag of what it repeats */
        }
        if (has_branches(inside)) {
            reply_choice(reply, inside, true, depth);
            count++;
        } else {
            count += reply_sequence(reply, inside, true, depth + 1);
        }
    }
}

uint64_t docs_reply_arguments(struct reply *reply, const char *syntax)
{
    struct syntax all = {.at = syntax, .end = syntax + strlen(syntax)};
    size_t mark = reply_deferred_open(reply);
    uint64_t count = reply_sequence(reply, all, false, 0);
    reply_deferred_close(reply, mark, '*', count);
    return count;
}

/* ---- one command ---- */

static bool is_subcommand_of(const struct command *command, const struct command *container)
{
    size_t bytes = strlen(container->name);
    return strncmp(command->name, container->name, bytes) == 0 && command->name[bytes] == '|';
}

static void docs_text(struct reply *reply, const char *name, const char *text)
{
    reply_bulk_cstr(reply, name);
    reply_bulk_cstr(reply, text);
}

static void docs_reply_subcommands(struct reply *reply, const struct command *container)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_count(); i++) {
        count += is_subcommand_of(command_at(i), container);
    }
    reply_bulk_cstr(reply, "subcommands");
    reply_map(reply, count);
    for (uint32_t i = 0; i < command_count(); i++) {
        if (is_subcommand_of(command_at(i), container)) {
            reply_bulk_cstr(reply, command_at(i)->name);
            docs_reply(reply, command_at(i));
        }
    }
}

void docs_reply(struct reply *reply, const struct command *command)
{
    bool container = (command->flags & CMD_CONTAINER) != 0;
    bool arguments = command->syntax[0] != '\0';
    reply_map(reply, 4 + (uint64_t)container + arguments);
    docs_text(reply, "summary", command->summary);
    docs_text(reply, "since", command->since);
    docs_text(reply, "group", command->group);
    docs_text(reply, "complexity", command->complexity);
    if (arguments) {
        reply_bulk_cstr(reply, "arguments");
        docs_reply_arguments(reply, command->syntax);
    }
    if (container) {
        docs_reply_subcommands(reply, command);
    }
}
