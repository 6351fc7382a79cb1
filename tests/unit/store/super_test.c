#include "store/super.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/mem.h"
#include "io/file_disk.h"

enum { BLOCK = 4096, FILE_SIZE = 2 * BLOCK };

static char dir[64];
static char path[96];

static void setup(void)
{
    logger_set_level(LOGGER_LEVEL_NOTHING);
    snprintf(dir, sizeof(dir), "/tmp/super_test.XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/SUPER", dir);
}

static void teardown(void)
{
    unlink(path);
    cr_assert_eq(rmdir(dir), 0, "something else was left behind");
}

TestSuite(super, .init = setup, .fini = teardown);

static void load(uint8_t *bytes)
{
    int fd = open(path, O_RDONLY);
    cr_assert(fd >= 0);
    cr_assert_eq(pread(fd, bytes, FILE_SIZE, 0), FILE_SIZE);
    close(fd);
}

static void save(const uint8_t *bytes, size_t count)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    cr_assert(fd >= 0);
    cr_assert_eq(pwrite(fd, bytes, count, 0), (ssize_t)count);
    close(fd);
}

/* A superblock whose fields are all different, written some times. */
static void make(struct super *super)
{
    cr_assert_eq(super_create(dir, 64, 16, 1 << 24, super), 0);
    super->epoch = 3;
    super->ended = 2;
    super->space_next = 40;
    super->spaces[3] = 39;
    super->log_start.value = 1000;
    super->log_watermark.value = 2000;
    super->clock_high_ms = 1700000000123;
    super->clean = false;
    cr_assert_eq(super_write(dir, super), 0);
    super->epoch = 4;
    cr_assert_eq(super_write(dir, super), 0);
}

static void compare(const struct super *a, const struct super *b)
{
    cr_assert_eq(a->store_id, b->store_id);
    cr_assert_eq(a->generation, b->generation);
    cr_assert_eq(a->partitions, b->partitions);
    cr_assert_eq(a->log_segment_bytes, b->log_segment_bytes);
    cr_assert_eq(a->epoch, b->epoch);
    cr_assert_eq(a->ended, b->ended);
    cr_assert_eq(a->databases, b->databases);
    cr_assert_eq(a->space_next, b->space_next);
    cr_assert(memcmp(a->spaces, b->spaces, sizeof(a->spaces)) == 0);
    cr_assert_eq(a->log_start.value, b->log_start.value);
    cr_assert_eq(a->log_watermark.value, b->log_watermark.value);
    cr_assert_eq(a->clock_high_ms, b->clock_high_ms);
    cr_assert_eq(a->clean, b->clean);
}

Test(super, a_new_one_says_what_it_was_created_with)
{
    struct super super, read;
    cr_assert_eq(super_create(dir, 64, 16, 1 << 24, &super), 0);
    cr_assert_eq(super_read(dir, &read), 0);
    compare(&super, &read);
    cr_assert_neq(read.store_id, 0);
    cr_assert_eq(read.partitions, 64);
    cr_assert_eq(read.databases, 16);
    cr_assert_eq(read.log_segment_bytes, 1 << 24);
    cr_assert_eq(read.space_next, 16);
    cr_assert_eq(read.spaces[15], 15);
    cr_assert_eq(read.epoch, 0);
    cr_assert(read.clean);
}

Test(super, two_stores_have_two_ids)
{
    struct super a, b;
    cr_assert_eq(super_create(dir, 64, 16, 1 << 24, &a), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(super_create(dir, 64, 16, 1 << 24, &b), 0);
    cr_assert_neq(a.store_id, b.store_id);
}

Test(super, is_not_created_over_another)
{
    struct super super, again, read;
    make(&super);
    cr_assert_eq(super_create(dir, 32, 1, 1 << 20, &again), -EEXIST);
    cr_assert_eq(super_read(dir, &read), 0);
    compare(&super, &read);
}

Test(super, what_is_absent_is_not_found)
{
    struct super super = {.partitions = 1, .log_segment_bytes = 1 << 20, .databases = 1};
    super.space_next = 1;
    cr_assert_eq(super_read(dir, &super), -ENOENT);
    cr_assert_eq(super_read("/nowhere/at/all", &super), -ENOENT);
    cr_assert_eq(super_create("/nowhere/at/all", 64, 16, 1 << 24, &super), -ENOENT);
    super.generation = 5;
    cr_assert_eq(super_write(dir, &super), -ENOENT);
    cr_assert_eq(super.generation, 5);
}

Test(super, a_left_over_of_a_creation_that_was_cut_does_no_harm)
{
    struct super super, read;
    char left_over[128];
    snprintf(left_over, sizeof(left_over), "%s.new", path);
    int fd = open(left_over, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, "garbage", 7), 7);
    close(fd);
    cr_assert_eq(super_read(dir, &read), -ENOENT);
    cr_assert_eq(super_create(dir, 64, 16, 1 << 24, &super), 0);
    cr_assert_eq(super_read(dir, &read), 0);
}

