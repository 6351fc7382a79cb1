#include "cmd_model.h"

#include <string.h>

#include "base/number.h"
#include "cmd/command.h"
#include "fuzz.h"

enum {
    VALUE_MAX = 64 * 1024, /* longer values are forgotten */
    EXPIRY_FAR_S = 100000, /* such an expiry does not happen meanwhile */
    EXPIRY_FAR_MAX_S = 1000000000,
    REPLY_MAX = VALUE_MAX + 64,
};

enum state { UNKNOWN, ABSENT, PRESENT };

static struct entry {
    enum state state;
    bool expires; /* far away */
    size_t bytes;
    uint8_t value[VALUE_MAX];
} entries[MODEL_KEYS];

static bool on;

static const char *const names[MODEL_KEYS] = {"a", "b", "c", "k0", "k1", "{k}1", "{k}2", "long"};

const char *model_key(uint32_t index)
{
    return names[index];
}

bool model_is_on(void)
{
    return on;
}

static void set_all(enum state state)
{
    for (int i = 0; i < MODEL_KEYS; i++) {
        entries[i].state = state;
        entries[i].expires = false;
    }
}

void model_clear(void)
{
    on = true;
    set_all(ABSENT);
}

static struct entry *find(struct slice name)
{
    for (int i = 0; i < MODEL_KEYS; i++) {
        if (slice_equal(name, slice_cstr(names[i]))) {
            return &entries[i];
        }
    }
    return NULL;
}

static void put(struct entry *entry, struct slice value)
{
    entry->expires = false;
    entry->state = value.bytes <= VALUE_MAX ? PRESENT : UNKNOWN;
    if (entry->state == PRESENT) {
        entry->bytes = value.bytes;
        memcpy(entry->value, value.bytes > 0 ? value.data : (const uint8_t *)"", value.bytes);
    }
}

/* ---- replies ---- */

static void expect(struct slice reply, const char *expected)
{
    if (!slice_equal(reply, slice_cstr(expected))) {
        (void)fprintf(stderr, "expected: %s\ngot: %.*s\n", expected,
                      (int)(reply.bytes < 200 ? reply.bytes : 200), (const char *)reply.data);
        abort();
    }
}

static void expect_number(struct slice reply, int64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof(text), ":%lld\r\n", (long long)number);
    expect(reply, text);
}

static void expect_error(struct slice reply)
{
    MUST(reply.data[0] == '-');
}

/* The value at the start of a reply: the entry's, or null. Returns its length. */
static size_t expect_value(struct slice reply, const struct entry *entry)
{
    static char expected[REPLY_MAX];
    if (entry->state == ABSENT) {
        bool resp3 = slice_starts_with(reply, slice_cstr("_\r\n"));
        MUST(resp3 || slice_starts_with(reply, slice_cstr("$-1\r\n")));
        return resp3 ? 3 : 5;
    }
    size_t head = (size_t)snprintf(expected, sizeof(expected), "$%zu\r\n", entry->bytes);
    memcpy(expected + head, entry->value, entry->bytes);
    memcpy(expected + head + entry->bytes, "\r\n", 2);
    size_t bytes = head + entry->bytes + 2;
    MUST(slice_starts_with(reply, slice_of(expected, bytes)));
    return bytes;
}

/* ---- commands; each gets the entry of its first argument ---- */

struct call {
    const struct slice *args;
    uint32_t argc;
    struct slice reply;
    struct entry *entry;
};

static void on_get(const struct call *call)
{
    if (call->entry->state != UNKNOWN) {
        MUST(expect_value(call->reply, call->entry) == call->reply.bytes);
    }
}

static void on_set(const struct call *call)
{
    expect(call->reply, "+OK\r\n");
    put(call->entry, call->args[2]);
}

static void on_setnx(const struct call *call)
{
    bool was_absent = call->entry->state == ABSENT;
    if (call->entry->state == UNKNOWN) {
        return;
    }
    expect_number(call->reply, was_absent);
    if (was_absent) {
        put(call->entry, call->args[2]);
    }
}

