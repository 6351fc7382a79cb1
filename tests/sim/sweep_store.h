/*
 * sweep_store: the small stores that the corruption sweep damages, and what a server says that is
 * started on one.
 *
 * One history, kept as images of the disk: a few hundred keys over two partitions, large values,
 * several checkpoints, then changes that only the log has.
 *
 *     older      in the middle of it: what chunks were before
 *     stopped    cleanly at the end of it
 *     killed     behind that: another life, whose last changes are a tail in the log
 */
#ifndef SIM_SWEEP_STORE_H
#define SIM_SWEEP_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "disk.h"

enum {
    SWEEP_PATH_BYTES = 96,
    SWEEP_FILES_MAX = 32,
    SWEEP_TAIL = 24, /* commands, each a frame of the log */
};
enum sweep_image { IMAGE_STOPPED, IMAGE_KILLED, IMAGE_OLDER, IMAGES };

struct sweep_file {
    char path[SWEEP_PATH_BYTES];
    uint64_t bytes;
    uint8_t *data; /* owned */
};
struct sweep_store {
    struct disk *disk;
    struct sweep_file files[SWEEP_FILES_MAX];
    uint32_t count;
};
extern struct sweep_store sweep_stores[IMAGES];
/* Where each command of the tail lies: its frame, and the padding of its sync. */
extern char sweep_tail_path[SWEEP_PATH_BYTES];
extern uint64_t sweep_tail_from[SWEEP_TAIL], sweep_tail_to[SWEEP_TAIL];

void sweep_stores_make(void);
/* The same file of another image; NULL: it has none. */
const struct sweep_file *sweep_file_find(enum sweep_image image, const char *path);

enum sweep_outcome {
    OUTCOME_SAME,    /* all data, no error */
    OUTCOME_ERRORS,  /* what could be read was right; the rest were errors */
    OUTCOME_REFUSED, /* the start */
    OUTCOME_PREFIX,  /* all data but for the tail's last commands */
    OUTCOMES,
};
/* Starts a server on a copy (handed over) of the image, asks for everything and kills it. Wrong or
 * missing data is a violation, an error without a line of the log that names the place, too. */
enum sweep_outcome sweep_look(enum sweep_image image, struct disk *copy, uint32_t *ret_tail_lost);

#endif
