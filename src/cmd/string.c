/*
 * Strings: one value for one key. Redis's t_string family, without the numeric and range commands.
 */
#include "base/assert.h"
#include "base/number.h"
#include "cmd/expiry.h"
#include "cmd/families.h"
#include "cmd/request.h"

/* ---- options of SET and GETEX ---- */

struct set_options {
    bool nx, xx, get, keep_ttl, persist;
    uint32_t expiry_index; /* of the argument that says when; 0: none */
    enum expiry_unit unit;
};

enum set_word { WORD_NX, WORD_XX, WORD_GET, WORD_KEEPTTL, WORD_PERSIST, WORD_EXPIRY, WORD_NONE };

static enum set_word set_word_of(struct slice word, enum expiry_unit *ret_unit)
{
    if (expiry_unit_parse(word, ret_unit)) {
        return WORD_EXPIRY;
    }
    static const struct {
        const char *text;
        enum set_word word;
    } words[] = {{"nx", WORD_NX},
                 {"xx", WORD_XX},
                 {"get", WORD_GET},
                 {"keepttl", WORD_KEEPTTL},
                 {"persist", WORD_PERSIST}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (slice_equal_nocase_cstr(word, words[i].text)) {
            return words[i].word;
        }
    }
    return WORD_NONE;
}

/* One option word; false: it doesn't fit here. Redis lets a word come twice, the last one counts.
 */
static bool set_option_fits(struct set_options *options, enum set_word word, enum expiry_unit unit)
{
    bool expires = options->expiry_index > 0;
    switch (word) {
    case WORD_NX:
        options->nx = true;
        return !options->xx;
    case WORD_XX:
        options->xx = true;
        return !options->nx;
    case WORD_GET:
        options->get = true;
        return true;
    case WORD_KEEPTTL:
        options->keep_ttl = true;
        return !expires && !options->persist;
    case WORD_PERSIST:
        options->persist = true;
        return !expires && !options->keep_ttl;
    case WORD_EXPIRY:
        return !options->keep_ttl && !options->persist && (!expires || options->unit == unit);
    case WORD_NONE:
        break;
    }
    return false;
}

/* Parses args[from..]; which words a command knows is told by `known` (bits of enum set_word). */
static int set_options_parse(struct request *request, uint32_t from, uint32_t known,
                             struct set_options *ret_options)
{
    struct set_options options = {.nx = false};
    for (uint32_t i = from; i < request->argc; i++) {
        enum expiry_unit unit = EXPIRY_EX;
        enum set_word word = set_word_of(request->args[i], &unit);
        bool fits = word != WORD_NONE && (known & (1u << word)) != 0 &&
                    set_option_fits(&options, word, unit);
        if (fits && word == WORD_EXPIRY) {
            options.unit = unit;
            options.expiry_index = ++i;
            fits = i < request->argc;
        }
        if (!fits) {
            reply_error(request->reply, REPLY_SYNTAX);
            return ERR_PROTOCOL;
        }
    }
    *ret_options = options;
    return 0;
}

/* When the options let the value expire: absolute, 0: never. Replies the error. */
static int set_options_expire(struct request *request, const struct set_options *options,
                              int64_t *ret_expire_ms)
{
    *ret_expire_ms = 0;
    return options->expiry_index > 0
               ? expiry_arg(request, options->expiry_index, options->unit, ret_expire_ms)
               : 0;
}

enum {
    SET_WORDS =
        1u << WORD_NX | 1u << WORD_XX | 1u << WORD_GET | 1u << WORD_KEEPTTL | 1u << WORD_EXPIRY,
    GETEX_WORDS = 1u << WORD_PERSIST | 1u << WORD_EXPIRY,
};

/* Without NX, XX, GET and KEEPTTL a SET needs nothing of the old value. */
bool set_is_blind(const struct slice *args, uint32_t argc)
{
    for (uint32_t i = 3; i < argc; i++) {
        enum expiry_unit unit;
        if (set_word_of(args[i], &unit) == WORD_EXPIRY) {
            i++;
        } else {
            return false;
        }
    }
    return true;
}

bool always_blind(const struct slice *args, uint32_t argc)
{
    (void)args;
    (void)argc;
    return true;
}

/* ---- replies that precede their change ---- */

/* The old value is borrowed until the change, so it is replied first. If the change then fails, the
 * error must be the only reply. */
