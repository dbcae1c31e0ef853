/* Records, or lines with texts alone, to samples of prompts. Whose samples they are, and which of them mean the same,
 * is what `entrol entropy --answers` says of answers. */
#include "diversity.h"

#include "../formats/records.h"
#include "../progress.h"
#include "../utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool out_of_memory(trouble *trouble, const document *document) {
    return trouble_set(trouble, "%s:%" PRIu64 ": out of memory", document->name, document->line_number);
}

/* --- Units --- */

/* Why a unit could not be added. */
static bool no_room(const diversity_samples *samples, const document *document, trouble *trouble) {
    return samples->n_units < UINT32_MAX ? out_of_memory(trouble, document)
                                         : trouble_set(trouble,
                                                       "%s:%" PRIu64 ": expected fewer than 4294967295 tokens or words "
                                                       "in a file, found more",
                                                       document->name, document->line_number);
}

static bool add_unit(diversity_samples *samples, uint32_t unit) {
    if (samples->n_units == samples->unit_capacity) {
        const size_t capacity = samples->unit_capacity > 0 ? 2 * samples->unit_capacity : 4096;
        uint32_t *units = realloc(samples->units, capacity * sizeof *units);
        if (!units)
            return false;
        samples->units = units;
        samples->unit_capacity = capacity;
    }
    samples->units[samples->n_units++] = unit;
    return samples->n_units < UINT32_MAX; /* what n-grams are counted by */
}

static bool add_word(diversity_samples *samples, const char *word, size_t n_bytes) {
    const json_t *known = json_object_getn(samples->words, word, n_bytes);
    const size_t number = known ? (size_t)json_integer_value(known) : json_object_size(samples->words);
    return (known ||
            json_object_setn_new_nocheck(samples->words, word, n_bytes, json_integer((json_int_t)number)) == 0) &&
           add_unit(samples, (uint32_t)number);
}

/* Words are runs of what is not white space. */
static bool add_words(diversity_samples *samples, const char *text, size_t n_bytes) {
    size_t word = 0, size;
    bool ok = true;
    for (size_t at = 0; ok && at < n_bytes; at += size) {
        uint32_t code;
        size = utf8_next(text + at, n_bytes - at, &code);
        if (!utf8_is_white_space(code))
            continue;
        ok = word == at || add_word(samples, text + word, at - word);
        word = at + size;
    }
    return ok && (word == n_bytes || add_word(samples, text + word, n_bytes - word));
}

static bool add_tokens(diversity_samples *samples, const document *document, trouble *trouble) {
    const column *ids = &document->columns[COLUMN_TOKEN_ID];
    for (size_t i = 0; i < document->n_tokens; i++) {
        if (!ids->valid[i] || ids->integers[i] < 0 || ids->integers[i] > UINT32_MAX)
            return trouble_set(trouble,
                               "%s:%" PRIu64 ": column \"token_id\", token %zu: expected a token's number, found %s "
                               "(--of words takes the words of the text)",
                               document->name, document->line_number, i, ids->valid[i] ? "another number" : "null");
        if (!add_unit(samples, (uint32_t)ids->integers[i]))
            return no_room(samples, document, trouble);
    }
    return true;
}

/* The first document says what n-grams are made of, where no option does. */
static bool check_units(diversity_units *units, const diversity_settings *settings, const document *document,
                        bool has_array, trouble *trouble) {
    const bool has_tokens = !has_array && document->columns[COLUMN_TOKEN_ID].is_present;
    if (!units->are_known)
        units->are_words = settings->of ? strcmp(settings->of, "words") == 0 : !has_tokens;
    units->are_known = true;
    return units->are_words || has_tokens ||
           trouble_set(trouble,
                       "%s:%" PRIu64 ": expected a column \"token_id\"%s, found none (--of words takes the words of "
                       "the text)",
                       document->name, document->line_number, settings->of ? "" : ", as the first line has");
}

