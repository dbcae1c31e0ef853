/* Random tokens and calls of every objective: see harness_objective.h. */
#include "harness_objective.h"

#include "harness.h"

/* Arrays in the order of entrol_tokens, and where each is in it. */
float case_data[CASE_ARRAYS][CASE_TOKENS];
uint8_t case_mask[CASE_TOKENS];
size_t case_starts[CASE_SEQUENCES + 1];
const char *const case_names[CASE_ARRAYS] = {
    "logprob",         "old_logprob", "reference_logprob", "advantage",     "entropy", "old_entropy",
    "support_entropy", "value",       "old_value",         "target_return", "weight"};

void case_fill(void) {
    for (size_t i = 0; i < CASE_TOKENS; i++) {
        case_mask[i] = test_below(6) != 0;
        for (int k = 0; k < CASE_ARRAYS; k++)
            case_data[k][i] = (float)test_normal();
        case_data[0][i] = (float)(-4 * test_uniform());
        case_data[1][i] = case_data[0][i] + 0.3f * (float)test_normal();
        case_data[2][i] = case_data[0][i] + 0.3f * (float)test_normal();
        for (int k = 4; k < 7; k++)
            case_data[k][i] = (float)(2 * test_uniform());
        case_data[10][i] = (float)(0.5 + test_uniform());
    }
    case_mask[0] = 1;
    for (size_t s = 0; s <= CASE_SEQUENCES; s++)
        case_starts[s] = s * (CASE_TOKENS / CASE_SEQUENCES);
}

entrol_tokens case_tokens(size_t first_sequence, size_t end_sequence, size_t *own_starts) {
    const size_t begin = case_starts[first_sequence], n_sequences = end_sequence - first_sequence;
    for (size_t s = 0; s <= n_sequences; s++)
        own_starts[s] = case_starts[first_sequence + s] - begin;
    const entrol_tokens tokens = {sizeof tokens,
                                  own_starts[n_sequences],
                                  case_data[0] + begin,
                                  case_data[1] + begin,
                                  case_data[2] + begin,
                                  case_data[3] + begin,
                                  case_data[4] + begin,
                                  case_data[5] + begin,
                                  case_data[6] + begin,
                                  case_data[7] + begin,
                                  case_data[8] + begin,
                                  case_data[9] + begin,
                                  case_data[10] + begin,
                                  case_mask + begin,
                                  own_starts,
                                  n_sequences,
                                  99};
    return tokens;
}

entrol_objective_record case_record(case_outputs *out, size_t begin) {
    const entrol_objective_record record = {sizeof record,          out->arrays[0] + begin, out->arrays[1] + begin,
                                            out->arrays[2] + begin, out->arrays[3] + begin, out->arrays[4] + begin,
                                            out->kept + begin};
    return record;
}

void case_blank(case_outputs *out) {
    memset(out, 0x5a, sizeof *out);
    out->result.size = sizeof out->result;
}

static const entrol_setting usual[] = {
    {"length", 50, NULL},      {"entropy_target", 0.7, NULL}, {"value_coefficient", 0.5, NULL},
    {"value_clip", 0.3, NULL}, {"kl_coefficient", 0.1, NULL}, {"entropy_coefficient", 0.02, NULL}};

/* Those of the settings that an objective has. */
size_t case_take_usual(entrol_setting *settings, const entrol_objective *objective) {
    size_t n = 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        for (size_t k = 0; k < objective->n_parameters; k++)
            if (strcmp(objective->parameters[k].name, usual[i].name) == 0)
                settings[n++] = usual[i];
    return n;
}

entrol_status case_compute(entrol_context *on, case_outputs *out, entrol_diagnosis *diagnosis,
                           const entrol_objective *objective, const entrol_tokens *tokens, size_t begin) {
    entrol_setting settings[8];
    const entrol_objective_options options = {sizeof options, settings, case_take_usual(settings, objective), 0};
    const entrol_objective_record record = case_record(out, begin);
    return entrol_objective_compute(on, &record, &out->result, diagnosis, objective, tokens, &options);
}

void case_spoil(case_outputs *out, size_t n) {
    for (int k = 0; k < 5; k++)
        for (size_t i = 0; i < n; i++)
            out->arrays[k][i] = (float)NAN;
    memset(out->kept, 0, n);
}
