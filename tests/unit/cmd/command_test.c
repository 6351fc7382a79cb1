#include "cmd/command.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct command *find(uint32_t argc, const char *name, const char *sub)
{
    commands_init();
    struct slice args[2] = {slice_cstr(name), slice_cstr(sub != NULL ? sub : "")};
    const struct command *container;
    return command_find(args, argc, &container);
}

Test(command, is_found_in_any_case)
{
    const struct command *get = find(1, "get", NULL);
    cr_assert_not_null(get);
    cr_assert_str_eq(get->name, "get");
    cr_assert_eq(find(1, "GET", NULL), get);
    cr_assert_eq(find(1, "gEt", NULL), get);
}

Test(command, unknown_names_are_none)
{
    cr_assert_null(find(1, "", NULL));
    cr_assert_null(find(1, "ge", NULL));
    cr_assert_null(find(1, "gett", NULL));
    cr_assert_null(find(1, "client|setname", NULL)); /* not a name of its own */
    char longer[4096];
    memset(longer, 'g', sizeof(longer));
    struct slice args[1] = {{(uint8_t *)longer, sizeof(longer)}};
    const struct command *container;
    cr_assert_null(command_find(args, 1, &container));
    cr_assert_null(container);
}

Test(command, names_are_found_with_zero_bytes_in_the_way_only_as_they_are)
{
    commands_init();
    struct slice args[1] = {{(const uint8_t *)"get\0", 4}};
    const struct command *container;
    cr_assert_null(command_find(args, 1, &container));
}

Test(command, a_container_leads_to_its_subcommands)
{
    const struct command *setname = find(2, "CLIENT", "SetName");
    cr_assert_not_null(setname);
    cr_assert_str_eq(setname->name, "client|setname");
    const struct command *client = find(1, "client", NULL);
    cr_assert_str_eq(client->name, "client");
}

Test(command, an_unknown_subcommand_names_its_container)
{
    commands_init();
    struct slice args[2] = {slice_cstr("client"), slice_cstr("nosuch")};
    const struct command *container;
    cr_assert_null(command_find(args, 2, &container));
    cr_assert_not_null(container);
    cr_assert_str_eq(container->name, "client");
    args[0] = slice_cstr("nosuch");
    cr_assert_null(command_find(args, 2, &container));
    cr_assert_null(container);
}

Test(command, arity_is_exact_or_a_minimum)
{
    const struct command *get = find(1, "get", NULL);
    cr_assert_not(command_arity_fits(get, 1));
    cr_assert(command_arity_fits(get, 2));
    cr_assert_not(command_arity_fits(get, 3));
    const struct command *set = find(1, "set", NULL);
    cr_assert_not(command_arity_fits(set, 2));
    cr_assert(command_arity_fits(set, 3));
    cr_assert(command_arity_fits(set, 30));
}

Test(command, keys_are_where_the_row_says)
{
    uint32_t positions[8];
    cr_assert_eq(command_keys(find(1, "mset", NULL), 7, positions, 8), 3);
    cr_assert_eq(positions[0], 1);
    cr_assert_eq(positions[2], 5);
    cr_assert_eq(command_key_count(find(1, "mget", NULL), 4), 3);
    cr_assert_eq(command_key_count(find(1, "rename", NULL), 3), 2);
    cr_assert_eq(command_key_count(find(1, "ping", NULL), 2), 0);
    cr_assert_eq(command_keys(find(2, "object", "encoding"), 3, positions, 8), 1);
    cr_assert_eq(positions[0], 2);
    cr_assert_eq(command_keys(find(1, "mget", NULL), 4, positions, 2), 2); /* no more than asked */
}

/* What a handler relies on holds for every row. */
Test(command, every_row_is_whole)
{
    commands_init();
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command *row = command_at(i);
        cr_assert_eq(row->index, i);
        cr_assert_not_null(row->summary, "%s", row->name);
        cr_assert_not_null(row->syntax, "%s", row->name);
        cr_assert_not_null(row->group, "%s", row->name);
        cr_assert_neq(row->arity, 0, "%s", row->name);
        uint32_t kinds = ((row->flags & CMD_KEYS) != 0) + ((row->flags & CMD_SESSION) != 0) +
                         ((row->flags & CMD_WIDE) != 0);
        cr_assert_eq(kinds, 1, "%s runs in one way", row->name);
        cr_assert(row->handler != NULL || (row->flags & CMD_CONTAINER) != 0, "%s", row->name);
        bool keys = (row->flags & CMD_KEYS) != 0;
        cr_assert_eq(keys, row->first_key > 0, "%s", row->name);
        cr_assert_eq(keys, row->key_step > 0, "%s", row->name);
        if (keys) {
            bool write = (row->flags & CMD_WRITE) != 0;
            bool readonly = (row->flags & CMD_READONLY) != 0;
            cr_assert_neq(write, readonly, "%s reads or writes", row->name);
            /* The least arguments that the arity lets through hold a key. */
            uint32_t least = (uint32_t)(row->arity < 0 ? -row->arity : row->arity);
            cr_assert_gt(command_key_count(row, least), 0, "%s", row->name);
        }
    }
}

Test(command, a_set_is_blind_unless_it_asks_for_the_old_value)
{
    const struct command *set = find(1, "set", NULL);
    struct slice args[6] = {slice_cstr("set"), slice_cstr("k"),  slice_cstr("v"),
                            slice_cstr("px"),  slice_cstr("10"), slice_cstr("nx")};
    cr_assert(set->is_blind(args, 3));
    cr_assert(set->is_blind(args, 5));
    cr_assert_not(set->is_blind(args, 6));
    args[3] = slice_cstr("KEEPTTL");
    cr_assert_not(set->is_blind(args, 4));
    args[3] = slice_cstr("get");
    cr_assert_not(set->is_blind(args, 4));
}

Test(command, copy_has_keys_in_two_databases)
{
    const struct command *copy = find(1, "copy", NULL);
    struct slice args[6] = {slice_cstr("copy"), slice_cstr("a"), slice_cstr("b"),
                            slice_cstr("DB"),   slice_cstr("3"), slice_cstr("replace")};
    cr_assert_eq(copy->key_database(args, 6, 0), -1);
    cr_assert_eq(copy->key_database(args, 6, 1), 3);
    cr_assert_eq(copy->key_database(args, 4, 1), -1); /* the number is missing */
    args[4] = slice_cstr("-1");
    cr_assert_eq(copy->key_database(args, 6, 1), -1);
    args[4] = slice_cstr("99999999999999999999");
    cr_assert_eq(copy->key_database(args, 6, 1), -1);
}
