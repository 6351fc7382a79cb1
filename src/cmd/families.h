/*
 * families: the handlers of all commands, for the table. One file per family defines them.
 */
#ifndef CMD_FAMILIES_H
#define CMD_FAMILIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "shard/coro.h"

struct request;
struct view;

/* client.c */
int cmd_client_setname(struct request *request);
int cmd_client_getname(struct request *request);
int cmd_client_setinfo(struct request *request);
int cmd_client_id(struct request *request);
int cmd_client_info(struct request *request);
int cmd_client_no_evict(struct request *request);
int cmd_client_no_touch(struct request *request);
int cmd_client_reply(struct request *request);
int cmd_client_unblock(struct request *request);
int cmd_client_pause(struct request *request);
int cmd_client_unpause(struct request *request);

/* client_all.c */
co_fn int cmd_client_kill(struct request *request);
co_fn int cmd_client_list(struct request *request);

/* config.c */
int cmd_config_get(struct request *request);
int cmd_config_set(struct request *request);
int cmd_config_rewrite(struct request *request);
co_fn int cmd_config_resetstat(struct request *request);

/* connection.c */
int cmd_ping(struct request *request);
int cmd_echo(struct request *request);
int cmd_quit(struct request *request);
int cmd_reset(struct request *request);
int cmd_select(struct request *request);
int cmd_auth(struct request *request);
int cmd_hello(struct request *request);

/* database.c */
co_fn int cmd_flushdb(struct request *request);
co_fn int cmd_flushall(struct request *request);
co_fn int cmd_swapdb(struct request *request);

/* debug.c */
co_fn int cmd_debug_sleep(struct request *request);
co_fn int cmd_debug_set_active_expire(struct request *request);
co_fn int cmd_debug_checkpoint(struct request *request);
co_fn int cmd_debug_evict(struct request *request);
co_fn int cmd_debug_check(struct request *request);
co_fn int cmd_debug_coroutines(struct request *request);
int cmd_debug_object(struct request *request);
int cmd_debug_ok(struct request *request);

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

/* help.c */
int cmd_help(struct request *request);

/* introspect.c */
int cmd_command(struct request *request);
int cmd_command_count(struct request *request);
int cmd_command_info(struct request *request);
int cmd_command_docs(struct request *request);
int cmd_command_getkeys(struct request *request);
int cmd_command_getkeysandflags(struct request *request);
int cmd_command_list(struct request *request);

/* keys.c */
int cmd_del(struct request *request);
int cmd_exists(struct request *request);
int cmd_touch(struct request *request);
int cmd_type(struct request *request);
int cmd_rename(struct request *request);
int cmd_renamenx(struct request *request);
int cmd_copy(struct request *request);
int copy_key_database(const struct slice *args, uint32_t argc, uint32_t key_index);

/* monitor.c */
int cmd_monitor(struct request *request);

/* object.c */
int cmd_object_encoding(struct request *request);
int cmd_object_idletime(struct request *request);
int cmd_object_refcount(struct request *request);
int cmd_object_freq(struct request *request);
int cmd_memory_usage(struct request *request);
const char *object_encoding(const struct view *view);

/* scan.c */
co_fn int cmd_scan(struct request *request);
co_fn int cmd_keys(struct request *request);
co_fn int cmd_dbsize(struct request *request);
co_fn int cmd_randomkey(struct request *request);

/* server.c */
int cmd_info(struct request *request);
int cmd_time(struct request *request);
co_fn int cmd_save(struct request *request);
int cmd_bgsave(struct request *request);
int cmd_lastsave(struct request *request);
int cmd_shutdown(struct request *request);
int cmd_empty_array(struct request *request);
int cmd_no_cluster(struct request *request);
int cmd_wait(struct request *request);
int cmd_zero(struct request *request);
int cmd_function_flush(struct request *request);
int cmd_script_flush(struct request *request);
int cmd_acl_whoami(struct request *request);

/* slowlog.c */
co_fn int cmd_slowlog_get(struct request *request);
co_fn int cmd_slowlog_len(struct request *request);
co_fn int cmd_slowlog_reset(struct request *request);

/* string.c */
int cmd_set(struct request *request);
int cmd_setnx(struct request *request);
int cmd_setex(struct request *request);
int cmd_psetex(struct request *request);
int cmd_get(struct request *request);
int cmd_strlen(struct request *request);
int cmd_getset(struct request *request);
int cmd_getdel(struct request *request);
int cmd_getex(struct request *request);
bool set_is_blind(const struct slice *args, uint32_t argc);
bool always_blind(const struct slice *args, uint32_t argc);

/* string_many.c */
int cmd_mget(struct request *request);
int cmd_mset(struct request *request);
int cmd_msetnx(struct request *request);

/* string_number.c */
int cmd_incr(struct request *request);
int cmd_decr(struct request *request);
int cmd_incrby(struct request *request);
int cmd_decrby(struct request *request);
int cmd_incrbyfloat(struct request *request);

/* string_range.c */
int cmd_append(struct request *request);
int cmd_setrange(struct request *request);
int cmd_getrange(struct request *request);

#endif
