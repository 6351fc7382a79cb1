/*
 * COMMAND: the command table, told to clients.
 */
#include <string.h>

#include "base/glob.h"
#include "cmd/docs.h"
#include "cmd/families.h"
#include "cmd/request.h"

static bool is_top_level(const struct command *command)
{
    return strchr(command->name, '|') == NULL;
}

static uint64_t top_level_count(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_count(); i++) {
        count += is_top_level(command_at(i));
    }
    return count;
}

/* Top-level name or "parent|sub". */
static const struct command *find_by_name(struct slice name)
{
    const struct command *container;
    const uint8_t *bar = memchr(name.data, '|', name.bytes);
    if (bar == NULL) {
        return command_find(&name, 1, &container);
    }
    size_t bytes = (size_t)(bar - name.data);
    struct slice parts[2] = {{name.data, bytes}, {bar + 1, name.bytes - bytes - 1}};
    return command_find(parts, 2, &container);
}

/* ---- one command, as COMMAND INFO shows it ---- */

static void reply_flag_set(struct reply *reply, const struct command *command)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {{CMD_WRITE, "write"},
                 {CMD_READONLY, "readonly"},
                 {CMD_DENYOOM, "denyoom"},
                 {CMD_ADMIN, "admin"},
                 {CMD_NOSCRIPT, "noscript"},
                 {CMD_LOADING, "loading"},
                 {CMD_STALE, "stale"},
                 {CMD_SKIP_MONITOR, "skip_monitor"},
                 {CMD_SKIP_SLOWLOG, "skip_slowlog"},
                 {CMD_FAST, "fast"},
                 {CMD_NO_AUTH, "no_auth"},
                 {CMD_NO_MULTI, "no_multi"}};
    uint64_t count = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        count += (command->flags & names[i].flag) != 0;
    }
    reply_set(reply, count);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((command->flags & names[i].flag) != 0) {
            reply_status(reply, names[i].name);
        }
    }
}

/* A set of the words of a text. */
static void reply_words(struct reply *reply, const char *words)
{
    size_t mark = reply_deferred_open(reply);
    uint64_t count = 0;
    while (*words != '\0') {
        size_t bytes = strcspn(words, " ");
        char name[32] = {0};
        memcpy(name, words, bytes < sizeof(name) - 1 ? bytes : sizeof(name) - 1);
        reply_status(reply, name);
        count++;
        words += bytes + (words[bytes] == ' ');
    }
    reply_deferred_close(reply, mark, reply->resp == 3 ? '~' : '*', count);
}

/* How the command uses its key `index`. */
static const char *key_use(const struct command *command, uint32_t index)
{
    if (index > 0 && command->second_key_use != NULL) {
        return command->second_key_use;
    }
    return command->key_use != NULL ? command->key_use : "RO access";
}

/* Keys from position `first` on, every key_step-th; `last` counts from `first`, or from the end. */
static void reply_key_spec(struct reply *reply, const struct command *command, int first, int last)
{
    reply_map(reply, 3);
    reply_bulk_cstr(reply, "flags");
    reply_words(reply, key_use(command, (uint32_t)(first - command->first_key)));
    reply_bulk_cstr(reply, "begin_search");
    reply_map(reply, 2);
    reply_bulk_cstr(reply, "type");
    reply_bulk_cstr(reply, "index");
    reply_bulk_cstr(reply, "spec");
    reply_map(reply, 1);
    reply_bulk_cstr(reply, "index");
    reply_i64(reply, first);
    reply_bulk_cstr(reply, "find_keys");
    reply_map(reply, 2);
    reply_bulk_cstr(reply, "type");
    reply_bulk_cstr(reply, "range");
    reply_bulk_cstr(reply, "spec");
    reply_map(reply, 3);
    reply_bulk_cstr(reply, "lastkey");
    reply_i64(reply, last);
    reply_bulk_cstr(reply, "keystep");
    reply_i64(reply, command->key_step);
    reply_bulk_cstr(reply, "limit");
    reply_i64(reply, 0);
}

static void reply_key_specs(struct reply *reply, const struct command *command)
{
    int first = command->first_key;
    int last = command->last_key < 0 ? command->last_key : command->last_key - first;
    if (first == 0) {
        reply_set(reply, 0);
    } else if (command->second_key_use == NULL) {
        reply_set(reply, 1);
        reply_key_spec(reply, command, first, last);
    } else {
        reply_set(reply, 2);
        reply_key_spec(reply, command, first, 0);
        reply_key_spec(reply, command, first + command->key_step, 0);
    }
}

static void reply_command(struct reply *reply, const struct command *command);

static void reply_subcommands(struct reply *reply, const struct command *container)
{
    size_t bytes = strlen(container->name);
    size_t mark = reply_deferred_open(reply);
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *sub = command_at(i);
        if (strncmp(sub->name, container->name, bytes) == 0 && sub->name[bytes] == '|') {
            reply_command(reply, sub);
            count++;
        }
    }
    reply_deferred_close(reply, mark, '*', count);
}

