#include "server/info.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "cmd/command.h"

/* ---- gathering ---- */

static int gather_there(struct shard *there, void *argument)
{
    struct info *info = argument;
    const struct engine_shard *below = engine_shard_of(there);
    const struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    const struct server_shard *own = &info->server->shards[shard_id(there)];
    net_stats(own->net, &info->net);
    keyspace_stats(below->keyspace, &info->keyspace);
    store_stats(below->store, &info->store);
    io_stats(shard_io(there), &info->io);
    shard_stats(there, &info->shard);
    info->io_name = io_name(shard_io(there));
    info->commands = here->commands_processed;
    info->errors = here->errors;
    info->executing = here->executing;
    info->ops_per_s = meter_per_s(&own->ops);
    info->input_per_s = meter_per_s(&own->input);
    info->output_per_s = meter_per_s(&own->output);
    memcpy(info->commands_by_index, here->stats, command_count() * sizeof(*here->stats));
    for (uint32_t i = 0; i < info->server->cmd.databases; i++) {
        struct info_database *database = &info->databases[i];
        uint32_t space = keyspace_space(below->keyspace, i);
        database->keys = keyspace_count_quick(below->keyspace, space, &database->expires);
    }
    return 0;
}

static void add_net(struct net_stats *to, const struct net_stats *from)
{
    to->connections_received += from->connections_received;
    to->connections_rejected += from->connections_rejected;
    to->accept_errors += from->accept_errors;
    to->protocol_errors += from->protocol_errors;
    to->output_limit_closes += from->output_limit_closes;
    to->input_bytes += from->input_bytes;
    to->output_bytes += from->output_bytes;
    to->connections += from->connections;
}

static void add_keyspace(struct keyspace_stats *to, const struct keyspace_stats *from)
{
    to->hits += from->hits;
    to->misses += from->misses;
    to->expired += from->expired;
    to->evicted_clean += from->evicted_clean;
    to->loads += from->loads;
    to->checkpoints += from->checkpoints;
    to->checkpoint_records += from->checkpoint_records;
    to->record_bytes += from->record_bytes;
    to->dirty_bytes += from->dirty_bytes;
    to->records += from->records;
    to->dirty_records += from->dirty_records;
    to->table_bytes += from->table_bytes;
    to->changes_since_checkpoint += from->changes_since_checkpoint;
    to->last_checkpoint_ms = max_i64(to->last_checkpoint_ms, from->last_checkpoint_ms);
    to->checkpoint_running = to->checkpoint_running || from->checkpoint_running;
    if (to->last_checkpoint_error == 0) {
        to->last_checkpoint_error = from->last_checkpoint_error;
    }
}

static void add_store(struct store_stats *to, const struct store_stats *from)
{
    to->page_reads += from->page_reads;
    to->page_read_bytes += from->page_read_bytes;
    to->cache_hits += from->cache_hits;
    to->cache_misses += from->cache_misses;
    to->cache_bytes += from->cache_bytes;
    to->branch_bytes += from->branch_bytes;
    to->mapping_bytes += from->mapping_bytes;
    to->page_writes += from->page_writes;
    to->commits += from->commits;
    to->commit_bytes += from->commit_bytes;
    to->manifest_bytes += from->manifest_bytes;
    to->data_bytes += from->data_bytes;
    to->live_bytes += from->live_bytes;
    to->data_files += from->data_files;
}

static void add_io(struct io_stats *to, const struct io_stats *from)
{
    to->reads += from->reads;
    to->read_bytes += from->read_bytes;
    to->writes += from->writes;
    to->write_bytes += from->write_bytes;
    to->syncs += from->syncs;
    to->receives += from->receives;
    to->received_bytes += from->received_bytes;
    to->sends += from->sends;
    to->sent_bytes += from->sent_bytes;
    to->accepts += from->accepts;
    to->polls += from->polls;
    to->wakes += from->wakes;
}

