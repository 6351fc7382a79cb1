/*
 * redact: which arguments are secrets, that MONITOR and SLOWLOG show as "(redacted)".
 */
#ifndef CMD_REDACT_H
#define CMD_REDACT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Whether args[index] is a password: of AUTH, HELLO ... AUTH, or CONFIG SET. */
bool redact_hides(const struct slice *args, uint32_t argc, uint32_t index);

/* args[index], or what is shown instead. */
struct slice redact_arg(const struct slice *args, uint32_t argc, uint32_t index);

#endif
