/* Controllers: from the entropy that was observed in a step to the coefficient of the next one.
 *
 * A controller is made by name with settings, told the entropy once a training step, and gives what holds for the next
 * step. Its state can be saved as text and restored, so that a run that was stopped goes on as if it had not been. */
#ifndef ENTROL_CONTROL_H
#define ENTROL_CONTROL_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a controller drives: what its `coefficient` is. */
typedef enum entrol_drive {
    ENTROL_DRIVE_ENTROPY_COEFFICIENT = 0, /* beta: the loss has -beta times the mean entropy */
    ENTROL_DRIVE_SAMPLE_WEIGHTS,          /* alpha: samples of positive advantage weigh 1 - alpha, others 1 + alpha */
    ENTROL_DRIVE_TEMPERATURE,             /* the temperature at which samples of a regularising term are drawn */
    ENTROL_DRIVE_KL_COEFFICIENT,          /* of the KL to a reference; what is observed is that KL */
    ENTROL_DRIVE_PROMPT_COEFFICIENT       /* beta, but of hard prompts alone: entrol_controller_coefficient_of */
} entrol_drive;

/* "entropy coefficient", "sample weights", "temperature", "KL coefficient", "entropy coefficient by prompt"; "unknown"
 * for a number that is no drive. */
ENTROL_API const char *entrol_drive_name(entrol_drive drive);

/* A controller that can be made: a row of the registry. Strings and tables that live as long as the program.
 *
 * Every row begins with the parameters "min", "max", "slew", "reference_steps", "collapse" and "explosion", by which
 * all controllers are limited and watched in the same way. One that looks at what it observes, which a schedule does
 * not, has "target", "dead_band" and "initial" behind them. Then come its own.
 */
typedef struct entrol_controller_kind {
    const char *name; /* lower case, words joined by _ */
    entrol_drive drives;
    const char *observes; /* "entropy" or "KL", in nats */
    const entrol_parameter *parameters;
    size_t n_parameters;
    const char *says;   /* one sentence: its law */
    const char *source; /* where it was published */
} entrol_controller_kind;

ENTROL_API size_t entrol_controller_kind_count(void);
ENTROL_API const entrol_controller_kind *entrol_controller_kind_at(size_t index);       /* NULL beyond the last */
ENTROL_API const entrol_controller_kind *entrol_controller_kind_find(const char *name); /* NULL for none */

/* How a target is written. */
typedef enum entrol_target_kind {
    ENTROL_TARGET_NATS = 0,   /* "0.3", "-6": so many nats; of a continuous policy they may be negative */
    ENTROL_TARGET_MAX_SHARE,  /* "0.7max": this share of the greatest entropy (of n actions, ln n) */
    ENTROL_TARGET_FIRST_SHARE /* "0.4x": this share of the mean of the first observations (`reference_steps`) */
} entrol_target_kind;

typedef struct entrol_target {
    entrol_target_kind kind;
    double value; /* nats, or a share, which is at least 0 */
} entrol_target;

/* Reads a target, the same in every locale. Error: ARGUMENT, and `n_read` (may be NULL) is then the offset of the first
 * byte that does not fit. */
ENTROL_API entrol_status entrol_target_parse(entrol_target *target, size_t *n_read, const char *text);

typedef struct entrol_controller_options {
    size_t size;        /* sizeof(entrol_controller_options) */
    double max_entropy; /* nats, above 0: what a share "max" is of; 0: not known */
    uint64_t n_actions; /* the same as a max_entropy of ln n_actions, from 2 on; 0: not known. Beside a max_entropy,
                           which then holds, it must be the same within a thousandth */
} entrol_controller_options;

#define ENTROL_CONTROLLER_OPTIONS_INIT                                                                                 \
    { sizeof(entrol_controller_options), 0, 0 }

/* A controller: a few numbers, without threads. For one thread at a time. */
typedef struct entrol_controller entrol_controller;

/* Alarms, as bits. Each is raised beyond its threshold and falls only when a quarter of the way from there back to the
 * mean of the first observations is made good, so that noise does not ring it again and again. */
enum {
    ENTROL_ALARM_COLLAPSE = 1, /* the entropy is below "collapse" */
    ENTROL_ALARM_EXPLOSION = 2 /* it is above "explosion" */
};

