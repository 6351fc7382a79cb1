/*
 * output: what the writers of replies and the sender need of struct output beyond reply.h. For net
 * only.
 */
#ifndef NET_OUTPUT_H
#define NET_OUTPUT_H

#include "net/reply.h"

enum { OUTPUT_KEEP_BYTES = 64 * 1024 }; /* output_clear keeps a buffer up to this */

struct output_ref {
    uint64_t position; /* of the byte stream `bytes` before which the value stands */
    struct slice value;
    output_release_fn *release;
    void *owner;
};

/* Room for `bytes` more bytes behind the last; the caller writes there and adds what it wrote to
 * output->bytes.bytes. NULL when there is none: the output is broken then. */
uint8_t *output_room(struct output *output, size_t bytes);

/* release(owner) is called exactly once, here already if the output is broken. */
void output_append_ref(struct output *output, struct slice bytes, output_release_fn *release,
                       void *owner);

/* How many of the first `offset` bytes that are sent are copied ones. */
uint64_t output_copied(const struct output *output, uint64_t offset);

/* Puts bytes before those that were written since output->bytes.bytes was `position`. */
void output_insert(struct output *output, size_t position, struct slice bytes);

#endif
