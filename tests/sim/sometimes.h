/* sometimes: which of the declared rare states (world.h) the seeds so far have met. */
#ifndef SIM_SOMETIMES_H
#define SIM_SOMETIMES_H

#include <stdbool.h>
#include <stdint.h>

/* How many of them were never met; prints all with their counts if asked. */
uint32_t sometimes_missing(bool print);

#endif
