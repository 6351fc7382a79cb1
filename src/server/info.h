/*
 * info: the text of INFO: Redis's sections and fields, in Redis's order, wherever we have the
 * thing, and `# Storage` for ours.
 *
 * The figures of all shards are gathered by one call to each, added up, and then written section by
 * section (info_sections.c).
 */
#ifndef SERVER_INFO_H
#define SERVER_INFO_H

#include "base/buffer.h"
#include "base/slice.h"
#include "cmd/context.h"
#include "io/io.h"
#include "net/net.h"
#include "server/server.h"
#include "store/store.h"

/* Appends the sections named: "default" (also if none is named), "all", "everything", or sections
 * of their own. Unknown names give nothing. Suspends. */
NODISCARD co_fn int info_append(struct server *server, struct shard *shard,
                                const struct slice *sections, uint32_t count, struct buffer *text);

/* ---- between info.c and info_sections.c ---- */

struct info_database {
    uint64_t keys, expires;
};

/* Figures of one shard, then of all. */
struct info {
    struct server *server;
    struct net_stats net;
    struct keyspace_stats keyspace;
    struct store_stats store;
    struct io_stats io;
    struct shard_stats shard;
    struct log_stats log; /* of all shards */
    uint64_t commands;
    struct error_tally errors;
    uint64_t ops_per_s, input_per_s, output_per_s;
    uint32_t executing;
    const char *io_name;
    struct command_stats *commands_by_index; /* command_count() of them */
    struct info_database databases[KEYSPACE_DATABASES_MAX];
};

struct info_section {
    const char *name;
    bool by_default;
    int (*write)(const struct info *info, struct buffer *text);
};
/* Ends with a NULL name. */
extern const struct info_section info_sections[];

#endif
