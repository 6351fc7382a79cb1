#include "server/config.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/number.h"
#include "server/config_table.h"

enum {
    NEAREST_DISTANCE_MAX = 3,
    NEAREST_BYTES_MAX = 64,
    TEXT_BYTES_MAX = 64 << 10, /* of one value */
};

/* ---- the table ---- */

uint32_t directive_count(void)
{
    uint32_t ignored = 0;
    while (directives_ignored[ignored].name != NULL) {
        ignored++;
    }
    ASSERT(DIRECTIVE_ID_COUNT + ignored <= CONFIG_DIRECTIVES_MAX);
    return DIRECTIVE_ID_COUNT + ignored;
}

const struct directive *directive_at(uint32_t index)
{
    ASSERT(index < CONFIG_DIRECTIVES_MAX);
    return index < DIRECTIVE_ID_COUNT ? &directives_honoured[index]
                                      : &directives_ignored[index - DIRECTIVE_ID_COUNT];
}

int directive_find(struct slice name)
{
    uint32_t count = directive_count();
    for (uint32_t i = 0; i < count; i++) {
        const struct directive *directive = directive_at(i);
        if (slice_equal_nocase_cstr(name, directive->name) ||
            (directive->alias != NULL && slice_equal_nocase_cstr(name, directive->alias))) {
            return (int)i;
        }
    }
    return ERR_NOT_FOUND;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Insertions, deletions and replacements that make one of the other, row by row. */
static uint32_t edit_distance(struct slice one, const char *other)
{
    uint32_t row[NEAREST_BYTES_MAX + 1];
    size_t columns = strlen(other);
    ASSERT(columns <= NEAREST_BYTES_MAX);
    for (size_t i = 0; i <= columns; i++) {
        row[i] = (uint32_t)i;
    }
    for (size_t i = 0; i < one.bytes; i++) {
        uint32_t diagonal = row[0];
        row[0] = (uint32_t)i + 1;
        for (size_t j = 0; j < columns; j++) {
            uint32_t replaced = diagonal + (lower(one.data[i]) != (uint8_t)other[j]);
            diagonal = row[j + 1];
            uint32_t shifted = (row[j] < diagonal ? row[j] : diagonal) + 1;
            row[j + 1] = replaced < shifted ? replaced : shifted;
        }
    }
    return row[columns];
}

const char *directive_nearest(struct slice name)
{
    const char *nearest = NULL;
    uint32_t distance = NEAREST_DISTANCE_MAX + 1;
    uint32_t count = name.bytes <= NEAREST_BYTES_MAX ? directive_count() : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct directive *directive = directive_at(i);
        uint32_t here = edit_distance(name, directive->name);
        /* Of a short word nearly everything is wrong after three edits. */
        if (here < distance && here * 2 < name.bytes) {
            nearest = directive->name;
            distance = here;
        }
    }
    return nearest;
}

/* ---- checking one value ---- */

/* What a value is about to become. */
struct config_new {
    struct buffer text;
    int64_t number;
    struct config_limit limits[CONFIG_CLASS_COUNT];
};

static int refuse(char error[CONFIG_ERROR_BYTES], const char *text)
{
    (void)snprintf(error, CONFIG_ERROR_BYTES, "%s", text);
    return ERR_CONFIG;
}

static int refuse_arity(char error[CONFIG_ERROR_BYTES])
{
    return refuse(error, "wrong number of arguments");
}

static int check_bool(struct slice word, struct config_new *value, char error[CONFIG_ERROR_BYTES])
{
    value->number = slice_equal_nocase_cstr(word, "yes");
    if (value->number == 0 && !slice_equal_nocase_cstr(word, "no")) {
        return refuse(error, "argument must be 'yes' or 'no'");
    }
    return buffer_append_cstr(&value->text, value->number != 0 ? "yes" : "no");
}

static int check_range(const struct directive *directive, struct config_new *value,
                       char error[CONFIG_ERROR_BYTES])
{
    if (value->number < directive->min || value->number > directive->max) {
        (void)snprintf(error, CONFIG_ERROR_BYTES,
                       "argument must be between %lld and %lld inclusive",
                       (long long)directive->min, (long long)directive->max);
        return ERR_CONFIG;
    }
    return buffer_printf(&value->text, "%lld", (long long)value->number);
}

