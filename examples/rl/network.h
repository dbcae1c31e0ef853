/* A multilayer perceptron over CBLAS, forward and backward, and Adam. All in f32. */
#ifndef RL_NETWORK_H
#define RL_NETWORK_H

#include "random.h"

#include <stddef.h>

#define MAX_LAYERS 4

/* Numbers that are learnt, and their gradient. */
typedef struct parameters {
    size_t n;
    float *values, *gradient;
    float *mean, *square; /* Adam's */
} parameters;

/* Layers of tanh, the last one linear. Layer i maps sizes[i] numbers to sizes[i + 1]. */
typedef struct network {
    size_t n_layers, sizes[MAX_LAYERS + 1];
    size_t capacity;                /* rows that fit at once */
    parameters learnt;              /* layer by layer: weights (outputs x inputs), then biases */
    const float *input;             /* of the last forward pass, the caller's */
    float *activations[MAX_LAYERS]; /* of each layer, capacity x sizes[i + 1] */
    float *deltas[MAX_LAYERS];      /* dL by what went into each layer's tanh, the same shapes */
} network;

/* 0, or -1 where memory ran out. Weights are orthogonal (Saxe, McClelland and Ganguli 2014), of gain sqrt(2), the last
 * layer's of last_gain; biases are 0. */
int network_create(network *net, size_t n_layers, const size_t *sizes, float last_gain, size_t capacity,
                   random_state *random);
void network_destroy(network *net);

/* The outputs of n_rows <= capacity rows, dense. They and `input` stay until the backward pass. */
const float *network_forward(network *net, const float *input, size_t n_rows);

/* Adds the gradient of the parameters of a loss whose gradient by the outputs of the last forward pass is d_output. */
void network_backward(network *net, const float *d_output, size_t n_rows);

int parameters_create(parameters *p, size_t n); /* of 0 */
void parameters_destroy(parameters *p);

/* One step of Adam (Kingma and Ba 2015; beta 0.9 and 0.999) of several groups, whose gradients' joint norm is first cut
 * to max_norm, and then set to 0. `step` counts from 1. */
void adam_step(parameters *const *groups, size_t n_groups, double learning_rate, double epsilon, double max_norm,
               size_t step);

#endif
