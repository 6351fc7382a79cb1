#include "base/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/logger.h"

Test(error, starts_below_every_errno_and_goes_down)
{
    cr_assert_eq(ERR_CORRUPT, -4096);
    cr_assert_eq(ERR_CHECKSUM, -4097);
    cr_assert_eq(ERR_AGAIN, ERROR_FIRST - ERROR_COUNT + 1);
}

Test(error, has_text_and_name_for_ours)
{
    cr_assert_str_eq(error_text(ERR_CORRUPT), "data is corrupt");
    cr_assert_str_eq(error_name(ERR_CORRUPT), "ERR_CORRUPT");
    cr_assert_str_eq(error_text(ERR_AGAIN), "try again");
    cr_assert_str_eq(error_name(ERR_AGAIN), "ERR_AGAIN");
}

Test(error, has_text_and_name_for_the_kernels)
{
    cr_assert_str_eq(error_text(-ENOENT), "No such file or directory");
    cr_assert_str_eq(error_name(-ENOENT), "ENOENT");
}

Test(error, survives_codes_it_does_not_know)
{
    int unknown[] = {1, -4095, ERROR_FIRST - ERROR_COUNT, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        cr_assert_str_eq(error_text(unknown[i]), "unknown error", "%d", unknown[i]);
        cr_assert_str_eq(error_name(unknown[i]), "UNKNOWN", "%d", unknown[i]);
    }
    cr_assert_str_eq(error_text(0), "ok");
    cr_assert_str_eq(error_name(0), "OK");
}

static int try_it(int value, int *ret_seen)
{
    *ret_seen = TRY(value);
    return 0;
}

Test(error, try_returns_the_negative_and_gives_the_rest)
{
    int seen = -1;
    cr_assert_eq(try_it(7, &seen), 0);
    cr_assert_eq(seen, 7);
    cr_assert_eq(try_it(0, &seen), 0);
    cr_assert_eq(seen, 0);
    seen = -1;
    cr_assert_eq(try_it(ERR_FULL, &seen), ERR_FULL);
    cr_assert_eq(seen, -1);
}

static void keep_line(enum logger_level level, const char *line, size_t bytes, void *arg)
{
    cr_assert_eq(level, LOGGER_LEVEL_WARNING);
    memcpy(arg, line, bytes + 1);
}

Test(error, corruption_is_logged_with_file_and_offset)
{
    char line[LOGGER_LINE_BYTES_MAX] = "";
    logger_set_hook(keep_line, line);
    cr_assert_eq(err_corrupt("data/7.dat", 8192, "page type %d is unknown", 9), ERR_CORRUPT);
    cr_assert_neq(strstr(line, "data/7.dat at offset 8192: page type 9 is unknown"), NULL, "%s",
                  line);
}
