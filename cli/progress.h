/* A line on standard error that says how far a command is; nothing where standard error is no terminal, or
 * one that cannot erase a line (TERM is "dumb" or not set). */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool on;
    const char *unit; /* "tokens" */
    uint64_t total;   /* 0: unknown */
    double started, shown_at;
} progress;

/* `unit` is a plural noun and must outlive the progress. */
void progress_begin(progress *progress, const char *unit, uint64_t total);
/* Cheap to call often: the line changes at most ten times a second. */
void progress_update(progress *progress, uint64_t done);
/* Erases the line. */
void progress_end(progress *progress);

/* Erases the line that is shown, if any, before something else is written; the next update brings it back. */
void progress_hide(void);

/* Whether colours may be used on a file descriptor: a terminal that is not "dumb", and no NO_COLOR. */
bool terminal_has_color(int fd);
/* The columns of the terminal on a file descriptor; 80 where there is none. */
int terminal_columns(int fd);

/* Seconds of a clock that never goes back. */
double monotonic_seconds(void);

#endif
