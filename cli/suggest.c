/* The Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and swaps of
 * neighbours, the four slips of a typing hand. */
#include "suggest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 40 };

static size_t smallest(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b) {
    size_t rows[LONGEST + 1][LONGEST + 1];
    for (size_t i = 0; i <= n_a; i++)
        rows[i][0] = i;
    for (size_t j = 0; j <= n_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n_a; i++)
        for (size_t j = 1; j <= n_b; j++) {
            size_t cost = a[i - 1] != b[j - 1];
            size_t best = smallest(rows[i - 1][j - 1] + cost, smallest(rows[i - 1][j], rows[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = smallest(best, rows[i - 2][j - 2] + 1);
            rows[i][j] = best;
        }
    return rows[n_a][n_b];
}

suggestion suggestion_for(const char *word) {
    return (suggestion){word, NULL, SIZE_MAX};
}

void suggestion_offer(suggestion *suggestion, const char *name) {
    size_t n_word = strlen(suggestion->word), n_name = strlen(name);
    if (n_word < 2 || n_word > LONGEST || n_name > LONGEST)
        return;
    /* A third of the word may be wrong; a word cut short is always close to its whole. */
    size_t d = distance(suggestion->word, n_word, name, n_name);
    if (n_word >= 3 && strncmp(name, suggestion->word, n_word) == 0)
        d = 1;
    if (d <= (n_word + 2) / 3 && d < suggestion->distance) {
        suggestion->best = name;
        suggestion->distance = d;
    }
}
