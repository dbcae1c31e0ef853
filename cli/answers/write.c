/* The entropies of a prompt's clusters, and the line that says them.
 *
 * By counts (discrete semantic entropy): any of the library's estimators. By log-probability: with P(c) = sum over the
 * answers s of cluster c of p(s), divided by the same sum over all answers, -sum P(c) ln P(c), as the authors' program
 * has it (Nature 630, 2024, after Rao and Blackwell); an answer that was drawn twice counts twice there and here. */
#include "answers.h"

#include "../formats/record.h"
#include "../json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool report(const prompt *prompt, const char *what, trouble *trouble) {
    return trouble_set(trouble, "%s:%llu: %s", prompt->name, (unsigned long long)prompt->line_number, what);
}

bool answers_wants(const answers_settings *settings, entrol_estimator estimator) {
    return strcmp(settings->estimator, "all") == 0 ||
           strcmp(settings->estimator, entrol_estimator_name(estimator)) == 0;
}

/* --- Clusters in order --- */

typedef struct cluster {
    size_t number, size, first; /* where its members start */
} cluster;

typedef struct clusters {
    cluster *items;   /* the greatest first, of equal ones the one that was seen first */
    size_t *members;  /* of each cluster the answers' numbers, rising */
    uint64_t *counts; /* of each cluster, and 0 of each outcome that was not seen */
    size_t n_outcomes;
} clusters;

