/* A text as a token record: the fields of its line, and one row for each token with what it was drawn from. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../json_text.h"
#include "../score/score_llama.h"
#include "../utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The prompt's id; of later samples with ":" and the number, of branches with "." and the number. */
static json_t *id_of(const generate_prompt *prompt, uint64_t sample, uint64_t branch) {
    buffer id = {0};
    buffer_append_string(&id, prompt->id.data);
    if (sample > 0)
        buffer_append_format(&id, ":%" PRIu64, sample);
    if (branch > 0)
        buffer_append_format(&id, ".%" PRIu64, branch);
    json_t *value = id.failed ? NULL : json_string_of(id.data);
    buffer_free(&id);
    return value;
}

json_t *generate_chain_json(const generate_settings *settings) {
    json_t *chain = json_array();
    for (size_t i = 0; i < settings->n_chain; i++)
        if (json_array_append_new(chain, json_string_of(settings->chain[i])) != 0) {
            json_decref(chain);
            return NULL;
        }
    return chain;
}

/* A text under the name "prompt", wherever it was; messages under the name that they have. */
static bool set_prompt(json_t *fields, const generate_prompt *prompt) {
    const text_document *source = &prompt->source;
    const char *key;
    json_t *value;
    if (source->messages == NULL)
        return json_set(fields, "prompt", json_stringn(source->text, source->text_size));
    json_object_foreach(source->fields, key, value) {
        if (value == source->messages)
            return json_object_set(fields, key, value) == 0;
    }
    return false;
}

/* What else the prompt's line has: text and what is written here are not from there. */
static bool set_others(json_t *fields, const generate_prompt *prompt, const generate_settings *settings) {
    static const char *const taken[] = {"text", "sample", "stop",    "rules",      "seed",
                                        "hold", "parent", "fork_at", "context_ids"};
    const char *key, *field = settings->score.texts.field;
    json_t *value;
    json_object_foreach(prompt->source.fields, key, value) {
        bool is_taken = json_object_get(fields, key) != NULL || (field != NULL && strcmp(key, field) == 0);
        for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
            is_taken |= strcmp(key, taken[i]) == 0;
        if (!is_taken && json_object_set(fields, key, value) != 0)
            return false;
    }
    return true;
}

/* What tells the samples of a prompt from those of another; a line's own, if it has one. */
static bool set_prompt_id(json_t *fields, const generate_prompt *prompt) {
    return json_object_get(fields, "prompt_id") != NULL || json_set(fields, "prompt_id", json_string(prompt->id.data));
}

/* As entrol score gives them: what stands before the first row. */
static json_t *context_ids(const generate_prompt *prompt) {
    json_t *ids = json_array();
    for (size_t i = 0; i < prompt->n_tokens; i++)
        if (json_array_append_new(ids, json_integer(prompt->tokens[i])) != 0)
            break;
    return json_array_size(ids) == prompt->n_tokens ? json_pack("[[i, o]]", 0, ids) : NULL;
}

static bool set_fields(json_t *fields, const generate_settings *settings, const generate_prompt *prompt,
                       const made_text *text, bool is_trace) {
    buffer clean = {0};
    generate_append_clean(&clean, text->bytes.data, text->bytes.size);
    bool ok = !clean.failed && json_set(fields, "id", id_of(prompt, text->sample, text->branch)) &&
              set_prompt(fields, prompt) && set_others(fields, prompt, settings) && set_prompt_id(fields, prompt) &&
              json_set(fields, "sample", json_integer((json_int_t)text->sample)) &&
              json_set(fields, "text", json_stringn(clean.size > 0 ? clean.data : "", clean.size)) &&
              json_set(fields, "stop", json_string(text->stop)) &&
              json_set(fields, "rules", generate_chain_json(settings)) &&
              json_set(fields, "seed", json_integer(settings->seed));
    if (ok && !isnan(settings->hold))
        ok = json_set(fields, "hold", json_real(settings->hold));
    if (ok && text->branch > 0)
        ok = json_set(fields, "parent", id_of(prompt, text->sample, text->parent)) &&
             json_set(fields, "fork_at", json_integer((json_int_t)text->fork_at));
    if (ok && is_trace)
        ok = json_set(fields, "context_ids", context_ids(prompt));
    buffer_free(&clean);
    return ok;
}

/* Walks the text beside what is written of it: whole characters, those that end by the place that is asked for. */
typedef struct places {
    const buffer *bytes;
    size_t at, written;
} places;

