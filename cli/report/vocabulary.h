/* The strings of the tokens that occur in records, by id: the alternatives are recorded as ids. */
#ifndef CLI_REPORT_VOCABULARY_H
#define CLI_REPORT_VOCABULARY_H

#include "pieces.h"

/* Zero is empty. */
typedef struct vocabulary {
    struct vocabulary_slot {
        int64_t id;
        char *string; /* NULL: free */
    } * slots;
    size_t n_slots, n_used;
} vocabulary;

/* Learns the strings of a document's tokens and alternatives: as recorded, else from the text where one token makes
 * its piece; the first string seen for an id stays. False when memory is out. */
bool vocabulary_add_tokens(vocabulary *vocabulary, const document *document, const pieces *pieces);
/* NULL if there is none. */
const char *vocabulary_find(const vocabulary *vocabulary, int64_t id);
/* ,"vocabulary":{"ID":"STRING",...} */
void vocabulary_append_json(buffer *json, const vocabulary *vocabulary);
void vocabulary_free(vocabulary *vocabulary);

#endif
