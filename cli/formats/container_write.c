/* Records into a container. What is stored grows in one temporary file a tensor, in the layout that it will have; a
 * tensor that only sometimes says something (.valid, .present, .width) begins when it does, with what it would have
 * said so far. */
#include "container_parts.h"
#include "container_spool.h"
#include "record_parts.h"
#include "../json_text.h"

#include <entrol/base.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A column, or id, text, fields: rows of `width` values. */
typedef struct stored {
    bool is_begun;
    size_t width;
    bool needs_64; /* an integer does not fit 32 bits */
    spool parts[PART_COUNT];
} stored;

struct container_writer {
    spool document_ends; /* in tokens */
    stored stored[STORED_COUNT];
    uint64_t n_documents, n_tokens;
    buffer scratch;
};

/* --- What tensors are made of --- */

/* Bytes of an element while it waits; integers are all I64 until it is known what they need. */
static size_t waiting_size(int id, container_part part) {
    if (part == PART_OFFSET || part == PART_WIDTH)
        return sizeof(int64_t);
    if (part != PART_VALUES)
        return 1;
    column_type type = container_stored_type(id);
    return type == COLUMN_REAL ? sizeof(float) : type == COLUMN_INTEGER ? sizeof(int64_t) : 1;
}

static bool is_narrow(const stored *stored, int id, container_part part) {
    return part == PART_VALUES && container_stored_type(id) == COLUMN_INTEGER && !stored->needs_64;
}

/* In the place of a value that is missing; NaN, so that who forgets to look at .valid notices. */
static const void *missing_value(int id) {
    static const float nan = NAN;
    static const int64_t zero = 0;
    return container_stored_type(id) == COLUMN_REAL ? (const void *)&nan : &zero;
}

static uint64_t rows_so_far(const container_writer *writer, int id) {
    return id < COLUMN_COUNT ? writer->n_tokens : writer->n_documents;
}

/* --- Growing --- */

/* Begins a part, as if it had been there from the start. */
static bool begin_part(container_writer *writer, int id, container_part part, const void *element, uint64_t n,
                       trouble *trouble) {
    spool *spool = &writer->stored[id].parts[part];
    if (spool->block)
        return true;
    return spool_begin(spool, trouble) && spool_fill(spool, element, waiting_size(id, part), n, trouble);
}

static bool begin_valid(container_writer *writer, int id, uint8_t so_far, trouble *trouble) {
    return begin_part(writer, id, PART_VALID, &so_far, rows_so_far(writer, id) * writer->stored[id].width, trouble);
}

static bool begin_present(container_writer *writer, int id, uint8_t so_far, trouble *trouble) {
    return begin_part(writer, id, PART_PRESENT, &so_far, writer->n_documents, trouble);
}

/* The first document that has it; those before it did not. */
static bool begin_stored(container_writer *writer, int id, size_t width, trouble *trouble) {
    stored *stored = &writer->stored[id];
    uint64_t n_rows = rows_so_far(writer, id);
    const int64_t zero = 0;
    stored->is_begun = true;
    stored->width = width > 0 ? width : 1;
    bool is_string = container_has_part(id, PART_OFFSET);
    if (!begin_part(writer, id, PART_VALUES, missing_value(id), is_string ? 0 : n_rows * stored->width, trouble))
        return false;
    if (is_string && !begin_part(writer, id, PART_OFFSET, &zero, n_rows * stored->width, trouble))
        return false;
    if (n_rows > 0 && container_has_part(id, PART_VALID) && !begin_valid(writer, id, 0, trouble))
        return false;
    return writer->n_documents == 0 || id >= COLUMN_COUNT || begin_present(writer, id, 0, trouble);
}

/* A document has more values a token than those before it. */
static bool widen(container_writer *writer, int id, size_t width, trouble *trouble) {
    stored *stored = &writer->stored[id];
    const uint8_t zero = 0;
    bool is_string = container_has_part(id, PART_OFFSET);
    container_part values = is_string ? PART_OFFSET : PART_VALUES;
    if (writer->n_tokens > 0) {
        int64_t so_far = (int64_t)stored->width;
        if (!begin_part(writer, id, PART_WIDTH, &so_far, writer->n_documents, trouble) ||
            !begin_valid(writer, id, 1, trouble) ||
            !spool_widen(&stored->parts[values], waiting_size(id, values), stored->width, width,
                         is_string ? NULL : missing_value(id), trouble) ||
            !spool_widen(&stored->parts[PART_VALID], 1, stored->width, width, &zero, trouble))
            return false;
    }
    stored->width = width;
    return true;
}

