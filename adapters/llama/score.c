/* Scoring documents: one by one in windows, a micro-batch of logits at a time, by one model or by several in lockstep;
 * or several short ones in one decode. */
#include "internal.h"
#include "windows.h"

#include <math.h>
#include <string.h>

/* One call's arguments. */
typedef struct scoring {
    entrol_llama *llama;             /* the first of the models */
    entrol_llama *const *llamas;     /* all of them, which agree on the tokens and the BOS */
    size_t n_llamas, n_ctx, n_batch; /* the last two are the least of any */
    entrol_llama_rows rows;          /* gets their logits; NULL: those of one are measured into the record */
    void *rows_user;
    entrol_context *context;
    const entrol_record *record;
    entrol_diagnosis *diagnosis;
    const int32_t *tokens;
    size_t first;
    size_t n_scored;
    entrol_llama_score_options options;
} scoring;

/* The first token's row where there is no BOS to predict it. */
static void no_distribution(const entrol_record *record) {
    float *values[] = {record->entropy,  record->logsumexp, record->logprob,       record->varentropy,
                       record->top_prob, record->margin,    record->sum_p_squared, record->renyi};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (values[i] != NULL) {
            values[i][0] = NAN;
        }
    }
    if (record->rank != NULL) {
        record->rank[0] = 0;
    }
    if (record->state != NULL) {
        *record->state = (entrol_state){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    }
    for (size_t i = 0; i < record->n_top; i++) {
        if (record->top_id != NULL) {
            record->top_id[i] = -1;
        }
        if (record->top_logprob != NULL) {
            record->top_logprob[i] = NAN;
        }
    }
}

/* The tokens that positions [from, to) of a window predict and that it scores are [begin, end). Position p predicts the
 * token `window->begin + p + 1 - n_bos`; those that are scored come last. */
typedef struct aim {
    size_t begin, end;
} aim;

static aim aim_at(const scoring *job, const ent_window *window, size_t from, size_t to) {
    const size_t shift = window->begin + 1 - (job->llama->bos >= 0 ? 1 : 0);
    const size_t first = from + shift > window->first_scored ? from + shift : window->first_scored;
    return (aim){first, to + shift > first ? to + shift : first};
}

/* Appends the window's positions [from, to) to a model's batch. */
static void fill(const scoring *job, entrol_llama *llama, const ent_window *window, size_t from, size_t to,
                 size_t sequence) {
    const size_t n_bos = llama->bos >= 0 ? 1 : 0;
    for (size_t position = from; position < to; position++) {
        const size_t predicted = window->begin + position + 1 - n_bos;
        const int32_t token = position < n_bos ? llama->bos : job->tokens[predicted - 1];
        ent_llama_push(llama, token, position, sequence, predicted >= window->first_scored);
    }
}

/* Gives the models' rows to the caller. */
static entrol_status give_rows(const scoring *job, size_t first_row, const float *const *logits, size_t n_rows) {
    entrol_matrix matrices[ENTROL_LLAMA_MAX_TOGETHER];
    int is_bad[ENTROL_LLAMA_MAX_TOGETHER] = {0};
    const size_t n_vocab = job->llama->n_vocab;
    for (size_t i = 0; i < job->n_llamas; i++) {
        matrices[i] = (entrol_matrix){logits[i], ENTROL_F32, n_rows, n_vocab, (ptrdiff_t)n_vocab};
    }
    const entrol_status status = job->rows(job->rows_user, first_row, matrices, job->llama->targets, is_bad);
    for (size_t i = 0; i < job->n_llamas; i++) {
        job->llamas[i]->memory_tainted |= is_bad[i] != 0;
    }
    return status;
}

/* Measures, or gives away, the rows that the batch gave for these tokens under each model. */
static entrol_status reduce(const scoring *job, aim aim, const float *const *logits) {
    const size_t first_row = aim.begin - job->first, n_rows = aim.end - aim.begin;
    for (size_t token = aim.begin; token < aim.end; token++) {
        job->llama->targets[token - aim.begin] = job->tokens[token];
    }
    if (n_rows == 0) {
        return ENTROL_OK;
    }
    return job->rows != NULL
               ? give_rows(job, first_row, logits, n_rows)
               : ent_llama_reduce(job->llama, job->context, job->record, first_row, job->diagnosis, logits[0], n_rows);
}

static entrol_status report(scoring *job, size_t n_rows) {
    job->n_scored += n_rows;
    if (job->options.progress != NULL && job->options.progress(job->options.progress_user, job->n_scored) != 0) {
        return ENTROL_ERROR_SYSTEM;
    }
    return ENTROL_OK;
}

/* The window's positions [from, to) through every model. */
static entrol_status decode(const scoring *job, const float **logits, const ent_window *window, size_t from,
                            size_t to) {
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; i < job->n_llamas && status == ENTROL_OK; i++) {
        fill(job, job->llamas[i], window, from, to, 0);
        status = ent_llama_decode(job->llamas[i], &logits[i]);
    }
    return status;
}

