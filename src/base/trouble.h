/* The rows in trouble of a call, and of one whose tasks run side by side. */
#ifndef ENT_BASE_TROUBLE_H
#define ENT_BASE_TROUBLE_H

#include <entrol/base.h>

#include <pthread.h>

/* Counts a row in trouble, the first of which is kept; rows come in their order. */
void ent_trouble_note(entrol_diagnosis *found, size_t row, size_t column, entrol_reason reason);

/* The rows in trouble of a call, from all its tasks. */
typedef struct ent_trouble {
    pthread_mutex_t lock;
    entrol_diagnosis found;
} ent_trouble;

void ent_trouble_begin(ent_trouble *trouble);
void ent_trouble_join(ent_trouble *trouble, const entrol_diagnosis *of_task);
/* Fills the diagnosis; NULL: not wanted. */
void ent_trouble_end(ent_trouble *trouble, entrol_diagnosis *diagnosis);

#endif
