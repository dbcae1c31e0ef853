/* One interface over the containers of records. */
#include "records.h"
#include "class_rows.h"
#include "container.h"
#include "record_parts.h"
#include "record_scan.h"

#include <stdlib.h>
#include <string.h>

struct records {
    char *name;
    input *input; /* of lines */
    bool owns_input;
    container *container;    /* NULL: lines */
    class_rows *rows;        /* NULL: lines */
    bool has_lines;          /* one was read */
    const uint64_t *origins; /* of each line: the line that it was made from; NULL: itself */
    document document;       /* of records_next_line */
    buffer line;             /* of records_next_line */
    buffer scratch;          /* of record_scan */
};

static records *records_new(const char *name, trouble *trouble) {
    records *made = calloc(1, sizeof *made);
    if (made)
        made->name = strdup(name);
    if (made && made->name)
        return made;
    free(made);
    trouble_set(trouble, "%s: out of memory", name);
    return NULL;
}

void records_close(records *records) {
    if (!records)
        return;
    document_free(&records->document);
    buffer_free(&records->line);
    buffer_free(&records->scratch);
    container_close(records->container);
    class_rows_close(records->rows);
    if (records->owns_input)
        input_close(records->input);
    free(records->name);
    free(records);
}

records *records_open_tensors(tensor_file *file, trouble *trouble) {
    records *made = records_new(file->name, trouble);
    if (!made) {
        tensors_close(file);
        return NULL;
    }
    made->container = container_open(file, trouble);
    if (made->container)
        return made;
    records_close(made);
    return NULL;
}

static records *open_rows(tensor_file *file, trouble *trouble) {
    records *made = records_new(file->name, trouble);
    if (!made) {
        tensors_close(file);
        return NULL;
    }
    made->rows = class_rows_open(file, trouble);
    if (made->rows)
        return made;
    records_close(made);
    return NULL;
}

static records *open_lines(input *input, trouble *trouble) {
    records *made = records_new(input_name(input), trouble);
    if (made)
        made->input = input;
    return made;
}

records *records_open_input(input *input, trouble *trouble) {
    enum { N_TOLD = 9 }; /* a header's length and its brace */
    const char *bytes;
    size_t n;
    if (!input_peek_least(input, N_TOLD, &bytes, &n, trouble))
        return NULL;
    const tensor_format format = tensor_detect((const unsigned char *)bytes, n);
    if (format == TENSOR_FORMAT_NONE)
        return open_lines(input, trouble);
    tensor_file *file = tensors_open_input(input, trouble);
    if (!file)
        return NULL;
    return format == TENSOR_FORMAT_NPY ? open_rows(file, trouble) : records_open_tensors(file, trouble);
}

records *records_open(const char *path, trouble *trouble) {
    input *input = input_open(path, trouble);
    records *made = input ? records_open_input(input, trouble) : NULL;
    if (made && made->input)
        made->owns_input = true;
    else
        input_close(input);
    return made;
}

const char *records_name(const records *records) {
    return records->name;
}

bool records_are_flat(const records *records) {
    return records->container != NULL;
}

void records_set_origins(records *records, const uint64_t *lines) {
    records->origins = lines;
}

uint64_t records_number(const records *records, const document *document) {
    return records->origins ? input_line_number(records->input) : document->line_number;
}

/* Lines that end before any document: something went wrong where they were made. */
static int note_line(records *records, int more, trouble *trouble) {
    records->has_lines = records->has_lines || more == 1;
    if (more != 0 || records->has_lines)
        return more;
    trouble_set(trouble, "%s: expected token records, found none: it is empty", records->name);
    return -1;
}

static int next_of_lines(records *records, document *document, const record_wanted *wanted, trouble *trouble) {
    const char *line;
    size_t n_bytes;
    const int more = note_line(records, record_next_line(records->input, &line, &n_bytes, trouble), trouble);
    if (more != 1) {
        document_free(document);
        return more;
    }
    const char *name = input_name(records->input);
    const uint64_t own = input_line_number(records->input);
    const uint64_t number = records->origins ? records->origins[own - 1] : own;
    return record_scan(name, number, line, n_bytes, wanted, document, &records->scratch) ||
                   record_parse(name, number, line, n_bytes, document, trouble)
               ? 1
               : -1;
}

int records_next_wanted(records *records, document *document, const record_wanted *wanted, trouble *trouble) {
    if (records->rows)
        return class_rows_next(records->rows, document, trouble);
    if (records->container)
        return container_next(records->container, document, wanted, trouble);
    return next_of_lines(records, document, wanted, trouble);
}

int records_next(records *records, document *document, trouble *trouble) {
    return records_next_wanted(records, document, &record_everything, trouble);
}

static int next_as_line(records *records, trouble *trouble) {
    int more = records_next(records, &records->document, trouble);
    if (more != 1)
        return more;
    buffer_clear(&records->line);
    record_write(&records->line, &records->document);
    if (!records->line.failed)
        return 1;
    trouble_set(trouble, "%s: out of memory", records->name);
    return -1;
}

int records_next_line(records *records, const char **line, size_t *n_bytes, trouble *trouble) {
    if (records->container || records->rows) {
        const int more = next_as_line(records, trouble);
        *line = records->line.data;
        *n_bytes = more == 1 ? records->line.size - 1 : 0;
        return more;
    }
    return note_line(records, record_next_line(records->input, line, n_bytes, trouble), trouble);
}

bool records_rewind(records *records, trouble *trouble) {
    if (records->rows)
        class_rows_rewind(records->rows);
    else if (records->container)
        container_rewind(records->container);
    else
        return input_rewind(records->input, trouble);
    return true;
}
