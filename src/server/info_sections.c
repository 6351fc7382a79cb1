/*
 * One function for each section of INFO. Fields that Redis has and that are always the same here
 * are there when tools read them. The first line with `used_memory` is used_memory itself, and no
 * line before Persistence contains `loading`: redis-cli --stat takes the first match.
 */
#include "server/info.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/command.h"

#define PUT(text, ...) TRY(buffer_printf((text), __VA_ARGS__))

typedef unsigned long long ull;

/* ---- server, clients ---- */

static int write_system(struct buffer *text)
{
    struct utsname name;
    if (uname(&name) == 0) {
        PUT(text, "os:%s %s %s\r\n", name.sysname, name.release, name.machine);
    }
    PUT(text, "arch_bits:%zu\r\n", sizeof(void *) * 8);
    PUT(text, "monotonic_clock:POSIX clock_gettime\r\n");
    PUT(text, "gcc_version:%d.%d.%d\r\n", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
    return 0;
}

static int write_time(const struct server *server, struct buffer *text)
{
    int64_t now_us = clock_real_us();
    int64_t up_s = (now_us / 1000 - server->cmd.start_ms) / 1000;
    PUT(text, "server_time_usec:%lld\r\n", (long long)now_us);
    PUT(text, "uptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n", (long long)up_s,
        (long long)up_s / 86400);
    PUT(text, "hz:%lld\r\n", (long long)config_number(server->config, DIRECTIVE_HZ));
    PUT(text, "configured_hz:%lld\r\n", (long long)config_number(server->config, DIRECTIVE_HZ));
    PUT(text, "lru_clock:%lld\r\n", (long long)(now_us / 1000000) & 0xffffff);
    return 0;
}

static int write_server(const struct info *info, struct buffer *text)
{
    const struct server *server = info->server;
    PUT(text, "# Server\r\n");
    PUT(text, "redis_version:%s\r\n", REDIS_VERSION);
    PUT(text, "redis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\n");
    PUT(text, "redis_mode:standalone\r\n");
    TRY(write_system(text));
    PUT(text, "multiplexing_api:%s\r\n", info->io_name);
    PUT(text, "process_id:%d\r\n", (int)getpid());
    PUT(text, "process_supervised:%s\r\n", config_text(server->config, DIRECTIVE_SUPERVISED));
    PUT(text, "run_id:%s\r\n", server->cmd.run_id);
    PUT(text, "tcp_port:%u\r\n", server->cmd.port);
    TRY(write_time(server, text));
    PUT(text, "executable:%s\r\n", server->executable);
    PUT(text, "config_file:%s\r\n", server->config->file);
    PUT(text, "io_threads_active:0\r\n");
    PUT(text, "eloqstore_version:%s\r\n", ELOQSTORE_VERSION);
    PUT(text, "io_backend:%s\r\n", info->io_name);
    PUT(text, "shards:%u\r\npartitions:%u\r\n", server->cmd.shards, server->cmd.partitions);
    return 0;
}

static int write_clients(const struct info *info, struct buffer *text)
{
    PUT(text, "# Clients\r\n");
    PUT(text, "connected_clients:%u\r\n", net_shared_clients(info->server->net_shared));
    PUT(text, "cluster_connections:0\r\n");
    PUT(text, "maxclients:%lld\r\n",
        (long long)config_number(info->server->config, DIRECTIVE_MAXCLIENTS));
    PUT(text, "client_recent_max_input_buffer:0\r\nclient_recent_max_output_buffer:0\r\n");
    PUT(text, "blocked_clients:0\r\ntracking_clients:0\r\nclients_in_timeout_table:0\r\n");
    return 0;
}

/* ---- memory ---- */

/* As Redis shortens sizes: 918.95K. */
static int write_human(struct buffer *text, const char *field, uint64_t bytes)
{
    static const char units[] = "BKMGT";
    double value = (double)bytes;
    uint32_t unit = 0;
    while (value >= 1024 && units[unit + 1] != '\0') {
        value /= 1024;
        unit++;
    }
    if (unit == 0) {
        PUT(text, "%s_human:%lluB\r\n", field, (ull)bytes);
    } else {
        PUT(text, "%s_human:%.2f%c\r\n", field, value, units[unit]);
    }
    return 0;
}

static int write_bytes(struct buffer *text, const char *field, uint64_t bytes)
{
    PUT(text, "%s:%llu\r\n", field, (ull)bytes);
    return write_human(text, field, bytes);
}

static uint64_t memory_peak(struct server *server, uint64_t resident)
{
    uint64_t peak = atomic_load(&server->memory_peak_bytes);
    while (peak < resident &&
           !atomic_compare_exchange_weak(&server->memory_peak_bytes, &peak, resident)) {
    }
    return peak < resident ? resident : peak;
}

static int write_allocator(const struct mem_stats *stats, uint64_t resident, struct buffer *text)
{
    PUT(text, "allocator_allocated:%llu\r\n", (ull)stats->allocated);
    PUT(text, "allocator_active:%llu\r\n", (ull)stats->active);
    PUT(text, "allocator_resident:%llu\r\n", (ull)stats->resident);
    double used = stats->allocated > 0 ? (double)stats->allocated : 1;
    PUT(text, "mem_fragmentation_ratio:%.2f\r\n", (double)resident / used);
    PUT(text, "mem_fragmentation_bytes:%lld\r\n",
        (long long)resident - (long long)stats->allocated);
    return 0;
}

static int write_memory(const struct info *info, struct buffer *text)
{
    struct mem_stats stats;
    mem_stats(&stats);
    uint64_t resident = mem_resident_bytes();
    uint64_t used = stats.allocated > 0 ? stats.allocated : resident;
    uint64_t peak = memory_peak(info->server, used);
    PUT(text, "# Memory\r\n");
    TRY(write_bytes(text, "used_memory", used));
    TRY(write_bytes(text, "used_memory_rss", resident));
    TRY(write_bytes(text, "used_memory_peak", peak));
    PUT(text, "used_memory_peak_perc:%.2f%%\r\n", 100.0 * (double)used / (double)peak);
    PUT(text, "used_memory_dataset:%llu\r\n", (ull)info->keyspace.record_bytes);
    PUT(text, "used_memory_overhead:%lld\r\n",
        (long long)used - (long long)info->keyspace.record_bytes);
    TRY(write_bytes(text, "total_system_memory", mem_available_bytes()));
    PUT(text, "used_memory_lua:0\r\nused_memory_scripts:0\r\nnumber_of_cached_scripts:0\r\n");
    TRY(write_bytes(text, "maxmemory", engine_memory_bytes(info->server->engine)));
    PUT(text, "maxmemory_policy:%s\r\n",
        config_text(info->server->config, DIRECTIVE_MAXMEMORY_POLICY));
    TRY(write_allocator(&stats, resident, text));
    PUT(text, "mem_allocator:%s\r\n", mem_allocator_name());
    PUT(text, "active_defrag_running:0\r\nlazyfree_pending_objects:0\r\nlazyfreed_objects:0\r\n");
    PUT(text, "mem_records:%llu\r\nmem_records_dirty:%llu\r\nmem_tables:%llu\r\n",
        (ull)info->keyspace.record_bytes, (ull)info->keyspace.dirty_bytes,
        (ull)info->keyspace.table_bytes);
    PUT(text, "mem_page_cache:%llu\r\nmem_branches:%llu\r\nmem_mapping:%llu\r\n",
        (ull)info->store.cache_bytes, (ull)info->store.branch_bytes,
        (ull)info->store.mapping_bytes);
    return 0;
}

/* ---- persistence, stats ---- */

static int write_persistence(const struct info *info, struct buffer *text)
{
    const struct log *log = engine_log(info->server->engine);
    const struct keyspace_stats *keyspace = &info->keyspace;
    PUT(text, "# Persistence\r\nloading:0\r\nasync_loading:0\r\n");
    PUT(text, "rdb_changes_since_last_save:%llu\r\n", (ull)keyspace->changes_since_checkpoint);
    PUT(text, "rdb_bgsave_in_progress:%d\r\n", keyspace->checkpoint_running);
    PUT(text, "rdb_last_save_time:%lld\r\n", (long long)atomic_load(&info->server->cmd.lastsave_s));
    PUT(text, "rdb_last_bgsave_status:%s\r\n", keyspace->last_checkpoint_error == 0 ? "ok" : "err");
    PUT(text, "rdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\n");
    PUT(text, "rdb_saves:%llu\r\n", (ull)keyspace->checkpoints);
    PUT(text, "aof_enabled:%d\r\n", log_enabled(log));
    PUT(text, "aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n");
    PUT(text, "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n");
    PUT(text, "aof_last_bgrewrite_status:ok\r\n");
    PUT(text, "aof_last_write_status:%s\r\n", log_error(log) == 0 ? "ok" : "err");
    if (log_enabled(log)) {
        PUT(text, "aof_current_size:%llu\r\n", (ull)info->log.used_bytes);
        PUT(text, "aof_pending_bio_fsync:0\r\n");
    }
    return 0;
}

static int write_stats_absent(struct buffer *text)
{
    PUT(text, "pubsub_channels:0\r\npubsub_patterns:0\r\npubsubshard_channels:0\r\n");
    PUT(text, "latest_fork_usec:0\r\ntotal_forks:0\r\nmigrate_cached_sockets:0\r\n");
    PUT(text, "tracking_total_keys:0\r\ntracking_total_items:0\r\ntracking_total_prefixes:0\r\n");
    return 0;
}

static int write_stats(const struct info *info, struct buffer *text)
{
    PUT(text, "# Stats\r\n");
    PUT(text, "total_connections_received:%llu\r\n", (ull)info->net.connections_received);
    PUT(text, "total_commands_processed:%llu\r\n", (ull)info->commands);
    PUT(text, "instantaneous_ops_per_sec:%llu\r\n", (ull)info->ops_per_s);
    PUT(text, "total_net_input_bytes:%llu\r\n", (ull)info->net.input_bytes);
    PUT(text, "total_net_output_bytes:%llu\r\n", (ull)info->net.output_bytes);
    PUT(text, "instantaneous_input_kbps:%.2f\r\n", (double)info->input_per_s / 1024);
    PUT(text, "instantaneous_output_kbps:%.2f\r\n", (double)info->output_per_s / 1024);
    PUT(text, "rejected_connections:%llu\r\n", (ull)info->net.connections_rejected);
    PUT(text, "accept_errors:%llu\r\n", (ull)info->net.accept_errors);
    PUT(text, "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\n");
    PUT(text, "expired_keys:%llu\r\n", (ull)info->keyspace.expired);
    PUT(text, "evicted_keys:0\r\nevicted_clients:0\r\n");
    PUT(text, "keyspace_hits:%llu\r\n", (ull)info->keyspace.hits);
    PUT(text, "keyspace_misses:%llu\r\n", (ull)info->keyspace.misses);
    TRY(write_stats_absent(text));
    PUT(text, "unexpected_error_replies:0\r\n");
    PUT(text, "total_error_replies:%llu\r\n", (ull)info->errors.total);
    PUT(text, "total_reads_processed:%llu\r\n", (ull)info->io.receives);
    PUT(text, "total_writes_processed:%llu\r\n", (ull)info->io.sends);
    PUT(text, "protocol_errors:%llu\r\n", (ull)info->net.protocol_errors);
    PUT(text, "client_output_buffer_limit_disconnections:%llu\r\n",
        (ull)info->net.output_limit_closes);
    return 0;
}

/* ---- replication, cpu, modules ---- */

static int write_replication(const struct info *info, struct buffer *text)
{
    PUT(text, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
    PUT(text, "master_failover_state:no-failover\r\n");
    PUT(text, "master_replid:%s\r\n", info->server->cmd.run_id);
    PUT(text, "master_replid2:0000000000000000000000000000000000000000\r\n");
    PUT(text, "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n");
    PUT(text, "repl_backlog_size:1048576\r\nrepl_backlog_first_byte_offset:0\r\n");
    PUT(text, "repl_backlog_histlen:0\r\n");
    return 0;
}

static int write_cpu(const struct info *info, struct buffer *text)
{
    (void)info;
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    PUT(text, "# CPU\r\n");
    PUT(text, "used_cpu_sys:%lld.%06lld\r\n", (long long)usage.ru_stime.tv_sec,
        (long long)usage.ru_stime.tv_usec);
    PUT(text, "used_cpu_user:%lld.%06lld\r\n", (long long)usage.ru_utime.tv_sec,
        (long long)usage.ru_utime.tv_usec);
    PUT(text, "used_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n");
    return 0;
}

static int write_modules(const struct info *info, struct buffer *text)
{
    (void)info;
    PUT(text, "# Modules\r\n");
    return 0;
}

/* ---- commands, errors ---- */

static int write_commandstats(const struct info *info, struct buffer *text)
{
    PUT(text, "# Commandstats\r\n");
    for (uint32_t i = 0; i < command_count(); i++) {
        const struct command_stats *stats = &info->commands_by_index[i];
        if (stats->calls == 0 && stats->rejected == 0 && stats->failed == 0) {
            continue;
        }
        double us = (double)stats->ns / 1000;
        PUT(text,
            "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
            "failed_calls=%llu\r\n",
            command_at(i)->name, (ull)stats->calls, (ull)us,
            stats->calls > 0 ? us / (double)stats->calls : 0.0, (ull)stats->rejected,
            (ull)stats->failed);
    }
    return 0;
}

static int write_errorstats(const struct info *info, struct buffer *text)
{
    PUT(text, "# Errorstats\r\n");
    for (uint32_t i = 0; i < info->errors.used; i++) {
        const struct error_count *error = &info->errors.codes[i];
        PUT(text, "errorstat_%s:count=%llu\r\n", error->code, (ull)error->count);
    }
    return 0;
}

static int write_cluster(const struct info *info, struct buffer *text)
{
    (void)info;
    PUT(text, "# Cluster\r\ncluster_enabled:0\r\n");
    return 0;
}

/* ---- keys, storage ---- */

static int write_keyspace(const struct info *info, struct buffer *text)
{
    PUT(text, "# Keyspace\r\n");
    for (uint32_t i = 0; i < info->server->cmd.databases; i++) {
        const struct info_database *database = &info->databases[i];
        if (database->keys > 0) {
            PUT(text, "db%u:keys=%llu,expires=%llu,avg_ttl=0\r\n", i, (ull)database->keys,
                (ull)database->expires);
        }
    }
    return 0;
}

static int write_log(const struct log_stats *log, struct buffer *text)
{
    PUT(text, "log_records:%llu\r\nlog_appended_bytes:%llu\r\n", (ull)log->appended_records,
        (ull)log->appended_bytes);
    PUT(text, "log_used_bytes:%llu\r\nlog_segments:%u\r\nlog_spare_segments:%u\r\n",
        (ull)log->used_bytes, log->segments, log->spare_segments);
    PUT(text, "log_syncs:%llu\r\nlog_sync_usec_per_call:%.2f\r\nlog_stalls:%llu\r\n",
        (ull)log->syncs,
        log->syncs > 0 ? (double)log->sync_ns_total / 1000 / (double)log->syncs : 0.0,
        (ull)log->segment_stalls);
    return 0;
}

static int write_checkpoints(const struct keyspace_stats *keyspace, struct buffer *text)
{
    PUT(text, "checkpoints:%llu\r\ncheckpoint_records:%llu\r\n", (ull)keyspace->checkpoints,
        (ull)keyspace->checkpoint_records);
    PUT(text, "checkpoint_in_progress:%d\r\n", keyspace->checkpoint_running);
    PUT(text, "last_checkpoint_ms:%lld\r\n", (long long)keyspace->last_checkpoint_ms);
    PUT(text, "last_checkpoint_status:%s\r\n",
        keyspace->last_checkpoint_error == 0 ? "ok" : error_text(keyspace->last_checkpoint_error));
    return 0;
}

static int write_storage(const struct info *info, struct buffer *text)
{
    const struct store_stats *store = &info->store;
    const struct keyspace_stats *keyspace = &info->keyspace;
    PUT(text, "# Storage\r\n");
    PUT(text, "cached_keys:%llu\r\n", (ull)keyspace->records);
    PUT(text, "dirty_keys:%llu\r\n", (ull)keyspace->dirty_records);
    PUT(text, "storage_provider_read_hits:%llu\r\n", (ull)store->cache_hits);
    PUT(text, "storage_provider_read_misses:%llu\r\n", (ull)store->cache_misses);
    PUT(text, "key_loads:%llu\r\nkeys_dropped_from_memory:%llu\r\n", (ull)keyspace->loads,
        (ull)keyspace->evicted_clean);
    PUT(text, "page_reads:%llu\r\npage_read_bytes:%llu\r\n", (ull)store->page_reads,
        (ull)store->page_read_bytes);
    PUT(text, "page_writes:%llu\r\ncommits:%llu\r\ncommit_bytes:%llu\r\n", (ull)store->page_writes,
        (ull)store->commits, (ull)store->commit_bytes);
    PUT(text, "data_files:%u\r\ndata_bytes:%llu\r\nlive_bytes:%llu\r\n", store->data_files,
        (ull)store->data_bytes, (ull)store->live_bytes);
    PUT(text, "manifest_bytes:%llu\r\n", (ull)store->manifest_bytes);
    TRY(write_checkpoints(keyspace, text));
    TRY(write_log(&info->log, text));
    PUT(text, "disk_reads:%llu\r\ndisk_writes:%llu\r\ndisk_syncs:%llu\r\n", (ull)info->io.reads,
        (ull)info->io.writes, (ull)info->io.syncs);
    PUT(text, "shard_passes:%llu\r\nshard_sleeps:%llu\r\nshard_messages:%llu\r\n",
        (ull)info->shard.passes, (ull)info->shard.sleeps, (ull)info->shard.messages_sent);
    return 0;
}

const struct info_section info_sections[] = {
    {"server", true, write_server},
    {"clients", true, write_clients},
    {"memory", true, write_memory},
    {"persistence", true, write_persistence},
    {"stats", true, write_stats},
    {"replication", true, write_replication},
    {"cpu", true, write_cpu},
    {"modules", true, write_modules},
    {"commandstats", false, write_commandstats},
    {"errorstats", true, write_errorstats},
    {"cluster", true, write_cluster},
    {"keyspace", true, write_keyspace},
    {"storage", true, write_storage},
    {NULL, false, NULL},
};
