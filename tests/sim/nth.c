/*
 * eloqstore-sim-nth: one failure at one position after the other.
 *
 *     eloqstore-sim-nth [--kind K] [--script NAME] [--every N] [--jobs J] [--bad N] [--case N]
 *                       [--full]
 *
 * Each script (nth_scripts.c) is run once without a failure, which counts the operations on the
 * disk and the allocations of each of its lives. Then it is run again for each position and kind
 * of failure: only that one fails, or that one and all later ones of this life.
 *
 *     disk     EIO of anything; ENOSPC of what needs room; EMFILE and ENOMEM of opens
 *     memory   NULL
 *
 * What must hold: nothing crashes, hangs or, where it ends in order, leaks; each answer is right or
 * an error, and a command that was answered with an error has changed nothing; who exits does so
 * with 74, or with 1 at a start and a line in the log. And after it nothing fails any more: then
 * the server starts, what was answered is there, and the trees are in order.
 *
 * A command whose connection was lost may have happened or not, then or later until the life's end.
 * So there is not one model but a few: what can be.
 *
 * --kind is one of EIO, ENOSPC, EMFILE, ENOMEM, no-memory, or disk for the first four. --every N
 * takes each N-th position; --full takes all of them, and seeds 1 to 3. --bad N
 * goes on until N cases were bad; --case runs one in this process.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "disk_fail.h"
#include "farm.h"
#include "memory.h"
#include "model.h"
#include "nth_scripts.h"
#include "process.h"
#include "stage.h"
#include "stage_init.h"
#include "world.h"

enum {
    LIVES_MAX = 8,
    MODELS_MAX = 64,
    LOST_MAX = 5,
    WORDS_BYTES = 256,
    SHARDS = 2,
    EXIT_FAILED = 74,
    EXIT_REFUSED = 1,
};

static const char conf[] = "port 0\nprotected-mode no\nenable-debug-command yes\ndir /data\n"
                           "appendonly yes\nappendfsync always\nshards 2\npartitions 2\n"
                           "databases 4\nmaxmemory 64mb\nlog-size-max 4mb\ndata-file-size 1mb\n"
                           "log-segment-size 1mb\ncheckpoint-age 0\n";

/* ---- failures ---- */

enum { KIND_MEMORY = 4, KINDS };
enum {
    TALLY_REFUSALS,
    TALLY_EXITS,
    TALLY_ERRORS,
    TALLY_LOST,
    TALLY_UNMET, /* the run came to another end before that position */
    TALLY_QUIET, /* it was met, and nobody has seen it from outside */
};
static const struct {
    const char *name;
    enum disk_fail_class class;
    int error;
} kinds[KINDS] = {
    {"EIO", DISK_FAIL_ANY, -EIO},        {"ENOSPC", DISK_FAIL_SPACE, -ENOSPC},
    {"EMFILE", DISK_FAIL_OPEN, -EMFILE}, {"ENOMEM", DISK_FAIL_OPEN, -ENOMEM},
    {"no-memory", DISK_FAIL_CLASSES, 0},
};

struct failure {
    uint32_t script, life, kind;
    uint64_t at; /* 0: none */
    uint64_t seed;
    bool sticky;
};

/* Positions of one life. */
struct counts {
    uint64_t disk[DISK_FAIL_CLASSES], memory;
    uint64_t disk_ready[DISK_FAIL_CLASSES], memory_ready; /* those of the start */
};

/* ---- one case ---- */

struct lost {
    struct command command;
    char words[WORDS_BYTES];
    uint32_t database;
};

struct can_be {
    struct model *model;
    uint32_t done; /* of the lost commands, by bits */
};

static struct {
    struct failure failure;
    struct counts *counts; /* of each life; NULL: not wanted */
    uint32_t life;
    uint32_t serial; /* of the command, from which its values are made */
    uint32_t database;
    uint64_t memory_begun, failures_begun;
    struct can_be models[MODELS_MAX];
    uint32_t count;
    struct lost lost[LOST_MAX];
    uint32_t lost_count;
    bool wounded; /* something has failed in this life */
    bool ever_failed;
    uint64_t errors, losses, exits, refusals;
} nth;

