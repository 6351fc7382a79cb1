#include "cmd/command.h"

#include <string.h>

#include "base/assert.h"
#include "cmd/table.h"

/*
 * Lookup: a small open-addressed table over the lower-cased name, built at the first use; a
 * subcommand's name is "parent|sub". Names are at most COMMAND_NAME_BYTES_MAX long, so anything
 * longer is unknown without a look.
 */
enum { COMMAND_NAME_BYTES_MAX = 32, COMMAND_SLOTS = 1024 };

struct command_slot {
    const struct command *row; /* NULL: free */
    uint32_t name_bytes;
};

static struct {
    struct command_slot slots[COMMAND_SLOTS];
    struct command *rows[COMMANDS_MAX];
    uint32_t count;
} commands;

const struct command_group command_groups[] = {
    {commands_connection, &commands_connection_count},
    {commands_keys, &commands_keys_count},
    {commands_server, &commands_server_count},
    {commands_string, &commands_string_count},
    {NULL, NULL},
};

static uint32_t name_hash(const char *name, size_t bytes)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    }
    return hash ^ (hash >> 15);
}

static void commands_add(struct command *row)
{
    size_t bytes = strlen(row->name);
    ASSERT(bytes <= COMMAND_NAME_BYTES_MAX);
    ASSERT(commands.count < COMMANDS_MAX);
    row->index = (uint16_t)commands.count;
    commands.rows[commands.count++] = row;
    uint32_t slot = name_hash(row->name, bytes) % COMMAND_SLOTS;
    while (commands.slots[slot].row != NULL) {
        ASSERT(strcmp(commands.slots[slot].row->name, row->name) != 0);
        slot = (slot + 1) % COMMAND_SLOTS;
    }
    commands.slots[slot] = (struct command_slot){row, (uint32_t)bytes};
}

void commands_init(void)
{
    if (commands.count > 0) {
        return;
    }
    for (uint32_t g = 0; command_groups[g].rows != NULL; g++) {
        for (uint32_t i = 0; i < *command_groups[g].count; i++) {
            commands_add(&command_groups[g].rows[i]);
        }
    }
}

static const struct command *find_name(const char *name, size_t bytes)
{
    uint32_t slot = name_hash(name, bytes) % COMMAND_SLOTS;
    for (;;) {
        const struct command_slot *at = &commands.slots[slot];
        if (at->row == NULL) {
            return NULL;
        }
        if (at->name_bytes == bytes && memcmp(at->row->name, name, bytes) == 0) {
            return at->row;
        }
        slot = (slot + 1) % COMMAND_SLOTS;
    }
}

/* Appends the lower-cased text; false if it doesn't fit. */
static bool append_lower(char *to, size_t *bytes, struct slice text)
{
    if (text.bytes > COMMAND_NAME_BYTES_MAX - *bytes) {
        return false;
    }
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];
        to[(*bytes)++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    return true;
}

const struct command *command_find(const struct slice *args, uint32_t argc,
                                   const struct command **ret_container)
{
    char name[COMMAND_NAME_BYTES_MAX + 2] = {0};
    size_t bytes = 0;
    *ret_container = NULL;
    if (!append_lower(name, &bytes, args[0])) {
        return NULL;
    }
    const struct command *row = find_name(name, bytes);
    if (row == NULL || (row->flags & CMD_CONTAINER) == 0 || argc < 2) {
        return row != NULL && memchr(name, '|', bytes) != NULL ? NULL : row;
    }
    name[bytes++] = '|';
    const struct command *sub = NULL;
    if (bytes < COMMAND_NAME_BYTES_MAX && append_lower(name, &bytes, args[1])) {
        sub = find_name(name, bytes);
    }
    /* A container with a handler of its own answers for itself: COMMAND. */
    if (sub == NULL) {
        *ret_container = row;
    }
    return sub;
}

uint32_t command_count(void)
{
    ASSERT(commands.count > 0); /* commands_init at start-up */
    return commands.count;
}

const struct command *command_at(uint32_t index)
{
    ASSERT(index < commands.count);
    return commands.rows[index];
}

bool command_arity_fits(const struct command *command, uint32_t argc)
{
    return command->arity >= 0 ? argc == (uint32_t)command->arity
                               : argc >= (uint32_t)-command->arity;
}

uint32_t command_key_count(const struct command *command, uint32_t argc)
{
    if (command->first_key == 0 || (uint32_t)command->first_key >= argc) {
        return 0;
    }
    int64_t last = command->last_key >= 0 ? command->last_key : (int64_t)argc + command->last_key;
    if (last < command->first_key || last >= (int64_t)argc) {
        return 0;
    }
    return (uint32_t)((last - command->first_key) / command->key_step + 1);
}

uint32_t command_keys(const struct command *command, uint32_t argc, uint32_t *ret_positions,
                      uint32_t max)
{
    uint32_t count = command_key_count(command, argc);
    count = count < max ? count : max;
    for (uint32_t i = 0; i < count; i++) {
        ret_positions[i] = (uint32_t)command->first_key + i * (uint32_t)command->key_step;
    }
    return count;
}
