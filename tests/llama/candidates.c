#include "candidates.h"

#include "harness.h"
#include "internal.h"

candidates candidates_of(const float *logits, size_t n) {
    candidates made = {malloc(n * sizeof *made.data), {NULL, 0, -1, false}};
    for (size_t i = 0; i < n; i++) {
        if (logits[i] != -INFINITY) {
            made.data[made.array.size++] = (llama_token_data){(llama_token)i, logits[i], 0};
        }
    }
    made.array.data = made.data;
    return made;
}

llama_token taken(const candidates *of) {
    return of->array.selected < 0 ? -1 : of->array.data[of->array.selected].id;
}

candidates apply_to(struct llama_sampler *sampler, const float *logits, size_t n) {
    candidates made = candidates_of(logits, n);
    llama_sampler_apply(sampler, &made.array);
    return made;
}

llama_token next_token(struct llama_sampler *sampler, const float *logits, size_t n) {
    candidates left = apply_to(sampler, logits, n);
    const llama_token token = taken(&left);
    llama_sampler_accept(sampler, token);
    free(left.data);
    return token;
}

double *probabilities(const candidates *left, size_t n) {
    double *p = calloc(n, sizeof *p), sum = 0;
    float greatest = -INFINITY;
    for (size_t i = 0; i < left->array.size; i++) {
        greatest = fmaxf(greatest, left->array.data[i].logit);
    }
    for (size_t i = 0; i < left->array.size; i++) {
        const double weight = exp((double)left->array.data[i].logit - (double)greatest);
        p[left->array.data[i].id] = weight;
        sum += weight;
    }
    for (size_t i = 0; i < n; i++) {
        p[i] /= sum;
    }
    return p;
}

void check_same(const candidates *ours, const candidates *peers, size_t n, double tolerance, double mass,
                const char *what) {
    double *p = probabilities(ours, n), *expected = probabilities(peers, n), worst = 0, apart = 0;
    for (size_t i = 0; i < n; i++) {
        const bool is_in_both = (p[i] > 0) == (expected[i] > 0);
        apart += is_in_both ? 0 : p[i] + expected[i];
        worst = fmax(worst, is_in_both ? fabs(p[i] - expected[i]) : 0);
    }
    CHECK_SAY(apart <= mass, "%s: tokens of %g are only in one", what, apart);
    CHECK_SAY(worst <= tolerance + apart, "%s: a probability differs by %g", what, worst);
    double of_rules = 0;
    for (size_t i = 0; i < ours->array.size; i++) {
        const llama_token_data *one = &ours->array.data[i];
        of_rules = fmax(of_rules, fabs((double)one->p - p[one->id]));
    }
    CHECK_SAY(of_rules <= 1e-5, "%s: softmax of the logits is not p, by %g", what, of_rules);
    free(p);
    free(expected);
}

struct llama_sampler *make_sampler(const char *const *rules, size_t n_rules, uint64_t seed, entrol_llama *llama) {
    char error[300] = "";
    entrol_llama_sampler_options options = ENTROL_LLAMA_SAMPLER_OPTIONS_INIT;
    options.seed = seed;
    entrol_rule_source source = ENTROL_RULE_SOURCE_INIT;
    if (llama != NULL) {
        source = entrol_llama_rules(llama);
        options.source = &source;
    }
    struct llama_sampler *sampler = entrol_llama_sampler(error, sizeof error, rules, n_rules, &options);
    if (!CHECK_SAY(sampler != NULL, "%s", error)) {
        exit(1);
    }
    return sampler;
}

void fill_row(float *logits, size_t n, double deviation) {
    for (size_t i = 0; i < n; i++) {
        logits[i] = (float)(deviation * test_normal());
    }
}

float *rows_of_model(entrol_llama *llama, const char *text, size_t *n_rows) {
    entrol_llama_token *tokens;
    size_t n_tokens;
    const float *logits;
    if (!CHECK(entrol_llama_tokenize(llama, &tokens, &n_tokens, text, strlen(text), 0) == ENTROL_OK)) {
        exit(1);
    }
    *n_rows = n_tokens < *n_rows ? n_tokens : *n_rows;
    for (size_t i = 0; i < *n_rows; i++) {
        ent_llama_push(llama, i == 0 && llama->bos >= 0 ? llama->bos : tokens[i].id, i, 0, true);
    }
    if (!CHECK(ent_llama_decode(llama, &logits) == ENTROL_OK)) {
        exit(1);
    }
    const size_t n_bytes = *n_rows * llama->n_vocab * sizeof *logits;
    float *rows = malloc(n_bytes);
    memcpy(rows, logits, n_bytes);
    ent_llama_clear(llama);
    free(tokens);
    return rows;
}
