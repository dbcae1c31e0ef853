/* Token records as files: JSON Lines, one document a line, one array a column.
 *
 * The columns are one table; readers, writers, --columns and --help walk it. null is missing, "NaN",
 * "Infinity" and "-Infinity" are strings; a column that was not measured is absent. Always nats. */
#ifndef CLI_FORMATS_RECORD_H
#define CLI_FORMATS_RECORD_H

#include "../buffer.h"
#include "../input.h"

#include <jansson.h>
#include <stdint.h>

typedef enum column_type {
    COLUMN_REAL,
    COLUMN_INTEGER,
    COLUMN_STRING,
    COLUMN_FLAG /* true, false or null; in memory 1, 0 in integers */
} column_type;

typedef struct column_info {
    const char *name;
    column_type type;
    bool by_default; /* score writes it unless --columns says otherwise */
    bool is_list;    /* width values a token: an array of arrays */
    const char *help;
} column_info;

typedef enum column_id {
    COLUMN_TOKEN_ID,
    COLUMN_TOKEN,
    COLUMN_BYTE_START,
    COLUMN_BYTE_END,
    COLUMN_LOGPROB,
    COLUMN_ENTROPY,
    COLUMN_ENTROPY_LOWER,
    COLUMN_ENTROPY_UPPER,
    COLUMN_VARENTROPY,
    COLUMN_TOP_PROB,
    COLUMN_MARGIN,
    COLUMN_RANK,
    COLUMN_SUM_P_SQUARED,
    COLUMN_RENYI,
    COLUMN_LOGSUMEXP,
    COLUMN_TAIL_MASS,
    COLUMN_MEAN_TOPK_LOGPROB,
    COLUMN_TOP_ID,
    COLUMN_TOP_TOKEN,
    COLUMN_TOP_LOGPROB,
    COLUMN_REFERENCE_LOGPROB,
    COLUMN_REFERENCE_ENTROPY,
    COLUMN_KL_PQ,
    COLUMN_KL_QP,
    COLUMN_JSD,
    COLUMN_AGREE,
    COLUMN_MEAN_ENTROPY,
    COLUMN_BALD,
    COLUMN_TEMPERATURE,
    COLUMN_SAMPLED_ENTROPY,
    COLUMN_SAMPLED_LOGPROB,
    COLUMN_CANDIDATES,
    COLUMN_KEEP,
    COLUMN_WEIGHT,
    COLUMN_COUNT
} column_id;

extern const column_info record_columns[COLUMN_COUNT];

/* COLUMN_COUNT if there is none of that name. */
column_id record_find_column(const char *name, size_t n_bytes);
/* Whether score --columns writes it of texts and logits. */
bool record_can_score(column_id id);
/* Whether compare --columns writes it besides: what becomes of a row and its references. */
bool record_can_compare(column_id id);

/* Whether a line's fields hold what was measured: a column of score or compare, or their statistics of documents. */
bool record_is_measured(const json_t *fields);
/* Whether it writes it of recorded log-probabilities: bounds in place of the entropy and other statistics of a whole
 * distribution. */
bool record_can_score_recorded(column_id id);

/* Several columns: bits. */
typedef uint64_t column_set;
#define COLUMN_BIT(id) ((column_set)1 << (id))

/* One column of one document. Exactly one of the arrays is set, n_tokens * width long. */
typedef struct column {
    bool is_present;
    size_t width;    /* 1 unless is_list */
    size_t capacity; /* values there is room for, also while it is not present: the next document may need it */
    float *reals;
    int64_t *integers; /* INTEGER, FLAG */
    char **strings;
    uint8_t *valid; /* one byte a value; 0 where the file says null */
} column;

/* Where the members of a line stand that are called like columns. */
typedef struct record_places {
    bool are_known;
    bool is_empty; /* the object has no member at all */
    struct {
        size_t start, end; /* of the value; 0: there is none */
    } values[COLUMN_COUNT];
    size_t close; /* the brace */
} record_places;

