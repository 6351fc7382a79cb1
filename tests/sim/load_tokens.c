/*
 * Tokens. Clients append unique tokens to few keys. A key's value is then the order of all appends
 * to it: whatever two reads show, one begins with the other. APPEND answers with the length, which
 * says where in that order the token stands.
 *
 *     known   the longest value that a read has shown; tokens behind it are known by length only
 *     floor   bytes that were there for sure: answered, or shown
 *
 * A generation ends when the value is taken (GETDEL), set to nothing, or renamed away; then nothing
 * else is under way on the key, so the value must be whole. If the answer to that is lost, the key
 * rests until the life's end.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "load.h"
#include "world.h"

enum {
    KEYS_MAX = 6,
    TEXT_BYTES_MAX = 12000, /* of a generation; it is ended then */
    TOKENS_MAX = 20000,     /* of a key between two settlements */
    GENERATIONS_MAX = 64,
    TOKEN_BYTES_MAX = 32,
    END_RATE = 20000,
};

struct token {
    uint64_t number;
    uint32_t generation;
    uint32_t bytes;
    uint32_t floor; /* of the key when it was issued */
    uint32_t end;   /* where it ends in the value; 0: not known */
    bool answered, seen;
    int64_t issued_ns, answered_ns;
};

/* A generation that has ended, or may have. */
struct past {
    uint8_t *text;
    uint32_t bytes;
    int64_t issued_ns, answered_ns; /* of its end */
};

struct key {
    char name[32], away[32];
    uint8_t *known;
    uint32_t known_bytes;
    uint32_t floor;
    uint32_t issued_bytes; /* it can't be longer than this */
    struct token *tokens;  /* issued since the settlement, ascending numbers */
    uint32_t token_count;
    struct past past[GENERATIONS_MAX]; /* since the settlement */
    uint32_t past_count;
    uint32_t open;
    bool doubtful; /* an append may still come */
    bool ending;   /* or nobody knows whether it has */
    int64_t ending_ns;
    bool unsettled; /* a life has ended since */
    bool may_lose;
    bool exists, away_exists; /* when it was settled */
};

struct tokens {
    struct load load;
    uint32_t key_count;
    uint64_t next_number;
    struct key keys[KEYS_MAX];
};

/* ---- the order ---- */

