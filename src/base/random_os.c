#include "base/random.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"

/*
 * The kernel's randomness, in a file of its own: the simulator links one that is drawn from its
 * seed in this one's place.
 */
void random_from_os(void *data, size_t bytes)
{
    uint8_t *to = data;
    while (bytes > 0) {
        ssize_t got = getrandom(to, bytes, 0);
        if (got < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        to += got;
        bytes -= (size_t)got;
    }
}
