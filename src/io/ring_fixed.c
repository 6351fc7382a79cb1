/*
 * Registered files and memory of the io_uring body.
 *
 * Files: the ring has a table of open files, in which an operation finds its file without the
 * process's descriptor table and without counting references. Slot 0 is the lock's; that of
 * descriptor n is n + 1, so nothing has to be searched, and what is beyond the table goes without.
 * A slot holds its file open: it is emptied before the descriptor is closed, or an unlinked file
 * would keep its space, and the next file with the same number would find its slot taken.
 *
 * Memory: of a region that is registered the kernel knows the pages, which it otherwise looks up
 * and holds for each transfer. They count against RLIMIT_MEMLOCK, unless the process may lock what
 * it likes. So do rings themselves, of all processes of a user: half of the limit is left to them.
 * The first refusal ends a ring's attempts: transfers then go as they always did.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/logger.h"
#include "base/mem.h"
#include "io/ring.h"

enum { SLOT_OF_LOCK, SLOT_OF_FD_0 };

/* ---- files ---- */

/* Registering more than RLIMIT_NOFILE fails, and liburing would try to raise it. */
static uint32_t files_wanted(const struct ring *ring)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= SLOT_OF_FD_0) {
        return 0;
    }
    return (uint32_t)min_u64(ring->io.options.files_max, limit.rlim_cur - SLOT_OF_FD_0);
}

/* All slots empty but the lock's. */
static int files_register(struct ring *ring, uint32_t count)
{
    int *fds = mem_alloc((count + SLOT_OF_FD_0) * sizeof(fds[0]));
    if (fds == NULL) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < count + SLOT_OF_FD_0; i++) {
        fds[i] = -1;
    }
    fds[SLOT_OF_LOCK] = ring->io.options.lock_fd;
    int err = io_uring_register_files(&ring->uring, fds, count + SLOT_OF_FD_0);
    mem_free(fds);
    return err;
}

static int files_init(struct ring *ring)
{
    uint32_t count = files_wanted(ring);
    ring->files.taken = count == 0 ? NULL : mem_calloc(count, sizeof(ring->files.taken[0]));
    if (ring->files.taken != NULL && files_register(ring, count) == 0) {
        ring->files.count = count;
        return 0;
    }
    /* The ring holds the lock's open file, and the kernel drops the ring only when its last write
     * has landed, be the process long dead. So this one has to be. */
    int lock_fd = ring->io.options.lock_fd;
    return lock_fd < 0 ? 0 : io_uring_register_files(&ring->uring, &lock_fd, 1);
}

static bool file_has_slot(const struct ring *ring, int fd)
{
    return (uint32_t)fd < ring->files.count && ring->files.taken[fd];
}

void ring_file_add(struct io *io, int fd)
{
    struct ring *ring = ring_of(io);
    if ((uint32_t)fd < ring->files.count) {
        unsigned slot = (unsigned)fd + SLOT_OF_FD_0;
        ASSERT(!ring->files.taken[fd]);
        ring->files.taken[fd] = io_uring_register_files_update(&ring->uring, slot, &fd, 1) == 1;
    }
}

void ring_file_remove(struct ring *ring, int fd)
{
    if (file_has_slot(ring, fd)) {
        const int none = -1;
        unsigned slot = (unsigned)fd + SLOT_OF_FD_0;
        ring->files.taken[fd] = false;
        /* It fails only for want of memory, and the next file in this slot drops this one. */
        (void)io_uring_register_files_update(&ring->uring, slot, &none, 1);
    }
}

void ring_file_use(const struct ring *ring, struct io_uring_sqe *sqe, int fd)
{
    if (file_has_slot(ring, fd)) {
        sqe->fd = fd + SLOT_OF_FD_0;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

/* ---- memory ---- */

static void regions_init(struct ring *ring)
{
    uint32_t count = ring->io.options.regions_max;
    if (count == 0 || io_uring_register_buffers_sparse(&ring->uring, count) < 0) {
        return;
    }
    ring->regions.regions = mem_calloc(count, sizeof(ring->regions.regions[0]));
    ring->regions.count = ring->regions.regions == NULL ? 0 : count;
}

/* What the rings of this process may register. */
static uint64_t region_bytes_max(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;
    if (syscall(SYS_capget, &header, caps) == 0 && (caps[0].effective >> CAP_IPC_LOCK & 1) != 0) {
        return UINT64_MAX;
    }
    return getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ? 0 : limit.rlim_cur / 2;
}

/* What they have registered. */
static _Atomic uint64_t region_bytes;

static int region_update(struct ring *ring, uint32_t index, void *base, size_t bytes)
{
    const struct iovec part = {.iov_base = base, .iov_len = bytes};
    return io_uring_register_buffers_update_tag(&ring->uring, index, &part, NULL, 1);
}

static int region_register(struct ring *ring, uint32_t index, void *base, size_t bytes)
{
    uint64_t before = atomic_fetch_add(&region_bytes, bytes);
    int err =
        before + bytes > region_bytes_max() ? -ENOMEM : region_update(ring, index, base, bytes);
    if (err < 0) {
        atomic_fetch_sub(&region_bytes, bytes);
    }
    return err;
}

/* Once in a process is enough. */
static void region_refused(struct ring *ring, int err)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    ring->regions.refused = true;
    if (!atomic_flag_test_and_set(&told)) {
        LOGGER_NOTICE(
            "no more memory is registered with the kernel, which makes reads cost more: %s",
            err == -ENOMEM ? "RLIMIT_MEMLOCK is too low" : error_text(err));
    }
}

uint32_t ring_region_add(struct io *io, void *base, size_t bytes)
{
    struct ring *ring = ring_of(io);
    struct ring_regions *regions = &ring->regions;
    uint32_t index = regions->first_free;
    while (index < regions->count && regions->regions[index].base != NULL) {
        index++;
    }
    regions->first_free = index;
    if (index == regions->count || regions->refused) {
        return 0;
    }
    int err = region_register(ring, index, base, bytes);
    if (err < 0) {
        region_refused(ring, err);
        return 0;
    }
    regions->regions[index] = (struct ring_region){.base = base, .bytes = bytes};
    return index + 1;
}

void ring_region_remove(struct io *io, uint32_t region)
{
    struct ring *ring = ring_of(io);
    struct ring_regions *regions = &ring->regions;
    uint32_t index = region - 1;
    ASSERT(index < regions->count && regions->regions[index].base != NULL);
    atomic_fetch_sub(&region_bytes, regions->regions[index].bytes);
    regions->regions[index].base = NULL;
    regions->first_free = (uint32_t)min_u64(regions->first_free, index);
    int err = region_update(ring, index, NULL, 0);
    if (err < 0) {
        /* It stays pinned till another takes its place. */
        LOGGER_WARNING("can't unregister memory: %s", error_text(err));
    }
}

bool ring_region_has(const struct ring *ring, uint32_t region, const void *data, uint32_t bytes)
{
    if (region == 0) {
        return false;
    }
    const struct ring_region *known = &ring->regions.regions[region - 1];
    const uint8_t *from = data;
    return known->base != NULL && from >= known->base && bytes <= known->bytes &&
           (size_t)(from - known->base) <= known->bytes - bytes;
}

/* ---- both ---- */

int ring_fixed_init(struct ring *ring)
{
    TRY(files_init(ring));
    regions_init(ring);
    return 0;
}

void ring_fixed_deinit(struct ring *ring)
{
    for (uint32_t i = 0; i < ring->regions.count; i++) {
        ASSERT(ring->regions.regions[i].base == NULL);
    }
    mem_free(ring->files.taken);
    mem_free(ring->regions.regions);
}