static struct token *token_find(struct key *key, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = key->token_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (key->tokens[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < key->token_count && key->tokens[low].number == number ? &key->tokens[low] : NULL;
}

/* The token stands at the end of `end` bytes. */
static void place(struct key *key, struct token *token, uint32_t end)
{
    SIM_CHECK(token->end == 0 || token->end == end,
              "%s: token %" PRIu64 " ends at %u, was said to end at %u", key->name, token->number,
              end, token->end);
    SIM_CHECK(end - token->bytes >= token->floor,
              "%s: token %" PRIu64 " begins at %u, though %u bytes were there when it was issued",
              key->name, token->number, end - token->bytes, token->floor);
    token->end = end;
}

static size_t token_format(char *to, uint32_t client, uint64_t number)
{
    return (size_t)snprintf(to, TOKEN_BYTES_MAX, "%u.%" PRIu64 ";", client, number);
}

/* One token of a value at `at`; returns its bytes. */
static uint32_t learn_token(struct key *key, const uint8_t *text, uint32_t bytes, uint32_t at)
{
    uint32_t client = 0;
    uint64_t number = 0;
    uint32_t used = 0;
    bool dot = false;
    for (; used < bytes && text[used] != ';'; used++) {
        uint32_t digit = (uint32_t)text[used] - '0';
        if (text[used] == '.') {
            dot = true;
        } else if (dot) {
            number = number * 10 + digit;
        } else {
            client = client * 10 + digit;
        }
    }
    char again[TOKEN_BYTES_MAX];
    size_t length = token_format(again, client, number);
    SIM_CHECK(used + 1 == length && used < bytes && memcmp(again, text, length) == 0,
              "%s: what stands at byte %u is no token: '%.*s'", key->name, at,
              (int)(bytes < 20 ? bytes : 20), (const char *)text);
    struct token *token = token_find(key, number);
    SIM_CHECK(token != NULL && token->generation == key->past_count,
              "%s: token %" PRIu64 " at byte %u was never written%s", key->name, number, at,
              token == NULL ? "" : " in this generation");
    SIM_CHECK(!token->seen, "%s: token %" PRIu64 " stands at %u and %u", key->name, number,
              token->end - token->bytes, at);
    token->seen = true;
    place(key, token, at + token->bytes);
    return token->bytes;
}

/* `text` is the value's part from `from` on. */
static void learn(struct key *key, uint32_t from, const uint8_t *text, uint32_t bytes)
{
    uint32_t common = key->known_bytes - from < bytes ? key->known_bytes - from : bytes;
    SIM_CHECK(common == 0 || memcmp(key->known + from, text, common) == 0,
              "%s: two reads show different orders within the first %u bytes", key->name,
              from + common);
    if (common == bytes) {
        return;
    }
    key->known = sim_realloc(key->known, from + bytes);
    memcpy(key->known + from + common, text + common, bytes - common);
    uint32_t at = from + common;
    key->known_bytes = from + bytes;
    while (at < key->known_bytes) {
        at += learn_token(key, key->known + at, key->known_bytes - at, at);
    }
}

static void raise_floor(struct key *key, uint32_t bytes)
{
    SIM_CHECK(bytes <= key->issued_bytes, "%s: has %u bytes, %u were ever written", key->name,
              bytes, key->issued_bytes);
    key->floor = bytes > key->floor ? bytes : key->floor;
}

/* ---- appending ---- */

static void append_done(struct request *request, const struct reply *reply)
{
    struct tokens *tokens = request->owner;
    struct key *key = &tokens->keys[request->a];
    struct token *token = token_find(key, request->b);
    key->open--;
    if (load_in_doubt(&tokens->load, key->name, reply)) {
        key->doubtful = true;
        return;
    }
    SIM_CHECK(reply->type == ':' && reply->integer >= token->bytes, "%s: APPEND answers %c%lld",
              key->name, reply->type, (long long)reply->integer);
    place(key, token, (uint32_t)reply->integer);
    SIM_CHECK(token->seen || token->end > key->known_bytes,
              "%s: token %" PRIu64 " is not in the %u bytes that were read, said to end at %u",
              key->name, token->number, key->known_bytes, token->end);
    token->answered = true;
    token->answered_ns = world_now_ns();
    raise_floor(key, token->end);
}

static void issue_append(struct tokens *tokens, struct client *client, struct key *key)
{
    if (key->token_count % 64 == 0) {
        key->tokens = sim_realloc(key->tokens, (key->token_count + 64) * sizeof(*key->tokens));
    }
    char text[TOKEN_BYTES_MAX];
    uint64_t number = tokens->next_number++;
    size_t bytes = token_format(text, client->id, number);
    key->tokens[key->token_count++] = (struct token){.number = number,
                                                     .generation = key->past_count,
                                                     .bytes = (uint32_t)bytes,
                                                     .floor = key->floor,
                                                     .issued_ns = world_now_ns(),
                                                     .answered_ns = INT64_MAX};
    key->issued_bytes += (uint32_t)bytes;
    key->open++;
    struct command command = {.argc = 0};
    command_add_text(&command, "APPEND");
    command_add_text(&command, key->name);
    command_add(&command, text, bytes);
    struct request *request = request_make(append_done, tokens);
    request->a = (uint64_t)(key - tokens->keys);
    request->b = number;
    client_send(client, &command, request);
}

/* ---- reading ---- */

static void read_done(struct request *request, const struct reply *reply)
{
    struct tokens *tokens = request->owner;
    struct key *key = &tokens->keys[request->a];
    key->open--;
    if (load_in_doubt(&tokens->load, key->name, reply)) {
        return;
    }
    uint32_t from = (uint32_t)(request->b >> 32);
    uint32_t floor = (uint32_t)request->b;
    if (reply->type == ':') {
        SIM_CHECK(reply->integer >= floor, "%s: has %lld bytes, %u were there before", key->name,
                  (long long)reply->integer, floor);
        raise_floor(key, (uint32_t)reply->integer);
        return;
    }
    uint32_t bytes = reply->type == 'n' ? 0 : (uint32_t)reply->bytes;
    SIM_CHECK(from + bytes >= floor, "%s: shows %u bytes from %u on, %u were there before",
              key->name, bytes, from, floor);
    learn(key, from, reply->data, bytes);
    raise_floor(key, from + bytes);
}

static void issue_read(struct tokens *tokens, struct client *client, struct key *key)
{
    static const char *const names[] = {"GET", "STRLEN", "GETRANGE"};
    uint32_t kind = (uint32_t)world_below(STREAM_LOAD, 3);
    uint32_t start = key->floor < key->known_bytes ? key->floor : key->known_bytes;
    uint64_t from = kind == 2 ? world_below(STREAM_LOAD, start + 1) : 0;
    struct command command = {.argc = 0};
    command_add_text(&command, names[kind]);
    command_add_text(&command, key->name);
    char number[24];
    (void)snprintf(number, sizeof(number), "%" PRIu64, from);
    if (kind == 2) {
        command_add_text(&command, number);
        command_add_text(&command, "-1");
    }
    struct request *request = request_make(read_done, tokens);
    request->a = (uint64_t)(key - tokens->keys);
    request->b = from << 32 | key->floor;
    key->open++;
    client_send(client, &command, request);
}

/* ---- ending a generation ---- */

/* The value was complete, and is nothing now. */
static void generation_end(struct key *key, int64_t issued_ns)
{
    key->past[key->past_count++] = (struct past){.text = key->known,
                                                 .bytes = key->known_bytes,
                                                 .issued_ns = issued_ns,
                                                 .answered_ns = world_now_ns()};
    key->known = NULL;
    key->known_bytes = 0;
    key->floor = 0;
    key->issued_bytes = 0;
    key->ending = false;
}

static void check_whole(struct key *key, const struct reply *reply)
{
    uint32_t bytes = reply->type == 'n' ? 0 : (uint32_t)reply->bytes;
    SIM_CHECK(bytes == key->floor, "%s: was %u bytes long when it ended, %u had been answered",
              key->name, bytes, key->floor);
    learn(key, 0, reply->data, bytes);
}

static void ended(struct request *request, const struct reply *reply)
{
    struct tokens *tokens = request->owner;
    struct key *key = &tokens->keys[request->a];
    key->open--;
    if (load_in_doubt(&tokens->load, key->name, reply)) {
        return;
    }
    if (reply->type == '$' || reply->type == 'n') {
        check_whole(key, reply);
    }
    generation_end(key, request->issued_ns);
}

/* The value under the other name, after a RENAME. Its end has been noted before. */
static void away_done(struct request *request, const struct reply *reply)
{
    struct tokens *tokens = request->owner;
    struct key *key = &tokens->keys[request->a];
    key->open--;
    if (load_in_doubt(&tokens->load, key->name, reply)) {
        return;
    }
    if (reply->type == '$' && !key->ending) {
        const struct past *past = &key->past[key->past_count - 1];
        SIM_CHECK(reply->bytes == past->bytes && memcmp(reply->data, past->text, past->bytes) == 0,
                  "%s: another value after the RENAME: %zu bytes, not %u", key->away, reply->bytes,
                  past->bytes);
    }
}

static void end_by(struct tokens *tokens, struct client *client, struct key *key, bool take)
{
    struct command command = {.argc = 0};
    command_add_text(&command, take ? "GETDEL" : "SET");
    command_add_text(&command, key->name);
    if (!take) {
        command_add_text(&command, "");
    }
    struct request *request = request_make(ended, tokens);
    request->a = (uint64_t)(key - tokens->keys);
    key->open++;
    client_send(client, &command, request);
}

static void end_by_rename(struct tokens *tokens, struct client *client, struct key *key)
{
    struct command command = {.argc = 0};
    command_add_text(&command, "RENAME");
    command_add_text(&command, key->name);
    command_add_text(&command, key->away);
    struct request *request = request_make(ended, tokens);
    request->a = (uint64_t)(key - tokens->keys);
    key->open++;
    client_send(client, &command, request);
    command = (struct command){.argc = 0};
    command_add_text(&command, "GETDEL");
    command_add_text(&command, key->away);
    request = request_make(away_done, tokens);
    request->a = (uint64_t)(key - tokens->keys);
    key->open++;
    client_send(client, &command, request);
}

/* Nothing is under way, and all is known to be there. */
static void issue_end(struct tokens *tokens, struct client *client, struct key *key)
{
    key->ending = true;
    key->ending_ns = world_now_ns();
    bool whole = key->known_bytes == key->floor && key->floor > 0;
    uint64_t kind = world_below(STREAM_LOAD, whole ? 3 : 1);
    if (kind == 2) {
        end_by_rename(tokens, client, key);
    } else {
        end_by(tokens, client, key, kind == 0);
    }
}

/* ---- the end of a life ---- */

static void tokens_life_ended(struct load *load, enum life_end end, int64_t cut_ns)
{
    (void)cut_ns;
    struct tokens *tokens = (struct tokens *)load;
    for (uint32_t i = 0; i < tokens->key_count; i++) {
        struct key *key = &tokens->keys[i];
        SIM_CHECK(key->open == 0, "simulator: %s: a request outlives its connection", key->name);
        /* Until the check nobody knows what is there. */
        key->unsettled = true;
        if (end == LIFE_POWER_CUT && load->rules.sync_mode != SYNC_ALWAYS) {
            key->may_lose = true;
        }
    }
}

/* The generation, of the past ones and the last, that a value found belongs to. Tokens are unique,
 * so their first byte's token tells; of nothing, the latest that can be. */
static uint32_t generation_of(const struct key *key, const uint8_t *text, uint32_t bytes)
{
    if (bytes == 0) {
        return key->past_count;
    }
    for (uint32_t i = 0; i < key->past_count; i++) {
        const struct past *past = &key->past[i];
        if (bytes <= past->bytes && memcmp(past->text, text, bytes) == 0) {
            return i;
        }
    }
    return key->past_count;
}

static bool is_there(const struct token *token, uint32_t generation, uint32_t bytes)
{
    return token->generation < generation ||
           (token->generation == generation && token->end > 0 && token->end <= bytes);
}

/* The first `bytes` of a generation are there. */
static void report_losses(const struct key *key, uint32_t generation, uint32_t bytes)
{
    for (uint32_t i = 0; i < key->token_count; i++) {
        const struct token *token = &key->tokens[i];
        if (is_there(token, generation, bytes)) {
            if (bytes > 0) {
                losses_survivor(token->issued_ns);
            }
        } else if (token->answered) {
            losses_lost(token->issued_ns, token->answered_ns);
        }
    }
    for (uint32_t i = 0; i < key->past_count; i++) {
        const struct past *past = &key->past[i];
        if (i >= generation) {
            losses_lost(past->issued_ns, past->answered_ns);
        } else if (bytes > 0) {
            losses_survivor(past->issued_ns);
        }
    }
}

static void settle(struct key *key, const uint8_t *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < key->past_count; i++) {
        sim_free(key->past[i].text);
    }
    key->past_count = 0;
    key->token_count = 0;
    key->known = sim_realloc(key->known, bytes + 1);
    if (bytes > 0) {
        memcpy(key->known, text, bytes);
    }
    key->known_bytes = bytes;
    key->floor = bytes;
    key->issued_bytes = bytes;
    key->doubtful = false;
    key->ending = false;
    key->unsettled = false;
    key->may_lose = false;
}

static void check_found(struct key *key, const uint8_t *text, uint32_t bytes)
{
    bool has_ended = key->ending && bytes == 0;
    uint32_t generation = generation_of(key, text, bytes);
    SIM_CHECK(key->may_lose || generation == key->past_count,
              "%s: generation %u of %u is there again", key->name, generation, key->past_count);
    SIM_CHECK(key->may_lose || has_ended || bytes >= key->floor,
              "%s: has %u bytes, %u were there before the end", key->name, bytes, key->floor);
    SIM_CHECK(bytes == 0 || text[bytes - 1] == ';', "%s: its last token is torn", key->name);
    if (generation == key->past_count) {
        learn(key, 0, text, bytes);
    }
    if (!has_ended) {
        report_losses(key, generation, bytes);
    }
}

static void check_done(struct request *request, const struct reply *reply)
{
    struct tokens *tokens = request->owner;
    struct key *key = &tokens->keys[request->a];
    key->open--;
    if (load_in_doubt(&tokens->load, key->name, reply)) {
        return;
    }
    key->exists = reply->type == '$';
    uint32_t bytes = key->exists ? (uint32_t)reply->bytes : 0;
    if (key->unsettled) {
        check_found(key, reply->data, bytes);
        settle(key, reply->data, bytes);
    } else if (!key->ending) {
        SIM_CHECK(bytes >= key->floor, "%s: has %u bytes, %u were there", key->name, bytes,
                  key->floor);
        learn(key, 0, reply->data, bytes);
        raise_floor(key, bytes);
    }
}

/* Follows check_done of the same key. */
static void check_away_done(struct request *request, const struct reply *reply)
{
    struct tokens *tokens = request->owner;
    struct key *key = &tokens->keys[request->a];
    key->open--;
    if (load_in_doubt(&tokens->load, key->away, reply)) {
        return;
    }
    key->away_exists = reply->type == '$';
    uint32_t bytes = key->away_exists ? (uint32_t)reply->bytes : 0;
    uint32_t common = bytes < key->known_bytes ? bytes : key->known_bytes;
    SIM_CHECK(common == 0 || memcmp(key->known, reply->data, common) != 0,
              "%s: a RENAME is there by half: both names have the value", key->name);
}

static void check_key(struct tokens *tokens, struct client *client, struct key *key)
{
    const char *const names[] = {key->name, key->away};
    for (uint32_t i = 0; i < 2; i++) {
        struct command command = {.argc = 0};
        command_add_text(&command, "GET");
        command_add_text(&command, names[i]);
        struct request *request = request_make(i == 0 ? check_done : check_away_done, tokens);
        request->a = (uint64_t)(key - tokens->keys);
        key->open++;
        client_send(client, &command, request);
    }
}

/* ---- the load ---- */

static bool wants_end(const struct key *key)
{
    return key->floor >= TEXT_BYTES_MAX || world_chance(STREAM_LOAD, END_RATE);
}

static void tokens_issue(struct load *load, struct client *client)
{
    struct tokens *tokens = (struct tokens *)load;
    struct key *key = &tokens->keys[world_below(STREAM_LOAD, tokens->key_count)];
    if (key->unsettled && key->open == 0) {
        check_key(tokens, client, key);
    }
    if (key->ending || key->unsettled) {
        return;
    }
    if (key->open == 0 && !key->doubtful && key->past_count < GENERATIONS_MAX && wants_end(key)) {
        SOMETIMES("a generation of tokens ends");
        issue_end(tokens, client, key);
    } else if (key->issued_bytes < TEXT_BYTES_MAX && key->token_count < TOKENS_MAX &&
               world_chance(STREAM_LOAD, 600000)) {
        issue_append(tokens, client, key);
    } else {
        issue_read(tokens, client, key);
    }
}

static void tokens_check_all(struct load *load, struct client *client)
{
    struct tokens *tokens = (struct tokens *)load;
    load->checking = true;
    for (uint32_t i = 0; i < tokens->key_count; i++) {
        check_key(tokens, client, &tokens->keys[i]);
    }
}

static void tokens_check_end(struct load *load)
{
    load->checking = false;
}

static int64_t tokens_count(const struct load *load)
{
    const struct tokens *tokens = (const struct tokens *)load;
    int64_t count = 0;
    for (uint32_t i = 0; i < tokens->key_count; i++) {
        const struct key *key = &tokens->keys[i];
        if (key->unsettled || key->ending || key->doubtful) {
            return -1;
        }
        count += key->exists + key->away_exists;
    }
    return count;
}

/* ---- life ---- */

static struct load *tokens_create(const struct load_rules *rules)
{
    struct tokens *tokens = sim_alloc(sizeof(*tokens));
    tokens->load = (struct load){.kind = &load_tokens, .rules = *rules};
    tokens->key_count = (uint32_t)world_between(STREAM_PLAN, 1, KEYS_MAX);
    for (uint32_t i = 0; i < tokens->key_count; i++) {
        struct key *key = &tokens->keys[i];
        (void)snprintf(key->name, sizeof(key->name), "tokens:%u", i);
        (void)snprintf(key->away, sizeof(key->away), "tokens:%u:away", i);
    }
    return &tokens->load;
}

static void tokens_destroy(struct load *load)
{
    struct tokens *tokens = (struct tokens *)load;
    for (uint32_t i = 0; i < tokens->key_count; i++) {
        struct key *key = &tokens->keys[i];
        for (uint32_t j = 0; j < key->past_count; j++) {
            sim_free(key->past[j].text);
        }
        sim_free(key->known);
        sim_free(key->tokens);
    }
    sim_free(tokens);
}

const struct load_kind load_tokens = {
    .name = "tokens",
    .create = tokens_create,
    .destroy = tokens_destroy,
    .issue = tokens_issue,
    .life_ended = tokens_life_ended,
    .check_all = tokens_check_all,
    .check_end = tokens_check_end,
    .count = tokens_count,
};
