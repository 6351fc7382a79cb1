#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "client.h"
#include "load.h"
#include "memory.h"
#include "override.h"
#include "plan.h"
#include "process.h"
#include "seams.h"
#include "threads.h"
#include "world.h"

enum {
    CLIENTS_MAX = 16,
    /* With nothing failing, the server must be done with whatever it was asked within. */
    LIVENESS_S = 600,
    IDLE_TURN_NS = 100 * 1000,
    STEPS_MAX = 50 * 1000 * 1000, /* of one phase: a loop without end */
};
#define SECOND_NS INT64_C(1000000000)

struct actor {
    struct client client;
    struct run *run;
    struct world_event turn;
};

struct run {
    struct plan plan;
    struct disk *disk;
    struct load *loads[PLAN_LOADS_MAX];
    struct actor actors[CLIENTS_MAX];
    uint32_t shards; /* of this life */
    char conf[PLAN_CONF_BYTES];
    bool loading;
    uint64_t commands_left;
    int64_t cut_ns;    /* when the power was last cut, or a failed sync was found to be as bad */
    bool was_cut;      /* this life */
    uint64_t reverted; /* of the disk's figures, before this life */
    uint64_t stop_at;
    bool verbose;
    struct run_figures figures;
};

/* ---- stepping ---- */

static void step(struct run *run)
{
    if (run->stop_at > 0 && world_steps() >= run->stop_at) {
        world_print_tail();
        printf("stopped at step %llu\nhash %016llx\n", (unsigned long long)world_steps(),
               (unsigned long long)world_hash());
        exit(0);
    }
    if (!world_step()) {
        process_print_log();
        world_violation("nothing can go on: threads wait for what will never come");
    }
}

/* Steps until `is_done`, which must come to be. */
static void step_until(struct run *run, const char *what, bool (*is_done)(struct run *))
{
    int64_t end_ns = world_now_ns() + LIVENESS_S * SECOND_NS;
    uint64_t end_step = world_steps() + STEPS_MAX;
    while (!is_done(run)) {
        if (world_now_ns() > end_ns || world_steps() > end_step) {
            process_print_log();
            world_violation("no end in sight: %s", what);
        }
        step(run);
    }
}

static bool is_started(struct run *run)
{
    (void)run;
    return process_state() == PROCESS_READY || process_state() == PROCESS_ENDED;
}

static bool is_ended(struct run *run)
{
    (void)run;
    return process_state() == PROCESS_ENDED;
}

/* ---- clients ---- */

static void actor_turn(struct world_event *event);

/* One that could do nothing comes back later: else waiting takes most of the steps. */
static void actor_think(struct actor *actor, bool idle)
{
    if (actor->run->loading && !actor->turn.scheduled) {
        int64_t ns = (int64_t)world_below(STREAM_LOAD, (uint64_t)actor->run->plan.think_ns_max) + 1;
        world_schedule(&actor->turn, ns + (idle ? IDLE_TURN_NS : 0), actor_turn);
    }
}

static void jump_clock(struct run *run)
{
    if (world_chance(STREAM_CLOCK, run->plan.clock_jump_rate)) {
        int64_t ms = (int64_t)world_below(STREAM_CLOCK, 200000) - 100000;
        world_jump_real_ms(ms);
    }
}

static void save_done(struct request *request, const struct reply *reply)
{
    (void)request;
    (void)reply;
}

/* Checkpoints come by themselves, but seldom in lives of some seconds. */
static void save(struct run *run, struct client *client)
{
    if (client_is_connected(client) && world_chance(STREAM_LOAD, run->plan.save_rate) &&
        client->pending < run->plan.pipeline_max) {
        struct command command = {.argc = 0};
        command_add_text(&command, "BGSAVE");
        client_send(client, &command, request_make(save_done, run));
    }
}

