#include "client.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/list.h"
#include "world.h"

enum { REPLY_NODES_MAX = 65536, LINE_BYTES_MAX = 1024 };

/* ---- replies ---- */

/* One reply is looked at at a time, so its nodes need no owner. */
static struct reply nodes[REPLY_NODES_MAX];
static uint32_t nodes_used;

bool reply_is_error(const struct reply *reply, const char *code)
{
    return reply->type == '-' && reply->bytes >= strlen(code) &&
           memcmp(reply->data, code, strlen(code)) == 0;
}

bool reply_is_text(const struct reply *reply, const char *text)
{
    return (reply->type == '+' || reply->type == '$') && reply->bytes == strlen(text) &&
           memcmp(reply->data, text, reply->bytes) == 0;
}

/* The bytes of a line with its CRLF; 0: not all there. */
static size_t line_find(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = memchr(data, '\n', bytes);
    if (end == NULL) {
        SIM_CHECK(bytes < LINE_BYTES_MAX, "a reply's line doesn't end");
        return 0;
    }
    SIM_CHECK(end > data && end[-1] == '\r', "a reply's line ends without CR");
    return (size_t)(end - data) + 1;
}

static int64_t line_number(const uint8_t *data, size_t line)
{
    char text[32] = "";
    SIM_CHECK(line >= 4 && line - 3 < sizeof(text), "a reply's number is %zu bytes long", line);
    memcpy(text, data + 1, line - 3);
    int64_t value = 0;
    bool negative = text[0] == '-';
    for (const char *at = text + (negative ? 1 : 0); *at != '\0'; at++) {
        SIM_CHECK(*at >= '0' && *at <= '9', "a reply's number is '%s'", text);
        value = value * 10 + (*at - '0');
    }
    return negative ? -value : value;
}

static size_t parse(const uint8_t *data, size_t bytes, struct reply *ret_reply);

static size_t parse_array(const uint8_t *data, size_t bytes, size_t line, struct reply *ret_reply)
{
    uint32_t count = (uint32_t)ret_reply->integer;
    SIM_CHECK(nodes_used + count <= REPLY_NODES_MAX, "a reply has too many elements");
    struct reply *items = &nodes[nodes_used];
    nodes_used += count;
    size_t at = line;
    for (uint32_t i = 0; i < count; i++) {
        size_t used = at < bytes ? parse(data + at, bytes - at, &items[i]) : 0;
        if (used == 0) {
            return 0;
        }
        at += used;
    }
    ret_reply->count = count;
    ret_reply->items = items;
    return at;
}

/* The bytes of the whole reply; 0: not all there. */
static size_t parse(const uint8_t *data, size_t bytes, struct reply *ret_reply)
{
    size_t line = bytes == 0 ? 0 : line_find(data, bytes);
    if (line == 0) {
        return 0;
    }
    *ret_reply = (struct reply){.type = (char)data[0], .data = data + 1, .bytes = line - 3};
    if (data[0] == '+' || data[0] == '-') {
        return line;
    }
    ret_reply->integer = line_number(data, line);
    if (data[0] == ':') {
        return line;
    }
    SIM_CHECK(data[0] == '$' || data[0] == '*', "a reply begins with byte %u", data[0]);
    if (ret_reply->integer < 0) {
        ret_reply->type = 'n';
        return line;
    }
    if (data[0] == '*') {
        return parse_array(data, bytes, line, ret_reply);
    }
    size_t length = (size_t)ret_reply->integer;
    if (bytes < line + length + 2) {
        return 0;
    }
    SIM_CHECK(memcmp(data + line + length, "\r\n", 2) == 0, "a bulk reply ends without CRLF");
    ret_reply->data = data + line;
    ret_reply->bytes = length;
    return line + length + 2;
}

/* ---- requests ---- */

struct request *request_make(request_done_fn *done, void *owner)
{
    struct request *request = sim_alloc(sizeof(*request));
    request->done = done;
    request->owner = owner;
    return request;
}

static void request_end(struct client *client, const struct reply *reply)
{
    struct request *request = client->first;
    client->first = request->next;
    if (client->first == NULL) {
        client->last = NULL;
    }
    client->pending--;
    request->done(request, reply);
    sim_free(request);
}

void command_add(struct command *command, const void *data, size_t bytes)
{
    SIM_CHECK(command->argc < CLIENT_ARGS_MAX, "simulator: too many arguments");
    command->args[command->argc] = data;
    command->bytes[command->argc++] = bytes;
}

void command_add_text(struct command *command, const char *text)
{
    command_add(command, text, strlen(text));
}

void client_send(struct client *client, const struct command *command, struct request *request)
{
    char head[32];
    wire_send(&client->wire, head, (size_t)snprintf(head, sizeof(head), "*%u\r\n", command->argc));
    for (uint32_t i = 0; i < command->argc; i++) {
        int bytes = snprintf(head, sizeof(head), "$%zu\r\n", command->bytes[i]);
        wire_send(&client->wire, head, (size_t)bytes);
        wire_send(&client->wire, command->args[i], command->bytes[i]);
        wire_send(&client->wire, "\r\n", 2);
    }
    request->client = client;
    request->issued_ns = world_now_ns();
    if (client->last != NULL) {
        client->last->next = request;
    } else {
        client->first = request;
    }
    client->last = request;
    client->pending++;
}

/* ---- the connection ---- */

static void lose_requests(struct client *client)
{
    while (client->first != NULL) {
        request_end(client, NULL);
    }
}

/* Whole replies at the start of the input, one after the other. */
static void take_replies(struct client *client)
{
    size_t at = 0;
    struct reply reply;
    size_t used;
    while (nodes_used = 0,
           (used = parse(client->input + at, client->input_bytes - at, &reply)) > 0) {
        SIM_CHECK(client->first != NULL, "a reply that nobody asked for");
        request_end(client, &reply);
        at += used;
    }
    if (at > 0) {
        memmove(client->input, client->input + at, client->input_bytes - at);
        client->input_bytes -= at;
    }
}

static void on_data(struct wire_client *wire, const uint8_t *data, size_t bytes)
{
    struct client *client = container_of(wire, struct client, wire);
    if (client->input_bytes + bytes > client->input_capacity) {
        client->input_capacity = (client->input_bytes + bytes) * 2;
        client->input = sim_realloc(client->input, client->input_capacity);
    }
    memcpy(client->input + client->input_bytes, data, bytes);
    client->input_bytes += bytes;
    take_replies(client);
}

static void on_closed(struct wire_client *wire)
{
    struct client *client = container_of(wire, struct client, wire);
    client->input_bytes = 0;
    lose_requests(client);
    if (client->on_lost != NULL) {
        client->on_lost(client);
    }
}

void client_init(struct client *client, uint32_t id)
{
    memset(client, 0, sizeof(*client));
    client->id = id;
    client->wire.on_data = on_data;
    client->wire.on_closed = on_closed;
}

void client_deinit(struct client *client)
{
    client_close(client);
    sim_free(client->input);
    client->input = NULL;
}

bool client_connect(struct client *client, uint32_t shard)
{
    client->input_bytes = 0;
    return wire_connect(&client->wire, shard);
}

bool client_is_connected(const struct client *client)
{
    return client->wire.wire != NULL;
}

void client_close(struct client *client)
{
    if (client->wire.wire != NULL) {
        wire_close(&client->wire, true);
    }
    lose_requests(client);
    client->input_bytes = 0;
}
