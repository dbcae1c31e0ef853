/* The columns of a run that matter, by the names that trainers log them under. */
#include "diagnose.h"

#include "../input.h"
#include "../suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A name, and what its values are to be multiplied by: Stable-Baselines3 logs the loss, which is less the entropy. */
typedef struct known_name {
    const char *name;
    double sign;
} known_name;

/* In the order in which they are looked for. */
static const known_name known[RUN_COLUMNS][16] = {
    [RUN_STEP] = {{"step", 1},                 /* TRL, verl */
                  {"Step", 1},                 /* a chart of Weights & Biases */
                  {"global_step", 1},          /* CleanRL */
                  {"training/global_step", 1}, /* verl */
                  {"time/total_timesteps", 1}, /* Stable-Baselines3 */
                  {"_step", 1},                /* an export of Weights & Biases */
                  {NULL, 0}},
    [RUN_ENTROPY] = {{"entropy", 1},       /* TRL's GRPO */
                     {"actor/entropy", 1}, /* verl */
                     {"actor/entropy_loss", 1},
                     {"policy/entropy_avg", 1}, /* TRL's PPO */
                     {"objective/entropy", 1},
                     {"losses/entropy", 1}, /* CleanRL */
                     {"train/entropy", 1},
                     {"train/entropy_loss", -1}, /* Stable-Baselines3 */
                     {"entropy_loss", -1},
                     {NULL, 0}},
    [RUN_REWARD] = {{"reward", 1},              /* TRL's GRPO */
                    {"critic/rewards/mean", 1}, /* verl */
                    {"critic/score/mean", 1},
                    {"objective/scores", 1}, /* TRL's PPO */
                    {"objective/rlhf_reward", 1},
                    {"rollout/ep_rew_mean", 1},    /* Stable-Baselines3 */
                    {"charts/episodic_return", 1}, /* CleanRL */
                    {"episodic_return", 1},
                    {"return", 1},
                    {"score", 1},
                    {NULL, 0}},
    [RUN_COEFFICIENT] = {{"coefficient", 1}, /* entrol control --json */
                         {"entropy_coef", 1},
                         {"entropy_coeff", 1},
                         {"actor/entropy_coeff", 1}, /* verl's */
                         {"actor/entropy_coef", 1},
                         {"train/entropy_coef", 1},
                         {"ent_coef", 1},
                         {"train/ent_coef", 1}, /* Stable-Baselines3 */
                         {NULL, 0}},
};

/* The name with what is known of it: who names a loss means it as it is meant without being named. */
static known_name known_as(int column, const char *name) {
    for (size_t i = 0; known[column][i].name != NULL; i++)
        if (strcmp(known[column][i].name, name) == 0)
            return known[column][i];
    return (known_name){name, 1};
}

/* --- Which columns there are --- */

typedef struct search {
    const char *const *wanted;
    known_name candidates[RUN_COLUMNS][16];
    bool seen[RUN_COLUMNS][16];
    buffer names; /* of the first row */
} search;

static bool look_for(void *user, const row_kind *kind, const void *row, size_t place, trouble *trouble) {
    search *search = user;
    double unused;
    (void)place;
    (void)trouble;
    if (search->names.size == 0)
        kind->append_names(&search->names, row);
    for (int c = 0; c < RUN_COLUMNS; c++)
        for (size_t i = 0; search->candidates[c][i].name != NULL; i++)
            if (!search->seen[c][i]) {
                const int is_there = kind->value(row, search->candidates[c][i].name, &unused);
                search->seen[c][i] = is_there == VALUE_NUMBER || (is_there < 0 && c != RUN_COEFFICIENT);
            }
    return true;
}

static const known_name *found_name(const search *search, int column) {
    for (size_t i = 0; search->candidates[column][i].name != NULL; i++)
        if (search->seen[column][i])
            return &search->candidates[column][i];
    return NULL;
}

enum { MOST_SHOWN = 400 }; /* bytes of the columns' names */