/* --- Columns --- */

static void add_total(diversity_samples *samples, diversity_total *total, const column *column, size_t n_tokens) {
    for (size_t i = 0; column->is_present && i < n_tokens; i++)
        if (column->valid[i] && isnan(column->reals[i])) {
            samples->n_nan++;
        } else if (column->valid[i]) {
            total->sum += (double)column->reals[i];
            total->n++;
        }
}

static void add_totals(diversity_samples *samples, diversity_sample *sample, const document *document) {
    static const column_id ids[] = {[TOTAL_LOGPROB] = COLUMN_LOGPROB,
                                    [TOTAL_ENTROPY] = COLUMN_ENTROPY,
                                    [TOTAL_SAMPLED_ENTROPY] = COLUMN_SAMPLED_ENTROPY,
                                    [TOTAL_REFERENCE] = COLUMN_REFERENCE_LOGPROB};
    for (size_t i = 0; i < DIVERSITY_TOTALS; i++)
        add_total(samples, &sample->totals[i], &document->columns[ids[i]], document->n_tokens);
}

/* --- Samples --- */

static diversity_sample *add_sample(diversity_samples *samples) {
    if (samples->n == samples->capacity) {
        const size_t capacity = samples->capacity > 0 ? 2 * samples->capacity : 64;
        diversity_sample *items = realloc(samples->items, capacity * sizeof *items);
        if (!items)
            return NULL;
        samples->items = items;
        samples->capacity = capacity;
    }
    diversity_sample *added = &samples->items[samples->n++];
    *added = (diversity_sample){.first_unit = samples->n_units, .first_byte = samples->text.size};
    return added;
}

static bool take_sample(diversity_samples *samples, const diversity_units *units, const answers_line *line,
                        size_t index, const document *document, trouble *trouble) {
    answer answer;
    if (!answers_line_answer(line, index, &answer, trouble))
        return false;
    const char *text = json_string_value(answer.meaning);
    const size_t n_bytes = json_string_length(answer.meaning);
    diversity_sample *sample = add_sample(samples);
    if (!sample)
        return out_of_memory(trouble, document);
    buffer_append(&samples->text, text, n_bytes);
    if (samples->text.failed)
        return out_of_memory(trouble, document);
    if (units->are_words && !add_words(samples, text, n_bytes))
        return no_room(samples, document, trouble);
    if (!units->are_words && !add_tokens(samples, document, trouble))
        return false;
    sample->n_bytes = n_bytes;
    sample->n_units = samples->n_units - sample->first_unit;
    if (!line->array) /* else the columns are of the answers, and not of tokens */
        add_totals(samples, sample, document);
    return true;
}

static bool take_line(diversity_samples *samples, const diversity_units *units, answers_line *line,
                      const document *document, trouble *trouble) {
    const size_t first = samples->n;
    for (size_t i = 0; i < line->n_answers; i++)
        if (!take_sample(samples, units, line, i, document, trouble))
            return false;
    line->settings = &samples->meanings;
    prompt *prompt = prompts_of_line(&samples->prompts, line, samples->shape.group, trouble);
    if (!prompt || !prompts_add(&samples->prompts, prompt, line, trouble))
        return false;
    for (size_t i = first; i < samples->n; i++)
        samples->items[i].prompt = (size_t)(prompt - samples->prompts.items);
    return true;
}

static bool take_document(diversity_samples *samples, diversity_units *units, const diversity_settings *settings,
                          const char *name, const document *document, trouble *trouble) {
    answers_line line;
    bool ok = answers_line_take(&line, &samples->texts, name, document->line_number, json_incref(document->fields),
                                trouble) &&
              answers_shape_check(&samples->shape, &line, trouble) &&
              check_units(units, settings, document, line.array != NULL, trouble) &&
              take_line(samples, units, &line, document, trouble);
    answers_line_free(&line);
    return ok;
}

