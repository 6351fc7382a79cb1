#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "fixture.h"
#include "io/file.h"
#include "io/io_body.h"

TestSuite(io, .timeout = 60);

enum { SHORT_NS = 1000000 };

static struct io *io_default(void)
{
    struct io_options options = fixture_options();
    return fixture_io(&options);
}

static int poll_for(struct io *io, int64_t timeout_ns)
{
    struct io_wait wait = {.timeout_ns = timeout_ns};
    return io_poll(io, &wait);
}

/* ---- creation ---- */

Test(io, backend_is_the_one_asked_for)
{
    struct io_options options = fixture_options();
    struct io *io = fixture_io(&options);
    cr_assert_str_eq(io_name(io), options.backend == IO_BACKEND_POSIX ? "posix" : "io_uring");
    cr_assert_eq(io_pending(io), 0);
    io_destroy(io);
    io_destroy(NULL);
}

Test(io, auto_always_finds_a_backend)
{
    struct io_options options = io_options_default();
    struct io *io;
    cr_assert_eq(options.backend, IO_BACKEND_AUTO);
    cr_assert_eq(io_create(&options, &io), 0);
    cr_assert_eq(poll_for(io, 0), 0);
    io_destroy(io);
}

static void created(struct io_options options)
{
    struct io *io = fixture_io(&options);
    cr_assert_eq(poll_for(io, 0), 0);
    io_destroy(io);
}

static void refused(struct io_options options)
{
    struct io *io;
    cr_assert_eq(io_create(&options, &io), -EINVAL);
}

Test(io, options_are_checked_at_their_limits)
{
    struct io_options options = fixture_options();
    options.ops_max = 0;
    refused(options);
    options.ops_max = IO_OPS_MAX + 1;
    refused(options);
    options.ops_max = IO_OPS_MAX;
    created(options);
    options.recv_buffers = 3;
    refused(options);
    options.recv_buffers = 0;
    refused(options);
    options.recv_buffers = 2 * IO_RECV_BUFFERS_MAX;
    refused(options);
    options.recv_buffer_bytes = 1;
    options.recv_buffers = IO_RECV_BUFFERS_MAX;
    created(options);
    options.recv_buffers = 1;
    created(options);
    options.recv_buffer_bytes = 0;
    refused(options);
    options.recv_buffer_bytes = IO_RECV_BUFFER_BYTES_MAX + 1;
    refused(options);
    options.recv_buffer_bytes = 4096;
    options.file_threads = 0;
    refused(options);
    options.file_threads = IO_FILE_THREADS_MAX + 1;
    refused(options);
}

Test(io, no_memory_is_an_error_at_each_step)
{
    struct io_options options = fixture_options();
    struct io *io = fixture_io(&options);
    io_destroy(io);
    int err = ERR_MEMORY;
    uint32_t failures = 0;
    while (err == ERR_MEMORY) {
        mem_fail_after(failures + 1, false);
        err = io_create(&options, &io);
        mem_fail_after(0, false);
        failures += err == ERR_MEMORY;
    }
    cr_assert_eq(err, 0);
    cr_assert_geq(failures, 3);
    io_destroy(io);
}

/* ---- waiting ---- */

Test(io, poll_returns_after_its_time)
{
    struct io *io = io_default();
    cr_assert_eq(poll_for(io, 0), 0);
    cr_assert_eq(poll_for(io, SHORT_NS), 0);
    cr_assert_eq(poll_for(io, 1), 0);
    io_destroy(io);
}

Test(io, poll_for_a_batch_returns_after_its_time)
{
    struct io *io = io_default();
    struct io_wait wait = {.timeout_ns = SHORT_NS, .batch = 16, .batch_us = 50};
    cr_assert_eq(io_poll(io, &wait), 0);
    wait.batch_us = 5000; /* longer than the whole wait */
    cr_assert_eq(io_poll(io, &wait), 0);
    wait.timeout_ns = 0;
    cr_assert_eq(io_poll(io, &wait), 0);
    io_destroy(io);
}

static size_t received_bytes;
static bool is_closed;

static void on_recv(struct io_socket *socket, const uint8_t *data, int32_t bytes)
{
    (void)socket;
    (void)data;
    received_bytes += (size_t)bytes;
}

