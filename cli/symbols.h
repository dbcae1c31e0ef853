/* How often each symbol of a text occurs: bytes, characters or words. */
#ifndef CLI_SYMBOLS_H
#define CLI_SYMBOLS_H

#include "input.h"

typedef enum symbol_kind {
    SYMBOL_BYTES,
    SYMBOL_CHARACTERS, /* Unicode code points of UTF-8 text */
    SYMBOL_WORDS       /* maximal runs of characters that are not white space */
} symbol_kind;

typedef struct symbol_counts {
    uint64_t *counts; /* of the symbols that occur; malloc'd, in an order that depends on the text alone */
    size_t n_symbols;
    uint64_t n_total;
} symbol_counts;

/* Reads the input to its end. */
bool symbols_count(symbol_counts *counts, input *input, symbol_kind kind, trouble *trouble);

#endif
