/*
 * logs: a log in a fresh directory, with shards that write to it, for the tests of the log room.
 *
 * A world is opened and closed any number of times, as a server would do it: each opening raises
 * the epoch. Between two openings a test may damage the files. There is no gc thread; a test calls
 * log_housekeep itself.
 */
#ifndef TESTS_LOGS_H
#define TESTS_LOGS_H

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/logger.h"
#include "log/log.h"
#include "shard/shard.h"

enum {
    WORLD_PATH_BYTES = 256,
    WORLD_SEGMENT_BYTES = LOG_SEGMENT_BYTES_MIN,
    WORLD_LINES_BYTES = 16384,
};

struct world {
    char dir[WORLD_PATH_BYTES]; /* of the test */
    char log_dir[WORLD_PATH_BYTES];
    struct log_options options; /* for the next opening; `epoch` is raised by it */
    uint32_t shards;
    struct log *log;
    struct shard_set *set;
    struct log_writer *writers[SHARDS_MAX];
    _Atomic int failures; /* calls of on_failure */
    _Atomic int failure;
    _Atomic int wakes; /* of the housekeeper */
};

/* Default options: segments of 1 MiB, mode `no` (no sync by itself), enabled. */
void world_init(struct world *world, uint32_t shards);
/* Removes the directory. The log is closed. */
void world_deinit(struct world *world);

/* log_open. On an error the epoch stays as it was. */
int world_open(struct world *world);
/* log_begin, shards and writers. */
void world_begin(struct world *world);
/* Both, and they must work. */
void world_start(struct world *world);
/* Writers, shards, log. */
void world_stop(struct world *world, bool sync);
/* Only the log (after world_open without world_begin). */
void world_close(struct world *world);

/* Runs fn on a shard, in a coroutine. */
int world_run(struct world *world, uint32_t shard, shard_call_fn *fn, void *argument);

/* Appends a record made from (shard, number, bytes) by record_fill, and flushes. Returns the
 * writer's end. */
uint64_t world_append(struct world *world, uint32_t shard, uint32_t number, size_t bytes);
/* Waits until all that this shard has put into the stream is durable. */
int world_sync(struct world *world, uint32_t shard);
/* Until it says that there is nothing to do. */
void world_housekeep(struct world *world);

/* ---- records whose bytes can be checked ---- */

enum { RECORD_BYTES_MIN = 12 }; /* shorter ones carry no number */

void record_fill(uint8_t *to, size_t bytes, uint32_t shard, uint32_t number);

struct record_seen {
    struct lsn lsn;
    uint8_t type;
    uint32_t shard;
    uint32_t number;
    size_t bytes;
};

struct records_seen {
    struct record_seen *records;
    uint32_t count;
    uint32_t capacity;
    int result; /* how reading ended: 0 or an error */
};

/* Reads all from `from` on. A record whose bytes are not those of record_fill fails the test. */
void records_read(struct world *world, uint64_t from, struct records_seen *seen);
void records_deinit(struct records_seen *seen);

/* Opens, reads all from the options' start, and closes. Returns log_open's error, or the reader's.
 */
int world_recover(struct world *world, struct records_seen *seen);

/* ---- files ---- */

void segment_name(const struct world *world, uint64_t number, char path[WORLD_PATH_BYTES]);
bool segment_is_there(const struct world *world, uint64_t number);
/* At a position of the stream. */
void stream_peek(const struct world *world, uint64_t lsn, void *data, size_t bytes);
void stream_poke(const struct world *world, uint64_t lsn, const void *data, size_t bytes);
void stream_zero(const struct world *world, uint64_t lsn, size_t bytes);

/* ---- what was logged ---- */

/* Collects the server's log lines instead of printing them. */
void lines_catch(void);
void lines_clear(void);
bool lines_have(const char *text);

#endif
