#include "store/leaf_stream.h"

#include "base/assert.h"

static struct tree_page stream_page(const struct leaf_stream *stream, struct page_id id)
{
    return (struct tree_page){.id = id, .space = stream->path.tree->space, .use = stream->path.use};
}

/* Starts reading the path's leaf. Suspends. */
co_fn static int stream_start(struct leaf_stream *stream)
{
    ASSERT(stream->count < stream->window);
    struct tree_path *path = &stream->path;
    struct page_id id = tree_path_leaf(path);
    struct tree_page page = stream_page(stream, id);
    struct frame *frame;
    TRY(tree_page_start(path->partition, path->version, &page, &frame));
    uint32_t at = (stream->first + stream->count) % STORE_READS_MAX;
    stream->ring[at] = (struct leaf_stream_item){frame, id};
    stream->count++;
    return 0;
}

/* Starts as many of the next leaves as the window allows. With a crowded cache it goes on with what
 * it has. Suspends. */
co_fn static int stream_fill(struct leaf_stream *stream)
{
    while (!stream->ended && stream->count < stream->window) {
        int more = TRY(tree_path_step(&stream->path, stream->backward));
        if (more == 0) {
            stream->ended = true;
            return 0;
        }
        int err = stream_start(stream);
        if (err == ERR_LIMIT && stream->count > 0) {
            /* Back, so that the next call steps onto this leaf again. */
            TRY(tree_path_step(&stream->path, !stream->backward));
            return 0;
        }
        TRY(err);
    }
    return 0;
}

co_fn int leaf_stream_init(struct leaf_stream *stream, const struct leaf_stream_start *start)
{
    *stream = (struct leaf_stream){
        .backward = start->backward,
        .window = (uint32_t)min_u64(max_u64(start->window, 1), STORE_READS_MAX),
    };
    tree_path_init(&stream->path, start->partition, start->version, start->tree, CACHE_USE_SCAN);
    int err = start->from == NULL ? tree_path_edge(&stream->path, start->backward)
                                  : tree_path_seek(&stream->path, *start->from);
    if (err == 0) {
        err = stream_start(stream);
    }
    if (err < 0) {
        leaf_stream_deinit(stream);
    }
    return err;
}

static void stream_drop_current(struct leaf_stream *stream)
{
    if (stream->current != NULL) {
        tree_page_release(stream->path.partition, stream->current);
        stream->current = NULL;
    }
}

void leaf_stream_deinit(struct leaf_stream *stream)
{
    stream_drop_current(stream);
    for (; stream->count > 0; stream->count--) {
        tree_page_release(stream->path.partition, stream->ring[stream->first].frame);
        stream->first = (stream->first + 1) % STORE_READS_MAX;
    }
    tree_path_deinit(&stream->path);
}

co_fn int leaf_stream_next(struct leaf_stream *stream, struct frame **ret_frame)
{
    stream_drop_current(stream);
    TRY(stream_fill(stream));
    if (stream->count == 0) {
        return 0;
    }
    struct leaf_stream_item item = stream->ring[stream->first];
    stream->first = (stream->first + 1) % STORE_READS_MAX;
    stream->count--;
    struct tree_page page = stream_page(stream, item.id);
    TRY(tree_page_wait(stream->path.partition, &page, item.frame));
    stream->current = item.frame;
    *ret_frame = item.frame;
    return 1;
}
