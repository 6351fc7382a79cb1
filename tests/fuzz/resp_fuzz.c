/*
 * resp: however the bytes of a connection are cut into pieces, the parser says the same: the same
 * commands, and the same error at the same place. It holds at most four times what it was given.
 * The fast path agrees with it, and what the encoder writes comes back.
 *
 * Input: u8 flags (1: not authenticated, 2: bulks up to 64 bytes only) | u8 n | n times u8 length
 * of a piece | the bytes of the connection.
 */
#include <string.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "fuzz.h"
#include "net/resp.h"

enum { PIECES_MAX = 15, WHOLE_ARGS_MAX = 16, MEMORY_CONSTANT = 4096, EVENTS_MAX = 1 << 16 };

/* What the parser said about one connection. */
struct transcript {
    uint64_t hash; /* of all commands */
    uint32_t events;
    size_t end; /* where it stopped */
    bool broken;
    char error[256];
};

struct session {
    struct resp_parser *parser;
    struct resp_limits limits;
    struct slice wire;
    struct transcript said;
};

static void note_command(struct transcript *said, const struct resp_command *command)
{
    said->hash = hash64(&command->argc, sizeof(command->argc), said->hash);
    for (uint32_t i = 0; i < command->argc; i++) {
        uint64_t bytes = command->args[i].bytes;
        said->hash = hash64(&bytes, sizeof(bytes), said->hash);
        said->hash = hash64(command->args[i].data, bytes, said->hash);
    }
}

static void check_inside(const struct resp_command *command, struct slice window)
{
    for (uint32_t i = 0; i < command->argc && command->args_in_window; i++) {
        struct slice arg = command->args[i];
        MUST(arg.bytes == 0 ||
             (arg.data >= window.data && arg.data + arg.bytes <= window.data + window.bytes));
    }
}

/* What the encoder makes of the command is the command again. */
static void check_round_trip(const struct resp_command *command)
{
    struct buffer wire;
    buffer_init(&wire, SIZE_MAX / 2);
    MUST(resp_encode_command(&wire, command->args, command->argc) == 0);
    struct slice args[WHOLE_ARGS_MAX];
    uint32_t argc;
    size_t used = resp_parse_whole(buffer_slice(&wire), SIZE_MAX / 2, args, WHOLE_ARGS_MAX, &argc);
    if (command->argc <= WHOLE_ARGS_MAX && command->args_in_window) {
        MUST(used == wire.bytes && argc == command->argc);
        for (uint32_t i = 0; i < argc; i++) {
            MUST(slice_equal(args[i], command->args[i]));
        }
    }
    buffer_deinit(&wire);
}

/* The fast path either leaves it alone or says the same. */
static void check_whole(const struct session *session, struct slice window, enum resp_result result,
                        const struct resp_command *command)
{
    struct slice args[WHOLE_ARGS_MAX];
    uint32_t argc;
    size_t used =
        resp_parse_whole(window, session->limits.bulk_bytes_max, args, WHOLE_ARGS_MAX, &argc);
    if (used == 0 || !session->limits.authenticated) {
        return;
    }
    MUST(result == RESP_COMMAND && command->used_bytes == used && command->argc == argc);
    for (uint32_t i = 0; i < argc; i++) {
        MUST(slice_equal(args[i], command->args[i]));
    }
}

/* All that can be said about the first `arrived` bytes. False: an error ended it. */
static bool parse_arrived(struct session *session, size_t arrived, bool whole)
{
    struct transcript *said = &session->said;
    for (;;) {
        struct slice window = slice_of(session->wire.data + said->end, arrived - said->end);
        uint8_t *copy = copy_exactly(window);
        window.data = copy;
        struct resp_command command = {.used_bytes = 0};
        enum resp_result result = resp_parse(session->parser, &session->limits, window, &command);
        MUST(resp_parser_memory_bytes(session->parser) <= 4 * arrived + MEMORY_CONSTANT);
        if (whole) {
            check_whole(session, window, result, &command);
        }
        if (result == RESP_COMMAND) {
            MUST(command.argc > 0);
            check_inside(&command, window);
            note_command(said, &command);
            check_round_trip(&command);
        }
        free(copy);
        if (result == RESP_MORE) {
            MUST(command.need_bytes == 0 || command.need_bytes > window.bytes);
            return true;
        }
        if (result == RESP_BROKEN) {
            MUST(command.error_text != NULL);
            said->broken = true;
            (void)snprintf(said->error, sizeof(said->error), "%s", command.error_text);
            return false;
        }
        MUST(command.used_bytes > 0 && command.used_bytes <= window.bytes);
        MUST(++said->events < EVENTS_MAX);
        said->end += command.used_bytes;
    }
}

/* The connection, arriving in pieces of these lengths and then the rest. */
static struct transcript parse_pieces(const struct resp_limits *limits, struct slice wire,
                                      struct slice lengths)
{
    struct session session = {.limits = *limits, .wire = wire};
    MUST(resp_parser_create(&session.parser) == 0);
    size_t arrived = 0;
    bool open = true;
    for (size_t i = 0; i < lengths.bytes && open; i++) {
        size_t left = wire.bytes - arrived;
        arrived += lengths.data[i] < left ? lengths.data[i] : left;
        open = parse_arrived(&session, arrived, false);
    }
    if (open) {
        (void)parse_arrived(&session, wire.bytes, lengths.bytes == 0);
    }
    resp_parser_destroy(session.parser);
    return session.said;
}

static void check_same(const struct transcript *one, const struct transcript *other)
{
    MUST(one->events == other->events && one->hash == other->hash && one->end == other->end);
    MUST(one->broken == other->broken && strcmp(one->error, other->error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct feed feed = {data, bytes};
    uint8_t flags = feed_u8(&feed);
    struct resp_limits limits = {
        .bulk_bytes_max = (flags & 2) != 0 ? 64 : 512 << 20,
        .authenticated = (flags & 1) == 0,
    };
    struct slice lengths = feed_slice(&feed, feed_u8(&feed) % (PIECES_MAX + 1));
    struct slice wire = slice_of(feed.data, feed.bytes);
    struct transcript whole = parse_pieces(&limits, wire, slice_of(NULL, 0));
    struct transcript pieces = parse_pieces(&limits, wire, lengths);
    check_same(&whole, &pieces);
    if (wire.bytes <= 256) {
        uint8_t ones[256];
        memset(ones, 1, sizeof(ones));
        struct transcript singles = parse_pieces(&limits, wire, slice_of(ones, wire.bytes));
        check_same(&whole, &singles);
    }
    return 0;
}