static entrol_status score_window(scoring *job, const ent_window *window) {
    const size_t n_positions = window->end - 1 - window->begin + (job->llama->bos >= 0 ? 1 : 0);
    for (size_t i = 0; i < job->n_llamas; i++) {
        ent_llama_clear(job->llamas[i]);
    }
    for (size_t from = 0; from < n_positions; from += job->n_batch) {
        const size_t to = from + job->n_batch < n_positions ? from + job->n_batch : n_positions;
        const aim aim = aim_at(job, window, from, to);
        const float *logits[ENTROL_LLAMA_MAX_TOGETHER];
        entrol_status status = decode(job, logits, window, from, to);
        if (status == ENTROL_OK) {
            status = reduce(job, aim, logits);
        }
        if (status == ENTROL_OK) {
            status = report(job, aim.end - aim.begin);
        }
        if (status != ENTROL_OK) {
            return status;
        }
    }
    return ENTROL_OK;
}

static ent_window_plan plan_of(const scoring *job, size_t n_tokens) {
    const size_t min_context = job->options.min_context == 0 ? job->n_ctx / 2 : job->options.min_context;
    return (ent_window_plan){n_tokens, job->first, job->n_ctx, min_context, job->llama->bos >= 0};
}

static entrol_status score_windows(scoring *job, size_t n_tokens) {
    const ent_window_plan plan = plan_of(job, n_tokens);
    if (!plan.has_bos && job->first == 0 && n_tokens > 0 && job->record != NULL) {
        no_distribution(job->record);
    }
    ent_window window;
    for (size_t i = 0; ent_window_at(&window, &plan, i); i++) {
        const entrol_status status = score_window(job, &window);
        if (status != ENTROL_OK) {
            return status;
        }
    }
    return ENTROL_OK;
}

/* Takes the models, and the least context and batch of any; false where they cannot go together. */
static bool take_models(scoring *job, entrol_llama *const *llamas, size_t n_llamas) {
    if (llamas == NULL || n_llamas < 1 || n_llamas > ENTROL_LLAMA_MAX_TOGETHER) {
        return false;
    }
    for (size_t i = 0; i < n_llamas; i++) {
        const entrol_llama *llama = llamas[i];
        if (llama == NULL || llama->n_vocab != llamas[0]->n_vocab || llama->bos != llamas[0]->bos) {
            return false;
        }
        job->n_ctx = i == 0 || llama->n_ctx < job->n_ctx ? llama->n_ctx : job->n_ctx;
        job->n_batch = i == 0 || llama->n_batch < job->n_batch ? llama->n_batch : job->n_batch;
    }
    job->llama = llamas[0];
    job->llamas = llamas;
    job->n_llamas = n_llamas;
    return true;
}

static bool have_weights(const scoring *job) {
    for (size_t i = 0; i < job->n_llamas; i++) {
        if (job->llamas[i]->context == NULL) {
            return false;
        }
    }
    return true;
}

static entrol_status check(const scoring *job, size_t n_tokens) {
    if (job->rows == NULL && (job->context == NULL || job->record == NULL)) {
        return ent_llama_bad(job->diagnosis, job->context == NULL ? "context" : "record");
    }
    if (!have_weights(job)) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    if (job->first > n_tokens) {
        return ent_llama_bad(job->diagnosis, "first");
    }
    if (job->options.min_context > job->n_ctx - 2) {
        return ent_llama_bad(job->diagnosis, "min_context");
    }
    if (job->record != NULL && job->record->n_top > ENTROL_MAX_TOP) {
        return ent_llama_bad(job->diagnosis, "n_top");
    }
    return ent_llama_check_tokens(job->llama, job->diagnosis, job->tokens, n_tokens);
}

static entrol_status begin(scoring *job, entrol_llama *const *llamas, size_t n_llamas, size_t n_tokens,
                           const entrol_llama_score_options *options) {
    if (job->diagnosis != NULL) {
        *job->diagnosis = (entrol_diagnosis){0};
    }
    if (!ent_llama_take_options(&job->options, options)) {
        return ent_llama_bad(job->diagnosis, "options");
    }
    if (!take_models(job, llamas, n_llamas)) {
        return ent_llama_bad(job->diagnosis, n_llamas == 1 && job->rows == NULL ? "llama" : "llamas");
    }
    return check(job, n_tokens);
}

/* The seconds in all models together. */
static void give_seconds(entrol_llama_score_options *options, const scoring *job) {
    double seconds = 0;
    for (size_t i = 0; i < job->n_llamas; i++) {
        seconds += job->llamas[i]->seconds;
    }
    ent_llama_give_seconds(options, seconds);
}

static entrol_status score(scoring *job, entrol_llama *const *llamas, size_t n_llamas, size_t n_tokens,
                           entrol_llama_score_options *options) {
    entrol_status status = begin(job, llamas, n_llamas, n_tokens, options);
    if (status != ENTROL_OK) {
        return status;
    }
    for (size_t i = 0; i < n_llamas; i++) {
        llamas[i]->seconds = 0;
        llamas[i]->measure = job->options.measure;
    }
    status = score_windows(job, n_tokens);
    give_seconds(options, job);
    return status;
}