static void on_getset(const struct call *call)
{
    on_get(call);
    put(call->entry, call->args[2]);
}

static void on_getdel(const struct call *call)
{
    on_get(call);
    call->entry->state = ABSENT;
}

static void on_append(const struct call *call)
{
    struct entry *entry = call->entry;
    if (entry->state == ABSENT) {
        put(entry, slice_of(NULL, 0));
    }
    struct slice tail = call->args[2];
    if (entry->state == UNKNOWN || entry->bytes + tail.bytes > VALUE_MAX) {
        entry->state = UNKNOWN;
        return;
    }
    memcpy(entry->value + entry->bytes, tail.bytes > 0 ? tail.data : (const uint8_t *)"",
           tail.bytes);
    entry->bytes += tail.bytes;
    expect_number(call->reply, (int64_t)entry->bytes);
}

static void on_strlen(const struct call *call)
{
    if (call->entry->state != UNKNOWN) {
        expect_number(call->reply, call->entry->state == PRESENT ? (int64_t)call->entry->bytes : 0);
    }
}

static void add(const struct call *call, int64_t by)
{
    struct entry *entry = call->entry;
    int64_t number = 0;
    bool expires = entry->expires;
    if (entry->state == UNKNOWN) {
        return;
    }
    if (entry->state == PRESENT &&
        number_parse_i64(slice_of(entry->value, entry->bytes), &number) != 0) {
        expect_error(call->reply);
        return;
    }
    if (__builtin_add_overflow(number, by, &number)) {
        expect_error(call->reply);
        return;
    }
    char text[NUMBER_I64_BYTES_MAX];
    expect_number(call->reply, number);
    put(entry, slice_of(text, number_format_i64(text, number)));
    entry->expires = expires;
}

static void on_incr(const struct call *call)
{
    add(call, 1);
}

static void on_decr(const struct call *call)
{
    add(call, -1);
}

static void add_given(const struct call *call, bool subtract)
{
    int64_t by;
    if (number_parse_i64(call->args[2], &by) != 0 || (subtract && by == INT64_MIN)) {
        expect_error(call->reply);
    } else {
        add(call, subtract ? -by : by);
    }
}

static void on_incrby(const struct call *call)
{
    add_given(call, false);
}

static void on_decrby(const struct call *call)
{
    add_given(call, true);
}

static void on_expire(const struct call *call)
{
    struct entry *entry = call->entry;
    int64_t seconds;
    if (number_parse_i64(call->args[2], &seconds) != 0) {
        expect_error(call->reply);
        return;
    }
    bool soon = seconds > 0 && seconds < EXPIRY_FAR_S;
    if (entry->state == UNKNOWN || soon || seconds > EXPIRY_FAR_MAX_S ||
        seconds < -EXPIRY_FAR_MAX_S) {
        entry->state = UNKNOWN;
        return;
    }
    expect_number(call->reply, entry->state == PRESENT);
    if (entry->state == PRESENT) {
        entry->state = seconds > 0 ? PRESENT : ABSENT;
        entry->expires = seconds > 0;
    }
}

static void on_persist(const struct call *call)
{
    if (call->entry->state != UNKNOWN) {
        expect_number(call->reply, call->entry->state == PRESENT && call->entry->expires);
        call->entry->expires = false;
    }
}

/* ---- commands with any number of keys ---- */

/* EXISTS, DEL, UNLINK: how many there are. A key that occurs twice counts as `removes` says. */
static void count_keys(const struct call *call, bool removes)
{
    int64_t count = 0;
    bool known = true;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct entry *entry = find(call->args[i]);
        known = known && entry != NULL && entry->state != UNKNOWN;
        if (entry != NULL) {
            count += entry->state == PRESENT;
            entry->state = removes ? ABSENT : entry->state;
        }
    }
    if (known) {
        expect_number(call->reply, count);
    }
}

