/*
 * config_table: the rows of the table of directives. Only config.c and the tests read them.
 */
#ifndef SERVER_CONFIG_TABLE_H
#define SERVER_CONFIG_TABLE_H

#include "server/config.h"

extern const struct directive directives_honoured[DIRECTIVE_ID_COUNT];
/* Redis 7's others: accepted without effect, or refused. Ends with a row without a name. */
extern const struct directive directives_ignored[];

#endif
