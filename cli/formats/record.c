/* Token records in memory: the table of columns, making and freeing them, reading them as values. */
#include "record.h"
#include "record_parts.h"
#include "../suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const column_info record_columns[COLUMN_COUNT] = {
    [COLUMN_TOKEN_ID] = {"token_id", COLUMN_INTEGER, true, false, "the token's number in the vocabulary"},
    [COLUMN_TOKEN] = {"token", COLUMN_STRING, false, false, "its text, for display"},
    [COLUMN_BYTE_START] = {"byte_start", COLUMN_INTEGER, true, false, "where it starts in the text"},
    [COLUMN_BYTE_END] = {"byte_end", COLUMN_INTEGER, true, false, "where it ends, exclusive"},
    [COLUMN_LOGPROB] = {"logprob", COLUMN_REAL, true, false, "ln of its probability; the surprisal is -logprob"},
    [COLUMN_ENTROPY] = {"entropy", COLUMN_REAL, true, false, "the entropy of the distribution it came from"},
    [COLUMN_ENTROPY_LOWER] = {"entropy_lower", COLUMN_REAL, false, false, "a lower bound where only the top is known"},
    [COLUMN_ENTROPY_UPPER] = {"entropy_upper", COLUMN_REAL, false, false, "an upper bound where only the top is known"},
    [COLUMN_VARENTROPY] = {"varentropy", COLUMN_REAL, false, false, "the variance of the surprisal"},
    [COLUMN_TOP_PROB] = {"top_prob", COLUMN_REAL, false, false, "the greatest probability"},
    [COLUMN_MARGIN] = {"margin", COLUMN_REAL, false, false, "the greatest probability minus the second"},
    [COLUMN_RANK] = {"rank", COLUMN_INTEGER, true, false, "1 + the number of more probable tokens"},
    [COLUMN_SUM_P_SQUARED] = {"sum_p_squared", COLUMN_REAL, false, false, "the sum of squared probabilities"},
    [COLUMN_RENYI] = {"renyi", COLUMN_REAL, false, false, "the Renyi entropy"},
    [COLUMN_LOGSUMEXP] = {"logsumexp", COLUMN_REAL, false, false, "ln of the sum of exp(logits)"},
    [COLUMN_TAIL_MASS] = {"tail_mass", COLUMN_REAL, false, false, "the probability outside the known top"},
    [COLUMN_MEAN_TOPK_LOGPROB] = {"mean_topk_logprob", COLUMN_REAL, false, false, "the mean logprob of the known top"},
    [COLUMN_TOP_ID] = {"top_id", COLUMN_INTEGER, false, true, "the most probable tokens, best first"},
    [COLUMN_TOP_TOKEN] = {"top_token", COLUMN_STRING, false, true, "their texts, for display"},
    [COLUMN_TOP_LOGPROB] = {"top_logprob", COLUMN_REAL, false, true, "ln of their probabilities"},
    [COLUMN_KEEP] = {"keep", COLUMN_FLAG, false, false, "whether a rule kept the token"},
    [COLUMN_WEIGHT] = {"weight", COLUMN_REAL, false, false, "the token's weight in a loss"},
};

column_id record_find_column(const char *name, size_t n_bytes) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (strlen(record_columns[id].name) == n_bytes && memcmp(record_columns[id].name, name, n_bytes) == 0)
            return (column_id)id;
    return COLUMN_COUNT;
}

bool record_can_score(column_id id) {
    return id != COLUMN_ENTROPY_LOWER && id != COLUMN_ENTROPY_UPPER && id != COLUMN_KEEP && id != COLUMN_WEIGHT;
}

bool record_can_score_recorded(column_id id) {
    switch (id) {
    case COLUMN_ENTROPY:
    case COLUMN_VARENTROPY:
    case COLUMN_SUM_P_SQUARED:
    case COLUMN_RENYI:
    case COLUMN_LOGSUMEXP:
    case COLUMN_KEEP:
    case COLUMN_WEIGHT:
        return false;
    default:
        return true;
    }
}

void column_free(column *column, size_t n_tokens) {
    for (size_t i = 0; column->strings && i < n_tokens * column->width; i++)
        free(column->strings[i]);
    free(column->strings);
    free(column->reals);
    free(column->integers);
    free(column->valid);
    *column = (struct column){0};
}

void document_free(document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        column_free(&document->columns[id], document->n_tokens);
    json_decref(document->fields);
    free((char *)document->id);
    *document = (struct document){0};
}

