/*
 * What a power cut has taken. Two writes are ordered for sure when one was answered before the
 * other was issued; the log has one order that agrees with this. So history's prefix is kept if no
 * lost write was answered before a survivor was issued.
 */
#include "load.h"
#include "world.h"

enum {
    /* everysec: at most a second and the sync that was under way, and the time it takes the timer
       to come round on a busy shard. */
    EVERYSEC_LOSS_NS_MAX = 1000000000 + 1000000000,
};

static struct {
    int64_t survivor_issued_ns; /* the latest */
    int64_t lost_answered_ns;   /* the earliest */
    int64_t lost_issued_ns;     /* the latest */
} losses;

void losses_begin(void)
{
    losses.survivor_issued_ns = INT64_MIN;
    losses.lost_answered_ns = INT64_MAX;
    losses.lost_issued_ns = INT64_MIN;
}

void losses_survivor(int64_t issued_ns)
{
    if (issued_ns > losses.survivor_issued_ns) {
        losses.survivor_issued_ns = issued_ns;
    }
}

void losses_lost(int64_t issued_ns, int64_t answered_ns)
{
    if (issued_ns > losses.lost_issued_ns) {
        losses.lost_issued_ns = issued_ns;
    }
    if (answered_ns < losses.lost_answered_ns) {
        losses.lost_answered_ns = answered_ns;
    }
}

void losses_check(enum sync_mode mode, int64_t cut_ns)
{
    if (losses.lost_answered_ns == INT64_MAX) {
        return;
    }
    SOMETIMES("a power cut takes answered writes");
    SIM_CHECK(mode != SYNC_ALWAYS, "appendfsync always has lost a write answered at %.6f ms",
              (double)losses.lost_answered_ns / 1e6);
    SIM_CHECK(losses.lost_answered_ns > losses.survivor_issued_ns,
              "a write answered at %.6f ms is lost, one issued later, at %.6f ms, survived",
              (double)losses.lost_answered_ns / 1e6, (double)losses.survivor_issued_ns / 1e6);
    SIM_CHECK(mode != SYNC_EVERYSEC || cut_ns - losses.lost_answered_ns <= EVERYSEC_LOSS_NS_MAX,
              "everysec has lost a write that was %.3f s old",
              (double)(cut_ns - losses.lost_answered_ns) / 1e9);
}

void losses_check_cut(void)
{
    if (losses.lost_answered_ns == INT64_MAX) {
        return;
    }
    SIM_CHECK(losses.lost_issued_ns <= losses.lost_answered_ns,
              "a write answered at %.6f ms was cut off with one issued later, at %.6f ms, which "
              "proves that it was durable",
              (double)losses.lost_answered_ns / 1e6, (double)losses.lost_issued_ns / 1e6);
    SIM_CHECK(losses.lost_answered_ns > losses.survivor_issued_ns,
              "a write answered at %.6f ms is lost, one issued later, at %.6f ms, survived",
              (double)losses.lost_answered_ns / 1e6, (double)losses.survivor_issued_ns / 1e6);
}
