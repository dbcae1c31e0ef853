/* Checked sizes, and what a call does with a bad argument. */
#include "context.h"

int ent_multiply(size_t *product, size_t a, size_t b) {
    *product = a * b;
    return a == 0 || *product / a == b;
}

entrol_status ent_bad_argument(entrol_diagnosis *diagnosis, const char *argument) {
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = argument};
    return ENTROL_ERROR_ARGUMENT;
}
