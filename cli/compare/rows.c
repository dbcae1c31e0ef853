/* Rows of the first and of its references, while they are in memory: what each is by itself, and what they are to each
 * other. */
#include "compare.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(comparison *comparison, size_t n_rows) {
    if (n_rows <= comparison->n_room)
        return true;
    free(comparison->top_ids);
    free(comparison->reference_top_ids);
    free(comparison->scratch);
    comparison->top_ids = malloc(n_rows * sizeof(*comparison->top_ids));
    comparison->reference_top_ids = malloc(n_rows * sizeof(*comparison->reference_top_ids));
    comparison->scratch = malloc(n_rows * sizeof(*comparison->scratch));
    comparison->n_room = n_rows;
    return comparison->top_ids != NULL && comparison->reference_top_ids != NULL && comparison->scratch != NULL;
}

/* The column's values from the block's first row on; NULL where it is not wanted. */
static float *values_of(const compare_rows *rows, column_id id) {
    const column *column = &rows->result->columns[id];
    return column->is_present ? column->reals + rows->first : NULL;
}

static bool check(entrol_status status, const entrol_diagnosis *diagnosis, const compare_rows *rows, trouble *trouble) {
    const char *argument = diagnosis->argument;
    return status == ENTROL_OK || trouble_set(trouble, "%s: %s%s%s", rows->where, entrol_status_string(status),
                                              argument != NULL ? ": " : "", argument != NULL ? argument : "");
}

static entrol_measure_options options_of(const comparison *comparison) {
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.temperature = comparison->run.settings.temperature;
    options.renyi_order = comparison->run.settings.renyi_order;
    return options;
}

/* The first: all that score measures, and its most probable token. */
static bool measure_first(comparison *comparison, compare_rows *rows, entrol_diagnosis *diagnosis, trouble *trouble) {
    entrol_record record = rows->record;
    const entrol_measure_options options = options_of(comparison);
    if (record.n_top == 0) {
        record.n_top = 1;
        record.top_id = comparison->top_ids;
    }
    entrol_status status =
        entrol_measure_rows(comparison->run.context, &record, diagnosis, rows->logits, rows->targets, &options);
    for (size_t i = 0; i < rows->logits->n_rows && record.n_top > 0; i++)
        comparison->top_ids[i] = record.top_id[i * record.n_top];
    rows->is_bad[0] = diagnosis->n_bad > 0;
    return check(status, diagnosis, rows, trouble);
}

static void note_bad_rows(compare_reference *reference, const compare_rows *rows, entrol_diagnosis *diagnosis) {
    diagnosis->first_row += rows->first;
    if (reference->n_bad == 0 && diagnosis->n_bad > 0)
        score_describe_bad_row(reference->first_bad, sizeof(reference->first_bad), rows->where, rows->row_word,
                               diagnosis);
    reference->n_bad += diagnosis->n_bad;
}

/* A reference by itself: of the first one what has columns, of the others whether their rows are in trouble. */
static bool measure_reference(comparison *comparison, compare_rows *rows, size_t i, trouble *trouble) {
    entrol_record record = ENTROL_RECORD_INIT;
    entrol_diagnosis diagnosis = {0};
    const entrol_measure_options options = options_of(comparison);
    record.entropy = i == 0 ? values_of(rows, COLUMN_REFERENCE_ENTROPY) : comparison->scratch;
    if (i == 0) {
        record.logprob = values_of(rows, COLUMN_REFERENCE_LOGPROB);
        record.n_top = 1;
        record.top_id = comparison->reference_top_ids;
    }
    entrol_status status = entrol_measure_rows(comparison->run.context, &record, &diagnosis, &rows->logits[i + 1],
                                               rows->targets, &options);
    rows->is_bad[i + 1] = diagnosis.n_bad > 0;
    if (!check(status, &diagnosis, rows, trouble))
        return false;
    note_bad_rows(&comparison->references[i], rows, &diagnosis);
    return true;
}

/* null where either row is in trouble. */
static void set_agreement(const comparison *comparison, const compare_rows *rows) {
    column *agree = &rows->result->columns[COLUMN_AGREE];
    for (size_t i = 0; i < rows->logits->n_rows; i++) {
        const int32_t top = comparison->top_ids[i], other = comparison->reference_top_ids[i];
        agree->integers[rows->first + i] = top == other;
        agree->valid[rows->first + i] = top >= 0 && other >= 0;
    }
}

/* The first against its first reference; of two, their mean has bald = jsd. */
static bool compare_two(const comparison *comparison, const compare_rows *rows, trouble *trouble) {
    entrol_comparison two = ENTROL_COMPARISON_INIT;
    entrol_diagnosis diagnosis = {0}; /* its rows in trouble have been counted */
    const entrol_measure_options options = options_of(comparison);
    const bool is_all = comparison->n_references == 1;
    two.kl_pq = values_of(rows, COLUMN_KL_PQ);
    two.kl_qp = values_of(rows, COLUMN_KL_QP);
    two.jsd = values_of(rows, COLUMN_JSD);
    two.mean_entropy = is_all ? values_of(rows, COLUMN_MEAN_ENTROPY) : NULL;
    entrol_status status =
        entrol_compare_rows(comparison->run.context, &two, &diagnosis, &rows->logits[0], &rows->logits[1], &options);
    float *bald = values_of(rows, COLUMN_BALD);
    if (is_all && bald != NULL)
        memcpy(bald, two.jsd, rows->logits->n_rows * sizeof(*bald));
    return check(status, &diagnosis, rows, trouble);
}

static bool compare_all(const comparison *comparison, const compare_rows *rows, trouble *trouble) {
    float *entropy = values_of(rows, COLUMN_MEAN_ENTROPY), *bald = values_of(rows, COLUMN_BALD);
    entrol_diagnosis diagnosis = {0};
    const entrol_measure_options options = options_of(comparison);
    if (comparison->n_references == 1 || (entropy == NULL && bald == NULL))
        return true;
    entrol_status status = entrol_mixture_rows(comparison->run.context, entropy, bald, &diagnosis, rows->logits,
                                               comparison->n_references + 1, &options);
    return check(status, &diagnosis, rows, trouble);
}

bool compare_measure(comparison *comparison, compare_rows *rows, entrol_diagnosis *diagnosis, trouble *trouble) {
    if (!make_room(comparison, rows->logits->n_rows))
        return trouble_set(trouble, "%s: out of memory", rows->where);
    if (!measure_first(comparison, rows, diagnosis, trouble))
        return false;
    for (size_t i = 0; i < comparison->n_references; i++)
        if (!measure_reference(comparison, rows, i, trouble))
            return false;
    set_agreement(comparison, rows);
    return compare_two(comparison, rows, trouble) && compare_all(comparison, rows, trouble);
}
