#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "world.h"

#define US INT64_C(1000)
#define MS INT64_C(1000000)

static uint64_t draw(uint64_t low, uint64_t high)
{
    return world_between(STREAM_PLAN, low, high);
}

static bool one_in(uint64_t n)
{
    return world_below(STREAM_PLAN, n) == 0;
}

/* Mostly nothing, now and then little, seldom much. */
static uint32_t rate(uint64_t high)
{
    if (!one_in(3)) {
        return 0;
    }
    return (uint32_t)draw(1, one_in(4) ? high : high / 20 + 1);
}

static void draw_disk(struct plan *plan)
{
    struct disk_plan *disk = &plan->disk;
    disk->delay_ns_min = (int64_t)draw(1, 20) * US;
    disk->delay_ns_max = disk->delay_ns_min + (int64_t)draw(1, 2000) * US;
    disk->sync_ns_min = (int64_t)draw(20, 100) * US;
    disk->sync_ns_max = disk->sync_ns_min + (int64_t)draw(1, one_in(4) ? 100000 : 5000) * US;
    disk->land_after_kill_ns_max = (int64_t)draw(1, 500) * MS;
    disk->entries_unordered = one_in(3);
    disk->direct_refused = one_in(6);
    plan->disk_calm = *disk;
    disk->short_rate = rate(300000);
    disk->again_rate = rate(100000);
    disk->slow_rate = disk->sync_ns_max > 6 * MS ? 0 : rate(10000);
    if (one_in(3)) {
        disk->read_error_rate = rate(2000);
        disk->write_error_rate = rate(3000);
        disk->sync_error_rate = rate(100000);
        disk->open_error_rate = rate(5000);
    }
    if (one_in(8)) {
        disk->space_bytes = draw(2, 64) << 20;
        disk->quota = one_in(2);
    }
}

static void draw_wire(struct plan *plan)
{
    plan->wire = (struct wire_plan){
        .delay_ns_max = (int64_t)draw(1, one_in(4) ? 20000 : 500) * US,
        .segment_max = (uint32_t)(one_in(4) ? draw(1, 20) : draw(100, 65536)),
        .buffer_bytes = (uint32_t)(one_in(4) ? draw(1, 500) : draw(4096, 1 << 20)),
        .stall_rate = rate(10000),
        .reset_rate = one_in(3) ? rate(3000) : 0,
    };
    if (plan->wire.segment_max < 100) {
        /* A large value would take minutes. */
        plan->wire.delay_ns_max = min_i64(plan->wire.delay_ns_max, 20 * US);
    }
}

static void draw_server(struct plan *plan)
{
    plan->shards_max = (uint32_t)draw(1, 4);
    plan->partitions = UINT32_C(1) << draw(0, 4);
    plan->checkpoint_age_s = (uint32_t)draw(1, 20);
    plan->maxmemory = draw(24, 128) << 20;
    plan->log_size_max = draw(4, 16) << 20;
    plan->data_file_size = UINT64_C(1) << draw(20, 23);
    plan->log_segment_size = UINT64_C(1) << draw(20, 23);
    plan->rules.sync_mode = (enum sync_mode)draw(SYNC_ALWAYS, SYNC_NO);
}

const struct load_kind *const plan_load_kinds[PLAN_LOAD_KINDS] = {
    &load_registers, &load_tokens, &load_groups, &load_counters,
    &load_expiry,    &load_scan,   &load_spaces,
};

static void draw_loads(struct plan *plan)
{
    for (uint32_t i = 0; i < PLAN_LOAD_KINDS; i++) {
        if (plan->load_count < PLAN_LOADS_MAX && (i == 0 || !one_in(2))) {
            plan->loads[plan->load_count++] = plan_load_kinds[i];
        }
    }
}

void plan_settle(struct plan *plan)
{
    const struct disk_plan *disk = &plan->disk;
    plan->disk_calm.short_rate = disk->short_rate;
    plan->disk_calm.again_rate = disk->again_rate;
    plan->disk_calm.entries_unordered = disk->entries_unordered;
    plan->disk_calm.direct_refused = disk->direct_refused;
    plan->disk_faults = disk->read_error_rate + disk->write_error_rate + disk->sync_error_rate +
                            disk->open_error_rate + disk->space_bytes >
                        0;
    plan->rules.faults = plan->disk_faults || plan->alloc_fail_rate > 0;
    plan->rules.shards = plan->shards_max;
}

