#include "base/kill_point.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"

void kill_point(const char *name)
{
    static _Atomic int64_t count;
    const char *chosen = getenv("ELOQSTORE_KILL_POINT");
    size_t bytes = strlen(name);
    if (chosen == NULL || strncmp(chosen, name, bytes) != 0 || chosen[bytes] != ':') {
        return;
    }
    int64_t when;
    const char *number = chosen + bytes + 1;
    if (number_parse_i64(slice_cstr(number), &when) != 0) {
        return;
    }
    if (atomic_fetch_add(&count, 1) + 1 == when) {
        kill(getpid(), SIGKILL);
    }
}