entrol_status entrol_llama_score(entrol_llama *llama, entrol_context *context, const entrol_record *record,
                                 entrol_diagnosis *diagnosis, const int32_t *tokens, size_t n_tokens, size_t first,
                                 entrol_llama_score_options *options) {
    scoring job = {.context = context, .record = record, .diagnosis = diagnosis, .tokens = tokens, .first = first};
    return score(&job, &llama, 1, n_tokens, options);
}

entrol_status entrol_llama_score_together(entrol_llama *const *llamas, size_t n_llamas, entrol_diagnosis *diagnosis,
                                          const int32_t *tokens, size_t n_tokens, size_t first, entrol_llama_rows rows,
                                          void *user, entrol_llama_score_options *options) {
    scoring job = {.rows = rows, .rows_user = user, .diagnosis = diagnosis, .tokens = tokens, .first = first};
    return rows == NULL ? ent_llama_bad(diagnosis, "rows") : score(&job, llamas, n_llamas, n_tokens, options);
}

/* --- Several documents in one decode --- */

size_t entrol_llama_n_positions(const entrol_llama *llama, size_t n_tokens) {
    return n_tokens == 0 ? 0 : n_tokens - 1 + (llama->bos >= 0 ? 1 : 0);
}

/* A document's part of the whole. */
static scoring scoring_of(const scoring *total, const entrol_llama_document *document) {
    scoring job = *total;
    job.record = document->record;
    job.diagnosis = document->diagnosis;
    job.tokens = document->tokens;
    job.first = document->first;
    return job;
}

/* Every document must be one window, and all of them one batch. */
static entrol_status check_packed(const scoring *total, entrol_llama *llama, const entrol_llama_document *documents,
                                  size_t n_documents, const entrol_llama_score_options *options) {
    size_t n_positions = 0;
    for (size_t i = 0; i < n_documents; i++) {
        scoring job = scoring_of(total, &documents[i]);
        const entrol_status status = begin(&job, &llama, 1, documents[i].n_tokens, options);
        if (status != ENTROL_OK) {
            return status;
        }
        const size_t n = entrol_llama_n_positions(llama, documents[i].n_tokens);
        if (n > llama->n_ctx || n > llama->n_batch - n_positions || i >= llama->n_seq_max) {
            return ent_llama_bad(job.diagnosis, "documents");
        }
        n_positions += n;
    }
    return ENTROL_OK;
}

/* Whether the document has something to score; its window then. */
static bool only_window(ent_window *window, const scoring *job, size_t n_tokens) {
    const ent_window_plan plan = plan_of(job, n_tokens);
    return ent_window_at(window, &plan, 0);
}

/* Decodes the filled batch and measures each document's share of the rows. */
static entrol_status reduce_all(scoring *total, const entrol_llama_document *documents, size_t n_documents) {
    const float *logits;
    entrol_status status = ent_llama_decode(total->llama, &logits);
    for (size_t i = 0; status == ENTROL_OK && i < n_documents; i++) {
        const scoring job = scoring_of(total, &documents[i]);
        ent_window window;
        if (only_window(&window, &job, documents[i].n_tokens)) {
            const aim aim = {window.first_scored, window.end};
            status = reduce(&job, aim, &logits);
            logits += (aim.end - aim.begin) * total->llama->n_vocab;
            total->n_scored += aim.end - aim.begin;
        }
    }
    return status == ENTROL_OK ? report(total, 0) : status;
}

static entrol_status score_packed(scoring *total, const entrol_llama_document *documents, size_t n_documents) {
    entrol_llama *llama = total->llama;
    ent_llama_clear(llama);
    for (size_t i = 0; i < n_documents; i++) {
        const scoring job = scoring_of(total, &documents[i]);
        ent_window window;
        if (llama->bos < 0 && job.first == 0 && documents[i].n_tokens > 0) {
            no_distribution(job.record);
        }
        if (only_window(&window, &job, documents[i].n_tokens)) {
            fill(&job, llama, &window, 0, entrol_llama_n_positions(llama, documents[i].n_tokens), i);
        }
    }
    return llama->batch.n_tokens == 0 ? ENTROL_OK : reduce_all(total, documents, n_documents);
}

entrol_status entrol_llama_score_packed(entrol_llama *llama, entrol_context *context,
                                        const entrol_llama_document *documents, size_t n_documents,
                                        entrol_llama_score_options *options) {
    scoring total = {.context = context};
    if (documents == NULL && n_documents > 0) {
        return ENTROL_ERROR_ARGUMENT;
    }
    entrol_status status = check_packed(&total, llama, documents, n_documents, options);
    if (status != ENTROL_OK || n_documents == 0) {
        return status;
    }
    take_models(&total, &llama, 1); /* checked with each document, as the options are */
    ent_llama_take_options(&total.options, options);
    llama->seconds = 0;
    llama->measure = total.options.measure;
    status = score_packed(&total, documents, n_documents);
    ent_llama_give_seconds(options, llama->seconds);
    return status;
}