static void reply_command(struct reply *reply, const struct command *command)
{
    reply_array(reply, 10);
    reply_bulk_cstr(reply, command->name);
    reply_i64(reply, command->arity);
    reply_flag_set(reply, command);
    reply_i64(reply, command->first_key);
    reply_i64(reply, command->last_key);
    reply_i64(reply, command->key_step);
    reply_words(reply, command->categories);
    reply_array(reply, 0); /* tips */
    reply_key_specs(reply, command);
    if ((command->flags & CMD_CONTAINER) != 0) {
        reply_subcommands(reply, command);
    } else {
        reply_array(reply, 0);
    }
}

/* ---- the commands ---- */

int cmd_command(struct request *request)
{
    reply_array(request->reply, top_level_count());
    for (uint32_t i = 0; i < command_count(); i++) {
        if (is_top_level(command_at(i))) {
            reply_command(request->reply, command_at(i));
        }
    }
    return 0;
}

int cmd_command_count(struct request *request)
{
    reply_i64(request->reply, (int64_t)top_level_count());
    return 0;
}

int cmd_command_info(struct request *request)
{
    if (request->argc == 2) {
        return cmd_command(request);
    }
    reply_array(request->reply, request->argc - 2);
    for (uint32_t i = 2; i < request->argc; i++) {
        const struct command *command = find_by_name(request->args[i]);
        if (command == NULL) {
            reply_null(request->reply);
        } else {
            reply_command(request->reply, command);
        }
    }
    return 0;
}

int cmd_command_docs(struct request *request)
{
    size_t mark = reply_deferred_open(request->reply);
    uint64_t count = 0;
    for (uint32_t i = 0; request->argc == 2 && i < command_count(); i++) {
        if (is_top_level(command_at(i))) {
            reply_bulk_cstr(request->reply, command_at(i)->name);
            docs_reply(request->reply, command_at(i));
            count++;
        }
    }
    for (uint32_t i = 2; i < request->argc; i++) {
        const struct command *command = find_by_name(request->args[i]);
        if (command != NULL) {
            reply_bulk_cstr(request->reply, command->name);
            docs_reply(request->reply, command);
            count++;
        }
    }
    bool map = request->reply->resp == 3;
    reply_deferred_close(request->reply, mark, map ? '%' : '*', map ? count : count * 2);
    return 0;
}

/* COMMAND GETKEYS command args..., and with the flags of each key. */
static int reply_keys(struct request *request, bool with_flags)
{
    const struct slice *args = request->args + 2;
    uint32_t argc = request->argc - 2;
    const struct command *container;
    const struct command *command = command_find(args, argc, &container);
    if (command == NULL) {
        reply_error(request->reply, "ERR Invalid command specified");
        return 0;
    }
    if (command->first_key == 0) {
        reply_error(request->reply, "ERR The command has no key arguments");
        return 0;
    }
    if (!command_arity_fits(command, argc)) {
        reply_error(request->reply, "ERR Invalid number of arguments specified for command");
        return 0;
    }
    uint32_t count = command_key_count(command, argc);
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)command->first_key + i * (uint32_t)command->key_step;
        if (!with_flags) {
            reply_bulk(request->reply, args[at]);
            continue;
        }
        reply_array(request->reply, 2);
        reply_bulk(request->reply, args[at]);
        reply_words(request->reply, key_use(command, i));
    }
    return 0;
}

int cmd_command_getkeys(struct request *request)
{
    return reply_keys(request, false);
}

int cmd_command_getkeysandflags(struct request *request)
{
    return reply_keys(request, true);
}

/* COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob] */
int cmd_command_list(struct request *request)
{
    bool filtered = request->argc == 5 && arg_is(request, 2, "filterby");
    if (request->argc != 2 && !filtered) {
        reply_error(request->reply, REPLY_SYNTAX);
        return 0;
    }
    bool by_module = filtered && arg_is(request, 3, "module");
    bool by_category = filtered && arg_is(request, 3, "aclcat");
    if (filtered && !by_module && !by_category && !arg_is(request, 3, "pattern")) {
        reply_error(request->reply, REPLY_SYNTAX);
        return 0;
    }
    size_t mark = reply_deferred_open(request->reply);
    uint64_t count = 0;
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *command = command_at(i);
        bool fits = !by_module;
        if (by_category) {
            struct slice category = request->args[4];
            fits = memmem(command->categories, strlen(command->categories), category.data,
                          category.bytes) != NULL;
        } else if (filtered && !by_module) {
            fits = glob_match(request->args[4], slice_cstr(command->name), true);
        }
        if (fits && (filtered || is_top_level(command))) {
            reply_bulk_cstr(request->reply, command->name);
            count++;
        }
    }
    reply_deferred_close(request->reply, mark, '*', count);
    return 0;
}
