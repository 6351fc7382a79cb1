/*
 * What is left of the kernel for the simulated process: its randomness, its exit, and the close of
 * connections that no io has taken over yet. The linker puts the __wrap_ ones in the place of those
 * they are named for (tests/sim/meson.build).
 */
#include <string.h>

#include "base/random.h"
#include "threads.h"
#include "wire.h"
#include "world.h"

void random_from_os(void *data, size_t bytes)
{
    uint8_t *to = data;
    for (size_t done = 0; done < bytes; done += sizeof(uint64_t)) {
        uint64_t drawn = world_u64(STREAM_OS);
        size_t rest = bytes - done;
        memcpy(to + done, &drawn, rest < sizeof(drawn) ? rest : sizeof(drawn));
    }
}

__attribute__((noreturn)) void __wrap__exit(int code);
__attribute__((noreturn)) void __real__exit(int code);
void __wrap__exit(int code)
{
    if (threads_self() == NULL) {
        __real__exit(code);
    }
    world_trace("the process exits", (uint64_t)code, 0);
    threads_exit_process(code);
}

void __wrap_socket_close(int fd);
void __real_socket_close(int fd);
void __wrap_socket_close(int fd)
{
    bool is_wire = fd >= WIRE_FD_FIRST && fd < WIRE_FD_FIRST + WIRES_MAX;
    bool is_listener = fd >= wire_listener(0) && fd < wire_listener(WIRE_LISTENERS_MAX);
    if (is_wire) {
        wire_close_fd(fd);
    } else if (!is_listener) {
        __real_socket_close(fd);
    }
}
