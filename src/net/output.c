/*
 * The output of struct output (reply.h): bytes, and references to values that stay where they are.
 * A reference stands at a position of the byte stream `bytes`: what is sent is bytes[0, position of
 * ref 0), ref 0, bytes[position of ref 0, position of ref 1), ref 1 ... and the rest of the bytes.
 */
#include "net/output.h"

#include "base/bytes.h"
#include "base/mem.h"

enum { OUTPUT_REFS_MIN = 4 };

void output_init(struct output *output, uint64_t bytes_max)
{
    *output = (struct output){0};
    buffer_init(&output->bytes, bytes_max);
}

static void output_release_refs(struct output *output)
{
    for (uint32_t i = 0; i < output->refs_count; i++) {
        output->refs[i].release(output->refs[i].owner);
    }
    mem_free(output->refs);
    output->refs = NULL;
    output->refs_count = 0;
    output->refs_capacity = 0;
    output->refs_bytes = 0;
}

void output_deinit(struct output *output)
{
    output_release_refs(output);
    buffer_deinit(&output->bytes);
    output->broken = false;
}

void output_clear(struct output *output)
{
    if (output->refs_capacity > 0) {
        output_release_refs(output);
    }
    if (output->bytes.capacity + output->bytes.consumed > OUTPUT_KEEP_BYTES) {
        buffer_release(&output->bytes);
    } else {
        buffer_clear(&output->bytes);
    }
    output->broken = false;
}

uint64_t output_bytes(const struct output *output)
{
    return output->bytes.bytes + output->refs_bytes;
}

uint64_t output_copied(const struct output *output, uint64_t offset)
{
    uint64_t shared = 0; /* of the references so far */
    for (uint32_t i = 0; i < output->refs_count; i++) {
        const struct output_ref *ref = &output->refs[i];
        if (offset <= ref->position + shared + ref->value.bytes) {
            return offset - shared < ref->position ? offset - shared : ref->position;
        }
        shared += ref->value.bytes;
    }
    return offset - shared;
}

uint8_t *output_room(struct output *output, size_t bytes)
{
    struct buffer *buffer = &output->bytes;
    if (UNLIKELY(buffer->capacity - buffer->bytes < bytes)) {
        if (output->broken || buffer_reserve(buffer, bytes) != 0) {
            output->broken = true;
            return NULL;
        }
    }
    return buffer->data + buffer->bytes;
}

void output_append(struct output *output, struct slice bytes)
{
    uint8_t *to = output_room(output, bytes.bytes);
    if (to != NULL && bytes.bytes > 0) {
        memcpy(to, bytes.data, bytes.bytes);
        output->bytes.bytes += bytes.bytes;
    }
}

static int output_reserve_refs(struct output *output, uint32_t extra)
{
    if (output->refs_capacity - output->refs_count >= extra) {
        return 0;
    }
    uint64_t capacity = max_u64((uint64_t)output->refs_capacity * 2, OUTPUT_REFS_MIN);
    capacity = max_u64(capacity, (uint64_t)output->refs_count + extra);
    if (capacity > UINT32_MAX) {
        return ERR_LIMIT;
    }
    struct output_ref *refs = mem_realloc(output->refs, capacity * sizeof(*refs));
    if (refs == NULL) {
        return ERR_MEMORY;
    }
    output->refs = refs;
    output->refs_capacity = (uint32_t)capacity;
    return 0;
}

void output_append_ref(struct output *output, struct slice bytes, output_release_fn *release,
                       void *owner)
{
    if (output->broken || output_reserve_refs(output, 1) != 0) {
        output->broken = true;
        release(owner);
        return;
    }
    output->refs[output->refs_count++] = (struct output_ref){
        .position = output->bytes.bytes,
        .value = bytes,
        .release = release,
        .owner = owner,
    };
    output->refs_bytes += bytes.bytes;
}

void output_insert(struct output *output, size_t position, struct slice bytes)
{
    uint8_t *end = output_room(output, bytes.bytes);
    if (end == NULL) {
        return;
    }
    ASSERT(position <= output->bytes.bytes);
    uint8_t *at = output->bytes.data + position;
    memmove(at + bytes.bytes, at, output->bytes.bytes - position);
    memcpy(at, bytes.data, bytes.bytes);
    output->bytes.bytes += bytes.bytes;
    /* From the last on: a reference at the mark itself was made after it was set. */
    for (uint32_t i = output->refs_count; i > 0 && output->refs[i - 1].position >= position; i--) {
        output->refs[i - 1].position += bytes.bytes;
    }
}

void output_cut(struct output *output, size_t from, size_t to)
{
    ASSERT(from <= to && to <= output->bytes.bytes);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < output->refs_count; i++) {
        struct output_ref ref = output->refs[i];
        if (ref.position >= from && ref.position < to) {
            output->refs_bytes -= ref.value.bytes;
            ref.release(ref.owner);
            continue;
        }
        ref.position -= ref.position >= to ? to - from : 0;
        output->refs[kept++] = ref;
    }
    output->refs_count = kept;
    uint8_t *data = output->bytes.data;
    if (to > from) {
        memmove(data + from, data + to, output->bytes.bytes - to);
    }
    output->bytes.bytes -= to - from;
}

/* `to` is empty: takes over all that `from` has, and gives it its own memory. */
static void output_swap(struct output *to, struct output *from)
{
    size_t to_max = to->bytes.bytes_max;
    size_t from_max = from->bytes.bytes_max;
    struct output other = *to;
    *to = *from;
    *from = other;
    to->bytes.bytes_max = max_u64(to_max, to->bytes.bytes);
    from->bytes.bytes_max = from_max;
}

void output_move(struct output *to, struct output *from)
{
    bool broken = to->broken || from->broken;
    if (output_bytes(to) == 0 && to->refs_count == 0) {
        output_swap(to, from);
    } else if (output_reserve_refs(to, from->refs_count) != 0) {
        broken = true;
    } else {
        size_t shift = to->bytes.bytes;
        output_append(to, buffer_slice(&from->bytes));
        broken = broken || to->broken;
        for (uint32_t i = 0; i < from->refs_count; i++) {
            struct output_ref ref = from->refs[i];
            ref.position += broken ? 0 : shift;
            to->refs[to->refs_count++] = ref;
        }
        to->refs_bytes += from->refs_bytes;
        from->refs_count = 0;
    }
    to->broken = broken;
    output_clear(from);
}

struct iov_filler {
    struct iovec *iov;
    uint32_t count, max;
    uint64_t skip; /* bytes still before the offset */
};

static void iov_add(struct iov_filler *filler, const uint8_t *data, uint64_t bytes)
{
    if (bytes <= filler->skip) {
        filler->skip -= bytes;
        return;
    }
    if (filler->count < filler->max) {
        filler->iov[filler->count++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)(data + filler->skip),
            .iov_len = bytes - filler->skip,
        };
        filler->skip = 0;
    }
}

uint32_t output_iov(const struct output *output, uint64_t offset, struct iovec *iov, uint32_t max)
{
    struct iov_filler filler = {.iov = iov, .max = max, .skip = offset};
    uint64_t from = 0;
    for (uint32_t i = 0; i < output->refs_count && filler.count < max; i++) {
        const struct output_ref *ref = &output->refs[i];
        iov_add(&filler, output->bytes.data + from, ref->position - from);
        iov_add(&filler, ref->value.data, ref->value.bytes);
        from = ref->position;
    }
    if (output->bytes.bytes > from) {
        iov_add(&filler, output->bytes.data + from, output->bytes.bytes - from);
    }
    return filler.count;
}