/* --- One document --- */

static bool append_string(container_writer *writer, int id, const char *string, trouble *trouble) {
    spool *values = &writer->stored[id].parts[PART_VALUES];
    buffer_clear(&writer->scratch);
    buffer_append_utf8(&writer->scratch, string, strlen(string));
    if (writer->scratch.failed)
        return trouble_set(trouble, "out of memory");
    if (writer->scratch.size > 0 && !spool_append(values, writer->scratch.data, writer->scratch.size, trouble))
        return false;
    int64_t end = (int64_t)values->n_bytes;
    return spool_append(&writer->stored[id].parts[PART_OFFSET], &end, sizeof end, trouble);
}

/* The value in a slot of a column; a slot that holds none: what stands for missing. */
static bool append_value(container_writer *writer, int id, const column *column, size_t slot, bool is_valid,
                         trouble *trouble) {
    stored *stored = &writer->stored[id];
    spool *values = &stored->parts[PART_VALUES];
    size_t size = waiting_size(id, PART_VALUES);
    uint8_t flag;
    switch (container_stored_type(id)) {
    case COLUMN_STRING:
        return append_string(writer, id, is_valid ? column->strings[slot] : "", trouble);
    case COLUMN_REAL:
        return spool_append(values, is_valid ? &column->reals[slot] : missing_value(id), size, trouble);
    case COLUMN_INTEGER:
        stored->needs_64 |= is_valid && column->integers[slot] != (int32_t)column->integers[slot];
        return spool_append(values, is_valid ? &column->integers[slot] : missing_value(id), size, trouble);
    case COLUMN_FLAG:
        flag = is_valid && column->integers[slot] != 0;
        return spool_append(values, &flag, size, trouble);
    }
    return false;
}

/* Rows of a column; of NULL: rows without values. */
static bool append_rows(container_writer *writer, int id, const column *column, size_t n_rows, trouble *trouble) {
    stored *stored = &writer->stored[id];
    size_t own = column ? column->width : 0;
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < stored->width; j++) {
            uint8_t is_valid = j < own && column->valid[i * own + j] != 0;
            if (!append_value(writer, id, column, i * own + j, is_valid, trouble))
                return false;
            if (stored->parts[PART_VALID].block && !spool_append(&stored->parts[PART_VALID], &is_valid, 1, trouble))
                return false;
        }
    return true;
}

/* .width and .present of a document, where there are such. */
static bool append_layout(container_writer *writer, int id, size_t own, bool is_present, trouble *trouble) {
    stored *stored = &writer->stored[id];
    int64_t width = (int64_t)own;
    uint8_t flag = is_present;
    if (stored->parts[PART_WIDTH].block && !spool_append(&stored->parts[PART_WIDTH], &width, sizeof width, trouble))
        return false;
    return !stored->parts[PART_PRESENT].block || spool_append(&stored->parts[PART_PRESENT], &flag, 1, trouble);
}

static bool has_missing(const column *column, size_t n_rows) {
    return n_rows * column->width > 0 && memchr(column->valid, 0, n_rows * column->width) != NULL;
}

static bool add_present(container_writer *writer, int id, const column *column, size_t n_rows, trouble *trouble) {
    stored *stored = &writer->stored[id];
    if (!stored->is_begun && !begin_stored(writer, id, column->width, trouble))
        return false;
    size_t own = n_rows > 0 ? column->width : stored->width; /* how wide nothing is does not matter */
    if (own > stored->width && !widen(writer, id, own, trouble))
        return false;
    int64_t so_far = (int64_t)stored->width;
    if (own < stored->width && !begin_part(writer, id, PART_WIDTH, &so_far, writer->n_documents, trouble))
        return false;
    if ((own < stored->width || has_missing(column, n_rows)) && !begin_valid(writer, id, 1, trouble))
        return false;
    return append_rows(writer, id, column, n_rows, trouble) && append_layout(writer, id, own, true, trouble);
}

static bool add_absent(container_writer *writer, int id, size_t n_rows, trouble *trouble) {
    if (!writer->stored[id].is_begun)
        return true;
    if (container_has_part(id, PART_PRESENT) && !begin_present(writer, id, 1, trouble))
        return false;
    if (n_rows > 0 && container_has_part(id, PART_VALID) && !begin_valid(writer, id, 1, trouble))
        return false;
    return append_rows(writer, id, NULL, n_rows, trouble) && append_layout(writer, id, 0, false, trouble);
}

