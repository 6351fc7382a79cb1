#include "cmd/redact.h"

static bool is_word(const struct slice *args, uint32_t argc, uint32_t index, const char *word)
{
    return index < argc && slice_equal_nocase_cstr(args[index], word);
}

/* HELLO protover AUTH user password */
static bool hello_hides(const struct slice *args, uint32_t argc, uint32_t index)
{
    return index >= 3 && (is_word(args, argc, index - 1, "auth") ||
                          (index >= 4 && is_word(args, argc, index - 2, "auth")));
}

/* CONFIG SET name value [name value ...] */
static bool config_hides(const struct slice *args, uint32_t argc, uint32_t index)
{
    static const char *const secrets[] = {"requirepass", "masterauth", "masteruser",
                                          "tls-key-file-pass", "tls-client-key-file-pass"};
    if (index < 3 || index % 2 == 0 || !is_word(args, argc, 1, "set")) {
        return false;
    }
    for (uint32_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (is_word(args, argc, index - 1, secrets[i])) {
            return true;
        }
    }
    return false;
}

bool redact_hides(const struct slice *args, uint32_t argc, uint32_t index)
{
    if (index == 0) {
        return false;
    }
    if (is_word(args, argc, 0, "auth")) {
        return true;
    }
    if (is_word(args, argc, 0, "hello")) {
        return hello_hides(args, argc, index);
    }
    return is_word(args, argc, 0, "config") && config_hides(args, argc, index);
}

struct slice redact_arg(const struct slice *args, uint32_t argc, uint32_t index)
{
    return redact_hides(args, argc, index) ? slice_cstr("(redacted)") : args[index];
}