static bool is_armed(void)
{
    return nth.failure.at > 0 && nth.life == nth.failure.life;
}

static bool has_failed(void)
{
    nth.wounded =
        nth.wounded || disk_fail_happened(stage_disk()) || memory_failures() > nth.failures_begun;
    return nth.wounded;
}

static void arm(void)
{
    const struct failure *failure = &nth.failure;
    bool disk = is_armed() && failure->kind != KIND_MEMORY;
    bool memory = is_armed() && failure->kind == KIND_MEMORY;
    disk_fail_at(stage_disk(), disk ? kinds[failure->kind].class : DISK_FAIL_ANY,
                 disk ? failure->at : 0, failure->sticky, disk ? kinds[failure->kind].error : 0);
    mem_fail_after(memory ? failure->at : 0, failure->sticky);
    nth.memory_begun = memory_allocations();
    nth.failures_begun = memory_failures();
    nth.wounded = false;
}

static void count_positions(bool ready)
{
    if (nth.counts == NULL || nth.life >= LIVES_MAX) {
        return;
    }
    struct counts *counts = &nth.counts[nth.life];
    uint64_t memory = memory_allocations() - nth.memory_begun;
    uint64_t *disk = ready ? counts->disk_ready : counts->disk;
    *(ready ? &counts->memory_ready : &counts->memory) = memory;
    for (enum disk_fail_class class = 0; class < DISK_FAIL_CLASSES; class ++) {
        disk[class] = disk_fail_count(stage_disk(), class);
    }
}

/* ---- commands ---- */

static uint8_t *value_make(uint32_t bytes, uint32_t serial)
{
    uint8_t *value = sim_alloc(bytes);
    uint64_t state = serial * UINT64_C(0x9e3779b97f4a7c15) + bytes;
    for (uint32_t i = 0; i < bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        value[i] = (uint8_t)('a' + (state >> 59) % 26);
    }
    return value;
}

/* Of words that stay where they are; command_free gives the values back. */
static void command_make(const char *words, uint32_t serial, struct command *ret_command)
{
    ret_command->argc = 0;
    while (*words != '\0') {
        size_t bytes = strcspn(words, " ");
        if (words[0] == '@') {
            uint32_t length = (uint32_t)strtoul(words + 1, NULL, 10);
            command_add(ret_command, value_make(length, serial + ret_command->argc), length);
        } else {
            command_add(ret_command, words, bytes);
        }
        words += bytes + (words[bytes] == ' ');
    }
}

static void command_free(const char *words, struct command *command)
{
    for (uint32_t i = 0; i < command->argc; i++) {
        bool made = (const char *)command->args[i] < words ||
                    (const char *)command->args[i] >= words + strlen(words);
        if (made) {
            sim_free((void *)(uintptr_t)command->args[i]);
        }
    }
}

/* ---- what can be ---- */

static void models_add(struct model *model, uint32_t done)
{
    for (uint32_t i = 0; i < nth.count; i++) {
        if (nth.models[i].done == done && model_equal(nth.models[i].model, model)) {
            model_destroy(model);
            return;
        }
    }
    SIM_CHECK(nth.count < MODELS_MAX, "simulator: too many models");
    nth.models[nth.count++] = (struct can_be){.model = model, .done = done};
}

/* Each lost command may have happened meanwhile. */
static void models_catch_up(void)
{
    for (uint32_t i = 0; i < nth.count; i++) {
        for (uint32_t j = 0; j < nth.lost_count; j++) {
            if ((nth.models[i].done & 1u << j) == 0) {
                const struct lost *lost = &nth.lost[j];
                struct model *model = model_copy(nth.models[i].model);
                (void)model_apply(model, lost->database, &lost->command, NULL, clock_real_ms());
                models_add(model, nth.models[i].done | 1u << j);
            }
        }
    }
}

