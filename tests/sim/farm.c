#include "farm.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64, CASES_AT_ONCE = 8 };

/* What the processes share. */
struct barn {
    _Atomic uint64_t next; /* no case from here on has been taken */
    _Atomic uint64_t tallies[FARM_TALLIES];
    struct {
        pid_t pid;
        _Atomic uint64_t at, end; /* the case under way; taken up to */
    } hands[JOBS_MAX];
};
static struct barn *barn;

void farm_tally(uint32_t which, uint64_t by)
{
    atomic_fetch_add(&barn->tallies[which], by);
}

uint64_t farm_tallied(uint32_t which)
{
    return atomic_load(&barn->tallies[which]);
}

static void hand_work(const struct farm *farm, uint32_t hand)
{
    for (;;) {
        uint64_t at = atomic_load(&barn->hands[hand].at);
        if (at == atomic_load(&barn->hands[hand].end)) {
            at = atomic_fetch_add(&barn->next, CASES_AT_ONCE);
            uint64_t end = at + CASES_AT_ONCE;
            atomic_store(&barn->hands[hand].end, end < farm->count ? end : farm->count);
            atomic_store(&barn->hands[hand].at, at);
        }
        if (at >= farm->count) {
            return;
        }
        (void)alarm(farm->lasts_s);
        farm->run(farm->context, at);
        atomic_store(&barn->hands[hand].at, at + 1);
    }
}

static void hand_start(const struct farm *farm, uint32_t hand)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        hand_work(farm, hand);
        (void)fflush(stdout);
        _exit(0);
    }
    barn->hands[hand].pid = pid;
}

/* One process has ended. Returns whether its case was bad. */
static bool hand_ended(const struct farm *farm, uint32_t hand, int status)
{
    barn->hands[hand].pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return false;
    }
    uint64_t at = atomic_load(&barn->hands[hand].at);
    printf("BAD %llu: ", (unsigned long long)at);
    farm->print(farm->context, at);
    printf(WIFSIGNALED(status) ? " (signal %d)\n" : " (exit %d)\n",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    (void)fflush(stdout);
    atomic_store(&barn->hands[hand].at, at + 1);
    return true;
}

static uint64_t watch(const struct farm *farm)
{
    uint64_t bad = 0;
    int status;
    pid_t pid;
    while ((pid = wait(&status)) > 0) {
        uint32_t hand = 0;
        while (hand < farm->jobs && barn->hands[hand].pid != pid) {
            hand++;
        }
        if (hand < farm->jobs && hand_ended(farm, hand, status)) {
            bad++;
            if (bad < farm->bad_max) {
                hand_start(farm, hand);
            } else {
                atomic_store(&barn->next, farm->count);
            }
        }
    }
    return bad;
}

uint64_t farm_run(const struct farm *farm)
{
    barn = mmap(NULL, sizeof(*barn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (barn == MAP_FAILED || farm->jobs > JOBS_MAX) {
        (void)fprintf(stderr, "no memory to share, or too many jobs\n");
        exit(2);
    }
    for (uint32_t hand = 0; hand < farm->jobs; hand++) {
        hand_start(farm, hand);
    }
    return watch(farm);
}
