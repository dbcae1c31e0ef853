/* Recorded log-probabilities as documents: what a response tells of each token, and the bounds of its entropy. */
#include "score.h"

#include "../json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool score_is_bounded(const document *document) {
    return document->columns[COLUMN_ENTROPY_LOWER].is_present;
}

/* --- Bounds --- */

static double mass_of(const entrol_top_logprobs *top) {
    const double *logprobs = top->logprobs.data;
    double mass = top->chosen && !isnan(*top->chosen) ? exp(*top->chosen) : 0;
    for (size_t i = 0; i < top->logprobs.n_columns; i++)
        mass += exp(logprobs[i]);
    return mass;
}

static bool say_trouble(const entrol_diagnosis *diagnosis, const entrol_top_logprobs *top, trouble *trouble) {
    switch (diagnosis->reason) {
    case ENTROL_REASON_SUM:
        return trouble_set(trouble, "the probabilities sum to %.6g: more than rounding makes of 1", mass_of(top));
    case ENTROL_REASON_NEGATIVE:
        return trouble_set(trouble, "a log-probability is above 0, and no logarithm of a probability");
    case ENTROL_REASON_COLUMNS:
        if (top->n_columns > 0)
            return trouble_set(trouble,
                               "the probabilities sum to %.6g, and what is left is more than the other tokens of a "
                               "vocabulary of %" PRIu64 " (--vocab-size) can have, none of them more than the least",
                               mass_of(top), top->n_columns);
        return trouble_set(trouble,
                           "the probabilities sum to %.6g, and the least is so small that no vocabulary has tokens "
                           "enough for what is left",
                           mass_of(top));
    default:
        return trouble_set(trouble, "%s", entrol_reason_string(diagnosis->reason));
    }
}

bool score_bounds_of(score_bounds *bounds, entrol_context *context, const entrol_top_logprobs *top, trouble *trouble) {
    const entrol_entropy_interval interval = {sizeof(interval), &bounds->lower, &bounds->upper, &bounds->tail_mass,
                                              &bounds->mean_logprob};
    entrol_diagnosis diagnosis = {0};
    entrol_status status = entrol_entropy_bounds(context, &interval, &diagnosis, top);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "%s: %s", entrol_status_string(status), diagnosis.argument);
    return diagnosis.n_bad == 0 || say_trouble(&diagnosis, top, trouble);
}

/* --- One token --- */

typedef struct recorded {
    document *document;
    entrol_context *context;
    const score_settings *settings;
    const logprobs *response;
    const logprobs_choice *choice;
    double *logprobs; /* room for the longest list */
} recorded;

/* A log-probability of -inf stands for what is not worth telling, or for what cannot be. Where the others leave nothing
 * over, it can not; where they leave something, it is nothing that is known. */
static size_t count_known(const recorded *recorded, const logprobs_token *token) {
    double left = isfinite(token->outside) ? 1 - exp(token->outside) : 1;
    size_t n_finite = 0;
    for (size_t i = 0; i < token->n_top; i++) {
        left -= exp(recorded->logprobs[i]);
        n_finite += isfinite(recorded->logprobs[i]) ? 1 : 0;
    }
    return left > (double)(token->n_top + 1) * 1e-5 ? n_finite : token->n_top;
}

/* 1; 0 where nothing is known of the place; -1 for trouble. *n_known: of its most probable tokens. */
static int bound_token(score_bounds *bounds, size_t *n_known, const recorded *recorded, const logprobs_token *token,
                       trouble *trouble) {
    const logprobs_entry *top = logprobs_top_of(recorded->choice, token);
    for (size_t i = 0; i < token->n_top; i++)
        recorded->logprobs[i] = top[i].logprob;
    entrol_top_logprobs known = ENTROL_TOP_LOGPROBS_INIT;
    size_t n = *n_known = count_known(recorded, token);
    const double no_cap = 0, cap = token->is_ranked && n > 0 ? NAN : no_cap;
    known.logprobs = (entrol_matrix){recorded->logprobs, ENTROL_F64, 1, n, (ptrdiff_t)n};
    known.chosen = &token->outside;
    known.caps = &cap;
    known.error = recorded->response->logprob_error;
    known.relative_error = recorded->response->relative_error;
    known.n_columns = (uint64_t)recorded->settings->n_vocabulary;
    if (n == 0 && !isfinite(token->outside))
        return 0;
    return score_bounds_of(bounds, recorded->context, &known, trouble) ? 1 : -1;
}

static bool set_string(document *document, column_id id, size_t slot, const logprobs_entry *entry) {
    column *column = &document->columns[id];
    if (!column->is_present)
        return true;
    column->valid[slot] = entry != NULL && entry->text != NULL ? 1 : 0;
    if (column->valid[slot] != 0)
        column->strings[slot] = strndup(entry->text, entry->n_bytes);
    return column->valid[slot] == 0 || column->strings[slot] != NULL;
}

