/* Rows of a matrix as documents. What the numbers mean is looked at where they are used. */
#include "class_rows.h"
#include "record_parts.h"
#include "../json_text.h"

#include <stdlib.h>
#include <string.h>

struct class_rows {
    tensor_file *file;
    size_t n_rows, n_models, n_classes, next; /* n_models 0: the array has no such dimension */
};

static bool take_shape(class_rows *rows, const tensor *tensor, trouble *trouble) {
    char shape[256];
    tensor_format_shape(shape, sizeof shape, tensor);
    if (!element_is_real(tensor->element) || tensor->n_dimensions < 2 || tensor->n_dimensions > 3 ||
        tensor->n_elements == 0)
        return trouble_set(trouble,
                           "%s: expected token records, or class probabilities of shape (samples, classes) or "
                           "(samples, models, classes), found %s of shape %s",
                           rows->file->name, tensor->type_name, shape);
    rows->n_rows = tensor->shape[0];
    rows->n_models = tensor->n_dimensions == 3 ? tensor->shape[1] : 0;
    rows->n_classes = tensor->shape[tensor->n_dimensions - 1];
    return true;
}

class_rows *class_rows_open(tensor_file *file, trouble *trouble) {
    class_rows *rows = calloc(1, sizeof *rows);
    if (!rows) {
        tensors_close(file);
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    rows->file = file;
    if (take_shape(rows, &file->tensors[0], trouble))
        return rows;
    class_rows_close(rows);
    return NULL;
}

void class_rows_close(class_rows *rows) {
    if (!rows)
        return;
    tensors_close(rows->file);
    free(rows);
}

void class_rows_rewind(class_rows *rows) {
    rows->next = 0;
}

/* n_classes numbers from element `first` on; adds them to the totals. */
static json_t *read_row(const class_rows *rows, size_t first, double *totals) {
    json_t *list = json_array();
    for (size_t i = 0; i < rows->n_classes; i++) {
        const double value = tensor_real(&rows->file->tensors[0], first + i);
        totals[i] += value;
        json_array_append_new(list, json_of_real(value));
    }
    return list;
}

static json_t *read_probs(const class_rows *rows, double *totals) {
    const size_t n_models = rows->n_models ? rows->n_models : 1;
    const size_t first = rows->next * n_models * rows->n_classes;
    if (rows->n_models == 0)
        return read_row(rows, first, totals);
    json_t *list = json_array();
    for (size_t m = 0; m < n_models; m++)
        json_array_append_new(list, read_row(rows, first + m * rows->n_classes, totals));
    return list;
}

static size_t index_of_greatest(const double *values, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

int class_rows_next(class_rows *rows, document *document, trouble *trouble) {
    document_free(document);
    if (rows->next == rows->n_rows)
        return 0;
    double *totals = calloc(rows->n_classes, sizeof *totals);
    json_t *fields = json_object();
    buffer id = {0};
    const char *slash = strrchr(rows->file->name, '/');
    buffer_append_utf8(&id, slash ? slash + 1 : rows->file->name, strlen(slash ? slash + 1 : rows->file->name));
    buffer_append_format(&id, ":%zu", rows->next);
    bool ok = totals && fields && !id.failed;
    if (ok) {
        json_t *probs = read_probs(rows, totals);
        json_object_set_new(fields, "id", json_string(id.data));
        json_object_set_new(fields, "row", json_integer((json_int_t)rows->next));
        json_object_set_new(fields, "class", json_integer((json_int_t)index_of_greatest(totals, rows->n_classes)));
        ok = json_object_set_new(fields, "probs", probs) == 0;
    }
    buffer_free(&id);
    free(totals);
    if (!ok) {
        json_decref(fields);
        trouble_set(trouble, "%s: out of memory", rows->file->name);
        return -1;
    }
    document->line_number = ++rows->next;
    return record_take_fields(rows->file->name, document, fields, trouble) ? 1 : -1;
}
