/* What is left of the kernel for the simulated process: its randomness and its exit. */
#include <string.h>

#include "base/random.h"
#include "threads.h"
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

/* The linker puts it in _exit's place (tests/sim/meson.build). */
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
