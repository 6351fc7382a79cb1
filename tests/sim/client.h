/*
 * client: one simulated connection that sends commands and understands replies (RESP2). Requests
 * are answered in order; each gets its reply, or a loss when the connection ends first.
 *
 * All runs in events of the world. A callback may send more requests on its client; it may not
 * close it (client_close is for the run's end and for kills).
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum { CLIENT_ARGS_MAX = 64 };

struct reply {
    char type;           /* + - : $ *; 'n' is nil */
    const uint8_t *data; /* text of + - $ */
    size_t bytes;
    int64_t integer;
    uint32_t count; /* of an array */
    const struct reply *items;
};
bool reply_is_error(const struct reply *reply, const char *code); /* code: how it begins */
bool reply_is_text(const struct reply *reply, const char *text);

struct client;
struct request;
/* reply NULL: the connection was lost; whether the command took effect is not known. The request is
 * freed afterwards. */
typedef void request_done_fn(struct request *request, const struct reply *reply);

/* Made by request_make; the fields below `done` are the sender's own. */
struct request {
    struct request *next;
    struct client *client;
    request_done_fn *done;
    void *owner;
    int64_t issued_ns;
    uint64_t a, b, c;
};

struct client {
    struct wire_client wire;
    uint32_t id;
    struct request *first, *last; /* under way */
    uint32_t pending;
    uint8_t *input; /* received, not yet understood */
    size_t input_bytes, input_capacity;
    void (*on_lost)(struct client *client); /* the connection has ended */
    void *owner;
};

void client_init(struct client *client, uint32_t id);
void client_deinit(struct client *client);
bool client_connect(struct client *client, uint32_t shard);
bool client_is_connected(const struct client *client);
/* The requests under way are lost. No on_lost. */
void client_close(struct client *client);

struct request *request_make(request_done_fn *done, void *owner);

/* A command under construction. */
struct command {
    uint32_t argc;
    const void *args[CLIENT_ARGS_MAX];
    size_t bytes[CLIENT_ARGS_MAX];
};
void command_add(struct command *command, const void *data, size_t bytes); /* borrowed */
void command_add_text(struct command *command, const char *text);
/* Sends it; `request` is handed over. */
void client_send(struct client *client, const struct command *command, struct request *request);

#endif
