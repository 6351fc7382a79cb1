/*
 * Patterns as in KEYS, SCAN MATCH and CONFIG GET: `*` any bytes, `?` one byte, `[a-z]` and `[^a-z]`
 * one byte of a set, `\x` the byte x itself. Like Redis, a set that is not closed ends with the
 * pattern, and a range may stand backwards. Matching needs no memory and at most text times pattern
 * steps. Any thread.
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Whether `pattern` matches all of `text`; with `nocase` ASCII letters match in either case. */
bool glob_match(struct slice pattern, struct slice text, bool nocase);

/*
 * The bytes with which every match (with case) starts: writes at most `bytes_max` of them to
 * `ret_prefix` and returns how many. A scan may seek to them. The pattern is literal as a whole if
 * glob_is_literal says so.
 */
size_t glob_literal_prefix(struct slice pattern, uint8_t *ret_prefix, size_t bytes_max);

/* Whether the pattern has neither `*` nor `?` nor a set, so that it can match only one text. */
bool glob_is_literal(struct slice pattern);

#endif
