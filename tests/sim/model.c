#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "world.h"

enum { NAME_BYTES = 24 };

struct item {
    char name[NAME_BYTES];
    uint32_t database;
    bool alive; /* false: it was there once */
    uint8_t *value;
    size_t bytes;
    int64_t expire_ms; /* 0: never */
};

struct model {
    struct item items[MODEL_KEYS_MAX];
    uint32_t count;
};

/* One command as it is carried out. */
struct act {
    struct model *model;
    uint32_t database;
    const struct command *command;
    int64_t now_ms;
    struct answer want; /* type '?': any but an error */
    size_t capacity;
};

/* ---- life ---- */

struct model *model_create(void)
{
    return sim_alloc(sizeof(struct model));
}

static void value_set(struct item *item, const void *data, size_t bytes)
{
    uint8_t *value = sim_alloc(bytes + 1);
    if (bytes > 0) {
        memcpy(value, data, bytes);
    }
    sim_free(item->value);
    item->value = value;
    item->bytes = bytes;
}

struct model *model_copy(const struct model *model)
{
    struct model *copy = sim_alloc(sizeof(*copy));
    *copy = *model;
    for (uint32_t i = 0; i < copy->count; i++) {
        copy->items[i].value = NULL;
        value_set(&copy->items[i], model->items[i].value, model->items[i].bytes);
    }
    return copy;
}

void model_destroy(struct model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        sim_free(model->items[i].value);
    }
    sim_free(model);
}

/* ---- items ---- */

