#include "server/door.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/glob.h"
#include "base/logger.h"
#include "base/mem.h"
#include "base/quote.h"
#include "server/info.h"
#include "server/options.h"
#include "server/server.h"
#include "shard/await.h"

enum {
    GET_TEXT_BYTES_MAX = 1 << 20,
    GET_ENTRIES_MAX = CONFIG_DIRECTIVES_MAX * 2, /* aliases are shown, too */
    REWRITE_READ_BYTES = 64 << 10,
    APPLY_RETRY_NS = 1000000,
};

/* ---- CONFIG GET ---- */

struct config_entry {
    const char *name; /* the table's */
    size_t offset, bytes;
};

struct config_question {
    struct server *server;
    struct slice pattern;
    struct config_entry *entries;
    uint32_t count;
    struct buffer text; /* all values, one after the other */
};

static int note_entry(struct config_question *question, const char *name, uint32_t index)
{
    if (name == NULL || !glob_match(question->pattern, slice_cstr(name), true)) {
        return 0;
    }
    struct slice value = slice_cstr(question->server->config->values[index].text);
    ASSERT(question->count < GET_ENTRIES_MAX);
    question->entries[question->count++] =
        (struct config_entry){name, question->text.bytes, value.bytes};
    return buffer_append_slice(&question->text, value);
}

static int get_there(struct shard *there, void *argument)
{
    (void)there;
    struct config_question *question = argument;
    uint32_t count = directive_count();
    for (uint32_t i = 0; i < count; i++) {
        TRY(note_entry(question, directive_at(i)->name, i));
        TRY(note_entry(question, directive_at(i)->alias, i));
    }
    return 0;
}

typedef void config_each_fn(void *context, struct slice name, struct slice value);

static co_fn int door_config_get(void *context, struct slice pattern, config_each_fn *each,
                                 void *each_context)
{
    struct config_question question = {.server = context, .pattern = pattern};
    question.entries = mem_alloc(GET_ENTRIES_MAX * sizeof(*question.entries));
    if (question.entries == NULL) {
        return ERR_MEMORY;
    }
    buffer_init(&question.text, GET_TEXT_BYTES_MAX);
    int err = shard_call(shard_self(), 0, get_there, &question);
    for (uint32_t i = 0; err == 0 && i < question.count; i++) {
        const struct config_entry *entry = &question.entries[i];
        each(each_context, slice_cstr(entry->name),
             slice_of(question.text.data + entry->offset, entry->bytes));
    }
    buffer_deinit(&question.text);
    mem_free(question.entries);
    return err;
}

/* ---- CONFIG SET ---- */

struct config_order {
    struct server *server;
    const struct slice *pairs;
    uint32_t pair_count;
    char *error;
};

static int refuse(struct config_order *order, struct slice name, const char *reason)
{
    (void)snprintf(order->error, CONFIG_ERROR_BYTES,
                   "CONFIG SET failed (possibly related to argument '%.*s') - %s",
                   name.bytes < 64 ? (int)name.bytes : 64, (const char *)name.data, reason);
    return ERR_CONFIG;
}

/* One argument stands for all words that a line of the file would have. */
static int set_value(struct config *config, uint32_t index, struct slice value,
                     char error[CONFIG_ERROR_BYTES])
{
    enum directive_type type = directive_at(index)->type;
    if (type != CONFIG_WORDS && type != CONFIG_SAVE && type != CONFIG_LIMITS) {
        return config_set(config, index, &value, 1, error);
    }
    struct slice words[CONFIG_WORDS_MAX];
    struct buffer storage;
    buffer_init(&storage, CONFIG_TEXT_BYTES_MAX);
    int count = quote_split(value, words, CONFIG_WORDS_MAX, &storage);
    int err = count;
    if (count == ERR_PROTOCOL || count == ERR_LIMIT) {
        (void)snprintf(error, CONFIG_ERROR_BYTES, "argument couldn't be split into words");
        err = ERR_CONFIG;
    } else if (count >= 0) {
        err = config_set(config, index, words, (uint32_t)count, error);
    }
    buffer_deinit(&storage);
    return err;
}

