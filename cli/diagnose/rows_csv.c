/* Rows of CSV (RFC 4180) or TSV with a header: cells may be quoted, and hold line breaks then. */
#include "diagnose.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_CELLS = 4096 };

/* A row's cells, one behind the other in `text`, each with a NUL. */
typedef struct cells {
    buffer text;
    size_t n, starts[MOST_CELLS];
} cells;

typedef struct csv {
    const char *name, *at, *end;
    char separator;
    size_t line;
    cells header, row;
} csv;

static const char *cell(const cells *cells, size_t i) {
    return cells->text.data + cells->starts[i];
}

static bool is_among(const char *text, const char *const *words) {
    while (*words != NULL && strcasecmp(text, *words) != 0)
        words++;
    return *words != NULL;
}

/* A cell that says that there is no number. */
static bool is_missing(const char *text) {
    static const char *const words[] = {"", "na", "n/a", "null", "none", NULL};
    return is_among(text, words);
}

static bool is_no_number(const char *text) {
    static const char *const words[] = {"nan", "inf", "infinity", NULL};
    return is_among(text + (*text == '-' || *text == '+'), words);
}

/* "" where the row has none of the name. */
static const char *cell_of(const csv *csv, const char *name) {
    for (size_t i = 0; i < csv->header.n && i < csv->row.n; i++)
        if (strcmp(cell(&csv->header, i), name) == 0)
            return cell(&csv->row, i);
    return "";
}

static int csv_row_value(const void *row, const char *name, double *value) {
    const char *text = cell_of(row, name);
    char *end;
    if (is_missing(text))
        return 0;
    if (is_no_number(text))
        return VALUE_NAN;
    *value = strtod(text, &end);
    return end != text && strspn(text, "+-.0123456789eE") == strlen(text) && *end == '\0' && isfinite(*value) ? 1 : -1;
}

static void append_csv_text(buffer *out, const void *row, const char *name) {
    buffer_append_format(out, "\"%s\"", cell_of(row, name));
}

static void append_csv_names(buffer *out, const void *row) {
    const csv *csv = row;
    for (size_t i = 0; i < csv->header.n; i++)
        buffer_append_format(out, "%s%s", i > 0 ? ", " : "", cell(&csv->header, i));
}

static const row_kind csv_rows = {csv_row_value, append_csv_text, append_csv_names};

/* --- Reading --- */

static bool begin_cell(csv *csv, cells *out, trouble *trouble) {
    if (out->n == MOST_CELLS)
        return trouble_set(trouble, "%s:%zu: more than %d cells", csv->name, csv->line, MOST_CELLS);
    out->starts[out->n++] = out->text.size;
    return true;
}

/* The byte that ends a cell where none should end; as of a NUL, which no format of printf shows. */
static bool report_byte(const csv *csv, trouble *trouble) {
    char found[8];
    message_escape(found, sizeof found, csv->at, 1);
    return trouble_set(trouble, "%s:%zu: expected the end of a cell, found \"%s\"", csv->name, csv->line, found);
}

/* From behind its quote on; "" is one quote. */
static bool read_quoted(csv *csv, cells *out, trouble *trouble) {
    const size_t line = csv->line;
    for (; csv->at < csv->end; csv->at++) {
        if (*csv->at == '"' && (csv->at + 1 == csv->end || csv->at[1] != '"')) {
            csv->at++;
            return true;
        }
        csv->at += *csv->at == '"';
        csv->line += *csv->at == '\n';
        if (*csv->at == '\0')
            return report_byte(csv, trouble);
        buffer_append(&out->text, csv->at, 1);
    }
    return trouble_set(trouble, "%s:%zu: a quote that is not closed", csv->name, line);
}

static bool ends_cell(const csv *csv) {
    return csv->at == csv->end || *csv->at == csv->separator || *csv->at == '\n' || *csv->at == '\r';
}

static bool read_cell(csv *csv, cells *out, trouble *trouble) {
    if (!begin_cell(csv, out, trouble))
        return false;
    while (csv->at < csv->end && *csv->at == ' ')
        csv->at++;
    if (csv->at < csv->end && *csv->at == '"') {
        csv->at++;
        if (!read_quoted(csv, out, trouble))
            return false;
    } else {
        const char *start = csv->at;
        while (!ends_cell(csv) && *csv->at != '\0')
            csv->at++;
        const char *end = csv->at;
        while (end > start && end[-1] == ' ')
            end--;
        buffer_append(&out->text, start, (size_t)(end - start));
    }
    buffer_append(&out->text, "", 1);
    return ends_cell(csv) || report_byte(csv, trouble);
}

/* A row, and the end of its line. */
static bool read_row(csv *csv, cells *out, trouble *trouble) {
    buffer_clear(&out->text);
    out->n = 0;
    for (;;) {
        if (!read_cell(csv, out, trouble))
            return false;
        if (csv->at == csv->end || *csv->at != csv->separator)
            break;
        csv->at++;
    }
    if (csv->at < csv->end && *csv->at == '\r')
        csv->at++;
    if (csv->at < csv->end && *csv->at == '\n')
        csv->at++;
    return !out->text.failed || trouble_set(trouble, "%s: out of memory", csv->name);
}

static bool visit(csv *csv, row_visitor visitor, void *user, trouble *trouble) {
    if (!read_row(csv, &csv->header, trouble))
        return false;
    if (csv->header.n == 1 && strchr(cell(&csv->header, 0), ';') != NULL)
        return trouble_set(trouble, "%s:1: expected columns parted by commas or tabs, found \"%.400s\"", csv->name,
                           cell(&csv->header, 0));
    while (csv->at < csv->end) {
        csv->line++;
        const size_t line = csv->line;
        if (!read_row(csv, &csv->row, trouble))
            return false;
        const bool is_empty = csv->row.n == 1 && *cell(&csv->row, 0) == '\0';
        if (!is_empty && csv->row.n != csv->header.n)
            return trouble_set(trouble, "%s:%zu: expected %zu cells, as the header has, found %zu", csv->name, line,
                               csv->header.n, csv->row.n);
        if (!is_empty && !visitor(user, &csv_rows, csv, line, trouble))
            return false;
    }
    return true;
}

/* A tab in the header parts its cells. */
static char find_separator(const char *bytes, size_t n_bytes) {
    const char *newline = n_bytes > 0 ? memchr(bytes, '\n', n_bytes) : NULL;
    const size_t n = newline != NULL ? (size_t)(newline - bytes) : n_bytes;
    return n > 0 && memchr(bytes, '\t', n) != NULL ? '\t' : ',';
}

bool rows_visit_csv(const char *name, const char *bytes, size_t n_bytes, row_visitor visitor, void *user,
                    trouble *trouble) {
    csv *csv = calloc(1, sizeof *csv);
    if (csv == NULL)
        return trouble_set(trouble, "%s: out of memory", name);
    csv->name = name;
    csv->at = bytes;
    csv->end = bytes + n_bytes;
    csv->separator = find_separator(bytes, n_bytes);
    csv->line = 1;
    const bool ok = visit(csv, visitor, user, trouble);
    buffer_free(&csv->header.text);
    buffer_free(&csv->row.text);
    free(csv);
    return ok;
}