static void on_closed(struct io_socket *socket)
{
    (void)socket;
    is_closed = true;
}

/* One event where sixteen were hoped for, with and without an end of the wait. */
Test(io, poll_for_a_batch_returns_with_fewer_events)
{
    struct io *io = io_default();
    struct io_socket socket = {0};
    struct io_wait waits[] = {
        {.timeout_ns = -1, .batch = 16, .batch_us = 100},
        {.timeout_ns = 3600000000000, .batch = 16, .batch_us = 100},
        {.timeout_ns = -1, .batch = 16, .batch_us = 0},
        {.timeout_ns = -1, .batch = 1, .batch_us = 100},
    };
    int fds[2];
    fixture_pair(fds);
    io_recv_start(io, &socket, fds[0], on_recv);
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        cr_assert_eq(send(fds[1], "x", 1, 0), 1);
        while (received_bytes < i + 1) {
            cr_assert_geq(io_poll(io, &waits[i]), 0);
        }
    }
    io_socket_close(io, &socket, on_closed);
    POLL_UNTIL(io, is_closed);
    close(fds[1]);
    io_destroy(io);
}

/* ---- waking ---- */

Test(io, wake_before_poll_ends_the_next_wait)
{
    struct io *io = io_default();
    cr_assert_eq(poll_for(io, 0), 0);
    for (uint32_t i = 0; i < 10; i++) {
        io_wake(io, NULL);
        cr_assert_eq(poll_for(io, -1), 0);
    }
    io_wake(io, io);
    cr_assert_eq(poll_for(io, -1), 0);
    io_destroy(io);
}

Test(io, wake_before_the_very_first_poll)
{
    struct io *io = io_default();
    io_wake(io, NULL);
    cr_assert_eq(poll_for(io, -1), 0);
    io_destroy(io);
}

/* Two threads hand a turn to and fro; each sleeps without an end until the other wakes it. */
enum { TURNS = 2000 };

struct player {
    struct io *io;
    struct player *other;
    atomic_uint turns;   /* given to this player */
    atomic_bool ready;   /* io is there */
    atomic_bool leaving; /* does not call the other any more */
    bool with_ring;      /* wakes by its own io */
};

static void play(struct player *player)
{
    struct io *from = player->with_ring ? player->io : NULL;
    for (unsigned turn = 1; turn <= TURNS; turn++) {
        while (atomic_load(&player->turns) < turn) {
            cr_assert_geq(poll_for(player->io, -1), 0);
        }
        atomic_fetch_add(&player->other->turns, 1);
        io_wake(player->other->io, from);
    }
    cr_assert_geq(poll_for(player->io, 0), 0); /* lets the last wake out */
    atomic_store(&player->leaving, true);
}

static void player_meet(struct player *player)
{
    player->io = io_default();
    atomic_store(&player->ready, true);
    while (!atomic_load(&player->other->ready)) {
        thread_yield();
    }
}

static void player_run(void *arg)
{
    struct player *player = arg;
    player_meet(player);
    play(player);
    while (!atomic_load(&player->other->leaving)) {
        thread_yield();
    }
    io_destroy(player->io);
}

static void game(bool with_ring)
{
    static struct player players[2];
    struct thread thread;
    memset(players, 0, sizeof(players));
    io_destroy(io_default()); /* skips here, not in the other thread */
    for (uint32_t i = 0; i < 2; i++) {
        players[i].other = &players[1 - i];
        players[i].with_ring = with_ring;
    }
    atomic_store(&players[0].turns, 1);
    cr_assert_eq(thread_start(&thread, "player", player_run, &players[1]), 0);
    player_run(&players[0]);
    thread_join(&thread);
}

Test(io, wakes_from_a_plain_thread_are_never_lost)
{
    game(false);
}

Test(io, wakes_from_another_io_are_never_lost)
{
    game(true);
}

Test(io, wakes_are_counted)
{
    struct io *io = io_default();
    struct io_stats stats;
    io_wake(io, NULL);
    cr_assert_eq(poll_for(io, -1), 0);
    io_stats(io, &stats);
    cr_assert_eq(stats.wakes, 1);
    cr_assert_eq(stats.polls, 1);
    io_destroy(io);
}

/* ---- the lock ---- */

