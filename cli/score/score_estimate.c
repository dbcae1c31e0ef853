/* --dry-run: counts documents and tokens without the weights, times a few seconds of scoring, and says what the whole
 * would take. Nothing is written but the estimate. */
#include "score_run.h"

#include "../formats/logits.h"
#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMED_SECONDS 3.0
/* Text kept from the first documents for timing: more than any machine scores in that time. */
#define TIMED_BYTES ((size_t)1 << 20)
#define MAX_TIMED 256
#define TIMED_ROW_BYTES ((size_t)256 << 20)

typedef struct estimate {
    score_run *run;
    scorer *counter;
    uint64_t n_documents, n_tokens, n_tokens_recorded, n_rows;
    size_t n_bytes;                 /* of output, of recorded log-probabilities */
    text_document timed[MAX_TIMED]; /* the first documents */
    size_t n_timed, timed_bytes;
    double deadline;
    double tokens_per_second, rows_per_second, bytes_per_token, bytes_per_row;
} estimate;

static bool keep_for_timing(estimate *estimate, const text_document *text) {
    if (estimate->n_timed == MAX_TIMED || (estimate->n_timed > 0 && estimate->timed_bytes > TIMED_BYTES))
        return false;
    estimate->timed[estimate->n_timed++] = *text;
    estimate->timed_bytes += text->text_size;
    return true;
}

/* Takes the document: keeps it, or frees it. */
static bool count_text(estimate *estimate, text_document *text, const char *path, trouble *trouble) {
    size_t n_tokens = 0;
    char where[512];
    snprintf(where, sizeof(where), "%s:%" PRIu64, score_input_name(path), text->line_number);
    bool chosen = score_run_chooses(estimate->run);
    int counted = chosen ? scorer_count(estimate->counter, &n_tokens, text, where, trouble) : 1;
    bool ok = counted == 1 || (counted == 0 && estimate->run->settings.texts.skip_bad);
    estimate->n_tokens += n_tokens;
    estimate->n_documents += chosen && counted == 1;
    progress_update(&estimate->run->progress, estimate->n_tokens);
    if (!chosen || counted != 1 || !keep_for_timing(estimate, text))
        text_document_free(text);
    return ok;
}

/* Adds the bytes that a document becomes in the output. */
static bool add_output_size(size_t *n_bytes, const estimate *estimate, document *document, trouble *trouble) {
    score_totals totals = score_totals_of(document, NULL);
    if (!score_run_shape(estimate->run, document, &totals, trouble))
        return false;
    buffer line = {0};
    if (container_is_path(estimate->run->output_path))
        *n_bytes += container_size_of(document);
    else
        record_write(&line, document);
    *n_bytes += line.size;
    buffer_free(&line);
    return true;
}

/* One choice of a response, which is read as it will be. */
static bool count_choice(estimate *estimate, const logprobs *response, size_t index, const char *where,
                         trouble *trouble) {
    score_run *run = estimate->run;
    document result = {0};
    if (!score_run_chooses(run))
        return true;
    bool ok = score_recorded(&result, run->context, &run->settings, response, index, where, trouble);
    estimate->n_tokens_recorded += ok ? result.n_tokens : 0;
    estimate->n_documents += ok;
    ok = ok && add_output_size(&estimate->n_bytes, estimate, &result, trouble);
    document_free(&result);
    return ok || run->settings.texts.skip_bad;
}

/* Recorded log-probabilities need no time worth telling. Takes the line. */
static bool count_recorded(estimate *estimate, text_document *line, const char *path, trouble *trouble) {
    logprobs response;
    char where[512];
    snprintf(where, sizeof(where), "%s:%" PRIu64, score_input_name(path), line->line_number);
    bool ok =
        logprobs_read(&response, line->recorded, line->fields, score_input_name(path), line->line_number, trouble);
    bool is_read = ok;
    for (size_t i = 0; is_read && ok && i < response.n_choices; i++)
        ok = count_choice(estimate, &response, i, where, trouble);
    logprobs_free(&response);
    text_document_free(line);
    return ok || estimate->run->settings.texts.skip_bad;
}

static bool open_counter(estimate *estimate, trouble *trouble) {
    score_run *run = estimate->run;
    if (estimate->counter == NULL && run->settings.model == NULL)
        return trouble_set(trouble, "expected recorded log-probabilities in every line, found a text");
    if (estimate->counter == NULL)
        estimate->counter = scorer_open(&run->settings, run->context, true, trouble);
    return estimate->counter != NULL;
}

