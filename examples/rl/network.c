#include "network.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

int parameters_create(parameters *p, size_t n) {
    float *memory = calloc(4 * n, sizeof *memory);
    if (memory == NULL)
        return -1;
    *p = (parameters){n, memory, memory + n, memory + 2 * n, memory + 3 * n};
    return 0;
}

void parameters_destroy(parameters *p) {
    free(p->values);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* The dot product of two vectors of n numbers that lie `stride` apart. */
static double dot(const float *a, const float *b, size_t n, size_t stride) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i * stride] * (double)b[i * stride];
    return sum;
}

/* Rows of a matrix, or its columns where those are fewer, become orthogonal and of length `gain` (Gram and Schmidt). */
static void make_orthogonal(float *weights, size_t n_rows, size_t n_columns, float gain, random_state *random) {
    const int by_rows = n_rows <= n_columns;
    const size_t n_vectors = by_rows ? n_rows : n_columns, n = by_rows ? n_columns : n_rows;
    const size_t next = by_rows ? n_columns : 1, stride = by_rows ? 1 : n_columns;
    for (size_t i = 0; i < n_rows * n_columns; i++)
        weights[i] = (float)random_normal(random);
    for (size_t v = 0; v < n_vectors; v++) {
        float *vector = weights + v * next;
        for (size_t u = 0; u < v; u++) {
            const float *other = weights + u * next;
            const double share = dot(vector, other, n, stride);
            for (size_t i = 0; i < n; i++)
                vector[i * stride] -= (float)(share * (double)other[i * stride]);
        }
        const double length = sqrt(dot(vector, vector, n, stride));
        for (size_t i = 0; i < n; i++)
            vector[i * stride] = (float)((double)vector[i * stride] / length);
    }
    for (size_t i = 0; i < n_rows * n_columns; i++)
        weights[i] *= gain;
}

static size_t layer_size(const network *net, size_t layer) {
    return (net->sizes[layer] + 1) * net->sizes[layer + 1];
}

int network_create(network *net, size_t n_layers, const size_t *sizes, float last_gain, size_t capacity,
                   random_state *random) {
    size_t n_parameters = 0;
    memset(net, 0, sizeof *net);
    net->n_layers = n_layers;
    net->capacity = capacity;
    memcpy(net->sizes, sizes, (n_layers + 1) * sizeof *sizes);
    for (size_t i = 0; i < n_layers; i++) {
        net->activations[i] = calloc(2 * capacity * sizes[i + 1], sizeof(float));
        if (net->activations[i] == NULL)
            return -1;
        net->deltas[i] = net->activations[i] + capacity * sizes[i + 1];
        n_parameters += layer_size(net, i);
    }
    if (parameters_create(&net->learnt, n_parameters) != 0)
        return -1;
    float *weights = net->learnt.values;
    for (size_t i = 0; i < n_layers; i++) {
        make_orthogonal(weights, sizes[i + 1], sizes[i], i + 1 < n_layers ? sqrtf(2) : last_gain, random);
        weights += layer_size(net, i);
    }
    return 0;
}

void network_destroy(network *net) {
    for (size_t i = 0; i < net->n_layers; i++)
        free(net->activations[i]);
    parameters_destroy(&net->learnt);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* c = op(a) op(b), or c += it, of dense matrices; op(a) is m x k. */
static void multiply(float *c, const float *a, int a_transposed, const float *b, int b_transposed, size_t m, size_t n,
                     size_t k, float keep) {
    cblas_sgemm(CblasRowMajor, a_transposed ? CblasTrans : CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans,
                (int)m, (int)n, (int)k, 1, a, (int)(a_transposed ? m : k), b, (int)(b_transposed ? k : n), keep, c,
                (int)n);
}

const float *network_forward(network *net, const float *input, size_t n_rows) {
    const float *weights = net->learnt.values;
    net->input = input;
    for (size_t i = 0; i < net->n_layers; i++) {
        const size_t n_in = net->sizes[i], n_out = net->sizes[i + 1];
        const float *biases = weights + n_in * n_out;
        float *output = net->activations[i];
        for (size_t r = 0; r < n_rows; r++)
            memcpy(output + r * n_out, biases, n_out * sizeof *output);
        multiply(output, input, 0, weights, 1, n_rows, n_out, n_in, 1);
        for (size_t j = 0; i + 1 < net->n_layers && j < n_rows * n_out; j++)
            output[j] = tanhf(output[j]);
        input = output;
        weights += layer_size(net, i);
    }
    return input;
}

/* Adds a layer's gradient, given its deltas. */
static void add_gradient(float *gradient, const float *deltas, const float *input, size_t n_rows, size_t n_in,
                         size_t n_out) {
    multiply(gradient, deltas, 1, input, 0, n_out, n_in, n_rows, 1);
    float *biases = gradient + n_in * n_out;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t j = 0; j < n_out; j++)
            biases[j] += deltas[r * n_out + j];
}

void network_backward(network *net, const float *d_output, size_t n_rows) {
    size_t offset = net->learnt.n;
    const float *deltas = d_output;
    for (size_t i = net->n_layers; i-- > 0;) {
        const size_t n_in = net->sizes[i], n_out = net->sizes[i + 1];
        offset -= layer_size(net, i);
        const float *input = i == 0 ? net->input : net->activations[i - 1];
        add_gradient(net->learnt.gradient + offset, deltas, input, n_rows, n_in, n_out);
        if (i == 0)
            break;
        float *before = net->deltas[i - 1];
        multiply(before, deltas, 0, net->learnt.values + offset, 0, n_rows, n_in, n_out, 0);
        for (size_t j = 0; j < n_rows * n_in; j++)
            before[j] *= 1 - input[j] * input[j];
        deltas = before;
    }
}

/* ---- Adam -------------------------------------------------------------------------------------------------------- */

static void adam_update(parameters *p, double scale, double rate, double epsilon, double square_bias) {
    const float beta1 = 0.9f, beta2 = 0.999f;
    for (size_t i = 0; i < p->n; i++) {
        const float g = (float)scale * p->gradient[i];
        p->mean[i] = beta1 * p->mean[i] + (1 - beta1) * g;
        p->square[i] = beta2 * p->square[i] + (1 - beta2) * g * g;
        p->values[i] -= (float)rate * p->mean[i] / (sqrtf(p->square[i] * (float)square_bias) + (float)epsilon);
        p->gradient[i] = 0;
    }
}

void adam_step(parameters *const *groups, size_t n_groups, double learning_rate, double epsilon, double max_norm,
               size_t step) {
    double squares = 0;
    for (size_t i = 0; i < n_groups; i++)
        squares += dot(groups[i]->gradient, groups[i]->gradient, groups[i]->n, 1);
    const double scale = fmin(1, max_norm / (sqrt(squares) + 1e-6));
    const double rate = learning_rate / (1 - pow(0.9, (double)step));
    for (size_t i = 0; i < n_groups; i++)
        adam_update(groups[i], scale, rate, epsilon, 1 / (1 - pow(0.999, (double)step)));
}