static void lost_add(const char *words)
{
    struct lost *lost = &nth.lost[nth.lost_count++];
    (void)snprintf(lost->words, sizeof(lost->words), "%s", words);
    lost->database = nth.database;
    command_make(lost->words, nth.serial, &lost->command);
}

/* At a life's end: what has not happened by now won't happen. */
static void lost_settle(void)
{
    models_catch_up();
    for (uint32_t i = 0; i < nth.lost_count; i++) {
        command_free(nth.lost[i].words, &nth.lost[i].command);
    }
    nth.lost_count = 0;
    struct can_be before[MODELS_MAX];
    uint32_t count = nth.count;
    memcpy(before, nth.models, sizeof(before));
    nth.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        models_add(before[i].model, 0);
    }
}

static void print_all(const struct command *command, const struct answer *answer)
{
    printf("command:");
    for (uint32_t i = 0; i < command->argc; i++) {
        printf(" %.*s", command->bytes[i] > 60 ? 60 : (int)command->bytes[i],
               (const char *)command->args[i]);
    }
    printf("\nanswer: %c%lld %u elements, %zu bytes: %.*s\n", answer->type,
           (long long)answer->integer, answer->count, answer->bytes,
           answer->bytes > 200 ? 200 : (int)answer->bytes, (const char *)answer->text);
    for (uint32_t i = 0; i < nth.count; i++) {
        model_print(nth.models[i].model);
    }
    process_print_log();
}

/* What is left of one that could be before: 1 if the answer fits it. */
static uint32_t judge(const struct can_be *one, const struct command *command,
                      const struct answer *answer, bool may_refuse)
{
    struct model *after = model_copy(one->model);
    if (model_apply(after, nth.database, command, answer, clock_real_ms())) {
        models_add(after, one->done);
        return 1;
    }
    model_destroy(after);
    if (may_refuse && answer->type == '-') {
        models_add(model_copy(one->model), one->done);
        return 1;
    }
    return 0;
}

static void models_judge(const struct command *command, const struct answer *answer)
{
    models_catch_up();
    struct can_be before[MODELS_MAX];
    uint32_t count = nth.count;
    uint32_t kept = 0;
    memcpy(before, nth.models, sizeof(before));
    nth.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        kept += judge(&before[i], command, answer, has_failed());
    }
    if (kept == 0) {
        memcpy(nth.models, before, sizeof(before));
        nth.count = count;
        print_all(command, answer);
        world_violation("an answer that can't be right");
    }
    for (uint32_t i = 0; i < count; i++) {
        model_destroy(before[i].model);
    }
}

/* ---- commands ---- */

static void command_done(const struct command *command, const struct answer *answer,
                         const char *words)
{
    if (!answer->lost) {
        models_judge(command, answer);
        nth.errors += answer->type == '-';
        if (answer->type == '+' && strncmp(words, "SELECT ", 7) == 0) {
            nth.database = (uint32_t)strtoul(words + 7, NULL, 10);
        }
        return;
    }
    if (!has_failed()) {
        process_print_log();
        world_violation("a connection is lost, and nothing has failed: %s", words);
    }
    nth.losses++;
    lost_add(words);
}

static void ask(const char *words)
{
    if (!stage_is_connected()) {
        nth.database = 0;
    }
    struct command command;
    nth.serial++;
    command_make(words, nth.serial, &command);
    struct answer answer = stage_ask(&command);
    command_done(&command, &answer, words);
    command_free(words, &command);
}

/* "* 20 SET key:# x": 20 times, with the number for #. */
static void ask_many(const char *line)
{
    char *words;
    unsigned long times = strtoul(line + 2, &words, 10);
    for (unsigned long i = 0; i < times && nth.lost_count < LOST_MAX && stage_is_alive(); i++) {
        char text[WORDS_BYTES];
        size_t bytes = 0;
        for (const char *at = words + 1; *at != '\0' && bytes + 16 < sizeof(text); at++) {
            bytes += *at == '#' ? (size_t)snprintf(text + bytes, 16, "%lu", i)
                                : (size_t)snprintf(text + bytes, 2, "%c", *at);
        }
        ask(text);
    }
}

