/* Advantages over what others got: of a group of answers to one question, or of a batch. Means and deviations are made
 * of exact sums, so that no split changes them. */
#include <entrol/objective.h>

#include "base/context.h"
#include "base/trouble.h"

#include <math.h>

/* The mean of numbers, and their deviation with n - 1 below it; what is NaN for fewer than two. */
typedef struct moments {
    double mean, deviation;
} moments;

static int counts(const uint8_t *mask, size_t i) {
    return !mask || mask[i];
}

/* Sums are made of numbers divided by a power of two that is above the greatest of them, so that the 64 bits behind the
 * point of an exact sum are those that matter. */
static int exponent_of(double greatest) {
    int exponent;
    frexp(greatest, &exponent);
    return exponent;
}

static double greatest_distance(const float *x, const uint8_t *mask, size_t n, double from) {
    double greatest = 0;
    for (size_t i = 0; i < n; i++) { /* without fmax, on whose vectors gcc 12 stops for AArch64 */
        const double distance = counts(mask, i) ? fabs((double)x[i] - from) : 0;
        greatest = distance > greatest ? distance : greatest;
    }
    return greatest;
}

static entrol_sum sum_of(const float *x, const uint8_t *mask, size_t n, int exponent) {
    const double scale = ldexp(1, -exponent);
    entrol_sum sum = {0};
    for (size_t i = 0; i < n; i++)
        if (counts(mask, i))
            entrol_sum_add(&sum, (double)x[i] * scale);
    return sum;
}

static entrol_sum squares_of(const float *x, const uint8_t *mask, size_t n, double mean, int exponent) {
    const double scale = ldexp(1, -exponent);
    entrol_sum sum = {0};
    for (size_t i = 0; i < n; i++) {
        const double distance = counts(mask, i) ? ((double)x[i] - mean) * scale : 0;
        if (counts(mask, i))
            entrol_sum_add(&sum, distance * distance);
    }
    return sum;
}

static double mean_of(const entrol_sum *sum, int exponent) {
    return ldexp(entrol_sum_value(sum) / (double)sum->n, exponent);
}

static double deviation_of(const entrol_sum *squares, int exponent) {
    return ldexp(sqrt(entrol_sum_value(squares) / ((double)squares->n - 1)), exponent);
}

static int are_equal(const float *x, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return 0;
    return 1;
}

/* Of equal numbers no rounding makes a deviation. */
static moments moments_of(const float *x, size_t n) {
    if (are_equal(x, n))
        return (moments){n ? (double)x[0] : NAN, n > 1 ? 0 : NAN};
    int exponent = exponent_of(greatest_distance(x, NULL, n, 0));
    const entrol_sum sum = sum_of(x, NULL, n, exponent);
    const double mean = mean_of(&sum, exponent);
    exponent = exponent_of(greatest_distance(x, NULL, n, mean));
    const entrol_sum squares = squares_of(x, NULL, n, mean, exponent);
    return (moments){mean, deviation_of(&squares, exponent)};
}

/* The same of all ranks' numbers that count. */
typedef struct batch {
    moments moments;
    uint64_t n;
} batch;

/* Of floats, and of what they are apart from a mean in double. */
enum { LEAST_EXPONENT = -160, MOST_EXPONENT = 130, N_EXPONENTS = MOST_EXPONENT - LEAST_EXPONENT + 1 };

/* The exponent of the greatest of all ranks' numbers; *n_others becomes the sum of all ranks', too. */
static entrol_status agree_on_exponent(const entrol_context *context, entrol_status status, int *exponent,
                                       uint64_t *n_others, double greatest) {
    uint64_t ranks[N_EXPONENTS + 2] = {0};
    const int own = exponent_of(greatest) < LEAST_EXPONENT ? LEAST_EXPONENT : exponent_of(greatest);
    ranks[greatest > 0 ? own - LEAST_EXPONENT : 0] = 1;
    ranks[N_EXPONENTS] = *n_others;
    status = ent_add_up(context, status, ranks, N_EXPONENTS + 1);
    int last = N_EXPONENTS - 1;
    while (last && !ranks[last])
        last--;
    *exponent = last + LEAST_EXPONENT;
    *n_others = ranks[N_EXPONENTS];
    return status;
}