static void add_commands(struct info *to, const struct info *from)
{
    to->commands += from->commands;
    error_tally_add(&to->errors, &from->errors);
    to->executing += from->executing;
    to->ops_per_s += from->ops_per_s;
    to->input_per_s += from->input_per_s;
    to->output_per_s += from->output_per_s;
    for (uint32_t i = 0; i < command_count(); i++) {
        to->commands_by_index[i].calls += from->commands_by_index[i].calls;
        to->commands_by_index[i].ns += from->commands_by_index[i].ns;
        to->commands_by_index[i].rejected += from->commands_by_index[i].rejected;
        to->commands_by_index[i].failed += from->commands_by_index[i].failed;
    }
}

/* Adds the figures of another shard. */
static void add(struct info *to, const struct info *from)
{
    add_net(&to->net, &from->net);
    add_keyspace(&to->keyspace, &from->keyspace);
    add_store(&to->store, &from->store);
    add_io(&to->io, &from->io);
    add_commands(to, from);
    to->shard.passes += from->shard.passes;
    to->shard.messages_sent += from->shard.messages_sent;
    to->shard.sleeps += from->shard.sleeps;
    for (uint32_t i = 0; i < KEYSPACE_DATABASES_MAX; i++) {
        to->databases[i].keys += from->databases[i].keys;
        to->databases[i].expires += from->databases[i].expires;
    }
}

/* ---- choosing sections ---- */

static bool is_wanted(const struct info_section *section, const struct slice *names, uint32_t count)
{
    if (count == 0) {
        return section->by_default;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (slice_equal_nocase_cstr(names[i], "all") ||
            slice_equal_nocase_cstr(names[i], "everything") ||
            slice_equal_nocase_cstr(names[i], section->name) ||
            (section->by_default && slice_equal_nocase_cstr(names[i], "default"))) {
            return true;
        }
    }
    return false;
}

static int write_sections(const struct info *info, const struct slice *names, uint32_t count,
                          struct buffer *text)
{
    bool first = true;
    for (const struct info_section *section = info_sections; section->name != NULL; section++) {
        if (!is_wanted(section, names, count)) {
            continue;
        }
        if (!first) {
            TRY(buffer_append_cstr(text, "\r\n"));
        }
        first = false;
        TRY(section->write(info, text));
    }
    return 0;
}

/* The memory of all figures: the first shard's become the sums. */
static struct info *infos_create(struct server *server, uint32_t shards)
{
    struct info *infos = mem_calloc(shards, sizeof(*infos));
    struct command_stats *stats = mem_calloc((size_t)shards * command_count(), sizeof(*stats));
    if (infos == NULL || stats == NULL) {
        mem_free(infos);
        mem_free(stats);
        return NULL;
    }
    for (uint32_t i = 0; i < shards; i++) {
        infos[i].server = server;
        infos[i].commands_by_index = stats + (size_t)i * command_count();
    }
    return infos;
}

struct info_order {
    struct server *server;
    const struct slice *sections;
    uint32_t count;
    struct buffer *text;
};

/* Suspends. */
static co_fn int write_there(struct shard *there, void *argument)
{
    struct info_order *order = argument;
    struct server *server = order->server;
    uint32_t shards = server->cmd.shards;
    struct info *infos = infos_create(server, shards);
    if (infos == NULL) {
        return ERR_MEMORY;
    }
    struct command_stats *stats = infos[0].commands_by_index;
    int err = shard_call_all(there, gather_there, infos, sizeof(*infos));
    for (uint32_t i = 1; err == 0 && i < shards; i++) {
        add(&infos[0], &infos[i]);
    }
    if (err == 0) {
        log_stats(engine_log(server->engine), &infos[0].log);
        error_tally_sort(&infos[0].errors);
        err = write_sections(&infos[0], order->sections, order->count, order->text);
    }
    mem_free(stats);
    mem_free(infos);
    return err;
}

/* Written on shard 0, which owns the configuration. */
int info_append(struct server *server, struct shard *shard, const struct slice *sections,
                uint32_t count, struct buffer *text)
{
    struct info_order order = {server, sections, count, text};
    return shard_call(shard, 0, write_there, &order);
}
