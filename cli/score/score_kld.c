/* llama-perplexity's log-probabilities as inputs of a run: each chunk is one document. Rounded to levels and clipped,
 * they leave the entropy between bounds, of some thousandths of a nat. */
#include "score_run.h"

#include "../formats/kld.h"
#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Log-probabilities that are in memory at once. */
#define BLOCK_BYTES ((size_t)16 << 20)

/* Rows that are measured together, and what the library is told of them. */
typedef struct block {
    size_t capacity, n;
    float *logprobs; /* capacity rows of the vocabulary */
    size_t *counts;
    double *caps, *errors;
} block;

typedef struct kld_job {
    score_run *run;
    const char *path;
    const kld_file *file;
    size_t chunk;
    document *document;
    size_t n_top;
    block block;
    buffer id;
} kld_job;

static void free_block(block *block) {
    free(block->logprobs);
    free(block->counts);
    free(block->caps);
    free(block->errors);
}

static bool make_block(kld_job *job, trouble *trouble) {
    block *block = &job->block;
    size_t n_columns = job->file->n_vocabulary, n = BLOCK_BYTES / sizeof(float) / n_columns;
    block->capacity = n < 1 ? 1 : n < job->file->n_rows ? n : job->file->n_rows;
    block->logprobs = malloc(block->capacity * n_columns * sizeof(*block->logprobs));
    block->counts = malloc(block->capacity * sizeof(*block->counts));
    block->caps = malloc(block->capacity * sizeof(*block->caps));
    block->errors = malloc(block->capacity * sizeof(*block->errors));
    return (block->logprobs != NULL && block->counts != NULL && block->caps != NULL && block->errors != NULL) ||
           trouble_set(trouble, "%s: out of memory", job->file->name);
}

/* --- One row --- */

static double logprob_of(const kld_row *row, unsigned level) {
    return fmin(0, row->scale * level + row->least);
}

/* What is known of the row's tokens: all of them, or those above the level that stands for anything below. */
static void add_row(kld_job *job, const kld_row *row) {
    block *block = &job->block;
    size_t n_columns = job->file->n_vocabulary, n = 0;
    float *logprobs = block->logprobs + block->n * n_columns;
    for (size_t token = 0; token < n_columns; token++) {
        unsigned level = kld_level(row, token);
        if (level > 0 || !row->is_clipped)
            logprobs[n++] = (float)logprob_of(row, level);
    }
    block->counts[block->n] = n;
    block->caps[block->n] = row->is_clipped ? fmin(0, row->least + row->error) : NAN;
    block->errors[block->n++] = row->error;
}

/* The tokens of the highest levels, best first, ties by the lower number. */
static size_t find_top(size_t *top, size_t n_top, const kld_row *row, size_t n_columns) {
    size_t n = 0;
    for (size_t token = 0; token < n_columns; token++) {
        unsigned level = kld_level(row, token);
        if ((level == 0 && row->is_clipped) || (n == n_top && level <= kld_level(row, top[n - 1])))
            continue;
        size_t at = n < n_top ? n++ : n - 1;
        for (; at > 0 && kld_level(row, top[at - 1]) < level; at--)
            top[at] = top[at - 1];
        top[at] = token;
    }
    return n;
}

static void set_top(const kld_job *job, size_t index, const kld_row *row) {
    size_t top[ENTROL_MAX_TOP + 2], n = find_top(top, job->n_top > 2 ? job->n_top : 2, row, job->file->n_vocabulary);
    double best = n > 0 ? exp(logprob_of(row, kld_level(row, top[0]))) : NAN, sum = 0;
    size_t n_listed = n < job->n_top ? n : job->n_top;
    document_set_real(job->document, COLUMN_TOP_PROB, index, best);
    document_set_real(job->document, COLUMN_MARGIN, index,
                      n > 1 ? best - exp(logprob_of(row, kld_level(row, top[1]))) : NAN);
    for (size_t i = 0; i < job->n_top; i++) {
        double logprob = i < n_listed ? logprob_of(row, kld_level(row, top[i])) : NAN;
        sum += i < n_listed ? logprob : 0;
        document_set_integer(job->document, COLUMN_TOP_ID, index * job->n_top + i, i < n_listed ? (int64_t)top[i] : 0,
                             i < n_listed);
        document_set_real(job->document, COLUMN_TOP_LOGPROB, index * job->n_top + i, logprob);
    }
    document_set_real(job->document, COLUMN_MEAN_TOPK_LOGPROB, index, n_listed > 0 ? sum / (double)n_listed : NAN);
}

