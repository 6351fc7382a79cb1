/*
 * eloqstore-sim-sweep: one damage of a small store at one place after the other.
 *
 *     eloqstore-sim-sweep [--every N] [--jobs J] [--bad N] [--case N] [--full]
 *
 * The stores are those of sweep_store.h, one stopped in order and one killed. Damages of each file:
 *
 *     flip      one bit of a byte, which one goes by the place
 *     copy      a chunk of 512 bytes or 4 KiB stands at another place, too
 *     swap      two chunks have changed places, also with one of another file
 *     old       a chunk is as it was in an earlier state of the file
 *     cut       the file ends at a multiple of 512
 *     empty, removed
 *
 * Then a server is started. It refuses to and says which file, or it has exactly the data, or it
 * answers some keys with errors and says file and offset; DEBUG CHECK finds what no key shows.
 *
 * By design (docs/durability.md) a damaged end of the log of a killed server is taken for a torn
 * one: then its last changes are missing. That is allowed only if the damage has touched the
 * frame of each change that is lost: a frame that is whole shows that those before it were durable.
 *
 * --every N takes each N-th byte for flips, and other damages more thinly too; --full takes all.
 * Chunks of zeros (what is preallocated) are damaged at few places in any case.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "disk_damage.h"
#include "farm.h"
#include "process.h"
#include "stage.h"
#include "stage_init.h"
#include "sweep_store.h"
#include "world.h"

enum { SMALL = 512, LARGE = 4096, CHUNK_SIZES = 2, ZEROS_STEP = 1024, ZEROS_STEP_FULL = 64 };
static const uint32_t chunk_bytes[CHUNK_SIZES] = {SMALL, LARGE};

enum damage_kind {
    DAMAGE_FLIP,
    DAMAGE_COPY,
    DAMAGE_SWAP,
    DAMAGE_OLD,
    DAMAGE_CUT,
    DAMAGE_EMPTY,
    DAMAGE_REMOVED,
    DAMAGES,
};
static const char *const damage_names[DAMAGES] = {"flip", "copy",  "swap",   "old",
                                                  "cut",  "empty", "removed"};

struct damage {
    uint8_t image, kind;
    uint16_t file, other_file;
    uint32_t bytes;
    uint64_t at, other_at;
};

struct cases {
    struct damage *all;
    uint64_t count, capacity;
    uint64_t every; /* of flips */
    uint64_t zeros_step;
    bool full;
};

/* Outcomes by kind of damage come before it. */
enum { TALLY_UNNAMED = DAMAGES * OUTCOMES };
_Static_assert((int)TALLY_UNNAMED < (int)FARM_TALLIES, "a tally for each");

/* ---- doing it ---- */

static struct sweep_file *file_of(const struct damage *damage)
{
    return &sweep_stores[damage->image].files[damage->file];
}

static struct sweep_file *other_of(const struct damage *damage)
{
    return &sweep_stores[damage->image].files[damage->other_file];
}

static void poke(struct disk *disk, const char *path, const void *data, uint64_t bytes, uint64_t at)
{
    int err = disk_poke(disk, path, data, bytes, at);
    SIM_CHECK(err == 0, "simulator: %s can't be damaged at %llu", path, (unsigned long long)at);
}

static void damage_do(const struct damage *damage, struct disk *disk)
{
    const struct sweep_file *file = file_of(damage);
    const struct sweep_file *other = other_of(damage);
    uint8_t byte;
    switch ((enum damage_kind)damage->kind) {
    case DAMAGE_FLIP:
        byte = file->data[damage->at] ^ (uint8_t)(1 << damage->at % 8);
        poke(disk, file->path, &byte, 1, damage->at);
        break;
    case DAMAGE_SWAP:
        poke(disk, other->path, file->data + damage->at, damage->bytes, damage->other_at);
        poke(disk, file->path, other->data + damage->other_at, damage->bytes, damage->at);
        break;
    case DAMAGE_COPY:
        poke(disk, file->path, other->data + damage->other_at, damage->bytes, damage->at);
        break;
    case DAMAGE_OLD:
        other = sweep_file_find(IMAGE_OLDER, file->path);
        poke(disk, file->path, other->data + damage->at, damage->bytes, damage->at);
        break;
    case DAMAGE_CUT:
    case DAMAGE_EMPTY:
        (void)disk_cut(disk, file->path, damage->at);
        break;
    case DAMAGE_REMOVED:
        (void)disk_remove(disk, file->path);
        break;
    case DAMAGES:
        break;
    }
}

