#include "abort_message.h"

#include "message.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static const char *message_path, *message_what;

/* Only write(2) and _exit(2): anything may be broken here. */
static void put(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(EXIT_ERROR);
}

static void on_abort(int number) {
    (void)number;
    put("entrol: ");
    put(message_path);
    put(": ");
    put(message_what);
    put("\n");
    _exit(EXIT_ERROR);
}

void abort_message_begin(const char *path, const char *what) {
    message_path = path;
    message_what = what;
    signal(SIGABRT, on_abort);
}

void abort_message_end(void) {
    signal(SIGABRT, SIG_DFL);
}