static void actor_turn(struct world_event *event)
{
    struct actor *actor = container_of(event, struct actor, turn);
    struct run *run = actor->run;
    if (!run->loading) {
        return;
    }
    jump_clock(run);
    if (!client_is_connected(&actor->client)) {
        (void)client_connect(&actor->client, (uint32_t)world_below(STREAM_LOAD, run->shards));
    }
    save(run, &actor->client);
    uint64_t left = run->commands_left;
    uint64_t wanted = world_between(STREAM_LOAD, 1, run->plan.pipeline_max);
    while (client_is_connected(&actor->client) && actor->client.pending < wanted &&
           run->commands_left > 0) {
        struct load *load = run->loads[world_below(STREAM_LOAD, run->plan.load_count)];
        load->kind->issue(load, &actor->client);
        run->commands_left--;
        run->figures.commands++;
    }
    actor_think(actor, run->commands_left == left);
}

static void actors_close(struct run *run)
{
    run->loading = false;
    for (uint32_t i = 0; i < run->plan.clients; i++) {
        world_cancel(&run->actors[i].turn);
        client_close(&run->actors[i].client);
    }
}

static bool is_loaded(struct run *run)
{
    return run->commands_left == 0 || process_state() == PROCESS_ENDED;
}

/* ---- lives ---- */

static void start(struct run *run)
{
    run->shards = (uint32_t)world_between(STREAM_PLAN, 1, run->plan.shards_max);
    plan_conf(&run->plan, run->shards, run->conf);
    seams_set_mailbox_slots(run->plan.mailbox_slots);
    struct disk_stats stats;
    disk_stats(run->disk, &stats);
    run->reverted = stats.reverted;
    run->was_cut = false;
    process_start(run->disk, run->conf, run->shards);
    run->figures.lives++;
}

static void loads_life_ended(struct run *run, enum life_end end)
{
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        run->loads[i]->kind->life_ended(run->loads[i], end, world_now_ns());
    }
}

static void cut(struct run *run)
{
    run->cut_ns = world_now_ns();
    run->was_cut = true;
    loads_life_ended(run, LIFE_POWER_CUT);
}

/* A sync that failed may have taken from the page cache what it should have saved: what was
 * answered and not durable, also by the life before. That is what a power cut takes, at most. */
static void end_out_of_order(struct run *run)
{
    struct disk_stats stats;
    disk_stats(run->disk, &stats);
    if (stats.reverted > run->reverted) {
        SOMETIMES("a failed sync takes what was written");
        cut(run);
    } else {
        loads_life_ended(run, LIFE_KILLED);
    }
}

static void end_by_power(struct run *run)
{
    actors_close(run);
    process_power_cut();
    cut(run);
    run->figures.cuts++;
}

static void end_by_kill(struct run *run)
{
    actors_close(run);
    process_kill();
    end_out_of_order(run);
    run->figures.kills++;
}

/* It has ended by itself, for good or ill. */
static void end_by_itself(struct run *run)
{
    int code = process_code();
    if (code != 0 && !run->plan.disk_faults && run->plan.alloc_fail_rate == 0) {
        process_print_log();
        world_violation("the server ended with %d, and nothing had failed", code);
    }
    actors_close(run);
    process_reap();
    if (code == 0) {
        loads_life_ended(run, LIFE_STOPPED);
    } else {
        end_out_of_order(run);
    }
    run->figures.exits += code != 0;
    run->figures.stops += code == 0;
}

/* Lets the life go on for a while, then ends it in the way that was drawn. */
static void end_somehow(struct run *run)
{
    uint64_t how = world_below(STREAM_LOAD, 100);
    if (process_state() == PROCESS_ENDED) {
        end_by_itself(run);
    } else if (how < run->plan.power_percent) {
        end_by_power(run);
    } else if (how < run->plan.power_percent + run->plan.kill_percent) {
        end_by_kill(run);
    } else if (process_state() == PROCESS_READY) {
        actors_close(run);
        process_stop();
        step_until(run, "a stop", is_ended);
        end_by_itself(run);
    } else {
        end_by_kill(run);
    }
}

static void load_until_done(struct run *run)
{
    run->commands_left = world_between(STREAM_LOAD, 1, run->plan.commands_max);
    run->loading = true;
    for (uint32_t i = 0; i < run->plan.clients; i++) {
        actor_think(&run->actors[i], false);
    }
    if (process_state() == PROCESS_READY) {
        step_until(run, "the load", is_loaded);
    }
}