Test(super, the_newest_copy_holds_and_writes_go_to_the_other)
{
    struct super super, read;
    uint8_t before[FILE_SIZE], after[FILE_SIZE];
    make(&super);
    for (uint32_t i = 0; i < 6; i++) {
        load(before);
        super.epoch++;
        cr_assert_eq(super_write(dir, &super), 0);
        load(after);
        uint32_t newest = super.generation % 2;
        cr_assert(memcmp(before + newest * BLOCK, after + newest * BLOCK, BLOCK) != 0);
        cr_assert(memcmp(before + !newest * BLOCK, after + !newest * BLOCK, BLOCK) == 0);
        cr_assert_eq(super_read(dir, &read), 0);
        compare(&super, &read);
    }
}

/* The newest copy is torn after `bytes` bytes. */
Test(super, a_torn_write_leaves_the_copy_before)
{
    struct super super, read;
    uint8_t before[FILE_SIZE], after[FILE_SIZE], torn[FILE_SIZE];
    for (int which = 0; which < 2; which++) {
        unlink(path);
        make(&super);
        for (int i = 0; i < which; i++) {
            cr_assert_eq(super_write(dir, &super), 0);
        }
        load(before);
        struct super next = super;
        next.epoch = 1000;
        next.log_watermark.value = 123456;
        cr_assert_eq(super_write(dir, &next), 0);
        load(after);
        size_t start = next.generation % 2 * BLOCK;
        for (size_t bytes = 0; bytes <= BLOCK; bytes += 8) {
            memcpy(torn, before, FILE_SIZE);
            memcpy(torn + start, after + start, bytes);
            save(torn, FILE_SIZE);
            cr_assert_eq(super_read(dir, &read), 0);
            bool whole = memcmp(torn, after, FILE_SIZE) == 0;
            compare(&read, whole ? &next : &super);
        }
    }
}

Test(super, a_flip_in_any_byte_of_one_copy_leaves_the_other)
{
    struct super super, read;
    uint8_t bytes[FILE_SIZE];
    make(&super);
    load(bytes);
    for (uint32_t at = 0; at < FILE_SIZE; at++) {
        uint8_t bit = (uint8_t)(1 << at % 8);
        int fd = open(path, O_WRONLY);
        bytes[at] ^= bit;
        cr_assert_eq(pwrite(fd, bytes + at, 1, at), 1);
        cr_assert_eq(super_read(dir, &read), 0);
        bool newest_hit = at / BLOCK == super.generation % 2;
        cr_assert_eq(read.generation, super.generation - newest_hit);
        bytes[at] ^= bit;
        cr_assert_eq(pwrite(fd, bytes + at, 1, at), 1);
        close(fd);
    }
}

Test(super, two_damaged_copies_are_an_error)
{
    struct super super, read = {.epoch = 77};
    uint8_t bytes[FILE_SIZE];
    make(&super);
    load(bytes);
    bytes[100] ^= 1;
    bytes[BLOCK + 3000] ^= 1;
    save(bytes, FILE_SIZE);
    cr_assert_eq(super_read(dir, &read), ERR_CORRUPT);
    memset(bytes, 0, FILE_SIZE);
    save(bytes, FILE_SIZE);
    cr_assert_eq(super_read(dir, &read), ERR_CORRUPT);
    save(bytes, 0);
    cr_assert_eq(super_read(dir, &read), ERR_CORRUPT);
    cr_assert_eq(read.epoch, 77);
}