static int check_int(const struct directive *directive, struct slice word, struct config_new *value,
                     char error[CONFIG_ERROR_BYTES])
{
    if (number_parse_i64(word, &value->number) < 0) {
        return refuse(error, "argument couldn't be parsed into an integer");
    }
    return check_range(directive, value, error);
}

static int check_bytes(const struct directive *directive, struct slice word,
                       struct config_new *value, char error[CONFIG_ERROR_BYTES])
{
    uint64_t bytes;
    if (number_parse_bytes(word, &bytes) < 0 || bytes > INT64_MAX) {
        return refuse(error, "argument must be a memory value");
    }
    value->number = (int64_t)bytes;
    return check_range(directive, value, error);
}

static int check_octal(const struct directive *directive, struct slice word,
                       struct config_new *value, char error[CONFIG_ERROR_BYTES])
{
    static const char text[] = "argument couldn't be parsed as an octal number";
    if (word.bytes == 0 || word.bytes > 6) {
        return refuse(error, text);
    }
    value->number = 0;
    for (size_t i = 0; i < word.bytes; i++) {
        if (word.data[i] < '0' || word.data[i] > '7') {
            return refuse(error, text);
        }
        value->number = value->number * 8 + (word.data[i] - '0');
    }
    if (value->number > directive->max) {
        return refuse(error, "argument must be between 0 and 777 inclusive");
    }
    return buffer_printf(&value->text, "%llo", (unsigned long long)value->number);
}

static int check_enum(const struct directive *directive, struct slice word,
                      struct config_new *value, char error[CONFIG_ERROR_BYTES])
{
    int used = snprintf(error, CONFIG_ERROR_BYTES, "argument(s) must be one of the following: ");
    for (uint32_t i = 0; directive->choices[i] != NULL; i++) {
        if (slice_equal_nocase_cstr(word, directive->choices[i])) {
            value->number = i;
            return buffer_append_cstr(&value->text, directive->choices[i]);
        }
        if (used < CONFIG_ERROR_BYTES) {
            used += snprintf(error + used, (size_t)(CONFIG_ERROR_BYTES - used), "%s%s",
                             i > 0 ? ", " : "", directive->choices[i]);
        }
    }
    return ERR_CONFIG;
}

static int check_string(const struct directive *directive, struct slice word,
                        struct config_new *value, char error[CONFIG_ERROR_BYTES])
{
    if (memchr(word.data, '\0', word.bytes) != NULL) {
        return refuse(error, "argument holds a zero byte");
    }
    if (directive->max > 0 && word.bytes > (uint64_t)directive->max) {
        (void)snprintf(error, CONFIG_ERROR_BYTES, "argument must not be longer than %lld bytes",
                       (long long)directive->max);
        return ERR_CONFIG;
    }
    return buffer_append_slice(&value->text, word);
}

static int check_words(const struct slice *words, uint32_t count, struct config_new *value)
{
    for (uint32_t i = 0; i < count; i++) {
        if (value->text.bytes > 0) {
            TRY(buffer_append_byte(&value->text, ' '));
        }
        TRY(buffer_append_slice(&value->text, words[i]));
    }
    return 0;
}

static int check_save(const struct slice *words, uint32_t count, struct config_new *value,
                      char error[CONFIG_ERROR_BYTES])
{
    if (count == 1 && words[0].bytes == 0) {
        return 0;
    }
    if (count % 2 != 0) {
        return refuse(error, "Invalid save parameters");
    }
    if (count >= CONFIG_WORDS_MAX) {
        return refuse(error, "too many save parameters"); /* for one line, as it is written */
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t number;
        if (number_parse_i64(words[i], &number) < 0 || number < (i % 2 == 0 ? 1 : 0)) {
            return refuse(error, "Invalid save parameters");
        }
    }
    return check_words(words, count, value);
}

/* ---- client-output-buffer-limit ---- */

static const char *const class_names[CONFIG_CLASS_COUNT] = {"normal", "slave", "pubsub"};

