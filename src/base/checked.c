/* Checked sizes, names in a list, and what a call does with a bad argument. */
#include "context.h"

#include <string.h>

int ent_multiply(size_t *product, size_t a, size_t b) {
    *product = a * b;
    return a == 0 || *product / a == b;
}

int ent_find_name(const char *const *names, int n_names, const char *name) {
    for (int i = 0; name && i < n_names; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

entrol_status ent_bad_argument(entrol_diagnosis *diagnosis, const char *argument) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = argument};
    return ENTROL_ERROR_ARGUMENT;
}
