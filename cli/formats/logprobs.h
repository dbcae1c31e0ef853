/* Recorded log-probabilities, as servers answer with them: what a line or a file holds is told by its members.
 *
 * The formats are one table (logprobs.c): a name, how to recognise an object of it, how to read one. One file a family
 * (logprobs_*.c). However a format writes them, what is read are choices: sequences of tokens, each with the
 * log-probability of the one that came and those of the most probable ones. */
#ifndef CLI_FORMATS_LOGPROBS_H
#define CLI_FORMATS_LOGPROBS_H

#include "../buffer.h"
#include "../input.h"

#include <jansson.h>
#include <stdint.h>

/* One possible token at a place. */
typedef struct logprobs_entry {
    double logprob;   /* -inf where a server writes -9999 or less for it; NaN: none is given */
    int64_t id, rank; /* -1 and 0: not given */
    const char *text; /* its bytes, which may be no UTF-8; NULL: not given */
    size_t n_bytes;
    bool is_damaged; /* U+FFFD stands in the text, for a part of a character: which bytes it had is lost */
    size_t place;    /* in the list that it stood in */
} logprobs_entry;

/* What a list of the most probable tokens holds. */
typedef enum logprobs_list {
    LOGPROBS_TOP,             /* these, k of them, the token that came among them or not */
    LOGPROBS_TOP_AND_CHOSEN,  /* and the token that came where it is none of them: k or k + 1 */
    LOGPROBS_TEXT_AND_CHOSEN, /* the same as an object, in which of all tokens with the same text one is left */
    LOGPROBS_CHOSEN_FIRST     /* the token that came, and then of these as many as make k */
} logprobs_list;

/* One place of a sequence. Its most probable tokens are top[first_top .. first_top + n_top) of the choice, best first.
 */
typedef struct logprobs_token {
    logprobs_entry chosen;
    logprobs_list list;
    size_t first_top, n_top;
    double outside; /* the log-probability of one more token that is known, none of these; NaN: there is none */
    int64_t rank;   /* of the chosen one; 0: unknown */
    bool is_ranked; /* no other token is more probable than these, as far as there are any */
} logprobs_token;

/* One sequence of a response. */
typedef struct logprobs_choice {
    logprobs_token *tokens;
    logprobs_entry *top;
    size_t n_tokens, n_top, tokens_capacity, top_capacity;
    bool has_text;     /* that of every token is known */
    const char *whole; /* the text of the tokens from first_of_whole on, as the response has it; NULL: not given */
    size_t whole_size, first_of_whole;
} logprobs_choice;

typedef struct logprobs_format logprobs_format;

/* What one response holds. */
typedef struct logprobs {
    const logprobs_format *format;
    logprobs_choice *choices;
    size_t n_choices, choices_capacity;
    const json_t *id;                     /* the response's own; NULL: it has none. Borrowed, as all texts are */
    bool is_post_sampling;                /* probabilities of what was drawn from, after the sampling rules */
    double logprob_error, relative_error; /* of the numbers, as far as their digits tell: entrol_top_logprobs' */
    json_t *kept;                         /* the texts that had to be made */
    const json_t *line, *list_of_choices; /* the whole object, and the array in it that holds the choices or NULL */
    json_t *consumed;                     /* an array of what of it the choices hold */
} logprobs;

/* Whether a line ends as the first of an object over several lines does. */
bool logprobs_goes_on(const char *line, size_t n_bytes);
/* What is left of a file, behind a line that has been read (empty: none), as one JSON document: an array of responses,
 * or one, which becomes an array. NULL with trouble; *is_other where it is JSON, but no response. */
json_t *logprobs_read_document(input *input, const char *line, size_t n_bytes, bool *is_other, trouble *trouble);

/* The most probable tokens of a place, n_top of them. */
logprobs_entry *logprobs_top_of(const logprobs_choice *choice, const logprobs_token *token);

/* NULL where the object is no recorded response. */
const logprobs_format *logprobs_recognise(const json_t *line);
const char *logprobs_format_name(const logprobs_format *format);
/* Every name, one after the other, with ", " between them: for --help. */
void logprobs_append_names(buffer *buffer);

/* Reads a recognised line, which must outlive it. Trouble names file, line, choice and token. logprobs_free it in any
 * case. */
bool logprobs_read(logprobs *response, const logprobs_format *format, const json_t *line, const char *name,
                   uint64_t line_number, trouble *trouble);
void logprobs_free(logprobs *response);

/* The text of a choice, as UTF-8, and where each token ends in it (n_tokens ends): the pieces one after the other.
 * Where all of the text is given, a damaged piece is what stands there. False where memory is out. */
bool logprobs_join(buffer *text, size_t *ends, const logprobs_choice *choice);
/* The line's other members, without what the choices hold; of the choices those of number `index` only. NULL: out of
 * memory. */
json_t *logprobs_fields(const logprobs *response, size_t index);

#endif