Test(io, ring_holds_the_lock_after_its_descriptor_is_closed)
{
    struct io_options options = fixture_options();
    if (options.backend == IO_BACKEND_POSIX) {
        cr_skip_test("the posix body has no writes that outlive the process");
    }
    fixture_dir_make();
    const char *path = fixture_path("LOCK");
    options.lock_fd = file_lock(path, 0, NULL);
    cr_assert_geq(options.lock_fd, 0);
    struct io *io = fixture_io(&options);
    cr_assert_eq(close(options.lock_fd), 0);
    cr_assert_eq(file_lock(path, 0, NULL), ERR_LOCKED);
    io_destroy(io);
    int fd = file_lock(path, 30000, NULL); /* the kernel ends a ring in its own time */
    cr_assert_geq(fd, 0);
    close(fd);
    fixture_dir_remove();
}

/* ---- a third body ---- */

/* A body that takes operations and nothing else, and ends them when told to. */
struct fake {
    struct io io;
    struct io_op *op;
    uint32_t arms;
    uint32_t arms_refused; /* so many accepts are not armed */
};

static void fake_submit(struct io *io, struct io_op *op)
{
    ((struct fake *)(void *)io)->op = op;
}

static void fake_accept_arm(struct io *io, struct io_accept *accept)
{
    struct fake *fake = (struct fake *)(void *)io;
    fake->arms++;
    accept->armed = fake->arms > fake->arms_refused;
}

static void fake_accept_cancel(struct io *io, struct io_accept *accept)
{
    io_accept_disarmed(io, accept);
}

static int fake_poll(struct io *io, const struct io_wait *wait)
{
    struct fake *fake = (struct fake *)(void *)io;
    (void)wait;
    struct io_op *op = fake->op;
    if (op == NULL) {
        return 0;
    }
    fake->op = NULL;
    io_op_end(io, op, -EDQUOT);
    return 1;
}

static const struct io_vtable fake_vtable = {
    .name = "simulated",
    .submit = fake_submit,
    .accept_arm = fake_accept_arm,
    .accept_cancel = fake_accept_cancel,
    .poll = fake_poll,
};

Test(io, another_body_fits_behind_the_face)
{
    struct io_options options = io_options_default();
    struct fake fake = {0};
    io_init_body(&fake.io, &fake_vtable, &options);
    cr_assert_str_eq(io_name(&fake.io), "simulated");
    cr_assert_eq(fixture_write(&fake.io, 3, "x", 1, 0), -EDQUOT);
    io_deinit_body(&fake.io);
}

static void no_accept(struct io_listener *listener, int fd)
{
    (void)listener;
    (void)fd;
    cr_assert(false, "nobody connects");
}

Test(io, listener_that_could_not_be_armed_is_armed_later)
{
    struct io_options options = io_options_default();
    struct fake fake = {.arms_refused = 2};
    struct io_listener listener = {0};
    io_init_body(&fake.io, &fake_vtable, &options);
    fake.arms_refused = 2;
    io_listen_start(&fake.io, &listener, 3, no_accept);
    cr_assert(!listener.accept->armed);
    cr_assert_eq(poll_for(&fake.io, 0), 0);
    cr_assert(!listener.accept->armed);
    cr_assert_eq(poll_for(&fake.io, 0), 0);
    cr_assert(listener.accept->armed);
    cr_assert_eq(poll_for(&fake.io, 0), 0);
    cr_assert_eq(fake.arms, 3);
    io_listen_stop(&fake.io, &listener);
    io_deinit_body(&fake.io);
}

/* Where the rest of a send starts, at every byte of it. */
Test(io, rest_of_a_send_is_found_by_its_progress)
{
    struct iovec parts[] = {{.iov_len = 0}, {.iov_len = 2}, {.iov_len = 0}, {.iov_len = 3}};
    struct io_op op = {.kind = IO_SEND, .iov = parts, .iov_count = 4, .bytes = 5};
    const uint32_t index[] = {1, 1, 3, 3, 3};
    const size_t skip[] = {0, 1, 0, 1, 2};
    for (op.progress = 0; op.progress < op.bytes; op.progress++) {
        struct io_send_rest rest = io_send_rest(&op);
        cr_assert_eq(rest.index, index[op.progress]);
        cr_assert_eq(rest.skip, skip[op.progress]);
    }
}
