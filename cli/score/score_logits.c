/* Logits files as inputs of a run: each matrix is one document, measured in blocks of rows straight from the mapping.
 */
#include "score_run.h"

#include "../formats/logits.h"
#include "../json_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Rows measured between two looks at the progress. Large enough to feed every thread, small enough that what has been
 * read can be given back: pages of a mapping count as this process's memory until then. */
#define BLOCK_BYTES ((size_t)64 << 20)

typedef struct logits_job {
    score_run *run;
    const char *path;
    const logits_array *array;
    size_t array_index;     /* of the file's */
    const int64_t *targets; /* of the whole array, or NULL */
    size_t index;           /* of the document in its array */
    buffer id;
} logits_job;

/* Gives back the pages of rows that are done, and asks for those of the next block. */
void score_logits_advise(const void *from, size_t n_bytes, int advice) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)from, end = start + n_bytes;
    uintptr_t first = advice == MADV_DONTNEED ? (start + page - 1) / page * page : start / page * page;
    uintptr_t last = advice == MADV_DONTNEED ? end / page * page : end;
    if (first < last)
        madvise((void *)first, last - first, advice);
}

static size_t array_bytes(const logits_array *array) {
    return array->n_documents * array->n_rows * array->n_columns * entrol_dtype_size(array->dtype);
}

static size_t block_rows(const logits_array *array) {
    size_t row_bytes = array->n_columns * entrol_dtype_size(array->dtype);
    return row_bytes == 0 || row_bytes > BLOCK_BYTES ? 1 : BLOCK_BYTES / row_bytes;
}

/* By themselves, or with what stands beside them. */
static bool measure_rows(const score_run *run, const entrol_record *record, entrol_diagnosis *diagnosis,
                         const score_block *block, trouble *trouble) {
    if (run->companion != NULL)
        return run->companion->measure_block(run->companion->user, record, diagnosis, block, trouble);
    entrol_measure_options options = ENTROL_MEASURE_OPTIONS_INIT;
    options.temperature = run->settings.temperature;
    options.renyi_order = run->settings.renyi_order;
    entrol_status status =
        entrol_measure_rows(run->context, record, diagnosis, &block->logits, block->targets, &options);
    const char *argument = diagnosis->argument;
    return status == ENTROL_OK || trouble_set(trouble, "%s: %s%s%s", block->where, entrol_status_string(status),
                                              argument != NULL ? ": " : "", argument != NULL ? argument : "");
}

/* One block of the document's rows. */
static bool measure_block(logits_job *job, document *result, const score_columns *columns, entrol_diagnosis *diagnosis,
                          size_t first, size_t n_rows, trouble *trouble) {
    const logits_array *array = job->array;
    size_t row_bytes = array->n_columns * entrol_dtype_size(array->dtype);
    size_t row = job->index * array->n_rows + first;
    const unsigned char *data = (const unsigned char *)array->data + row * row_bytes;
    score_block block = {
        .where = job->id.data, .result = result, .first = first, .array = job->array_index, .row = row};
    block.logits = (entrol_matrix){data, array->dtype, n_rows, array->n_columns, (ptrdiff_t)array->n_columns};
    block.targets = job->targets != NULL ? job->targets + row : NULL;
    entrol_record record = score_columns_from(columns, first);
    entrol_diagnosis of_block = {0};
    if (!measure_rows(job->run, &record, &of_block, &block, trouble))
        return false;
    score_merge_diagnosis(diagnosis, &of_block, first);
    score_logits_advise(data, n_rows * row_bytes, MADV_DONTNEED);
    return true;
}

static bool measure(logits_job *job, document *result, entrol_diagnosis *diagnosis, trouble *trouble) {
    score_columns columns;
    size_t n_rows = result->n_tokens, step = block_rows(job->array);
    uint64_t done_before = job->run->summary.n_tokens_now;
    bool ok = score_columns_begin(&columns, result, &job->run->settings, (score_source){job->targets != NULL, false},
                                  job->id.data, trouble);
    for (size_t first = 0; ok && first < n_rows; first += step) {
        size_t n = n_rows - first < step ? n_rows - first : step;
        ok = measure_block(job, result, &columns, diagnosis, first, n, trouble);
        progress_update(&job->run->progress, done_before + first + n);
        if (ok && score_stop_signal() != 0)
            ok = trouble_set(trouble, "interrupted");
    }
    if (ok)
        score_columns_end(&columns, result);
    score_columns_free(&columns);
    return ok;
}

static bool name_document(logits_job *job, trouble *trouble) {
    buffer_clear(&job->id);
    buffer_append_string(&job->id, score_input_name(job->path));
    if (job->array->name[0] != '\0')
        buffer_append_format(&job->id, ":%s", job->array->name);
    if (job->array->n_documents > 1)
        buffer_append_format(&job->id, ":%zu", job->index);
    return !job->id.failed || trouble_set(trouble, "out of memory");
}

