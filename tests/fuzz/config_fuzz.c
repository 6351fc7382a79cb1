/*
 * config: a text is a configuration, or refused with the line and the reason. A configuration that
 * is written out and read again is the same, and written out once more the same text.
 *
 * Input: the text of a file. The only other file there is is etc/inc.conf.
 */
#include <string.h>

#include "fuzz.h"
#include "memory_disk.h"
#include "server/config.h"

static void prepare(void)
{
    static bool prepared;
    if (!prepared) {
        warnings_catch();
        memory_disk_clear();
        memory_disk_put("etc/inc.conf", slice_cstr("maxmemory 64mb\nsave 60 1\n"));
        prepared = true;
    }
}

static struct config *read_text(struct slice text, struct config_failure *failure)
{
    struct config *config = config_create();
    MUST(config != NULL);
    int err = config_read_text(config, text, "fuzz.conf", failure);
    if (err == 0) {
        return config;
    }
    config_destroy(config);
    MUST(err == ERR_CONFIG);
    MUST(failure->line > 0 && failure->reason[0] != '\0' && failure->file[0] != '\0');
    MUST(memchr(failure->reason, '\0', sizeof(failure->reason)) != NULL);
    return NULL;
}

static void check_equal(const struct config *one, const struct config *other)
{
    for (uint32_t i = 0; i < directive_count(); i++) {
        if (strcmp(one->values[i].text, other->values[i].text) != 0) {
            (void)fprintf(stderr, "%s is '%s', read again '%s'\n", directive_at(i)->name,
                          one->values[i].text, other->values[i].text);
            abort();
        }
        MUST(one->values[i].number == other->values[i].number);
    }
    for (int i = 0; i < CONFIG_CLASS_COUNT; i++) {
        MUST(one->limits[i].hard_bytes == other->limits[i].hard_bytes);
        MUST(one->limits[i].soft_bytes == other->limits[i].soft_bytes);
        MUST(one->limits[i].soft_seconds == other->limits[i].soft_seconds);
    }
}

/* A file that includes another is left out: what stands in the other one comes again when the file
 * is read, and `save` lines add up, as in Redis. */
static bool has_include(struct slice text)
{
    for (size_t i = 0; i + 7 <= text.bytes; i++) {
        if (slice_equal_nocase_cstr(slice_of(text.data + i, 7), "include")) {
            return true;
        }
    }
    return false;
}

/* Written over `old`, read, and written again. */
static void check_rewrite(const struct config *config, struct slice old)
{
    struct buffer first;
    struct buffer second;
    struct config_failure failure;
    buffer_init(&first, CONFIG_TEXT_BYTES_MAX);
    buffer_init(&second, CONFIG_TEXT_BYTES_MAX);
    MUST(config_rewrite(config, old, &first) == 0);
    struct config *again = read_text(buffer_slice(&first), &failure);
    MUST(again != NULL);
    check_equal(config, again);
    MUST(config_rewrite(again, buffer_slice(&first), &second) == 0);
    MUST(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    config_destroy(again);
    buffer_deinit(&first);
    buffer_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    prepare();
    uint8_t *copy = copy_exactly(slice_of(data, bytes));
    struct slice text = slice_of(copy, bytes);
    struct config_failure failure;
    struct config *config = read_text(text, &failure);
    if (config != NULL) {
        check_rewrite(config, slice_of(NULL, 0));
        if (!has_include(text)) {
            check_rewrite(config, text);
        }
        config_destroy(config);
    }
    free(copy);
    return 0;
}
