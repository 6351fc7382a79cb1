/*
 * body: the third body of io.h: disk operations by the simulated disk, sockets by simulated wires,
 * waiting by the simulated threads. Chosen with io_set_create.
 */
#ifndef SIM_BODY_H
#define SIM_BODY_H

#include "io/io.h"

struct disk;

/* The disk of the io's created from now on (borrowed). */
void body_set_disk(struct disk *disk);
NODISCARD int body_create(const struct io_options *options, struct io **ret_io);

#endif
