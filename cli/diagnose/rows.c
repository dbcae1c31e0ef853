/* Rows of a run's log, from TRL's trainer_state.json and from JSON Lines. CSV is in rows_csv.c. */
#include "diagnose.h"

#include "../json_text.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* --- JSON's rows --- */

/* What an object has under this name, or under its parts in objects within it: "policy/entropy", "policy.entropy". */
static const json_t *find_nested(const json_t *object, const char *name) {
    const json_t *found = json_object_get(object, name);
    for (const char *at = strpbrk(name, "/."); found == NULL && at != NULL; at = strpbrk(at + 1, "/.")) {
        const json_t *inner = json_object_getn(object, name, (size_t)(at - name));
        if (json_is_object(inner))
            found = find_nested(inner, at + 1);
    }
    return found;
}

/* verl has what was logged in "data", beside "step". */
static const json_t *find_value(const json_t *row, const char *name) {
    const json_t *data = json_object_get(row, "data");
    const json_t *found = json_is_object(data) ? find_nested(data, name) : NULL;
    return found != NULL ? found : find_nested(row, name);
}

/* Python's names for what is no number of JSON. */
static const char *const words_of_python[] = {"NaN", "-Infinity", "Infinity"};
enum { N_WORDS = sizeof words_of_python / sizeof words_of_python[0] };

static bool is_word_of_python(const json_t *value) {
    const char *text = json_string_value(value);
    for (size_t i = 0; text != NULL && i < N_WORDS; i++)
        if (strcmp(text, words_of_python[i]) == 0)
            return true;
    return false;
}

static int json_row_value(const void *row, const char *name, double *value) {
    const json_t *found = find_value(row, name);
    if (found == NULL || json_is_null(found))
        return 0;
    if (is_word_of_python(found))
        return VALUE_NAN;
    if (!json_is_number(found))
        return -1;
    *value = json_number_value(found);
    return VALUE_NUMBER;
}

static void append_json_text(buffer *out, const void *row, const char *name) {
    json_append(out, find_value(row, name));
}

/* Of the objects within it, too, `prefix` first. */
static void append_keys(buffer *out, const json_t *object, const char *prefix) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        buffer full = {0};
        buffer_append_format(&full, "%s%s%s", prefix, *prefix != '\0' ? "/" : "", name);
        const char *path = full.data != NULL ? full.data : name;
        if (json_is_object(value))
            append_keys(out, value, *prefix == '\0' && strcmp(name, "data") == 0 ? "" : path);
        else
            buffer_append_format(out, "%s%s", out->size > 0 ? ", " : "", path);
        buffer_free(&full);
    }
}

static void append_json_names(buffer *out, const void *row) {
    append_keys(out, row, "");
}

static const row_kind json_rows = {json_row_value, append_json_text, append_json_names};

/* Python writes NaN and infinities by names that JSON has not: they become strings. */
static size_t word_of_python(const char *at, const char *end) {
    for (size_t i = 0; i < N_WORDS; i++) {
        const size_t n = strlen(words_of_python[i]);
        if ((size_t)(end - at) >= n && memcmp(at, words_of_python[i], n) == 0)
            return n;
    }
    return 0;
}

static void append_without_python(buffer *out, const char *bytes, size_t n_bytes) {
    const char *end = bytes + n_bytes, *from = bytes;
    bool in_string = false;
    for (const char *at = bytes; at < end;) {
        const size_t n_word = in_string ? 0 : word_of_python(at, end);
        size_t n = n_word > 0 ? n_word : 1;
        if (in_string && *at == '\\' && at + 1 < end) {
            n = 2;
        } else if (*at == '"') {
            in_string = !in_string;
        } else if (n_word > 0) {
            buffer_append(out, from, (size_t)(at - from));
            buffer_append_format(out, "\"%.*s\"", (int)n, at);
            from = at + n;
        }
        at += n;
    }
    buffer_append(out, from, (size_t)(end - from));
}

static json_t *read_value(const char *name, size_t number, const char *bytes, size_t n_bytes, trouble *trouble) {
    buffer plain = {0};
    append_without_python(&plain, bytes, n_bytes);
    json_t *value = NULL;
    if (plain.failed)
        trouble_set(trouble, "%s: out of memory", name);
    else
        value = json_read_value(name, number, plain.data != NULL ? plain.data : "", plain.size, trouble);
    buffer_free(&plain);
    return value;
}