/* "did you mean "entropy"? ", where a column of the first row is close to what was asked for. */
static void append_meant(buffer *out, const search *search, const char *wanted) {
    char *names = search->names.size > 0 ? strdup(search->names.data) : NULL, *left = names;
    suggestion suggestion = suggestion_for(wanted);
    while (left != NULL) {
        char *each = left, *end = strstr(left, ", ");
        left = end != NULL ? end + 2 : NULL;
        if (end != NULL)
            *end = '\0';
        suggestion_offer(&suggestion, each);
    }
    if (suggestion.best != NULL)
        buffer_append_format(out, "did you mean \"%s\"? ", suggestion.best);
    free(names);
}

static bool report_column(const search *search, int column, const char *name, trouble *trouble) {
    static const char *const flags[RUN_COLUMNS] = {"--step", "--entropy", "--reward", "--coefficient"};
    const char *found = search->names.size > 0 ? search->names.data : "none";
    const char *more = search->names.size > MOST_SHOWN ? "..." : "";
    if (search->wanted[column] != NULL) {
        buffer meant = {0};
        append_meant(&meant, search, search->wanted[column]);
        trouble_set(trouble, "%s: %s %s: no row has a value of this name; %sthe columns of the first: %.*s%s", name,
                    flags[column], search->wanted[column], meant.data != NULL ? meant.data : "", MOST_SHOWN, found,
                    more);
        buffer_free(&meant);
        return false;
    }
    buffer names = {0};
    for (size_t i = 0; known[column][i].name != NULL; i++)
        buffer_append_format(&names, "%s%s", i > 0 ? ", " : "", known[column][i].name);
    trouble_set(trouble,
                "%s: expected an entropy in one of %s, found none; %s names another column, the first row has %.*s%s",
                name, names.data != NULL ? names.data : "", flags[column], MOST_SHOWN, found, more);
    buffer_free(&names);
    return false;
}

/* --- Their values --- */

typedef struct collection {
    run_log *log;
    const char *name;
    known_name columns[RUN_COLUMNS]; /* NULL names: none */
    size_t n_rows, capacity;
    double rewards; /* their sum, of n_rewards rows without an entropy since the last one with one */
    size_t n_rewards;
} collection;

static bool grow(collection *collection, trouble *trouble) {
    run_log *log = collection->log;
    if (log->n < collection->capacity)
        return true;
    const size_t capacity = 2 * collection->capacity + 256;
    for (int c = 0; c < RUN_COLUMNS; c++) {
        double *larger = realloc(log->columns[c], capacity * sizeof *larger);
        if (larger == NULL)
            return trouble_set(trouble, "%s: out of memory", collection->name);
        log->columns[c] = larger;
    }
    collection->capacity = capacity;
    return true;
}

/* Sizes from which on a number means nothing, and overflows what is done with it: of entropies the controllers' limit,
 * of rewards the fit's. */
static const double least_absurd[RUN_COLUMNS] = {
    [RUN_STEP] = INFINITY, [RUN_ENTROPY] = 0x1p62, [RUN_REWARD] = 1e150, [RUN_COEFFICIENT] = INFINITY};

/* A value of a column of the row, NaN where it has none. */
static bool take_value(double *taken, const collection *collection, int column, const row_kind *kind, const void *row,
                       size_t place, trouble *trouble) {
    const known_name *from = &collection->columns[column];
    double found = 0;
    const int is_there = from->name != NULL ? kind->value(row, from->name, &found) : 0;
    *taken = is_there == VALUE_NUMBER ? from->sign * found : (double)NAN;
    if (fabs(*taken) >= least_absurd[column])
        return trouble_set(trouble, "%s:%zu: expected a number of less than %.2g in size as %s", collection->name,
                           place, least_absurd[column], from->name);
    /* A coefficient may be a word, as Stable-Baselines3 has "auto"; nothing else depends on it. */
    if (is_there >= 0 || column == RUN_COEFFICIENT)
        return true;
    buffer text = {0};
    kind->append_text(&text, row, from->name);
    trouble_set(trouble, "%s:%zu: expected a number as %s, found %.60s", collection->name, place, from->name,
                text.data != NULL ? text.data : "");
    buffer_free(&text);
    return false;
}

/* A run that was begun again from a checkpoint logs some steps twice. */
static void look_at_step(run_log *log, double step, size_t place) {
    const double before = log->n > 0 ? log->columns[RUN_STEP][log->n - 1] : -INFINITY;
    if (step > before || log->n_back++ > 0)
        return;
    log->back_place = place;
    log->back_step = step;
    log->back_from = before;
}

