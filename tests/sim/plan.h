/*
 * plan: what a seed switches on: the shape of the server, the loads, the faults and their rates.
 * Each seed leaves most of it out and turns some of it far up, since faults that are always there
 * hide each other.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "damage.h"
#include "disk.h"
#include "load.h"
#include "wire.h"

enum { PLAN_LOADS_MAX = 8, PLAN_LOAD_KINDS = 7, PLAN_CONF_BYTES = 2048 };

struct plan {
    uint32_t lives;        /* each but the last ends in some way; the last is checked and stopped */
    uint32_t commands_max; /* of one life, about */
    uint32_t clients;
    uint32_t pipeline_max;  /* commands of one client under way */
    int64_t think_ns_max;   /* between a client's turns */
    uint32_t power_percent; /* of the ends: power cut, kill, stop; the rest exits by faults only */
    uint32_t kill_percent;
    uint32_t early_percent; /* of the ends that come while the server is starting */
    uint32_t shards_max;    /* each life draws its own number */
    uint32_t alloc_fail_rate;
    uint32_t clock_jump_rate; /* per million turns of clients */
    uint32_t save_rate;       /* of BGSAVE; likewise */
    uint32_t mailbox_slots;
    bool disk_faults;         /* some rate below is not 0 */
    enum damage damage;       /* after all lives but one */
    struct disk_plan disk, disk_calm;
    struct wire_plan wire;
    struct load_rules rules;
    uint32_t load_count;
    const struct load_kind *loads[PLAN_LOADS_MAX];
    uint32_t partitions;
    uint32_t checkpoint_age_s;
    uint64_t maxmemory, log_size_max, data_file_size, log_segment_size;
};

extern const struct load_kind *const plan_load_kinds[PLAN_LOAD_KINDS];

/* Drawn from STREAM_PLAN. */
void plan_draw(struct plan *ret_plan);
/* After a change: what follows from other parts of the plan. */
void plan_settle(struct plan *plan);
/* The server's configuration of a life. */
void plan_conf(const struct plan *plan, uint32_t shards, char conf[PLAN_CONF_BYTES]);
void plan_print(const struct plan *plan);

#endif
