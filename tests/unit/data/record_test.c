#include "data/record.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "data/record_impl.h"

static struct record_content content_of(const char *key, const char *value)
{
    return (struct record_content){
        .hash = 0x12345678,
        .space = 3,
        .key = slice_cstr(key),
        .value = slice_cstr(value),
        .type = RECORD_STRING,
        .meta = RECORD_META_RAW,
    };
}

static bool value_is(const struct record *record, const char *value)
{
    return slice_equal(record_value(record), slice_cstr(value));
}

Test(record, gives_back_what_it_was_made_of)
{
    struct record_content content = content_of("key", "value");
    struct record *record = record_create(&content);
    cr_assert(slice_equal(record_key(record), slice_cstr("key")));
    cr_assert(value_is(record, "value"));
    cr_assert_eq(record_expire_ms(record), 0);
    cr_assert_eq(record_type(record), RECORD_STRING);
    cr_assert_eq(record_meta(record), RECORD_META_RAW);
    cr_assert_null(record_blob(record));
    cr_assert_eq(record_memory(record), mem_usable(record));
    record_destroy(record);
}

Test(record, may_be_empty_in_every_part)
{
    struct record_content content = content_of("", "");
    struct record *record = record_create(&content);
    cr_assert_eq(record_key(record).bytes, 0);
    cr_assert_eq(record_value(record).bytes, 0);
    record_destroy(record);
}

Test(record, carries_an_expiry)
{
    struct record_content content = content_of("key", "value");
    content.expire_ms = 1234567890123;
    struct record *record = record_create(&content);
    cr_assert_eq(record_expire_ms(record), 1234567890123);
    cr_assert(slice_equal(record_key(record), slice_cstr("key")));
    cr_assert(value_is(record, "value"));
    record_destroy(record);
}

Test(record, shares_a_large_value)
{
    struct blob *blob;
    cr_assert_eq(blob_create(10000, 12000, &blob), 0);
    memset(blob_data(blob), 'x', 10000);
    struct record_content content = content_of("key", "");
    content.blob = blob;
    content.expire_ms = 77;
    struct record *record = record_create(&content);
    cr_assert_eq(record_blob(record), blob);
    cr_assert_eq(record_value(record).bytes, 10000);
    cr_assert_eq(record_value(record).data, blob_data(blob));
    cr_assert(record_memory(record) >= 12000 + sizeof(struct record));
    blob_hold(blob);
    record_destroy(record);
    cr_assert_eq(blob_data(blob)[9999], 'x');
    blob_drop(blob);
}

Test(record, can_be_stripped_to_a_marker)
{
    struct blob *blob;
    cr_assert_eq(blob_create(10000, 10000, &blob), 0);
    struct record_content content = content_of("some key", "");
    content.blob = blob;
    content.expire_ms = 77;
    struct record *record = record_create(&content);
    record->pins = 5;
    record_strip(record, RECORD_TOMBSTONE);
    cr_assert_eq(record->flags, RECORD_TOMBSTONE);
    cr_assert(slice_equal(record_key(record), slice_cstr("some key")));
    cr_assert_eq(record_value(record).bytes, 0);
    cr_assert_eq(record_expire_ms(record), 0);
    cr_assert_eq(record->pins, 5);
    record_destroy(record);
}

Test(record, is_not_made_without_memory)
{
    struct record_content content = content_of("key", "value");
    mem_fail_after(1, false);
    cr_assert_null(record_create(&content));
    mem_fail_after(1, false);
    cr_assert_null(record_create_marker(1, 2, slice_cstr("key"), RECORD_ABSENT));
}
