/*
 * HELP of the containers: made from the table, so that it never lags behind.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cmd/families.h"
#include "cmd/request.h"

static void upper(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)toupper((unsigned char)*text);
    }
}

static uint64_t help_lines(struct reply *reply, const char *parent, size_t parent_bytes)
{
    uint64_t lines = 0;
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *sub = command_at(i);
        if (strncmp(sub->name, parent, parent_bytes) != 0 || sub->name[parent_bytes] != '|') {
            continue;
        }
        char name[40];
        char line[256];
        snprintf(name, sizeof(name), "%s", sub->name + parent_bytes + 1);
        upper(name);
        snprintf(line, sizeof(line), "%s%s%s", name, *sub->syntax != '\0' ? " " : "", sub->syntax);
        reply_status(reply, line);
        snprintf(line, sizeof(line), "    %s", sub->summary);
        reply_status(reply, line);
        lines += 2;
    }
    return lines;
}

int cmd_help(struct request *request)
{
    const char *name = request->command->name;
    size_t parent_bytes = strcspn(name, "|");
    char parent[40];
    char line[160];
    snprintf(parent, sizeof(parent), "%.*s", (int)parent_bytes, name);
    upper(parent);
    size_t mark = reply_deferred_open(request->reply);
    snprintf(line, sizeof(line),
             "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", parent);
    reply_status(request->reply, line);
    uint64_t lines = help_lines(request->reply, name, parent_bytes);
    reply_deferred_close(request->reply, mark, '*', lines + 1);
    return 0;
}
