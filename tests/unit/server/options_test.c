#include "server/options.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "base/thread.h"

static struct config *config;

static void setup(void)
{
    config = config_create();
    cr_assert_not_null(config);
}

static void teardown(void)
{
    config_destroy(config);
}

TestSuite(options, .init = setup, .fini = teardown);

static void set(const char *text)
{
    struct config_failure failure;
    cr_assert_eq(config_read_text(config, slice_cstr(text), "", &failure), 0, "%s", failure.reason);
}

Test(options, defaults_that_depend_on_the_machine)
{
    cr_expect_eq(options_memory_bytes(config), mem_available_bytes() / 2);
    cr_expect_leq(options_shards(config), SHARDS_MAX);
    cr_expect_eq(options_shards(config),
                 thread_count_online() < SHARDS_MAX ? thread_count_online() : SHARDS_MAX);
}

Test(options, engine)
{
    set("dir /x\nshards 3\npartitions 8\ndatabases 4\nio-backend posix\nappendonly no\n"
        "appendfsync no\nmaxmemory 100mb\ndata-file-size 2mb\nlog-segment-size 1mb\n"
        "log-size-max 5mb\ncheckpoint-age 7\ndirty-ratio 30\n");
    struct engine_options options = options_engine(config);
    cr_expect_str_eq(options.dir, "/x");
    cr_expect_eq(options.shards, 3);
    cr_expect_eq(options.partitions, 8);
    cr_expect_eq(options.databases, 4);
    cr_expect_eq(options.io_backend, IO_BACKEND_POSIX);
    cr_expect_eq(options.log_enabled, false);
    cr_expect_eq(options.sync_mode, LOG_SYNC_NO);
    cr_expect_eq(options.memory_bytes, 100 << 20);
    cr_expect_eq(options.data_file_bytes, 2 << 20);
    cr_expect_eq(options.log_segment_bytes, 1 << 20);
    cr_expect_eq(options.log_bytes_target, 5 << 20);
    cr_expect_eq(options.checkpoint_age_s, 7);
    cr_expect_eq(options.dirty_percent, 30);
}

Test(options, sync_modes_and_backends)
{
    set("appendfsync always\nio-backend uring\n");
    cr_expect_eq(options_engine(config).sync_mode, LOG_SYNC_ALWAYS);
    cr_expect_eq(options_engine(config).io_backend, IO_BACKEND_URING);
    set("appendfsync everysec\nio-backend auto\n");
    cr_expect_eq(options_engine(config).sync_mode, LOG_SYNC_EVERYSEC);
    cr_expect_eq(options_engine(config).io_backend, IO_BACKEND_AUTO);
}

Test(options, net)
{
    set("proto-max-bulk-len 2mb\nclient-query-buffer-limit 3mb\ntimeout 4\ntcp-keepalive 5\n"
        "client-output-buffer-limit normal 6mb 7mb 8\n");
    struct net_limits limits = options_net(config);
    cr_expect_gt(limits.bulk_bytes_max, 2 << 20);
    cr_expect_eq(limits.query_bytes_max, 3 << 20);
    cr_expect_eq(limits.idle_timeout_s, 4);
    cr_expect_eq(limits.keepalive_s, 5);
    cr_expect_eq(limits.output_hard_bytes, 6 << 20);
    cr_expect_eq(limits.output_soft_bytes, 7 << 20);
    cr_expect_eq(limits.output_soft_seconds, 8);
    cr_expect_gt(limits.output_pause_bytes, 0);
}

Test(options, cmd)
{
    struct cmd_options options = options_cmd(config);
    cr_expect_str_eq(options.password, "");
    cr_expect(options.protected_mode);
    cr_expect(!options.has_bind);
    cr_expect(!options.debug_allowed && !options.debug_allowed_local);
    set("requirepass secret\nprotected-mode no\nbind ::1\nenable-debug-command local\n"
        "slowlog-log-slower-than 7\nslowlog-max-len 8\n");
    options = options_cmd(config);
    cr_expect_str_eq(options.password, "secret");
    cr_expect(!options.protected_mode);
    cr_expect(options.has_bind);
    cr_expect(!options.debug_allowed && options.debug_allowed_local);
    cr_expect_eq(options.slowlog_us, 7);
    cr_expect_eq(options.slowlog_entries_max, 8);
    set("enable-debug-command yes\n");
    cr_expect(options_cmd(config).debug_allowed);
}
