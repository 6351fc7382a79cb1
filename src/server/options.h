/*
 * options: what the rooms below get from the configuration. Pure but for asking how many CPUs and
 * how much memory there are.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "cmd/context.h"
#include "net/net.h"
#include "server/config.h"
#include "server/engine.h"

/* maxmemory in bytes: as configured, or half of what the process may use. */
uint64_t options_memory_bytes(const struct config *config);
/* Threads that serve: as configured, or one for each CPU. */
uint32_t options_shards(const struct config *config);

/* Descriptors that the store may need: data files, rings, segments of the log. */
uint64_t options_files(const struct config *config);

/* `dir` is borrowed from the config. */
struct engine_options options_engine(const struct config *config);
struct net_limits options_net(const struct config *config);
struct cmd_options options_cmd(const struct config *config);

#endif
