/* --reference: records of the same documents under another model, read beside them. */
#include "select.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct select_reference {
    const string_list *paths;
    size_t next;      /* path to open */
    uint64_t n_given; /* documents */
    records *records;
    document document;
};

select_reference *select_reference_open(const string_list *paths, trouble *trouble) {
    select_reference *reference = calloc(1, sizeof(*reference));
    if (reference == NULL) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    reference->paths = paths;
    return reference;
}

void select_reference_close(select_reference *reference) {
    if (reference == NULL)
        return;
    document_free(&reference->document);
    records_close(reference->records);
    free(reference);
}

/* 1, 0 after the last file's last document, -1 for trouble. */
static int read_next(select_reference *reference, trouble *trouble) {
    for (;;) {
        const int more =
            reference->records != NULL ? records_next(reference->records, &reference->document, trouble) : 0;
        if (more != 0 || reference->next == reference->paths->n_items)
            return more;
        document_free(&reference->document);
        records_close(reference->records);
        reference->records = records_open(reference->paths->items[reference->next++], trouble);
        if (reference->records == NULL)
            return -1;
    }
}

static bool differ(const select_reference *reference, const records *records, const document *other, trouble *trouble,
                   const char *what) {
    return trouble_set(trouble, "%s:%" PRIu64 " (%s) and %s:%" PRIu64 " (%s), its reference, differ: %s",
                       records_name(records), other->line_number, other->id, records_name(reference->records),
                       reference->document.line_number, reference->document.id, what);
}

/* Both have ids of their own, or what was scored. */
static bool same_document(const document *a, const document *b) {
    const json_t *id = json_object_get(a->fields, "id"), *other = json_object_get(b->fields, "id");
    return id == NULL || other == NULL || json_equal(id, other);
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
    const bool ok =
        same_document(other, &reference->document)
            ? !aligned || (other->n_tokens == reference->document.n_tokens
                               ? same_tokens(other, &reference->document) ||
                                     differ(reference, records, other, trouble, "their token_id are not the same")
                               : differ(reference, records, other, trouble, "they have not as many tokens"))
            : differ(reference, records, other, trouble, "their ids are not the same");
    return ok ? &reference->document : NULL;
}

bool select_reference_finish(select_reference *reference, trouble *trouble) {
    const int more = read_next(reference, trouble);
    if (more == 1)
        trouble_set(trouble, "%s:%" PRIu64 " (%s): --reference has more documents than there are to select from",
                    records_name(reference->records), reference->document.line_number, reference->document.id);
    return more == 0;
}

/* Takes over one column under another name. */
static bool add_column(document *document, column_id id, const struct document *other, column_id from) {
    const column *source = &other->columns[from];
    if (!source->is_present || document->columns[id].is_present)
        return true;
    if (!document_add_column(document, id, 1))
        return false;
    column *column = &document->columns[id];
    memcpy(column->reals, source->reals, document->n_tokens * sizeof(*column->reals));
    memcpy(column->valid, source->valid, document->n_tokens);
    return true;
}

bool select_add_reference(document *document, const struct document *other, trouble *trouble) {
    return (add_column(document, COLUMN_REFERENCE_LOGPROB, other, COLUMN_LOGPROB) &&
            add_column(document, COLUMN_REFERENCE_ENTROPY, other, COLUMN_ENTROPY)) ||
           trouble_set(trouble, "out of memory");
}