/* ---- what may come of it ---- */

static bool has_tail(const struct sweep_file *file)
{
    return strcmp(file->path, sweep_tail_path) == 0;
}

static bool overlaps(uint64_t at, uint64_t bytes, uint32_t change)
{
    return at < sweep_tail_to[change] && at + bytes > sweep_tail_from[change];
}

/* Whether the damage has touched the frame of this change of the tail. */
static bool touches(const struct damage *damage, uint32_t change)
{
    bool here = has_tail(file_of(damage));
    bool there = has_tail(other_of(damage));
    switch ((enum damage_kind)damage->kind) {
    case DAMAGE_FLIP:
    case DAMAGE_COPY:
    case DAMAGE_OLD:
        return here && overlaps(damage->at, damage->bytes, change);
    case DAMAGE_SWAP:
        return (here && overlaps(damage->at, damage->bytes, change)) ||
               (there && overlaps(damage->other_at, damage->bytes, change));
    default:
        return here && sweep_tail_to[change] > damage->at;
    }
}

static void check_prefix(const struct damage *damage, uint32_t lost)
{
    for (uint32_t i = SWEEP_TAIL - lost; i < SWEEP_TAIL; i++) {
        if (!touches(damage, i)) {
            process_print_log();
            world_violation("change %u of the tail is lost, its frame [%llu, %llu) is whole", i,
                            (unsigned long long)sweep_tail_from[i],
                            (unsigned long long)sweep_tail_to[i]);
        }
    }
}

/* A refusal names the file, and the place in it unless it isn't there. */
static void check_refusal(const struct damage *damage)
{
    bool named = process_said(file_of(damage)->path + 6) ||
                 (damage->kind == DAMAGE_SWAP && process_said(other_of(damage)->path + 6));
    bool placed = process_said(" at offset ") || process_said("missing") || process_said(" no ") ||
                  process_said("another store");
    if (!placed) {
        process_print_log();
        world_violation("the server refuses to start and doesn't say where");
    }
    farm_tally(TALLY_UNNAMED, !named);
}

static void case_run(void *context, uint64_t number)
{
    const struct cases *cases = context;
    const struct damage *damage = &cases->all[number];
    uint32_t lost;
    stage_begin(number + 1);
    struct disk *copy = disk_clone(sweep_stores[damage->image].disk);
    damage_do(damage, copy);
    enum sweep_outcome outcome = sweep_look(damage->image, copy, &lost);
    if (outcome == OUTCOME_REFUSED) {
        check_refusal(damage);
    }
    check_prefix(damage, lost);
    farm_tally(damage->kind * OUTCOMES + outcome, 1);
    stage_end();
}

static void case_print(void *context, uint64_t number)
{
    const struct cases *cases = context;
    const struct damage *damage = &cases->all[number];
    printf("%s store, %s of %s at %llu, %u bytes",
           damage->image == IMAGE_STOPPED ? "stopped" : "killed", damage_names[damage->kind],
           file_of(damage)->path, (unsigned long long)damage->at, damage->bytes);
    if (damage->kind == DAMAGE_COPY || damage->kind == DAMAGE_SWAP) {
        printf(", other %s at %llu", other_of(damage)->path, (unsigned long long)damage->other_at);
    }
}

/* ---- all cases ---- */

