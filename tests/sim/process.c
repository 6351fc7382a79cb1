#include "process.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/logger.h"
#include "body.h"
#include "data/keyspace.h"
#include "io/io_body.h"
#include "memory.h"
#include "net/net.h"
#include "server/config.h"
#include "server/server.h"
#include "threads.h"
#include "wire.h"
#include "world.h"

enum { LOG_LINES = 64, EXIT_FAILED_START = 1 };

static struct {
    enum process_state state;
    int code;
    struct disk *disk;
    const char *conf;
    uint32_t shards;
    bool stop_asked;
    struct sim_thread *main;
    struct server *server;
    char lines[LOG_LINES][LOGGER_LINE_BYTES_MAX];
    uint64_t line_count;
} process;

/* ---- what it says ---- */

static void take_line(enum logger_level level, const char *line, size_t bytes, void *argument)
{
    (void)level;
    (void)bytes;
    (void)argument;
    char *to = process.lines[process.line_count++ % LOG_LINES];
    (void)snprintf(to, LOGGER_LINE_BYTES_MAX, "%s", line);
}

static uint64_t lines_from(void)
{
    return process.line_count > LOG_LINES ? process.line_count - LOG_LINES : 0;
}

bool process_said(const char *part)
{
    for (uint64_t i = lines_from(); i < process.line_count; i++) {
        if (strstr(process.lines[i % LOG_LINES], part) != NULL) {
            return true;
        }
    }
    return false;
}

void process_print_log(void)
{
    for (uint64_t i = lines_from(); i < process.line_count; i++) {
        printf("log: %s\n", process.lines[i % LOG_LINES]);
    }
}

/* ---- its main thread ---- */

static struct config *read_config(void)
{
    struct config *config = config_create();
    struct config_failure failure;
    if (config == NULL) {
        return NULL;
    }
    struct slice text = {.data = (const uint8_t *)process.conf, .bytes = strlen(process.conf)};
    int err = config_read_text(config, text, "sim.conf", &failure);
    if (err == ERR_MEMORY) {
        config_destroy(config);
        return NULL;
    }
    SIM_CHECK(err == 0, "simulator: its configuration is refused: %s: %s", failure.text,
              failure.reason);
    return config;
}

static int listen_here(struct shard *shard, void *argument)
{
    (void)argument;
    uint32_t id = shard_id(shard);
    return net_listen(process.server->shards[id].net, wire_listener(id));
}

static int serve(struct config *config)
{
    int err = server_start(config, "eloqstore-sim", &process.server);
    if (err < 0) {
        return err;
    }
    err = server_listen(process.server);
    for (uint32_t i = 0; err == 0 && i < process.shards; i++) {
        err = shard_call_from_outside(shard_set_get(server_shards(process.server), i), listen_here,
                                      NULL);
    }
    if (err == 0) {
        process.state = PROCESS_READY;
        while (!process.stop_asked) {
            (void)threads_block(INT64_MAX);
        }
        process.state = PROCESS_STOPPING;
    }
    server_stop(process.server, err == 0);
    return err;
}

static void process_main(void *argument)
{
    (void)argument;
    struct config *config = read_config();
    int err = config == NULL ? ERR_MEMORY : serve(config);
    if (config == NULL) {
        LOGGER_WARNING("no memory for the configuration"); /* main.c writes it to stderr */
    }
    world_trace("main returns", (uint64_t)-err, 0);
    process.code = err < 0 ? EXIT_FAILED_START : 0;
    process.state = PROCESS_ENDED;
}

/* ---- from outside ---- */

void process_start(struct disk *disk, const char *conf, uint32_t shards)
{
    ASSERT(process.state == PROCESS_NONE);
    process.state = PROCESS_STARTING;
    process.disk = disk;
    process.conf = conf;
    process.shards = shards;
    process.stop_asked = false;
    process.line_count = 0;
    logger_set_hook(take_line, NULL);
    keyspace_set_hash_seed(world_u64(STREAM_OS)); /* else the first process's would stay */
    disk_mount(disk);
    file_set_disk(&disk_door);
    body_set_disk(disk);
    io_set_create(body_create);
    process.main = threads_spawn("main", process_main, NULL);
    world_trace("process starts", shards, 0);
}

enum process_state process_state(void)
{
    if (process.state != PROCESS_NONE && threads_exit_code() >= 0) {
        process.code = threads_exit_code();
        process.state = PROCESS_ENDED;
    }
    return process.state;
}

int process_code(void)
{
    ASSERT(process_state() == PROCESS_ENDED);
    return process.code;
}

void process_stop(void)
{
    ASSERT(process.state == PROCESS_READY);
    process.stop_asked = true;
    threads_unblock(process.main);
    world_trace("process is asked to stop", 0, 0);
}

static void clear_away(void)
{
    threads_kill_all();
    wire_process_gone();
    memory_free_all();
    process.state = PROCESS_NONE;
}

static void check_leaks(void)
{
    if (memory_blocks() > 0) {
        memory_print();
        process_print_log();
        world_violation("%llu blocks of memory are left after a clean end",
                        (unsigned long long)memory_blocks());
    }
    SIM_CHECK(disk_open_count(process.disk) == 0, "%u descriptors are left after a clean end",
              disk_open_count(process.disk));
    SIM_CHECK(wire_open_count() == 0, "%u connections are left after a clean end",
              wire_open_count());
}

void process_reap(void)
{
    ASSERT(process_state() == PROCESS_ENDED);
    world_trace("process has ended", (uint64_t)process.code, 0);
    if (process.code == 0 && threads_exit_code() < 0) {
        SIM_CHECK(threads_count() == 0, "%u threads are left after a clean end", threads_count());
        check_leaks();
    }
    clear_away();
    disk_process_killed(process.disk);
}

void process_kill(void)
{
    world_trace("process is killed", process.state, 0);
    clear_away();
    disk_process_killed(process.disk);
}

void process_power_cut(void)
{
    world_trace("power cut", process.state, 0);
    clear_away();
    disk_power_cut(process.disk);
}
