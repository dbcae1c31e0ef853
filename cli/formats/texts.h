/* Texts to score: plain text (a file is one document) or JSON Lines, found out by looking; and, where they are asked
 * for, recorded log-probabilities among the lines, or as one JSON document: an object, or an array of them.
 *
 * JSON Lines: a field named by the user; else "text"; else "prompt" and "completion" (the prompt is context only); else
 * Alpaca's "instruction", "input", "output" (all but the output are context, each followed by a newline); else
 * "messages". Every other field is kept. */
#ifndef CLI_FORMATS_TEXTS_H
#define CLI_FORMATS_TEXTS_H

#include "../input.h"
#include "logprobs.h"

#include <jansson.h>

typedef struct text_options {
    const char *field; /* NULL: as above */
    bool plain;        /* --plain: never JSON Lines */
    bool skip_bad;     /* go on after a bad line and count it */
    bool of_prompts;   /* what texts begin with: where no field is named, "prompt", "messages" or "text" */
    bool recorded;     /* take recorded log-probabilities as such, where no field is named */
    /* What is no recorded response is a record and no text: any object is fine, and so is another JSON document, which
     * ends at once. The input stays the caller's. */
    bool of_records;
} text_options;

typedef struct text_document {
    json_t *fields; /* the line's object, NULL for plain text */
    char *text;     /* what is scored, context first, malloc'd; NULL for messages */
    size_t text_size;
    size_t context_size;             /* bytes at its start that are context only */
    json_t *messages;                /* borrowed from fields; NULL unless the line is a conversation */
    const logprobs_format *recorded; /* the fields are a response of this format, and no text; NULL: they are not */
    uint64_t line_number;            /* 0 for plain text; in an array, the number of the response */
} text_document;

typedef struct texts texts;

/* Whether what starts with these bytes can be read as texts: it is not empty, and not UTF-16. */
bool texts_can_start(const char *name, const char *bytes, size_t n, trouble *trouble);
/* The input belongs to the texts from here on, also on failure; NULL gives NULL. */
texts *texts_open_input(input *input, const text_options *options, trouble *trouble);
void texts_close(texts *texts);
/* Frees what the document held before. 1, 0 at the end, -1 for trouble naming file and line. Text is valid UTF-8
 * without NUL. */
int texts_next(texts *texts, text_document *document, trouble *trouble);
/* Where there may be recorded log-probabilities, reads the first document, which texts_next then gives, and says
 * whether it is one. False where it is trouble, which texts_next gives, too. */
bool texts_look(texts *texts, bool *is_recorded);
bool texts_is_document(const texts *texts); /* one JSON document, as far as has been read */
uint64_t texts_n_bad(const texts *texts);   /* lines skipped so far */
/* Whether the last trouble was with a line that skip_bad would pass over, or a whole plain text. */
bool texts_is_at_bad_line(const texts *texts);
void text_document_free(text_document *document);

#endif