/* --- The reference --- */

/* It may have read a prompt before the sample: its text ends as the sample's does. */
static bool check_text(const diversity_samples *samples, const document *document, const struct document *other,
                       trouble *trouble) {
    const diversity_sample *sample = &samples->items[samples->n - 1];
    const size_t n = sample->n_bytes;
    return !other->text ||
           (other->text_size >= n &&
            memcmp(other->text + other->text_size - n, samples->text.data + sample->first_byte, n) == 0) ||
           trouble_set(trouble,
                       "%s:%" PRIu64
                       " (%s): --reference: expected records of this sample, found another text at %s:%" PRIu64,
                       document->name, document->line_number, document->id, other->name, other->line_number);
}

/* The last sample's log-probability under another model, which may have other tokens. */
static bool take_reference(diversity_samples *samples, select_reference *reference, const records *records,
                           const document *document, trouble *trouble) {
    if (samples->shape.has_arrays)
        return trouble_set(trouble, "%s:%" PRIu64 ": --reference: expected one sample a line, found an array of them",
                           document->name, document->line_number);
    const struct document *other = select_reference_next(reference, records, document, false, trouble);
    if (!other || !check_text(samples, document, other, trouble))
        return false;
    if (!other->columns[COLUMN_LOGPROB].is_present)
        return trouble_set(trouble, "%s:%" PRIu64 " (%s): --reference: expected a column \"logprob\", found none",
                           other->name, other->line_number, other->id);
    diversity_total *total = &samples->items[samples->n - 1].totals[TOTAL_REFERENCE];
    *total = (diversity_total){0};
    add_total(samples, total, &other->columns[COLUMN_LOGPROB], other->n_tokens);
    return true;
}

/* --- A file --- */

static const record_wanted wanted = {.fields = true,
                                     .columns = COLUMN_BIT(COLUMN_TOKEN_ID) | COLUMN_BIT(COLUMN_LOGPROB) |
                                                COLUMN_BIT(COLUMN_ENTROPY) | COLUMN_BIT(COLUMN_SAMPLED_ENTROPY) |
                                                COLUMN_BIT(COLUMN_REFERENCE_LOGPROB)};

static bool read_documents(diversity_samples *samples, diversity_units *units, select_reference *reference,
                           const diversity_settings *settings, records *records, const char *name, trouble *trouble) {
    document document = {0};
    progress progress;
    int more = 0;
    bool ok = true;
    progress_begin(&progress, "samples", 0);
    while (ok && (more = records_next_wanted(records, &document, &wanted, trouble)) > 0) {
        ok = take_document(samples, units, settings, name, &document, trouble) &&
             (!reference || take_reference(samples, reference, records, &document, trouble));
        progress_update(&progress, samples->n);
    }
    progress_end(&progress);
    document_free(&document);
    return ok && more >= 0;
}

bool diversity_samples_read(diversity_samples *samples, diversity_units *units, select_reference *reference,
                            const diversity_settings *settings, const char *path, trouble *trouble) {
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path; /* outlives the records */
    const answers_settings texts = ANSWERS_SETTINGS_INIT;
    samples->texts = texts;
    samples->texts.group = settings->group;
    samples->texts.estimator = entrol_estimator_name(ENTROL_ESTIMATOR_PLUG_IN);
    samples->meanings = samples->texts;
    samples->meanings.label = settings->label;
    samples->words = json_object();
    if (!samples->words)
        return trouble_set(trouble, "out of memory");
    records *records = records_open(path, trouble);
    bool ok = records && read_documents(samples, units, reference, settings, records, name, trouble);
    records_close(records);
    return ok;
}

void diversity_samples_free(diversity_samples *samples) {
    prompts_free(&samples->prompts);
    free(samples->items);
    free(samples->units);
    buffer_free(&samples->text);
    json_decref(samples->words);
    *samples = (diversity_samples){0};
}
