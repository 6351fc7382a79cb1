/*
 * The files: names, preparing, renaming upwards only, closing, removing, limits.
 */
#include "log/segment.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "io/file.h"

enum { SEGMENT_BYTES = 256 << 10 };

static char dir[256];
static struct segments segments;

static void set_up(void)
{
    snprintf(dir, sizeof(dir), "/tmp/segmentsXXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(segments_init(&segments, dir, SEGMENT_BYTES), 0);
}

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void tear_down(void)
{
    segments_deinit(&segments);
    cr_assert_eq(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(segment, .init = set_up, .fini = tear_down);

static void make_file(uint64_t number, const char *content)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(&segments, number, path);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(content, file), 0);
    cr_assert_eq(ftruncate(fileno(file), SEGMENT_BYTES), 0);
    cr_assert_eq(fclose(file), 0);
}

/* The numbers there are, as text. */
static const char *files(void)
{
    static char text[1024];
    struct segment_list list;
    cr_assert_eq(segment_list_read(&segments, &list), 0);
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < list.count; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu", i == 0 ? "" : " ",
                               (unsigned long long)list.numbers[i]);
        cr_assert(segment_list_has(&list, list.numbers[i]));
        cr_assert(!segment_list_has(&list, list.numbers[i] + 1000));
    }
    segment_list_deinit(&list);
    return text;
}

Test(segment, names_are_sixteen_digits)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(&segments, 0xabc, path);
    char wanted[SEGMENT_PATH_BYTES];
    snprintf(wanted, sizeof(wanted), "%s/0000000000000abc.log", dir);
    cr_assert_str_eq(path, wanted);
}

Test(segment, a_directory_name_that_is_too_long_is_refused)
{
    char name[SEGMENT_DIR_BYTES_MAX + 1];
    memset(name, 'd', sizeof(name));
    struct segments other;
    name[SEGMENT_DIR_BYTES_MAX] = '\0';
    cr_assert_eq(segments_init(&other, name, SEGMENT_BYTES), ERR_LIMIT);
    name[SEGMENT_DIR_BYTES_MAX - 1] = '\0';
    cr_assert_eq(segments_init(&other, name, SEGMENT_BYTES), 0);
    segments_deinit(&other);
}

Test(segment, a_directory_that_is_not_there_has_no_files_and_is_made)
{
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_str_eq(files(), "");
    cr_assert_eq(segments_begin(&segments, 0), 0);
    cr_assert_eq(access(dir, R_OK | W_OK | X_OK), 0);
}

Test(segment, beginning_removes_what_lies_above_or_below_a_gap_and_half_made_files)
{
    static const uint64_t numbers[] = {1, 2, 5, 6, 7, 8, 9, 12};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        make_file(numbers[i], "x");
    }
    char scratch[SEGMENT_PATH_BYTES];
    snprintf(scratch, sizeof(scratch), "%s/prepare.tmp", dir);
    cr_assert_geq(close(open(scratch, O_CREAT | O_WRONLY, 0600)), 0);
    cr_assert_eq(segments_begin(&segments, 8), 0);
    cr_assert_str_eq(files(), "5 6 7");
    cr_assert_neq(access(scratch, F_OK), 0);
    cr_assert_eq(segments_prepared_next(&segments), 8);
    cr_assert_eq(segments_fd(&segments, 8), -1);
}

Test(segment, a_prepared_segment_is_full_of_zeros)
{
    cr_assert_eq(segments_begin(&segments, 3), 0);
    cr_assert_eq(segments_prepare(&segments, 0), 0);
    int fd = segments_fd(&segments, 3);
    cr_assert_geq(fd, 0);
    cr_assert_eq(segments_fd(&segments, 4), -1);
    static uint8_t data[SEGMENT_BYTES];
    memset(data, 1, sizeof(data));
    cr_assert_eq(file_read(fd, data, sizeof(data), 0), SEGMENT_BYTES);
    for (size_t i = 0; i < sizeof(data); i++) {
        cr_assert_eq(data[i], 0);
    }
    struct stat info;
    cr_assert_eq(fstat(fd, &info), 0);
    cr_assert_geq(info.st_blocks * 512, SEGMENT_BYTES);
    cr_assert_str_eq(files(), "3");
}

Test(segment, the_oldest_file_is_used_again_under_the_next_number_if_nobody_needs_it)
{
    make_file(5, "old five");
    make_file(6, "old six");
    cr_assert_eq(segments_begin(&segments, 7), 0);
    cr_assert_eq(segments_prepare(&segments, 5), 0); /* 5 is needed: a new one */
    cr_assert_str_eq(files(), "5 6 7");
    cr_assert_eq(segments_prepare(&segments, 6), 0);
    cr_assert_str_eq(files(), "6 7 8");
    char text[9] = "";
    cr_assert_eq(file_read(segments_fd(&segments, 8), text, 8, 0), 8);
    cr_assert_str_eq(text, "old five");
}

