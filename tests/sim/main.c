/*
 * eloqstore-sim: runs seeds of the simulator.
 *
 *     eloqstore-sim --seed S [--count N] [--seconds T] [--stop-at STEP] [--states] [--verbose]
 *                   [--shrink] [--with NAME=VALUE,...]
 *
 * Ends with 0 when nothing was wrong and 1 at the first violation; the last line is "hash <hex>".
 * Every hundredth seed is run twice: both runs must come to the same hash.
 *
 * --shrink looks for the smallest plan with which the seed still shows a violation, and prints it
 * as --with, which changes parts of the plan that the seeds draw (override.h).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/plant.h"
#include "cmd/command.h"
#include "override.h"
#include "run.h"
#include "shrink.h"
#include "sometimes.h"
#include "world.h"

enum { TWICE_EVERY = 100 };

struct arguments {
    uint64_t seed, count, stop_at;
    int64_t seconds;
    bool states, verbose, shrink;
};

static void plant(const char *name);
static void plants_print(void);

static void usage(void)
{
    (void)fprintf(stderr, "usage: eloqstore-sim --seed S [--count N] [--seconds T] "
                          "[--stop-at STEP] [--states] [--verbose] [--shrink] "
                          "[--with NAME=VALUE,...] [--plant NAME] [--list-plants]\n");
    exit(2);
}

static void with(const char *list)
{
    if (!overrides_parse(list)) {
        (void)fprintf(stderr, "--with takes NAME=VALUE,... of these:");
        for (uint32_t i = 0; i < override_count(); i++) {
            (void)fprintf(stderr, " %s", override_name(i));
        }
        (void)fprintf(stderr, "\n");
        exit(2);
    }
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments arguments = {.seed = 1, .count = 1};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--states") == 0) {
            arguments.states = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            arguments.verbose = true;
        } else if (strcmp(argv[i], "--shrink") == 0) {
            arguments.shrink = true;
        } else if (strcmp(argv[i], "--with") == 0 && more) {
            with(argv[++i]);
        } else if (strcmp(argv[i], "--list-plants") == 0) {
            plants_print();
        } else if (strcmp(argv[i], "--plant") == 0 && more) {
            plant(argv[++i]);
        } else if (strcmp(argv[i], "--seed") == 0 && more) {
            arguments.seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--count") == 0 && more) {
            arguments.count = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--seconds") == 0 && more) {
            arguments.seconds = strtoll(argv[++i], NULL, 0);
            arguments.count = UINT64_MAX;
        } else if (strcmp(argv[i], "--stop-at") == 0 && more) {
            arguments.stop_at = strtoull(argv[++i], NULL, 0);
        } else {
            usage();
        }
    }
    return arguments;
}

/* ---- planted bugs ---- */

#ifdef ELOQSTORE_PLANTS
static const struct {
    const char *name;
    const char *text;
} plants[PLANT_COUNT] = {
#define PLANT_ENTRY(name, text) [PLANT_##name] = {#name, text},
    PLANT_LIST(PLANT_ENTRY)
#undef PLANT_ENTRY
};

static void plant(const char *name)
{
    for (int i = PLANT_NONE + 1; i < PLANT_COUNT; i++) {
        if (strcmp(plants[i].name, name) == 0) {
            plant_chosen = (enum plant)i;
            return;
        }
    }
    (void)fprintf(stderr, "no bug is called %s\n", name);
    exit(2);
}

static void plants_print(void)
{
    for (int i = PLANT_NONE + 1; i < PLANT_COUNT; i++) {
        printf("%s %s\n", plants[i].name, plants[i].text);
    }
    exit(0);
}
#else
static void plant(const char *name)
{
    (void)fprintf(stderr, "can't plant %s: this build has no bugs (meson option `plants`)\n", name);
    exit(2);
}

static void plants_print(void)
{
    exit(0);
}
#endif

/* An assertion of the product, or a crash: it belongs to the seed that runs. */
static void on_abort(int signal_number)
{
    (void)signal(signal_number, SIG_DFL);
    world_violation("the program received signal %d", signal_number);
}

static void add(struct run_figures *sum, const struct run_figures *one)
{
    sum->lives += one->lives;
    sum->cuts += one->cuts;
    sum->kills += one->kills;
    sum->stops += one->stops;
    sum->exits += one->exits;
    sum->commands += one->commands;
    sum->steps += one->steps;
    sum->simulated_ns += one->simulated_ns;
    sum->hash = sum->hash * 31 + one->hash;
}

static void run_twice(uint64_t seed, const struct run_figures *first)
{
    struct run_figures second;
    run_seed(seed, 0, false, &second);
    if (second.hash != first->hash) {
        printf("VIOLATION seed %llu: two runs of it differ\nhash %016llx\n",
               (unsigned long long)seed, (unsigned long long)second.hash);
        exit(1);
    }
}

static int64_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv);
    commands_init();
    (void)signal(SIGABRT, on_abort);
    if (arguments.shrink) {
        shrink(arguments.seed, arguments.stop_at);
    }
    struct run_figures sum = {0};
    int64_t end_s = now_s() + arguments.seconds;
    uint64_t seeds = 0;
    while (seeds < arguments.count && (arguments.seconds == 0 || now_s() < end_s)) {
        uint64_t seed = arguments.seed + seeds++;
        struct run_figures figures;
        run_seed(seed, arguments.stop_at, arguments.verbose, &figures);
        if (arguments.verbose) {
            printf("seed %llu hash %016llx\n", (unsigned long long)seed,
                   (unsigned long long)figures.hash);
        }
        if (seed % TWICE_EVERY == 0) {
            run_twice(seed, &figures);
        }
        add(&sum, &figures);
    }
    uint32_t missing = sometimes_missing(arguments.states);
    printf("seeds %llu lives %llu power cuts %llu kills %llu stops %llu exits %llu commands %llu "
           "simulated %.1f s\n",
           (unsigned long long)seeds, (unsigned long long)sum.lives, (unsigned long long)sum.cuts,
           (unsigned long long)sum.kills, (unsigned long long)sum.stops,
           (unsigned long long)sum.exits, (unsigned long long)sum.commands,
           (double)sum.simulated_ns / 1e9);
    bool failed = arguments.states && missing > 0;
    if (failed) {
        printf("%u declared states were never met\n", missing);
    }
    printf("hash %016llx\n", (unsigned long long)sum.hash);
    return failed ? 1 : 0;
}