static int limit_class(struct slice word)
{
    for (int i = 0; i < CONFIG_CLASS_COUNT; i++) {
        if (slice_equal_nocase_cstr(word, class_names[i])) {
            return i;
        }
    }
    return slice_equal_nocase_cstr(word, "replica") ? CONFIG_CLASS_REPLICA : ERR_NOT_FOUND;
}

static int check_limit(const struct slice words[4], struct config_limit *limits,
                       char error[CONFIG_ERROR_BYTES])
{
    int class = limit_class(words[0]);
    if (class < 0) {
        return refuse(error, "Invalid client class specified in buffer limit configuration.");
    }
    struct config_limit limit;
    int64_t seconds;
    if (number_parse_bytes(words[1], &limit.hard_bytes) < 0 ||
        number_parse_bytes(words[2], &limit.soft_bytes) < 0 ||
        number_parse_i64(words[3], &seconds) < 0 || seconds < 0 || seconds > INT32_MAX) {
        return refuse(error, "Error in hard, soft or soft_seconds setting in buffer limit "
                             "configuration.");
    }
    limit.soft_seconds = (uint32_t)seconds;
    limits[class] = limit;
    return 0;
}

/* Only the classes that are named change. */
static int check_limits(const struct slice *words, uint32_t count, struct config_new *value,
                        char error[CONFIG_ERROR_BYTES])
{
    if (count == 0 || count % 4 != 0) {
        return refuse(error, "Wrong number of arguments in buffer limit configuration.");
    }
    for (uint32_t i = 0; i < count; i += 4) {
        TRY(check_limit(words + i, value->limits, error));
    }
    for (uint32_t i = 0; i < CONFIG_CLASS_COUNT; i++) {
        const struct config_limit *limit = &value->limits[i];
        TRY(buffer_printf(&value->text, "%s%s %llu %llu %u", i > 0 ? " " : "", class_names[i],
                          (unsigned long long)limit->hard_bytes,
                          (unsigned long long)limit->soft_bytes, limit->soft_seconds));
    }
    return 0;
}

/* ---- setting ---- */

static bool takes_many_words(enum directive_type type)
{
    return type == CONFIG_WORDS || type == CONFIG_SAVE || type == CONFIG_LIMITS;
}

static int check_value(const struct directive *directive, const struct slice *words, uint32_t count,
                       struct config_new *value, char error[CONFIG_ERROR_BYTES])
{
    if (!takes_many_words(directive->type) && count != 1) {
        return refuse_arity(error);
    }
    switch (directive->type) {
    case CONFIG_BOOL:
        return check_bool(words[0], value, error);
    case CONFIG_INT:
        return check_int(directive, words[0], value, error);
    case CONFIG_BYTES:
        return check_bytes(directive, words[0], value, error);
    case CONFIG_OCTAL:
        return check_octal(directive, words[0], value, error);
    case CONFIG_ENUM:
        return check_enum(directive, words[0], value, error);
    case CONFIG_STRING:
        return check_string(directive, words[0], value, error);
    case CONFIG_WORDS:
        return check_words(words, count, value);
    case CONFIG_SAVE:
        return check_save(words, count, value, error);
    case CONFIG_LIMITS:
        return check_limits(words, count, value, error);
    }
    UNREACHABLE("a directive's type");
}

/* What concerns one directive alone. */
static int check_special(uint32_t index, const struct config_new *value,
                         char error[CONFIG_ERROR_BYTES])
{
    if (index == DIRECTIVE_LOG_SEGMENT_SIZE && !is_power_of_two((uint64_t)value->number)) {
        return refuse(error, "argument must be a power of two");
    }
    if (index == DIRECTIVE_PARTITIONS && value->number != 0 &&
        !is_power_of_two((uint64_t)value->number)) {
        return refuse(error, "argument must be 0 or a power of two");
    }
    return 0;
}

static int check_refused(const struct directive *directive, const struct config_new *value,
                         char error[CONFIG_ERROR_BYTES])
{
    if ((directive->flags & DIRECTIVE_REFUSED) != 0 &&
        !slice_equal(buffer_slice(&value->text), slice_cstr(directive->fallback))) {
        return refuse(error, directive->note);
    }
    return 0;
}

