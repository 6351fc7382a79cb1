/*
 * error_tally: how many error replies there were, by their codes (INFO errorstats).
 *
 * Each shard has one, which the replies written there point to. A code is the first word of a
 * reply's text. All texts are ours, so there are about a dozen codes; should there be more than
 * fit, the rest is counted together, under the name that Valkey has for it.
 */
#ifndef NET_ERROR_TALLY_H
#define NET_ERROR_TALLY_H

#include <stdint.h>

enum {
    ERROR_TALLY_CODES_MAX = 32,
    ERROR_CODE_BYTES_MAX = 24, /* with the terminator; a longer one is cut */
};
#define ERROR_TALLY_OVERFLOW "ERRORSTATS_OVERFLOW"

struct error_count {
    char code[ERROR_CODE_BYTES_MAX];
    uint64_t count;
};

struct error_tally {
    uint64_t total;
    uint32_t used; /* the last one of a full tally is ERROR_TALLY_OVERFLOW */
    struct error_count codes[ERROR_TALLY_CODES_MAX];
};

/* Counts one reply of that text, e.g. "ERR syntax error". */
void error_tally_note(struct error_tally *tally, const char *text);
/* Adds another's counts. */
void error_tally_add(struct error_tally *to, const struct error_tally *from);
/* Sorts by code. A sorted one must not be counted in any more. */
void error_tally_sort(struct error_tally *tally);

#endif