static bool count_texts(estimate *estimate, int index, trouble *trouble) {
    score_run *run = estimate->run;
    texts *texts = score_inputs_open_texts(run, index, trouble);
    if (texts == NULL)
        return false;
    bool ok = true;
    int more = 1;
    while (ok && score_stop_signal() == 0) {
        text_document text = {0};
        more = texts_next(texts, &text, trouble);
        if (more != 1)
            break;
        ok = text.recorded != NULL
                 ? count_recorded(estimate, &text, run->inputs[index], trouble)
                 : open_counter(estimate, trouble) && count_text(estimate, &text, run->inputs[index], trouble);
    }
    texts_close(texts);
    return ok && more >= 0;
}

/* The speed of measuring an array's first rows, and the size of what they become: at --level sample one line, however
 * many rows the document has. */
static bool time_rows(estimate *estimate, const logits_array *array, const char *name, trouble *trouble) {
    size_t row_bytes = array->n_columns * entrol_dtype_size(array->dtype), n = TIMED_ROW_BYTES / row_bytes + 1;
    n = n < array->n_rows ? n : array->n_rows;
    document result = {.n_tokens = n, .fields = json_object()};
    json_object_set_new(result.fields, "id", json_string_of(name));
    score_columns columns;
    size_t n_bytes = 0;
    entrol_matrix matrix = {array->data, array->dtype, n, array->n_columns, (ptrdiff_t)array->n_columns};
    int64_t *targets = estimate->run->targets != NULL ? calloc(n, sizeof(*targets)) : NULL; /* column 0 will do */
    bool ok = score_columns_begin(&columns, &result, &estimate->run->settings, (score_source){targets != NULL, false},
                                  "--dry-run", trouble);
    double start = monotonic_seconds();
    if (ok && entrol_measure_rows(estimate->run->context, &columns.record, NULL, &matrix, targets, NULL) == ENTROL_OK) {
        score_columns_end(&columns, &result);
        estimate->rows_per_second = (double)n / fmax(monotonic_seconds() - start, 1e-9);
        ok = add_output_size(&n_bytes, estimate, &result, trouble);
        estimate->bytes_per_row = (double)n_bytes / (double)(estimate->run->settings.sample_level ? array->n_rows : n);
    }
    score_columns_free(&columns);
    document_free(&result);
    free(targets);
    return ok;
}

static bool count_logits(estimate *estimate, int index, trouble *trouble) {
    const char *name = score_input_name(estimate->run->inputs[index]);
    logits_file *file = logits_open_input(score_inputs_open(estimate->run, index, trouble), trouble);
    if (file == NULL)
        return false;
    bool ok = true;
    for (size_t i = 0; i < logits_n_arrays(file); i++) {
        const logits_array *array = logits_array_at(file, i);
        for (size_t j = 0; j < array->n_documents; j++) {
            bool chosen = score_run_chooses(estimate->run);
            estimate->n_rows += chosen ? array->n_rows : 0;
            estimate->n_documents += chosen;
        }
        if (ok && estimate->rows_per_second == 0 && array->n_documents > 0 && array->n_rows > 0)
            ok = time_rows(estimate, array, name, trouble);
    }
    logits_close(file);
    return ok;
}

static int out_of_time(void *user, size_t n_scored) {
    const estimate *estimate = user;
    (void)n_scored;
    return monotonic_seconds() > estimate->deadline || score_stop_signal() != 0;
}

/* Scores one document, as far as the time allows. */
static double time_document(estimate *estimate, scorer *scorer, const text_document *text, size_t *n_bytes,
                            size_t *n_tokens, trouble *trouble) {
    document result = {0};
    entrol_diagnosis diagnosis = {0};
    scorer_perplexity perplexity;
    bool is_compat = estimate->run->settings.compat != NULL;
    double start = monotonic_seconds();
    bool scored = (is_compat ? scorer_compat(scorer, &result, &perplexity, &diagnosis, text, "--dry-run", trouble)
                             : scorer_document(scorer, &result, &diagnosis, text, "--dry-run", trouble)) == 1;
    double seconds = monotonic_seconds() - start;
    size_t n = result.n_tokens;
    scored = scored && add_output_size(n_bytes, estimate, &result, trouble);
    *n_tokens = scored ? n : 0;
    document_free(&result);
    return scored ? seconds : 0;
}

typedef struct stopwatch {
    estimate *estimate;
    size_t n_scored; /* of the document being scored */
    double start, seconds;
} stopwatch;

