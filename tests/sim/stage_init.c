/* What a program with a stage does first. (Apart: the server's struct command isn't client.h's.) */
#include <signal.h>

#include "cmd/command.h"
#include "process.h"
#include "stage_init.h"
#include "world.h"

/* An assertion of the product. */
static void on_abort(int signal_number)
{
    (void)signal(signal_number, SIG_DFL);
    process_print_log();
    world_violation("the program received signal %d", signal_number);
}

void stage_init(void)
{
    commands_init();
    (void)signal(SIGABRT, on_abort);
}
