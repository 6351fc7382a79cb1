/*
 * meter: the rate at which a total has grown lately, as Redis's instantaneous_* fields tell it: the
 * mean of the last METER_SAMPLES samples, taken about ten times a second. A plain value; zeroed is
 * a new one. One thread.
 */
#ifndef SERVER_METER_H
#define SERVER_METER_H

#include <stdint.h>

enum { METER_SAMPLES = 16, METER_PERIOD_NS = 100000000 };

struct meter {
    uint64_t total; /* at the last sample */
    int64_t at_ns;  /* monotonic time of the last sample; 0: there was none */
    uint64_t per_s[METER_SAMPLES];
    uint32_t next;
};

/* Takes a sample: the total, which never goes down but for a reset, as of now. */
void meter_add(struct meter *meter, uint64_t total, int64_t now_ns);

uint64_t meter_per_s(const struct meter *meter);

#endif