/* ---- lives ---- */

static void check_code(int code, bool starting)
{
    bool known = code == EXIT_FAILED || (starting && code == EXIT_REFUSED);
    if (!has_failed() || !known) {
        process_print_log();
        world_violation("the server ends with %d at %s", code, starting ? "a start" : "work");
    }
    if (!process_said(" # ")) {
        process_print_log();
        world_violation("the server ends with %d and doesn't say why", code);
    }
    nth.exits += !starting;
    nth.refusals += starting;
}

/* Returns whether it is ready. */
static bool begin_life(void)
{
    arm();
    nth.database = 0;
    bool ready = stage_start(conf, SHARDS);
    count_positions(true);
    if (!ready) {
        check_code(stage_code(), true);
        (void)stage_reap();
    }
    return ready;
}

static void end_life(const char *how)
{
    if (!stage_is_alive()) {
        check_code(stage_code(), false);
        (void)stage_reap();
    } else if (nth.lost_count == LOST_MAX || strcmp(how, "kill") == 0) {
        stage_kill();
    } else if (strcmp(how, "power") == 0) {
        stage_power_cut();
    } else {
        (void)has_failed();
        int code = stage_stop();
        if (code != 0) {
            check_code(code, false);
        }
    }
}

/* One life's lines; returns those behind it, NULL at the script's end. */
static const char *const *live(const char *const *lines)
{
    bool ready = begin_life();
    for (; *lines != NULL && lines[0][0] != '='; lines++) {
        if (!ready || !stage_is_alive() || nth.lost_count == LOST_MAX) {
            continue;
        }
        if (lines[0][0] == '~') {
            stage_pause_ms(strtoll(*lines + 2, NULL, 10));
        } else if (lines[0][0] == '*') {
            ask_many(*lines);
        } else {
            ask(*lines);
        }
    }
    if (ready) {
        end_life(*lines == NULL ? "stop" : *lines + 2);
    }
    count_positions(false);
    (void)has_failed();
    nth.ever_failed = nth.ever_failed || nth.wounded;
    disk_fail_at(stage_disk(), DISK_FAIL_ANY, 0, false, 0);
    mem_fail_after(0, false);
    lost_settle();
    nth.life++;
    return *lines == NULL ? NULL : lines + 1;
}

/* ---- in the end ---- */

static void look(void *context, const struct command *command)
{
    (void)context;
    struct answer answer = stage_ask(command);
    char words[WORDS_BYTES];
    (void)snprintf(words, sizeof(words), "%.*s %.*s", (int)command->bytes[0],
                   (const char *)command->args[0], command->argc > 1 ? (int)command->bytes[1] : 0,
                   command->argc > 1 ? (const char *)command->args[1] : "");
    command_done(command, &answer, words);
}

/* Nothing fails: everything must be there, in order, and writable. */
static void check_life(void)
{
    nth.life = LIVES_MAX;
    arm();
    nth.database = 0;
    if (!stage_start(conf, SHARDS)) {
        process_print_log();
        world_violation("the server refuses to start with %d, and nothing fails", stage_code());
    }
    struct model *model = model_copy(nth.models[0].model);
    model_look(model, look, NULL);
    model_destroy(model);
    ask("DEBUG CHECK");
    ask("SELECT 0");
    ask("MSET last:1 x last:2 y last:3 @3000");
    ask("DEBUG EVICT");
    ask("MGET last:1 last:2 last:3");
    int code = stage_stop();
    SIM_CHECK(code == 0, "the server stops with %d, and nothing fails", code);
    lost_settle();
    SIM_CHECK(nth.count == 1, "%u states are left after all has been read", nth.count);
}

