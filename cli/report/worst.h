/* The worst tokens of all documents, each with the text around it and what the model expected. */
#ifndef CLI_REPORT_WORST_H
#define CLI_REPORT_WORST_H

#include "measure.h"
#include "terminal.h"
#include "vocabulary.h"

typedef struct worst_token {
    double value; /* larger is worse */
    char *text;   /* its two lines */
} worst_token;

typedef struct worst_tokens {
    worst_token *items; /* worst first */
    size_t n_items, n_most;
    bool has_alternatives;
    vocabulary vocabulary;
} worst_tokens;

bool worst_make(worst_tokens *worst, size_t n_most);
/* Takes in a document's pieces. False when memory is out. */
bool worst_add(worst_tokens *worst, const document *document, const pieces *pieces, const float *values,
               const scale *scale, const painter *painter);
void worst_append(buffer *out, const worst_tokens *worst, const scale *scale);
void worst_free(worst_tokens *worst);

#endif
