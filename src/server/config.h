/*
 * config: the server's settings: one table of directives, and values for them.
 *
 * Model. A directive has a name, a type, a default and flags; the table (config_table.c) is the
 * only truth about it: files, arguments, CONFIG GET, SET and REWRITE and conf/eloqstore.conf all go
 * by it. What the server acts on has an id (DIRECTIVE_PORT ...); what Redis knows and we don't act
 * on (config_ignored.c) is accepted, remembered and shown, and noted once in the log. A value is
 * kept as its canonical text, as CONFIG GET shows it, with its number beside it where it has one.
 *
 * Files have redis.conf's syntax (config_parse.c); arguments are turned into lines of such a file,
 * which come after the file's.
 *
 * Threads: none of its own. The main thread fills a config at start; then it belongs to shard 0
 * (server/door.h).
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

enum {
    CONFIG_DIRECTIVES_MAX = 256,
    CONFIG_ERROR_BYTES = 256,
    CONFIG_WORDS_MAX = 48,           /* of one line */
    CONFIG_TEXT_BYTES_MAX = 1 << 20, /* of a file */
    CONFIG_PATH_BYTES = 1024,
    CONFIG_INCLUDES_MAX = 16, /* nested */
};

/* What the server acts on. The order is the table's. */
enum directive_id {
    DIRECTIVE_BIND,
    DIRECTIVE_PORT,
    DIRECTIVE_TCP_BACKLOG,
    DIRECTIVE_UNIXSOCKET,
    DIRECTIVE_UNIXSOCKETPERM,
    DIRECTIVE_TIMEOUT,
    DIRECTIVE_TCP_KEEPALIVE,
    DIRECTIVE_PROTECTED_MODE,
    DIRECTIVE_REQUIREPASS,
    DIRECTIVE_ENABLE_DEBUG_COMMAND,
    DIRECTIVE_MAXCLIENTS,
    DIRECTIVE_PROTO_MAX_BULK_LEN,
    DIRECTIVE_CLIENT_QUERY_BUFFER_LIMIT,
    DIRECTIVE_CLIENT_OUTPUT_BUFFER_LIMIT,
    DIRECTIVE_DIR,
    DIRECTIVE_DATABASES,
    DIRECTIVE_PIDFILE,
    DIRECTIVE_LOGLEVEL,
    DIRECTIVE_LOGFILE,
    DIRECTIVE_DAEMONIZE,
    DIRECTIVE_SUPERVISED,
    DIRECTIVE_APPENDONLY,
    DIRECTIVE_APPENDFSYNC,
    DIRECTIVE_MAXMEMORY,
    DIRECTIVE_MAXMEMORY_POLICY,
    DIRECTIVE_SAVE,
    DIRECTIVE_SLOWLOG_LOG_SLOWER_THAN,
    DIRECTIVE_SLOWLOG_MAX_LEN,
    DIRECTIVE_HZ,
    DIRECTIVE_SHARDS,
    DIRECTIVE_IO_BACKEND,
    DIRECTIVE_PARTITIONS,
    DIRECTIVE_DATA_FILE_SIZE,
    DIRECTIVE_LOG_SEGMENT_SIZE,
    DIRECTIVE_LOG_SIZE_MAX,
    DIRECTIVE_CHECKPOINT_AGE,
    DIRECTIVE_DIRTY_RATIO,
    DIRECTIVE_ID_COUNT,
};

enum directive_type {
    CONFIG_BOOL,   /* yes, no */
    CONFIG_INT,    /* within min and max */
    CONFIG_BYTES,  /* with a unit, within min and max */
    CONFIG_OCTAL,  /* permissions */
    CONFIG_ENUM,   /* one of choices; its number is the index */
    CONFIG_STRING, /* one word */
    CONFIG_WORDS,  /* any number of words */
    CONFIG_SAVE,   /* pairs of seconds and changes; lines add up */
    CONFIG_LIMITS, /* client-output-buffer-limit: class hard soft seconds, ... */
};

enum directive_flag {
    DIRECTIVE_FIXED = 1 << 0,   /* only at start */
    DIRECTIVE_IGNORED = 1 << 1, /* has no effect here; `note` tells why */
    DIRECTIVE_REFUSED = 1 << 2, /* any value but the default is an error; `note` tells why */
};

