/*
 * families: the handlers of all commands, for the table. One file per family defines them.
 */
#ifndef CMD_FAMILIES_H
#define CMD_FAMILIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct request;

/* string.c */
int cmd_get(struct request *request);
int cmd_set(struct request *request);
int cmd_setnx(struct request *request);
int cmd_setex(struct request *request);
int cmd_psetex(struct request *request);
int cmd_getset(struct request *request);
int cmd_getdel(struct request *request);
int cmd_getex(struct request *request);
int cmd_strlen(struct request *request);
bool set_is_blind(const struct slice *args, uint32_t argc);
bool always_blind(const struct slice *args, uint32_t argc);

/* string_many.c */
int cmd_mget(struct request *request);
int cmd_mset(struct request *request);
int cmd_msetnx(struct request *request);

/* string_range.c */
int cmd_append(struct request *request);
int cmd_getrange(struct request *request);
int cmd_setrange(struct request *request);

/* string_number.c */
int cmd_incr(struct request *request);
int cmd_decr(struct request *request);
int cmd_incrby(struct request *request);
int cmd_decrby(struct request *request);
int cmd_incrbyfloat(struct request *request);

/* keys.c */
int cmd_del(struct request *request);
int cmd_exists(struct request *request);
int cmd_touch(struct request *request);
int cmd_type(struct request *request);
int cmd_rename(struct request *request);
int cmd_renamenx(struct request *request);
int cmd_copy(struct request *request);
int copy_key_database(const struct slice *args, uint32_t argc, uint32_t key_index);

/* expire.c */
int cmd_expire(struct request *request);
int cmd_pexpire(struct request *request);
int cmd_expireat(struct request *request);
int cmd_pexpireat(struct request *request);
int cmd_ttl(struct request *request);
int cmd_pttl(struct request *request);
int cmd_expiretime(struct request *request);
int cmd_pexpiretime(struct request *request);
int cmd_persist(struct request *request);

/* connection.c */
int cmd_ping(struct request *request);
int cmd_echo(struct request *request);
int cmd_auth(struct request *request);
int cmd_hello(struct request *request);
int cmd_select(struct request *request);
int cmd_quit(struct request *request);
int cmd_reset(struct request *request);

#endif
