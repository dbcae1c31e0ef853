/* One loop over the words of a list, and a reader for each type of number. */
#include "number_list.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SEPARATORS[] = " \t\r\n,";

/* Each reads one word of `length` bytes into slot `slot`. */
typedef bool (*word_reader)(const char *word, size_t length, void *values, size_t slot);

static bool read_real(const char *word, size_t length, void *values, size_t slot) {
    char *end;
    double value = strtod(word, &end);
    if (end != word && *end == '/') {
        const char *divisor = end + 1;
        value /= strtod(divisor, &end);
        if (end == divisor)
            return false;
    }
    ((double *)values)[slot] = value;
    return end == word + length && !isnan(value);
}

static bool read_count(const char *word, size_t length, void *values, size_t slot) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(word, &end, 10);
    ((uint64_t *)values)[slot] = value;
    return *word >= '0' && *word <= '9' && errno == 0 && end == word + length;
}

/* Commas part numbers one by one: nothing between two of them is an error, not a number left out. */
static size_t skip_separators(const char *text, bool *has_empty) {
    size_t n = strspn(text, SEPARATORS);
    size_t commas = 0;
    for (size_t i = 0; i < n; i++)
        commas += text[i] == ',';
    *has_empty |= commas > 1;
    return n;
}

static void *read_list(const char *name, const char *text, size_t *n_values, const char *expected, word_reader read,
                       trouble *trouble) {
    /* Each number takes two bytes of text at least, with what parts it from the next. */
    void *values = malloc((strlen(text) / 2 + 1) * 8);
    if (!values) {
        trouble_set(trouble, "%s: out of memory", name);
        return NULL;
    }
    bool has_empty = false;
    *n_values = 0;
    text += strspn(text, " \t\r\n");
    while (*text && *text != ',' && !has_empty) {
        size_t length = strcspn(text, SEPARATORS);
        if (!read(text, length, values, *n_values)) {
            trouble_set(trouble, "%s: expected %s as number %zu, found \"%.*s\"", name, expected, *n_values + 1,
                        length < 60 ? (int)length : 60, text);
            free(values);
            return NULL;
        }
        ++*n_values;
        text += length;
        text += skip_separators(text, &has_empty);
    }
    if (*n_values > 0 && !*text && !has_empty)
        return values;
    trouble_set(trouble, "%s: expected %s as number %zu, found nothing", name, expected, *n_values + 1);
    free(values);
    return NULL;
}

bool number_list_reals(const char *name, const char *text, double **values, size_t *n_values, trouble *trouble) {
    *values = read_list(name, text, n_values, "a number", read_real, trouble);
    return *values != NULL;
}

bool number_list_counts(const char *name, const char *text, uint64_t **values, size_t *n_values, trouble *trouble) {
    *values = read_list(name, text, n_values, "a whole number", read_count, trouble);
    return *values != NULL;
}