/* One document: its columns, and everything else its line holds. */
typedef struct document {
    size_t n_tokens;
    column columns[COLUMN_COUNT];
    json_t *fields;   /* the whole line as an object in its order, but for columns; NULL: not wanted */
    const char *name; /* of the file, for messages; not owned */
    const char *id;   /* as text: the "id" field, else "document N" with N the line number; owned */
    const char *text; /* the "text" field; NULL if absent; owned by fields */
    size_t text_size;
    const char *line; /* the line as it stands in the file, until the next read; NULL: it comes from no line */
    size_t line_size;
    uint64_t line_number; /* of a document that comes from no line: its number in the file, from 1 */
    /* Class probabilities of an .npy file (class_rows.h), n_models rows of n_classes: the member "probs" of its line,
     * which the fields do not have. NULL: none. Not owned. */
    const double *probs;
    size_t n_models, n_classes;
    bool has_models;      /* probs is an array of arrays */
    record_places places; /* in the line */
} document;

/* What is wanted of documents; the rest of a line is checked all the same. */
typedef struct record_wanted {
    column_set columns;  /* those of them that the document has */
    bool fields;         /* what is no column */
    bool is_written;     /* as its line stands: where there is no line, all is wanted */
    column_set least[2]; /* where a document has neither all of these nor all of those, it is read whole */
} record_wanted;

extern const record_wanted record_everything;
/* The same, and columns among the fields, too: slow. */
extern const record_wanted record_whole_line;

/* Reads the next line (records.h reads any container): 1, 0 at the end, -1 for trouble that names file, line and
 * column. Checks that every column is an array of the same length and type, that byte offsets are in order, and where
 * there is a text, that they lie inside it. Frees what the struct held before. */
int record_read(input *input, document *document, trouble *trouble);
/* The same from one line of text. */
bool record_parse(const char *name, uint64_t line_number, const char *line, size_t n_bytes, document *document,
                  trouble *trouble);
void document_free(document *document);
/* The same, but the memory of its columns stays for the next document. */
void document_clear(document *document);

/* One value of a column, if the document has it; a real NaN, or what does not exist, is missing. */
void document_set_real(document *document, column_id id, size_t slot, double value);
void document_set_integer(document *document, column_id id, size_t slot, int64_t value, bool exists);

/* Why a document without columns is no token record: appended to messages, "" where it has some. */
const char *document_lacks_columns(const document *document);
/* Makes room for a column of the document (all valid, zero). False when memory is out. */
bool document_add_column(document *document, column_id id, size_t width);

/* Whether tokens have one number of this name, in some document: a column of numbers, or what follows from columns:
 * surprisal (-logprob), confidence (-mean_topk_logprob), surprisal_excess (surprisal - entropy), reference_surprisal,
 * excess_loss (surprisal - reference_surprisal), position. */
bool document_has_values_of(const char *by);
/* The names of what follows from columns; NULL beyond the last. */
const char *document_derived_name(size_t index);
/* The columns that these values are made of; none for a name without any. */
column_set record_columns_of(const char *by);
/* Whether this document has what it takes. */
bool document_has(const document *document, const char *by);

/* Any of these, read as reals; NaN where missing. Values and valid are malloc'd, n_tokens long. */
bool document_values(const document *document, const char *by, float **values, uint8_t **valid, trouble *trouble);

/* Gives the fields what stands beside them: the member "probs". False when memory is out. */
bool document_fill_fields(document *document);

/* Whether a member of the fields is written as it is: not if it is a column, which fields may hold, or stands in the
 * way of one. */
bool record_keeps_field(const document *document, const char *key, const json_t *value);

/* Appends the document's line, with its newline: first the fields that are not columns, in their order (taken from
 * `fields`, which may be NULL), then the present columns in the table's order. */
void record_write(buffer *buffer, const document *document);

/* Appends `line` with column `id` of the document set: added before the closing brace, or in place of the one that is
 * there; every other byte of the line stays as it is. Without a line, it is record_write. */
void record_write_with_column(buffer *buffer, const document *document, column_id id);
/* The same with two columns. */
void record_write_with_columns(buffer *buffer, const document *document, column_id first, column_id second);

/* The nearest float; false where that is an infinity. (FLT_MAX's own shortest decimal is a little beyond it.) */
bool record_narrow(double number, float *value);

#endif
