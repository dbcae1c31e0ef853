/* Recorded log-probabilities as inputs of a selection: the records that `entrol score` would write of them are made
 * once, as lines in one unlinked temporary file for all inputs, and read from there as often as it takes. */
#ifndef CLI_SELECT_RECORDED_H
#define CLI_SELECT_RECORDED_H

#include "../formats/records.h"
#include "../message.h"

#include <entrol/base.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct select_recorded select_recorded;

/* What is known of one input. Zero: nothing yet. */
typedef struct select_log {
    bool is_known, is_log; /* looked at; recorded log-probabilities */
    bool is_made;          /* its records are there: */
    uint64_t start, end;   /* these bytes of the temporary file */
    uint64_t *lines;       /* of each record: the line that it comes from */
    size_t n_lines, capacity;
    void *mapping; /* of the bytes, while they are read */
    size_t n_mapped;
    input *input; /* over them */
} select_log;

/* n_vocabulary: tokens in the vocabulary of the models that were recorded; 0: unknown. The context must outlive it. */
select_recorded *select_recorded_new(entrol_context *context, int64_t n_vocabulary, trouble *trouble);
void select_recorded_free(select_recorded *recorded);

/* Whether an input at its start, which can be rewound, holds recorded log-probabilities, told once; it is at its start
 * again. False for trouble. */
bool select_log_look(select_log *log, select_recorded *recorded, input *input, trouble *trouble);
/* Records of an input that select_log_look has looked at, opened by `path`: made of a log, else what is there. NULL for
 * trouble. */
records *select_log_records(select_log *log, select_recorded *recorded, const char *path, input *input,
                            trouble *trouble);
/* Its records have been closed, and may be read again. */
void select_log_leave(select_log *log);
void select_log_free(select_log *log);

/* How many upper bounds are infinite, of all that has been made. */
uint64_t select_recorded_n_infinite(const select_recorded *recorded);
/* Warns of what the records lack that the logs had. */
void select_recorded_warn(const select_recorded *recorded);

#endif