/* Where byte `at` stands in what is written, which has U+FFFD in the place of what is no UTF-8. */
static size_t written_at(places *places, size_t at) {
    const buffer *bytes = places->bytes;
    while (places->at < at) {
        uint32_t code;
        const size_t n = utf8_next(bytes->data + places->at, bytes->size - places->at, &code);
        const size_t n_written = code == UTF8_BROKEN || code == 0 ? 3 : n;
        const size_t inside = at - places->at;
        if (inside < n) /* a token ends inside the character */
            return places->written + (inside < n_written ? inside : n_written);
        places->at += n;
        places->written += n_written;
    }
    return places->written;
}

static const column_id trace_columns[] = {COLUMN_TOKEN_ID,        COLUMN_TOKEN,       COLUMN_BYTE_START,
                                          COLUMN_BYTE_END,        COLUMN_LOGPROB,     COLUMN_ENTROPY,
                                          COLUMN_VARENTROPY,      COLUMN_TEMPERATURE, COLUMN_SAMPLED_ENTROPY,
                                          COLUMN_SAMPLED_LOGPROB, COLUMN_CANDIDATES};
enum { N_TRACE_COLUMNS = sizeof trace_columns / sizeof *trace_columns };

static bool set_row(document *document, size_t row, const made_token *token, size_t start, size_t end) {
    const entrol_drawn *drawn = &token->drawn;
    document_set_integer(document, COLUMN_TOKEN_ID, row, token->id, true);
    document_set_integer(document, COLUMN_BYTE_START, row, (int64_t)start, true);
    document_set_integer(document, COLUMN_BYTE_END, row, (int64_t)end, true);
    document_set_real(document, COLUMN_LOGPROB, row, drawn->logprob);
    document_set_real(document, COLUMN_ENTROPY, row, drawn->entropy);
    document_set_real(document, COLUMN_VARENTROPY, row, drawn->varentropy);
    document_set_real(document, COLUMN_TEMPERATURE, row, drawn->temperature);
    document_set_real(document, COLUMN_SAMPLED_ENTROPY, row, drawn->sampled_entropy);
    document_set_real(document, COLUMN_SAMPLED_LOGPROB, row, drawn->sampled_logprob);
    document_set_integer(document, COLUMN_CANDIDATES, row, (int64_t)drawn->n_candidates, true);
    char *piece = strdup(token->piece);
    document->columns[COLUMN_TOKEN].strings[row] = piece;
    return piece != NULL;
}

/* What might have come. */
static bool set_top(document *document, const generator *generator, const made_text *text) {
    const size_t n_top = text->top.n;
    static const column_id columns[] = {COLUMN_TOP_ID, COLUMN_TOP_TOKEN, COLUMN_TOP_LOGPROB};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (!document_add_column(document, columns[i], n_top))
            return false;
    for (size_t i = 0; i < text->n_tokens * n_top; i++) {
        const bool exists = text->top.ids[i] >= 0;
        document_set_integer(document, COLUMN_TOP_ID, i, text->top.ids[i], exists);
        document_set_real(document, COLUMN_TOP_LOGPROB, i, exists ? (double)text->top.logprobs[i] : (double)NAN);
    }
    return score_set_top_tokens(document, generator->llama);
}

static bool set_rows(document *document, const made_text *text) {
    document->n_tokens = text->n_tokens;
    for (size_t i = 0; i < N_TRACE_COLUMNS; i++)
        if (!document_add_column(document, trace_columns[i], 1))
            return false;
    size_t start = 0;
    places places = {&text->bytes, 0, 0};
    for (size_t i = 0; i < text->n_tokens; i++) {
        const size_t end = written_at(&places, text->tokens[i].byte_end);
        if (!set_row(document, i, &text->tokens[i], start, end))
            return false;
        start = end;
    }
    return true;
}

/* Statistics in the place of the columns. */
static bool summarise(document *document, const generator *generator, trouble *trouble) {
    const score_totals totals = score_totals_of(document, NULL);
    bool ok = score_sample_fields(generator->context, document, &totals, trouble);
    for (size_t i = 0; i < N_TRACE_COLUMNS; i++)
        document->columns[trace_columns[i]].is_present = false;
    return ok;
}

bool generate_record(document *document, const generator *generator, const generate_prompt *prompt,
                     const made_text *text, bool is_trace, trouble *trouble) {
    *document = (struct document){.fields = json_object()};
    bool ok = document->fields != NULL && set_fields(document->fields, generator->settings, prompt, text, is_trace) &&
              set_rows(document, text) && (!is_trace || text->top.n == 0 || set_top(document, generator, text));
    if (!ok)
        return trouble_set(trouble, "%s: out of memory", prompt->id.data);
    document->id = strdup(json_string_value(json_object_get(document->fields, "id")));
    document->text = json_string_value(json_object_get(document->fields, "text"));
    document->text_size = json_string_length(json_object_get(document->fields, "text"));
    if (document->id == NULL)
        return trouble_set(trouble, "%s: out of memory", prompt->id.data);
    return is_trace || summarise(document, generator, trouble);
}

#endif
