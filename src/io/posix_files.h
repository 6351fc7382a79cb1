/*
 * posix_files: a few threads that run the disk operations of the posix body, since ordinary system
 * calls block. The owner (one thread) submits and reaps; the threads call file.h. Operations that
 * find no free thread wait in order; they are linked through themselves, so nothing is allocated.
 */
#ifndef IO_POSIX_FILES_H
#define IO_POSIX_FILES_H

#include <stdint.h>

#include "base/list.h"
#include "io/io.h"

struct posix_files;

/* Starts `threads` threads. They write to the eventfd `notify_fd` (borrowed) when there is
 * something to reap. */
NODISCARD int posix_files_create(uint32_t threads, int notify_fd, struct posix_files **ret_files);

/* Waits for the threads. Nothing may be submitted and not reaped. NULL is fine. */
void posix_files_destroy(struct posix_files *files);

void posix_files_submit(struct posix_files *files, struct io_op *op);

/* Moves the operations that have ended, op->result set, to `ret_ended`, an empty list. */
void posix_files_reap(struct posix_files *files, struct list *ret_ended);

#endif
