/* The progress line: "1,234 of 10,000 tokens (12%), 345 tokens/s, 0:25 left". */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 256 };
static const double SECONDS_BETWEEN = 0.1;
static bool is_line_shown; /* standard error is one, so is the line on it */

double monotonic_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Whether it is a terminal that obeys escape sequences. */
static bool is_terminal(int fd) {
    const char *term = getenv("TERM");
    return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

bool terminal_has_color(int fd) {
    const char *no_color = getenv("NO_COLOR");
    return is_terminal(fd) && !(no_color && *no_color);
}

int terminal_columns(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void progress_begin(progress *progress, const char *unit, uint64_t total) {
    *progress = (struct progress){.on = is_terminal(STDERR_FILENO), .unit = unit, .total = total};
    progress->started = monotonic_seconds();
    progress->shown_at = progress->started;
}

/* A count with commas between thousands. */
static void format_count(char *text, size_t size, uint64_t count) {
    char digits[32];
    size_t n = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)count), used = 0;
    for (size_t i = 0; i < n && used + 2 < size; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
}

static void format_duration(char *text, size_t size, double seconds) {
    unsigned long long whole = seconds < 1e9 ? (unsigned long long)(seconds + 0.5) : 1000000000ull;
    if (whole >= 3600)
        snprintf(text, size, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%llu:%02llu", whole / 60, whole % 60);
}

static void format_line(char *line, const progress *progress, uint64_t done, double elapsed) {
    char done_text[32], total_text[32], left_text[32];
    double rate = (double)done / elapsed;
    format_count(done_text, sizeof done_text, done);
    format_count(total_text, sizeof total_text, progress->total);
    if (progress->total < done || done == 0) {
        snprintf(line, LINE_SIZE, "%s %s, %.*f %s/s", done_text, progress->unit, rate < 10 ? 1 : 0, rate,
                 progress->unit);
        return;
    }
    format_duration(left_text, sizeof left_text, (double)(progress->total - done) / rate);
    snprintf(line, LINE_SIZE, "%s of %s %s (%.0f%%), %.*f %s/s, %s left", done_text, total_text, progress->unit,
             100.0 * (double)done / (double)progress->total, rate < 10 ? 1 : 0, rate, progress->unit, left_text);
}

void progress_update(progress *progress, uint64_t done) {
    if (!progress->on)
        return;
    double now = monotonic_seconds();
    if (now - progress->shown_at < SECONDS_BETWEEN)
        return;
    char line[LINE_SIZE];
    format_line(line, progress, done, now - progress->started);
    bool color = terminal_has_color(STDERR_FILENO);
    /* One column stays free: a full line would wrap, and a wrapped line cannot be erased. */
    fprintf(stderr, "\r%s%.*s%s\x1b[K", color ? "\x1b[2m" : "", terminal_columns(STDERR_FILENO) - 1, line,
            color ? "\x1b[0m" : "");
    fflush(stderr);
    progress->shown_at = now;
    is_line_shown = true;
}

void progress_hide(void) {
    if (is_line_shown)
        fputs("\r\x1b[K", stderr);
    is_line_shown = false;
}

void progress_end(progress *progress) {
    progress_hide();
    progress->on = false;
}