static void cases_add(struct cases *cases, struct damage damage)
{
    if (cases->count == cases->capacity) {
        cases->capacity = cases->capacity * 2 + 1024;
        cases->all = sim_realloc(cases->all, cases->capacity * sizeof(cases->all[0]));
    }
    cases->all[cases->count++] = damage;
}

static bool all_zeros(const struct sweep_file *file, uint64_t at, uint64_t bytes)
{
    for (uint64_t i = at; i < at + bytes && i < file->bytes; i++) {
        if (file->data[i] != 0) {
            return false;
        }
    }
    return true;
}

static void add_flips(struct cases *cases, struct damage damage)
{
    const struct sweep_file *file = file_of(&damage);
    damage.kind = DAMAGE_FLIP;
    damage.bytes = 1;
    for (uint64_t chunk = 0; chunk < file->bytes; chunk += SMALL) {
        bool empty = all_zeros(file, chunk, SMALL);
        uint64_t step = empty ? cases->zeros_step : cases->every;
        uint64_t end = min_u64(chunk + SMALL, file->bytes);
        for (damage.at = align_up(chunk, 1); damage.at < end; damage.at++) {
            if (damage.at % step == (step > 1 ? (chunk / SMALL) % min_u64(step, SMALL) : 0)) {
                cases_add(cases, damage);
            }
        }
    }
}

/* Any place with content, in any file of the store. */
static void draw_other(struct damage *damage)
{
    const struct sweep_store *store = &sweep_stores[damage->image];
    for (uint32_t i = 0; i < 100; i++) {
        damage->other_file = (uint16_t)world_below(STREAM_PLAN, store->count);
        const struct sweep_file *other = other_of(damage);
        uint64_t chunks = other->bytes / damage->bytes;
        damage->other_at = chunks == 0 ? 0 : world_below(STREAM_PLAN, chunks) * damage->bytes;
        if (chunks > 0 && !all_zeros(other, damage->other_at, damage->bytes)) {
            return;
        }
    }
    damage->other_file = damage->file;
    damage->other_at = 0;
}

static void add_chunk(struct cases *cases, struct damage damage)
{
    const struct sweep_file *file = file_of(&damage);
    const struct sweep_file *older = sweep_file_find(IMAGE_OLDER, file->path);
    bool was = older != NULL && damage.at + damage.bytes <= older->bytes;
    if (was && memcmp(older->data + damage.at, file->data + damage.at, damage.bytes) != 0) {
        damage.kind = DAMAGE_OLD;
        cases_add(cases, damage);
    }
    damage.kind = DAMAGE_COPY;
    damage.other_file = damage.file;
    damage.other_at = damage.at >= damage.bytes ? damage.at - damage.bytes : 0;
    cases_add(cases, damage);
    draw_other(&damage);
    cases_add(cases, damage);
    damage.kind = DAMAGE_SWAP;
    cases_add(cases, damage);
    damage.other_file = damage.file;
    damage.other_at = damage.at + damage.bytes;
    if (damage.other_at + damage.bytes <= file->bytes) {
        cases_add(cases, damage);
    }
}

static void add_chunks(struct cases *cases, struct damage damage)
{
    const struct sweep_file *file = file_of(&damage);
    for (uint32_t i = 0; i < CHUNK_SIZES; i++) {
        damage.bytes = chunk_bytes[i];
        uint32_t nth = 0;
        for (damage.at = 0; damage.at + damage.bytes <= file->bytes; damage.at += damage.bytes) {
            bool wanted = cases->full || damage.bytes == LARGE || nth % 4 == damage.file % 4;
            if (!all_zeros(file, damage.at, damage.bytes)) {
                nth++;
                if (wanted) {
                    add_chunk(cases, damage);
                }
            }
        }
    }
}