static void load(struct run *run)
{
    load_until_done(run);
    end_somehow(run);
}

/* The end comes while it starts, or while it loads. */
static void live(struct run *run)
{
    start(run);
    if (world_below(STREAM_LOAD, 100) < run->plan.early_percent) {
        uint64_t steps = world_below(STREAM_LOAD, 3000);
        while (steps-- > 0 && !is_started(run)) {
            step(run);
        }
        end_somehow(run);
        return;
    }
    step_until(run, "a start", is_started);
    load(run);
}

/* ---- checking ---- */

struct verdict {
    bool is_there;
    char text[512];
    int64_t integer;
};

static void verdict_done(struct request *request, const struct reply *reply)
{
    struct verdict *verdict = request->owner;
    SIM_CHECK(reply != NULL, "the connection is lost while nothing fails");
    verdict->is_there = true;
    verdict->integer = reply->integer;
    (void)snprintf(verdict->text, sizeof(verdict->text), "%c%.*s", reply->type, (int)reply->bytes,
                   reply->data == NULL ? "" : (const char *)reply->data);
}

static bool is_answered(struct run *run)
{
    return run->actors[0].client.pending == 0;
}

static void ask(struct run *run, const char *word, const char *second, struct verdict *ret_verdict)
{
    struct command command = {.argc = 0};
    command_add_text(&command, word);
    if (second != NULL) {
        command_add_text(&command, second);
    }
    *ret_verdict = (struct verdict){.is_there = false};
    client_send(&run->actors[0].client, &command, request_make(verdict_done, ret_verdict));
    step_until(run, word, is_answered);
    SIM_CHECK(ret_verdict->is_there, "%s is not answered", word);
}

static void check_count(struct run *run)
{
    int64_t wanted = 0;
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        int64_t count = run->loads[i]->kind->count(run->loads[i]);
        if (count < 0) {
            return;
        }
        wanted += count;
    }
    struct verdict verdict;
    ask(run, "DBSIZE", NULL, &verdict);
    SIM_CHECK(verdict.integer == wanted, "DBSIZE says %lld, there are %lld keys",
              (long long)verdict.integer, (long long)wanted);
}

/* Everything is read, compared and settled; the trees are verified. Nothing may fail. */
static void check_everything(struct run *run)
{
    struct client *client = &run->actors[0].client;
    bool connected = client_connect(client, 0);
    SIM_CHECK(connected, "nobody listens");
    losses_begin();
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        run->loads[i]->kind->check_all(run->loads[i], client);
        step_until(run, "reading everything", is_answered);
    }
    losses_check(run->plan.rules.sync_mode, run->cut_ns);
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        run->loads[i]->kind->check_end(run->loads[i]);
    }
    struct verdict verdict;
    ask(run, "DEBUG", "CHECK", &verdict);
    SIM_CHECK(verdict.text[0] == '+', "DEBUG CHECK says %s", verdict.text);
    check_count(run);
    client_close(client);
}

static void calm(struct run *run)
{
    disk_set_plan(run->disk, &run->plan.disk_calm);
    memory_set_fail_rate(0);
}

static void storm(struct run *run)
{
    disk_set_plan(run->disk, &run->plan.disk);
    memory_set_fail_rate(run->plan.alloc_fail_rate);
}

/* A start at which nothing fails must succeed, and all that is promised must be there. */
static void live_and_check(struct run *run)
{
    struct wire_plan wire = run->plan.wire;
    wire.reset_rate = 0;
    wire.stall_rate = 0;
    wire_set_plan(&wire);
    calm(run);
    start(run);
    step_until(run, "a start with nothing failing", is_started);
    if (process_state() == PROCESS_ENDED) {
        process_print_log();
        world_violation("the server refuses to start, code %d", process_code());
    }
    check_everything(run);
    wire_set_plan(&run->plan.wire);
    storm(run);
}

/* What the last life left, and an end at which nothing fails. */
static void live_last(struct run *run)
{
    live_and_check(run);
    calm(run);
    process_stop();
    step_until(run, "a stop with nothing failing", is_ended);
    end_by_itself(run);
}

