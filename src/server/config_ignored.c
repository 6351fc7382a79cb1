/*
 * What Redis 7 knows and this server does not act on: accepted so that configuration files and
 * clients for Redis work, kept and shown by CONFIG, or refused where ignoring it would be
 * dangerous. docs/redis-directives.md lists them.
 */
#include "server/config_table.h"

#define IGNORED(name_, alias_, type_, fallback_, note_)                                  \
    {                                                                                    \
        .name = (name_), .alias = (alias_), .type = (type_), .flags = DIRECTIVE_IGNORED, \
        .fallback = (fallback_), .note = (note_), .min = INT64_MIN, .max = INT64_MAX     \
    }
#define REFUSED(name_, alias_, type_, fallback_, note_)                                         \
    {                                                                                           \
        .name = (name_), .alias = (alias_), .type = (type_),                                    \
        .flags = DIRECTIVE_REFUSED | DIRECTIVE_FIXED, .fallback = (fallback_), .note = (note_), \
        .min = INT64_MIN, .max = INT64_MAX                                                      \
    }

static const char note_rdb[] = "there are no RDB files: checkpoints write the data files";
static const char note_log[] =
    "the log has its own files in dir/log, recycled after each checkpoint";
static const char note_threads[] = "shards and io-backend say what threads there are";
static const char note_eviction[] = "nothing is evicted: what does not fit in memory is on disk";
static const char note_memory[] = "records have one form in memory, which needs no tuning";
static const char note_time[] = "expiry runs in the background without a schedule";
static const char note_replication[] = "there is no replication yet";
static const char note_replica[] = "this server can not be a replica yet";
static const char note_cluster[] = "there is no cluster mode yet";
static const char note_acl[] = "there are no ACL users yet: requirepass guards the default user";
static const char note_protected[] = "nothing of the configuration is hidden or protected";
static const char note_modules[] = "there are no modules";
static const char note_tls[] = "there is no TLS yet";
static const char note_scripts[] = "there are no scripts, events or tracked keys yet";
static const char note_latency[] = "latency is seen in INFO commandstats and the slow log";
static const char note_system[] = "left to the service manager and the system";
static const char note_signals[] = "SIGTERM and SIGINT checkpoint everything and end the server";

