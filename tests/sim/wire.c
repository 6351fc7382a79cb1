#include "wire.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/list.h"
#include "world.h"

enum { LATE_FACTOR = 100 };

/* One direction: bytes in order, the first `ready` of which have arrived. */
struct stream {
    uint8_t *data;
    size_t start, end, capacity; /* [start, end) is not taken yet */
    size_t ready;                /* of these, from start */
    bool shut;                   /* the writer is done */
    struct world_event arrival;
};

struct wire {
    int fd;                     /* the server's; -1: it has let go */
    struct wire_client *client; /* NULL: it has let go */
    bool accepted, reset, paused;
    bool told_closed;
    struct stream up, down; /* client to server, server to client */
    struct world_event closing;
    wire_notify_fn *notify;
    void *context;
    uint32_t listener;
};

struct listener {
    wire_notify_fn *notify;
    void *context;
};

static struct {
    struct wire_plan plan;
    struct wire *all[WIRES_MAX]; /* by the server's descriptor */
    struct listener listeners[WIRE_LISTENERS_MAX];
    uint32_t open;
} net;

static void wire_notify(struct wire *wire)
{
    if (wire->notify != NULL && wire->fd >= 0) {
        wire->notify(wire->context);
    }
}

/* ---- streams ---- */

static void stream_append(struct stream *stream, const void *data, size_t bytes)
{
    if (stream->end + bytes > stream->capacity) {
        if (stream->start > 0) {
            memmove(stream->data, stream->data + stream->start, stream->end - stream->start);
        }
        stream->end -= stream->start;
        stream->start = 0;
        if (stream->end + bytes > stream->capacity) {
            stream->capacity = max_u64(stream->capacity * 2, stream->end + bytes);
            stream->data = sim_realloc(stream->data, stream->capacity);
        }
    }
    memcpy(stream->data + stream->end, data, bytes);
    stream->end += bytes;
}

static size_t stream_late(const struct stream *stream)
{
    return stream->end - stream->start - stream->ready;
}

static int64_t delay_draw(void)
{
    int64_t delay = (int64_t)world_below(STREAM_NET, (uint64_t)net.plan.delay_ns_max + 1);
    return world_chance(STREAM_NET, net.plan.stall_rate) ? delay * LATE_FACTOR : delay;
}

static void wire_reset(struct wire *wire);
static void wire_tell_client(struct wire *wire);

/* The next segment comes in. */
static void stream_arrive(struct wire *wire, struct stream *stream)
{
    size_t bytes = min_u64(stream_late(stream), world_between(STREAM_NET, 1, net.plan.segment_max));
    stream->ready += bytes;
    if (world_chance(STREAM_NET, net.plan.reset_rate)) {
        wire_reset(wire);
    }
}

static void stream_deinit(struct stream *stream)
{
    world_cancel(&stream->arrival);
    sim_free(stream->data);
}

/* ---- the life of a wire ---- */

static void wire_free_if_done(struct wire *wire)
{
    if (wire->fd < 0 && wire->client == NULL) {
        stream_deinit(&wire->up);
        stream_deinit(&wire->down);
        world_cancel(&wire->closing);
        sim_free(wire);
    }
}

static struct wire *wire_of(int fd)
{
    uint32_t index = (uint32_t)(fd - WIRE_FD_FIRST);
    SIM_CHECK(index < WIRES_MAX && net.all[index] != NULL, "descriptor %d is no connection", fd);
    return net.all[index];
}

static void wire_release_fd(struct wire *wire)
{
    net.all[wire->fd - WIRE_FD_FIRST] = NULL;
    net.open--;
    wire->fd = -1;
    wire->notify = NULL;
}

/* Both sides see an error; what was under way is lost. */
static void wire_reset(struct wire *wire)
{
    wire->reset = true;
    world_trace("wire reset", (uint64_t)wire->fd, 0);
    wire_notify(wire);
    wire_tell_client(wire);
}

/* ---- to the server ---- */

static void up_arrived(struct world_event *event);

static void up_arm(struct wire *wire)
{
    if (!wire->up.arrival.scheduled && stream_late(&wire->up) > 0) {
        world_schedule(&wire->up.arrival, delay_draw(), up_arrived);
    }
}

static void up_arrived(struct world_event *event)
{
    struct wire *wire = container_of(event, struct wire, up.arrival);
    stream_arrive(wire, &wire->up);
    up_arm(wire);
    wire_notify(wire);
}

bool wire_connect(struct wire_client *client, uint32_t shard)
{
    struct listener *listener = &net.listeners[shard];
    uint32_t index = 0;
    while (index < WIRES_MAX && net.all[index] != NULL) {
        index++;
    }
    if (listener->notify == NULL || index == WIRES_MAX) {
        return false;
    }
    struct wire *wire = sim_alloc(sizeof(*wire));
    wire->fd = WIRE_FD_FIRST + (int)index;
    wire->client = client;
    wire->listener = shard;
    net.all[index] = wire;
    net.open++;
    client->wire = wire;
    listener->notify(listener->context);
    return true;
}

void wire_send(struct wire_client *client, const void *data, size_t bytes)
{
    struct wire *wire = client->wire;
    if (wire->reset || wire->fd < 0) {
        return;
    }
    stream_append(&wire->up, data, bytes);
    up_arm(wire);
}

void wire_shut(struct wire_client *client)
{
    client->wire->up.shut = true;
    wire_notify(client->wire);
}