/* The most probable tokens, as many as --top asks for. */
static bool set_top(document *document, size_t row, const logprobs_entry *top, size_t n_top) {
    size_t width = document->columns[COLUMN_TOP_LOGPROB].width;
    for (size_t i = 0; document->columns[COLUMN_TOP_LOGPROB].is_present && i < width; i++) {
        const logprobs_entry *entry = i < n_top ? &top[i] : NULL;
        size_t slot = row * width + i;
        document_set_real(document, COLUMN_TOP_LOGPROB, slot, entry != NULL ? entry->logprob : NAN);
        document_set_integer(document, COLUMN_TOP_ID, slot, entry != NULL ? entry->id : -1,
                             entry != NULL && entry->id >= 0);
        if (!set_string(document, COLUMN_TOP_TOKEN, slot, entry))
            return false;
    }
    return true;
}

static bool check_ids(const recorded *recorded, const logprobs_token *token, trouble *trouble) {
    int64_t n = recorded->settings->n_vocabulary, greatest = token->chosen.id;
    const logprobs_entry *top = logprobs_top_of(recorded->choice, token);
    for (size_t i = 0; i < token->n_top; i++)
        greatest = top[i].id > greatest ? top[i].id : greatest;
    return n == 0 || greatest < n ||
           trouble_set(trouble, "the token %" PRId64 " is outside of a vocabulary of %" PRId64 " (--vocab-size)",
                       greatest, n);
}

static bool set_token(const recorded *recorded, size_t row, trouble *trouble) {
    const logprobs_token *token = &recorded->choice->tokens[row];
    const logprobs_entry *top = logprobs_top_of(recorded->choice, token);
    document *document = recorded->document;
    score_bounds bounds = {NAN, NAN, NAN, NAN};
    size_t n_known;
    if (!check_ids(recorded, token, trouble) || bound_token(&bounds, &n_known, recorded, token, trouble) < 0)
        return false;
    bool has_best = token->is_ranked && n_known > 0;
    double best = has_best ? exp(top[0].logprob) : NAN;
    document_set_integer(document, COLUMN_TOKEN_ID, row, token->chosen.id, token->chosen.id >= 0);
    document_set_real(document, COLUMN_LOGPROB, row, token->chosen.logprob);
    document_set_real(document, COLUMN_ENTROPY_LOWER, row, (double)bounds.lower);
    document_set_real(document, COLUMN_ENTROPY_UPPER, row, (double)bounds.upper);
    document_set_real(document, COLUMN_TAIL_MASS, row, (double)bounds.tail_mass);
    document_set_real(document, COLUMN_MEAN_TOPK_LOGPROB, row, has_best ? (double)bounds.mean_logprob : NAN);
    document_set_real(document, COLUMN_TOP_PROB, row, best);
    document_set_real(document, COLUMN_MARGIN, row, has_best && n_known > 1 ? best - exp(top[1].logprob) : NAN);
    document_set_integer(document, COLUMN_RANK, row, token->rank, token->rank > 0);
    return (set_string(document, COLUMN_TOKEN, row, &token->chosen) && set_top(document, row, top, token->n_top)) ||
           trouble_set(trouble, "out of memory");
}

/* --- The document --- */

typedef struct known_parts {
    bool has_ids, has_top_ids;
    size_t longest; /* list */
} known_parts;

static known_parts find_parts(const logprobs_choice *choice) {
    known_parts parts = {0};
    for (size_t i = 0; i < choice->n_tokens; i++) {
        parts.has_ids = parts.has_ids || choice->tokens[i].chosen.id >= 0;
        parts.longest = choice->tokens[i].n_top > parts.longest ? choice->tokens[i].n_top : parts.longest;
    }
    for (size_t i = 0; i < choice->n_top && !parts.has_top_ids; i++)
        parts.has_top_ids = choice->top[i].id >= 0;
    return parts;
}

static const char *lack_of(column_id id, const known_parts *parts, bool has_text) {
    bool is_text = id == COLUMN_TOKEN || id == COLUMN_BYTE_START || id == COLUMN_BYTE_END;
    if (!record_can_score_recorded(id))
        return "of recorded log-probabilities only the bounds of the entropy are known, entropy_lower and "
               "entropy_upper";
    if (id == COLUMN_TOKEN_ID && !parts->has_ids)
        return "the tokens' numbers were not recorded";
    return is_text && !has_text ? "the tokens' texts were not recorded" : NULL;
}

/* Totals need some of them whether they are written or not. */
static bool is_needed(column_id id) {
    return id == COLUMN_LOGPROB || id == COLUMN_ENTROPY_LOWER || id == COLUMN_ENTROPY_UPPER || id == COLUMN_TAIL_MASS ||
           id == COLUMN_BYTE_START || id == COLUMN_BYTE_END;
}