static entrol_status find_batch(entrol_context *context, batch *batch, entrol_status status, const float *x,
                                const uint8_t *mask, size_t n) {
    int exponent;
    uint64_t n_others = 0;
    status = agree_on_exponent(context, status, &exponent, &n_others, greatest_distance(x, mask, n, 0));
    if (status != ENTROL_OK)
        return status;
    entrol_sum sum = sum_of(x, mask, n, exponent);
    status = ent_add_up_sums(context, status, &sum, 1);
    batch->n = sum.n;
    batch->moments.mean = mean_of(&sum, exponent);
    /* Of equal numbers the mean may be rounded: the deviation is then that of their distance from it, and not 0. */
    for (size_t i = 0; i < n; i++)
        n_others += counts(mask, i) && x[i] != (float)batch->moments.mean;
    if (status == ENTROL_OK)
        status = agree_on_exponent(context, status, &exponent, &n_others,
                                   greatest_distance(x, mask, n, batch->moments.mean));
    entrol_sum squares = squares_of(x, mask, n, batch->moments.mean, exponent);
    if (status == ENTROL_OK)
        status = ent_add_up_sums(context, status, &squares, 1);
    batch->moments.deviation = n_others ? deviation_of(&squares, exponent) : 0;
    return status;
}

static void note_numbers(entrol_diagnosis *found, const float *x, const uint8_t *mask, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (counts(mask, i) && !(fabsf(x[i]) < 0x1p126f)) /* whose differences are floats */
            ent_trouble_note(found, i, 0, isnan(x[i]) ? ENTROL_REASON_NAN : ENTROL_REASON_INFINITE);
}

static entrol_status give(entrol_diagnosis *diagnosis, const entrol_diagnosis *found, entrol_status status) {
    if (diagnosis)
        *diagnosis = *found;
    return status;
}

/* A call over groups. */
typedef struct groups {
    float *advantages;
    const float *rewards;
    const size_t *starts;
    size_t n;
} groups;

static const char *find_bad(const groups *groups) {
    if (groups->n == 0)
        return NULL;
    if (!groups->starts || groups->starts[0] != 0)
        return "group_starts";
    for (size_t g = 0; g < groups->n; g++)
        if (groups->starts[g] > groups->starts[g + 1])
            return "group_starts";
    if (groups->starts[groups->n] == 0)
        return NULL;
    return !groups->rewards ? "rewards" : !groups->advantages ? "advantages" : NULL;
}

static size_t n_rewards(const groups *groups) {
    return groups->n ? groups->starts[groups->n] : 0;
}

/* What no advantage can be made of. An empty group is none. */
static entrol_status check_groups(const groups *groups, entrol_diagnosis *found) {
    note_numbers(found, groups->rewards, NULL, n_rewards(groups));
    for (size_t g = 0; found->n_bad == 0 && g < groups->n; g++)
        if (groups->starts[g + 1] - groups->starts[g] == 1)
            ent_trouble_note(found, groups->starts[g], 0, ENTROL_REASON_GROUP);
    return found->n_bad ? ENTROL_ERROR_DATA : ENTROL_OK;
}

static void note_equal_groups(const groups *groups, entrol_diagnosis *found) {
    for (size_t g = 0; g < groups->n; g++) {
        const size_t begin = groups->starts[g], n = groups->starts[g + 1] - begin;
        if (n && are_equal(groups->rewards + begin, n))
            ent_trouble_note(found, begin, 0, ENTROL_REASON_DEVIATION);
    }
}

static void write_group(const groups *groups, size_t g, double divisor_of_batch, entrol_advantage_scale scale,
                        double epsilon) {
    const size_t begin = groups->starts[g], n = groups->starts[g + 1] - begin;
    const moments own = moments_of(groups->rewards + begin, n);
    const double divisor = scale == ENTROL_SCALE_GROUP   ? own.deviation + epsilon
                           : scale == ENTROL_SCALE_BATCH ? divisor_of_batch
                                                         : 1;
    for (size_t i = begin; i < begin + n; i++) {
        const double above = (double)groups->rewards[i] - own.mean;
        groups->advantages[i] = above == 0 ? 0 : (float)(above / divisor);
    }
}

