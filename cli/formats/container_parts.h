/* Shared by the reader and the writer of containers: which tensors there are. */
#ifndef CLI_FORMATS_CONTAINER_PARTS_H
#define CLI_FORMATS_CONTAINER_PARTS_H

#include "container.h"

#include <string.h>

#define CONTAINER_FORMAT "entrol-records-1"

/* What is stored: the columns by their column_id, and then of every document: */
enum { STORED_ID = COLUMN_COUNT, STORED_TEXT, STORED_FIELDS, STORED_COUNT };

/* The tensors of one of them: its name with these endings. */
typedef enum container_part {
    PART_VALUES,  /* "" */
    PART_OFFSET,  /* _offset */
    PART_VALID,   /* .valid */
    PART_PRESENT, /* .present */
    PART_WIDTH,   /* .width */
    PART_COUNT
} container_part;

/* One that is read. */
struct container {
    tensor_file *file;
    const tensor *document_offset;
    const tensor *parts[STORED_COUNT][PART_COUNT]; /* NULL: not there */
    size_t widths[STORED_COUNT];
    size_t n_documents, n_tokens;
    size_t next;    /* document */
    size_t n_since; /* tokens that were read since memory was released */
    buffer scratch; /* its fields */
};

static inline int64_t container_i64(const tensor *tensor, size_t index) {
    int64_t value;
    memcpy(&value, tensor->data + index * sizeof value, sizeof value);
    return value;
}

extern const char *const container_endings[PART_COUNT];

const char *container_stored_name(int stored);
column_type container_stored_type(int stored); /* strings, where it is no column */
bool container_stored_is_list(int stored);
/* Whether there can be such a tensor. */
bool container_has_part(int stored, container_part part);

#endif
