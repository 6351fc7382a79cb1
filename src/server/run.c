#include "server/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "io/file.h"
#include "io/socket.h"
#include "server/options.h"
#include "server/server.h"

enum {
    EXIT_OK = 0,
    EXIT_ERROR = 1,
};

/* ---- before the start ---- */

static void note_ignored(void *context, const struct directive *directive)
{
    (void)context;
    LOGGER_NOTICE("'%s' is accepted without effect: %s", directive->name, directive->note);
}

static void note_config(const struct config *config)
{
    if (config->file[0] == '\0') {
        LOGGER_NOTICE("No config file: running with the defaults and the arguments");
    } else {
        LOGGER_NOTICE("Configuration loaded from %s", config->file);
    }
    config_each_ignored(config, note_ignored, NULL);
    if (config_number(config, DIRECTIVE_MAXMEMORY_POLICY) != 0) {
        LOGGER_NOTICE("maxmemory-policy %s acts as noeviction: what does not fit in memory is on "
                      "disk",
                      config_text(config, DIRECTIVE_MAXMEMORY_POLICY));
    }
}

/* As many files as connections and data files need; fewer connections if the system gives less. */
static void raise_file_limit(struct config *config)
{
    uint64_t others = options_files(config);
    uint64_t wanted = (uint64_t)config_number(config, DIRECTIVE_MAXCLIENTS) + others;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    struct rlimit raised = {.rlim_cur = wanted,
                            .rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        return;
    }
    raised.rlim_cur = limit.rlim_max;
    raised.rlim_max = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &raised);
    uint64_t got = limit.rlim_max;
    int64_t clients = got > others * 2 ? (int64_t)(got - others) : (int64_t)(got / 2);
    LOGGER_WARNING("You requested maxclients of %lld, but at most %llu files may be open: "
                   "maxclients has been reduced to %lld. If you need higher maxclients increase "
                   "'ulimit -n'.",
                   (long long)config_number(config, DIRECTIVE_MAXCLIENTS), (unsigned long long)got,
                   (long long)clients);
    config_note(config, DIRECTIVE_MAXCLIENTS, clients > 0 ? clients : 1);
}

static int set_logger(const struct config *config)
{
    logger_set_level((enum logger_level)config_number(config, DIRECTIVE_LOGLEVEL));
    const char *path = config_text(config, DIRECTIVE_LOGFILE);
    int err = logger_set_file(path);
    if (err < 0) {
        (void)fprintf(stderr, "Can't open the log file '%s': %s\n", path, error_text(err));
    }
    return err;
}

static void write_pid_file(const char *path)
{
    if (path[0] == '\0') {
        return;
    }
    char text[32];
    int bytes = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    int fd = file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int err = fd < 0 ? fd : file_write(fd, text, (size_t)bytes, 0);
    if (fd >= 0) {
        IGNORE(file_close(fd), "the write has told");
    }
    if (err < 0) {
        LOGGER_WARNING("can't write the pid file %s: %s", path, error_text(err));
    }
}

static void remove_pid_file(const char *path)
{
    if (path[0] != '\0') {
        LOGGER_NOTICE("Removing the pid file.");
        IGNORE(file_unlink(path), "nobody is helped by a complaint now");
    }
}

/* What the main thread needs of the configuration while the server runs, and it no longer owns it.
 */
struct process {
    char pid_path[CONFIG_PATH_BYTES];
    char unix_path[CONFIG_PATH_BYTES];
    const char *notify_path; /* of the service manager that wants to be told, or NULL */
};

static void process_init(struct process *process, const struct config *config)
{
    (void)snprintf(process->pid_path, sizeof(process->pid_path), "%s",
                   config_text(config, DIRECTIVE_PIDFILE));
    (void)snprintf(process->unix_path, sizeof(process->unix_path), "%s",
                   config_text(config, DIRECTIVE_UNIXSOCKET));
    const char *mode = config_text(config, DIRECTIVE_SUPERVISED);
    bool wanted = strcmp(mode, "systemd") == 0 || strcmp(mode, "auto") == 0;
    process->notify_path = wanted ? getenv("NOTIFY_SOCKET") : NULL;
}

static void notify(const struct process *process, const char *text)
{
    int err = process->notify_path != NULL ? socket_notify(process->notify_path, text) : 0;
    if (err < 0) {
        LOGGER_WARNING("can't tell the service manager at %s: %s", process->notify_path,
                       error_text(err));
    }
}