static struct item *item_find(struct model *model, uint32_t database, const char *name)
{
    for (uint32_t i = 0; i < model->count; i++) {
        struct item *item = &model->items[i];
        if (item->database == database && strcmp(item->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

static bool items_equal(const struct item *a, const struct item *b)
{
    if (a == NULL || b == NULL || !a->alive || !b->alive) {
        return (a == NULL || !a->alive) && (b == NULL || !b->alive);
    }
    return a->bytes == b->bytes && a->expire_ms == b->expire_ms &&
           memcmp(a->value, b->value, a->bytes) == 0;
}

static bool holds_all(const struct model *a, const struct model *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct item *item = &b->items[i];
        if (!items_equal(item_find((struct model *)a, item->database, item->name), item)) {
            return false;
        }
    }
    return true;
}

bool model_equal(const struct model *a, const struct model *b)
{
    return holds_all(a, b) && holds_all(b, a);
}

/* The living item, or NULL. */
static struct item *find(struct act *act, const char *name)
{
    struct item *item = item_find(act->model, act->database, name);
    if (item != NULL && item->expire_ms != 0 && item->expire_ms <= act->now_ms) {
        item->alive = false;
    }
    return item != NULL && item->alive ? item : NULL;
}

/* A living item; a new one is empty. */
static struct item *put_in(struct act *act, uint32_t database, const char *name)
{
    struct item *item = item_find(act->model, database, name);
    if (item == NULL) {
        SIM_CHECK(act->model->count < MODEL_KEYS_MAX, "simulator: too many keys");
        item = &act->model->items[act->model->count++];
        memset(item, 0, sizeof(*item));
        item->database = database;
        (void)snprintf(item->name, sizeof(item->name), "%s", name);
    }
    if (!item->alive) {
        item->alive = true;
        item->expire_ms = 0;
        value_set(item, "", 0);
    }
    return item;
}

static struct item *put(struct act *act, const char *name)
{
    (void)find(act, name);
    return put_in(act, act->database, name);
}

/* ---- arguments ---- */

static const char *word(struct act *act, uint32_t index)
{
    static char words[8][64];
    static uint32_t next;
    char *to = words[next++ % 8];
    SIM_CHECK(index < act->command->argc, "simulator: an argument is missing");
    (void)snprintf(to, sizeof(words[0]), "%.*s", (int)act->command->bytes[index],
                   (const char *)act->command->args[index]);
    return to;
}

static int64_t number(struct act *act, uint32_t index)
{
    return strtoll(word(act, index), NULL, 10);
}

/* The place of an option, 0: it isn't there. */
static uint32_t option(struct act *act, uint32_t from, const char *name)
{
    for (uint32_t i = from; i < act->command->argc; i++) {
        if (act->command->bytes[i] == strlen(name) && strcasecmp(word(act, i), name) == 0) {
            return i;
        }
    }
    return 0;
}

/* ---- what is wanted ---- */

static void want_text(struct act *act, const void *data, size_t bytes)
{
    if (act->want.bytes + bytes > act->capacity) {
        act->capacity = (act->want.bytes + bytes) * 2;
        act->want.text = sim_realloc(act->want.text, act->capacity);
    }
    if (bytes > 0) {
        memcpy(act->want.text + act->want.bytes, data, bytes);
    }
    act->want.bytes += bytes;
}

static void want_ok(struct act *act)
{
    act->want.type = '+';
    want_text(act, "OK", 2);
}

static void want_number(struct act *act, int64_t value)
{
    act->want.type = ':';
    act->want.integer = value;
}

static void want_item(struct act *act, const struct item *item)
{
    act->want.type = item == NULL ? 'n' : '$';
    if (item != NULL) {
        want_text(act, item->value, item->bytes);
    }
}

static void want_error(struct act *act)
{
    act->want.type = '-';
}

/* ---- strings ---- */

static void act_set(struct act *act)
{
    struct item *item = find(act, word(act, 1));
    uint32_t seconds = option(act, 3, "EX");
    uint32_t millis = option(act, 3, "PX");
    if ((option(act, 3, "NX") > 0 && item != NULL) || (option(act, 3, "XX") > 0 && item == NULL)) {
        want_item(act, NULL);
        return;
    }
    bool keep = option(act, 3, "KEEPTTL") > 0;
    item = put(act, word(act, 1));
    value_set(item, act->command->args[2], act->command->bytes[2]);
    item->expire_ms = keep          ? item->expire_ms
                      : seconds > 0 ? act->now_ms + number(act, seconds + 1) * 1000
                      : millis > 0  ? act->now_ms + number(act, millis + 1)
                                    : 0;
    want_ok(act);
}

static void act_get(struct act *act)
{
    want_item(act, find(act, word(act, 1)));
}

static void act_getset(struct act *act)
{
    want_item(act, find(act, word(act, 1)));
    struct item *item = put(act, word(act, 1));
    value_set(item, act->command->args[2], act->command->bytes[2]);
    item->expire_ms = 0;
}

static void act_getdel(struct act *act)
{
    struct item *item = find(act, word(act, 1));
    want_item(act, item);
    if (item != NULL) {
        item->alive = false;
    }
}

static void act_append(struct act *act)
{
    struct item *item = put(act, word(act, 1));
    size_t more = act->command->bytes[2];
    uint8_t *both = sim_alloc(item->bytes + more + 1);
    memcpy(both, item->value, item->bytes);
    memcpy(both + item->bytes, act->command->args[2], more);
    value_set(item, both, item->bytes + more);
    sim_free(both);
    want_number(act, (int64_t)item->bytes);
}

static void act_setrange(struct act *act)
{
    struct item *item = put(act, word(act, 1));
    size_t from = (size_t)number(act, 2);
    size_t end = from + act->command->bytes[3];
    size_t bytes = end > item->bytes ? end : item->bytes;
    uint8_t *both = sim_alloc(bytes + 1);
    memcpy(both, item->value, item->bytes);
    memcpy(both + from, act->command->args[3], act->command->bytes[3]);
    value_set(item, both, bytes);
    sim_free(both);
    want_number(act, (int64_t)bytes);
}

static void act_strlen(struct act *act)
{
    const struct item *item = find(act, word(act, 1));
    want_number(act, item == NULL ? 0 : (int64_t)item->bytes);
}

static void act_incrby(struct act *act)
{
    int64_t by = act->command->argc > 2 ? number(act, 2) : 1;
    struct item *item = find(act, word(act, 1));
    char text[32] = "0";
    if (item != NULL) {
        (void)snprintf(text, sizeof(text), "%.*s", (int)item->bytes, (const char *)item->value);
    }
    char *end;
    int64_t value = strtoll(text, &end, 10);
    if (*end != '\0' || (item != NULL && (item->bytes == 0 || item->bytes > 20))) {
        want_error(act);
        return;
    }
    value += word(act, 0)[0] == 'D' ? -by : by;
    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    value_set(put(act, word(act, 1)), text, strlen(text));
    want_number(act, value);
}

static void act_mset(struct act *act)
{
    bool only_new = strcmp(word(act, 0), "MSETNX") == 0;
    for (uint32_t i = 1; only_new && i < act->command->argc; i += 2) {
        if (find(act, word(act, i)) != NULL) {
            want_number(act, 0);
            return;
        }
    }
    for (uint32_t i = 1; i < act->command->argc; i += 2) {
        struct item *item = put(act, word(act, i));
        value_set(item, act->command->args[i + 1], act->command->bytes[i + 1]);
        item->expire_ms = 0;
    }
    if (only_new) {
        want_number(act, 1);
    } else {
        want_ok(act);
    }
}

static void act_mget(struct act *act)
{
    for (uint32_t i = 1; i < act->command->argc; i++) {
        const struct item *item = find(act, word(act, i));
        char head[32];
        int bytes = snprintf(head, sizeof(head), item == NULL ? "n-1 " : "$%zu ",
                             item == NULL ? 0 : item->bytes);
        want_text(act, head, (size_t)bytes);
        if (item != NULL) {
            want_text(act, item->value, item->bytes);
        }
    }
    act->want.type = '*';
    act->want.count = act->command->argc - 1;
}

/* ---- keys ---- */

static void act_del(struct act *act)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < act->command->argc; i++) {
        struct item *item = find(act, word(act, i));
        count += item != NULL;
        if (item != NULL) {
            item->alive = false;
        }
    }
    want_number(act, count);
}

static void act_exists(struct act *act)
{
    int64_t count = 0;
    for (uint32_t i = 1; i < act->command->argc; i++) {
        count += find(act, word(act, i)) != NULL;
    }
    want_number(act, count);
}

static void act_expire(struct act *act)
{
    struct item *item = find(act, word(act, 1));
    if (item != NULL) {
        int64_t unit = word(act, 0)[0] == 'P' ? 1 : 1000;
        item->expire_ms = act->now_ms + number(act, 2) * unit;
    }
    want_number(act, item != NULL);
}

static void act_persist(struct act *act)
{
    struct item *item = find(act, word(act, 1));
    want_number(act, item != NULL && item->expire_ms != 0);
    if (item != NULL) {
        item->expire_ms = 0;
    }
}

/* -2: absent, -1: no expiry, 1: some time is left. */
static void act_ttl(struct act *act)
{
    const struct item *item = find(act, word(act, 1));
    want_number(act, item == NULL ? -2 : item->expire_ms == 0 ? -1 : 1);
}

static void item_move(struct act *act, struct item *from, uint32_t database, const char *name)
{
    struct item copy = *from;
    struct item *to = put_in(act, database, name);
    value_set(to, copy.value, copy.bytes);
    to->expire_ms = copy.expire_ms;
}

static void act_rename(struct act *act)
{
    struct item *from = find(act, word(act, 1));
    bool only_new = strcmp(word(act, 0), "RENAMENX") == 0;
    if (from == NULL) {
        want_error(act);
        return;
    }
    bool refused = only_new && find(act, word(act, 2)) != NULL;
    if (!refused) {
        item_move(act, from, act->database, word(act, 2));
        from = find(act, word(act, 1));
        from->alive = false;
    }
    if (only_new) {
        want_number(act, !refused);
    } else {
        want_ok(act);
    }
}

static void act_copy(struct act *act)
{
    struct item *from = find(act, word(act, 1));
    uint32_t place = option(act, 3, "DB");
    uint32_t database = place > 0 ? (uint32_t)number(act, place + 1) : act->database;
    struct item *to = item_find(act->model, database, word(act, 2));
    bool there = to != NULL && to->alive;
    bool done = from != NULL && (!there || option(act, 3, "REPLACE") > 0);
    if (done) {
        item_move(act, from, database, word(act, 2));
    }
    want_number(act, done);
}

/* ---- databases ---- */

static int64_t living(struct act *act)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < act->model->count; i++) {
        const struct item *item = &act->model->items[i];
        if (item->database == act->database) {
            count += find(act, item->name) != NULL;
        }
    }
    return count;
}

