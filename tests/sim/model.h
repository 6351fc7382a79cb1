/*
 * model: the keys and values that a server must have, for scripts of one client (nth.c). It knows
 * the commands of the scripts and the replies that they must get.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stage.h"

enum { MODEL_KEYS_MAX = 200, MODEL_DATABASES = 4 };

struct model;
struct model *model_create(void);
struct model *model_copy(const struct model *model);
void model_destroy(struct model *model);
bool model_equal(const struct model *a, const struct model *b);

/* What the command does in `database`; returns whether the answer is the right one. `answer` NULL:
 * any. now_ms is the wall clock, which no script lets come within seconds of an expiry. */
bool model_apply(struct model *model, uint32_t database, const struct command *command,
                 const struct answer *answer, int64_t now_ms);

/* Calls `each` with a command that shows each key, and with those that count keys. */
typedef void model_look_fn(void *context, const struct command *command);
void model_look(const struct model *model, model_look_fn *look, void *context);

void model_print(const struct model *model);

#endif
