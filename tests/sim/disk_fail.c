#include "disk_fail.h"

#include <fcntl.h>

#include "disk_impl.h"

void disk_fail_at(struct disk *disk, enum disk_fail_class class, uint64_t n, bool sticky, int error)
{
    disk->fail = (struct disk_fail){.class = class, .at = n, .sticky = sticky, .error = error};
}

uint64_t disk_fail_count(const struct disk *disk, enum disk_fail_class class)
{
    return disk->fail.counts[class];
}

bool disk_fail_happened(const struct disk *disk)
{
    return disk->fail.happened;
}

static bool is_of(enum disk_fail_class class, enum io_kind kind, int flags)
{
    switch (class) {
    case DISK_FAIL_ANY:
        return true;
    case DISK_FAIL_OPEN:
        return kind == IO_OPEN;
    case DISK_FAIL_SPACE:
        return kind == IO_WRITE || kind == IO_ALLOCATE || kind == IO_RENAME || kind == IO_MKDIR ||
               (kind == IO_OPEN && (flags & O_CREAT) != 0);
    case DISK_FAIL_CLASSES:
        break;
    }
    return false;
}

int disk_fail_now(struct disk *disk, enum io_kind kind, int flags)
{
    struct disk_fail *fail = &disk->fail;
    int error = 0;
    for (enum disk_fail_class class = 0; class < DISK_FAIL_CLASSES; class ++) {
        if (!is_of(class, kind, flags)) {
            continue;
        }
        uint64_t number = ++fail->counts[class];
        bool due = fail->at > 0 && (number == fail->at || (fail->sticky && number > fail->at));
        if (class == fail->class && due) {
            error = fail->error;
        }
    }
    if (error < 0) {
        fail->happened = true;
        disk->stats.errors++;
        world_trace("fails", (uint64_t)kind, (uint64_t)-error);
    }
    return error;
}
