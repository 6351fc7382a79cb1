/*
 * Redis Cluster's hash slot of a key: CRC16 (XMODEM: polynomial 0x1021, start 0, not reflected)
 * modulo 16384, of the whole key or, if the key has a `{` followed by a `}` with something between,
 * of what stands between the first `{` and the first `}` after it. Any thread.
 */
#ifndef BASE_SLOT_H
#define BASE_SLOT_H

#include <stdint.h>

#include "base/slice.h"

#define SLOT_COUNT 16384

uint16_t slot_of_key(struct slice key);

/* The CRC16 itself. */
uint16_t slot_crc16(struct slice data);

#endif