Test(segment, an_old_file_of_another_length_or_that_is_gone_is_not_used)
{
    make_file(5, "x");
    make_file(6, "x");
    char path[SEGMENT_PATH_BYTES];
    segment_path(&segments, 5, path);
    cr_assert_eq(truncate(path, 1000), 0);
    cr_assert_eq(segments_begin(&segments, 7), 0);
    segment_path(&segments, 6, path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(segments_prepare(&segments, 7), 0);
    cr_assert_str_eq(files(), "7");
}

Test(segment, only_durable_segments_are_closed_and_only_those_are_removed)
{
    cr_assert_eq(segments_begin(&segments, 0), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(segments_prepare(&segments, 0), 0);
    }
    cr_assert(!segments_close_below(&segments, SEGMENT_BYTES - 1));
    cr_assert_eq(segments_remove_oldest(&segments, 2), 0); /* still open */
    cr_assert(segments_close_below(&segments, SEGMENT_BYTES * 2));
    cr_assert(!segments_close_below(&segments, SEGMENT_BYTES * 2));
    cr_assert_eq(segments_remove_oldest(&segments, 1), 1);
    cr_assert_eq(segments_remove_oldest(&segments, 1), 0); /* needed */
    cr_assert_str_eq(files(), "1 2");
    cr_assert_geq(segments_fd(&segments, 2), 0);
}

Test(segment, a_shard_makes_all_segments_up_to_the_one_it_needs)
{
    cr_assert_eq(segments_begin(&segments, 10), 0);
    cr_assert_eq(segments_prepare_now(&segments, 12), 0);
    cr_assert_str_eq(files(), "10 11 12");
    cr_assert_eq(segments_prepare_now(&segments, 11), 0); /* is there */
    cr_assert_str_eq(files(), "10 11 12");
    cr_assert_eq(file_size(segments_fd(&segments, 12)), SEGMENT_BYTES);
}

Test(segment, the_last_one_is_resumed_with_zeros_behind_its_end)
{
    enum { OFFSET = 4096 + 64 };
    static char text[SEGMENT_BYTES];
    memset(text, 'x', sizeof(text) - 1);
    make_file(5, "x");
    make_file(6, text);
    cr_assert_eq(segments_begin(&segments, 7), 0);
    disk_fill(-ENOSPC);
    cr_assert_eq(segments_prepare(&segments, 0), -ENOSPC);
    cr_assert_eq(segments_resume(&segments, OFFSET), 0);
    cr_assert_str_eq(files(), "5 6");
    static char data[SEGMENT_BYTES];
    int fd = segments_fd(&segments, 6);
    cr_assert_geq(fd, 0);
    cr_assert_eq(file_read(fd, data, sizeof(data), 0), SEGMENT_BYTES);
    memset(text + OFFSET, 0, sizeof(text) - OFFSET);
    cr_assert_eq(memcmp(data, text, sizeof(text)), 0);
    cr_assert_eq(segments_fd(&segments, 7), -1);
    disk_fill(0);
    cr_assert_eq(segments_prepare(&segments, 0), 0);
    cr_assert_str_eq(files(), "5 6 7");
}

Test(segment, none_can_be_resumed_where_there_is_none)
{
    cr_assert_eq(segments_begin(&segments, 3), 0);
    cr_assert_eq(segments_resume(&segments, 64), -ENOENT);
    cr_assert_eq(segments_fd(&segments, 3), -1);
}

Test(segment, a_resume_that_fails_changes_nothing_before_the_offset)
{
    enum { OFFSET = 640 };
    static char text[OFFSET + 1];
    memset(text, 'x', OFFSET);
    make_file(6, text);
    cr_assert_eq(segments_begin(&segments, 7), 0);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        disk_fail(DISK_ANY, n, -EIO, false);
        int err = segments_resume(&segments, OFFSET);
        failed = disk_has_failed();
        cr_assert_eq(err, failed ? -EIO : 0, "call %llu", (unsigned long long)n);
        cr_assert_eq(segments_fd(&segments, 7), -1);
        cr_assert(!failed || atomic_load(&segments.open_first) == 7);
        disk_fail(0, 0, 0, false);
        char path[SEGMENT_PATH_BYTES];
        segment_path(&segments, 6, path);
        int fd = file_open(path, O_RDONLY, 0);
        char data[OFFSET + 1] = "";
        cr_assert_eq(file_read(fd, data, OFFSET, 0), OFFSET);
        cr_assert_str_eq(data, text);
        cr_assert_eq(file_close(fd), 0);
    }
}

Test(segment, where_files_cannot_be_allocated_they_are_only_given_their_length)
{
    cr_assert_eq(segments_begin(&segments, 0), 0);
    disk_fail(DISK_ALLOCATE, 1, -EOPNOTSUPP, true);
    cr_assert_eq(segments_prepare(&segments, 0), 0);
    cr_assert_eq(segments_prepare_now(&segments, 1), 0);
    disk_fail(0, 0, 0, false);
    cr_assert_eq(file_size(segments_fd(&segments, 0)), SEGMENT_BYTES);
    cr_assert_eq(file_size(segments_fd(&segments, 1)), SEGMENT_BYTES);
}

Test(segment, descriptors_are_limited)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_gt(limit.rlim_cur, SEGMENTS_OPEN_MAX + 100);
    /* Sparse files will do. */
    disk_fail(DISK_ALLOCATE, 1, -EOPNOTSUPP, true);
    cr_assert_eq(segments_begin(&segments, 0), 0);
    cr_assert_eq(segments_prepare_now(&segments, SEGMENTS_OPEN_MAX - 1), 0);
    cr_assert_eq(segments_prepare_now(&segments, SEGMENTS_OPEN_MAX), ERR_FULL);
    cr_assert_eq(segments_prepare(&segments, 0), ERR_FULL);
    cr_assert(segments_close_below(&segments, SEGMENT_BYTES));
    cr_assert_eq(segments_prepare_now(&segments, SEGMENTS_OPEN_MAX), 0);
    disk_fail(0, 0, 0, false);
}
