/* stage_init: what a program with a stage (stage.h) does first, once. */
#ifndef SIM_STAGE_INIT_H
#define SIM_STAGE_INIT_H

void stage_init(void);

#endif
