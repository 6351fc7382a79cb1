#include "history.h"

#include <string.h>

#include "world.h"

enum { HISTORY_STEP = 16 };

static void begin_from(struct history *history, uint64_t value, int64_t issued_ns)
{
    history->writes[0] = (struct history_write){
        .value = value,
        .issued_ns = issued_ns,
        .answered_ns = world_now_ns(),
        .expires_low_ms = INT64_MAX,
        .expires_high_ms = INT64_MAX,
        .gone_ns = INT64_MAX,
        .answered = true,
    };
    history->count = 1;
    history->open = 0;
    history->doubts = 0;
    history->ended = false;
    history->current = 0;
    history->floor_ns = issued_ns;
}

void history_init(struct history *history)
{
    history->writes = sim_alloc(HISTORY_STEP * sizeof(*history->writes));
    begin_from(history, 0, -1);
}

void history_deinit(struct history *history)
{
    sim_free(history->writes);
    history->writes = NULL;
}

/* ---- writes ---- */

bool history_is_full(const struct history *history)
{
    return history->count >= HISTORY_WRITES_MAX;
}

uint32_t history_issue(struct history *history, uint64_t value, uint64_t op)
{
    SIM_CHECK(!history_is_full(history), "simulator: %s is full", history->name);
    if (history->count % HISTORY_STEP == 0) {
        history->writes = sim_realloc(history->writes,
                                      (history->count + HISTORY_STEP) * sizeof(*history->writes));
    }
    history->writes[history->count] = (struct history_write){
        .value = value,
        .op = op,
        .issued_ns = world_now_ns(),
        .answered_ns = INT64_MAX,
        .expires_low_ms = INT64_MAX,
        .expires_high_ms = INT64_MAX,
        .gone_ns = INT64_MAX,
        .alone = history->open == 0 && history->doubts == 0,
    };
    history->open++;
    history->current = HISTORY_UNKNOWN;
    return history->count++;
}

static void raise_floor(struct history *history, int64_t issued_ns)
{
    if (issued_ns > history->floor_ns) {
        history->floor_ns = issued_ns;
    }
}

void history_answer(struct history *history, uint32_t index)
{
    struct history_write *write = &history->writes[index];
    SIM_CHECK(index < history->count && !write->answered && history->open > 0,
              "simulator: %s: write %u is answered twice", history->name, index);
    write->answered = true;
    write->answered_ns = world_now_ns();
    history->open--;
    raise_floor(history, write->issued_ns);
    if (write->alone && index == history->count - 1) {
        history->current = index;
    }
}

void history_refuse(struct history *history, uint32_t index)
{
    history->writes[index].dead = true;
    history->open--;
}

void history_doubt(struct history *history, uint32_t index)
{
    (void)index;
    history->open--;
    history->doubts++;
}

/* ---- reads ---- */

struct history_read history_read_begin(const struct history *history)
{
    return (struct history_read){.floor_ns = history->floor_ns,
                                 .count = history->count,
                                 .quiet = history->open == 0 && history->doubts == 0};
}

static bool may_show(const struct history_write *write, int64_t floor_ns, uint64_t value)
{
    return write->value == value && !write->dead && write->answered_ns >= floor_ns;
}

/* The newest write that may have left `value`, or HISTORY_UNKNOWN; and how many could have. */
static uint32_t find(const struct history *history, int64_t floor_ns, uint64_t value,
                     uint32_t *ret_matches)
{
    uint32_t newest = HISTORY_UNKNOWN;
    *ret_matches = 0;
    for (uint32_t i = history->count; i-- > 0;) {
        if (may_show(&history->writes[i], floor_ns, value)) {
            newest = newest == HISTORY_UNKNOWN ? i : newest;
            (*ret_matches)++;
        }
    }
    return newest;
}

__attribute__((noreturn)) static void violate(const struct history *history, int64_t floor_ns,
                                              uint64_t value)
{
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_write *write = &history->writes[i];
        if (write->value == value) {
            world_violation("%s shows value %llu, issued at %.6f ms and answered at %.6f ms%s, "
                            "though a write issued at %.6f ms was known to be there",
                            history->name, (unsigned long long)value,
                            (double)write->issued_ns / 1e6,
                            write->answered ? (double)write->answered_ns / 1e6 : -1.0,
                            write->dead ? " (refused)" : "", (double)floor_ns / 1e6);
        }
    }
    world_violation("%s shows value %llu, which nobody has written since %.6f ms", history->name,
                    (unsigned long long)value, (double)history->writes[0].issued_ns / 1e6);
}

void history_read_end(struct history *history, struct history_read read, uint64_t value)
{
    uint32_t matches;
    uint32_t newest = find(history, read.floor_ns, value, &matches);
    if (matches == 0) {
        violate(history, read.floor_ns, value);
    }
    if (matches == 1) {
        raise_floor(history, history->writes[newest].issued_ns);
    }
    if (read.quiet && read.count == history->count) {
        history->current = newest;
    }
}

/* ---- the end of a life ---- */

void history_life_ended(struct history *history, bool may_lose)
{
    SIM_CHECK(history->open == 0, "simulator: %s: a write outlives its connection", history->name);
    history->ended = true;
    history->settling = false;
    if (may_lose) {
        history->floor_ns = INT64_MIN;
        history->current = HISTORY_UNKNOWN;
        history->doubts++;
    }
}

bool history_wants_settling(struct history *history)
{
    bool wants = history->ended && !history->settling;
    history->settling |= wants;
    return wants;
}

enum history_verdict history_judge(const struct history *history, uint32_t index, uint64_t value)
{
    const struct history_write *write = &history->writes[index];
    bool there = true;
    bool lost = true;
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_write *found = &history->writes[i];
        if (may_show(found, history->floor_ns, value)) {
            there &= i == index || found->issued_ns > write->answered_ns;
            lost &= i != index && found->answered_ns < write->issued_ns;
        }
    }
    return there ? HISTORY_THERE : lost ? HISTORY_LOST : HISTORY_MAYBE;
}

void history_settle(struct history *history, uint64_t value)
{
    uint32_t matches;
    uint32_t newest = find(history, history->floor_ns, value, &matches);
    if (matches == 0) {
        violate(history, history->floor_ns, value);
    }
    int64_t issued_ns = INT64_MAX;
    int64_t answered_ns = INT64_MIN;
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_write *write = &history->writes[i];
        if (may_show(write, history->floor_ns, value)) {
            issued_ns = write->issued_ns < issued_ns ? write->issued_ns : issued_ns;
            answered_ns = write->answered_ns > answered_ns ? write->answered_ns : answered_ns;
        }
    }
    losses_survivor(issued_ns);
    if (!history->ended && history->doubts > 0) {
        return;
    }
    for (uint32_t i = 0; i < history->count; i++) {
        const struct history_write *write = &history->writes[i];
        if (write->answered && !write->dead && write->issued_ns > answered_ns) {
            losses_lost(write->issued_ns, write->answered_ns);
        }
    }
    begin_from(history, value, history->writes[newest].issued_ns);
}

bool history_is_settled(const struct history *history)
{
    return history->count == 1 && !history->ended;
}
