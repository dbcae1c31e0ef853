/* What the tasks of a call found, joined: how many rows, and the first of them. */
#include "trouble.h"

void ent_trouble_note(entrol_diagnosis *found, size_t row, size_t column, entrol_reason reason) {
    if (found->n_bad++)
        return;
    found->first_row = row;
    found->first_column = column;
    found->reason = reason;
}

void ent_trouble_begin(ent_trouble *trouble) {
    *trouble = (ent_trouble){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void ent_trouble_join(ent_trouble *trouble, const entrol_diagnosis *of_task) {
    if (!of_task->n_bad)
        return;
    pthread_mutex_lock(&trouble->lock);
    const size_t n_bad = trouble->found.n_bad;
    if (n_bad == 0 || of_task->first_row < trouble->found.first_row)
        trouble->found = *of_task;
    trouble->found.n_bad = n_bad + of_task->n_bad;
    pthread_mutex_unlock(&trouble->lock);
}

void ent_trouble_end(ent_trouble *trouble, entrol_diagnosis *diagnosis) {
    pthread_mutex_destroy(&trouble->lock);
    if (diagnosis)
        *diagnosis = trouble->found;
}