static bool add_columns(const recorded *recorded, trouble *trouble) {
    const score_settings *settings = recorded->settings;
    known_parts parts = find_parts(recorded->choice);
    size_t n_top = (size_t)settings->n_top, width = n_top < parts.longest ? n_top : parts.longest;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column_id id = (column_id)i;
        const char *lack = lack_of(id, &parts, recorded->choice->has_text);
        if (lack != NULL && settings->named[id])
            return trouble_set(trouble, "--columns %s: %s", record_columns[id].name, lack);
        bool is_empty = record_columns[id].is_list && (width == 0 || (id == COLUMN_TOP_ID && !parts.has_top_ids));
        if (lack != NULL || is_empty || !(settings->wanted_recorded[id] || is_needed(id)))
            continue;
        if (!document_add_column(recorded->document, id, record_columns[id].is_list ? width : 1))
            return trouble_set(trouble, "out of memory for %zu tokens", recorded->document->n_tokens);
    }
    return true;
}

static void set_offsets(document *document, const size_t *ends) {
    for (size_t i = 0; i < document->n_tokens; i++) {
        document_set_integer(document, COLUMN_BYTE_START, i, i > 0 ? (int64_t)ends[i - 1] : 0, true);
        document_set_integer(document, COLUMN_BYTE_END, i, (int64_t)ends[i], true);
    }
}

/* Where the pieces are known, the text that they make and their places in it. */
static bool set_text(const recorded *recorded, trouble *trouble) {
    document *document = recorded->document;
    buffer text = {0};
    if (!recorded->choice->has_text)
        return true;
    size_t *ends = calloc(document->n_tokens + 1, sizeof(*ends));
    bool ok = ends != NULL && logprobs_join(&text, ends, recorded->choice) &&
              json_object_set_new(document->fields, "text", json_stringn(text.data, text.size)) == 0;
    if (ok)
        set_offsets(document, ends);
    free(ends);
    buffer_free(&text);
    return ok || trouble_set(trouble, "out of memory");
}

static json_t *make_id(const logprobs *response, size_t index, const char *default_id) {
    buffer text = {0};
    if (response->id != NULL && index == 0)
        return json_incref((json_t *)response->id);
    if (json_is_string(response->id))
        buffer_append(&text, json_string_value(response->id), json_string_length(response->id));
    else if (response->id != NULL)
        json_append(&text, response->id);
    else
        buffer_append_utf8(&text, default_id, strlen(default_id));
    if (index > 0)
        buffer_append_format(&text, ":%zu", index);
    json_t *id = text.failed ? NULL : json_stringn(text.data, text.size);
    buffer_free(&text);
    return id;
}

/* What the choices of one response have in common: of a batch's results, whose custom_id the id is, the request's own
 * id; else, of several choices, the response's. */
static bool set_request(json_t *fields, const logprobs *response, const json_t *own, const char *default_id) {
    if (own != NULL && !json_is_null(own) && !json_equal(own, response->id))
        return json_object_set(fields, "request_id", (json_t *)own) == 0;
    if (response->n_choices < 2)
        return true;
    return json_object_set_new(fields, "request_id", make_id(response, 0, default_id)) == 0;
}

/* "id" first, then the line's other members. */
static bool set_fields(const recorded *recorded, size_t index, const char *default_id, trouble *trouble) {
    json_t *others = logprobs_fields(recorded->response, index), *fields = json_object();
    json_t *own = json_object_get(others, "id"), *id = make_id(recorded->response, index, default_id);
    bool ok = others != NULL && json_object_set_new(fields, "id", id) == 0;
    ok = ok && set_request(fields, recorded->response, own, default_id) &&
         json_object_update_missing(fields, others) == 0;
    json_decref(others);
    recorded->document->fields = fields;
    return ok || trouble_set(trouble, "out of memory");
}

bool score_recorded(document *result, entrol_context *context, const score_settings *settings, const logprobs *response,
                    size_t index, const char *where, trouble *trouble) {
    const logprobs_choice *choice = &response->choices[index];
    struct trouble of_token = {""};
    recorded recorded = {result, context, settings, response, choice, NULL};
    result->n_tokens = choice->n_tokens;
    recorded.logprobs = malloc((choice->n_top + 1) * sizeof(*recorded.logprobs));
    bool ok = recorded.logprobs != NULL || trouble_set(&of_token, "out of memory");
    ok = ok && add_columns(&recorded, &of_token);
    bool has_columns = ok;
    size_t row = 0;
    while (ok && row < result->n_tokens && (ok = set_token(&recorded, row, &of_token)))
        row++;
    bool is_of_token = has_columns && !ok;
    ok = ok && set_fields(&recorded, index, where, &of_token) && set_text(&recorded, &of_token);
    free(recorded.logprobs);
    if (is_of_token)
        return trouble_set(trouble, "%s: choice %zu, token %zu: %s", where, index, row, of_token.text);
    return ok || trouble_set(trouble, "%s: %s", where, of_token.text);
}