/* ---- damage ---- */

/* Commands may fail from now on, but what they say must be true; and after damage to the log as
 * much may be lost as nothing that follows it proves to have been durable. */
static void loads_expect(struct run *run, enum damage damage)
{
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        struct load_rules *rules = &run->loads[i]->rules;
        rules->damage = damage == DAMAGE_PAGES;
        rules->sync_mode = damage == DAMAGE_LOG ? SYNC_NO : rules->sync_mode;
    }
}

/* A life under load, without faults, that is killed. */
static void live_to_be_damaged(struct run *run)
{
    start(run);
    step_until(run, "a start with nothing failing", is_started);
    SIM_CHECK(process_state() == PROCESS_READY, "the server refuses to start, code %d",
              process_code());
    load_until_done(run);
    end_by_kill(run);
    loads_expect(run, DAMAGE_LOG);
    loads_life_ended(run, LIFE_POWER_CUT);
}

static void read_everything(struct run *run)
{
    struct client *client = &run->actors[0].client;
    bool connected = client_connect(client, 0);
    SIM_CHECK(connected, "nobody listens");
    losses_begin();
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        run->loads[i]->kind->check_all(run->loads[i], client);
        step_until(run, "reading everything", is_answered);
    }
    losses_check_cut();
}

/* The last life of all: what was durable has been damaged. The server refuses to start and says
 * why, or serves what is whole. */
static void live_damaged(struct run *run)
{
    struct wire_plan wire = run->plan.wire;
    wire.reset_rate = 0;
    wire.stall_rate = 0;
    wire_set_plan(&wire);
    calm(run);
    if (run->plan.damage == DAMAGE_LOG) {
        live_to_be_damaged(run);
    }
    loads_expect(run, run->plan.damage);
    damage_do(run->disk, run->plan.damage);
    start(run);
    step_until(run, "a start after damage", is_started);
    if (process_state() == PROCESS_ENDED) {
        SIM_CHECK(process_said("damaged") || process_said("corrupt"),
                  "the server refuses to start, code %d, and doesn't say why", process_code());
        SOMETIMES("damage is refused");
        process_reap();
        return;
    }
    read_everything(run);
    SIM_CHECK(process_state() == PROCESS_READY, "damage has ended the server");
    client_close(&run->actors[0].client);
    process_kill();
}

/* ---- the run ---- */

static void run_begin(struct run *run, uint64_t seed)
{
    world_begin(seed);
    plan_draw(&run->plan);
    overrides_apply(&run->plan);
    run->disk = disk_create();
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        run->loads[i] = run->plan.loads[i]->create(&run->plan.rules);
    }
    for (uint32_t i = 0; i < run->plan.clients; i++) {
        run->actors[i].run = run;
        client_init(&run->actors[i].client, i);
    }
    wire_set_plan(&run->plan.wire);
    storm(run);
    if (run->verbose) {
        plan_print(&run->plan);
    }
}

static void run_end(struct run *run)
{
    run->figures.hash = world_hash();
    run->figures.steps = world_steps();
    run->figures.simulated_ns = world_now_ns();
    for (uint32_t i = 0; i < run->plan.clients; i++) {
        client_deinit(&run->actors[i].client);
    }
    wire_end();
    for (uint32_t i = 0; i < run->plan.load_count; i++) {
        run->loads[i]->kind->destroy(run->loads[i]);
    }
    disk_destroy(run->disk);
    world_end();
}

void run_seed(uint64_t seed, uint64_t stop_at, bool verbose, struct run_figures *ret_figures)
{
    struct run *run = sim_alloc(sizeof(*run));
    run->stop_at = stop_at;
    run->verbose = verbose;
    run_begin(run, seed);
    for (uint32_t i = 0; i < run->plan.lives; i++) {
        if (run->was_cut) {
            live_and_check(run);
            load(run);
        } else {
            live(run);
        }
    }
    live_last(run);
    if (run->plan.damage != DAMAGE_NONE) {
        live_damaged(run);
    }
    run_end(run);
    *ret_figures = run->figures;
    sim_free(run);
}
