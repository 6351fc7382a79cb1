/*
 * farm: many independent cases by a few processes. A case that ends its process (a violation, a
 * sanitizer's report, an assertion) is named, and another process goes on behind it.
 */
#ifndef SIM_FARM_H
#define SIM_FARM_H

#include <stdbool.h>
#include <stdint.h>

enum { FARM_TALLIES = 32 };

struct farm {
    uint64_t count;   /* cases, by number from 0 */
    uint32_t jobs;    /* processes */
    uint32_t lasts_s; /* a case that takes longer hangs */
    uint32_t bad_max; /* so many bad cases end it */
    void *context;
    void (*run)(void *context, uint64_t number);
    /* Prints it in words, without a line's end. */
    void (*print)(void *context, uint64_t number);
};

/* Returns how many cases were bad. */
uint64_t farm_run(const struct farm *farm);

/* Of all processes together; in a case and after farm_run. */
void farm_tally(uint32_t which, uint64_t by);
uint64_t farm_tallied(uint32_t which);

#endif