static void act_dbsize(struct act *act)
{
    want_number(act, living(act));
}

/* KEYS *: as many as there are. */
static void act_keys(struct act *act)
{
    act->want.type = '*';
    act->want.count = (uint32_t)living(act);
    act->want.lost = true; /* the order isn't known: only the number counts */
}

static void act_flush(struct act *act)
{
    bool all = strcmp(word(act, 0), "FLUSHALL") == 0;
    for (uint32_t i = 0; i < act->model->count; i++) {
        struct item *item = &act->model->items[i];
        item->alive = item->alive && !all && item->database != act->database;
    }
    want_ok(act);
}

static void act_swapdb(struct act *act)
{
    uint32_t a = (uint32_t)number(act, 1);
    uint32_t b = (uint32_t)number(act, 2);
    for (uint32_t i = 0; i < act->model->count; i++) {
        struct item *item = &act->model->items[i];
        item->database = item->database == a ? b : item->database == b ? a : item->database;
    }
    want_ok(act);
}

static void act_select(struct act *act)
{
    want_ok(act);
}

static void act_any(struct act *act)
{
    act->want.type = '?';
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*fn)(struct act *act);
} acts[] = {
    {"SET", act_set},       {"GET", act_get},        {"GETSET", act_getset},
    {"GETDEL", act_getdel}, {"APPEND", act_append},  {"SETRANGE", act_setrange},
    {"STRLEN", act_strlen}, {"INCR", act_incrby},    {"INCRBY", act_incrby},
    {"DECR", act_incrby},   {"DECRBY", act_incrby},  {"MSET", act_mset},
    {"MSETNX", act_mset},   {"MGET", act_mget},      {"DEL", act_del},
    {"UNLINK", act_del},    {"EXISTS", act_exists},  {"TOUCH", act_exists},
    {"EXPIRE", act_expire}, {"PEXPIRE", act_expire}, {"PERSIST", act_persist},
    {"TTL", act_ttl},       {"RENAME", act_rename},  {"RENAMENX", act_rename},
    {"COPY", act_copy},     {"DBSIZE", act_dbsize},  {"KEYS", act_keys},
    {"FLUSHDB", act_flush}, {"FLUSHALL", act_flush}, {"SWAPDB", act_swapdb},
    {"SELECT", act_select}, {"SAVE", act_any},       {"BGSAVE", act_any},
    {"DEBUG", act_any},     {"CONFIG", act_any},     {"INFO", act_any},
    {"SCAN", act_any},      {"RANDOMKEY", act_any},  {"OBJECT", act_any},
    {"MEMORY", act_any},    {"GETRANGE", act_any},   {"TYPE", act_any},
    {"PING", act_any},      {"CLIENT", act_any},     {"COMMAND", act_any},
};