bool document_add_column(document *document, column_id id, size_t width) {
    column *column = &document->columns[id];
    column_free(column, document->n_tokens);
    if (width > 0 && document->n_tokens > SIZE_MAX / 16 / width)
        return false;
    size_t n = document->n_tokens * width, room = n > 0 ? n : 1; /* no malloc(0): it may be NULL */
    void *values = NULL;
    column->valid = malloc(room);
    if (record_columns[id].type == COLUMN_REAL)
        values = column->reals = calloc(room, sizeof *column->reals);
    else if (record_columns[id].type == COLUMN_STRING)
        values = column->strings = calloc(room, sizeof *column->strings);
    else
        values = column->integers = calloc(room, sizeof *column->integers);
    column->width = width;
    column->is_present = true;
    if (column->valid && values) {
        memset(column->valid, 1, room);
        return true;
    }
    column_free(column, document->n_tokens);
    return false;
}

void document_set_real(document *document, column_id id, size_t slot, double value) {
    column *column = &document->columns[id];
    if (!column->is_present)
        return;
    column->valid[slot] = 1;
    if (isnan(value))
        column->valid[slot] = 0;
    column->reals[slot] = (float)value;
}

void document_set_integer(document *document, column_id id, size_t slot, int64_t value, bool exists) {
    column *column = &document->columns[id];
    if (!column->is_present)
        return;
    column->valid[slot] = exists ? 1 : 0;
    column->integers[slot] = exists ? value : 0;
}

const char *document_lacks_columns(const document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present)
            return "";
    if (json_is_number(json_object_get(document->fields, "n_tokens")))
        return "; the line has no columns: these are statistics of documents (entrol score --level sample)";
    return "; the line has no columns: entrol score makes token records of texts";
}

static bool report_missing(const document *document, const char *by, column_id id, trouble *trouble) {
    unsigned long long line = document->line_number;
    const char *lack = document_lacks_columns(document);
    if (id < COLUMN_COUNT && document->fields && json_object_get(document->fields, record_columns[id].name))
        return trouble_set(trouble, "%s:%llu (%s): \"%s\" is no array with one value a token", document->name, line,
                           document->id, record_columns[id].name);
    if (id == COLUMN_ENTROPY && document->columns[COLUMN_ENTROPY_LOWER].is_present)
        return trouble_set(trouble,
                           "%s:%llu (%s): no column \"entropy\": of recorded log-probabilities only its bounds are "
                           "known, entropy_lower and entropy_upper",
                           document->name, line, document->id);
    if (id < COLUMN_COUNT && record_can_score(id))
        return trouble_set(trouble, "%s:%llu (%s): no column \"%s\"%s%s%s", document->name, line, document->id,
                           record_columns[id].name, *lack ? lack : "; entrol score --columns ",
                           *lack ? "" : record_columns[id].name, *lack ? "" : " writes it");
    if (id < COLUMN_COUNT)
        return trouble_set(trouble, "%s:%llu (%s): no column \"%s\"%s", document->name, line, document->id,
                           record_columns[id].name, id == COLUMN_KEEP ? "; entrol select writes it" : "");
    suggestion suggestion = suggestion_for(by);
    for (int i = 0; i < COLUMN_COUNT; i++)
        suggestion_offer(&suggestion, record_columns[i].name);
    suggestion_offer(&suggestion, "surprisal");
    suggestion_offer(&suggestion, "position");
    return trouble_set(trouble, "unknown column \"%s\"%s%s%s", by, suggestion.best ? "; did you mean \"" : "",
                       suggestion.best ? suggestion.best : "", suggestion.best ? "\"?" : "");
}

static void copy_values(float *values, uint8_t *valid, const column *column, size_t n_tokens, bool negate) {
    for (size_t i = 0; i < n_tokens; i++) {
        float value = column->reals ? column->reals[i] : (float)column->integers[i];
        valid[i] = column->valid[i];
        values[i] = valid[i] ? (negate ? 0 - value : value) : NAN; /* no -0 */
    }
}

bool document_values(const document *document, const char *by, float **values, uint8_t **valid, trouble *trouble) {
    bool is_surprisal = strcmp(by, "surprisal") == 0, is_position = strcmp(by, "position") == 0;
    const char *name = is_surprisal ? "logprob" : by;
    column_id id = record_find_column(name, strlen(name));
    if (!is_position && (id == COLUMN_COUNT || !document->columns[id].is_present))
        return report_missing(document, by, id, trouble);
    const column *column = is_position ? NULL : &document->columns[id];
    if (column && (column->strings || record_columns[id].is_list))
        return trouble_set(trouble, "the column \"%s\" does not hold one number a token", by);
    size_t n = document->n_tokens, room = n > 0 ? n : 1;
    *values = malloc(room * sizeof **values);
    *valid = malloc(room);
    if (!*values || !*valid) {
        free(*values);
        free(*valid);
        *values = NULL;
        *valid = NULL;
        return trouble_set(trouble, "out of memory");
    }
    if (column)
        copy_values(*values, *valid, column, n, is_surprisal);
    for (size_t i = 0; is_position && i < n; i++) {
        (*values)[i] = (float)i;
        (*valid)[i] = 1;
    }
    return true;
}