struct old_value {
    size_t from, to; /* where it stands in the output */
};

static struct old_value old_value_reply(struct request *request, const struct view *view)
{
    const struct buffer *bytes = &request->reply->output->bytes;
    struct old_value old = {.from = bytes->bytes};
    reply_view_bulk(request, view);
    old.to = bytes->bytes;
    return old;
}

static void old_value_settle(struct request *request, struct old_value old, int err)
{
    if (UNLIKELY(err < 0)) {
        output_cut(request->reply->output, old.from, old.to);
    }
}

/* ---- SET and its short forms ---- */

/* Stores args[value_index] under the command's only key. */
static int set_store(struct request *request, uint32_t value_index, int64_t expire_ms)
{
    struct put put = {
        .type = RECORD_STRING, .expire_ms = expire_ms, .value = request->args[value_index]};
    return change_put(request, 0, &put);
}

static int set_with_options(struct request *request, const struct set_options *options,
                            int64_t expire_ms)
{
    struct view view = {.exists = false};
    int err = 0;
    if (options->nx || options->xx || options->get || options->keep_ttl) {
        err = options->get ? view_string(request, 0, &view) : view_key(request, 0, &view);
        if (err < 0) {
            return err == ERR_AGAIN ? err : 0;
        }
    }
    struct old_value old = {0};
    if (options->get) {
        old = old_value_reply(request, &view);
    }
    if ((options->nx && view.exists) || (options->xx && !view.exists)) {
        if (!options->get) {
            reply_null(request->reply);
        }
        return 0;
    }
    err = set_store(request, 2, options->keep_ttl ? view.expire_ms : expire_ms);
    if (options->get) {
        old_value_settle(request, old, err);
    } else if (err == 0) {
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_set(struct request *request)
{
    if (LIKELY(request->argc == 3)) {
        if (set_store(request, 2, 0) == 0) {
            reply_ok(request->reply);
        }
        return 0;
    }
    struct set_options options;
    int64_t expire_ms;
    if (set_options_parse(request, 3, SET_WORDS, &options) < 0 ||
        set_options_expire(request, &options, &expire_ms) < 0) {
        return 0;
    }
    return set_with_options(request, &options, expire_ms);
}

int cmd_setnx(struct request *request)
{
    struct view view;
    TRY(view_key(request, 0, &view));
    if (view.exists) {
        reply_i64(request->reply, 0);
    } else if (set_store(request, 2, 0) == 0) {
        reply_i64(request->reply, 1);
    }
    return 0;
}

static int set_with_ttl(struct request *request, enum expiry_unit unit)
{
    int64_t expire_ms;
    if (expiry_arg(request, 2, unit, &expire_ms) < 0) {
        return 0;
    }
    if (set_store(request, 3, expire_ms) == 0) {
        reply_ok(request->reply);
    }
    return 0;
}

int cmd_setex(struct request *request)
{
    return set_with_ttl(request, EXPIRY_EX);
}

int cmd_psetex(struct request *request)
{
    return set_with_ttl(request, EXPIRY_PX);
}

/* ---- reading ---- */

int cmd_get(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    reply_view_bulk(request, &view);
    return 0;
}

int cmd_strlen(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    reply_i64(request->reply, view.exists ? (int64_t)view.value.bytes : 0);
    return 0;
}

/* ---- reading with a change ---- */

int cmd_getset(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    struct old_value old = old_value_reply(request, &view);
    old_value_settle(request, old, set_store(request, 2, 0));
    return 0;
}

int cmd_getdel(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    struct old_value old = old_value_reply(request, &view);
    bool existed;
    if (view.exists) {
        old_value_settle(request, old, change_remove(request, 0, &existed));
    }
    return 0;
}

int cmd_getex(struct request *request)
{
    struct set_options options;
    if (set_options_parse(request, 2, GETEX_WORDS, &options) < 0) {
        return 0;
    }
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    int64_t expire_ms = 0;
    if (view.exists && set_options_expire(request, &options, &expire_ms) < 0) {
        return 0;
    }
    struct old_value old = old_value_reply(request, &view);
    if (view.exists && (expire_ms != 0 || (options.persist && view.expire_ms != 0))) {
        old_value_settle(request, old, change_expire(request, 0, expire_ms));
    }
    return 0;
}
