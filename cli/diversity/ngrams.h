/* How much samples repeat one another, and themselves: n-grams of units, which are tokens or words.
 *
 * distinct-n: Li et al., arXiv 1510.03055; self-BLEU: Zhu et al., arXiv 1802.01886; seq-rep-n: Welleck et al., arXiv
 * 1908.04319. Nothing is hashed: n-grams are numbered by sorting, so that all counts are exact, and the time is linear
 * in the units. */
#ifndef CLI_DIVERSITY_NGRAMS_H
#define CLI_DIVERSITY_NGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NGRAM_ORDERS = 4 };

/* NaN where there is no such value. */
typedef struct ngram_measures {
    /* Of n = 1 to 4: different n-grams / n-grams, over all samples; NaN of no n-gram. */
    double distinct[NGRAM_ORDERS];
    /* The mean over the samples of BLEU-4 with all others as its references, as NLTK's sentence_bleu has it: clipped
     * counts, the length of the closest reference, a count of 0 as 0.1 (method1, as in the authors' program), 0 without
     * a common unit. NaN of fewer than two samples. */
    double self_bleu;
    /* The mean over the samples with four units or more of 1 - different 4-grams / 4-grams; NaN of none. */
    double repetition;
} ngram_measures;

/* Sample i is units[starts[i]] to before units[starts[i + 1]]; at most 2^32 units and as many samples. False: out of
 * memory. */
bool ngrams_measure(ngram_measures *measures, const uint32_t *units, const size_t *starts, size_t n_samples);

#endif
