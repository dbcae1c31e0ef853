/* Candidates in the order of their ids, by radix sort: what comes sorted by logit may be a whole vocabulary. */
#include "internal.h"

enum { DIGIT = 11, N_DIGITS = 3 }; /* of the 32 bits of an id */

static void sort_by_digit(llama_token_data *out, const llama_token_data *in, size_t n, unsigned digit) {
    enum { N_VALUES = 1 << DIGIT };
    size_t starts[N_VALUES + 1] = {0};
    for (size_t i = 0; i < n; i++) {
        starts[((uint32_t)in[i].id >> digit * DIGIT) % N_VALUES + 1]++;
    }
    for (size_t i = 0; i < N_VALUES; i++) {
        starts[i + 1] += starts[i];
    }
    for (size_t i = 0; i < n; i++) {
        out[starts[((uint32_t)in[i].id >> digit * DIGIT) % N_VALUES]++] = in[i];
    }
}

static bool is_sorted(const llama_token_data *data, size_t n) {
    size_t i = 1;
    while (i < n && data[i - 1].id <= data[i].id) {
        i++;
    }
    return i >= n;
}

const llama_token_data *ent_llama_sort_by_id(llama_token_data *spare, const llama_token_data *data, size_t n) {
    if (is_sorted(data, n)) {
        return data;
    }
    for (unsigned digit = 0; digit < N_DIGITS; digit++) {
        llama_token_data *out = spare + (digit % 2 == 0 ? 0 : n);
        sort_by_digit(out, data, n, digit);
        data = out;
    }
    return data;
}