void plan_draw(struct plan *ret_plan)
{
    struct plan *plan = ret_plan;
    memset(plan, 0, sizeof(*plan));
    bool short_lives = one_in(3);
    plan->lives = (uint32_t)(short_lives ? draw(12, 60) : draw(2, 12));
    plan->commands_max = (uint32_t)(short_lives ? draw(5, 60) : draw(20, one_in(4) ? 4000 : 500));
    plan->clients = (uint32_t)draw(1, 16);
    plan->pipeline_max = (uint32_t)draw(1, one_in(3) ? 64 : 4);
    plan->think_ns_max = (int64_t)draw(1, one_in(3) ? 100000 : 1000) * US;
    plan->power_percent = (uint32_t)draw(20, 80);
    plan->kill_percent = (uint32_t)draw(0, 90 - plan->power_percent);
    plan->early_percent = (uint32_t)draw(0, 40);
    plan->alloc_fail_rate = one_in(10) ? rate(500) : 0;
    plan->clock_jump_rate = rate(50000);
    plan->save_rate = rate(100000);
    plan->mailbox_slots = UINT32_C(1) << (one_in(2) ? draw(0, 4) : 10);
    draw_server(plan);
    draw_disk(plan);
    draw_wire(plan);
    plan->rules.faults = plan->disk_faults || plan->alloc_fail_rate > 0;
    plan->rules.shards = plan->shards_max;
    draw_loads(plan);
    if (one_in(4)) {
        plan->damage = (enum damage)draw(DAMAGE_NONE + 1, DAMAGE_COUNT - 1);
    }
    if (plan->damage == DAMAGE_LOG) {
        plan->rules.sync_mode = SYNC_ALWAYS; /* what may be lost is known there */
    }
}

void plan_conf(const struct plan *plan, uint32_t shards, char conf[PLAN_CONF_BYTES])
{
    static const char *const modes[] = {"always", "everysec", "no"};
    int bytes = snprintf(
        conf, PLAN_CONF_BYTES,
        "port 0\nprotected-mode no\nenable-debug-command yes\ndir /data\n"
        "appendonly yes\nappendfsync %s\nshards %u\npartitions %u\n"
        "maxmemory %llu\nlog-size-max %llu\ndata-file-size %llu\n"
        "log-segment-size %llu\ncheckpoint-age %u\n",
        modes[plan->rules.sync_mode], shards, plan->partitions, (unsigned long long)plan->maxmemory,
        (unsigned long long)plan->log_size_max, (unsigned long long)plan->data_file_size,
        (unsigned long long)plan->log_segment_size, plan->checkpoint_age_s);
    SIM_CHECK(bytes < PLAN_CONF_BYTES, "simulator: the configuration is too long");
}

void plan_print(const struct plan *plan)
{
    static const char *const modes[] = {"always", "everysec", "no"};
    printf("plan: %s, up to %u shards, %u partitions, %u lives of %u commands by %u clients\n",
           modes[plan->rules.sync_mode], plan->shards_max, plan->partitions, plan->lives,
           plan->commands_max, plan->clients);
    printf("plan: ends %u %% power, %u %% kill, %u %% while starting; maxmemory %llu\n",
           plan->power_percent, plan->kill_percent, plan->early_percent,
           (unsigned long long)plan->maxmemory);
    const struct disk_plan *disk = &plan->disk;
    printf("plan: disk: short %u again %u slow %u read %u write %u sync %u open %u space %llu\n",
           disk->short_rate, disk->again_rate, disk->slow_rate, disk->read_error_rate,
           disk->write_error_rate, disk->sync_error_rate, disk->open_error_rate,
           (unsigned long long)disk->space_bytes);
    printf("plan: saves %u, mailboxes of %u\n", plan->save_rate, plan->mailbox_slots);
    printf("plan: wire: segments %u buffer %u stall %u reset %u; no memory %u, clock jumps %u\n",
           plan->wire.segment_max, plan->wire.buffer_bytes, plan->wire.stall_rate,
           plan->wire.reset_rate, plan->alloc_fail_rate, plan->clock_jump_rate);
}
