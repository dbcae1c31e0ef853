/* Reading llama-perplexity's file of log-probabilities: its header is checked against its size, and each row when it is
 * read. */
#include "kld.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "_logits_";
enum { HEADER_BYTES = 20, ROW_HEADER_BYTES = 8, MAX_LEVEL = 65535 };

bool kld_detect(const unsigned char *bytes, size_t n_bytes) {
    return n_bytes >= sizeof magic - 1 && memcmp(bytes, magic, sizeof magic - 1) == 0;
}

/* The files are little-endian, and so is every machine this builds for. */
static int32_t read_i32(const unsigned char *at) {
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static float read_f32(const unsigned char *at) {
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

static size_t row_bytes(const kld_file *file) {
    return 2 * (2 * ((file->n_vocabulary + 1) / 2) + 4);
}

/* What the header says that the file is long; false where it does not fit. */
static bool expected_size(const kld_file *file, size_t *n_bytes) {
    size_t tokens, rows;
    return !__builtin_mul_overflow(file->n_chunks, file->n_context * sizeof(int32_t), &tokens) &&
           !__builtin_mul_overflow(file->n_rows, row_bytes(file), &rows) &&
           !__builtin_mul_overflow(file->n_chunks, rows, &rows) && !__builtin_add_overflow(tokens, rows, n_bytes) &&
           !__builtin_add_overflow(*n_bytes, (size_t)HEADER_BYTES, n_bytes);
}

static bool read_header(kld_file *file, trouble *trouble) {
    const unsigned char *bytes = file->file.bytes;
    size_t n_bytes = file->file.n_bytes, expected;
    if (n_bytes < HEADER_BYTES || !kld_detect(bytes, n_bytes))
        return trouble_set(trouble, "%s: expected llama-perplexity's log-probabilities, found %zu bytes", file->name,
                           n_bytes);
    int32_t n_context = read_i32(bytes + 8), n_vocabulary = read_i32(bytes + 12), n_chunks = read_i32(bytes + 16);
    if (n_context < 3 || n_vocabulary < 1 || n_chunks < 1)
        return trouble_set(trouble,
                           "%s: expected a context of 3 tokens or more, a vocabulary and chunks, found n_ctx %d, "
                           "n_vocab %d, n_chunk %d",
                           file->name, n_context, n_vocabulary, n_chunks);
    file->n_context = (size_t)n_context;
    file->n_vocabulary = (size_t)n_vocabulary;
    file->n_chunks = (size_t)n_chunks;
    file->n_rows = file->n_context - 1 - file->n_context / 2;
    if (!expected_size(file, &expected))
        return trouble_set(trouble, "%s: n_ctx %d, n_vocab %d and n_chunk %d make more bytes than there can be",
                           file->name, n_context, n_vocabulary, n_chunks);
    return expected == n_bytes ||
           trouble_set(trouble,
                       "%s: expected %zu bytes for %d chunks of %d tokens and a vocabulary of %d, found %zu: the file "
                       "was %s",
                       file->name, expected, n_chunks, n_context, n_vocabulary, n_bytes,
                       n_bytes < expected ? "not written to its end" : "made longer");
}

static kld_file *file_new(const char *name, trouble *trouble) {
    kld_file *made = calloc(1, sizeof *made);
    if (made)
        made->name = strdup(name);
    if (made && made->name)
        return made;
    free(made);
    trouble_set(trouble, "%s: out of memory", name);
    return NULL;
}

kld_file *kld_open_input(input *input, trouble *trouble) {
    kld_file *made = input ? file_new(input_name(input), trouble) : NULL;
    bool ok = made && mapped_open(&made->file, input, trouble) && read_header(made, trouble);
    input_close(input);
    if (ok)
        return made;
    kld_close(made);
    return NULL;
}

kld_file *kld_open_memory(const char *name, const void *bytes, size_t n_bytes, trouble *trouble) {
    kld_file *made = file_new(name, trouble);
    if (!made)
        return NULL;
    made->file = (mapped){bytes, n_bytes, NULL};
    if (read_header(made, trouble))
        return made;
    kld_close(made);
    return NULL;
}

void kld_close(kld_file *file) {
    if (!file)
        return;
    mapped_close(&file->file);
    free(file->name);
    free(file);
}

bool kld_row_at(kld_row *row, const kld_file *file, size_t chunk, size_t index, trouble *trouble) {
    size_t tokens = file->n_chunks * file->n_context * sizeof(int32_t);
    const unsigned char *at =
        file->file.bytes + HEADER_BYTES + tokens + (chunk * file->n_rows + index) * row_bytes(file);
    float scale = read_f32(at), least = read_f32(at + 4);
    if (!(scale >= 0 && scale < 1) || !isfinite(least) || least > 1)
        return trouble_set(trouble, "%s: chunk %zu, row %zu: expected a scale and a log-probability, found %g and %g",
                           file->name, chunk, index, (double)scale, (double)least);
    *row = (kld_row){.scale = (double)scale, .least = (double)least, .levels = at + ROW_HEADER_BYTES};
    /* Half a level, a little more for the product that was rounded to it, and f32 in the numbers themselves. */
    row->error = 0.52 * row->scale + 5e-6;
    row->is_clipped = row->scale * MAX_LEVEL > 15.9; /* 16, or what rounding leaves of it */
    return true;
}

unsigned kld_level(const kld_row *row, size_t token) {
    uint16_t level;
    memcpy(&level, row->levels + 2 * token, sizeof level);
    return level;
}

bool kld_token_at(int64_t *token, const kld_file *file, size_t chunk, size_t index, trouble *trouble) {
    size_t place = chunk * file->n_context + file->n_context / 2 + 1 + index;
    *token = read_i32(file->file.bytes + HEADER_BYTES + place * sizeof(int32_t));
    return (*token >= 0 && (size_t)*token < file->n_vocabulary) ||
           trouble_set(trouble, "%s: chunk %zu, row %zu: expected a token of %zu, found %lld", file->name, chunk, index,
                       file->n_vocabulary, (long long)*token);
}