static int on_timed(void *user, size_t n_scored) {
    stopwatch *watch = user;
    watch->n_scored = n_scored;
    watch->seconds = monotonic_seconds() - watch->start;
    return out_of_time(watch->estimate, n_scored);
}

/* Scores the first documents until the time is up; the last one may be cut short. */
static bool time_texts(estimate *estimate, trouble *trouble) {
    scorer *scorer = score_run_scorer(estimate->run, trouble);
    if (scorer == NULL)
        return false;
    estimate->deadline = monotonic_seconds() + TIMED_SECONDS;
    size_t n_tokens = 0, n_written = 0, n_bytes = 0;
    double seconds = 0;
    for (size_t i = 0; i < estimate->n_timed && monotonic_seconds() < estimate->deadline; i++) {
        stopwatch watch = {estimate, 0, monotonic_seconds(), 0};
        size_t n = 0;
        scorer_on_progress(scorer, on_timed, &watch);
        double whole = time_document(estimate, scorer, &estimate->timed[i], &n_bytes, &n, trouble);
        n_written += n;
        n_tokens += whole > 0 ? n : watch.n_scored;
        seconds += whole > 0 ? whole : watch.seconds;
    }
    estimate->tokens_per_second = seconds > 0 ? (double)n_tokens / seconds : 0;
    /* Where not one document was finished: about 60 bytes a token in the default columns, of which its text is 5. */
    double guess = estimate->run->settings.sample_level ? 5 : 60;
    estimate->bytes_per_token = n_written > 0 ? (double)n_bytes / (double)n_written : guess;
    return score_stop_signal() == 0;
}

static void print_duration(double seconds) {
    if (seconds < 120)
        printf("%.1f s\n", seconds);
    else if (seconds < 7200)
        printf("%.0f min\n", seconds / 60);
    else
        printf("%.1f h\n", seconds / 3600);
}

static void print_size(double n_bytes) {
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    for (; n_bytes >= 1000 && unit < 4; unit++)
        n_bytes /= 1000;
    printf("output      about %.*f %s\n", unit == 0 ? 0 : 1, n_bytes, units[unit]);
}

static void print_estimate(const estimate *estimate) {
    double seconds = 0;
    printf("documents   %" PRIu64 "\n", estimate->n_documents);
    printf("tokens      %" PRIu64 "\n", estimate->n_tokens + estimate->n_tokens_recorded + estimate->n_rows);
    if (estimate->tokens_per_second > 0) {
        printf("speed       %.1f tokens/s\n", estimate->tokens_per_second);
        seconds += (double)estimate->n_tokens / estimate->tokens_per_second;
    }
    if (estimate->rows_per_second > 0) {
        printf("speed       %.1f rows/s\n", estimate->rows_per_second);
        seconds += (double)estimate->n_rows / estimate->rows_per_second;
    }
    printf("time        about ");
    print_duration(seconds + estimate->run->seconds_loading);
    print_size((double)estimate->n_bytes + (double)estimate->n_tokens * estimate->bytes_per_token +
               (double)estimate->n_rows * estimate->bytes_per_row);
}

static bool count_inputs(estimate *estimate, trouble *trouble) {
    score_run *run = estimate->run;
    for (int i = 0; i < run->n_inputs && score_stop_signal() == 0; i++) {
        if (!score_inputs_look_at(run, i, trouble))
            return false;
        bool is_logits = run->looked[i].is_logits;
        if (run->looked[i].is_passed_over)
            continue;
        if (run->looked[i].is_kld) {
            if (!score_kld_count(run, i, &estimate->n_documents, &estimate->n_rows, trouble))
                return false;
            continue;
        }
        if (!(is_logits ? count_logits(estimate, i, trouble) : count_texts(estimate, i, trouble)))
            return false;
    }
    return true;
}

bool score_estimate(score_run *run, trouble *trouble) {
    estimate *estimate = calloc(1, sizeof(*estimate));
    if (estimate == NULL)
        return trouble_set(trouble, "out of memory");
    estimate->run = run;
    bool ok = count_inputs(estimate, trouble) && (estimate->n_timed == 0 || time_texts(estimate, trouble));
    progress_end(&run->progress);
    if (ok && score_stop_signal() == 0)
        print_estimate(estimate);
    for (size_t i = 0; i < estimate->n_timed; i++)
        text_document_free(&estimate->timed[i]);
    scorer_close(estimate->counter);
    free(estimate);
    return ok && (fflush(stdout) == 0 || trouble_set(trouble, "standard output: cannot write"));
}