/* The tokens that have rows: none where no column has any, as in statistics of samples. */
static size_t count_rows(const document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present)
            return document->n_tokens;
    return 0;
}

/* One string of the document; NULL: it has none. */
static bool add_string(container_writer *writer, int id, const char *string, trouble *trouble) {
    uint8_t valid = 1;
    char *strings[] = {(char *)string};
    const column column = {.is_present = true, .width = 1, .strings = strings, .valid = &valid};
    return string ? add_present(writer, id, &column, 1, trouble) : add_absent(writer, id, 1, trouble);
}

static bool add_member(container_writer *writer, int id, const document *document, trouble *trouble) {
    const json_t *member = json_object_get(document->fields, container_stored_name(id));
    const char *string = json_string_value(member);
    if (string && strlen(string) != json_string_length(member))
        return trouble_set(trouble, "%s: its %s holds a NUL", document->id ? document->id : "a document",
                           container_stored_name(id));
    return add_string(writer, id, string, trouble);
}

/* What has no tensor of its own. */
static bool is_other(const document *document, const char *key, const json_t *value) {
    bool has_own = json_is_string(value) && (strcmp(key, "id") == 0 || strcmp(key, "text") == 0);
    return !has_own && record_keeps_field(document, key, value);
}

static bool add_others(container_writer *writer, const document *document, trouble *trouble) {
    buffer text = {0};
    const char *key;
    json_t *value;
    json_object_foreach(document->fields, key, value) {
        if (!is_other(document, key, value))
            continue;
        buffer_append_string(&text, text.size > 0 ? ", " : "{");
        buffer_append_json_string(&text, key, strlen(key));
        buffer_append_string(&text, ": ");
        json_append(&text, value);
    }
    if (text.size > 0)
        buffer_append_string(&text, "}");
    bool ok = !text.failed || trouble_set(trouble, "out of memory");
    if (text.size > 0 || writer->stored[STORED_FIELDS].is_begun)
        ok = ok && add_string(writer, STORED_FIELDS, text.size > 0 ? text.data : "", trouble);
    buffer_free(&text);
    return ok;
}

container_writer *container_writer_open(trouble *trouble) {
    container_writer *made = calloc(1, sizeof *made);
    if (made && spool_begin(&made->document_ends, trouble))
        return made;
    if (!made)
        trouble_set(trouble, "out of memory");
    container_writer_close(made);
    return NULL;
}

bool container_writer_add(container_writer *writer, const document *document, trouble *trouble) {
    size_t n_rows = count_rows(document);
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const column *column = &document->columns[id];
        if (!(column->is_present ? add_present(writer, id, column, n_rows, trouble)
                                 : add_absent(writer, id, n_rows, trouble)))
            return false;
    }
    if (!add_member(writer, STORED_ID, document, trouble) || !add_member(writer, STORED_TEXT, document, trouble) ||
        !add_others(writer, document, trouble))
        return false;
    writer->n_documents++;
    writer->n_tokens += n_rows;
    int64_t end = (int64_t)writer->n_tokens;
    return spool_append(&writer->document_ends, &end, sizeof end, trouble);
}

void container_writer_close(container_writer *writer) {
    if (!writer)
        return;
    for (int id = 0; id < STORED_COUNT; id++)
        for (int part = 0; part < PART_COUNT; part++)
            spool_close(&writer->stored[id].parts[part]);
    spool_close(&writer->document_ends);
    buffer_free(&writer->scratch);
    free(writer);
}

/* --- The file --- */

/* A tensor of the file: its header is written first, then its bytes. */
typedef struct entry {
    char name[64];
    const char *dtype;
    size_t n_dimensions;
    uint64_t shape[2];
    size_t size; /* of an element */
    bool from_zero, narrow;
    spool *spool;
} entry;

enum { MAX_ENTRIES = STORED_COUNT * PART_COUNT + 1 };

static uint64_t entry_bytes(const entry *entry) {
    return entry->size * entry->shape[0] * (entry->n_dimensions == 2 ? entry->shape[1] : 1);
}

static const char *dtype_of(int id, container_part part, bool narrow) {
    size_t size = waiting_size(id, part);
    return size == 1 ? "U8" : size == sizeof(float) ? "F32" : narrow ? "I32" : "I64";
}