entrol_status entrol_advantage_group(entrol_context *context, float *advantages, entrol_diagnosis *diagnosis,
                                     const float *rewards, const size_t *group_starts, size_t n_groups,
                                     entrol_advantage_scale scale, double epsilon) {
    const groups groups = {advantages, rewards, group_starts, n_groups};
    entrol_diagnosis found = {0};
    batch batch = {{0, 0}, 0};
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    const char *bad = find_bad(&groups);
    if ((unsigned)scale > ENTROL_SCALE_NONE || !(epsilon >= 0 && epsilon < INFINITY))
        bad = (unsigned)scale > ENTROL_SCALE_NONE ? "scale" : "epsilon";
    entrol_status status = bad ? ENTROL_ERROR_ARGUMENT : check_groups(&groups, &found);
    if (status == ENTROL_OK)
        note_equal_groups(&groups, &found);
    if (status == ENTROL_OK && scale == ENTROL_SCALE_GROUP && epsilon == 0 && found.n_bad)
        status = ENTROL_ERROR_DATA;
    if (scale == ENTROL_SCALE_BATCH)
        status = find_batch(context, &batch, status, rewards, NULL, status == ENTROL_OK ? n_rewards(&groups) : 0);
    else
        status = ent_agree(context, status);
    const double divisor = batch.moments.deviation + epsilon;
    if (status == ENTROL_OK && scale == ENTROL_SCALE_BATCH && batch.n && divisor == 0) {
        found = (entrol_diagnosis){.n_bad = 1, .reason = ENTROL_REASON_DEVIATION};
        status = ENTROL_ERROR_DATA;
    }
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    for (size_t g = 0; status == ENTROL_OK && g < n_groups; g++)
        write_group(&groups, g, divisor, scale, epsilon);
    return give(diagnosis, &found, status);
}

entrol_status entrol_advantage_leave_one_out(entrol_context *context, float *advantages, entrol_diagnosis *diagnosis,
                                             const float *rewards, const size_t *group_starts, size_t n_groups) {
    const groups groups = {advantages, rewards, group_starts, n_groups};
    entrol_diagnosis found = {0};
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    const char *bad = find_bad(&groups);
    const entrol_status status = ent_agree(context, bad ? ENTROL_ERROR_ARGUMENT : check_groups(&groups, &found));
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if (status != ENTROL_OK)
        return give(diagnosis, &found, status);
    note_equal_groups(&groups, &found);
    for (size_t g = 0; g < n_groups; g++) {
        const size_t begin = group_starts[g], n = group_starts[g + 1] - begin;
        const double mean = moments_of(rewards + begin, n).mean, more = (double)n / ((double)n - 1);
        for (size_t i = begin; i < begin + n; i++)
            advantages[i] = (float)(((double)rewards[i] - mean) * more);
    }
    return give(diagnosis, &found, status);
}

entrol_status entrol_advantage_whiten(entrol_context *context, float *whitened, entrol_diagnosis *diagnosis,
                                      const float *advantages, const uint8_t *mask, size_t n_advantages,
                                      double epsilon) {
    entrol_diagnosis found = {0};
    batch batch = {{0, 0}, 0};
    if (!context)
        return ent_bad_argument(diagnosis, "context");
    const char *bad = !(epsilon >= 0 && epsilon < INFINITY)        ? "epsilon"
                      : n_advantages && (!advantages || !whitened) ? (advantages ? "whitened" : "advantages")
                                                                   : NULL;
    entrol_status status = bad ? ENTROL_ERROR_ARGUMENT : ENTROL_OK;
    if (!bad)
        note_numbers(&found, advantages, mask, n_advantages);
    if (found.n_bad)
        status = ENTROL_ERROR_DATA;
    status = find_batch(context, &batch, status, advantages, mask, status == ENTROL_OK ? n_advantages : 0);
    if (bad)
        return ent_bad_argument(diagnosis, bad);
    if (status == ENTROL_OK && batch.n < 2)
        ent_trouble_note(&found, 0, 0, ENTROL_REASON_GROUP);
    else if (status == ENTROL_OK && batch.moments.deviation == 0)
        ent_trouble_note(&found, 0, 0, ENTROL_REASON_DEVIATION);
    if (status == ENTROL_OK && (batch.n < 2 || batch.moments.deviation + epsilon == 0))
        status = ENTROL_ERROR_DATA;
    const double divisor = batch.moments.deviation + epsilon;
    for (size_t i = 0; status == ENTROL_OK && i < n_advantages; i++) {
        const int is_moved = counts(mask, i) && batch.moments.deviation > 0;
        whitened[i] = is_moved ? (float)(((double)advantages[i] - batch.moments.mean) / divisor) : 0;
    }
    return give(diagnosis, &found, status);
}

entrol_status entrol_advantage_repeat(float *of_tokens, const float *of_sequences, const size_t *sequence_starts,
                                      size_t n_sequences) {
    if (n_sequences && (!of_tokens || !of_sequences || !sequence_starts))
        return ENTROL_ERROR_ARGUMENT;
    for (size_t s = 0; s < n_sequences; s++)
        if (sequence_starts[s] > sequence_starts[s + 1])
            return ENTROL_ERROR_ARGUMENT;
    for (size_t s = 0; s < n_sequences; s++)
        for (size_t i = sequence_starts[s]; i < sequence_starts[s + 1]; i++)
            of_tokens[i] = of_sequences[s];
    return ENTROL_OK;
}
