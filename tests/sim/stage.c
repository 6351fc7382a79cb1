#include "stage.h"

#include <stdio.h>
#include <string.h>

#include "process.h"
#include "wire.h"
#include "world.h"

enum {
    LIVENESS_S = 600,
    STEPS_MAX = 3 * 1000 * 1000, /* of one command, start or stop: a loop without end */
};
#define MS_NS INT64_C(1000000)

static struct {
    struct disk *disk;
    struct client client;
    struct answer answer;
    bool answered;
    size_t capacity;
    uint32_t shards, turn;
} stage;

/* ---- the world ---- */

void stage_begin(uint64_t seed)
{
    static const struct disk_plan calm = {
        .delay_ns_min = MS_NS / 100,
        .delay_ns_max = MS_NS / 10,
        .sync_ns_min = MS_NS / 10,
        .sync_ns_max = MS_NS,
        .land_after_kill_ns_max = MS_NS,
    };
    static const struct wire_plan wire = {
        .delay_ns_max = MS_NS / 100, .segment_max = 1 << 20, .buffer_bytes = 1 << 20};
    world_begin(seed);
    stage.disk = disk_create();
    disk_set_plan(stage.disk, &calm);
    client_init(&stage.client, 0);
    wire_set_plan(&wire);
}

void stage_end(void)
{
    client_deinit(&stage.client);
    wire_end();
    disk_destroy(stage.disk);
    stage.disk = NULL;
    world_end();
}

struct disk *stage_disk(void)
{
    return stage.disk;
}

struct disk *stage_swap_disk(struct disk *disk)
{
    struct disk *old = stage.disk;
    stage.disk = disk;
    return old;
}

/* ---- stepping ---- */

static bool is_started(void)
{
    return process_state() == PROCESS_READY || process_state() == PROCESS_ENDED;
}

static bool is_ended(void)
{
    return process_state() == PROCESS_ENDED;
}

static bool is_answered(void)
{
    return stage.answered || is_ended();
}

static void step_until(bool (*is_done)(void), const char *what)
{
    int64_t end_ns = world_now_ns() + LIVENESS_S * 1000 * MS_NS;
    uint64_t end_step = world_steps() + STEPS_MAX;
    while (!is_done()) {
        bool more = world_now_ns() < end_ns && world_steps() < end_step && world_step();
        if (!more && !is_done()) {
            process_print_log();
            world_violation("no end in sight: %s", what);
        }
    }
}

/* ---- lives ---- */

bool stage_start(const char *conf, uint32_t shards)
{
    stage.shards = shards;
    process_start(stage.disk, conf, shards);
    step_until(is_started, "a start");
    return !is_ended();
}

bool stage_is_alive(void)
{
    return process_state() == PROCESS_READY;
}

int stage_code(void)
{
    return process_code();
}

int stage_reap(void)
{
    int code = process_code();
    client_close(&stage.client);
    process_reap();
    return code;
}

int stage_stop(void)
{
    client_close(&stage.client);
    if (!is_ended()) {
        process_stop();
        step_until(is_ended, "a stop");
    }
    return stage_reap();
}

void stage_kill(void)
{
    client_close(&stage.client);
    process_kill();
}

void stage_power_cut(void)
{
    client_close(&stage.client);
    process_power_cut();
}

/* ---- commands ---- */

bool stage_is_connected(void)
{
    return client_is_connected(&stage.client);
}

static bool connect_somewhere(void)
{
    return stage_is_connected() || client_connect(&stage.client, stage.turn++ % stage.shards);
}

static void text_add(const void *data, size_t bytes)
{
    struct answer *answer = &stage.answer;
    if (answer->bytes + bytes + 1 > stage.capacity) {
        stage.capacity = (answer->bytes + bytes + 1) * 2;
        answer->text = sim_realloc(answer->text, stage.capacity);
    }
    if (bytes > 0) {
        memcpy(answer->text + answer->bytes, data, bytes);
    }
    answer->bytes += bytes;
    answer->text[answer->bytes] = '\0';
}

static void text_add_items(const struct reply *reply)
{
    for (uint32_t i = 0; i < reply->count; i++) {
        const struct reply *item = &reply->items[i];
        char head[32];
        text_add(head, (size_t)snprintf(head, sizeof(head), "%c%lld ", item->type,
                                        (long long)item->integer));
        if (item->type == '*') {
            text_add_items(item);
        } else if (item->type == '$' || item->type == '+' || item->type == '-') {
            text_add(item->data, item->bytes);
        }
    }
}

static void take_answer(struct request *request, const struct reply *reply)
{
    (void)request;
    struct answer *answer = &stage.answer;
    stage.answered = true;
    answer->lost = reply == NULL;
    if (reply == NULL) {
        return;
    }
    answer->type = reply->type;
    answer->integer = reply->integer;
    answer->count = reply->count;
    if (reply->type == '*') {
        text_add_items(reply);
    } else if (reply->data != NULL) {
        text_add(reply->data, reply->bytes);
    }
}

struct answer stage_ask(const struct command *command)
{
    stage.answer = (struct answer){.lost = true, .text = stage.answer.text};
    text_add("", 0);
    stage.answered = false;
    if (is_ended() || !connect_somewhere()) {
        return stage.answer;
    }
    client_send(&stage.client, command, request_make(take_answer, NULL));
    step_until(is_answered, "a command");
    if (!stage.answered) {
        client_close(&stage.client);
    }
    return stage.answer;
}

struct answer stage_ask_words(const char *words)
{
    struct command command = {.argc = 0};
    while (*words != '\0') {
        size_t bytes = strcspn(words, " ");
        command_add(&command, words, bytes);
        words += bytes + (words[bytes] == ' ');
    }
    return stage_ask(&command);
}

static struct world_event alarm_clock;
static bool alarm_rang;

static void ring(struct world_event *event)
{
    (void)event;
    alarm_rang = true;
}

static bool has_rung(void)
{
    return alarm_rang || is_ended();
}

void stage_pause_ms(int64_t ms)
{
    alarm_clock = (struct world_event){0};
    alarm_rang = false;
    world_schedule(&alarm_clock, ms * MS_NS, ring);
    step_until(has_rung, "a pause");
    world_cancel(&alarm_clock);
}
