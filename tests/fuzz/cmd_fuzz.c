/*
 * cmd: a list of commands to a whole server in this process, over its unix socket. Each command
 * has one reply, which is well-formed; those that the model knows (cmd_model.h) have the right one;
 * and now and then everything goes to the trees, these are checked, and the model's keys are still
 * what they were.
 *
 * Input: lines, each a command with its arguments as in an inline command, so a corpus file can be
 * read and written by hand. Commands that would stop the server, or change what later inputs meet,
 * are left out.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/number.h"
#include "base/quote.h"
#include "cmd/command.h"
#include "cmd_model.h"
#include "fuzz.h"
#include "net/resp.h"
#include "server/server.h"
#include "store_rig.h"
#include "wire.h"

enum { COMMANDS_MAX = 64, ARGS_MAX = 16, RECEIVE_BYTES = 1 << 16, REPLIES_BYTES_MAX = 128 << 20 };

static char directory[64];
static char socket_path[96];
static struct server *server;

/* ---- the server ---- */

static void stop_server(void)
{
    server_stop(server, false);
}

static void start_server(void)
{
    if (server != NULL) {
        return;
    }
    rig_directory(directory);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", directory);
    const char *arguments[] = {
        "--port",
        "0",
        "--unixsocket",
        socket_path,
        "--dir",
        directory,
        "--shards",
        "2",
        "--partitions",
        "4",
        "--databases",
        "4",
        "--maxmemory",
        "64mb",
        "--enable-debug-command",
        "yes",
        "--proto-max-bulk-len",
        "1mb",
        "--appendfsync",
        "no",
    };
    enum { COUNT = sizeof(arguments) / sizeof(arguments[0]) };
    char *argv[COUNT];
    for (int i = 0; i < COUNT; i++) {
        argv[i] = strdup(arguments[i]);
        MUST(argv[i] != NULL);
    }
    clock_init();
    commands_init();
    logger_set_level(LOGGER_LEVEL_NOTHING);
    struct config *config = config_create();
    struct config_failure failure;
    MUST(config != NULL && config_read_arguments(config, COUNT, argv, &failure) == 0);
    for (int i = 0; i < COUNT; i++) {
        free(argv[i]);
    }
    MUST(server_start(config, "fuzz", &server) == 0);
    MUST(server_listen(server) == 0);
    (void)atexit(stop_server);
}

/* ---- a client ---- */

struct client {
    int fd;
    struct buffer requests;
    struct buffer replies;
    size_t taken; /* of the replies */
};

