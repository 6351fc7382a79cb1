/*
 * The asynchronous face: operations in flight. Each has two events: the one in which it takes
 * effect, and the one in which it ends; between, before and after them the rest of the world goes
 * on. What an operation needs is copied when it is submitted, but for the buffer of a read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/hash.h"
#include "disk_impl.h"
#include "io/transfer.h"

enum {
    SLOW_FACTOR = 100,
    SCRIBBLE = 0x5c, /* in a read's buffer until it has taken effect */
};

struct flight {
    struct world_event event;
    struct list_node node; /* disk->flights */
    struct call call;
    struct io_op *op; /* NULL: its process is gone */
    disk_ended_fn *ended;
    void *context;
    int64_t rest_ns; /* from the effect to the end */
    bool effective;
    char *path, *path_to;
    const uint8_t *data; /* of a write, while the process lives */
    uint64_t data_bytes, data_hash;
};

static void flight_free(struct flight *flight)
{
    struct disk *disk = flight->call.disk;
    disk->dead_count -= flight->call.dead;
    world_cancel(&flight->event);
    list_remove(&flight->node);
    sim_free(flight->path);
    sim_free(flight->path_to);
    sim_free(flight);
}

static void check_buffer(const struct flight *flight)
{
    if (flight->data != NULL) {
        SIM_CHECK(hash64(flight->data, flight->data_bytes, 0) == flight->data_hash,
                  "the buffer of a write was changed while it was in flight (offset %llu)",
                  (unsigned long long)flight->call.offset);
    }
}

static void flight_end(struct world_event *event)
{
    struct flight *flight = container_of(event, struct flight, event);
    struct flight last = *flight;
    check_buffer(flight);
    world_trace("op ends", (uint64_t)last.call.kind, (uint64_t)last.call.result);
    call_end(last.call.disk, &flight->call);
    flight_free(flight);
    if (last.op != NULL) {
        last.ended(last.context, last.op, (int32_t)last.call.result);
    }
}

static void flight_effect(struct world_event *event)
{
    struct flight *flight = container_of(event, struct flight, event);
    flight->effective = true;
    if (flight->call.result == 0) {
        disk_call_run(flight->call.disk, &flight->call);
    }
    world_schedule(&flight->event, flight->rest_ns, flight_end);
}

/* ---- submission ---- */

static char *path_copy(const char *path)
{
    return path == NULL ? NULL : memcpy(sim_alloc(strlen(path) + 1), path, strlen(path) + 1);
}

static bool is_transfer(const struct io_op *op)
{
    return op->kind == IO_READ || op->kind == IO_WRITE;
}

static int64_t draw_delay(struct disk *disk, enum io_kind kind)
{
    const struct disk_plan *plan = &disk->plan;
    bool is_sync = kind == IO_SYNC_DATA || kind == IO_SYNC_ALL;
    int64_t low = is_sync ? plan->sync_ns_min : plan->delay_ns_min;
    int64_t high = is_sync ? plan->sync_ns_max : plan->delay_ns_max;
    int64_t delay = (int64_t)world_between(STREAM_DISK, (uint64_t)low, (uint64_t)high);
    return world_chance(STREAM_FAULT, plan->slow_rate) ? delay * SLOW_FACTOR : delay;
}

static void prepare_transfer(struct flight *flight, const struct io_op *op)
{
    uint32_t start = transfer_start(op);
    uint8_t *data = (uint8_t *)op->data + start;
    flight->call.bytes = op->bytes - start;
    flight->call.offset = op->offset + start;
    if (op->kind == IO_READ) {
        flight->call.to = data;
        memset(data, SCRIBBLE, flight->call.bytes);
    } else {
        flight->data = data;
        flight->data_bytes = flight->call.bytes;
        flight->data_hash = hash64(data, flight->data_bytes, 0);
    }
}

