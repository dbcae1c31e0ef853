/* Which instruction sets this machine can run. Asked once, then remembered. */
#ifndef ENT_BASE_CPU_H
#define ENT_BASE_CPU_H

#include <entrol/base.h>

/* The level to use for a request: the request itself, or for ENTROL_CPU_BEST what the environment variable ENTROL_CPU
 * says, else the best one. UNSUPPORTED or ENVIRONMENT as entrol_context_create says. */
entrol_status ent_cpu_choose(entrol_cpu *chosen, entrol_cpu requested);

#endif