/* All names are looked at before the first value, as Redis does. */
static int check_name(struct config_order *order, uint32_t pair, bool seen[CONFIG_DIRECTIVES_MAX])
{
    struct slice name = order->pairs[pair * 2];
    int index = directive_find(name);
    if (index < 0) {
        (void)snprintf(order->error, CONFIG_ERROR_BYTES,
                       "Unknown option or number of arguments for CONFIG SET - '%.*s'",
                       name.bytes < 64 ? (int)name.bytes : 64, (const char *)name.data);
        return ERR_CONFIG;
    }
    if (seen[index]) {
        return refuse(order, name, "duplicate parameter");
    }
    seen[index] = true;
    return 0;
}

static int set_pair(struct config_order *order, struct config *config, uint32_t pair)
{
    struct slice name = order->pairs[pair * 2];
    int index = directive_find(name);
    bool given = config->values[index].given;
    char error[CONFIG_ERROR_BYTES] = "out of memory";
    if (set_value(config, (uint32_t)index, order->pairs[pair * 2 + 1], error) < 0) {
        return refuse(order, name, error);
    }
    if ((directive_at((uint32_t)index)->flags & DIRECTIVE_FIXED) != 0) {
        const char *before = order->server->config->values[index].text;
        if (strcmp(before, config->values[index].text) != 0) {
            return refuse(order, name, "can't set immutable config");
        }
        config->values[index].given = given;
    }
    return 0;
}

static int apply_on_shard(struct shard *there, void *argument)
{
    struct server *server = argument;
    struct net_limits limits = options_net(server->config);
    struct cmd_options options = options_cmd(server->config);
    struct cmd_shard *here = shard_slot(there, SHARD_SLOT_CMD);
    net_set_limits(server->shards[shard_id(there)].net, &limits);
    cmd_shard_set_options(here, &options);
    return 0;
}

/* Every shard takes over what it needs: one that has no coroutine left for a moment is asked again,
 * since the configuration must be the same on all of them. Suspends. */
static co_fn void apply(struct server *server, struct shard *shard)
{
    const struct config *config = server->config;
    struct engine_options options = options_engine(config);
    logger_set_level((enum logger_level)config_number(config, DIRECTIVE_LOGLEVEL));
    log_set_sync_mode(engine_log(server->engine), options.sync_mode);
    engine_set_memory(server->engine, options.memory_bytes);
    net_shared_set_clients_max(server->net_shared,
                               (uint32_t)config_number(config, DIRECTIVE_MAXCLIENTS));
    for (uint32_t i = 0; i < shard_count(shard); i++) {
        while (shard_call(shard, i, apply_on_shard, server) < 0) {
            await_sleep_ns(shard, APPLY_RETRY_NS);
        }
    }
}

/* Suspends. */
static co_fn int set_there(struct shard *there, void *argument)
{
    struct config_order *order = argument;
    struct server *server = order->server;
    co_mutex_lock(&server->config_mutex);
    struct config *config = config_copy(server->config);
    bool seen[CONFIG_DIRECTIVES_MAX] = {false};
    int err = config != NULL ? 0 : ERR_MEMORY;
    for (uint32_t i = 0; err == 0 && i < order->pair_count; i++) {
        err = check_name(order, i, seen);
    }
    for (uint32_t i = 0; err == 0 && i < order->pair_count; i++) {
        err = set_pair(order, config, i);
    }
    if (err == 0) {
        config_destroy(server->config);
        server->config = config;
        apply(server, there);
    } else {
        config_destroy(config);
    }
    co_mutex_unlock(&server->config_mutex);
    return err;
}

static co_fn int door_config_set(void *context, struct shard *shard, const struct slice *pairs,
                                 uint32_t pair_count, char *error)
{
    struct config_order order = {
        .server = context, .pairs = pairs, .pair_count = pair_count, .error = error};
    (void)snprintf(error, CONFIG_ERROR_BYTES, "CONFIG SET failed - out of memory");
    return shard_call(shard, 0, set_there, &order);
}

/* ---- CONFIG REWRITE ---- */

