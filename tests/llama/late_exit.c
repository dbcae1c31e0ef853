/* Loaded into llama-perplexity by LD_PRELOAD: half a second more at its end. A thread of its own writes its log, which
 * it does not wait for, so that the last lines are lost where the machine is busy. */
#include <time.h>

static __attribute__((destructor)) void wait_at_the_end(void) {
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
}
