/* Rows of a matrix as documents. What the numbers mean is looked at where they are used. */
#include "class_rows.h"
#include "record_parts.h"

#include <stdlib.h>
#include <string.h>

struct class_rows {
    tensor_file *file;
    size_t n_rows, n_all_models, n_classes, next;
    bool has_models; /* the array has that dimension */
    double *values;  /* of a row, and of each class the sum over its models */
};

static bool take_shape(class_rows *rows, const tensor *tensor, trouble *trouble) {
    char shape[256];
    tensor_format_shape(shape, sizeof shape, tensor);
    if (!element_is_real(tensor->element) || tensor->n_dimensions < 2 || tensor->n_dimensions > 3 ||
        tensor->n_elements == 0)
        return trouble_set(trouble,
                           "%s: expected token records, or class probabilities of shape (samples, classes) or "
                           "(samples, models, classes), found %s of shape %s%s",
                           rows->file->name, tensor->type_name, shape,
                           tensor->n_elements == 0 ? ", which is empty" : "");
    rows->n_rows = tensor->shape[0];
    rows->has_models = tensor->n_dimensions == 3;
    rows->n_all_models = rows->has_models ? tensor->shape[1] : 1;
    rows->n_classes = tensor->shape[tensor->n_dimensions - 1];
    rows->values = malloc((rows->n_all_models + 1) * rows->n_classes * sizeof *rows->values); /* the array is larger */
    return rows->values || trouble_set(trouble, "%s: out of memory", rows->file->name);
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
    free(rows->values);
    free(rows);
}

void class_rows_rewind(class_rows *rows) {
    rows->next = 0;
}

/* The numbers of the next row, and of each class their sum over the models. */
static void read_row(class_rows *rows) {
    const size_t n = rows->n_all_models * rows->n_classes, first = rows->next * n;
    double *totals = rows->values + n;
    for (size_t i = 0; i < rows->n_classes; i++)
        totals[i] = 0;
    for (size_t i = 0; i < n; i++) {
        rows->values[i] = tensor_real(&rows->file->tensors[0], first + i);
        totals[i % rows->n_classes] += rows->values[i];
    }
}

static size_t index_of_greatest(const double *values, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (values[i] > values[best])
            best = i;
    return best;
}

/* What the line is besides its probabilities. */
static json_t *make_fields(const class_rows *rows) {
    const double *totals = rows->values + rows->n_all_models * rows->n_classes;
    const char *slash = strrchr(rows->file->name, '/'), *name = slash ? slash + 1 : rows->file->name;
    buffer id = {0};
    buffer_append_utf8(&id, name, strlen(name));
    buffer_append_format(&id, ":%zu", rows->next);
    json_t *fields = json_object();
    json_object_set_new(fields, "id", id.failed ? NULL : json_string(id.data));
    json_object_set_new(fields, "row", json_integer((json_int_t)rows->next));
    buffer_free(&id);
    if (json_object_set_new(fields, "class", json_integer((json_int_t)index_of_greatest(totals, rows->n_classes))) ==
            0 &&
        json_object_size(fields) == 3)
        return fields;
    json_decref(fields);
    return NULL;
}

int class_rows_next(class_rows *rows, document *document, trouble *trouble) {
    document_free(document);
    if (rows->next == rows->n_rows)
        return 0;
    read_row(rows);
    json_t *fields = make_fields(rows);
    if (!fields) {
        trouble_set(trouble, "%s: out of memory", rows->file->name);
        return -1;
    }
    document->line_number = ++rows->next;
    document->probs = rows->values;
    document->n_models = rows->n_all_models;
    document->n_classes = rows->n_classes;
    document->has_models = rows->has_models;
    return record_take_fields(rows->file->name, document, fields, trouble) ? 1 : -1;
}