static void client_open(struct client *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    *client = (struct client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    MUST(client->fd >= 0);
    MUST(connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    buffer_init(&client->requests, SIZE_MAX / 2);
    buffer_init(&client->replies, REPLIES_BYTES_MAX);
}

static void client_close(struct client *client)
{
    buffer_deinit(&client->requests);
    buffer_deinit(&client->replies);
    (void)close(client->fd);
}

static void client_say(struct client *client, const struct slice *args, uint32_t argc)
{
    MUST(resp_encode_command(&client->requests, args, argc) == 0);
}

static void client_say_text(struct client *client, const char *text)
{
    struct slice args[ARGS_MAX];
    struct buffer storage;
    buffer_init(&storage, strlen(text) + 1);
    int argc = quote_split(slice_cstr(text), args, ARGS_MAX, &storage);
    MUST(argc > 0);
    client_say(client, args, (uint32_t)argc);
    buffer_deinit(&storage);
}

/* The requests are few enough for the socket's buffer. */
static void client_send(struct client *client)
{
    while (client->requests.bytes > 0) {
        ssize_t sent =
            send(client->fd, client->requests.data, client->requests.bytes, MSG_NOSIGNAL);
        MUST(sent > 0 || errno == EINTR);
        buffer_consume(&client->requests, sent > 0 ? (size_t)sent : 0);
    }
}

/* The next reply, borrowed until the next call; empty: the server has closed. */
static struct slice client_hear(struct client *client)
{
    for (;;) {
        struct slice left = slice_skip(buffer_slice(&client->replies), client->taken);
        size_t bytes = left.bytes > 0 ? wire_reply_bytes(left, 0) : 0;
        if (bytes > 0) {
            client->taken += bytes;
            return slice_of(left.data, bytes);
        }
        MUST(buffer_reserve(&client->replies, RECEIVE_BYTES) == 0);
        ssize_t got =
            recv(client->fd, client->replies.data + client->replies.bytes, RECEIVE_BYTES, 0);
        if (got == 0 || (got < 0 && errno != EINTR)) { /* libFuzzer's timer interrupts */
            return slice_of(NULL, 0);
        }
        client->replies.bytes += got > 0 ? (size_t)got : 0;
    }
}

static void expect_text(struct client *client, const char *command, const char *reply)
{
    client_say_text(client, command);
    client_send(client);
    struct slice got = client_hear(client);
    if (!slice_equal(got, slice_cstr(reply))) {
        (void)fprintf(stderr, "%s: %.*s\n", command, (int)got.bytes, (const char *)got.data);
        abort();
    }
}

/* ---- commands of an input ---- */

/* Never run: they end the server or its connections, make it rest, change how replies come, or
 * stay in force. */
static const char *const excluded[] = {
    "client|kill", "client|pause", "client|reply", "config|rewrite", "config|set",
    "debug|sleep", "monitor",      "quit",         "shutdown",       "debug|set-active-expire",
};

static bool is_excluded(const struct slice *args, uint32_t argc)
{
    const struct command *container;
    const struct command *command = command_find(args, argc, &container);
    if (command == NULL) {
        return slice_equal_nocase_cstr(args[0], "post") ||
               slice_equal_nocase_cstr(args[0], "host:"); /* as an attack by a browser: it closes */
    }
    for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++) {
        if (strcmp(command->name, excluded[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct script {
    struct slice args[COMMANDS_MAX][ARGS_MAX];
    uint32_t argc[COMMANDS_MAX];
    uint32_t count;
    struct buffer storage[COMMANDS_MAX];
};

static void script_add(struct script *script, struct slice line)
{
    struct buffer *storage = &script->storage[script->count];
    buffer_init(storage, line.bytes + 1);
    int argc = quote_split(line, script->args[script->count], ARGS_MAX, storage);
    if (argc <= 0 || is_excluded(script->args[script->count], (uint32_t)argc)) {
        buffer_deinit(storage);
        return;
    }
    script->argc[script->count++] = (uint32_t)argc;
}

static void script_read(struct script *script, struct slice text)
{
    script->count = 0;
    while (text.bytes > 0 && script->count < COMMANDS_MAX) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        size_t bytes = end != NULL ? (size_t)(end - text.data) : text.bytes;
        script_add(script, slice_of(text.data, bytes));
        text = slice_skip(text, end != NULL ? bytes + 1 : bytes);
    }
}

static void script_release(struct script *script)
{
    for (uint32_t i = 0; i < script->count; i++) {
        buffer_deinit(&script->storage[i]);
    }
}

static void script_run(const struct script *script, struct client *client)
{
    for (uint32_t i = 0; i < script->count; i++) {
        client_say(client, script->args[i], script->argc[i]);
    }
    client_send(client);
    for (uint32_t i = 0; i < script->count; i++) {
        struct slice reply = client_hear(client);
        MUST(reply.bytes > 0);
        model_check(script->args[i], script->argc[i], reply);
    }
}

/* The model's keys by GET. */
static void check_keys(struct client *client)
{
    for (uint32_t i = 0; model_is_on() && i < MODEL_KEYS; i++) {
        char command[32];
        (void)snprintf(command, sizeof(command), "GET %s", model_key(i));
        client_say_text(client, command);
        client_send(client);
        struct slice args[2] = {slice_cstr("GET"), slice_cstr(model_key(i))};
        struct slice reply = client_hear(client);
        MUST(reply.bytes > 0);
        model_check(args, 2, reply);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct script script;
    struct client client;
    start_server();
    model_clear();
    client_open(&client);
    expect_text(&client, "FLUSHALL", "+OK\r\n");
    script_read(&script, slice_of(data, bytes));
    script_run(&script, &client);
    if (bytes % 8 == 0) {
        check_keys(&client);
        expect_text(&client, "DEBUG EVICT", "+OK\r\n");
        expect_text(&client, "DEBUG CHECK", "+OK\r\n");
    }
    check_keys(&client);
    script_release(&script);
    client_close(&client);
    return 0;
}

#ifdef FUZZ_ENGINE
#include "cmd_mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned int seed)
{
    commands_init();
    return seed % 4 == 0 ? LLVMFuzzerMutate(data, bytes, bytes_max)
                         : cmd_mutate(data, bytes, bytes_max, seed);
}
#endif