static void prepare(struct flight *flight, const struct io_op *op)
{
    flight->path = path_copy(op->path);
    flight->path_to = path_copy(op->path_to);
    flight->call = (struct call){
        .kind = op->kind,
        .fd = op->fd,
        .flags = op->flags,
        .path = flight->path,
        .path_to = flight->path_to,
        .offset = op->offset,
        .bytes = op->length,
    };
    if (is_transfer(op)) {
        prepare_transfer(flight, op);
    }
}

void disk_submit(struct disk *disk, struct io_op *op, disk_ended_fn *ended, void *context)
{
    struct flight *flight = sim_alloc(sizeof(*flight));
    flight->op = op;
    flight->ended = ended;
    flight->context = context;
    prepare(flight, op);
    list_push_back(&disk->flights, &flight->node);
    world_trace("op begins", (uint64_t)op->kind, op->offset);
    const void *data = flight->call.to != NULL ? flight->call.to : flight->data;
    flight->call.result = call_begin(disk, &flight->call, data);
    int64_t delay = draw_delay(disk, op->kind);
    int64_t effect = (int64_t)world_below(STREAM_DISK, (uint64_t)delay + 1);
    flight->rest_ns = delay - effect;
    world_schedule(&flight->event, effect, flight_effect);
}

/* ---- the end of a process, and of the power ---- */

static bool changes_something(const struct call *call)
{
    switch (call->kind) {
    case IO_READ:
    case IO_CLOSE:
        return false;
    case IO_OPEN:
        return (call->flags & (O_CREAT | O_TRUNC)) != 0;
    default:
        return true;
    }
}

static void flight_drop(struct flight *flight)
{
    call_drop(flight->call.disk, &flight->call);
    flight_free(flight);
}

/* What lands of a dead process's write is all of it, or the first chunks. */
static void write_in_part(struct disk *disk, struct call *call)
{
    if (call->kind == IO_WRITE && call->pieces_count > 1 && coin()) {
        uint32_t kept = (uint32_t)world_between(STREAM_DISK, 1, call->pieces_count - 1);
        pieces_trim(disk, call->pieces, &call->pieces_count, pieces_bytes(call->pieces, kept));
        call->bytes = pieces_bytes(call->pieces, call->pieces_count);
    }
}

static void flight_orphan(struct disk *disk, struct flight *flight)
{
    bool needed = flight->effective || changes_something(&flight->call);
    bool dropped = !flight->effective && flight->call.path != NULL && coin();
    if (!needed || dropped || flight->call.kind == IO_READ) {
        flight_drop(flight);
        return;
    }
    flight->op = NULL;
    flight->data = NULL;
    flight->call.dead = true;
    disk->dead_count++;
    if (!flight->effective) {
        write_in_part(disk, &flight->call);
    }
    world_fire_fn *fire = flight->event.fire;
    int64_t limit = disk->plan.land_after_kill_ns_max;
    world_cancel(&flight->event);
    world_schedule(&flight->event, (int64_t)world_below(STREAM_DISK, (uint64_t)limit + 1), fire);
    flight->rest_ns = 0;
}

void flights_killed(struct disk *disk)
{
    LIST_FOREACH_SAFE (&disk->flights, node) {
        struct flight *flight = container_of(node, struct flight, node);
        if (!flight->call.dead) {
            flight_orphan(disk, flight);
        }
    }
}

void flights_cut(struct disk *disk)
{
    struct list_node *node;
    while ((node = list_first(&disk->flights)) != NULL) {
        struct flight *flight = container_of(node, struct flight, node);
        struct call *call = &flight->call;
        bool may_act = !flight->effective && call->result == 0 && changes_something(call);
        bool is_sync = call->kind == IO_SYNC_DATA || call->kind == IO_SYNC_ALL;
        if (may_act && !is_sync && coin()) {
            disk->dead_count += !call->dead;
            call->dead = true;
            disk_call_run(disk, call);
        }
        flight_drop(flight);
    }
}
