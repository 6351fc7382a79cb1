#include "seams.h"

#include "shard/shard.h"

static uint32_t mailbox_slots;

void seams_set_mailbox_slots(uint32_t slots)
{
    mailbox_slots = slots;
}

/* The linker sends all calls of shard_options_default here. */
struct shard_options __real_shard_options_default(void);
struct shard_options __wrap_shard_options_default(void);

struct shard_options __wrap_shard_options_default(void)
{
    struct shard_options options = __real_shard_options_default();
    options.mailbox_slots = mailbox_slots;
    return options;
}
