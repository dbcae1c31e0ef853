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
    [COLUMN_REFERENCE_LOGPROB] = {"reference_logprob", COLUMN_REAL, false, false,
                                  "ln of its probability under a reference model"},
    [COLUMN_REFERENCE_ENTROPY] = {"reference_entropy", COLUMN_REAL, false, false, "the reference model's entropy"},
    [COLUMN_KL_PQ] = {"kl_pq", COLUMN_REAL, false, false, "KL(model||reference)"},
    [COLUMN_KL_QP] = {"kl_qp", COLUMN_REAL, false, false, "KL(reference||model)"},
    [COLUMN_JSD] = {"jsd", COLUMN_REAL, false, false, "the Jensen-Shannon divergence of the two"},
    [COLUMN_AGREE] = {"agree", COLUMN_FLAG, false, false, "whether both have the same most probable token"},
    [COLUMN_MEAN_ENTROPY] = {"mean_entropy", COLUMN_REAL, false, false, "the entropy of the mean of all models"},
    [COLUMN_BALD] = {"bald", COLUMN_REAL, false, false, "mean_entropy less the mean of their entropies"},
    [COLUMN_TEMPERATURE] = {"temperature", COLUMN_REAL, false, false, "the temperature that its rules came to"},
    [COLUMN_SAMPLED_ENTROPY] = {"sampled_entropy", COLUMN_REAL, false, false, "the entropy of what it was drawn from"},
    [COLUMN_SAMPLED_LOGPROB] = {"sampled_logprob", COLUMN_REAL, false, false, "ln of its probability there"},
    [COLUMN_CANDIDATES] = {"candidates", COLUMN_INTEGER, false, false, "how many tokens the rules left"},
    [COLUMN_KEEP] = {"keep", COLUMN_FLAG, false, false, "whether a rule kept the token"},
    [COLUMN_WEIGHT] = {"weight", COLUMN_REAL, false, false, "the token's weight in a loss"},
};

#define ALL_COLUMNS (COLUMN_BIT(COLUMN_COUNT) - 1)
const record_wanted record_everything = {.columns = ALL_COLUMNS, .fields = true};
const record_wanted record_whole_line = {
    .columns = ALL_COLUMNS, .fields = true, .least = {~ALL_COLUMNS, ~ALL_COLUMNS}}; /* which no document has */

bool record_wants(const record_wanted *wanted, column_id id) {
    const column_set always = COLUMN_BIT(COLUMN_BYTE_START) | COLUMN_BIT(COLUMN_BYTE_END);
    return ((wanted->columns | always) & COLUMN_BIT(id)) != 0;
}

bool record_has_enough(const document *document, const record_wanted *wanted) {
    column_set has = 0;
    for (int id = 0; id < COLUMN_COUNT; id++)
        has |= document->columns[id].is_present ? COLUMN_BIT(id) : 0;
    return (wanted->least[0] & ~has) == 0 || (wanted->least[1] & ~has) == 0;
}

column_id record_find_column(const char *name, size_t n_bytes) {
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const char *known = record_columns[id].name;
        if (n_bytes > 0 && known[0] == name[0] && strlen(known) == n_bytes && memcmp(known, name, n_bytes) == 0)
            return (column_id)id;
    }
    return COLUMN_COUNT;
}

bool record_can_score(column_id id) {
    return id != COLUMN_ENTROPY_LOWER && id != COLUMN_ENTROPY_UPPER && id < COLUMN_REFERENCE_LOGPROB;
}

bool record_can_compare(column_id id) {
    return id >= COLUMN_REFERENCE_LOGPROB && id <= COLUMN_BALD;
}

bool record_is_measured(const json_t *fields) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (record_columns[id].type == COLUMN_REAL && id != COLUMN_WEIGHT &&
            json_is_array(json_object_get(fields, record_columns[id].name)))
            return true;
    return json_is_number(json_object_get(fields, "n_tokens")) && json_object_get(fields, "entropy_mean");
}

