#include "server/options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/thread.h"

enum {
    OUTPUT_PAUSE_BYTES = 32 << 20,
    BULK_BYTES_ABOVE_LIMIT = 1 << 20,
    FILES_PER_SHARD = 1024,
    FILES_FIXED = 64,
};

uint64_t options_memory_bytes(const struct config *config)
{
    int64_t configured = config_number(config, DIRECTIVE_MAXMEMORY);
    return configured > 0 ? (uint64_t)configured : mem_available_bytes() / 2;
}

uint32_t options_shards(const struct config *config)
{
    uint64_t configured = (uint64_t)config_number(config, DIRECTIVE_SHARDS);
    return (uint32_t)min_u64(configured > 0 ? configured : thread_count_online(), SHARDS_MAX);
}

uint64_t options_files(const struct config *config)
{
    return FILES_FIXED + (uint64_t)FILES_PER_SHARD * options_shards(config);
}

/* Connections leave descriptors to the store, which could not go on without, or a quarter of
 * them if there are few. */
static int descriptors_max(const struct config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) {
        return INT_MAX;
    }
    uint64_t all = limit.rlim_cur;
    return (int)(all - min_u64(options_files(config), all / 4));
}

static enum log_sync_mode sync_mode(const struct config *config)
{
    static const enum log_sync_mode modes[] = {LOG_SYNC_EVERYSEC, LOG_SYNC_ALWAYS, LOG_SYNC_NO};
    return modes[config_number(config, DIRECTIVE_APPENDFSYNC)];
}

struct engine_options options_engine(const struct config *config)
{
    static const enum io_backend backends[] = {IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_POSIX};
    struct engine_options options = engine_options_default();
    options.dir = config_text(config, DIRECTIVE_DIR);
    options.shards = options_shards(config);
    options.partitions = (uint32_t)config_number(config, DIRECTIVE_PARTITIONS);
    options.databases = (uint32_t)config_number(config, DIRECTIVE_DATABASES);
    options.io_backend = backends[config_number(config, DIRECTIVE_IO_BACKEND)];
    options.log_enabled = config_bool(config, DIRECTIVE_APPENDONLY);
    options.sync_mode = sync_mode(config);
    options.memory_bytes = options_memory_bytes(config);
    options.data_file_bytes = (uint32_t)config_number(config, DIRECTIVE_DATA_FILE_SIZE);
    options.log_segment_bytes = (uint32_t)config_number(config, DIRECTIVE_LOG_SEGMENT_SIZE);
    options.log_bytes_target = (uint64_t)config_number(config, DIRECTIVE_LOG_SIZE_MAX);
    options.checkpoint_age_s = (uint32_t)config_number(config, DIRECTIVE_CHECKPOINT_AGE);
    options.dirty_percent = (uint32_t)config_number(config, DIRECTIVE_DIRTY_RATIO);
    return options;
}

struct net_limits options_net(const struct config *config)
{
    struct net_limits limits = net_limits_default();
    const struct config_limit *normal = &config->limits[CONFIG_CLASS_NORMAL];
    /* A little more than is allowed: what is just too large is read, refused by the command room
     * with an error, and the connection lives. Far beyond it is a protocol error, as with Redis. */
    limits.bulk_bytes_max =
        (uint64_t)config_number(config, DIRECTIVE_PROTO_MAX_BULK_LEN) + BULK_BYTES_ABOVE_LIMIT;
    limits.query_bytes_max = (uint64_t)config_number(config, DIRECTIVE_CLIENT_QUERY_BUFFER_LIMIT);
    limits.output_hard_bytes = normal->hard_bytes;
    limits.output_soft_bytes = normal->soft_bytes;
    limits.output_soft_seconds = normal->soft_seconds;
    limits.output_pause_bytes = OUTPUT_PAUSE_BYTES;
    limits.idle_timeout_s = (uint32_t)config_number(config, DIRECTIVE_TIMEOUT);
    limits.keepalive_s = (uint32_t)config_number(config, DIRECTIVE_TCP_KEEPALIVE);
    limits.descriptors_max = descriptors_max(config);
    return limits;
}

struct cmd_options options_cmd(const struct config *config)
{
    enum { DEBUG_NO, DEBUG_YES, DEBUG_LOCAL };
    int64_t debug = config_number(config, DIRECTIVE_ENABLE_DEBUG_COMMAND);
    struct cmd_options options = {
        .protected_mode = config_bool(config, DIRECTIVE_PROTECTED_MODE),
        .has_bind = config->values[DIRECTIVE_BIND].given,
        .slowlog_us = config_number(config, DIRECTIVE_SLOWLOG_LOG_SLOWER_THAN),
        .slowlog_entries_max = (uint32_t)config_number(config, DIRECTIVE_SLOWLOG_MAX_LEN),
        .bulk_bytes_max = (uint64_t)config_number(config, DIRECTIVE_PROTO_MAX_BULK_LEN),
        .debug_allowed_local = debug == DEBUG_LOCAL,
        .debug_allowed = debug == DEBUG_YES,
    };
    (void)snprintf(options.password, sizeof(options.password), "%s",
                   config_text(config, DIRECTIVE_REQUIREPASS));
    return options;
}