/* ---- signals ---- */

static sigset_t awaited_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    return set;
}

/* A closed connection and a full quota are errors of the calls that meet them, not reasons to die.
 */
static void prepare_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    sigset_t set = awaited_signals();
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static void exit_at_once(int signal_number)
{
    (void)signal_number;
    logger_last_words("You insist... exiting now.");
    _exit(EXIT_ERROR);
}

/* While the server stops nobody waits for signals: the next SIGINT ends it by its handler. */
static void let_interrupt_end_us(void)
{
    struct sigaction action = {.sa_handler = exit_at_once};
    (void)sigaction(SIGINT, &action, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void reopen_log(void)
{
    int err = logger_reopen();
    if (err < 0) {
        LOGGER_WARNING("can't open the log file again: %s", error_text(err));
    }
}

/* Returns whether to checkpoint before the end. */
static bool wait_for_the_end(struct server *server)
{
    sigset_t set = awaited_signals();
    for (;;) {
        int number = 0;
        if (sigwait(&set, &number) != 0) {
            continue;
        }
        if (number == SIGHUP) {
            reopen_log();
        } else if (number == SIGUSR2) {
            if (atomic_load(&server->shutdown_asked)) {
                return atomic_load(&server->shutdown_save);
            }
        } else {
            LOGGER_WARNING("Received %s scheduling shutdown...",
                           number == SIGINT ? "SIGINT" : "SIGTERM");
            return true;
        }
    }
}

/* ---- running ---- */

static void greet(const struct config *config)
{
    LOGGER_WARNING("oO0OoO0OoO0Oo EloqStore is starting oO0OoO0OoO0Oo");
    LOGGER_WARNING("EloqStore version=%s, compatible with redis %s, bits=%zu, pid=%d, just started",
                   ELOQSTORE_VERSION, REDIS_VERSION, sizeof(void *) * 8, (int)getpid());
    note_config(config);
}

/* While nobody can connect yet. */
static void introduce(const struct server *server)
{
    const struct engine_options *options = engine_options(server->engine);
    const char *log =
        options->log_enabled ? config_text(server->config, DIRECTIVE_APPENDFSYNC) : "off";
    LOGGER_NOTICE("Running in standalone mode. Port: %u PID: %d", server->cmd.port, (int)getpid());
    LOGGER_NOTICE("Data in %s: %u partitions on %u shards by %s, log %s, memory %llu MB",
                  server->dir, server->cmd.partitions, server->cmd.shards, server->io_name, log,
                  (unsigned long long)(options->memory_bytes >> 20));
    LOGGER_WARNING("Server initialized");
}

static void announce(const struct process *process)
{
    if (process->unix_path[0] != '\0') {
        LOGGER_NOTICE("The server is now ready to accept connections at %s", process->unix_path);
    }
    LOGGER_NOTICE("Ready to accept connections tcp");
    notify(process, "READY=1\nSTATUS=Ready to accept connections\n");
}

static void stop(const struct process *process, struct server *server, bool save)
{
    let_interrupt_end_us();
    LOGGER_NOTICE("User requested shutdown...");
    notify(process, "STOPPING=1\n");
    if (save) {
        LOGGER_NOTICE("Saving the final checkpoint before exiting.");
    }
    server_stop(server, save);
    if (process->unix_path[0] != '\0') {
        LOGGER_NOTICE("Removing the unix socket file.");
        IGNORE(file_unlink(process->unix_path), "a left-over is replaced at the next start");
    }
    remove_pid_file(process->pid_path);
}

static int serve(const struct process *process, struct server *server)
{
    introduce(server);
    if (server_listen(server) < 0) {
        server_stop(server, false);
        return EXIT_ERROR;
    }
    write_pid_file(process->pid_path);
    announce(process);
    bool save = wait_for_the_end(server);
    stop(process, server, save);
    LOGGER_WARNING("EloqStore is now ready to exit, bye bye...");
    return EXIT_OK;
}

int run(struct config *config, const char *executable)
{
    if (set_logger(config) < 0) {
        config_destroy(config);
        return EXIT_ERROR;
    }
    prepare_signals();
    greet(config);
    raise_file_limit(config);
    struct process process;
    process_init(&process, config);
    struct server *server;
    if (server_start(config, executable, &server) < 0) {
        return EXIT_ERROR;
    }
    return serve(&process, server);
}