bool record_can_score_recorded(column_id id) {
    switch (id) {
    case COLUMN_ENTROPY_LOWER:
    case COLUMN_ENTROPY_UPPER:
        return true;
    case COLUMN_ENTROPY:
    case COLUMN_VARENTROPY:
    case COLUMN_SUM_P_SQUARED:
    case COLUMN_RENYI:
    case COLUMN_LOGSUMEXP:
        return false;
    default:
        return record_can_score(id);
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

void document_clear(document *document) {
    column columns[COLUMN_COUNT];
    for (int id = 0; id < COLUMN_COUNT; id++) {
        if (document->columns[id].strings)
            column_free(&document->columns[id], document->n_tokens);
        document->columns[id].is_present = false;
    }
    memcpy(columns, document->columns, sizeof columns);
    memset(document->columns, 0, sizeof document->columns);
    document_free(document);
    memcpy(document->columns, columns, sizeof columns);
}

void document_free(document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        column_free(&document->columns[id], document->n_tokens);
    json_decref(document->fields);
    free((char *)document->id);
    *document = (struct document){0};
}

/* Anew; what it held is lost. */
static bool make_room(column *column, column_type type, size_t n) {
    column_free(column, 0);
    column->capacity = n;
    column->valid = malloc(n);
    if (type == COLUMN_REAL)
        column->reals = malloc(n * sizeof *column->reals);
    else if (type == COLUMN_STRING)
        column->strings = malloc(n * sizeof *column->strings);
    else
        column->integers = malloc(n * sizeof *column->integers);
    return column->valid && (column->reals || column->integers || column->strings);
}

bool document_add_column(document *document, column_id id, size_t width) {
    column *column = &document->columns[id];
    const column_type type = record_columns[id].type;
    if (type == COLUMN_STRING)
        column_free(column, document->n_tokens);
    if (width > 0 && document->n_tokens > SIZE_MAX / 16 / width)
        return false;
    const size_t n = document->n_tokens * width, room = n > 0 ? n : 1; /* no malloc(0): it may be NULL */
    if (room > column->capacity && !make_room(column, type, room)) {
        column_free(column, 0);
        return false;
    }
    memset(column->valid, 1, room);
    if (type == COLUMN_REAL)
        memset(column->reals, 0, room * sizeof *column->reals); /* the bits of 0 */
    else if (type == COLUMN_STRING)
        memset(column->strings, 0, room * sizeof *column->strings); /* and of NULL */
    else
        memset(column->integers, 0, room * sizeof *column->integers);
    column->width = width;
    column->is_present = true;
    return true;
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

static bool has_any_column(const document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (document->columns[id].is_present)
            return true;
    return false;
}

const char *document_lacks_columns(const document *document) {
    if (has_any_column(document))
        return "";
    if (document->probs)
        return "; the rows of an .npy array are class probabilities for entrol select --level sample, or logits for "
               "entrol "
               "score";
    if (json_object_get(document->fields, "probs"))
        return "; the line holds class probabilities: entrol select --level sample is for these";
    if (json_is_number(json_object_get(document->fields, "n_tokens")))
        return "; the line has no columns: these are statistics of documents (entrol score --level sample)";
    return "; the line has no columns: entrol score makes token records of texts";
}

/* What follows from columns: of_first times one, and of_second times another. */
typedef struct derived_value {
    const char *name;
    column_id first, second; /* COLUMN_COUNT: no second */
    double of_first, of_second;
} derived_value;

static const derived_value derived_values[] = {
    {"surprisal", COLUMN_LOGPROB, COLUMN_COUNT, -1, 0},
    {"confidence", COLUMN_MEAN_TOPK_LOGPROB, COLUMN_COUNT, -1, 0}, /* DeepConf's, arXiv 2508.15260 */
    {"surprisal_excess", COLUMN_LOGPROB, COLUMN_ENTROPY, -1, -1},
    {"reference_surprisal", COLUMN_REFERENCE_LOGPROB, COLUMN_COUNT, -1, 0},
    {"excess_loss", COLUMN_REFERENCE_LOGPROB, COLUMN_LOGPROB, 1, -1}, /* Rho-1's, arXiv 2404.07965 */
};
enum { N_DERIVED = sizeof(derived_values) / sizeof(derived_values[0]) };

static const char POSITION[] = "position";

const char *document_derived_name(size_t index) {
    return index < N_DERIVED ? derived_values[index].name : index == N_DERIVED ? POSITION : NULL;
}

/* A column as a value: once itself. False for what is neither. */
static bool find_value(derived_value *found, const char *by) {
    for (size_t i = 0; i < N_DERIVED; i++)
        if (strcmp(derived_values[i].name, by) == 0) {
            *found = derived_values[i];
            return true;
        }
    *found = (derived_value){by, record_find_column(by, strlen(by)), COLUMN_COUNT, 1, 0};
    return found->first < COLUMN_COUNT;
}

column_set record_columns_of(const char *by) {
    derived_value found;
    if (strcmp(by, POSITION) == 0 || !find_value(&found, by))
        return 0;
    return COLUMN_BIT(found.first) | (found.second < COLUMN_COUNT ? COLUMN_BIT(found.second) : 0);
}

bool document_has_values_of(const char *by) {
    derived_value found;
    if (strcmp(by, POSITION) == 0)
        return true;
    return find_value(&found, by) && record_columns[found.first].type != COLUMN_STRING &&
           !record_columns[found.first].is_list;
}

static bool has_column(const document *document, column_id id) {
    return id == COLUMN_COUNT || document->columns[id].is_present;
}

bool document_has(const document *document, const char *by) {
    derived_value found;
    if (strcmp(by, POSITION) == 0)
        return has_any_column(document);
    return find_value(&found, by) && has_column(document, found.first) && has_column(document, found.second);
}

/* How a column that is not there comes about. */
static const char *maker_of(column_id id) {
    switch (id) {
    case COLUMN_KEEP:
    case COLUMN_WEIGHT:
        return "; entrol select writes it";
    case COLUMN_REFERENCE_LOGPROB:
    case COLUMN_REFERENCE_ENTROPY:
        return "; entrol compare writes it, and entrol select --reference takes it from the records of another model";
    case COLUMN_KL_PQ:
    case COLUMN_KL_QP:
    case COLUMN_JSD:
    case COLUMN_AGREE:
    case COLUMN_MEAN_ENTROPY:
    case COLUMN_BALD:
        return "; entrol compare writes it";
    case COLUMN_TEMPERATURE:
    case COLUMN_SAMPLED_ENTROPY:
    case COLUMN_SAMPLED_LOGPROB:
    case COLUMN_CANDIDATES:
        return "; entrol generate --trace writes it";
    case COLUMN_ENTROPY_LOWER:
    case COLUMN_ENTROPY_UPPER:
        return "; entrol score writes it of recorded log-probabilities";
    default:
        return "";
    }
}

static bool report_unknown(const char *by, trouble *trouble) {
    suggestion suggestion = suggestion_for(by);
    for (int i = 0; i < COLUMN_COUNT; i++)
        suggestion_offer(&suggestion, record_columns[i].name);
    for (size_t i = 0; document_derived_name(i) != NULL; i++)
        suggestion_offer(&suggestion, document_derived_name(i));
    return trouble_set(trouble, "unknown column \"%s\"%s%s%s", by, suggestion.best ? "; did you mean \"" : "",
                       suggestion.best ? suggestion.best : "", suggestion.best ? "\"?" : "");
}

static bool report_missing(const document *document, const char *by, trouble *trouble) {
    const unsigned long long line = document->line_number;
    const char *lack = document_lacks_columns(document);
    derived_value found;
    if (!find_value(&found, by))
        return report_unknown(by, trouble);
    const column_id id = has_column(document, found.first) ? found.second : found.first;
    const char *name = record_columns[id].name;
    if (id == COLUMN_ENTROPY && document->columns[COLUMN_ENTROPY_LOWER].is_present)
        return trouble_set(trouble,
                           "%s:%llu (%s): no column \"entropy\": of recorded log-probabilities only its bounds are "
                           "known, entropy_lower and entropy_upper (--by names one)",
                           document->name, line, document->id);
    if (document->fields && json_object_get(document->fields, name))
        return trouble_set(trouble, "%s:%llu (%s): \"%s\" is no array with one value a token", document->name, line,
                           document->id, name);
    if (record_can_score(id))
        return trouble_set(trouble, "%s:%llu (%s): no column \"%s\"%s%s%s", document->name, line, document->id, name,
                           *lack ? lack : "; entrol score --columns ", *lack ? "" : name, *lack ? "" : " writes it");
    return trouble_set(trouble, "%s:%llu (%s): no column \"%s\"%s", document->name, line, document->id, name,
                       maker_of(id));
}

static double value_at(const column *column, size_t token) {
    return column->reals ? (double)column->reals[token] : (double)column->integers[token];
}

static void derive(float *values, uint8_t *valid, const document *document, const derived_value *what) {
    const column *first = &document->columns[what->first];
    const column *second = what->second < COLUMN_COUNT ? &document->columns[what->second] : NULL;
    for (size_t i = 0; i < document->n_tokens; i++) {
        valid[i] = first->valid[i] && (!second || second->valid[i]);
        values[i] = NAN;
        if (!valid[i])
            continue;
        double value = what->of_first * value_at(first, i);
        if (second)
            value += what->of_second * value_at(second, i);
        values[i] = (float)(value + 0.0); /* no -0 */
    }
}

bool document_values(const document *document, const char *by, float **values, uint8_t **valid, trouble *trouble) {
    const bool is_position = strcmp(by, POSITION) == 0;
    derived_value what = {0};
    if (!document_has(document, by))
        return report_missing(document, by, trouble);
    if (!document_has_values_of(by))
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
    for (size_t i = 0; is_position && i < n; i++) {
        (*values)[i] = (float)i;
        (*valid)[i] = 1;
    }
    if (!is_position && find_value(&what, by))
        derive(*values, *valid, document, &what);
    return true;
}