static entry make_entry(container_writer *writer, int id, container_part part) {
    stored *stored = &writer->stored[id];
    bool narrow = is_narrow(stored, id, part), is_string = container_has_part(id, PART_OFFSET);
    entry made = {.dtype = dtype_of(id, part, narrow),
                  .n_dimensions = 1,
                  .shape = {rows_so_far(writer, id), stored->width},
                  .size = narrow ? sizeof(int32_t) : waiting_size(id, part),
                  .from_zero = part == PART_OFFSET,
                  .narrow = narrow,
                  .spool = &stored->parts[part]};
    snprintf(made.name, sizeof made.name, "%s%s", container_stored_name(id), container_endings[part]);
    if (part == PART_OFFSET)
        made.shape[0] = made.shape[0] * stored->width + 1;
    else if (part == PART_PRESENT || part == PART_WIDTH)
        made.shape[0] = writer->n_documents;
    else if (part == PART_VALUES && is_string)
        made.shape[0] = made.spool->n_bytes;
    else if (container_stored_is_list(id))
        made.n_dimensions = 2;
    return made;
}

/* The larger elements first, so that every tensor is aligned. */
static size_t list_entries(container_writer *writer, entry *entries) {
    size_t n = 0;
    entries[n++] = (entry){.name = "document_offset",
                           .dtype = "I64",
                           .n_dimensions = 1,
                           .shape = {writer->n_documents + 1, 0},
                           .size = sizeof(int64_t),
                           .from_zero = true,
                           .spool = &writer->document_ends};
    for (size_t size = sizeof(int64_t); size > 0; size /= 2)
        for (int id = 0; id < STORED_COUNT; id++)
            for (int part = 0; part < PART_COUNT; part++) {
                if (!writer->stored[id].parts[part].block)
                    continue;
                entry made = make_entry(writer, id, (container_part)part);
                if (made.size == size)
                    entries[n++] = made;
            }
    return n;
}

static void append_header(buffer *header, const entry *entries, size_t n) {
    uint64_t at = 0;
    buffer_append_format(header, "{\"__metadata__\":{\"format\":\"%s\",\"unit\":\"nat\",\"entrol\":\"%s\"}",
                         CONTAINER_FORMAT, entrol_version());
    for (size_t i = 0; i < n; i++) {
        const entry *entry = &entries[i];
        buffer_append_format(header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%" PRIu64, entry->name, entry->dtype,
                             entry->shape[0]);
        if (entry->n_dimensions == 2)
            buffer_append_format(header, ",%" PRIu64, entry->shape[1]);
        buffer_append_format(header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + entry_bytes(entry));
        at += entry_bytes(entry);
    }
    buffer_append_string(header, "}");
    while (header->size % sizeof(int64_t) != 0 && !header->failed)
        buffer_append_string(header, " ");
}

static bool write_entry(entry *entry, output *output, trouble *trouble) {
    const int64_t zero = 0;
    return (!entry->from_zero || output_write(output, &zero, sizeof zero, trouble)) &&
           spool_copy(entry->spool, output, entry->narrow, trouble);
}

bool container_writer_finish(container_writer *writer, output *output, trouble *trouble) {
    entry entries[MAX_ENTRIES];
    buffer header = {0};
    size_t n = list_entries(writer, entries);
    append_header(&header, entries, n);
    uint64_t n_header = header.size;
    bool ok = !header.failed || trouble_set(trouble, "out of memory");
    ok = ok && output_write(output, &n_header, sizeof n_header, trouble) &&
         output_write(output, header.data, header.size, trouble);
    for (size_t i = 0; ok && i < n; i++)
        ok = write_entry(&entries[i], output, trouble);
    buffer_free(&header);
    return ok;
}

size_t container_size_of(const document *document) {
    size_t n = sizeof(int64_t) + json_string_length(json_object_get(document->fields, "text"));
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const column *column = &document->columns[id];
        size_t size = record_columns[id].type == COLUMN_FLAG ? 1 : sizeof(float); /* integers are I32, as a rule */
        n += column->is_present ? document->n_tokens * column->width * size : 0;
        for (size_t i = 0; column->strings && i < document->n_tokens * column->width; i++)
            n += column->valid[i] ? sizeof(float) + strlen(column->strings[i]) : sizeof(float);
    }
    return n;
}