static void set_targets(document *result, const int64_t *targets) {
    column *ids = &result->columns[COLUMN_TOKEN_ID];
    if (targets != NULL && ids->is_present)
        memcpy(ids->integers, targets, result->n_tokens * sizeof(*targets));
}

/* The place and shape of the matrix: its values are too many to hash. */
static uint64_t hash_source(const logits_job *job) {
    const logits_array *array = job->array;
    uint64_t numbers[5] = {job->index, array->n_documents, array->n_rows, array->n_columns, (uint64_t)array->dtype};
    return score_hash(score_hash(SCORE_HASH_START, job->id.data, job->id.size), numbers, sizeof(numbers));
}

static bool score_and_emit(logits_job *job, uint64_t hash, trouble *trouble) {
    score_run *run = job->run;
    entrol_diagnosis diagnosis = {0};
    document result = {.n_tokens = job->array->n_rows, .fields = json_object()};
    bool ok = measure(job, &result, &diagnosis, trouble);
    if (ok && json_object_set_new(result.fields, "id", json_string_of(job->id.data)) != 0)
        ok = trouble_set(trouble, "%s: out of memory", job->id.data);
    if (ok) {
        set_targets(&result, job->targets != NULL ? job->targets + job->index * result.n_tokens : NULL);
        score_summary_bad_row(&run->summary, job->id.data, "row", &diagnosis);
        ok = score_run_emit(run, &result, hash, &diagnosis, false, trouble);
    }
    document_free(&result);
    return ok;
}

static bool score_array(logits_job *job, trouble *trouble) {
    for (job->index = 0; job->index < job->array->n_documents; job->index++) {
        if (score_stop_signal() != 0)
            return false;
        if (!score_run_chooses(job->run))
            continue;
        if (!name_document(job, trouble))
            return false;
        uint64_t hash = hash_source(job);
        int has = score_run_has(job->run, hash, job->id.data, trouble);
        if (has < 0 || (has == 0 && !score_and_emit(job, hash, trouble)))
            return false;
    }
    return true;
}

/* --targets FILE or FILE:TENSOR, for the one array of the file. */
static bool read_targets(const score_run *run, const logits_file *file, int64_t **targets, trouble *trouble) {
    *targets = NULL;
    if (run->targets == NULL)
        return true;
    if (logits_n_arrays(file) != 1)
        return trouble_set(trouble, "--targets: the logits file has %zu arrays, and targets go with one",
                           logits_n_arrays(file));
    const logits_array *array = logits_array_at(file, 0);
    const char *colon = strrchr(run->targets, ':');
    bool whole = colon == NULL || access(run->targets, F_OK) == 0;
    char *path = whole ? strdup(run->targets) : strndup(run->targets, (size_t)(colon - run->targets));
    if (path == NULL)
        return trouble_set(trouble, "out of memory");
    bool ok = logits_read_targets(path, whole ? NULL : colon + 1, targets, array->n_documents * array->n_rows, trouble);
    free(path);
    return ok;
}

static void expect_rows(score_run *run, const logits_file *file) {
    uint64_t n_rows = 0;
    for (size_t i = 0; i < logits_n_arrays(file); i++)
        n_rows += (uint64_t)logits_array_at(file, i)->n_documents * logits_array_at(file, i)->n_rows;
    run->progress.total = run->summary.n_tokens_now + (uint64_t)((double)n_rows * run->share);
}

bool score_logits_input(score_run *run, int index, trouble *trouble) {
    const char *path = run->inputs[index];
    logits_file *file = logits_open_input(score_inputs_open(run, index, trouble), trouble);
    int64_t *targets = NULL;
    if (file == NULL)
        return false;
    bool ok = read_targets(run, file, &targets, trouble) &&
              (logits_n_arrays(file) > 0 ||
               trouble_set(trouble, "%s: there is no array of floating-point numbers in it", score_input_name(path)));
    expect_rows(run, file);
    if (ok && run->companion != NULL)
        ok = run->companion->open_logits(run->companion->user, score_input_name(path), file, trouble);
    logits_job job = {.run = run, .path = path, .targets = targets};
    for (size_t i = 0; ok && i < logits_n_arrays(file); i++) {
        job.array_index = i;
        job.array = logits_array_at(file, i);
        score_logits_advise(job.array->data, array_bytes(job.array), MADV_SEQUENTIAL);
        ok = score_array(&job, trouble);
    }
    buffer_free(&job.id);
    free(targets);
    logits_close(file);
    return ok;
}
