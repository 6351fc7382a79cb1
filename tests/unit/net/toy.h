/*
 * toy: a server of one shard with commands that need no store, for the tests of net, and a blocking
 * client.
 *
 *     PING, ECHO x, NARGS ..., QUIT, AUTH     as one expects (NARGS: the count of its arguments)
 *     BIG n, SHARED n                         a bulk of n bytes 'b', copied or sent from where it
 * is NONE                                    no reply WAIT                                    is
 * left untaken once; the connection is resumed a little later WAITNOW the same, resumed before
 * on_commands returns HOLD                                    is taken; its reply +HELD comes with
 * toy_release_held KILL, KILLID id                         closes itself, another RAISE n +RAISED,
 * not before gate n
 *
 * Whatever is wrong or lasts longer than TOY_TIMEOUT_S fails the test. Functions run on the test's
 * thread; the fields of struct toy below `shard side` belong to the shard: touch them through
 * toy_call.
 */
#ifndef TESTS_NET_TOY_H
#define TESTS_NET_TOY_H

#include <stdbool.h>
#include <stdint.h>

#include "net/net.h"
#include "shard/shard.h"

enum { TOY_TIMEOUT_S = 60, TOY_HELD_MAX = 16 };

struct toy {
    enum io_backend backend;
    struct net_limits limits;
    uint32_t clients_max;
    bool password; /* connections begin unauthenticated */
    bool gated;    /* each pass has a gate of its own; gate_open_to says which are open */
    bool refuse;   /* on_open returns NULL */
    bool protect;  /* on_open writes an error and closes */
    bool listen_unix;

    struct shard_set *set;
    struct shard *shard;
    struct net *net;
    struct net_shared *shared;
    uint16_t port;
    char unix_path[108];

    /* shard side */
    uint64_t gate, gate_open_to, gate_wanted;
    uint32_t opened, closed, commands, calls, released;
    uint64_t held[TOY_HELD_MAX];
    uint32_t held_count;
};

/* TOY_EACH (backend) { ... } runs its body for each backend that this machine has. */
bool toy_backend_works(enum io_backend backend);
#define TOY_EACH(backend)                                                                    \
    for (enum io_backend backend = IO_BACKEND_URING; backend <= IO_BACKEND_POSIX; backend++) \
        if (toy_backend_works(backend))

void toy_init(struct toy *toy, enum io_backend backend); /* defaults: change fields, then start */
void toy_start(struct toy *toy);
void toy_stop(struct toy *toy);

/* Runs fn(toy, argument) on the shard, in a coroutine; everything sent before has been seen then or
 * will be. Returns its result. */
typedef int64_t toy_fn(struct toy *toy, void *argument);
int64_t toy_call(struct toy *toy, toy_fn *fn, void *argument);
/* Lets a few passes go by. */
void toy_settle(struct toy *toy);
/* Asks until fn returns `expected`. */
void toy_await(struct toy *toy, toy_fn *fn, void *argument, int64_t expected);

void toy_open_gates(struct toy *toy, uint64_t to);
uint64_t toy_gate(struct toy *toy);     /* the last one handed out */
void toy_release_held(struct toy *toy); /* replies for all HOLDs */
uint64_t toy_first_id(struct toy *toy);
int64_t toy_memory_of(struct toy *toy,
                      void *id); /* toy_fn: conn_info.memory_bytes, -1 if it is gone */
int64_t toy_count_closed(struct toy *toy, void *unused); /* toy_fn */
int64_t toy_count_commands(struct toy *toy, void *unused);
int64_t toy_count_released(struct toy *toy, void *unused);
void toy_stats(struct toy *toy, struct net_stats *ret_stats);

/* ---- the client ---- */

int client_open(struct toy *toy);
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *bytes, size_t count);
void client_expect(int fd, const char *text);
/* Reads `count` bytes that must all be `byte`. */
void client_expect_fill(int fd, char byte, size_t count);
/* The peer closes, with or without a reset. */
void client_expect_end(int fd);
/* Nothing has come so far. */
void client_expect_silence(int fd);
/* Sends and receives at the same time, so that neither side has to wait for the other. */
void client_exchange(int fd, struct slice request, struct slice expected);

#endif
