/* Logits files beside each other: of the same shapes, read block by block. */
#include "compare.h"

#include "../json_text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool same_shape(const logits_array *a, const logits_array *b) {
    return a->n_documents == b->n_documents && a->n_rows == b->n_rows && a->n_columns == b->n_columns;
}

static void describe(char *text, size_t size, const logits_array *array) {
    if (array->n_documents == 1)
        snprintf(text, size, "%zu rows of %zu columns", array->n_rows, array->n_columns);
    else
        snprintf(text, size, "%zu matrices of %zu rows of %zu columns", array->n_documents, array->n_rows,
                 array->n_columns);
}

/* The array of the file that stands beside one of the first: of its name, or the only one. */
static const logits_array *find_beside(const logits_file *file, const logits_array *array, size_t n_arrays) {
    for (size_t i = 0; i < logits_n_arrays(file); i++)
        if (strcmp(logits_array_at(file, i)->name, array->name) == 0 || (n_arrays == 1 && logits_n_arrays(file) == 1))
            return logits_array_at(file, i);
    return NULL;
}

static bool check_shapes(const compare_reference *reference, const char *where, const logits_file *file,
                         trouble *trouble) {
    const size_t n = logits_n_arrays(file);
    if (logits_n_arrays(reference->file) != n)
        return trouble_set(trouble, "%s has %zu arrays of logits, and %s, its reference, has %zu", where, n,
                           reference->path, logits_n_arrays(reference->file));
    for (size_t i = 0; i < n; i++) {
        const logits_array *array = logits_array_at(file, i), *other = find_beside(reference->file, array, n);
        char ours[128], theirs[128];
        if (other == NULL)
            return trouble_set(trouble, "%s: no array \"%.100s\", which %s has", reference->path, array->name, where);
        describe(ours, sizeof(ours), array);
        describe(theirs, sizeof(theirs), other);
        if (!same_shape(array, other))
            return trouble_set(trouble, "%s has %s, and %s, its reference, has %s: expected the same", where, ours,
                               reference->path, theirs);
    }
    return true;
}

bool compare_open_logits(void *user, const char *where, const logits_file *file, trouble *trouble) {
    comparison *comparison = user;
    if (comparison->kind != COMPARE_LOGITS)
        return trouble_set(trouble, "%s holds logits, and %s is a model: a model goes with texts", where,
                           comparison->references->path);
    comparison->first_file = file;
    for (size_t i = 0; i < comparison->n_references; i++) {
        compare_reference *reference = &comparison->references[i];
        reference->file = logits_open_input(input_open(reference->path, trouble), trouble);
        if (reference->file == NULL || !check_shapes(reference, where, file, trouble))
            return false;
    }
    return true;
}

/* The same rows of a reference. */
static entrol_matrix rows_beside(const comparison *comparison, const compare_reference *reference,
                                 const score_block *block) {
    const logits_array *first = logits_array_at(comparison->first_file, block->array);
    const logits_array *array = find_beside(reference->file, first, logits_n_arrays(comparison->first_file));
    const size_t row_bytes = array->n_columns * entrol_dtype_size(array->dtype);
    const unsigned char *data = (const unsigned char *)array->data + block->row * row_bytes;
    return (entrol_matrix){data, array->dtype, block->logits.n_rows, array->n_columns, (ptrdiff_t)array->n_columns};
}

bool compare_measure_block(void *user, const entrol_record *record, entrol_diagnosis *diagnosis,
                           const score_block *block, trouble *trouble) {
    comparison *comparison = user;
    entrol_matrix logits[COMPARE_MOST] = {block->logits};
    for (size_t i = 0; i < comparison->n_references; i++)
        logits[i + 1] = rows_beside(comparison, &comparison->references[i], block);
    compare_rows rows = {.where = block->where,
                         .row_word = "row",
                         .result = block->result,
                         .first = block->first,
                         .record = *record,
                         .logits = logits,
                         .targets = block->targets};
    if (!compare_measure(comparison, &rows, diagnosis, trouble))
        return false;
    for (size_t i = 1; i <= comparison->n_references; i++)
        score_logits_advise(logits[i].data, logits[i].n_rows * logits[i].n_columns * entrol_dtype_size(logits[i].dtype),
                            MADV_DONTNEED);
    return true;
}
