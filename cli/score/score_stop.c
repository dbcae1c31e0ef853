/* Ctrl-C: ask to stop between two decodes; a second one ends the process at once. */
#include "score.h"

#include <signal.h>

static volatile sig_atomic_t stop_signal;

static void remember(int number) {
    stop_signal = number;
}

void score_stop_install(void) {
    struct sigaction action = {.sa_handler = remember, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int score_stop_signal(void) {
    return stop_signal;
}
