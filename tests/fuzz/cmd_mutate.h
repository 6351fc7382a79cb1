/*
 * cmd_mutate: changes a list of commands (cmd_fuzz.c) as a whole: adds one that the command table
 * knows, with keys, numbers and words that it might want; takes one away, repeats or moves one;
 * changes an argument.
 */
#ifndef TESTS_FUZZ_CMD_MUTATE_H
#define TESTS_FUZZ_CMD_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* In place, as LLVMFuzzerCustomMutator. After commands_init. */
size_t cmd_mutate(uint8_t *data, size_t bytes, size_t bytes_max, uint64_t seed);

#endif
