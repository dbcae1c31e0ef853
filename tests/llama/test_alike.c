/* Each of Entrol's rules that llama.cpp has too, as a llama.cpp sampler, keeps what llama.cpp's own keeps. */
#include "harness.h"

#include "candidates.h"
#include "tiny_model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Rows to sample from: random ones, or a model's. */
typedef struct rows {
    float *logits;
    size_t n_rows, n;
} rows;

static rows random_rows(size_t n_rows, size_t n) {
    const rows made = {malloc(n_rows * n * sizeof(float)), n_rows, n};
    for (size_t i = 0; i < n_rows; i++) {
        fill_row(made.logits + i * n, n, 0.5 + 0.5 * (double)(i % 8));
    }
    return made;
}

/* The model of ENTROL_MODEL, else a tiny one. */
static entrol_llama *open_model(void) {
    char error[500];
    entrol_llama *llama = NULL;
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    const char *path = getenv("ENTROL_MODEL");
    options.model_path =
        path != NULL && path[0] != '\0' ? path : tiny_model_write(&(tiny_model){.wants_bos = true, .seed = 3});
    options.n_ctx = 64;
    options.n_threads = 1;
    if (!CHECK_SAY(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_OK, "%s", error)) {
        exit(1);
    }
    return llama;
}

static rows model_rows(void) {
    entrol_llama *llama = open_model();
    rows made = {NULL, is_quick() ? 3 : 24, entrol_llama_n_vocab(llama)};
    made.logits = rows_of_model(llama,
                                "Alice was beginning to get very tired of sitting by her sister on the bank, and of "
                                "having nothing to do: once or twice she had peeped into the book.",
                                &made.n_rows);
    entrol_llama_close(llama);
    return made;
}

static struct llama_sampler *peer_greedy(void) {
    return llama_sampler_init_greedy();
}
static struct llama_sampler *peer_temp(void) {
    return llama_sampler_init_temp(0.7f);
}
static struct llama_sampler *peer_temp_ext(void) {
    return llama_sampler_init_temp_ext(0.9f, 0.5f, 1.3f);
}
static struct llama_sampler *peer_temp_ext_wide(void) {
    return llama_sampler_init_temp_ext(0.5f, 0.8f, 1);
}
static struct llama_sampler *peer_top_k(void) {
    return llama_sampler_init_top_k(40);
}
static struct llama_sampler *peer_top_p(void) {
    return llama_sampler_init_top_p(0.9f, 0);
}
static struct llama_sampler *peer_min_p(void) {
    return llama_sampler_init_min_p(0.05f, 0);
}
static struct llama_sampler *peer_typical(void) {
    return llama_sampler_init_typical(0.95f, 0);
}
static struct llama_sampler *peer_sigma(void) {
    return llama_sampler_init_top_n_sigma(1.5f);
}

/* llama.cpp computes in f32, and sums a vocabulary of 262,144 up one by one: how far its probabilities may then be off
 * (of short rows 1e-5), and the mass of tokens that only one keeps, as their place in the order hangs on a last digit.
 */
static const struct {
    const char *rule;
    struct llama_sampler *(*peer)(void);
    double tolerance, mass;
} alike[] = {
    {"temperature=0.7", peer_temp, 1e-5, 0},
    {"dynamic-temperature=0.9,range=0.5,exponent=1.3", peer_temp_ext, 5e-4, 0},
    {"dynamic-temperature=0.5,range=0.8", peer_temp_ext_wide, 5e-4, 0},
    {"top-k=40", peer_top_k, 1e-5, 0},
    {"top-p=0.9", peer_top_p, 1e-5, 1e-3},
    {"min-p=0.05", peer_min_p, 1e-5, 0},
    {"typical=0.95", peer_typical, 1e-5, 5e-3},
    {"top-n-sigma=1.5", peer_sigma, 1e-5, 0},
};

