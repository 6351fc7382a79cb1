#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/logger.h"

struct error_entry {
    const char *name;
    const char *text;
};

static const struct error_entry error_entries[ERROR_COUNT] = {
#define X(name, text) {#name, text},
    ERROR_LIST(X)
#undef X
};

static const struct error_entry *error_find(int err)
{
    if (err > ERROR_FIRST || err <= ERROR_FIRST - ERROR_COUNT) {
        return NULL;
    }
    return &error_entries[ERROR_FIRST - err];
}

const char *error_text(int err)
{
    if (err == 0) {
        return "ok";
    }
    const struct error_entry *entry = error_find(err);
    if (entry != NULL) {
        return entry->text;
    }
    const char *text = err < 0 && err > ERROR_FIRST ? strerrordesc_np(-err) : NULL;
    return text != NULL ? text : "unknown error";
}

const char *error_name(int err)
{
    if (err == 0) {
        return "OK";
    }
    const struct error_entry *entry = error_find(err);
    if (entry != NULL) {
        return entry->name;
    }
    const char *name = err < 0 && err > ERROR_FIRST ? strerrorname_np(-err) : NULL;
    return name != NULL ? name : "UNKNOWN";
}

int err_corrupt(const char *file, uint64_t offset, const char *fmt, ...)
{
    char message[512];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(message, sizeof(message), fmt, args) < 0) {
        message[0] = '\0';
    }
    va_end(args);
    LOGGER_WARNING("%s at offset %llu: %s", file, (unsigned long long)offset, message);
    return ERR_CORRUPT;
}