/* A level that other tokens have too leaves the rank open; the level that stands for anything below, both. */
static bool set_target(const kld_job *job, size_t index, const kld_row *row, trouble *trouble) {
    int64_t target;
    size_t n_above = 0, n_equal = 0;
    if (!kld_token_at(&target, job->file, job->chunk, index, trouble))
        return false;
    unsigned level = kld_level(row, (size_t)target);
    for (size_t token = 0; token < job->file->n_vocabulary; token++) {
        unsigned other = kld_level(row, token);
        n_above += other > level;
        n_equal += other == level;
    }
    bool is_known = level > 0 || !row->is_clipped;
    document_set_integer(job->document, COLUMN_TOKEN_ID, index, target, true);
    document_set_real(job->document, COLUMN_LOGPROB, index, is_known ? logprob_of(row, level) : NAN);
    document_set_integer(job->document, COLUMN_RANK, index, (int64_t)n_above + 1, is_known && n_equal == 1);
    return true;
}

/* --- One chunk --- */

static bool measure_block(kld_job *job, size_t first, trouble *trouble) {
    size_t n_columns = job->file->n_vocabulary;
    block *block = &job->block;
    column *columns = job->document->columns;
    entrol_top_logprobs top = ENTROL_TOP_LOGPROBS_INIT;
    top.logprobs = (entrol_matrix){block->logprobs, ENTROL_F32, block->n, n_columns, (ptrdiff_t)n_columns};
    top.counts = block->counts;
    top.caps = block->caps;
    top.errors = block->errors;
    top.n_columns = n_columns;
    const entrol_entropy_interval interval = {sizeof(interval), columns[COLUMN_ENTROPY_LOWER].reals + first,
                                              columns[COLUMN_ENTROPY_UPPER].reals + first,
                                              columns[COLUMN_TAIL_MASS].reals + first, NULL};
    entrol_diagnosis diagnosis;
    entrol_status status = entrol_entropy_bounds(job->run->context, &interval, &diagnosis, &top);
    block->n = 0;
    if (status != ENTROL_OK)
        return trouble_set(trouble, "%s: %s", job->id.data, entrol_status_string(status));
    return diagnosis.n_bad == 0 || trouble_set(trouble, "%s: chunk %zu, row %zu: %s", job->file->name, job->chunk,
                                               first + diagnosis.first_row, entrol_reason_string(diagnosis.reason));
}

static bool measure(kld_job *job, trouble *trouble) {
    uint64_t done_before = job->run->summary.n_tokens_now;
    for (size_t index = 0; index < job->file->n_rows; index++) {
        kld_row row;
        if (!kld_row_at(&row, job->file, job->chunk, index, trouble) || !set_target(job, index, &row, trouble))
            return false;
        set_top(job, index, &row);
        add_row(job, &row);
        bool is_full = job->block.n == job->block.capacity || index + 1 == job->file->n_rows;
        if (is_full && !measure_block(job, index + 1 - job->block.n, trouble))
            return false;
        progress_update(&job->run->progress, done_before + index + 1);
        if (score_stop_signal() != 0)
            return trouble_set(trouble, "interrupted");
    }
    return true;
}

static const char *lack_of(column_id id, const kld_job *job) {
    if (!record_can_score_recorded(id))
        return "of log-probabilities that were rounded to 16 bits only the bounds of the entropy are known, "
               "entropy_lower and entropy_upper";
    if (id == COLUMN_TOKEN || id == COLUMN_BYTE_START || id == COLUMN_BYTE_END || id == COLUMN_TOP_TOKEN)
        return "the file has no text";
    return id == COLUMN_MEAN_TOPK_LOGPROB && job->n_top == 0 ? "it needs --top N" : NULL;
}