static int compare_clusters(const void *a, const void *b) {
    const cluster *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static void clusters_free(clusters *clusters) {
    free(clusters->items);
    free(clusters->members);
    free(clusters->counts);
}

static void sort_members(clusters *clusters, const prompt *prompt) {
    size_t first = 0;
    for (size_t i = 0; i < prompt->n_answers; i++)
        clusters->counts[prompt->cluster[i]]++;
    for (size_t c = 0; c < prompt->n_clusters; c++) {
        clusters->items[c] = (cluster){.number = c, .first = first};
        first += (size_t)clusters->counts[c];
    }
    for (size_t i = 0; i < prompt->n_answers; i++) {
        cluster *of = &clusters->items[prompt->cluster[i]];
        clusters->members[of->first + of->size++] = i;
    }
    qsort(clusters->items, prompt->n_clusters, sizeof *clusters->items, compare_clusters);
}

static bool take_clusters(clusters *clusters, const prompt *prompt, int64_t n_outcomes, trouble *trouble) {
    *clusters = (struct clusters){.n_outcomes = n_outcomes ? (size_t)n_outcomes : prompt->n_clusters};
    if (prompt->n_clusters > clusters->n_outcomes)
        return trouble_set(trouble, "%s:%llu: expected at most %zu clusters, as --outcomes says, found %zu",
                           prompt->name, (unsigned long long)prompt->line_number, clusters->n_outcomes,
                           prompt->n_clusters);
    clusters->items = calloc(prompt->n_clusters, sizeof *clusters->items);
    clusters->members = calloc(prompt->n_answers, sizeof *clusters->members);
    clusters->counts = calloc(clusters->n_outcomes, sizeof *clusters->counts);
    if (!clusters->items || !clusters->members || !clusters->counts)
        return report(prompt, "out of memory", trouble);
    sort_members(clusters, prompt);
    return true;
}

/* --- Entropies --- */

typedef struct entropies {
    double by_count[ANSWERS_ESTIMATORS], rao;
} entropies;

static bool measure_counts(entropies *entropies, entrol_context *context, const answers_settings *settings,
                           const prompt *prompt, const clusters *clusters, trouble *trouble) {
    for (int i = 0; i < ANSWERS_ESTIMATORS; i++) {
        const entrol_estimator estimator = (entrol_estimator)i;
        if (!answers_wants(settings, estimator))
            continue;
        entrol_status status = entrol_entropy_of_counts(context, &entropies->by_count[i], clusters->counts,
                                                        clusters->n_outcomes, estimator);
        if (status != ENTROL_OK)
            return report(prompt, entrol_status_string(status), trouble);
    }
    return true;
}

bool answers_entropy(double *nats, entrol_context *context, const answers_settings *settings, const prompt *prompt,
                     trouble *trouble) {
    clusters clusters = {0};
    entropies entropies = {0};
    bool ok = take_clusters(&clusters, prompt, settings->n_outcomes, trouble) &&
              measure_counts(&entropies, context, settings, prompt, &clusters, trouble);
    clusters_free(&clusters);
    for (int i = 0; i < ANSWERS_ESTIMATORS; i++)
        if (answers_wants(settings, (entrol_estimator)i))
            *nats = entropies.by_count[i];
    return ok;
}

/* Of masses to ln of their shares; that of the greater half by what the others have, which keeps its digits. */
static void take_logs(double *masses, size_t n) {
    double total = 0, rest = 0;
    size_t greatest = 0;
    for (size_t c = 0; c < n; c++) {
        total += masses[c];
        greatest = masses[c] > masses[greatest] ? c : greatest;
    }
    for (size_t c = 0; c < n; c++)
        rest += c == greatest ? 0 : masses[c];
    for (size_t c = 0; c < n; c++)
        masses[c] = c == greatest && 2 * rest < total ? log1p(-rest / total) : log(masses[c] / total);
}

static bool measure_rao(double *nats, entrol_context *context, const prompt *prompt, trouble *trouble) {
    double greatest = -(double)INFINITY;
    for (size_t i = 0; i < prompt->n_answers; i++)
        greatest = fmax(greatest, prompt->logprobs[i]);
    if (isinf(greatest))
        return report(prompt, "expected an answer that is possible, found the log-probability -Infinity for each",
                      trouble);
    double *masses = calloc(prompt->n_clusters, sizeof *masses);
    if (!masses)
        return report(prompt, "out of memory", trouble);
    for (size_t i = 0; i < prompt->n_answers; i++)
        masses[prompt->cluster[i]] += exp(prompt->logprobs[i] - greatest);
    take_logs(masses, prompt->n_clusters);
    const entrol_matrix row = {masses, ENTROL_F64, 1, prompt->n_clusters, (ptrdiff_t)prompt->n_clusters};
    entrol_status status = entrol_entropy_of_distributions(context, nats, NULL, &row, ENTROL_LOG_PROBABILITIES, 1e-6);
    free(masses);
    return status == ENTROL_OK || report(prompt, entrol_status_string(status), trouble);
}

/* --- The line --- */

/* Names that the line gives to what was measured, and arrays that readers would take for columns. */
static bool gives_way(const char *key, const json_t *value) {
    static const char entropy[] = "semantic_entropy";
    return strcmp(key, "n_answers") == 0 || strcmp(key, "n_clusters") == 0 || strcmp(key, "clusters") == 0 ||
           strcmp(key, "estimator") == 0 || strncmp(key, entropy, sizeof entropy - 1) == 0 ||
           (json_is_array(value) && record_find_column(key, strlen(key)) != COLUMN_COUNT);
}

static void append_name(buffer *text, const char *name) {
    buffer_append_string(text, text->size > 0 && text->data[text->size - 1] != '{' ? ", " : "");
    buffer_append_json_string(text, name, strlen(name));
    buffer_append_string(text, ": ");
}

/* The answers themselves, and their log-probabilities where these stand beside them. */
static bool is_measured(const answers_settings *settings, const prompt *prompt, const char *key, const json_t *value) {
    const char *logprob = settings->logprob ? settings->logprob : "logprob";
    return (prompt->array_name && strcmp(key, prompt->array_name) == 0) ||
           (prompt->has_logprobs && json_is_array(value) && strcmp(key, logprob) == 0);
}

/* Returns whether one of them gave way. */
static bool append_fields(buffer *text, const answers_settings *settings, const prompt *prompt) {
    const char *key;
    json_t *value;
    bool some_gave_way = false;
    json_object_foreach(prompt->fields, key, value) {
        if (is_measured(settings, prompt, key, value))
            continue;
        if (gives_way(key, value)) {
            some_gave_way = true;
            continue;
        }
        append_name(text, key);
        json_append(text, value);
    }
    return some_gave_way;
}

static void append_real(buffer *text, const char *name, double value) {
    json_t *real = json_of_real(value);
    append_name(text, name);
    if (real)
        json_append(text, real);
    else
        text->failed = true;
    json_decref(real);
}

/* "semantic_entropy", and where all are wanted "semantic_entropy_chao_shen" and so on beside the plug-in estimate. */
static void append_entropies(buffer *text, const answers_settings *settings, const entropies *entropies) {
    bool all = strcmp(settings->estimator, "all") == 0;
    for (int i = 0; i < ANSWERS_ESTIMATORS; i++) {
        char name[64] = "semantic_entropy";
        const char *estimator = entrol_estimator_name((entrol_estimator)i);
        if (!answers_wants(settings, (entrol_estimator)i))
            continue;
        if (all && i != ENTROL_ESTIMATOR_PLUG_IN)
            snprintf(name, sizeof name, "semantic_entropy_%s", estimator);
        for (char *at = name; *at; at++)
            *at = *at == '-' ? '_' : *at;
        append_real(text, name, entropies->by_count[i]);
    }
    append_name(text, "estimator");
    buffer_append_format(text, "\"%s\"", all ? entrol_estimator_name(ENTROL_ESTIMATOR_PLUG_IN) : settings->estimator);
}

static void append_clusters(buffer *text, const answers_settings *settings, const prompt *prompt,
                            const clusters *clusters) {
    append_name(text, "clusters");
    for (size_t c = 0; c < prompt->n_clusters; c++) {
        const cluster *cluster = &clusters->items[c];
        buffer_append_format(text, "%s{\"size\": %zu, \"%s\": ", c > 0 ? ", " : "[", cluster->size,
                             settings->label ? "label" : "answer");
        json_append(text, json_array_get(prompt->meaning, cluster->number));
        buffer_append_string(text, ", \"members\": [");
        for (size_t i = 0; i < cluster->size; i++)
            buffer_append_format(text, "%s%zu", i > 0 ? ", " : "", clusters->members[cluster->first + i]);
        buffer_append_string(text, "]}");
    }
    buffer_append_string(text, "]");
}

static void append_line(buffer *text, answers_totals *totals, const answers_settings *settings, const prompt *prompt,
                        const clusters *clusters, const entropies *entropies) {
    buffer_append_string(text, "{");
    totals->n_gave_way += append_fields(text, settings, prompt);
    append_name(text, "n_answers");
    buffer_append_format(text, "%zu", prompt->n_answers);
    append_name(text, "n_clusters");
    buffer_append_format(text, "%zu", prompt->n_clusters);
    append_entropies(text, settings, entropies);
    if (prompt->has_logprobs)
        append_real(text, "semantic_entropy_rao", entropies->rao);
    append_clusters(text, settings, prompt, clusters);
    buffer_append_string(text, "}\n");
}

static void count(answers_totals *totals, const answers_settings *settings, const prompt *prompt,
                  const entropies *entropies) {
    const uint64_t n = prompt->n_answers;
    totals->least = totals->n_prompts == 0 || n < totals->least ? n : totals->least;
    totals->greatest = n > totals->greatest ? n : totals->greatest;
    totals->n_prompts++;
    totals->n_answers += n;
    totals->n_certain += prompt->n_clusters == 1;
    for (int i = 0; i < ANSWERS_ESTIMATORS; i++)
        if (answers_wants(settings, (entrol_estimator)i))
            entrol_sum_add(&totals->entropy[i], entropies->by_count[i]);
    if (prompt->has_logprobs)
        entrol_sum_add(&totals->rao, entropies->rao);
}

bool answers_write(buffer *text, answers_totals *totals, entrol_context *context, const answers_settings *settings,
                   const prompt *prompt, trouble *trouble) {
    clusters clusters = {0};
    entropies entropies = {0};
    if (prompt->n_answers < 2)
        return trouble_set(trouble,
                           "%s:%llu: expected 2 answers to the prompt or more, found %zu; --group FIELD joins lines "
                           "with answers to one prompt",
                           prompt->name, (unsigned long long)prompt->line_number, prompt->n_answers);
    bool ok = take_clusters(&clusters, prompt, settings->n_outcomes, trouble) &&
              measure_counts(&entropies, context, settings, prompt, &clusters, trouble) &&
              (!prompt->has_logprobs || measure_rao(&entropies.rao, context, prompt, trouble));
    if (ok) {
        append_line(text, totals, settings, prompt, &clusters, &entropies);
        count(totals, settings, prompt, &entropies);
        ok = !text->failed || report(prompt, "out of memory", trouble);
    }
    clusters_free(&clusters);
    return ok;
}