Test(super, a_short_file_still_gives_its_whole_copy)
{
    struct super super, read;
    uint8_t bytes[FILE_SIZE];
    make(&super);
    load(bytes);
    save(bytes, BLOCK);
    cr_assert_eq(super_read(dir, &read), 0);
    cr_assert_eq(read.generation % 2, 0);
    save(bytes, 70); /* within its fields */
    cr_assert_eq(super_read(dir, &read), ERR_CORRUPT);
}

Test(super, copies_that_changed_places_are_not_taken)
{
    struct super super, read;
    uint8_t bytes[FILE_SIZE], swapped[FILE_SIZE];
    make(&super);
    load(bytes);
    memcpy(swapped, bytes + BLOCK, BLOCK);
    memcpy(swapped + BLOCK, bytes, BLOCK);
    save(swapped, FILE_SIZE);
    cr_assert_eq(super_read(dir, &read), ERR_CORRUPT);
}

/* ---- fields that make no sense, under a right checksum ---- */

/* The seed that super.c names. */
static uint64_t block_checksum(const uint8_t *block, uint32_t number)
{
    return checksum64(block + 8, BLOCK - 8, UINT64_C(0x7365726573757072) + number);
}

static int read_with(uint32_t at, uint32_t value, struct super *ret_read)
{
    uint8_t bytes[FILE_SIZE];
    load(bytes);
    for (uint32_t number = 0; number < 2; number++) {
        uint8_t *block = bytes + number * BLOCK;
        store_le32(block + at, value);
        store_le64(block, block_checksum(block, number));
    }
    uint8_t good[FILE_SIZE];
    load(good);
    save(bytes, FILE_SIZE);
    int err = super_read(dir, ret_read);
    save(good, FILE_SIZE);
    return err;
}

