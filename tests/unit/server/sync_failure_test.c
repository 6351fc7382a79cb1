/* Whole servers in processes of their own, on a disk whose syncs fail when told to. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logger.h"
#include "cmd/command.h"
#include "io/file_disk.h"
#include "server/config.h"
#include "server/run.h"

enum { EXIT_FAILED = 74, WRITES = 20 };

static char folder[32];
static char socket_path[64];
static char trip_path[64]; /* while it is there, syncs fail */
static const char *victim; /* ... of files with this in their path */

static void setup(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/run-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", folder);
    (void)snprintf(trip_path, sizeof(trip_path), "%s/trip", folder);
}

static void teardown(void)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(sync_failure, .init = setup, .fini = teardown, .timeout = 120);

/* ---- the server ---- */

static bool is_tripped(int fd)
{
    char link[64];
    char path[256];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof(path) - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    return access(trip_path, F_OK) == 0 && strstr(path, victim) != NULL;
}

static int failing_sync(int fd)
{
    return is_tripped(fd) ? -EIO : file_disk_system.sync_data(fd);
}

static int failing_sync_all(int fd)
{
    return is_tripped(fd) ? -EIO : file_disk_system.sync_all(fd);
}

static void serve(const char *shards)
{
    static struct file_disk disk;
    disk = file_disk_system;
    disk.sync_data = failing_sync;
    disk.sync_all = failing_sync_all;
    file_set_disk(&disk);
    clock_init();
    commands_init();
    const char *words[] = {"--dir",        folder,      "--port",        "0",
                           "--unixsocket", socket_path, "--io-backend",  "posix",
                           "--shards",     shards,      "--appendfsync", "always",
                           "--loglevel",   "nothing"};
    struct config *config = config_create();
    struct config_failure failure;
    int count = sizeof(words) / sizeof(words[0]);
    if (config == NULL || config_read_arguments(config, count, (char **)words, &failure) < 0) {
        _exit(99);
    }
    _exit(run(config, "test"));
}

static pid_t server_fork(const char *shards)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        serve(shards);
    }
    return pid;
}

static int server_wait(pid_t pid)
{
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- the client ---- */

static int client_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        usleep(1000);
    }
    return fd;
}

/* Bytes of the reply, 0 if the server has gone. */
static ssize_t ask(int fd, const char *command, char *reply, size_t reply_bytes)
{
    cr_assert_gt(send(fd, command, strlen(command), MSG_NOSIGNAL), 0);
    ssize_t bytes = recv(fd, reply, reply_bytes - 1, 0);
    bytes = bytes < 0 ? 0 : bytes;
    reply[bytes] = '\0';
    return bytes;
}

static void expect_values(int fd)
{
    char command[64];
    char reply[64];
    char wanted[64];
    for (int i = 0; i < WRITES; i++) {
        (void)snprintf(command, sizeof(command), "GET key:%d\r\n", i);
        (void)snprintf(wanted, sizeof(wanted), "$7\r\nv:%05d\r\n", i);
        cr_assert_gt(ask(fd, command, reply, sizeof(reply)), 0);
        cr_expect_str_eq(reply, wanted);
    }
}

static void write_values(int fd)
{
    char command[64];
    char reply[64];
    for (int i = 0; i < WRITES; i++) {
        (void)snprintf(command, sizeof(command), "SET key:%d v:%05d\r\n", i, i);
        cr_assert_gt(ask(fd, command, reply, sizeof(reply)), 0);
        cr_assert_str_eq(reply, "+OK\r\n");
    }
}

/* From the moment in which the victim's syncs fail, `command` must get no answer. */
static void fail_under(const char *files, const char *command, const char *shards)
{
    char reply[64];
    victim = files;
    pid_t pid = server_fork(shards);
    int fd = client_connect();
    write_values(fd);
    FILE *trip = fopen(trip_path, "w");
    cr_assert_not_null(trip);
    (void)fclose(trip);
    cr_expect_eq(ask(fd, command, reply, sizeof(reply)), 0, "got a reply: %s", reply);
    close(fd);
    cr_expect_eq(server_wait(pid), EXIT_FAILED);
    unlink(trip_path);
    unlink(socket_path);
    pid = server_fork(shards);
    fd = client_connect();
    expect_values(fd);
    close(fd);
    cr_assert_eq(kill(pid, SIGTERM), 0);
    cr_expect_eq(server_wait(pid), 0);
}

Test(sync_failure,
     a_failed_sync_of_the_log_ends_the_server_without_a_reply_and_loses_nothing_acknowledged)
{
    fail_under("/log/", "SET key:more x\r\n", "1");
}

Test(sync_failure, a_failed_sync_under_a_write_over_two_shards_ends_the_server_without_a_reply)
{
    fail_under("/log/", "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8\r\n", "2");
}

Test(sync_failure, a_failed_sync_of_a_manifest_ends_the_server_without_a_reply_and_loses_nothing)
{
    fail_under("/manifest", "SAVE\r\n", "1");
}

Test(sync_failure, a_failed_sync_while_it_stops_shows_in_the_exit_code)
{
    victim = "/p0";
    pid_t pid = server_fork("1");
    int fd = client_connect();
    write_values(fd);
    FILE *trip = fopen(trip_path, "w");
    cr_assert_not_null(trip);
    (void)fclose(trip);
    cr_assert_eq(kill(pid, SIGTERM), 0);
    cr_expect_eq(server_wait(pid), EXIT_FAILED);
    close(fd);
    unlink(trip_path);
    unlink(socket_path);
    pid = server_fork("1");
    fd = client_connect();
    expect_values(fd);
    close(fd);
    cr_assert_eq(kill(pid, SIGTERM), 0);
    cr_expect_eq(server_wait(pid), 0);
}