static bool add_columns(kld_job *job, trouble *trouble) {
    const score_settings *settings = &job->run->settings;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column_id id = (column_id)i;
        const char *lack = lack_of(id, job);
        if (lack != NULL && settings->named[id])
            return trouble_set(trouble, "%s: --columns %s: %s", job->id.data, record_columns[id].name, lack);
        bool is_needed =
            id == COLUMN_LOGPROB || id == COLUMN_ENTROPY_LOWER || id == COLUMN_ENTROPY_UPPER || id == COLUMN_TAIL_MASS;
        bool is_empty = record_columns[id].is_list && job->n_top == 0;
        if (lack != NULL || is_empty || !(settings->wanted_recorded[id] || is_needed))
            continue;
        if (!document_add_column(job->document, id, record_columns[id].is_list ? job->n_top : 1))
            return trouble_set(trouble, "%s: out of memory for %zu tokens", job->id.data, job->document->n_tokens);
    }
    return true;
}

/* The place and shape of the chunk: its values are too many to hash. */
static uint64_t hash_source(const kld_job *job) {
    const kld_file *file = job->file;
    uint64_t numbers[4] = {job->chunk, file->n_chunks, file->n_context, file->n_vocabulary};
    return score_hash(score_hash(SCORE_HASH_START, job->id.data, job->id.size), numbers, sizeof(numbers));
}

static bool score_and_emit(kld_job *job, uint64_t hash, trouble *trouble) {
    document result = {.n_tokens = job->file->n_rows, .fields = json_object()};
    job->document = &result;
    bool ok = json_object_set_new(result.fields, "id", json_string_of(job->id.data)) == 0 ||
              trouble_set(trouble, "%s: out of memory", job->id.data);
    ok = ok && add_columns(job, trouble) && measure(job, trouble) &&
         score_run_emit(job->run, &result, hash, NULL, false, trouble);
    document_free(&result);
    job->block.n = 0;
    return ok;
}

static bool score_chunk(kld_job *job, trouble *trouble) {
    if (!score_run_chooses(job->run))
        return true;
    buffer_clear(&job->id);
    buffer_append_format(&job->id, "%s:%zu", score_input_name(job->path), job->chunk);
    if (job->id.failed)
        return trouble_set(trouble, "out of memory");
    uint64_t hash = hash_source(job);
    int has = score_run_has(job->run, hash, job->id.data, trouble);
    return has == 1 || (has == 0 && score_and_emit(job, hash, trouble));
}

bool score_kld_input(score_run *run, int index, trouble *trouble) {
    kld_file *file = kld_open_input(score_inputs_open(run, index, trouble), trouble);
    if (file == NULL)
        return false;
    kld_job job = {.run = run, .path = run->inputs[index], .file = file, .n_top = (size_t)run->settings.n_top};
    uint64_t n_rows = (uint64_t)file->n_chunks * file->n_rows;
    run->progress.total = run->summary.n_tokens_now + (uint64_t)((double)n_rows * run->share);
    bool ok = make_block(&job, trouble);
    for (job.chunk = 0; ok && job.chunk < file->n_chunks; job.chunk++)
        ok = score_stop_signal() == 0 && score_chunk(&job, trouble);
    free_block(&job.block);
    buffer_free(&job.id);
    kld_close(file);
    return ok;
}

bool score_kld_count(score_run *run, int index, uint64_t *n_documents, uint64_t *n_rows, trouble *trouble) {
    kld_file *file = kld_open_input(score_inputs_open(run, index, trouble), trouble);
    if (file == NULL)
        return false;
    for (size_t chunk = 0; chunk < file->n_chunks; chunk++) {
        bool chosen = score_run_chooses(run);
        *n_documents += chosen;
        *n_rows += chosen ? file->n_rows : 0;
    }
    kld_close(file);
    return true;
}
