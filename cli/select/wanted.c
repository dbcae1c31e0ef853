/* What a selection needs of documents. The less it is, the faster lines are read. */
#include "select.h"

#include <string.h>

#define BYTES (COLUMN_BIT(COLUMN_BYTE_START) | COLUMN_BIT(COLUMN_BYTE_END))

static record_wanted only(column_set columns, bool fields) {
    return (record_wanted){.columns = columns, .fields = fields};
}

static bool is_column(const char *field) {
    return field != NULL && record_find_column(field, strlen(field)) < COLUMN_COUNT;
}

/* The values of one name, or where an entropy is not known, its bounds. */
static record_wanted values_of(const char *by) {
    const column_set bounds = COLUMN_BIT(COLUMN_ENTROPY_LOWER) | COLUMN_BIT(COLUMN_ENTROPY_UPPER);
    const column_set columns = record_columns_of(by);
    const bool has_bounds = strcmp(by, "entropy") == 0;
    record_wanted wanted = only(columns | (has_bounds ? bounds : 0), false);
    wanted.least[0] = columns;
    wanted.least[1] = has_bounds ? bounds : columns;
    return wanted;
}

record_wanted select_wanted_values(const select_settings *settings) {
    const char *of = settings->of_samples ? sample_statistic_of(settings->by) : settings->by;
    if (is_column(settings->unique) || is_column(settings->group))
        return record_whole_line;
    const bool is_place = of != NULL && strcmp(of, "position") == 0; /* of any column */
    if (settings->references.n_items > 0 || of == NULL || is_place || !document_has_values_of(of))
        return record_everything;
    record_wanted wanted = values_of(of);
    wanted.fields = settings->unique != NULL || settings->group != NULL;
    return wanted;
}

record_wanted select_wanted_output(const select_settings *settings, bool is_container) {
    if (settings->explain)
        return only(BYTES, true);
    if (is_container)
        return record_everything;
    if (strcmp(settings->emit, "spans") == 0)
        return only(BYTES, true);
    if (strcmp(settings->emit, "labels") == 0 || strcmp(settings->emit, "trl") == 0)
        return only(BYTES | COLUMN_BIT(COLUMN_TOKEN_ID), true);
    return (record_wanted){.is_written = true};
}

record_wanted select_wanted_both(const select_settings *settings, bool is_container) {
    const record_wanted output = select_wanted_output(settings, is_container);
    record_wanted both = select_wanted_values(settings);
    both.columns |= output.columns;
    both.fields |= output.fields;
    both.is_written |= output.is_written;
    return both;
}
