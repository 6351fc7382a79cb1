/*
 * cmd_model: what the server must answer to some commands on a few keys of database 0. It knows the
 * plain forms of GET, SET, SETNX, GETSET, GETDEL, APPEND, STRLEN, EXISTS, DEL, UNLINK, INCR, DECR,
 * INCRBY, DECRBY, EXPIRE, PERSIST, MGET, MSET, FLUSHALL and FLUSHDB. Of a key that something else
 * may have changed it says nothing until it knows again; after what changes databases it says
 * nothing at all.
 */
#ifndef TESTS_FUZZ_CMD_MODEL_H
#define TESTS_FUZZ_CMD_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { MODEL_KEYS = 8 };

/* All keys are known to be absent. */
void model_clear(void);
bool model_is_on(void);
const char *model_key(uint32_t index);

/* The server has answered a command like that; aborts if it must not have. */
void model_check(const struct slice *args, uint32_t argc, struct slice reply);

#endif
