/*
 * wire: a reader of replies that knows nothing of the server's writer.
 */
#ifndef TESTS_FUZZ_WIRE_H
#define TESTS_FUZZ_WIRE_H

#include <stdint.h>

#include "base/slice.h"

/* One whole reply at the start of `bytes`, in RESP `resp` (0: in either); 0: incomplete. Aborts on
 * what is no reply. Else its length. */
size_t wire_reply_bytes(struct slice bytes, int resp);

#endif
