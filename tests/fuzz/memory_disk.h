/*
 * memory_disk: a few files in memory behind file.h, for targets whose code reads and writes files
 * by blocking calls. One thread. Paths are names; there are no directories.
 */
#ifndef TESTS_FUZZ_MEMORY_DISK_H
#define TESTS_FUZZ_MEMORY_DISK_H

#include "base/slice.h"

enum { MEMORY_FILES_MAX = 8, MEMORY_FILE_BYTES_MAX = 4 << 20 };

/* Puts it in place (once is enough) and removes all files. */
void memory_disk_clear(void);
/* Makes the file or replaces what it holds. */
void memory_disk_put(const char *path, struct slice bytes);
/* What it holds; the file must be there. */
struct slice memory_disk_get(const char *path);

#endif