static void run_case(const struct failure *failure, struct counts *counts)
{
    memset(&nth, 0, sizeof(nth));
    nth.failure = *failure;
    nth.counts = counts;
    stage_begin(failure->seed);
    models_add(model_create(), 0);
    const char *const *lines = nth_scripts[failure->script].lines;
    while (lines != NULL) {
        lines = live(lines);
    }
    check_life();
    check_life();
    model_destroy(nth.models[0].model);
    stage_end();
}

/* ---- all cases ---- */

/* Cases in ranges: one for each script, life, kind and stickiness. */
struct range {
    struct failure failure; /* `at` is its first position's */
    uint64_t step, count;
};

struct plan_of_all {
    struct range *ranges;
    uint32_t count, capacity;
    uint64_t cases;
};

static void plan_add(struct plan_of_all *plan, const struct failure *failure, uint64_t last,
                     uint64_t step)
{
    if (last < failure->at) {
        return;
    }
    if (plan->count == plan->capacity) {
        plan->capacity = plan->capacity * 2 + 64;
        plan->ranges = sim_realloc(plan->ranges, plan->capacity * sizeof(plan->ranges[0]));
    }
    uint64_t count = (last - failure->at) / step + 1;
    plan->ranges[plan->count++] = (struct range){*failure, step, count};
    plan->cases += count;
}

static struct failure case_of(const struct plan_of_all *plan, uint64_t number)
{
    const struct range *range = plan->ranges;
    for (; number >= range->count; range++) {
        number -= range->count;
    }
    struct failure failure = range->failure;
    failure.at += number * range->step;
    return failure;
}

static void case_run(void *context, uint64_t number)
{
    struct failure failure = case_of(context, number);
    run_case(&failure, NULL);
    farm_tally(TALLY_ERRORS, nth.errors);
    farm_tally(TALLY_LOST, nth.losses);
    farm_tally(TALLY_EXITS, nth.exits);
    farm_tally(TALLY_REFUSALS, nth.refusals);
    farm_tally(TALLY_UNMET, !nth.ever_failed);
    farm_tally(TALLY_QUIET,
               nth.ever_failed && nth.errors + nth.losses + nth.exits + nth.refusals == 0);
}

static void case_print(void *context, uint64_t number)
{
    struct failure failure = case_of(context, number);
    printf("script %s, life %u, %s at %llu, %s, seed %llu", nth_scripts[failure.script].name,
           failure.life, kinds[failure.kind].name, (unsigned long long)failure.at,
           failure.sticky ? "and for good" : "once", (unsigned long long)failure.seed);
}

struct arguments {
    uint64_t every, jobs, number, bad_max;
    const char *script, *kind;
    bool full;
};

static bool is_wanted(const struct arguments *arguments, uint32_t kind)
{
    const char *wanted = arguments->kind;
    return wanted == NULL || strcmp(wanted, kinds[kind].name) == 0 ||
           (strcmp(wanted, "disk") == 0 && kind != KIND_MEMORY);
}

/* The start of a fresh store is the same in all scripts, so only the first fails there. */
static void plan_life(struct plan_of_all *plan, const struct arguments *arguments,
                      struct failure failure, const struct counts *counts)
{
    bool known_start = failure.script > 0 && failure.life == 0;
    for (failure.kind = 0; failure.kind < KINDS; failure.kind++) {
        bool memory = failure.kind == KIND_MEMORY;
        if (!is_wanted(arguments, failure.kind)) {
            continue;
        }
        enum disk_fail_class class = kinds[failure.kind].class;
        uint64_t last = memory ? counts->memory : counts->disk[class];
        uint64_t ready = memory ? counts->memory_ready : counts->disk_ready[class];
        failure.at = known_start ? ready + 1 : 1;
        for (int sticky = 0; sticky < 2; sticky++) {
            failure.sticky = sticky > 0;
            plan_add(plan, &failure, last, arguments->every);
        }
    }
}

