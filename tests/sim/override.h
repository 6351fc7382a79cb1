/*
 * override: parts of a drawn plan by name, and values that take the place of what was drawn. A plan
 * with overrides is another run than the seed's own: what is left out draws no chance any more.
 *
 * They belong to the program and hold for each seed that it runs.
 */
#ifndef SIM_OVERRIDE_H
#define SIM_OVERRIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan;

uint32_t override_count(void);
/* Of a field, or of a load (1: it takes part, and is not the only one; a load that the plan left
 * out can't be added). */
const char *override_name(uint32_t which);
uint64_t override_get(const struct plan *plan, uint32_t which);
/* The value with which least happens, and whether those between make a smaller run, too. */
uint64_t override_least(uint32_t which);
bool override_halves(uint32_t which);

/* From now on, for overrides_apply; and no more. */
void override_set(uint32_t which, uint64_t value);
void override_unset(uint32_t which);
bool override_is_set(uint32_t which);

/* "name=value,..."; false if it is not. */
bool overrides_parse(const char *list);
/* As overrides_parse takes it. */
void overrides_print(void);
void overrides_apply(struct plan *plan);

#endif
