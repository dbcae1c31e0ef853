/* The measures of some samples: of a prompt's, and of all. */
#include "diversity.h"
#include "ngrams.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

typedef struct work {
    const diversity_samples *samples;
    entrol_context *context;
    z_stream gzip;
    size_t *order;   /* the samples of each prompt, one prompt after the other */
    uint32_t *units; /* of some samples, one after the other */
    size_t *starts;
} work;

static bool out_of_memory(trouble *trouble) {
    return trouble_set(trouble, "out of memory");
}

/* --- n-grams --- */

static bool measure_ngrams(double *values, work *work, const size_t *order, size_t n, trouble *trouble) {
    const diversity_samples *samples = work->samples;
    ngram_measures measures;
    size_t n_units = 0;
    for (size_t i = 0; i < n; i++) {
        const diversity_sample *sample = &samples->items[order[i]];
        work->starts[i] = n_units;
        for (size_t j = 0; j < sample->n_units; j++)
            work->units[n_units++] = samples->units[sample->first_unit + j];
    }
    work->starts[n] = n_units;
    if (!ngrams_measure(&measures, work->units, work->starts, n))
        return out_of_memory(trouble);
    for (int i = 0; i < NGRAM_ORDERS; i++)
        values[DIVERSITY_DISTINCT + i] = measures.distinct[i];
    values[DIVERSITY_SELF_BLEU] = measures.self_bleu;
    values[DIVERSITY_REPETITION] = measures.repetition;
    return true;
}

/* --- Compression --- */