Test(super, fields_that_make_no_sense_are_refused)
{
    struct super super, read;
    make(&super);
    cr_assert_eq(read_with(72, 9, &read), 0); /* the epoch may be anything */
    cr_assert_eq(read.epoch, 9);
    cr_assert_eq(read_with(8, 0, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(16, 0, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(16, 2, &read), ERR_VERSION);
    cr_assert_eq(read_with(20, 2, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(32, 0, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(64, 0, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(64, 63, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(64, 16384, &read), 0);
    cr_assert_eq(read_with(64, 32768, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(68, LOG_SEGMENT_BYTES_MIN, &read), 0);
    cr_assert_eq(read_with(68, LOG_SEGMENT_BYTES_MIN / 2, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(68, LOG_SEGMENT_BYTES_MIN + 1, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(76, 0, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(76, SUPER_DATABASES_MAX, &read), 0);
    cr_assert_eq(read_with(76, SUPER_DATABASES_MAX + 1, &read), ERR_CORRUPT);
    cr_assert_eq(read_with(80, 39, &read), ERR_CORRUPT); /* space 39 is in use */
    cr_assert_eq(read_with(84, super.epoch, &read), 0);
    cr_assert_eq(read_with(84, super.epoch + 1, &read), ERR_CORRUPT);
}

Test(super, a_newer_copy_is_refused_even_if_an_older_one_could_be_read)
{
    struct super super, read;
    uint8_t bytes[FILE_SIZE];
    make(&super);
    for (uint32_t number = 0; number < 2; number++) {
        load(bytes);
        uint8_t *block = bytes + number * BLOCK;
        store_le32(block + 16, 2);
        store_le64(block, block_checksum(block, number));
        uint8_t good[FILE_SIZE];
        load(good);
        save(bytes, FILE_SIZE);
        cr_assert_eq(super_read(dir, &read), ERR_VERSION);
        save(good, FILE_SIZE);
    }
}

/* ---- a disk that fails ---- */

static struct file_disk failing_disk;
static int calls_left; /* before one fails; all later ones work */

static bool fails_now(void)
{
    return calls_left-- == 0;
}

static int failing_open(const char *name, int flags, uint32_t mode)
{
    return fails_now() ? -EIO : file_disk_system.open(name, flags, mode);
}

/* Half of it arrives. */
static int64_t failing_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
    if (fails_now()) {
        cr_assert(file_disk_system.write(fd, data, bytes / 2, offset) > 0);
        return -EIO;
    }
    return file_disk_system.write(fd, data, bytes, offset);
}

static int failing_sync_all(int fd)
{
    return fails_now() ? -EIO : file_disk_system.sync_all(fd);
}

static int failing_sync_data(int fd)
{
    return fails_now() ? -EIO : file_disk_system.sync_data(fd);
}

static int failing_close(int fd)
{
    int err = file_disk_system.close(fd);
    return fails_now() ? -EIO : err;
}

static int failing_rename(const char *from, const char *to)
{
    return fails_now() ? -EIO : file_disk_system.rename(from, to);
}

static void fail_call(int number)
{
    failing_disk = file_disk_system;
    failing_disk.open = failing_open;
    failing_disk.write = failing_write;
    failing_disk.sync_all = failing_sync_all;
    failing_disk.sync_data = failing_sync_data;
    failing_disk.close = failing_close;
    failing_disk.rename = failing_rename;
    calls_left = number;
    file_set_disk(&failing_disk);
}

Test(super, a_creation_that_fails_leaves_nothing_or_all)
{
    struct super super, read;
    char left_over[128];
    snprintf(left_over, sizeof(left_over), "%s.new", path);
    int err = -EIO;
    for (int number = 0; err != 0; number++) {
        cr_assert(number < 20);
        fail_call(number);
        err = super_create(dir, 64, 16, 1 << 24, &super);
        file_set_disk(NULL);
        cr_assert(err == 0 || err == -EIO);
        int read_err = super_read(dir, &read);
        cr_assert(read_err == 0 || (err != 0 && read_err == -ENOENT));
        unlink(left_over);
        unlink(path);
    }
}

Test(super, a_write_that_fails_leaves_a_whole_copy_and_can_be_repeated)
{
    struct super super, read;
    make(&super);
    int err = -EIO;
    for (int number = 0; err != 0; number++) {
        uint64_t generation = super.generation;
        cr_assert(number < 20);
        super.epoch++;
        fail_call(number);
        err = super_write(dir, &super);
        file_set_disk(NULL);
        cr_assert(err == 0 || err == -EIO);
        cr_assert_eq(super.generation, generation + (err == 0));
        cr_assert_eq(super_read(dir, &read), 0);
        cr_assert(read.generation == generation || read.generation == generation + 1);
    }
    compare(&super, &read);
}

Test(super, memory_that_is_out_is_an_error_and_changes_nothing)
{
    struct super super, read;
    make(&super);
    uint64_t generation = super.generation;
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_after(n, false);
        cr_assert_eq(super_read(dir, &read), ERR_MEMORY);
        mem_fail_after(n, false);
        cr_assert_eq(super_write(dir, &super), ERR_MEMORY);
        cr_assert_eq(super.generation, generation);
    }
    mem_fail_after(3, false);
    cr_assert_eq(super_create(dir, 64, 16, 1 << 24, &read), ERR_MEMORY);
    mem_fail_after(0, false);
    cr_assert_eq(super_read(dir, &read), 0);
    compare(&super, &read);
}

/* After a failed sync the kernel may have the copy in memory only, where no sync finds it. */
Test(super, settling_writes_the_copy_in_its_place_again)
{
    struct super super, read;
    make(&super);
    cr_assert_eq(super_write(dir, &super), 0);
    cr_assert_eq(super_read(dir, &read), 0);
    int failed = 0;
    int err = -EIO;
    for (int number = 0; err != 0; number++) {
        cr_assert(number < 20);
        fail_call(number);
        err = super_settle(dir, &read);
        file_set_disk(NULL);
        cr_assert(err == 0 || err == -EIO);
        failed += err != 0;
        struct super after;
        cr_assert_eq(super_read(dir, &after), 0);
        compare(&read, &after);
        cr_assert_eq(after.generation, read.generation);
    }
    /* Of its copy open, write, sync and close; of the directory open and sync, at least. */
    cr_assert(failed >= 6, "%d", failed);
}
