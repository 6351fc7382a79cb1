#include "cmd/redact.h"

#include <criterion/criterion.h>

enum { WORDS_MAX = 8 };

/* The indexes that are hidden, as bits. */
static uint32_t hidden(const char *const *words)
{
    struct slice args[WORDS_MAX];
    uint32_t argc = 0;
    for (; words[argc] != NULL; argc++) {
        args[argc] = slice_cstr(words[argc]);
    }
    uint32_t bits = 0;
    for (uint32_t i = 0; i < argc; i++) {
        bool hides = redact_hides(args, argc, i);
        bits |= (uint32_t)hides << i;
        struct slice shown = redact_arg(args, argc, i);
        cr_assert(slice_equal(shown, hides ? slice_cstr("(redacted)") : args[i]));
    }
    return bits;
}

#define HIDDEN(...) hidden((const char *const[]){__VA_ARGS__, NULL})

Test(redact, passwords_of_auth_are_hidden)
{
    cr_assert_eq(HIDDEN("auth", "secret"), 1 << 1);
    cr_assert_eq(HIDDEN("AUTH", "user", "secret"), 1 << 1 | 1 << 2);
}

Test(redact, hello_hides_what_follows_auth)
{
    cr_assert_eq(HIDDEN("hello", "3", "AUTH", "user", "secret", "setname", "me"), 1 << 3 | 1 << 4);
    cr_assert_eq(HIDDEN("hello", "3", "setname", "auth"), 0);
}

Test(redact, config_set_hides_the_values_of_secrets)
{
    cr_assert_eq(HIDDEN("config", "set", "maxmemory", "1mb", "requirepass", "secret"), 1 << 5);
    cr_assert_eq(HIDDEN("config", "get", "requirepass"), 0);
}

Test(redact, everything_else_is_shown)
{
    cr_assert_eq(HIDDEN("set", "auth", "value"), 0);
    cr_assert_eq(HIDDEN("ping"), 0);
}