static void check_alike(const rows *of, size_t i) {
    const bool is_long = of->n > 100000;
    struct llama_sampler *ours = make_sampler(&alike[i].rule, 1, 1, NULL), *peer = alike[i].peer();
    for (size_t row = 0; row < of->n_rows; row++) {
        const float *logits = of->logits + row * of->n;
        candidates left = apply_to(ours, logits, of->n), peers = apply_to(peer, logits, of->n);
        check_same(&left, &peers, of->n, is_long ? alike[i].tolerance : 1e-5, alike[i].mass, alike[i].rule);
        CHECK(left.array.selected >= 0 && !left.array.sorted);
        free(left.data);
        free(peers.data);
    }
    CHECK_STRING(entrol_llama_sampler_error(ours), "");
    llama_sampler_free(ours);
    llama_sampler_free(peer);
}

static void check_all(const rows *of) {
    for (size_t i = 0; i < COUNT(alike); i++) {
        check_alike(of, i);
    }
    struct llama_sampler *ours = make_sampler(&(const char *){"greedy"}, 1, 1, NULL), *peer = peer_greedy();
    for (size_t row = 0; row < of->n_rows; row++) {
        CHECK_INT(next_token(ours, of->logits + row * of->n, of->n), next_token(peer, of->logits + row * of->n, of->n));
    }
    llama_sampler_free(ours);
    llama_sampler_free(peer);
}

static void test_rules_keep_what_llama_cpp_keeps(void) {
    static const size_t sizes[] = {1, 2, 17, 300, 5000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const rows of = random_rows(is_quick() ? 4 : 40, sizes[i]);
        check_all(&of);
        free(of.logits);
    }
}

static void test_and_of_a_model(void) {
    const rows of = model_rows();
    check_all(&of);
    free(of.logits);
}

/* A chain of theirs that has the same rules, in the same order. */
static void test_a_chain(void) {
    static const char *const rules[] = {"top-k=60", "temperature=1.4", "typical=0.9", "min-p=0.02"};
    const rows of = random_rows(40, 2000);
    struct llama_sampler *ours = make_sampler(rules, COUNT(rules), 1, NULL);
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(chain, llama_sampler_init_top_k(60));
    llama_sampler_chain_add(chain, llama_sampler_init_temp(1.4f));
    llama_sampler_chain_add(chain, llama_sampler_init_typical(0.9f, 0));
    llama_sampler_chain_add(chain, llama_sampler_init_min_p(0.02f, 0));
    for (size_t row = 0; row < of.n_rows; row++) {
        candidates left = apply_to(ours, of.logits + row * of.n, of.n);
        candidates peers = apply_to(chain, of.logits + row * of.n, of.n);
        check_same(&left, &peers, of.n, 1e-5, 0, "a chain");
        free(left.data);
        free(peers.data);
    }
    llama_sampler_free(ours);
    llama_sampler_free(chain);
    free(of.logits);
}

/* Candidates of -inf that a sampler before left are none: typical and temp_ext of llama.cpp give NaN or count them. */
static void test_candidates_of_minus_infinity(void) {
    enum { N = 500 };
    float logits[N];
    fill_row(logits, N, 2);
    for (size_t i = 0; i < N; i += 2) {
        logits[i] = -INFINITY;
    }
    for (size_t i = 0; i < COUNT(alike); i++) {
        struct llama_sampler *ours = make_sampler(&alike[i].rule, 1, 1, NULL), *peer = alike[i].peer();
        candidates left = candidates_of(logits, N), peers = apply_to(peer, logits, N); /* without them */
        left.array.size = 0;
        for (size_t j = 0; j < N; j++) {
            left.data[left.array.size++] = (llama_token_data){(llama_token)j, logits[j], 0};
        }
        llama_sampler_apply(ours, &left.array);
        check_same(&left, &peers, N, 1e-5, 0, alike[i].rule);
        free(left.data);
        free(peers.data);
        llama_sampler_free(ours);
        llama_sampler_free(peer);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_rules_keep_what_llama_cpp_keeps);
    TEST(test_and_of_a_model);
    TEST(test_a_chain);
    TEST(test_candidates_of_minus_infinity);
    return test_end();
}
