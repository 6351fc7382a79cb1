#include "net/spare.h"

#include "base/mem.h"
#include "net/conn_impl.h"

void spares_init(struct spares *spares)
{
    *spares = (struct spares){.buffers_count = 0};
    list_init(&spares->parcels);
}

static void parcel_destroy(struct parcel *parcel)
{
    output_deinit(&parcel->output);
    mem_free(parcel);
}

void spares_deinit(struct spares *spares)
{
    struct list_node *node;
    while ((node = list_pop_front(&spares->parcels)) != NULL) {
        parcel_destroy(container_of(node, struct parcel, node));
    }
    while (spares->buffers_count > 0) {
        mem_free(spares->buffers[--spares->buffers_count].data);
    }
    while (spares->parsers_count > 0) {
        resp_parser_destroy(spares->parsers[--spares->parsers_count]);
    }
}

/* ---- output buffers ---- */

void spare_get_buffer(struct spares *spares, struct buffer *buffer)
{
    ASSERT(buffer->data == NULL);
    if (spares->buffers_count > 0) {
        struct spare_buffer spare = spares->buffers[--spares->buffers_count];
        spares->buffers_bytes -= spare.bytes;
        buffer->data = spare.data;
        buffer->capacity = spare.bytes;
    } else {
        IGNORE(buffer_reserve(buffer, SPARE_BUFFER_BYTES_MIN), "the first write fails then");
    }
}

void spare_put_buffer(struct spares *spares, struct buffer *buffer)
{
    buffer_clear(buffer);
    bool keep = buffer->data != NULL && spares->buffers_count < SPARES_MAX &&
                buffer->capacity <= OUTPUT_KEEP_BYTES &&
                spares->buffers_bytes + buffer->capacity <= SPARE_BUFFERS_BYTES_MAX;
    if (!keep) {
        buffer_release(buffer);
        return;
    }
    spares->buffers[spares->buffers_count++] =
        (struct spare_buffer){.data = buffer->data, .bytes = buffer->capacity};
    spares->buffers_bytes += buffer->capacity;
    buffer_init(buffer, buffer->bytes_max);
}

/* ---- parcels ---- */

struct parcel *spare_get_parcel(struct spares *spares)
{
    struct list_node *node = list_pop_front(&spares->parcels);
    if (node != NULL) {
        spares->parcels_count--;
        return container_of(node, struct parcel, node);
    }
    struct parcel *parcel = mem_calloc(1, sizeof(*parcel));
    if (parcel != NULL) {
        output_init(&parcel->output, SIZE_MAX);
    }
    return parcel;
}

void spare_put_parcel(struct spares *spares, struct parcel *parcel)
{
    output_clear(&parcel->output);
    spare_put_buffer(spares, &parcel->output.bytes);
    if (spares->parcels_count < SPARES_MAX) {
        list_push_front(&spares->parcels, &parcel->node);
        spares->parcels_count++;
    } else {
        parcel_destroy(parcel);
    }
}

/* ---- parsers ---- */

int spare_get_parser(struct spares *spares, struct resp_parser **ret_parser)
{
    if (spares->parsers_count > 0) {
        *ret_parser = spares->parsers[--spares->parsers_count];
        return 0;
    }
    return resp_parser_create(ret_parser);
}

void spare_put_parser(struct spares *spares, struct resp_parser *parser)
{
    resp_parser_reset(parser);
    if (spares->parsers_count < SPARES_MAX) {
        spares->parsers[spares->parsers_count++] = parser;
    } else {
        resp_parser_destroy(parser);
    }
}
