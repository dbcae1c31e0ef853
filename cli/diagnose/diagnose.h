/* `entrol diagnose`: a finished run's entropies and rewards, and what they say. */
#ifndef CLI_DIAGNOSE_DIAGNOSE_H
#define CLI_DIAGNOSE_DIAGNOSE_H

#include "../buffer.h"
#include "../control/targets.h"
#include "../message.h"

#include <entrol/control.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { RUN_STEP, RUN_ENTROPY, RUN_REWARD, RUN_COEFFICIENT, RUN_COLUMNS };

/* What a run logged: one row for each step that has an entropy. A row without a reward of its own has the mean of those
 * that were logged without an entropy since the row before, as CleanRL logs an episode where it ends and an entropy
 * where a batch does; NaN where there is none. */
typedef struct run_log {
    size_t n;
    double *columns[RUN_COLUMNS];
    char *names[RUN_COLUMNS]; /* of the columns; NULL: there is none, and a step is a row's number from 1 */
    size_t n_without;         /* rows with a reward and no entropy */
    size_t n_nan;             /* rows whose entropy is a NaN or an infinity: left out, and not among those */
    size_t n_gathered;        /* rows that have the mean of such rewards */
    size_t n_back;            /* rows whose step is not above that of the row before: they stay where they are */
    size_t back_place;        /* of the first of these, as of a row_visitor; and its step, and the one before */
    double back_step, back_from;
    size_t cut_line; /* the last line, which a killed writer left unfinished and which is left out; 0: none */
} run_log;

/* Reads a run. `names` are the columns that the user asks for; NULL: the known ones. */
bool run_read(run_log *log, const char *path, const char *const names[RUN_COLUMNS], trouble *trouble);
/* The same from memory (tests, fuzzing). */
bool run_read_memory(run_log *log, const char *name, const char *bytes, size_t n_bytes,
                     const char *const names[RUN_COLUMNS], trouble *trouble);
void run_free(run_log *log);

/* --- Rows, whatever the file's format --- */

enum { VALUE_NUMBER = 1, VALUE_NAN = 2 };

/* What a format can say of its rows. */
typedef struct row_kind {
    /* A value by its name: VALUE_NUMBER; 0 where it is not there or says that there is none (null, an empty cell);
     * VALUE_NAN for a NaN or an infinity; -1 where it is something else than a number. */
    int (*value)(const void *row, const char *name, double *value);
    /* The text that is there instead, and the names of all that the row has, joined by ", ". In JSON an object's number
     * within another object has both names, joined by / or a dot. */
    void (*append_text)(buffer *out, const void *row, const char *name);
    void (*append_names)(buffer *out, const void *row);
} row_kind;

/* What is done with a row, from `place` (a line, or an entry of an array) on; false ends it. */
typedef bool (*row_visitor)(void *user, const row_kind *kind, const void *row, size_t place, trouble *trouble);

/* Visits every row of a file's text, which is one of TRL's trainer_state.json (or its log_history alone), JSON Lines
 * (of verl's file logger, {"step", "data"}, or flat), and CSV or TSV with a header. *cut_line is the last of some lines
 * of JSON where it has no newline and cannot be read, as a writer that was killed leaves it; else 0. */
bool rows_visit(const char *name, const char *bytes, size_t n_bytes, row_visitor visitor, void *user, size_t *cut_line,
                trouble *trouble);
/* CSV alone (rows_csv.c). */
bool rows_visit_csv(const char *name, const char *bytes, size_t n_bytes, row_visitor visitor, void *user,
                    trouble *trouble);

/* --- What is found --- */

/* What a controller with its defaults would have commanded, told the entropies of a run as if it had not acted on it:
 * open loop. */
typedef struct commanded {
    const entrol_controller_kind *kind;
    bool is_refused; /* by an entropy below 0, of which there is no share */
    bool is_empty;   /* a box whose high end, 0.6x, is not above the target: not made */
    double target, last, least, greatest;
    double first_moved; /* the step from which it commanded another coefficient than at the start; NaN: never */
} commanded;

enum { MOST_COMMANDED = 32 };

/* Whether the law's b - a is a ceiling; the first of these that is so. */
typedef enum ceiling_standing {
    CEILING_STANDS,
    CEILING_BELOW_ZERO,   /* an entropy is below 0, so that none is spent at H = 0 */
    CEILING_NOT_RISING,   /* a is not above 0 */
    CEILING_NOT_DESCRIBED /* the law explains less than a tenth of the rewards' variance, or the ceiling's interval is
                             wider than the rewards' range, from the least to the greatest */
} ceiling_standing;
#define LEAST_EXPLAINED 0.1
#define LEAST_ROWS_OF_A_TWELFTH 24 /* two rows: of fewer it is one row's noise */

typedef struct diagnosis_of_run {
    size_t n_first;     /* rows at the start and at the end that means are taken of; the controllers' reference */
    double first, last; /* means, in nats */
    double gone;        /* the share of `first` that is not there at the end; NaN where `first` is not above 0 */
    double early_step;  /* a twelfth of the run, as 200 steps of 2,400 are */
    double early_gone;
    double half_step;     /* where half of `first` is gone; NaN: nowhere */
    double collapse_step; /* where the alarm of collapse is first raised; NaN: nowhere */
    bool is_collapsed;    /* at the end */
    bool has_fit;
    entrol_reason no_fit; /* why there is none, where there are rewards */
    entrol_ceiling ceiling;
    ceiling_standing standing;                                        /* of that, where there is a fit */
    bool is_flat;                                                     /* the rewards do not differ: no fit is tried */
    double last_reward;                                               /* mean of the last n_first rewards; NaN: none */
    double least_coefficient, greatest_coefficient, last_coefficient; /* that the run itself logged; NaN: none */
    size_t n_commanded;
    commanded commanded[MOST_COMMANDED];
} diagnosis_of_run;

/* What the user asks for. */
typedef struct diagnose_settings {
    const char *names[RUN_COLUMNS]; /* NULL: the known ones */
    const char *target;             /* for every controller; NULL: 0.4x */
    greatest_entropy greatest;
    double confidence;
    bool as_json;
} diagnose_settings;

bool run_diagnose(entrol_context *context, diagnosis_of_run *found, const run_log *log,
                  const diagnose_settings *settings, trouble *trouble);

/* As text, for people, or as JSON. */
void run_print(buffer *out, const diagnosis_of_run *found, const run_log *log, const char *name, double confidence);
void run_print_json(buffer *out, const diagnosis_of_run *found, const run_log *log, const char *name,
                    double confidence);

#endif