/* The whole file; an absent one is empty. Suspends. */
static co_fn int read_all(struct shard *shard, const char *path, struct buffer *text)
{
    int fd = await_open(shard, path, O_RDONLY, 0);
    if (fd < 0) {
        return fd == -ENOENT ? 0 : fd;
    }
    int got = 0;
    do {
        got = buffer_reserve(text, REWRITE_READ_BYTES);
        if (got == 0) {
            got = await_read(shard, fd, text->data + text->bytes, REWRITE_READ_BYTES, text->bytes);
        }
        text->bytes += got > 0 ? (size_t)got : 0;
    } while (got == REWRITE_READ_BYTES);
    IGNORE(await_close(shard, fd), "nothing was written to it");
    return got < 0 ? got : 0;
}

/* Suspends. */
static co_fn int write_all(struct shard *shard, const char *path, const struct buffer *text)
{
    int fd = await_open(shard, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        return fd;
    }
    int err = 0;
    if (text->bytes > 0) {
        err = await_write(shard, fd, text->data, (uint32_t)text->bytes, 0);
    }
    if (err == 0) {
        err = await_sync_all(shard, fd);
    }
    int closed = await_close(shard, fd);
    return err < 0 ? err : closed;
}

/* Suspends. Not inlined: two paths would be too much for one frame. */
static __attribute__((noinline)) co_fn int sync_folder_of(struct shard *shard, const char *path)
{
    char folder[CONFIG_PATH_BYTES];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)snprintf(folder, sizeof(folder), ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    return await_sync_dir(shard, folder);
}

/* Through a new file that takes the old one's name, so that there is a whole one at any time.
 * Suspends. */
static co_fn int rewrite_file(struct server *server, struct shard *shard)
{
    const char *path = server->config->file;
    char path_new[CONFIG_PATH_BYTES + 16];
    (void)snprintf(path_new, sizeof(path_new), "%s.new-%d", path, (int)getpid());
    struct buffer before;
    struct buffer after;
    buffer_init(&before, CONFIG_TEXT_BYTES_MAX);
    buffer_init(&after, CONFIG_TEXT_BYTES_MAX * 2);
    int err = read_all(shard, path, &before);
    if (err == 0) {
        err = config_rewrite(server->config, buffer_slice(&before), &after);
    }
    if (err == 0) {
        err = write_all(shard, path_new, &after);
    }
    if (err == 0) {
        err = await_rename(shard, path_new, path);
    }
    if (err == 0) {
        err = sync_folder_of(shard, path);
    }
    buffer_deinit(&before);
    buffer_deinit(&after);
    return err;
}

struct rewrite_order {
    struct server *server;
    char *error;
};

/* Suspends. */
static co_fn int rewrite_there(struct shard *there, void *argument)
{
    struct rewrite_order *order = argument;
    struct server *server = order->server;
    if (server->config->file[0] == '\0') {
        (void)snprintf(order->error, CONFIG_ERROR_BYTES,
                       "The server is running without a config file");
        return ERR_CONFIG;
    }
    co_mutex_lock(&server->config_mutex);
    int err = rewrite_file(server, there);
    co_mutex_unlock(&server->config_mutex);
    if (err < 0) {
        LOGGER_WARNING("CONFIG REWRITE failed: %s", error_text(err));
        (void)snprintf(order->error, CONFIG_ERROR_BYTES, "Rewriting config file: %s",
                       error_text(err));
    } else {
        LOGGER_NOTICE("CONFIG REWRITE executed with success.");
    }
    return err;
}

static co_fn int door_config_rewrite(void *context, struct shard *shard, char *error)
{
    struct rewrite_order order = {.server = context, .error = error};
    return shard_call(shard, 0, rewrite_there, &order);
}

/* ---- the rest ---- */

static co_fn int door_info(void *context, struct shard *shard, const struct slice *sections,
                           uint32_t count, struct buffer *text)
{
    return info_append(context, shard, sections, count, text);
}

/* Wakes the main thread, which waits for signals. */
static void door_shutdown(void *context, bool save)
{
    struct server *server = context;
    atomic_store(&server->shutdown_save, save);
    atomic_store(&server->shutdown_asked, true);
    int err = kill(getpid(), SIGUSR2);
    ASSERT(err == 0);
}

struct server_door door_of(struct server *server)
{
    return (struct server_door){
        .info = door_info,
        .config_get = door_config_get,
        .config_set = door_config_set,
        .config_rewrite = door_config_rewrite,
        .shutdown = door_shutdown,
        .context = server,
    };
}
