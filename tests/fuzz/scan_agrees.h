/* record_scan against record_parse: what the one is sure of, the other reads the same. For the fuzz target and the test
 * with mutations. */
#ifndef SCAN_AGREES_H
#define SCAN_AGREES_H

#include "documents_agree.h"
#include "formats/record_scan.h"

#include <stdlib.h>

/* The places that one of them knows and the other looks for. */
static bool same_written(document *a, document *b) {
    buffer texts[2] = {{0}, {0}};
    document *const documents[] = {a, b};
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        ok = ok && document_add_column(documents[i], COLUMN_KEEP, 1) &&
             document_add_column(documents[i], COLUMN_WEIGHT, 1);
        record_write_with_column(&texts[i], documents[i], COLUMN_KEEP);
        record_write_with_columns(&texts[i], documents[i], COLUMN_KEEP, COLUMN_WEIGHT);
        record_write_with_columns(&texts[i], documents[i], COLUMN_WEIGHT, COLUMN_ENTROPY);
    }
    ok = ok && !texts[0].failed && texts[0].size == texts[1].size &&
         memcmp(texts[0].data, texts[1].data, texts[0].size) == 0;
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
    return ok;
}

/* Both with the same columns, one of which is entropy, for same_written. */
static bool level_columns(document *some, document *whole) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (some->columns[id].is_present != whole->columns[id].is_present)
            column_free(&whole->columns[id], whole->n_tokens);
    return some->columns[COLUMN_ENTROPY].is_present ||
           (document_add_column(some, COLUMN_ENTROPY, 1) && document_add_column(whole, COLUMN_ENTROPY, 1));
}

/* Whether record_scan is sure of the line of n bytes; *wrong: what it then makes differently, NULL for nothing. */
static bool scan_agrees(const char **wrong, const char *bytes, size_t n, const record_wanted *wanted) {
    document fast = {0}, slow = {0};
    buffer scratch = {0};
    trouble trouble = {""};
    char *line = malloc(n + 1); /* exactly as large, so that a byte more is an error */
    *wrong = line ? NULL : "memory";
    if (!line)
        return false;
    if (n > 0)
        memcpy(line, bytes, n);
    line[n] = 0;
    const bool is_sure = record_scan("scan", 1, line, n, wanted, &fast, &scratch);
    if (is_sure)
        *wrong = !record_parse("scan", 1, line, n, &slow, &trouble) ? "it should have been refused"
                 : !wanted->fields && fast.fields                   ? "fields that are not wanted"
                                                                    : compare_documents(&fast, &slow, wanted);
    if (is_sure && !*wrong && (!level_columns(&fast, &slow) || !same_written(&fast, &slow)))
        *wrong = "another line when a column is set";
    document_free(&fast);
    document_free(&slow);
    buffer_free(&scratch);
    free(line);
    return is_sure;
}

#endif
