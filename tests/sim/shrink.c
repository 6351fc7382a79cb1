#include "shrink.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "override.h"
#include "plan.h"
#include "run.h"
#include "world.h"

/* A variant that takes longer is no smaller one. */
enum { VARIANT_S = 30 };

struct shrink {
    uint64_t seed, stop_at;
    uint64_t tried;
};

static void run_quietly(const struct shrink *shrink)
{
    struct run_figures figures;
    if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL) {
        exit(0);
    }
    (void)alarm(VARIANT_S);
    run_seed(shrink->seed, shrink->stop_at, false, &figures);
    exit(0);
}

/* Whether the plan with the overrides as they are shows a violation. */
static bool violates(struct shrink *shrink)
{
    (void)fflush(NULL);
    shrink->tried++;
    pid_t pid = fork();
    if (pid == 0) {
        run_quietly(shrink);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return false;
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) != SIGALRM : WEXITSTATUS(status) != 0;
}

static void plan_now(const struct shrink *shrink, struct plan *ret_plan)
{
    world_begin(shrink->seed);
    plan_draw(ret_plan);
    overrides_apply(ret_plan);
    world_end();
}

/* Tries a value; without a violation the one before holds again. */
static bool try_value(struct shrink *shrink, uint32_t which, uint64_t before, uint64_t value)
{
    bool was_set = override_is_set(which);
    override_set(which, value);
    if (violates(shrink)) {
        printf("%s %llu instead of %llu\n", override_name(which), (unsigned long long)value,
               (unsigned long long)before);
        return true;
    }
    if (was_set) {
        override_set(which, before);
    } else {
        override_unset(which);
    }
    return false;
}

/* Returns whether it has become smaller. */
static bool shrink_one(struct shrink *shrink, uint32_t which)
{
    struct plan plan;
    plan_now(shrink, &plan);
    uint64_t least = override_least(which);
    uint64_t value = override_get(&plan, which);
    if (value == least) {
        return false;
    }
    if (try_value(shrink, which, value, least)) {
        return true;
    }
    bool smaller = false;
    while (override_halves(which) && value / 2 > least &&
           try_value(shrink, which, value, value / 2)) {
        value /= 2;
        smaller = true;
    }
    return smaller;
}

static bool shrink_all(struct shrink *shrink)
{
    bool smaller = false;
    for (uint32_t i = 0; i < override_count(); i++) {
        smaller = shrink_one(shrink, i) || smaller;
    }
    return smaller;
}

void shrink(uint64_t seed, uint64_t stop_at)
{
    struct shrink shrink = {.seed = seed, .stop_at = stop_at};
    if (!violates(&shrink)) {
        printf("seed %llu shows no violation\n", (unsigned long long)seed);
        return;
    }
    while (shrink_all(&shrink)) {
    }
    printf("the smallest of %llu plans: eloqstore-sim --seed %llu",
           (unsigned long long)shrink.tried, (unsigned long long)seed);
    if (stop_at > 0) {
        printf(" --stop-at %llu", (unsigned long long)stop_at);
    }
    printf(" --with ");
    overrides_print();
    printf("\n");
}