const struct directive directives_ignored[] = {

    /* Snapshots in RDB files */
    IGNORED("stop-writes-on-bgsave-error", NULL, CONFIG_BOOL, "yes", note_rdb),
    IGNORED("rdbcompression", NULL, CONFIG_BOOL, "yes", note_rdb),
    IGNORED("rdbchecksum", NULL, CONFIG_BOOL, "yes", note_rdb),
    IGNORED("sanitize-dump-payload", NULL, CONFIG_STRING, "no", note_rdb),
    IGNORED("dbfilename", NULL, CONFIG_STRING, "dump.rdb", note_rdb),
    IGNORED("rdb-del-sync-files", NULL, CONFIG_BOOL, "no", note_rdb),
    IGNORED("rdb-save-incremental-fsync", NULL, CONFIG_BOOL, "yes", note_rdb),

    /* The append-only file */
    IGNORED("appendfilename", NULL, CONFIG_STRING, "appendonly.aof", note_log),
    IGNORED("appenddirname", NULL, CONFIG_STRING, "appendonlydir", note_log),
    IGNORED("no-appendfsync-on-rewrite", NULL, CONFIG_BOOL, "no", note_log),
    IGNORED("auto-aof-rewrite-percentage", NULL, CONFIG_INT, "100", note_log),
    IGNORED("auto-aof-rewrite-min-size", NULL, CONFIG_BYTES, "67108864", note_log),
    IGNORED("aof-load-truncated", NULL, CONFIG_BOOL, "yes", note_log),
    IGNORED("aof-use-rdb-preamble", NULL, CONFIG_BOOL, "yes", note_log),
    IGNORED("aof-timestamp-enabled", NULL, CONFIG_BOOL, "no", note_log),
    IGNORED("aof-rewrite-incremental-fsync", NULL, CONFIG_BOOL, "yes", note_log),
    IGNORED("aof-disable-auto-gc", NULL, CONFIG_BOOL, "no", note_log),

    /* Threads */
    IGNORED("io-threads", NULL, CONFIG_INT, "1", note_threads),
    IGNORED("io-threads-do-reads", NULL, CONFIG_BOOL, "no", note_threads),
    IGNORED("server_cpulist", NULL, CONFIG_STRING, "", note_threads),
    IGNORED("bio_cpulist", NULL, CONFIG_STRING, "", note_threads),
    IGNORED("aof_rewrite_cpulist", NULL, CONFIG_STRING, "", note_threads),
    IGNORED("bgsave_cpulist", NULL, CONFIG_STRING, "", note_threads),

    /* Eviction */
    IGNORED("maxmemory-samples", NULL, CONFIG_INT, "5", note_eviction),
    IGNORED("maxmemory-eviction-tenacity", NULL, CONFIG_INT, "10", note_eviction),
    IGNORED("maxmemory-clients", NULL, CONFIG_WORDS, "0", note_eviction),
    IGNORED("lfu-log-factor", NULL, CONFIG_INT, "10", note_eviction),
    IGNORED("lfu-decay-time", NULL, CONFIG_INT, "1", note_eviction),

    /* Memory of values and tables */
    IGNORED("hash-max-listpack-entries", "hash-max-ziplist-entries", CONFIG_INT, "512",
            note_memory),
    IGNORED("hash-max-listpack-value", "hash-max-ziplist-value", CONFIG_BYTES, "64", note_memory),
    IGNORED("list-max-listpack-size", "list-max-ziplist-size", CONFIG_INT, "-2", note_memory),
    IGNORED("list-compress-depth", NULL, CONFIG_INT, "0", note_memory),
    IGNORED("set-max-intset-entries", NULL, CONFIG_INT, "512", note_memory),
    IGNORED("set-max-listpack-entries", NULL, CONFIG_INT, "128", note_memory),
    IGNORED("set-max-listpack-value", NULL, CONFIG_BYTES, "64", note_memory),
    IGNORED("zset-max-listpack-entries", "zset-max-ziplist-entries", CONFIG_INT, "128",
            note_memory),
    IGNORED("zset-max-listpack-value", "zset-max-ziplist-value", CONFIG_BYTES, "64", note_memory),
    IGNORED("hll-sparse-max-bytes", NULL, CONFIG_BYTES, "3000", note_memory),
    IGNORED("stream-node-max-bytes", NULL, CONFIG_BYTES, "4096", note_memory),
    IGNORED("stream-node-max-entries", NULL, CONFIG_INT, "100", note_memory),
    IGNORED("activerehashing", NULL, CONFIG_BOOL, "yes", note_memory),
    IGNORED("activedefrag", NULL, CONFIG_BOOL, "no", note_memory),
    IGNORED("active-defrag-ignore-bytes", NULL, CONFIG_BYTES, "104857600", note_memory),
    IGNORED("active-defrag-threshold-lower", NULL, CONFIG_INT, "10", note_memory),
    IGNORED("active-defrag-threshold-upper", NULL, CONFIG_INT, "100", note_memory),
    IGNORED("active-defrag-cycle-min", NULL, CONFIG_INT, "1", note_memory),
    IGNORED("active-defrag-cycle-max", NULL, CONFIG_INT, "25", note_memory),
    IGNORED("active-defrag-max-scan-fields", NULL, CONFIG_INT, "1000", note_memory),
    IGNORED("jemalloc-bg-thread", NULL, CONFIG_BOOL, "yes", note_memory),
    IGNORED("lazyfree-lazy-eviction", NULL, CONFIG_BOOL, "no", note_memory),
    IGNORED("lazyfree-lazy-expire", NULL, CONFIG_BOOL, "no", note_memory),
    IGNORED("lazyfree-lazy-server-del", NULL, CONFIG_BOOL, "no", note_memory),
    IGNORED("lazyfree-lazy-user-del", NULL, CONFIG_BOOL, "no", note_memory),
    IGNORED("lazyfree-lazy-user-flush", NULL, CONFIG_BOOL, "no", note_memory),

    /* Time */
    IGNORED("dynamic-hz", NULL, CONFIG_BOOL, "yes", note_time),
    IGNORED("active-expire-effort", NULL, CONFIG_INT, "1", note_time),

    /* Replication */
    IGNORED("masterauth", NULL, CONFIG_STRING, "", note_replication),
    IGNORED("masteruser", NULL, CONFIG_STRING, "", note_replication),
    IGNORED("replica-serve-stale-data", "slave-serve-stale-data", CONFIG_BOOL, "yes",
            note_replication),
    IGNORED("replica-read-only", "slave-read-only", CONFIG_BOOL, "yes", note_replication),
    IGNORED("repl-diskless-sync", NULL, CONFIG_BOOL, "yes", note_replication),
    IGNORED("repl-diskless-sync-delay", NULL, CONFIG_INT, "5", note_replication),
    IGNORED("repl-diskless-sync-max-replicas", NULL, CONFIG_INT, "0", note_replication),
    IGNORED("repl-diskless-load", NULL, CONFIG_STRING, "disabled", note_replication),
    IGNORED("repl-ping-replica-period", "repl-ping-slave-period", CONFIG_INT, "10",
            note_replication),
    IGNORED("repl-timeout", NULL, CONFIG_INT, "60", note_replication),
    IGNORED("repl-disable-tcp-nodelay", NULL, CONFIG_BOOL, "no", note_replication),
    IGNORED("repl-backlog-size", NULL, CONFIG_BYTES, "1048576", note_replication),
    IGNORED("repl-backlog-ttl", NULL, CONFIG_INT, "3600", note_replication),
    IGNORED("replica-priority", "slave-priority", CONFIG_INT, "100", note_replication),
    IGNORED("replica-announced", NULL, CONFIG_BOOL, "yes", note_replication),
    IGNORED("replica-announce-ip", "slave-announce-ip", CONFIG_STRING, "", note_replication),
    IGNORED("replica-announce-port", "slave-announce-port", CONFIG_INT, "0", note_replication),
    IGNORED("replica-ignore-maxmemory", "slave-ignore-maxmemory", CONFIG_BOOL, "yes",
            note_replication),
    IGNORED("replica-lazy-flush", "slave-lazy-flush", CONFIG_BOOL, "no", note_replication),
    IGNORED("replica-ignore-disk-write-errors", NULL, CONFIG_BOOL, "no", note_replication),
    IGNORED("min-replicas-to-write", "min-slaves-to-write", CONFIG_INT, "0", note_replication),
    IGNORED("min-replicas-max-lag", "min-slaves-max-lag", CONFIG_INT, "10", note_replication),
    IGNORED("propagation-error-behavior", NULL, CONFIG_STRING, "ignore", note_replication),
    REFUSED("replicaof", "slaveof", CONFIG_WORDS, "", note_replica),

    /* Cluster */
    REFUSED("cluster-enabled", NULL, CONFIG_BOOL, "no", note_cluster),
    IGNORED("cluster-config-file", NULL, CONFIG_STRING, "nodes.conf", note_cluster),
    IGNORED("cluster-node-timeout", NULL, CONFIG_INT, "15000", note_cluster),
    IGNORED("cluster-port", NULL, CONFIG_INT, "0", note_cluster),
    IGNORED("cluster-announce-ip", NULL, CONFIG_STRING, "", note_cluster),
    IGNORED("cluster-announce-port", NULL, CONFIG_INT, "0", note_cluster),
    IGNORED("cluster-announce-tls-port", NULL, CONFIG_INT, "0", note_cluster),
    IGNORED("cluster-announce-bus-port", NULL, CONFIG_INT, "0", note_cluster),
    IGNORED("cluster-announce-hostname", NULL, CONFIG_STRING, "", note_cluster),
    IGNORED("cluster-announce-human-nodename", NULL, CONFIG_STRING, "", note_cluster),
    IGNORED("cluster-preferred-endpoint-type", NULL, CONFIG_STRING, "ip", note_cluster),
    IGNORED("cluster-replica-validity-factor", "cluster-slave-validity-factor", CONFIG_INT, "10",
            note_cluster),
    IGNORED("cluster-migration-barrier", NULL, CONFIG_INT, "1", note_cluster),
    IGNORED("cluster-allow-replica-migration", NULL, CONFIG_BOOL, "yes", note_cluster),
    IGNORED("cluster-require-full-coverage", NULL, CONFIG_BOOL, "yes", note_cluster),
    IGNORED("cluster-replica-no-failover", "cluster-slave-no-failover", CONFIG_BOOL, "no",
            note_cluster),
    IGNORED("cluster-allow-reads-when-down", NULL, CONFIG_BOOL, "no", note_cluster),
    IGNORED("cluster-allow-pubsubshard-when-down", NULL, CONFIG_BOOL, "yes", note_cluster),
    IGNORED("cluster-link-sendbuf-limit", NULL, CONFIG_BYTES, "0", note_cluster),

    /* Access */
    REFUSED("aclfile", NULL, CONFIG_STRING, "", note_acl),
    REFUSED("user", NULL, CONFIG_WORDS, "", note_acl),
    REFUSED("rename-command", NULL, CONFIG_WORDS, "", note_acl),
    IGNORED("acllog-max-len", NULL, CONFIG_INT, "128", note_acl),
    IGNORED("acl-pubsub-default", NULL, CONFIG_STRING, "resetchannels", note_acl),
    IGNORED("enable-protected-configs", NULL, CONFIG_STRING, "no", note_protected),
    IGNORED("enable-module-command", NULL, CONFIG_STRING, "no", note_protected),
    REFUSED("loadmodule", NULL, CONFIG_WORDS, "", note_modules),

    /* TLS */
    REFUSED("tls-port", NULL, CONFIG_INT, "0", note_tls),
    IGNORED("tls-cert-file", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-key-file", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-key-file-pass", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-client-cert-file", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-client-key-file", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-client-key-file-pass", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-dh-params-file", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-ca-cert-file", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-ca-cert-dir", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-auth-clients", NULL, CONFIG_STRING, "yes", note_tls),
    IGNORED("tls-replication", NULL, CONFIG_BOOL, "no", note_tls),
    IGNORED("tls-cluster", NULL, CONFIG_BOOL, "no", note_tls),
    IGNORED("tls-protocols", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-ciphers", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-ciphersuites", NULL, CONFIG_STRING, "", note_tls),
    IGNORED("tls-prefer-server-ciphers", NULL, CONFIG_BOOL, "no", note_tls),
    IGNORED("tls-session-caching", NULL, CONFIG_BOOL, "yes", note_tls),
    IGNORED("tls-session-cache-size", NULL, CONFIG_INT, "20480", note_tls),
    IGNORED("tls-session-cache-timeout", NULL, CONFIG_INT, "300", note_tls),

    /* Scripts, events, tracking */
    IGNORED("busy-reply-threshold", "lua-time-limit", CONFIG_INT, "5000", note_scripts),
    IGNORED("notify-keyspace-events", NULL, CONFIG_STRING, "", note_scripts),
    IGNORED("tracking-table-max-keys", NULL, CONFIG_INT, "1000000", note_scripts),

    /* Looking at the server */
    IGNORED("latency-monitor-threshold", NULL, CONFIG_INT, "0", note_latency),
    IGNORED("latency-tracking", NULL, CONFIG_BOOL, "yes", note_latency),
    IGNORED("latency-tracking-info-percentiles", NULL, CONFIG_WORDS, "50 99 99.9", note_latency),

    /* The process and the system */
    IGNORED("always-show-logo", NULL, CONFIG_BOOL, "no", note_system),
    IGNORED("set-proc-title", NULL, CONFIG_BOOL, "yes", note_system),
    IGNORED("proc-title-template", NULL, CONFIG_STRING, "{title} {listen-addr} {server-mode}",
            note_system),
    IGNORED("locale-collate", NULL, CONFIG_STRING, "", note_system),
    IGNORED("syslog-enabled", NULL, CONFIG_BOOL, "no", note_system),
    IGNORED("syslog-ident", NULL, CONFIG_STRING, "redis", note_system),
    IGNORED("syslog-facility", NULL, CONFIG_STRING, "local0", note_system),
    IGNORED("crash-log-enabled", NULL, CONFIG_BOOL, "yes", note_system),
    IGNORED("crash-memcheck-enabled", NULL, CONFIG_BOOL, "yes", note_system),
    IGNORED("oom-score-adj", NULL, CONFIG_STRING, "no", note_system),
    IGNORED("oom-score-adj-values", NULL, CONFIG_WORDS, "0 200 800", note_system),
    IGNORED("disable-thp", NULL, CONFIG_BOOL, "yes", note_system),
    IGNORED("ignore-warnings", NULL, CONFIG_WORDS, "", note_system),
    IGNORED("bind-source-addr", NULL, CONFIG_STRING, "", note_system),
    IGNORED("socket-mark-id", NULL, CONFIG_INT, "0", note_system),
    IGNORED("shutdown-timeout", NULL, CONFIG_INT, "10", note_signals),
    IGNORED("shutdown-on-sigint", NULL, CONFIG_WORDS, "default", note_signals),
    IGNORED("shutdown-on-sigterm", NULL, CONFIG_WORDS, "default", note_signals),

    {.name = NULL},
};
