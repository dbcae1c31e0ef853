/* What the tests of objectives share: one batch of random tokens, and a call of any objective on it. */
#ifndef HARNESS_OBJECTIVE_H
#define HARNESS_OBJECTIVE_H

#include <entrol/entrol.h>

enum { CASE_TOKENS = 3000, CASE_SEQUENCES = 60, CASE_ARRAYS = 11 };

/* Arrays in the order of entrol_tokens. */
extern float case_data[CASE_ARRAYS][CASE_TOKENS];
extern uint8_t case_mask[CASE_TOKENS];
extern size_t case_starts[CASE_SEQUENCES + 1];
extern const char *const case_names[CASE_ARRAYS];

/* Everything that comes out. */
typedef struct case_outputs {
    float arrays[5][CASE_TOKENS];
    uint8_t kept[CASE_TOKENS];
    entrol_objective_result result;
} case_outputs;

void case_fill(void);
entrol_tokens case_tokens(size_t first_sequence, size_t end_sequence, size_t *own_starts);
entrol_objective_record case_record(case_outputs *out, size_t begin);
void case_blank(case_outputs *out);
/* What is left of n tokens where there is no loss: NaN at every token, and no result. */
void case_spoil(case_outputs *out, size_t n);
/* Those of a few settings that an objective has. */
size_t case_take_usual(entrol_setting *settings, const entrol_objective *objective);
entrol_status case_compute(entrol_context *on, case_outputs *out, entrol_diagnosis *diagnosis,
                           const entrol_objective *objective, const entrol_tokens *tokens, size_t begin);

#endif
