/*
 * store_fix: what mutators do to the files of a partition (store_rig.h) so that a change is not
 * always stopped by a checksum. Nothing in the product is switched off for it.
 */
#ifndef TESTS_FUZZ_STORE_FIX_H
#define TESTS_FUZZ_STORE_FIX_H

#include <stdbool.h>
#include <stdint.h>

/* Manifest 1: checksums, and with `chain` also what ties a record to the one before it. */
void fix_manifest(uint8_t *blocks, uint32_t count, bool chain);

/* Data file 1: checksums of pages, and of extents that lie within these blocks. */
void fix_data(uint8_t *blocks, uint32_t count);

#endif
