/* Numbers as a person types them on a command line: "0.2,0.3,0.5", "1/3 1/3 1/3". */
#ifndef CLI_NUMBER_LIST_H
#define CLI_NUMBER_LIST_H

#include "message.h"

#include <stddef.h>
#include <stdint.h>

/* Numbers with commas, white space or both between them; a/b is a fraction. malloc'd; at least one. `name` is what
 * messages call the list. NaN is refused; infinities are "inf" and "-inf". */
bool number_list_reals(const char *name, const char *text, double **values, size_t *n_values, trouble *trouble);
/* Whole numbers from 0 on. */
bool number_list_counts(const char *name, const char *text, uint64_t **values, size_t *n_values, trouble *trouble);

#endif