/* As Python's gzip.compress has it: level 9, a header of 10 bytes and a trailer of 8. */
static bool gzip_begin(z_stream *gzip) {
    enum { LEVEL = 9, WINDOW_OF_GZIP = 15 + 16, MEMORY = 8 };
    return deflateInit2(gzip, LEVEL, Z_DEFLATED, WINDOW_OF_GZIP, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
}

/* Packs bytes, and forgets what comes out: its size is what counts. */
static bool gzip_add(z_stream *gzip, const char *bytes, size_t n_bytes, int flush) {
    enum { PART = 1 << 30 }; /* what fits an unsigned int */
    unsigned char out[1 << 16];
    do {
        const size_t part = n_bytes < PART ? n_bytes : PART;
        gzip->next_in = (z_const Bytef *)bytes;
        gzip->avail_in = (unsigned)part;
        bytes += part;
        n_bytes -= part;
        do {
            gzip->next_out = out;
            gzip->avail_out = sizeof out;
            if (deflate(gzip, n_bytes == 0 ? flush : Z_NO_FLUSH) == Z_STREAM_ERROR)
                return false;
        } while (gzip->avail_out == 0);
    } while (n_bytes > 0);
    return true;
}

/* The bytes of the texts with a newline between two / the bytes that gzip makes of them; NaN of no byte. */
static bool measure_compression(double *ratio, work *work, const size_t *order, size_t n, trouble *trouble) {
    const diversity_samples *samples = work->samples;
    size_t n_bytes = n - 1;
    bool ok = deflateReset(&work->gzip) == Z_OK;
    for (size_t i = 0; ok && i < n; i++) {
        const diversity_sample *sample = &samples->items[order[i]];
        n_bytes += sample->n_bytes;
        ok = (i == 0 || gzip_add(&work->gzip, "\n", 1, Z_NO_FLUSH)) &&
             gzip_add(&work->gzip, samples->text.data + sample->first_byte, sample->n_bytes,
                      i + 1 == n ? Z_FINISH : Z_NO_FLUSH);
    }
    *ratio = n_bytes > 0 ? (double)n_bytes / (double)work->gzip.total_out : (double)NAN;
    return ok || trouble_set(trouble, "the texts could not be compressed");
}

/* --- All of it --- */

/* Means over the tokens of all these samples. */
static void measure_totals(double *values, const work *work, const size_t *order, size_t n) {
    for (int which = 0; which < DIVERSITY_TOTALS; which++) {
        diversity_total all = {0};
        for (size_t i = 0; i < n; i++) {
            const diversity_total *one = &work->samples->items[order[i]].totals[which];
            all.sum += one->sum;
            all.n += one->n;
        }
        values[DIVERSITY_OF_TOKENS + which] = all.n > 0 ? all.sum / (double)all.n : (double)NAN;
    }
}

/* Of n samples, at least one; all measures but the semantic entropy. */
static bool measure_some(double *values, work *work, const size_t *order, size_t n, trouble *trouble) {
    measure_totals(values, work, order, n);
    values[DIVERSITY_SEMANTIC] = NAN;
    return measure_ngrams(values, work, order, n, trouble) &&
           measure_compression(&values[DIVERSITY_COMPRESSION], work, order, n, trouble);
}

static bool measure_prompt(diversity_result *result, work *work, size_t index, const size_t *order, trouble *trouble) {
    const prompt *prompt = &work->samples->prompts.items[index];
    double *values = result->prompts[index];
    const size_t n = prompt->n_answers;
    result->sizes[index] = n;
    result->n_several += n > 1;
    return measure_some(values, work, order, n, trouble) &&
           (n < 2 ||
            answers_entropy(&values[DIVERSITY_SEMANTIC], work->context, &work->samples->meanings, prompt, trouble));
}

/* The samples of one prompt after those of the one before, each in the order of the file. */
static void order_by_prompt(work *work, const size_t *first) {
    size_t *next = work->starts; /* not used yet */
    for (size_t p = 0; p < work->samples->prompts.n; p++)
        next[p] = first[p];
    for (size_t i = 0; i < work->samples->n; i++)
        work->order[next[work->samples->items[i].prompt]++] = i;
}

static bool measure_prompts(diversity_result *result, work *work, trouble *trouble) {
    const prompts *prompts = &work->samples->prompts;
    size_t *first = calloc(prompts->n + 1, sizeof *first);
    if (!first)
        return out_of_memory(trouble);
    for (size_t p = 0; p < prompts->n; p++)
        first[p + 1] = first[p] + prompts->items[p].n_answers;
    order_by_prompt(work, first);
    bool ok = true;
    for (size_t p = 0; ok && p < prompts->n; p++)
        ok = measure_prompt(result, work, p, work->order + first[p], trouble);
    free(first);
    return ok;
}

/* In the order of the file, which is what compression sees. */
static bool measure_together(diversity_result *result, work *work, trouble *trouble) {
    for (size_t i = 0; i < work->samples->n; i++)
        work->order[i] = i;
    return measure_some(result->together, work, work->order, work->samples->n, trouble);
}

static void take_means(diversity_result *result) {
    for (int i = 0; i < DIVERSITY_MEASURES; i++)
        result->means[i] = diversity_mean_of(&result->prompts[0][i], result->n_prompts, DIVERSITY_MEASURES);
}

static bool allocate(diversity_result *result, work *work) {
    const diversity_samples *samples = work->samples;
    result->sizes = calloc(result->n_prompts, sizeof *result->sizes);
    result->prompts = calloc(result->n_prompts, sizeof *result->prompts);
    work->order = calloc(samples->n, sizeof *work->order);
    work->starts = calloc(samples->n + 1, sizeof *work->starts);
    work->units = calloc(samples->n_units + 1, sizeof *work->units);
    return result->sizes && result->prompts && work->order && work->starts && work->units && gzip_begin(&work->gzip);
}

bool diversity_measure_samples(diversity_result *result, const diversity_samples *samples, entrol_context *context,
                               trouble *trouble) {
    work work = {.samples = samples, .context = context};
    result->n_samples = samples->n;
    result->n_units = samples->n_units;
    result->n_nan = samples->n_nan;
    result->n_prompts = samples->prompts.n;
    bool ok = allocate(result, &work) || out_of_memory(trouble);
    ok = ok && measure_prompts(result, &work, trouble) && measure_together(result, &work, trouble);
    if (ok)
        take_means(result);
    deflateEnd(&work.gzip);
    free(work.order);
    free(work.starts);
    free(work.units);
    return ok;
}

void diversity_result_free(diversity_result *result) {
    free(result->sizes);
    free(result->prompts);
    *result = (diversity_result){0};
}
