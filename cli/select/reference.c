/* --reference: records of the same documents under another model, read beside them. */
#include "select.h"

#include "../formats/manifest.h"
#include "../json_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct select_reference {
    const string_list *paths;
    size_t next;      /* path to open */
    uint64_t n_given; /* documents */
    select_recorded *recorded;
    input *input;
    select_log log; /* what the input is */
    records *records;
    document document;
};

select_reference *select_reference_open(const string_list *paths, select_recorded *recorded, trouble *trouble) {
    select_reference *reference = calloc(1, sizeof(*reference));
    if (reference == NULL) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    reference->paths = paths;
    reference->recorded = recorded;
    return reference;
}

static void close_input(select_reference *reference) {
    document_free(&reference->document);
    records_close(reference->records);
    select_log_free(&reference->log);
    input_close(reference->input);
    reference->records = NULL;
    reference->input = NULL;
}

/* A log is read twice, first to see that it is one. */
static bool open_input(select_reference *reference, const char *path, trouble *trouble) {
    reference->input = input_open_twice(path, trouble);
    if (reference->input == NULL || !select_log_look(&reference->log, reference->recorded, reference->input, trouble))
        return false;
    reference->records = select_log_records(&reference->log, reference->recorded, path, reference->input, trouble);
    return reference->records != NULL;
}

void select_reference_close(select_reference *reference) {
    if (reference == NULL)
        return;
    close_input(reference);
    free(reference);
}

/* 1, 0 after the last file's last document, -1 for trouble. */
static int read_next(select_reference *reference, trouble *trouble) {
    for (;;) {
        const int more =
            reference->records != NULL ? records_next(reference->records, &reference->document, trouble) : 0;
        if (more != 0 || reference->next == reference->paths->n_items)
            return more;
        close_input(reference);
        if (!open_input(reference, reference->paths->items[reference->next++], trouble))
            return -1;
    }
}

static bool differ(const select_reference *reference, const records *records, const document *other, trouble *trouble,
                   const char *what) {
    return trouble_set(trouble, "%s:%" PRIu64 " (%s) and %s:%" PRIu64 " (%s), its reference, differ: %s",
                       records_name(records), other->line_number, other->id, records_name(reference->records),
                       reference->document.line_number, reference->document.id, what);
}

/* Where both say what they are of, it is the same. */
static bool same_document(const document *a, const document *b) {
    const json_t *id = json_object_get(a->fields, "id"), *other = json_object_get(b->fields, "id");
    return id == NULL || other == NULL || json_equal(id, other);
}

static bool same_text(const document *a, const document *b) {
    return a->text == NULL || b->text == NULL ||
           (a->text_size == b->text_size && memcmp(a->text, b->text, a->text_size) == 0);
}

static bool same_tokens(const document *a, const document *b) {
    const column *ids = &a->columns[COLUMN_TOKEN_ID], *others = &b->columns[COLUMN_TOKEN_ID];
    if (!ids->is_present || !others->is_present)
        return true;
    return memcmp(ids->integers, others->integers, a->n_tokens * sizeof(*ids->integers)) == 0;
}

const document *select_reference_next(select_reference *reference, const records *records, const document *other,
                                      bool aligned, trouble *trouble) {
    const int more = read_next(reference, trouble);
    if (more == 0)
        trouble_set(trouble, "%s:%" PRIu64 " (%s): --reference has no document for it: it ends after %" PRIu64,
                    records_name(records), other->line_number, other->id, reference->n_given);
    if (more != 1)
        return NULL;
    reference->n_given++;
    const document *own = &reference->document;
    const char *what = !same_document(other, own)         ? "their ids are not the same"
                       : !aligned                         ? NULL
                       : other->n_tokens != own->n_tokens ? "they have not as many tokens"
                       : !same_text(other, own)           ? "their texts are not the same"
                       : !same_tokens(other, own)         ? "their token_id are not the same"
                                                          : NULL;
    if (what != NULL)
        differ(reference, records, other, trouble, what);
    return what == NULL ? own : NULL;
}

bool select_reference_finish(select_reference *reference, trouble *trouble) {
    const int more = read_next(reference, trouble);
    if (more == 1)
        trouble_set(trouble, "%s:%" PRIu64 " (%s): --reference has more documents than there are to select from",
                    records_name(reference->records), reference->document.line_number, reference->document.id);
    return more == 0;
}

/* The columns that a reference gives, and what it has them from. */
static const column_id given[2] = {COLUMN_REFERENCE_LOGPROB, COLUMN_REFERENCE_ENTROPY};
static const column_id taken_from[2] = {COLUMN_LOGPROB, COLUMN_ENTROPY};

void select_lend_reference(document *document, const struct document *other, column own[2]) {
    for (size_t i = 0; i < 2; i++) {
        own[i] = document->columns[given[i]];
        document->columns[given[i]] = other->columns[taken_from[i]];
    }
}

void select_return_reference(document *document, const column own[2]) {
    for (size_t i = 0; i < 2; i++)
        document->columns[given[i]] = own[i];
}

static json_t *reference_json(const char *path, trouble *trouble) {
    struct stat status;
    char hex[65];
    const bool is_file = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    if (is_file && !manifest_hash_file(hex, path, trouble))
        return NULL;
    json_t *item = json_object(), *beside = is_file ? manifest_read(path, trouble) : NULL;
    json_object_set_new(item, "path", json_string_of(path));
    json_object_set_new(item, "sha256", is_file ? json_string(hex) : json_null());
    json_object_set_new(item, "manifest", beside != NULL ? beside : json_null());
    return item;
}

json_t *select_references_json(const string_list *paths, trouble *trouble) {
    trouble->text[0] = '\0';
    json_t *list = paths->n_items > 0 ? json_array() : NULL;
    for (size_t i = 0; i < paths->n_items && trouble->text[0] == '\0'; i++)
        json_array_append_new(list, reference_json(paths->items[i], trouble));
    return list;
}
