/*
 * What the control group this process is in (version 2; version 1 for a container's own root)
 * allows it to use. Read once at start: the files are opened and read, which blocks. Any thread.
 */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdint.h>

#include "base/slice.h"

/* The lowest memory limit on the way to the root; UINT64_MAX when there is none. */
uint64_t cgroup_memory_max(void);

/* The lowest CPU quota on the way to the root, in thousandths of a CPU; UINT64_MAX when there is
 * none. */
uint64_t cgroup_cpu_max(void);

/* The meaning of a memory.max file ("max" or bytes). */
uint64_t cgroup_parse_memory_max(struct slice text);

/* The meaning of a cpu.max file ("max 100000" or "<quota> <period>"), in thousandths of a CPU. */
uint64_t cgroup_parse_cpu_max(struct slice text);

#endif
