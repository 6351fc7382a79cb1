#include "base/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/number.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_DEPTH_MAX 64

/* Longer paths are taken for the root's. These stand on the stack, so they are not PATH_MAX. */
#define CGROUP_PATH_BYTES_MAX 512
#define CGROUP_SELF_BYTES_MAX 1024

/* Reads the start of a small file; an absent or unreadable file is empty. Returns its bytes. */
static size_t cgroup_read(const char *path, char *to, size_t to_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t got = read(fd, to, to_bytes);
    close(fd);
    return got < 0 ? 0 : (size_t)got;
}

/* The first word of `text`, up to a blank or newline. */
static struct slice cgroup_word(struct slice text)
{
    size_t bytes = 0;
    while (bytes < text.bytes && text.data[bytes] != ' ' && text.data[bytes] != '\n') {
        bytes++;
    }
    return slice_of(text.data, bytes);
}

uint64_t cgroup_parse_memory_max(struct slice text)
{
    uint64_t bytes = 0;
    return number_parse_u64(cgroup_word(text), &bytes) == 0 ? bytes : UINT64_MAX;
}

uint64_t cgroup_parse_cpu_max(struct slice text)
{
    struct slice quota_text = cgroup_word(text);
    if (quota_text.bytes >= text.bytes) {
        return UINT64_MAX;
    }
    struct slice period_text = cgroup_word(slice_skip(text, quota_text.bytes + 1));
    uint64_t quota = 0;
    uint64_t period = 0;
    if (number_parse_u64(quota_text, &quota) < 0 || number_parse_u64(period_text, &period) < 0 ||
        period == 0 || quota > UINT64_MAX / 1000) {
        return UINT64_MAX;
    }
    return quota * 1000 / period;
}

/* The group's path below CGROUP_ROOT, from the line "0::/path"; "" for the root. */
static void cgroup_path(char *to, size_t to_bytes)
{
    char text[CGROUP_SELF_BYTES_MAX];
    size_t bytes = cgroup_read("/proc/self/cgroup", text, sizeof(text) - 1);
    text[bytes] = '\0';
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    to[0] = '\0';
    if (line == NULL) {
        return;
    }
    const char *path = strchr(line, '/');
    size_t path_bytes = path == NULL ? 0 : strcspn(path, "\n");
    if (path_bytes > 1 && path_bytes < to_bytes) {
        memcpy(to, path, path_bytes);
        to[path_bytes] = '\0';
    }
}

/* The lowest figure in the files `name` of this group and of those around it. */
static uint64_t cgroup_lowest(const char *name, uint64_t (*parse)(struct slice text))
{
    char path[CGROUP_PATH_BYTES_MAX];
    char file[CGROUP_PATH_BYTES_MAX + 64];
    char text[128];
    uint64_t lowest = UINT64_MAX;
    cgroup_path(path, sizeof(path));
    for (int depth = 0; depth < CGROUP_DEPTH_MAX; depth++) {
        int bytes = snprintf(file, sizeof(file), CGROUP_ROOT "%s/%s", path, name);
        if (bytes > 0 && (size_t)bytes < sizeof(file)) {
            size_t got = cgroup_read(file, text, sizeof(text));
            lowest = min_u64(lowest, parse(slice_of(text, got)));
        }
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
    }
    return lowest;
}

uint64_t cgroup_memory_max(void)
{
    char text[128];
    size_t got = cgroup_read(CGROUP_ROOT "/memory/memory.limit_in_bytes", text, sizeof(text));
    uint64_t version1 = cgroup_parse_memory_max(slice_of(text, got));
    return min_u64(version1, cgroup_lowest("memory.max", cgroup_parse_memory_max));
}

uint64_t cgroup_cpu_max(void)
{
    return cgroup_lowest("cpu.max", cgroup_parse_cpu_max);
}
