/* Values that a rule looks at: 5 bytes each, in memory or, beyond a block, in a temporary file. */
#include "select.h"

#include "../temporary.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes the whole blocks that there are, and moves the rest to the front. */
static bool spool_blocks(select_values *store, trouble *trouble) {
    size_t done = 0;
    if (store->spool == 0 && (store->spool = temporary_open(trouble)) < 0) {
        store->spool = 0;
        return false;
    }
    for (; store->n - done >= SELECT_BLOCK; done += SELECT_BLOCK)
        if (!temporary_write(store->spool, store->values + done, SELECT_BLOCK * sizeof(float), trouble) ||
            !temporary_write(store->spool, store->valid + done, SELECT_BLOCK, trouble))
            return false;
    store->n -= done;
    store->n_spooled += done;
    memmove(store->values, store->values + done, store->n * sizeof(float));
    memmove(store->valid, store->valid + done, store->n);
    return true;
}

static bool spool_if_full(select_values *store, trouble *trouble) {
    return !store->spools || store->n < SELECT_BLOCK || spool_blocks(store, trouble);
}

uint64_t select_values_count(const select_values *store) {
    return store->n_spooled + store->n;
}

static bool read_block(const select_values *store, uint64_t index, char *memory, trouble *trouble) {
    for (size_t n = 0; n < SELECT_BLOCK_BYTES;) {
        const off_t place = (off_t)(index * SELECT_BLOCK_BYTES + n);
        const ssize_t n_read = pread(store->spool, memory + n, SELECT_BLOCK_BYTES - n, place);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read <= 0)
            return trouble_set(trouble, "a temporary file cannot be read: %s",
                               n_read ? strerror(errno) : "it ends early");
        n += (size_t)n_read;
    }
    return true;
}

bool select_values_block(const select_values *store, uint64_t index, void *memory, const float **values,
                         const uint8_t **valid, size_t *n, trouble *trouble) {
    const uint64_t n_blocks = store->n_spooled / SELECT_BLOCK;
    *n = 0;
    if (index < n_blocks) {
        if (!read_block(store, index, memory, trouble))
            return false;
        *values = memory;
        *valid = (const uint8_t *)memory + SELECT_BLOCK * sizeof(float);
        *n = SELECT_BLOCK;
    } else if (index == n_blocks) {
        *values = store->values;
        *valid = store->valid;
        *n = store->n;
    }
    return true;
}

static bool make_room(select_values *store, size_t n_more) {
    if (store->capacity - store->n >= n_more)
        return true;
    size_t capacity = store->capacity + store->capacity / 2 + n_more + 1024;
    if (capacity < store->capacity || capacity > SIZE_MAX / sizeof(float))
        return false;
    float *values = realloc(store->values, capacity * sizeof(*values));
    if (values != NULL)
        store->values = values;
    uint8_t *valid = realloc(store->valid, capacity);
    if (valid != NULL)
        store->valid = valid;
    if (values == NULL || valid == NULL)
        return false;
    store->capacity = capacity;
    return true;
}

bool select_values_add(select_values *store, const float *values, const uint8_t *valid, size_t n, trouble *trouble) {
    if (n == 0) /* there may be no memory yet */
        return true;
    if (!make_room(store, n))
        return trouble_set(trouble, "out of memory after %" PRIu64 " values", select_values_count(store));
    memcpy(store->values + store->n, values, n * sizeof(*values));
    memcpy(store->valid + store->n, valid, n);
    store->n += n;
    return spool_if_full(store, trouble);
}

bool select_values_append(select_values *store, const select_values *other, trouble *trouble) {
    void *memory = other->n_spooled > 0 ? malloc(SELECT_BLOCK_BYTES) : NULL;
    bool ok = memory != NULL || other->n_spooled == 0 || trouble_set(trouble, "out of memory");
    size_t n = 1;
    for (uint64_t block = 0; ok && n > 0; block++) {
        const float *values;
        const uint8_t *valid;
        ok = select_values_block(other, block, memory, &values, &valid, &n, trouble) &&
             (n == 0 || select_values_add(store, values, valid, n, trouble));
    }
    free(memory);
    return ok;
}

void select_values_clear(select_values *store) {
    store->n = 0;
}

void select_values_free(select_values *store) {
    free(store->values);
    free(store->valid);
    if (store->spool > 0)
        close(store->spool);
    *store = (select_values){0};
}