static void plan_script(struct plan_of_all *plan, const struct arguments *arguments,
                        uint32_t script, uint64_t seed)
{
    struct counts counts[LIVES_MAX] = {0};
    struct failure failure = {.script = script, .seed = seed};
    run_case(&failure, counts);
    uint64_t before = plan->cases;
    uint64_t disk = 0;
    uint64_t memory = 0;
    for (failure.life = 0; failure.life < LIVES_MAX; failure.life++) {
        plan_life(plan, arguments, failure, &counts[failure.life]);
        disk += counts[failure.life].disk[DISK_FAIL_ANY];
        memory += counts[failure.life].memory;
    }
    printf("%-12s seed %llu: %6llu operations, %7llu allocations, %7llu cases\n",
           nth_scripts[script].name, (unsigned long long)seed, (unsigned long long)disk,
           (unsigned long long)memory, (unsigned long long)(plan->cases - before));
}

static void plan_all(struct plan_of_all *plan, const struct arguments *arguments)
{
    uint64_t seeds = arguments->full ? 3 : 1;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        for (uint32_t i = 0; nth_scripts[i].name != NULL; i++) {
            if (arguments->script == NULL || strcmp(arguments->script, nth_scripts[i].name) == 0) {
                plan_script(plan, arguments, i, seed);
            }
        }
    }
}

/* ---- the program ---- */

static struct arguments parse(int argc, char **argv)
{
    struct arguments arguments = {.every = 3, .jobs = 2, .number = UINT64_MAX, .bad_max = 1};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool flag = strcmp(argv[i], "--full") == 0;
        uint64_t number = strtoull(value, NULL, 10);
        if (flag) {
            arguments.full = true;
            arguments.every = 1;
        } else if (strcmp(argv[i], "--every") == 0 && number > 0) {
            arguments.every = number;
        } else if (strcmp(argv[i], "--jobs") == 0 && number > 0) {
            arguments.jobs = number;
        } else if (strcmp(argv[i], "--bad") == 0 && number > 0) {
            arguments.bad_max = number;
        } else if (strcmp(argv[i], "--case") == 0) {
            arguments.number = number;
        } else if (strcmp(argv[i], "--script") == 0) {
            arguments.script = value;
        } else if (strcmp(argv[i], "--kind") == 0) {
            arguments.kind = value;
        } else {
            (void)fprintf(stderr, "usage: eloqstore-sim-nth [--every N] [--jobs J] [--bad N] "
                                  "[--script NAME] [--kind NAME] [--case N] [--full]\n");
            exit(2);
        }
        i += flag ? 0 : 1;
    }
    return arguments;
}

static void report(const struct plan_of_all *plan, uint64_t bad)
{
    printf("cases %llu: starts refused %llu, exits %llu, error replies %llu, connections lost "
           "%llu; not noticed outside %llu, not met %llu; bad %llu\n",
           (unsigned long long)plan->cases, (unsigned long long)farm_tallied(TALLY_REFUSALS),
           (unsigned long long)farm_tallied(TALLY_EXITS),
           (unsigned long long)farm_tallied(TALLY_ERRORS),
           (unsigned long long)farm_tallied(TALLY_LOST),
           (unsigned long long)farm_tallied(TALLY_QUIET),
           (unsigned long long)farm_tallied(TALLY_UNMET), (unsigned long long)bad);
}

int main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv);
    stage_init();
    struct plan_of_all plan = {0};
    plan_all(&plan, &arguments);
    if (arguments.number < plan.cases) {
        case_print(&plan, arguments.number);
        printf("\n");
        struct failure failure = case_of(&plan, arguments.number);
        run_case(&failure, NULL);
        return 0;
    }
    struct farm farm = {
        .count = plan.cases,
        .jobs = (uint32_t)arguments.jobs,
        .lasts_s = 120,
        .bad_max = (uint32_t)arguments.bad_max,
        .context = &plan,
        .run = case_run,
        .print = case_print,
    };
    uint64_t bad = farm_run(&farm);
    report(&plan, bad);
    sim_free(plan.ranges);
    return bad > 0 ? 1 : 0;
}