static void add_ends(struct cases *cases, struct damage damage)
{
    const struct sweep_file *file = file_of(&damage);
    damage.kind = DAMAGE_CUT;
    for (damage.at = SMALL; damage.at < file->bytes; damage.at += SMALL) {
        bool content = !all_zeros(file, damage.at - SMALL, LARGE);
        if (content || damage.at % (1 << 17) == 0) {
            cases_add(cases, damage);
        }
    }
    damage.at = 0;
    damage.kind = DAMAGE_EMPTY;
    cases_add(cases, damage);
    damage.kind = DAMAGE_REMOVED;
    cases_add(cases, damage);
}

static void add_all(struct cases *cases)
{
    world_begin(1);
    for (uint8_t image = IMAGE_STOPPED; image <= IMAGE_KILLED; image++) {
        for (uint16_t file = 0; file < sweep_stores[image].count; file++) {
            struct damage damage = {.image = image, .file = file, .other_file = file};
            uint64_t before = cases->count;
            add_flips(cases, damage);
            add_chunks(cases, damage);
            add_ends(cases, damage);
            printf("%-8s %-36s %8llu bytes %8llu cases\n",
                   image == IMAGE_STOPPED ? "stopped" : "killed", file_of(&damage)->path,
                   (unsigned long long)file_of(&damage)->bytes,
                   (unsigned long long)(cases->count - before));
        }
    }
    world_end();
}

/* ---- the program ---- */

struct arguments {
    uint64_t every, jobs, number, bad_max;
    bool full;
};

static struct arguments parse(int argc, char **argv)
{
    struct arguments arguments = {.every = 7, .jobs = 2, .number = UINT64_MAX, .bad_max = 1};
    for (int i = 1; i < argc; i++) {
        bool flag = strcmp(argv[i], "--full") == 0;
        uint64_t number = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;
        if (flag) {
            arguments.full = true;
            arguments.every = 1;
        } else if (strcmp(argv[i], "--every") == 0 && number > 0) {
            arguments.every = number;
        } else if (strcmp(argv[i], "--jobs") == 0 && number > 0) {
            arguments.jobs = number;
        } else if (strcmp(argv[i], "--bad") == 0 && number > 0) {
            arguments.bad_max = number;
        } else if (strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
            arguments.number = number;
        } else {
            (void)fprintf(stderr, "usage: eloqstore-sim-sweep [--every N] [--jobs J] [--bad N] "
                                  "[--case N] [--full]\n");
            exit(2);
        }
        i += flag ? 0 : 1;
    }
    return arguments;
}

static void report(uint64_t count, uint64_t bad)
{
    printf("%-8s %10s %10s %10s %10s\n", "damage", "same", "errors", "refused", "prefix");
    for (uint32_t kind = 0; kind < DAMAGES; kind++) {
        printf("%-8s", damage_names[kind]);
        for (uint32_t outcome = 0; outcome < OUTCOMES; outcome++) {
            printf(" %10llu", (unsigned long long)farm_tallied(kind * OUTCOMES + outcome));
        }
        printf("\n");
    }
    printf("cases %llu, refused by the name of another file %llu, bad %llu\n",
           (unsigned long long)count, (unsigned long long)farm_tallied(TALLY_UNNAMED),
           (unsigned long long)bad);
}

int main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv);
    stage_init();
    sweep_stores_make();
    struct cases cases = {
        .every = arguments.every,
        .zeros_step = arguments.full ? ZEROS_STEP_FULL : ZEROS_STEP * 8,
        .full = arguments.full,
    };
    add_all(&cases);
    struct farm farm = {
        .count = cases.count,
        .jobs = (uint32_t)arguments.jobs,
        .lasts_s = 120,
        .bad_max = (uint32_t)arguments.bad_max,
        .context = &cases,
        .run = case_run,
        .print = case_print,
    };
    if (arguments.number < cases.count) {
        case_print(&cases, arguments.number);
        printf("\n");
        farm.jobs = 0;
        (void)farm_run(&farm);
        case_run(&cases, arguments.number);
        return 0;
    }
    uint64_t bad = farm_run(&farm);
    report(cases.count, bad);
    sim_free(cases.all);
    return bad > 0 ? 1 : 0;
}
