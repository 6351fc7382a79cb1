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
    bool has_expire;
    int64_t expire_ms; /* absolute */
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

/* One option word; false: it doesn't fit here. */
static bool set_option_fits(struct set_options *options, enum set_word word)
{
    bool ttl = options->has_expire || options->keep_ttl || options->persist;
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
        return !options->has_expire && !options->persist;
    case WORD_PERSIST:
        options->persist = true;
        return !options->has_expire && !options->keep_ttl;
    case WORD_EXPIRY:
        options->has_expire = true;
        return !ttl;
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
    uint32_t expiry_index = 0;
    enum expiry_unit unit = EXPIRY_EX;
    for (uint32_t i = from; i < request->argc; i++) {
        enum expiry_unit this_unit;
        enum set_word word = set_word_of(request->args[i], &this_unit);
        if (word == WORD_NONE || (known & (1u << word)) == 0 || !set_option_fits(&options, word)) {
            reply_error(request->reply, REPLY_SYNTAX);
            return ERR_PROTOCOL;
        }
        if (word == WORD_EXPIRY) {
            unit = this_unit;
            expiry_index = ++i;
            if (i >= request->argc) {
                reply_error(request->reply, REPLY_SYNTAX);
                return ERR_PROTOCOL;
            }
        }
    }
    if (options.has_expire) {
        TRY(expiry_arg(request, expiry_index, unit, &options.expire_ms));
    }
    *ret_options = options;
    return 0;
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

/* ---- SET and its short forms ---- */

/* Stores args[value_index] under the command's only key. */
static int set_store(struct request *request, uint32_t value_index, int64_t expire_ms)
{
    struct put put = {
        .type = RECORD_STRING, .expire_ms = expire_ms, .value = request->args[value_index]};
    return change_put(request, 0, &put);
}

static int set_with_options(struct request *request, const struct set_options *options)
{
    struct view view = {.exists = false};
    if (options->nx || options->xx || options->get || options->keep_ttl) {
        int err = options->get ? view_string(request, 0, &view) : view_key(request, 0, &view);
        if (err < 0) {
            return err == ERR_AGAIN ? err : 0;
        }
    }
    bool refused = (options->nx && view.exists) || (options->xx && !view.exists);
    if (options->get) {
        reply_view_bulk(request, &view);
    }
    if (refused) {
        if (!options->get) {
            reply_null(request->reply);
        }
        return 0;
    }
    int64_t expire_ms = options->keep_ttl ? view.expire_ms : options->expire_ms;
    if (set_store(request, 2, expire_ms) == 0 && !options->get) {
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
    if (set_options_parse(request, 3, SET_WORDS, &options) < 0) {
        return 0;
    }
    return set_with_options(request, &options);
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
    reply_view_bulk(request, &view);
    IGNORE(set_store(request, 2, 0), "the error is in the reply");
    return 0;
}

int cmd_getdel(struct request *request)
{
    struct view view;
    int err = view_string(request, 0, &view);
    if (err < 0) {
        return err == ERR_AGAIN ? err : 0;
    }
    reply_view_bulk(request, &view);
    bool existed;
    if (view.exists) {
        IGNORE(change_remove(request, 0, &existed), "the error is in the reply");
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
    reply_view_bulk(request, &view);
    if (!view.exists) {
        return 0;
    }
    if (options.has_expire || (options.persist && view.expire_ms != 0)) {
        IGNORE(change_expire(request, 0, options.expire_ms), "the error is in the reply");
    }
    return 0;
}
