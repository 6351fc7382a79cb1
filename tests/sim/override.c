#include "override.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

enum { OVERRIDE_FIELDS = 37, OVERRIDES = OVERRIDE_FIELDS + PLAN_LOAD_KINDS };

/* Of every field `least` is legal together with all that a seed may draw for the others. Those that
 * halve come first: they make the runs short in which the others are tried. */
#define FIELD(member, least, halves)                                                          \
    {                                                                                         \
#member, offsetof(struct plan, member), sizeof(((struct plan *)NULL)->member), least, \
            halves                                                                            \
    }
static const struct {
    const char *name;
    size_t offset;
    size_t bytes;
    uint64_t least;
    bool halves;
} fields[OVERRIDE_FIELDS] = {
    FIELD(lives, 1, true),
    FIELD(commands_max, 1, true),
    FIELD(clients, 1, true),
    FIELD(shards_max, 1, true),
    FIELD(pipeline_max, 1, true),
    FIELD(partitions, 1, true),
    FIELD(damage, 0, false),
    FIELD(alloc_fail_rate, 0, false),
    FIELD(clock_jump_rate, 0, false),
    FIELD(save_rate, 0, false),
    FIELD(disk.short_rate, 0, false),
    FIELD(disk.again_rate, 0, false),
    FIELD(disk.slow_rate, 0, false),
    FIELD(disk.read_error_rate, 0, false),
    FIELD(disk.write_error_rate, 0, false),
    FIELD(disk.sync_error_rate, 0, false),
    FIELD(disk.open_error_rate, 0, false),
    FIELD(disk.misdirect_rate, 0, false),
    FIELD(disk.rot_rate, 0, false),
    FIELD(disk.space_bytes, 0, false),
    FIELD(disk.quota, 0, false),
    FIELD(disk.entries_unordered, 0, false),
    FIELD(disk.direct_refused, 0, false),
    FIELD(disk.land_after_kill_ns_max, 1000, false),
    FIELD(wire.stall_rate, 0, false),
    FIELD(wire.reset_rate, 0, false),
    FIELD(wire.delay_ns_max, 1000, false),
    FIELD(wire.segment_max, 65536, false),
    FIELD(wire.buffer_bytes, 1 << 20, false),
    FIELD(early_percent, 0, false),
    FIELD(power_percent, 0, false),
    FIELD(kill_percent, 0, false),
    FIELD(mailbox_slots, 1024, false),
    FIELD(checkpoint_age_s, 20, false),
    FIELD(think_ns_max, 1000, false),
    FIELD(maxmemory, 128 << 20, false),
    FIELD(rules.sync_mode, SYNC_ALWAYS, false),
};

static struct {
    bool is_set;
    uint64_t value;
} overrides[OVERRIDES];

uint32_t override_count(void)
{
    return OVERRIDES;
}

const char *override_name(uint32_t which)
{
    return which < OVERRIDE_FIELDS ? fields[which].name
                                   : plan_load_kinds[which - OVERRIDE_FIELDS]->name;
}

uint64_t override_least(uint32_t which)
{
    return which < OVERRIDE_FIELDS ? fields[which].least : 0;
}

bool override_halves(uint32_t which)
{
    return which < OVERRIDE_FIELDS && fields[which].halves;
}

void override_set(uint32_t which, uint64_t value)
{
    overrides[which].is_set = true;
    overrides[which].value = value;
}

void override_unset(uint32_t which)
{
    overrides[which].is_set = false;
}

bool override_is_set(uint32_t which)
{
    return overrides[which].is_set;
}

/* ---- a plan's values ---- */

/* The place of a load in the plan, or load_count. */
static uint32_t load_find(const struct plan *plan, uint32_t which)
{
    const struct load_kind *kind = plan_load_kinds[which - OVERRIDE_FIELDS];
    uint32_t i = 0;
    while (i < plan->load_count && plan->loads[i] != kind) {
        i++;
    }
    return i;
}

uint64_t override_get(const struct plan *plan, uint32_t which)
{
    if (which >= OVERRIDE_FIELDS) {
        return plan->load_count > 1 && load_find(plan, which) < plan->load_count;
    }
    uint64_t value = 0; /* this is for little-endian machines, like what it tests */
    memcpy(&value, (const uint8_t *)plan + fields[which].offset, fields[which].bytes);
    return value;
}

static void apply(struct plan *plan, uint32_t which)
{
    uint64_t value = overrides[which].value;
    if (which < OVERRIDE_FIELDS) {
        memcpy((uint8_t *)plan + fields[which].offset, &value, fields[which].bytes);
        return;
    }
    uint32_t place = load_find(plan, which);
    /* A plan has one load at least. */
    if (value == 0 && place < plan->load_count && plan->load_count > 1) {
        plan->load_count--;
        memmove(&plan->loads[place], &plan->loads[place + 1],
                (plan->load_count - place) * sizeof(plan->loads[0]));
    }
}

void overrides_apply(struct plan *plan)
{
    for (uint32_t i = 0; i < OVERRIDES; i++) {
        if (overrides[i].is_set) {
            apply(plan, i);
        }
    }
    plan_settle(plan);
}

/* ---- text ---- */

static bool parse_one(const char *text, size_t bytes)
{
    for (uint32_t i = 0; i < OVERRIDES; i++) {
        size_t name_bytes = strlen(override_name(i));
        if (bytes > name_bytes + 1 && text[name_bytes] == '=' &&
            memcmp(text, override_name(i), name_bytes) == 0) {
            char *end;
            uint64_t value = strtoull(text + name_bytes + 1, &end, 10);
            override_set(i, value);
            return end == text + bytes;
        }
    }
    return false;
}

bool overrides_parse(const char *list)
{
    for (;;) {
        size_t bytes = strcspn(list, ",");
        if (!parse_one(list, bytes)) {
            return false;
        }
        if (list[bytes] == '\0') {
            return true;
        }
        list += bytes + 1;
    }
}

void overrides_print(void)
{
    const char *between = "";
    for (uint32_t i = 0; i < OVERRIDES; i++) {
        if (overrides[i].is_set) {
            printf("%s%s=%llu", between, override_name(i), (unsigned long long)overrides[i].value);
            between = ",";
        }
    }
}
