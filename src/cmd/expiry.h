/*
 * expiry: reading times from arguments, for SET, GETEX and the EXPIRE family.
 */
#ifndef CMD_EXPIRY_H
#define CMD_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cmd/request.h"

enum expiry_unit { EXPIRY_EX, EXPIRY_PX, EXPIRY_EXAT, EXPIRY_PXAT };

/* EX, PX, EXAT, PXAT in any case. */
bool expiry_unit_parse(struct slice word, enum expiry_unit *ret_unit);

/* A time to live of a SET-like command as an absolute time in ms: it must be positive and fit.
 * Replies the error. */
NODISCARD int expiry_arg(struct request *request, uint32_t index, enum expiry_unit unit,
                         int64_t *ret_expire_ms);

/* value (seconds or ms, relative or absolute by unit) to absolute ms; false if that overflows. */
bool expiry_to_ms(int64_t value, enum expiry_unit unit, int64_t now_ms, int64_t *ret_expire_ms);

/* "ERR invalid expire time in 'x' command" */
void expiry_reply_invalid(struct request *request);

#endif