/* What holds for the next step, and what it follows from. */
typedef struct entrol_command {
    size_t size;            /* sizeof(entrol_command), set by the caller: no more of it is written */
    double coefficient;     /* of what the controller drives */
    double positive_weight; /* SAMPLE_WEIGHTS: 1 - coefficient and 1 + coefficient; else 1 and 1 */
    double negative_weight;
    double temperature; /* TEMPERATURE: the coefficient; else 1 */
    double entropy;     /* the mean that was observed last, over all ranks; NaN before the first */
    double target;      /* nats; NaN while it is not known, and where there is none */
    double error;       /* target - entropy; NaN where one of them is */
    uint64_t step;      /* observations so far */
    unsigned alarms;    /* ENTROL_ALARM_..., of those that are raised now */
    int is_limited;     /* 1: the law wanted another coefficient than min, max and slew allow */
    int is_held;        /* 1: the law did not move: inside the dead band, or the target is not known yet */
} entrol_command;

#define ENTROL_COMMAND_INIT                                                                                            \
    { sizeof(entrol_command), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Makes a controller by its name. The context gives the memory and, with a comm, the ranks: every rank makes one with
 * the same name, settings and options (COMMUNICATION where they differ), and makes every observation together.
 *
 * A default of "initial" that is not between "min" and "max" is moved to the nearer of them.
 *
 * Errors: ARGUMENT, where the diagnosis names "name", the parameter, "settings" (no such parameter: first_row is the
 * setting's index), "options", or "target", "collapse" or "explosion" where a share "max" is asked for and neither
 * max_entropy nor n_actions is given; also "min" where it is above "max", "initial" where it was set and is not between
 * them, "target" where it is more than the greatest entropy (by a thousandth, where it is in nats), and "high" of a box
 * where it is not above the target, as far as that is known before the first observation; MEMORY, COMMUNICATION. */
ENTROL_API entrol_status entrol_controller_create(entrol_context *context, entrol_controller **controller,
                                                  entrol_diagnosis *diagnosis, const char *name,
                                                  const entrol_setting *settings, size_t n_settings,
                                                  const entrol_controller_options *options);
/* Gives its memory back to the context that it was made with. NULL is allowed. */
ENTROL_API void entrol_controller_destroy(entrol_context *context, entrol_controller *controller);

/* The row that it was made from. */
ENTROL_API const entrol_controller_kind *entrol_controller_kind_of(const entrol_controller *controller);

/* What holds now: before the first observation what holds for the first step. command->size is the caller's. */
ENTROL_API entrol_status entrol_controller_command(entrol_command *command, const entrol_controller *controller);

/* Tells what was observed in the step that ended: the sum of the entropies of `count` tokens, or a mean with a count of
 * 1. Gives what holds for the next step (`command` may be NULL).
 *
 * With a comm the sums and counts of all ranks are added exactly, so that every rank has the same coefficient to the
 * bit, whatever the split; a rank without tokens gives 0 and 0. Costs less than a microsecond on one rank, and does not
 * allocate.
 *
 * Errors, after which the controller is as before, on all ranks: DATA for a sum that is NaN or infinite or beyond 2^62,
 * for no tokens at all, and for a mean below 0 among the first observations where a target is a share of them (the
 * diagnosis has the reason NAN, INFINITE, EMPTY_SUPPORT or NEGATIVE); ARGUMENT; COMMUNICATION, also where another
 * rank's call fails. */
ENTROL_API entrol_status entrol_controller_observe(entrol_context *context, entrol_command *command,
                                                   entrol_diagnosis *diagnosis, entrol_controller *controller,
                                                   double sum, uint64_t count);

/* The same of the entropies of this rank's tokens themselves, added exactly: however the tokens are split over ranks,
 * the coefficient is the same to the bit, which sums that were rounded before do not promise. `valid` (bytes, NULL:
 * all) says which count. A NaN or an infinity among those is DATA, and the diagnosis names its row. */
ENTROL_API entrol_status entrol_controller_observe_tokens(entrol_context *context, entrol_command *command,
                                                          entrol_diagnosis *diagnosis, entrol_controller *controller,
                                                          const float *entropies, const uint8_t *valid,
                                                          size_t n_tokens);

/* The coefficient of one prompt whose samples are right with this share (0 to 1): 0 where PROMPT_COEFFICIENT leaves it
 * out as easy. Of other controllers the coefficient. Error: ARGUMENT. */
ENTROL_API entrol_status entrol_controller_coefficient_of(double *coefficient, const entrol_controller *controller,
                                                          double accuracy);

/* The state as text: lines of a name and a value, beginning with "entrol-controller 1" and ending with "end"; with the
 * controller's name and every setting. Numbers are the shortest decimals that read back as the same bits, on every
 * machine and in every locale.
 *
 * Writes at most `capacity` bytes with the NUL behind them; *n_bytes (may be NULL) is the text's length without it.
 * `text` may be NULL with a capacity of 0: the length alone. Error: ARGUMENT where it does not fit, and *n_bytes is
 * still what is needed. ENTROL_CONTROLLER_STATE_ROOM is always enough. */
#define ENTROL_CONTROLLER_STATE_ROOM 4096
ENTROL_API entrol_status entrol_controller_save(char *text, size_t *n_bytes, size_t capacity,
                                                const entrol_controller *controller);

/* Puts a controller that was made with the same name, settings and options into a saved state: it goes on as the one
 * that was saved would have. With a comm every rank restores the same text.
 *
 * `text` need not end in a NUL. Error: ARGUMENT for any other text (of another version or controller, with other
 * settings, cut off, with a value that cannot be); the controller is as before, and `n_read` (may be NULL) is the
 * offset of the line, or of the value in it, that does not fit. */
ENTROL_API entrol_status entrol_controller_restore(entrol_controller *controller, size_t *n_read, const char *text,
                                                   size_t n_bytes);

/* --- What a run says about its entropy and reward --- */

typedef struct entrol_ceiling_options {
    size_t size;       /* sizeof(entrol_ceiling_options) */
    double confidence; /* of the intervals, above 0, at most 0.9999 */
} entrol_ceiling_options;

#define ENTROL_CEILING_OPTIONS_INIT                                                                                    \
    { sizeof(entrol_ceiling_options), 0.95 }

/* R = b - a exp(H) (arXiv 2505.22617), fitted. */
typedef struct entrol_ceiling {
    double a, b;
    double ceiling;         /* b - a: the reward when the entropy is spent, H = 0 */
    double low, high;       /* where the ceiling is, with the confidence that was asked for */
    double deviation;       /* of the residuals */
    double autocorrelation; /* of one residual with the next, as estimated; at least 0 */
    double r_squared;       /* the share of the rewards' variance that the law explains */
    uint64_t n;
} entrol_ceiling;

/* The mean reward that the law gives at an entropy. */
typedef struct entrol_forecast {
    double entropy; /* set by the caller, in nats */
    double reward, low, high;
} entrol_forecast;

/* Fits the law to n pairs of a run, in the order of its steps, and forecasts the reward at the entropies that the
 * forecasts name.
 *
 * The residuals of neighbouring steps are taken to be correlated, e_t = rho e_(t-1) + noise. For each rho of a grid
 * over [0, 1) it is least squares of what the correlation leaves (Prais and Winsten), where b - a has a t distribution
 * with n - 2 degrees of freedom; what is given is the mixture of these, each rho with the weight of its restricted
 * likelihood, so that the interval also counts that rho is not known. An `a` below 0 says that the reward does not rise
 * as entropy is spent: then b - a is no ceiling.
 *
 * Errors: DATA for a NaN, an entropy of 350 nats or more and a reward of 1e150 or more in size (the diagnosis has the
 * row), for fewer than 4 pairs (GROUP), and for entropies that do not differ (DEVIATION); ARGUMENT. */
ENTROL_API entrol_status entrol_fit_ceiling(entrol_context *context, entrol_ceiling *ceiling,
                                            entrol_forecast *forecasts, size_t n_forecasts, entrol_diagnosis *diagnosis,
                                            const double *entropies, const double *rewards, size_t n,
                                            const entrol_ceiling_options *options);

#ifdef __cplusplus
}
#endif
#endif
