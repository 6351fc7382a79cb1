#include "net/spare.h"

#include <criterion/criterion.h>

#include "base/mem.h"
#include "net/conn_impl.h"

static struct spares spares;

static void setup(void)
{
    spares_init(&spares);
}

static void teardown(void)
{
    spares_deinit(&spares);
}

TestSuite(spare, .init = setup, .fini = teardown);

Test(spare, gives_a_buffer_out_again)
{
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    spare_get_buffer(&spares, &buffer);
    cr_assert_geq(buffer.capacity, SPARE_BUFFER_BYTES_MIN);
    cr_assert_eq(buffer_append_cstr(&buffer, "left over"), 0);
    const uint8_t *memory = buffer.data;
    buffer_consume(&buffer, 4);
    spare_put_buffer(&spares, &buffer);
    cr_assert_null(buffer.data);
    spare_get_buffer(&spares, &buffer);
    cr_assert_eq(buffer.data, memory);
    cr_assert_eq(buffer.bytes, 0);
    cr_assert_geq(buffer.capacity, SPARE_BUFFER_BYTES_MIN);
    spare_put_buffer(&spares, &buffer);
}

/* A buffer of `bytes` is put back; tells whether it was kept. */
static bool is_kept(size_t bytes)
{
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    cr_assert_eq(buffer_reserve(&buffer, bytes), 0);
    uint32_t before = spares.buffers_count;
    spare_put_buffer(&spares, &buffer);
    cr_assert_null(buffer.data);
    return spares.buffers_count == before + 1;
}

Test(spare, keeps_buffers_up_to_its_limits)
{
    cr_assert(is_kept(OUTPUT_KEEP_BYTES));
    cr_assert(!is_kept(OUTPUT_KEEP_BYTES + 1));
    for (uint32_t i = 1; i < SPARE_BUFFERS_BYTES_MAX / OUTPUT_KEEP_BYTES; i++) {
        cr_assert(is_kept(OUTPUT_KEEP_BYTES));
    }
    cr_assert_eq(spares.buffers_bytes, SPARE_BUFFERS_BYTES_MAX);
    cr_assert(!is_kept(SPARE_BUFFER_BYTES_MIN));
    spares_deinit(&spares);
    spares_init(&spares);
    for (uint32_t i = 0; i < SPARES_MAX; i++) {
        cr_assert(is_kept(SPARE_BUFFER_BYTES_MIN));
    }
    cr_assert(!is_kept(SPARE_BUFFER_BYTES_MIN));
}

Test(spare, keeps_parcels_and_parsers_up_to_its_limits)
{
    static struct parcel *parcels[SPARES_MAX + 1];
    static struct resp_parser *parsers[SPARES_MAX + 1];
    for (uint32_t i = 0; i <= SPARES_MAX; i++) {
        parcels[i] = spare_get_parcel(&spares);
        cr_assert_not_null(parcels[i]);
        cr_assert_eq(spare_get_parser(&spares, &parsers[i]), 0);
    }
    for (uint32_t i = 0; i <= SPARES_MAX; i++) {
        output_append(&parcels[i]->output, slice_cstr("x"));
        spare_put_parcel(&spares, parcels[i]);
        spare_put_parser(&spares, parsers[i]);
    }
    cr_assert_eq(spares.parcels_count, SPARES_MAX);
    cr_assert_eq(spares.parsers_count, SPARES_MAX);
    struct parcel *parcel = spare_get_parcel(&spares);
    cr_assert_eq(output_bytes(&parcel->output), 0);
    cr_assert_null(parcel->output.bytes.data);
    spare_put_parcel(&spares, parcel);
}

Test(spare, says_when_memory_is_out)
{
    struct buffer buffer;
    buffer_init(&buffer, SIZE_MAX);
    struct resp_parser *parser = NULL;
    mem_fail_after(1, true);
    spare_get_buffer(&spares, &buffer);
    cr_assert_null(buffer.data);
    cr_assert_null(spare_get_parcel(&spares));
    cr_assert_eq(spare_get_parser(&spares, &parser), ERR_MEMORY);
    mem_fail_after(0, false);
    spare_put_buffer(&spares, &buffer);
    cr_assert_eq(spares.buffers_count, 0);
}
