/* The deep sea (Osband, Van Roy, Russo and Wen 2019, "Deep exploration via randomized value functions"; bsuite): a
 * diver starts in the upper left corner of an N x N grid and sinks one row a step, moving left or right. A treasure of
 * 1 lies in the lower right corner; each move to the right costs 0.01 / N. Which of the two actions moves right is
 * drawn anew for each cell, so nothing can be carried over from one to the next. Whoever learns from what a step paid
 * learns to move left; of an undirected walk, one episode in 2^N finds the treasure. The best return is 0.99. */
#include "environment.h"

#include <stdlib.h>
#include <string.h>

#define MOVE_COST 0.01

typedef struct deep_sea {
    environment base;
    size_t size, row, column;
    unsigned char right[]; /* the action that moves right, of each cell */
} deep_sea;

static void observe(const deep_sea *sea, double *observation) {
    memset(observation, 0, sea->size * sea->size * sizeof *observation);
    if (sea->row < sea->size)
        observation[sea->row * sea->size + sea->column] = 1;
}

static void reset(environment *self, random_state *random, double *observation) {
    deep_sea *sea = (deep_sea *)self;
    (void)random;
    sea->row = sea->column = 0;
    observe(sea, observation);
}

static outcome step(environment *self, random_state *random, const double *action, double *observation) {
    deep_sea *sea = (deep_sea *)self;
    (void)random;
    outcome result = {0, 0};
    const size_t last = sea->size - 1;
    if ((unsigned char)action[0] == sea->right[sea->row * sea->size + sea->column]) {
        result.reward = (sea->column == last ? 1 : 0) - MOVE_COST / (double)sea->size;
        sea->column += sea->column < last;
    } else {
        sea->column -= sea->column > 0;
    }
    result.terminated = ++sea->row == sea->size;
    observe(sea, observation);
    return result;
}

static void destroy(environment *self) {
    free(self);
}

environment *deep_sea_create(size_t size, uint64_t mapping_seed) {
    deep_sea *sea = calloc(1, sizeof *sea + size * size);
    if (sea == NULL)
        return NULL;
    sea->base = (environment){size * size, 2, 1, 0, 0, size, reset, step, destroy};
    sea->size = size;
    random_state random = {mapping_seed};
    for (size_t i = 0; i < size * size; i++)
        sea->right[i] = random_bits(&random) & 1;
    return &sea->base;
}
