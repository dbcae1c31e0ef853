/* One spelling for answers that differ only in case, punctuation, articles and white space.
 *
 * SQuAD's normalisation (Rajpurkar et al., arXiv 1606.05250, evaluate-v1.1.py): lower case, no punctuation, no
 * articles, single spaces; with these differences, each of which keeps apart what means two things or joins what means
 * one:
 *   - words are folded and split, and punctuation is known, beyond ASCII, too (normalise.c says which characters);
 *   - of a word with an ASCII digit, only marks at its ends go, so that 3.14, -5, 1/2 and 50% stay what they are;
 *   - an article that is the last word stays: "A" may be an answer, and "vitamin A" is no vitamin;
 *   - where nothing would be left, everything stays but case and white space. */
#ifndef CLI_ANSWERS_NORMALISE_H
#define CLI_ANSWERS_NORMALISE_H

#include "../buffer.h"

/* Appends the spelling of n_bytes of UTF-8; `word` is memory to work in. */
void answers_normalise(buffer *to, buffer *word, const char *text, size_t n_bytes);

#endif