static int adopt(struct config *config, uint32_t index, struct config_new *value)
{
    char *text = slice_dup_cstr(buffer_slice(&value->text));
    if (text == NULL) {
        return ERR_MEMORY;
    }
    mem_free(config->values[index].text);
    config->values[index].text = text;
    config->values[index].number = value->number;
    memcpy(config->limits, value->limits, sizeof(config->limits));
    return 0;
}

int config_set(struct config *config, uint32_t index, const struct slice *words, uint32_t count,
               char error[CONFIG_ERROR_BYTES])
{
    const struct directive *directive = directive_at(index);
    struct config_new value = {.number = 0};
    memcpy(value.limits, config->limits, sizeof(value.limits));
    buffer_init(&value.text, TEXT_BYTES_MAX);
    int err = check_value(directive, words, count, &value, error);
    if (err == ERR_LIMIT) {
        err = refuse(error, "argument is too long");
    }
    if (err == 0) {
        err = check_special(index, &value, error);
    }
    if (err == 0) {
        err = check_refused(directive, &value, error);
    }
    if (err == 0) {
        err = adopt(config, index, &value);
    }
    buffer_deinit(&value.text);
    if (err == 0) {
        config->values[index].given = true;
    }
    return err;
}

void config_note(struct config *config, enum directive_id id, int64_t number)
{
    char text[NUMBER_I64_BYTES_MAX];
    char *copy = slice_dup_cstr(slice_of(text, number_format_i64(text, number)));
    if (copy != NULL) {
        mem_free(config->values[id].text);
        config->values[id].text = copy;
        config->values[id].number = number;
    }
}

/* ---- a config's life ---- */

/* Defaults are one text each; here they are cut into words again. */
static uint32_t split_words(const char *text, struct slice words[CONFIG_WORDS_MAX])
{
    uint32_t count = 0;
    while (*text != '\0') {
        size_t bytes = strcspn(text, " ");
        ASSERT(count < CONFIG_WORDS_MAX);
        words[count++] = slice_of(text, bytes);
        text += bytes;
        text += strspn(text, " ");
    }
    return count;
}

static int set_default(struct config *config, uint32_t index)
{
    const struct directive *directive = directive_at(index);
    struct slice words[CONFIG_WORDS_MAX] = {slice_cstr(directive->fallback)};
    uint32_t count = 1;
    if (takes_many_words(directive->type)) {
        count = split_words(directive->fallback, words);
    }
    char error[CONFIG_ERROR_BYTES];
    int err = config_set(config, index, words, count, error);
    ASSERT(err != ERR_CONFIG); /* the table's defaults are good */
    config->values[index].given = false;
    return err;
}

struct config *config_create(void)
{
    struct config *config = mem_calloc(1, sizeof(*config));
    uint32_t count = config != NULL ? directive_count() : 0;
    for (uint32_t i = 0; i < count; i++) {
        if (set_default(config, i) < 0) {
            config_destroy(config);
            return NULL;
        }
    }
    return config;
}

struct config *config_copy(const struct config *config)
{
    struct config *copy = mem_alloc(sizeof(*copy));
    if (copy == NULL) {
        return NULL;
    }
    *copy = *config;
    uint32_t count = directive_count();
    bool complete = true;
    for (uint32_t i = 0; i < count; i++) {
        copy->values[i].text = mem_dup_cstr(config->values[i].text);
        complete = complete && copy->values[i].text != NULL;
    }
    if (!complete) {
        config_destroy(copy);
        return NULL;
    }
    return copy;
}

void config_destroy(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < CONFIG_DIRECTIVES_MAX; i++) {
        mem_free(config->values[i].text);
    }
    mem_free(config);
}

const char *config_text(const struct config *config, enum directive_id id)
{
    return config->values[id].text;
}

int64_t config_number(const struct config *config, enum directive_id id)
{
    return config->values[id].number;
}

void config_each_ignored(const struct config *config,
                         void (*each)(void *context, const struct directive *directive),
                         void *context)
{
    uint32_t count = directive_count();
    for (uint32_t i = 0; i < count; i++) {
        const struct directive *directive = directive_at(i);
        if (config->values[i].given && (directive->flags & DIRECTIVE_IGNORED) != 0) {
            each(context, directive);
        }
    }
}