/* --- trainer_state.json --- */

static bool visit_history(const char *name, const json_t *history, row_visitor visitor, void *user, trouble *trouble) {
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *entry = json_array_get(history, i);
        if (!json_is_object(entry))
            return trouble_set(trouble, "%s: expected objects in log_history, found %s as entry %zu", name,
                               json_kind(entry), i + 1);
        if (!visitor(user, &json_rows, entry, i + 1, trouble))
            return false;
    }
    return true;
}

static bool visit_document(const char *name, const char *bytes, size_t n_bytes, row_visitor visitor, void *user,
                           trouble *trouble) {
    json_t *document = read_value(name, 0, bytes, n_bytes, trouble);
    if (document == NULL)
        return false;
    const json_t *history = json_is_array(document) ? document : json_object_get(document, "log_history");
    const bool ok = json_is_array(history)
                        ? visit_history(name, history, visitor, user, trouble)
                        : trouble_set(trouble,
                                      "%s: expected a \"log_history\", as TRL's trainer_state.json has, found "
                                      "%s without one",
                                      name, json_kind(document));
    json_decref(document);
    return ok;
}

/* --- JSON Lines --- */

static bool is_blank(const char *bytes, size_t n_bytes) {
    while (n_bytes > 0 && isspace((unsigned char)bytes[n_bytes - 1]))
        n_bytes--;
    return n_bytes == 0;
}

static size_t line_length(const char *bytes, size_t n_bytes) {
    const char *newline = n_bytes > 0 ? memchr(bytes, '\n', n_bytes) : NULL;
    return newline != NULL ? (size_t)(newline - bytes) : n_bytes;
}

static bool visit_lines(const char *name, const char *bytes, size_t n_bytes, row_visitor visitor, void *user,
                        size_t *cut_line, trouble *trouble) {
    for (size_t number = 1, at = 0; at < n_bytes; number++) {
        const size_t n = line_length(bytes + at, n_bytes - at);
        const bool is_unended = at > 0 && at + n == n_bytes;
        json_t *row = NULL;
        bool ok = is_blank(bytes + at, n);
        if (!ok && (row = read_value(name, number, bytes + at, n, trouble)) != NULL) {
            ok = json_is_object(row)
                     ? visitor(user, &json_rows, row, number, trouble)
                     : trouble_set(trouble, "%s:%zu: expected a JSON object, found %s", name, number, json_kind(row));
            json_decref(row);
        } else if (!ok && is_unended) {
            *cut_line = number;
            ok = true;
        }
        if (!ok)
            return false;
        at += n + 1;
    }
    return true;
}

/* A document goes on behind its first line, or is an object with a log_history. */
static bool is_document(const char *bytes, size_t n_bytes) {
    const size_t n = line_length(bytes, n_bytes);
    trouble unused;
    if (*bytes == '[')
        return true;
    json_t *first = read_value("", 1, bytes, n, &unused);
    const bool is_whole = json_is_object(first), has_history = json_object_get(first, "log_history") != NULL;
    json_decref(first);
    /* A line that is broken, where others follow that are whole lines, is one of JSON Lines and no document. */
    const bool is_brace = is_blank(bytes + 1, n > 0 ? n - 1 : 0);
    return is_whole ? has_history : is_brace || memmem(bytes, n_bytes, "\"log_history\"", 13) != NULL;
}

bool rows_visit(const char *name, const char *bytes, size_t n_bytes, row_visitor visitor, void *user, size_t *cut_line,
                trouble *trouble) {
    *cut_line = 0;
    size_t start = n_bytes >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, first;
    for (first = start; first < n_bytes && isspace((unsigned char)bytes[first]);)
        first++;
    if (first == n_bytes)
        return trouble_set(trouble, "%s: expected the log of a run, found nothing", name);
    if (bytes[first] != '{' && bytes[first] != '[')
        return rows_visit_csv(name, bytes + start, n_bytes - start, visitor, user, trouble);
    if (is_document(bytes + first, n_bytes - first))
        return visit_document(name, bytes + start, n_bytes - start, visitor, user, trouble);
    return visit_lines(name, bytes + start, n_bytes - start, visitor, user, cut_line, trouble);
}
