/*
 * Lines with quoted arguments, as in inline commands and in configuration files, by Redis's rules:
 *
 *     word          up to the next blank; a quote may begin within a word
 *     "..."         with \n \r \t \a \b \xHH, and \c for any other c
 *     '...'         with \' only
 *
 * A closing quote must be followed by a blank or the end. A NUL byte ends the line. Any thread.
 */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

/*
 * Splits `line` into at most `args_max` arguments. Their bytes are appended to `storage` (at most
 * line.bytes of them) and the slices in `args` borrow them until `storage` changes. Returns the
 * count (0 for a blank line), ERR_PROTOCOL for unbalanced quotes, ERR_LIMIT for too many arguments
 * or a full storage, ERR_MEMORY.
 */
NODISCARD int quote_split(struct slice line, struct slice *args, uint32_t args_max,
                          struct buffer *storage);

/*
 * Appends `text` as a double-quoted string in printable ASCII that quote_split reads back. Returns
 * 0, ERR_LIMIT or ERR_MEMORY; on an error nothing is appended.
 */
NODISCARD int quote_append(struct buffer *buffer, struct slice text);

#endif
