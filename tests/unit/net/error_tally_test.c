#include "net/error_tally.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct error_tally tally, other;

static void setup(void)
{
    memset(&tally, 0, sizeof(tally));
    memset(&other, 0, sizeof(other));
}

TestSuite(error_tally, .init = setup);

static uint64_t count_of(const struct error_tally *in, const char *code)
{
    for (uint32_t i = 0; i < in->used; i++) {
        if (strcmp(in->codes[i].code, code) == 0) {
            return in->codes[i].count;
        }
    }
    return 0;
}

/* Notes one error of each of `count` codes. */
static void note_codes(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "CODE%u text", i);
        error_tally_note(&tally, text);
    }
}

Test(error_tally, counts_by_the_first_word)
{
    error_tally_note(&tally, "ERR syntax error");
    error_tally_note(&tally, "ERRATIC");
    error_tally_note(&tally, "ERR other");
    error_tally_note(&tally, "OOM\r\nmemory");
    cr_assert_eq(tally.total, 4);
    cr_assert_eq(tally.used, 3);
    cr_assert_eq(count_of(&tally, "ERR"), 2);
    cr_assert_eq(count_of(&tally, "ERRATIC"), 1);
    cr_assert_eq(count_of(&tally, "OOM"), 1);
}

Test(error_tally, cuts_a_long_code)
{
    char text[ERROR_CODE_BYTES_MAX + 1];
    memset(text, 'X', ERROR_CODE_BYTES_MAX);
    text[ERROR_CODE_BYTES_MAX] = '\0';
    error_tally_note(&tally, text);
    error_tally_note(&tally, text);
    text[ERROR_CODE_BYTES_MAX - 1] = '\0'; /* the longest that fits: the same code */
    error_tally_note(&tally, text);
    cr_assert_eq(tally.used, 1);
    cr_assert_eq(count_of(&tally, text), 3);
}

Test(error_tally, has_room_for_all_codes_but_one)
{
    note_codes(ERROR_TALLY_CODES_MAX - 1);
    cr_assert_eq(tally.used, ERROR_TALLY_CODES_MAX - 1);
    cr_assert_eq(count_of(&tally, ERROR_TALLY_OVERFLOW), 0);
}

Test(error_tally, counts_what_does_not_fit_together)
{
    note_codes(ERROR_TALLY_CODES_MAX + 5);
    error_tally_note(&tally, "CODE0 again");
    cr_assert_eq(tally.used, ERROR_TALLY_CODES_MAX);
    cr_assert_eq(tally.total, ERROR_TALLY_CODES_MAX + 6);
    cr_assert_eq(count_of(&tally, ERROR_TALLY_OVERFLOW), 6);
    cr_assert_eq(count_of(&tally, "CODE0"), 2);
}

Test(error_tally, adds_another)
{
    error_tally_note(&tally, "ERR one");
    error_tally_note(&other, "OOM two");
    error_tally_note(&other, "ERR three");
    error_tally_add(&tally, &other);
    cr_assert_eq(tally.total, 3);
    cr_assert_eq(count_of(&tally, "ERR"), 2);
    cr_assert_eq(count_of(&tally, "OOM"), 1);
}

Test(error_tally, adds_a_full_one_to_a_full_one)
{
    note_codes(ERROR_TALLY_CODES_MAX + 1);
    error_tally_note(&other, "OTHER x");
    error_tally_add(&other, &tally);
    cr_assert_eq(other.total, ERROR_TALLY_CODES_MAX + 2);
    cr_assert_eq(other.used, ERROR_TALLY_CODES_MAX);
    cr_assert_eq(count_of(&other, ERROR_TALLY_OVERFLOW), 3);
}

Test(error_tally, is_sorted_by_code)
{
    error_tally_note(&tally, "WRONGPASS x");
    error_tally_note(&tally, "ERR x");
    error_tally_note(&tally, "NOAUTH x");
    error_tally_sort(&tally);
    cr_assert_str_eq(tally.codes[0].code, "ERR");
    cr_assert_str_eq(tally.codes[1].code, "NOAUTH");
    cr_assert_str_eq(tally.codes[2].code, "WRONGPASS");
}