static bool is_wanted(const struct act *act, const struct answer *answer)
{
    const struct answer *want = &act->want;
    if (want->type == '?') {
        return answer->type != '-';
    }
    if (answer->type != want->type) {
        return false;
    }
    if (strcmp(word((struct act *)act, 0), "TTL") == 0) {
        return want->integer > 0 ? answer->integer >= 0 : answer->integer == want->integer;
    }
    if (answer->type == ':') {
        return answer->integer == want->integer;
    }
    if (answer->type == '-' || answer->type == 'n' || want->lost) {
        return answer->count == want->count;
    }
    return answer->bytes == want->bytes && answer->count == want->count &&
           (want->bytes == 0 || memcmp(answer->text, want->text, want->bytes) == 0);
}

bool model_apply(struct model *model, uint32_t database, const struct command *command,
                 const struct answer *answer, int64_t now_ms)
{
    struct act act = {.model = model, .database = database, .command = command, .now_ms = now_ms};
    for (uint32_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        if (strcmp(word(&act, 0), acts[i].name) == 0) {
            acts[i].fn(&act);
            bool right = answer == NULL || is_wanted(&act, answer);
            sim_free(act.want.text);
            return right;
        }
    }
    world_violation("simulator: the model doesn't know %s", word(&act, 0));
}

/* ---- looking ---- */

static void look_words(model_look_fn *look, void *context, const char *first, const char *second)
{
    struct command command = {.argc = 0};
    command_add_text(&command, first);
    if (second != NULL) {
        command_add_text(&command, second);
    }
    look(context, &command);
}

void model_look(const struct model *model, model_look_fn *look, void *context)
{
    for (uint32_t database = 0; database < MODEL_DATABASES; database++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%u", database);
        look_words(look, context, "SELECT", text);
        for (uint32_t i = 0; i < model->count; i++) {
            if (model->items[i].database == database) {
                look_words(look, context, "GET", model->items[i].name);
                look_words(look, context, "TTL", model->items[i].name);
            }
        }
        look_words(look, context, "DBSIZE", NULL);
    }
}

void model_print(const struct model *model)
{
    printf("model:\n");
    for (uint32_t i = 0; i < model->count; i++) {
        const struct item *item = &model->items[i];
        printf("model: %u %s %s, %zu bytes, expiry %" PRId64 ": %.*s\n", item->database, item->name,
               item->alive ? "is there" : "is gone", item->bytes, item->expire_ms,
               item->bytes > 40 ? 40 : (int)item->bytes, (const char *)item->value);
    }
}