/* A reward that was logged beside no entropy, as of an episode that ended within a step; or beside one that is a NaN,
 * as which a table may say that there is none. */
static void keep_reward(collection *collection, double reward, bool is_nan) {
    if (isnan(reward))
        return;
    collection->log->n_without += !is_nan;
    collection->rewards += reward;
    collection->n_rewards++;
}

/* The row's own reward, or the mean of those kept. */
static double reward_of(collection *collection, double own) {
    const size_t n = collection->n_rewards;
    const double mean = n > 0 ? collection->rewards / (double)n : (double)NAN;
    collection->rewards = 0;
    collection->n_rewards = 0;
    if (!isnan(own) || n == 0)
        return own;
    collection->log->n_gathered++;
    return mean;
}

static bool take_row(void *user, const row_kind *kind, const void *row, size_t place, trouble *trouble) {
    collection *collection = user;
    run_log *log = collection->log;
    double values[RUN_COLUMNS];
    collection->n_rows++;
    for (int c = 0; c < RUN_COLUMNS; c++)
        if (!take_value(&values[c], collection, c, kind, row, place, trouble))
            return false;
    if (isnan(values[RUN_ENTROPY])) {
        double unused;
        const bool is_nan = kind->value(row, collection->columns[RUN_ENTROPY].name, &unused) == VALUE_NAN;
        log->n_nan += is_nan;
        keep_reward(collection, values[RUN_REWARD], is_nan);
        return true;
    }
    if (!grow(collection, trouble))
        return false;
    values[RUN_REWARD] = reward_of(collection, values[RUN_REWARD]);
    if (isnan(values[RUN_STEP]))
        values[RUN_STEP] = (double)collection->n_rows;
    look_at_step(log, values[RUN_STEP], place);
    for (int c = 0; c < RUN_COLUMNS; c++)
        log->columns[c][log->n] = values[c];
    log->n++;
    return true;
}

static bool note_names(collection *collection, const search *search, trouble *trouble) {
    for (int c = 0; c < RUN_COLUMNS; c++) {
        const known_name *from = found_name(search, c);
        if (from == NULL && (c == RUN_ENTROPY || search->wanted[c] != NULL))
            return report_column(search, c, collection->name, trouble);
        if (from == NULL)
            continue;
        collection->columns[c] = *from;
        collection->log->names[c] = strdup(from->name);
        if (collection->log->names[c] == NULL)
            return trouble_set(trouble, "%s: out of memory", collection->name);
    }
    return true;
}

bool run_read_memory(run_log *log, const char *name, const char *bytes, size_t n_bytes,
                     const char *const names[RUN_COLUMNS], trouble *trouble) {
    static const char *const any[RUN_COLUMNS] = {NULL};
    search search = {.wanted = names != NULL ? names : any};
    collection collection = {.log = log, .name = name};
    *log = (run_log){.n = 0};
    memcpy(search.candidates, known, sizeof known);
    for (int c = 0; c < RUN_COLUMNS; c++)
        if (search.wanted[c] != NULL) {
            search.candidates[c][0] = known_as(c, search.wanted[c]);
            search.candidates[c][1].name = NULL;
        }
    const bool ok = rows_visit(name, bytes, n_bytes, look_for, &search, &log->cut_line, trouble) &&
                    note_names(&collection, &search, trouble) &&
                    rows_visit(name, bytes, n_bytes, take_row, &collection, &log->cut_line, trouble);
    buffer_free(&search.names);
    return ok;
}

bool run_read(run_log *log, const char *path, const char *const names[RUN_COLUMNS], trouble *trouble) {
    char *bytes = NULL;
    size_t n_bytes;
    input *input = input_open(path, trouble);
    *log = (run_log){.n = 0};
    bool ok = input != NULL && input_all(input, &bytes, &n_bytes, (size_t)1 << 30, trouble);
    if (ok)
        ok = run_read_memory(log, input_name(input), bytes, n_bytes, names, trouble);
    input_close(input);
    free(bytes);
    return ok;
}

void run_free(run_log *log) {
    for (int c = 0; c < RUN_COLUMNS; c++) {
        free(log->columns[c]);
        free(log->names[c]);
    }
    *log = (run_log){.n = 0};
}
