#include "base/assert.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "cmd/context.h"
#include "cmd/remote.h"
#include "cmd/session.h"
#include "cmd/slowlog.h"

enum { WAITING_RETRY_NS = 1000000 };

/* After the data room's own flush of the log: what foreign batches changed is in the stream, so
 * they may go back. */
static bool cmd_shard_flush(struct shard *shard, void *argument)
{
    (void)shard;
    struct cmd_shard *here = argument;
    if (!list_empty(&here->executed_batches)) {
        log_flush(here->writer);
        remote_return_executed(here);
    }
    return false;
}

static void cmd_shard_retry(struct shard *shard, struct shard_timer *timer)
{
    (void)shard;
    cmd_shard_resume_waiting(container_of(timer, struct cmd_shard, waiting_timer));
}

void cmd_shard_wait(struct cmd_shard *here)
{
    if (!here->waiting_timer.armed) {
        shard_timer_arm(here->shard, &here->waiting_timer, WAITING_RETRY_NS, cmd_shard_retry);
    }
}

void cmd_shard_resume_waiting(struct cmd_shard *here)
{
    struct list waiting;
    list_init(&waiting);
    list_splice_back(&waiting, &here->waiting);
    struct list_node *node;
    while ((node = list_pop_front(&waiting)) != NULL) {
        conn_resume(container_of(node, struct session, waiting_node)->conn);
    }
    remote_start_held(here);
}

void cmd_shard_resume_first(struct cmd_shard *here)
{
    struct list_node *node = list_pop_front(&here->waiting);
    if (node != NULL) {
        conn_resume(container_of(node, struct session, waiting_node)->conn);
    }
}

static void cmd_shard_init_lists(struct cmd_shard *here)
{
    list_init(&here->waiting);
    list_init(&here->held_batches);
    list_init(&here->executed_batches);
    list_init(&here->slowlog);
    list_init(&here->monitors);
    co_event_init(&here->drained);
    co_event_init(&here->saved);
    co_sem_init(&here->exclusive_turn, 1);
    output_init(&here->scratch, SIZE_MAX);
}

int cmd_shard_create(struct cmd_server *server, struct shard *shard, const struct cmd_below *below,
                     const struct cmd_options *options, struct cmd_shard **ret_here)
{
    struct cmd_shard *here = mem_calloc(1, sizeof(*here));
    struct command_stats *stats = mem_calloc(command_count(), sizeof(*stats));
    if (here == NULL || stats == NULL) {
        mem_free(here);
        mem_free(stats);
        return ERR_MEMORY;
    }
    *here = (struct cmd_shard){.shard = shard,
                               .server = server,
                               .keyspace = below->keyspace,
                               .log = below->log,
                               .writer = below->writer,
                               .options = *options,
                               .stats = stats};
    cmd_shard_init_lists(here);
    random_from_os(&here->random, sizeof(here->random));
    int err = scan_cursors_create(SCAN_CURSORS_MAX, &here->cursors);
    if (err == 0) {
        err = shard_add_hook(shard, SHARD_HOOK_FLUSH, cmd_shard_flush, here);
    }
    if (err < 0) {
        scan_cursors_destroy(here->cursors);
        mem_free(stats);
        mem_free(here);
        return err;
    }
    shard_set_slot(shard, SHARD_SLOT_CMD, here);
    server->shard_states[shard_id(shard)] = here;
    *ret_here = here;
    return 0;
}

co_fn void cmd_shard_finish(struct cmd_shard *here)
{
    while (here->saving > 0) {
        co_event_wait(&here->saved);
    }
}

void cmd_shard_destroy(struct cmd_shard *here)
{
    if (here == NULL) {
        return;
    }
    ASSERT(list_empty(&here->waiting));
    ASSERT(here->executing == 0 && here->coordinators == 0 && here->saving == 0);
    ASSERT(list_empty(&here->held_batches) && list_empty(&here->executed_batches));
    shard_timer_disarm(here->shard, &here->waiting_timer);
    shard_remove_hook(here->shard, SHARD_HOOK_FLUSH, cmd_shard_flush, here);
    shard_set_slot(here->shard, SHARD_SLOT_CMD, NULL);
    here->server->shard_states[shard_id(here->shard)] = NULL;
    slowlog_clear(here);
    scan_cursors_destroy(here->cursors);
    output_deinit(&here->scratch);
    mem_free(here->keys_scratch);
    mem_free(here->stats);
    mem_free(here);
}

void cmd_shard_set_net(struct cmd_shard *here, struct net *net)
{
    here->net = net;
}

void cmd_shard_set_options(struct cmd_shard *here, const struct cmd_options *options)
{
    here->options = *options;
    slowlog_trim(here);
}
