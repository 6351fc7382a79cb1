#include "server/meter.h"

enum { NS_PER_S = 1000000000 };

void meter_add(struct meter *meter, uint64_t total, int64_t now_ns)
{
    if (meter->at_ns != 0 && now_ns > meter->at_ns) {
        uint64_t grown = total >= meter->total ? total - meter->total : 0;
        meter->per_s[meter->next] =
            (uint64_t)((double)grown * NS_PER_S / (double)(now_ns - meter->at_ns));
        meter->next = (meter->next + 1) % METER_SAMPLES;
    }
    meter->total = total;
    meter->at_ns = now_ns;
}

uint64_t meter_per_s(const struct meter *meter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < METER_SAMPLES; i++) {
        sum += meter->per_s[i];
    }
    return sum / METER_SAMPLES;
}
