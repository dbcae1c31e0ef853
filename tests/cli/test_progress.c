/* The progress line, as a terminal receives it: standard error is a pseudo-terminal here. */
#include "harness.h"
#include "message.h"
#include "progress.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int saved = -1, terminal = -1;
static char seen[4096];

/* Standard error becomes a terminal of that many columns, or a pipe (0). */
static bool redirect(int columns) {
    int inner;
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    int ends[2];
    if (columns > 0) {
        if (openpty(&terminal, &inner, NULL, NULL, &size) != 0)
            return false;
    } else {
        if (pipe(ends) != 0)
            return false;
        terminal = ends[0];
        inner = ends[1];
    }
    saved = dup(STDERR_FILENO);
    dup2(inner, STDERR_FILENO);
    close(inner);
    return true;
}

/* What was written since the last call. */
static const char *take(void) {
    fflush(stderr);
    usleep(20000);
    fcntl(terminal, F_SETFL, O_NONBLOCK);
    ssize_t n = read(terminal, seen, sizeof seen - 1);
    seen[n > 0 ? n : 0] = 0;
    return seen;
}

static void restore(void) {
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(terminal);
}

static void test_the_line(void) {
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    if (!redirect(80)) {
        test_skip("no pseudo-terminal");
        return;
    }
    progress progress;
    progress_begin(&progress, "tokens", 12000);
    progress.started = progress.shown_at = monotonic_seconds() - 2; /* as if two seconds had passed */
    progress_update(&progress, 3000);
    char line[4096], message[4096], again[4096], end[4096];
    strcpy(line, take());
    progress_update(&progress, 3001); /* at once: too soon to show */
    CHECK_STRING(take(), "");
    message_warning("careful");
    strcpy(message, take());
    progress.shown_at -= 1;
    progress_update(&progress, 6000);
    strcpy(again, take());
    progress_end(&progress);
    strcpy(end, take());
    restore();
    CHECK_SAY(strncmp(line, "\r3,000 of 12,000 tokens (25%), ", 31) == 0, "%s", line + 1);
    CHECK_SAY(strstr(line, " tokens/s, 0:06 left\x1b[K") != NULL, "%s", line + 1);
    CHECK(strchr(line, '\n') == NULL);
    CHECK(strstr(line, "\x1b[2m") == NULL);
    CHECK_STRING(message, "\r\x1b[Kentrol: warning: careful\r\n"); /* the terminal adds the return */
    CHECK(strstr(again, "\r6,000 of 12,000 tokens (50%)") == again);
    CHECK_STRING(end, "\r\x1b[K");
}

static void test_color_and_width(void) {
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    if (!redirect(20)) {
        test_skip("no pseudo-terminal");
        return;
    }
    progress progress;
    progress_begin(&progress, "tokens", 0);
    progress.started = progress.shown_at = monotonic_seconds() - 2;
    progress_update(&progress, 1234567);
    char line[4096];
    strcpy(line, take());
    progress_end(&progress);
    restore();
    CHECK_SAY(strcmp(line, "\r\x1b[2m1,234,567 tokens, 6\x1b[0m\x1b[K") == 0, "%s", line + 1); /* 19 columns */
}

static void check_nothing(int columns) {
    if (!redirect(columns)) {
        test_skip("no pseudo-terminal");
        return;
    }
    progress progress;
    progress_begin(&progress, "tokens", 100);
    progress.shown_at -= 5;
    progress_update(&progress, 50);
    progress_end(&progress);
    char text[4096];
    strcpy(text, take());
    restore();
    CHECK_STRING(text, "");
}

static void test_nothing_where_there_is_no_terminal(void) {
    setenv("TERM", "xterm", 1);
    check_nothing(0);
}

static void test_nothing_where_a_line_cannot_be_erased(void) {
    setenv("TERM", "dumb", 1);
    check_nothing(80);
    unsetenv("TERM");
    check_nothing(80);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_the_line);
    TEST(test_color_and_width);
    TEST(test_nothing_where_there_is_no_terminal);
    TEST(test_nothing_where_a_line_cannot_be_erased);
    return test_end();
}