static void on_exists(const struct call *call)
{
    count_keys(call, false);
}

static void on_del(const struct call *call)
{
    count_keys(call, true);
}

static void on_mset(const struct call *call)
{
    if (call->argc % 2 == 0) {
        expect_error(call->reply);
        return;
    }
    expect(call->reply, "+OK\r\n");
    for (uint32_t i = 1; i < call->argc; i += 2) {
        struct entry *entry = find(call->args[i]);
        if (entry != NULL) {
            put(entry, call->args[i + 1]);
        }
    }
}

static void on_mget(const struct call *call)
{
    char head[16];
    size_t at = (size_t)snprintf(head, sizeof(head), "*%u\r\n", call->argc - 1);
    MUST(slice_starts_with(call->reply, slice_of(head, at)));
    for (uint32_t i = 1; i < call->argc; i++) {
        const struct entry *entry = find(call->args[i]);
        if (entry == NULL || entry->state == UNKNOWN) {
            return;
        }
        at += expect_value(slice_skip(call->reply, at), entry);
    }
    MUST(at == call->reply.bytes);
}

static void on_flush(const struct call *call)
{
    expect(call->reply, "+OK\r\n");
    set_all(ABSENT);
}

/* Many keys may be none of the model's: `keyed` says that the first argument must be one. */
static const struct known {
    const char *name;
    uint32_t argc; /* 0: any */
    bool keyed;
    void (*check)(const struct call *call);
} commands[] = {
    {"get", 2, true, on_get},         {"set", 3, true, on_set},
    {"setnx", 3, true, on_setnx},     {"getset", 3, true, on_getset},
    {"getdel", 2, true, on_getdel},   {"append", 3, true, on_append},
    {"strlen", 2, true, on_strlen},   {"incr", 2, true, on_incr},
    {"decr", 2, true, on_decr},       {"incrby", 3, true, on_incrby},
    {"decrby", 3, true, on_decrby},   {"expire", 3, true, on_expire},
    {"persist", 2, true, on_persist}, {"exists", 0, false, on_exists},
    {"del", 0, false, on_del},        {"unlink", 0, false, on_del},
    {"mset", 0, false, on_mset},      {"mget", 0, false, on_mget},
    {"flushall", 1, false, on_flush}, {"flushdb", 1, false, on_flush},
};

static const struct known *known_find(const struct slice *args, uint32_t argc)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct known *known = &commands[i];
        if (slice_equal_nocase_cstr(args[0], known->name) &&
            (known->argc == 0 || known->argc == argc)) {
            return known;
        }
    }
    return NULL;
}

/* A command that the model can't follow. */
static void lose_track(const struct command *command, const struct slice *args, uint32_t argc)
{
    static const char *const elsewhere[] = {"select", "swapdb", "reset", "hello", "auth"};
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        on = on && strcmp(command->name, elsewhere[i]) != 0;
    }
    if (strncmp(command->name, "flush", 5) == 0) {
        set_all(UNKNOWN);
    }
    for (uint32_t i = 1; i < argc && (command->flags & CMD_WRITE) != 0; i++) {
        struct entry *entry = find(args[i]);
        if (entry != NULL) {
            entry->state = UNKNOWN;
        }
    }
}

void model_check(const struct slice *args, uint32_t argc, struct slice reply)
{
    const struct command *container;
    const struct command *command = command_find(args, argc, &container);
    if (command == NULL || !command_arity_fits(command, argc)) {
        expect_error(reply);
        return;
    }
    if (!on) {
        return;
    }
    const struct known *known = known_find(args, argc);
    struct call call = {.args = args, .argc = argc, .reply = reply};
    call.entry = argc > 1 ? find(args[1]) : NULL;
    if (known == NULL) {
        lose_track(command, args, argc);
    } else if (!known->keyed || call.entry != NULL) {
        known->check(&call);
    }
}