void wire_close(struct wire_client *client, bool reset)
{
    struct wire *wire = client->wire;
    client->wire = NULL;
    wire->client = NULL;
    wire->up.shut = true;
    wire->reset |= reset;
    wire_notify(wire);
    wire_free_if_done(wire);
}

/* ---- to the client ---- */

static void down_arrived(struct world_event *event);
static void closing_due(struct world_event *event);

static void down_arm(struct wire *wire)
{
    if (wire->client == NULL || wire->paused || wire->down.arrival.scheduled) {
        return;
    }
    if (stream_late(&wire->down) > 0) {
        world_schedule(&wire->down.arrival, delay_draw(), down_arrived);
    } else if ((wire->down.shut || wire->fd < 0) && !wire->closing.scheduled) {
        world_schedule(&wire->closing, delay_draw(), closing_due);
    }
}

static void wire_tell_client(struct wire *wire)
{
    if (wire->client != NULL && !wire->closing.scheduled) {
        world_schedule(&wire->closing, delay_draw(), closing_due);
    }
}

static void closing_due(struct world_event *event)
{
    struct wire *wire = container_of(event, struct wire, closing);
    struct wire_client *client = wire->client;
    if (client == NULL) {
        return;
    }
    wire->client = NULL;
    client->wire = NULL;
    wire->up.shut = true;
    wire_notify(wire);
    wire_free_if_done(wire);
    client->on_closed(client);
}

static void down_arrived(struct world_event *event)
{
    struct wire *wire = container_of(event, struct wire, down.arrival);
    struct stream *stream = &wire->down;
    stream_arrive(wire, stream);
    if (wire->reset || wire->client == NULL) {
        return;
    }
    size_t at = stream->start;
    size_t bytes = stream->ready;
    stream->start += bytes;
    stream->ready = 0;
    wire_notify(wire); /* there is room */
    down_arm(wire);
    wire->client->on_data(wire->client, stream->data + at, bytes); /* may close */
}

void wire_pause(struct wire_client *client, bool paused)
{
    client->wire->paused = paused;
    down_arm(client->wire);
}

/* ---- the server's side ---- */

void wire_set_plan(const struct wire_plan *plan)
{
    net.plan = *plan;
}

int wire_listener(uint32_t shard)
{
    return WIRE_FD_FIRST + WIRES_MAX + (int)shard;
}

static uint32_t listener_index(int listener)
{
    return (uint32_t)(listener - WIRE_FD_FIRST - WIRES_MAX);
}

void wire_listen(int listener, wire_notify_fn *notify, void *context)
{
    net.listeners[listener_index(listener)] = (struct listener){notify, context};
}

int wire_accept(int listener)
{
    for (uint32_t i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = net.all[i];
        if (wire != NULL && !wire->accepted && wire->listener == listener_index(listener)) {
            wire->accepted = true;
            return wire->fd;
        }
    }
    return -EAGAIN;
}

void wire_watch(int fd, wire_notify_fn *notify, void *context)
{
    struct wire *wire = wire_of(fd);
    wire->notify = notify;
    wire->context = context;
}

bool wire_readable(int fd)
{
    const struct wire *wire = wire_of(fd);
    bool ended = wire->up.shut && stream_late(&wire->up) == 0;
    return wire->reset || wire->up.ready > 0 || ended;
}

int64_t wire_read(int fd, void *data, size_t bytes)
{
    struct wire *wire = wire_of(fd);
    if (wire->reset) {
        return -ECONNRESET;
    }
    struct stream *stream = &wire->up;
    if (stream->ready == 0) {
        return stream->shut && stream_late(stream) == 0 ? 0 : -EAGAIN;
    }
    size_t taken = min_u64(bytes, stream->ready);
    memcpy(data, stream->data + stream->start, taken);
    stream->start += taken;
    stream->ready -= taken;
    return (int64_t)taken;
}

static size_t room(const struct wire *wire)
{
    size_t held = wire->down.end - wire->down.start;
    return held < net.plan.buffer_bytes ? net.plan.buffer_bytes - held : 0;
}

bool wire_writable(int fd)
{
    const struct wire *wire = wire_of(fd);
    return wire->reset || wire->client == NULL || wire->down.shut || room(wire) > 0;
}

int64_t wire_write(int fd, const void *data, size_t bytes)
{
    struct wire *wire = wire_of(fd);
    if (wire->reset) {
        return -ECONNRESET;
    }
    if (wire->client == NULL || wire->down.shut) {
        return -EPIPE;
    }
    size_t taken = min_u64(bytes, room(wire));
    if (taken == 0) {
        return -EAGAIN;
    }
    stream_append(&wire->down, data, taken);
    down_arm(wire);
    return (int64_t)taken;
}

void wire_shutdown(int fd)
{
    struct wire *wire = wire_of(fd);
    wire->down.shut = true;
    wire->up.shut = true;
    wire->up.end = wire->up.start + wire->up.ready;
    world_cancel(&wire->up.arrival);
    down_arm(wire);
    wire_notify(wire);
}

void wire_close_fd(int fd)
{
    struct wire *wire = wire_of(fd);
    wire->down.shut = true;
    wire_release_fd(wire);
    down_arm(wire);
    wire_free_if_done(wire);
}

uint32_t wire_open_count(void)
{
    return net.open;
}

void wire_process_gone(void)
{
    memset(net.listeners, 0, sizeof(net.listeners));
    for (uint32_t i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = net.all[i];
        if (wire != NULL) {
            wire->reset = true;
            wire_release_fd(wire);
            wire_tell_client(wire);
            wire_free_if_done(wire);
        }
    }
}

void wire_end(void)
{
    wire_process_gone();
}
