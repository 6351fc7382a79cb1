#include "load.h"

#include "world.h"

bool load_in_doubt(const struct load *load, const char *what, const struct reply *reply)
{
    if (reply == NULL) {
        return true;
    }
    bool may_fail = load->rules.damage || (load->rules.faults && !load->checking);
    SIM_CHECK(reply->type != '-' || may_fail, "%s: an error though nothing has failed: %.*s", what,
              (int)reply->bytes, (const char *)reply->data);
    return reply->type == '-';
}