struct directive {
    const char *name;
    const char *alias; /* another name for the same, or NULL */
    enum directive_type type;
    uint32_t flags;
    const char *fallback;       /* the default, as canonical text */
    const char *note;           /* one line for the configuration file or the log */
    int64_t min, max;           /* CONFIG_INT, CONFIG_BYTES */
    const char *const *choices; /* CONFIG_ENUM, ends with NULL */
};

/* ---- the table ---- */

uint32_t directive_count(void);
/* index < DIRECTIVE_ID_COUNT: of that id. */
const struct directive *directive_at(uint32_t index);
/* By name or alias, in any case of letters; its index, or ERR_NOT_FOUND. */
NODISCARD int directive_find(struct slice name);
/* The name nearest to a mistyped one, NULL if none is near. */
const char *directive_nearest(struct slice name);

/* ---- values ---- */

struct config_value {
    char *text; /* owned */
    int64_t number;
    bool given; /* by a file, an argument or CONFIG SET */
};

/* Of client-output-buffer-limit. */
struct config_limit {
    uint64_t hard_bytes, soft_bytes;
    uint32_t soft_seconds;
};
enum config_class {
    CONFIG_CLASS_NORMAL,
    CONFIG_CLASS_REPLICA,
    CONFIG_CLASS_PUBSUB,
    CONFIG_CLASS_COUNT
};

struct config {
    struct config_value values[CONFIG_DIRECTIVES_MAX]; /* by the table's index */
    struct config_limit limits[CONFIG_CLASS_COUNT];
    char file[CONFIG_PATH_BYTES]; /* as given; empty: there is none */
};

/* All defaults. NULL: no memory. */
NODISCARD struct config *config_create(void);
NODISCARD struct config *config_copy(const struct config *config);
void config_destroy(struct config *config);

const char *config_text(const struct config *config, enum directive_id id);
int64_t config_number(const struct config *config, enum directive_id id);
static inline bool config_bool(const struct config *config, enum directive_id id)
{
    return config_number(config, id) != 0;
}

/* Sets directive `index` from words, checked. On ERR_CONFIG nothing has changed, and `error` holds
 * Redis's text for it. ERR_MEMORY. */
NODISCARD int config_set(struct config *config, uint32_t index, const struct slice *words,
                         uint32_t count, char error[CONFIG_ERROR_BYTES]);

/* Sets a canonical text that the server has found out itself (the number of shards, say). Without
 * memory the old one stays. */
void config_note(struct config *config, enum directive_id id, int64_t number);

/* ---- reading (config_parse.c) ---- */

/* The words of a line, as quote_split gives them; 0 for a comment. */
NODISCARD int config_split_line(struct slice line, struct slice *words, struct buffer *storage);

/* Where and why reading ended. */
struct config_failure {
    char file[CONFIG_PATH_BYTES]; /* empty: the arguments */
    uint32_t line;
    char text[CONFIG_ERROR_BYTES]; /* the line */
    char reason[CONFIG_ERROR_BYTES];
};

/* Applies a file's text; `file` is for messages and for finding relative includes. ERR_CONFIG with
 * *ret_failure filled. May block. */
NODISCARD int config_read_text(struct config *config, struct slice text, const char *file,
                               struct config_failure *ret_failure);
NODISCARD int config_read_file(struct config *config, const char *path,
                               struct config_failure *ret_failure);
/* argv without the program's name, as redis-server takes them: [file | -] [--directive value...]...
 */
NODISCARD int config_read_arguments(struct config *config, int argc, char **argv,
                                    struct config_failure *ret_failure);

/* Calls `each` for every directive that was given and has no effect. */
void config_each_ignored(const struct config *config,
                         void (*each)(void *context, const struct directive *directive),
                         void *context);

/* ---- writing (config_rewrite.c) ---- */

/* The file's text as it should be for these values: comments, order and unknown whitespace stay,
 * lines of changed directives are replaced, what is not in the file is added at its end. */
NODISCARD int config_rewrite(const struct config *config, struct slice old_text,
                             struct buffer *new_text);

#endif
