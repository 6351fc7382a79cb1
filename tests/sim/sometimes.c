/*
 * The rare, legal states that a suite of seeds must have met. A name that isn't in the list is a
 * mistake.
 */
#include "sometimes.h"

#include <stdio.h>
#include <string.h>

#include "world.h"

static struct {
    const char *name;
    uint64_t count;
} states[] = {
    {"a power cut takes answered writes", 0},
    {"damage is refused", 0},
    {"a failed sync takes what was written", 0},
    {"a key expires under a command that changes its expiry", 0},
    {"a key is met as expired", 0},
    {"MSETNX finds a key", 0},
    {"a walk meets a key twice", 0},
    {"a cursor of an earlier life is refused", 0},
    {"a database is flushed", 0},
    {"two databases are swapped", 0},
    {"a generation of tokens ends", 0},
};

enum { STATES = sizeof(states) / sizeof(states[0]) };

void world_sometimes(const char *name)
{
    for (uint32_t i = 0; i < STATES; i++) {
        if (strcmp(states[i].name, name) == 0) {
            states[i].count++;
            return;
        }
    }
    world_violation("simulator: the state '%s' is not in the list", name);
}

uint32_t sometimes_missing(bool print)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < STATES; i++) {
        missing += states[i].count == 0;
        if (print) {
            printf("sometimes %10llu  %s\n", (unsigned long long)states[i].count, states[i].name);
        }
    }
    return missing;
}
