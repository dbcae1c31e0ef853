/* "Did you mean ...?" for names that are nearly right. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

#include <stddef.h>

typedef struct suggestion {
    const char *word; /* what was given */
    const char *best; /* the closest name offered so far; NULL: none is close */
    size_t distance;
} suggestion;

suggestion suggestion_for(const char *word);
void suggestion_offer(suggestion *suggestion, const char *name);

#endif
