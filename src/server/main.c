/* The program eloqstore-server: what its arguments ask for. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/number.h"
#include "cmd/command.h"
#include "io/socket.h"
#include "server/config.h"
#include "server/run.h"

static const char usage[] =
    "Usage: eloqstore-server [/path/to/eloqstore.conf | -] [--directive value]...\n"
    "       eloqstore-server --check-config [arguments as above]\n"
    "       eloqstore-server --healthcheck [arguments as above]\n"
    "       eloqstore-server -v or --version\n"
    "       eloqstore-server -h or --help\n"
    "\n"
    "Examples:\n"
    "       eloqstore-server                             (defaults: port 6379, data in ./data)\n"
    "       eloqstore-server /etc/eloqstore.conf\n"
    "       eloqstore-server --port 7777 --shards 2\n"
    "       eloqstore-server /etc/eloqstore.conf --loglevel verbose\n"
    "       echo 'maxmemory 2gb' | eloqstore-server -\n"
    "\n"
    "Every directive stands in conf/eloqstore.conf with its default and its reason.\n"
    "--check-config reads the configuration and exits with 0 if it is good, with 1 if not.\n"
    "--healthcheck asks the server that runs with it, and exits with 0 if it answers, with 1 if\n"
    "not.\n";

static int print_version(void)
{
    (void)printf("EloqStore server v=%s compatible with redis %s bits=%zu malloc=%s\n",
                 ELOQSTORE_VERSION, REDIS_VERSION, sizeof(void *) * 8, mem_allocator_name());
    return 0;
}

static void print_failure(const struct config_failure *failure, int err)
{
    (void)fprintf(stderr,
                  "\n*** FATAL CONFIG FILE ERROR (EloqStore %s, compatible with Redis %s) ***\n",
                  ELOQSTORE_VERSION, REDIS_VERSION);
    if (failure->line > 0) {
        (void)fprintf(stderr, "Reading %s%s, at line %u\n>>> '%s'\n",
                      failure->file[0] != '\0' ? "the configuration file" : "the arguments",
                      failure->file[0] != '\0' ? "" : " as configuration", failure->line,
                      failure->text);
    }
    (void)fprintf(stderr, "%s\n", err == ERR_CONFIG ? failure->reason : error_text(err));
    if (failure->file[0] != '\0') {
        (void)fprintf(stderr, "(%s)\n", failure->file);
    }
}

/* A server that asks for a password is there, too. */
static int check_health(const struct config *config)
{
    char reply[256];
    uint16_t port = (uint16_t)config_number(config, DIRECTIVE_PORT);
    int err = socket_ask("127.0.0.1", port, "*1\r\n$4\r\nPING\r\n", reply, sizeof(reply));
    if (err < 0) {
        (void)fprintf(stderr, "no answer on port %u: %s\n", port, error_text(err));
        return 1;
    }
    if (strcmp(reply, "+PONG") != 0 && strncmp(reply, "-NOAUTH", 7) != 0) {
        (void)fprintf(stderr, "unexpected answer on port %u: %s\n", port, reply);
        return 1;
    }
    return 0;
}

/* Takes a flag of our own out of the arguments; returns whether it was there. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], flag) == 0) {
            memmove(argv + i, argv + i + 1, (size_t)(*argc - i - 1) * sizeof(*argv));
            (*argc)--;
            return true;
        }
    }
    return false;
}

/* So that it is found again whatever happens to the working directory. */
static void make_absolute(struct config *config)
{
    char folder[CONFIG_PATH_BYTES];
    char path[CONFIG_PATH_BYTES * 2];
    if (config->file[0] == '\0' || config->file[0] == '/' ||
        getcwd(folder, sizeof(folder)) == NULL) {
        return;
    }
    int bytes = snprintf(path, sizeof(path), "%s/%s", folder, config->file);
    if (bytes > 0 && (size_t)bytes < sizeof(config->file)) {
        memcpy(config->file, path, (size_t)bytes + 1);
    }
}

int main(int argc, char **argv)
{
    clock_init();
    commands_init();
    if (argc == 2 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "--version") == 0)) {
        return print_version();
    }
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        (void)fputs(usage, stdout);
        return 0;
    }
    bool check_only = take_flag(&argc, argv, "--check-config");
    bool health_only = take_flag(&argc, argv, "--healthcheck");
    struct config *config = config_create();
    struct config_failure failure = {.line = 0};
    int err =
        config != NULL ? config_read_arguments(config, argc - 1, argv + 1, &failure) : ERR_MEMORY;
    if (err < 0) {
        print_failure(&failure, err);
        config_destroy(config);
        return 1;
    }
    if (check_only || health_only) {
        int code = check_only ? 0 : check_health(config);
        (void)(check_only ? puts("The configuration is good.") : 0);
        config_destroy(config);
        return code;
    }
    make_absolute(config);
    return run(config, argv[0]);
}
