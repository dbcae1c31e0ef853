/* Documents to score, from plain text or JSON Lines.
 *
 * A file is JSON Lines when its name says so, or when it starts like an object with a member: '{' and '"', or "{}".
 * Whether the line then is valid does not change that, so that a broken first line is an error and not a text. */
#include "texts.h"
#include "../buffer.h"
#include "../json_text.h"

#include <stdlib.h>
#include <string.h>

static const size_t MAX_PLAIN = (size_t)1 << 30; /* a plain file is one document, and is held whole */

struct texts {
    input *input;
    text_options options;
    bool is_json_lines, is_done, is_at_bad_line;
    bool is_document, has_line; /* it is one JSON document; a line that was not blank has been read */
    uint64_t n_bad;
    json_t *responses; /* of one JSON document; NULL: a file of lines */
    size_t n_given;    /* of these */
    struct {           /* what was read ahead */
        bool is_there;
        int status;
        text_document document;
        trouble trouble;
    } first;
};

void text_document_free(text_document *document) {
    json_decref(document->fields);
    free(document->text);
    *document = (text_document){0};
}

void texts_close(texts *texts) {
    if (!texts)
        return;
    text_document_free(&texts->first.document);
    json_decref(texts->responses);
    if (!texts->options.of_records)
        input_close(texts->input);
    free(texts);
}

uint64_t texts_n_bad(const texts *texts) {
    return texts->n_bad;
}

bool texts_is_document(const texts *texts) {
    return texts->is_document;
}

bool texts_is_at_bad_line(const texts *texts) {
    return texts->is_at_bad_line;
}

static size_t skip_blanks(const char *bytes, size_t n, size_t at) {
    while (at < n && (bytes[at] == ' ' || bytes[at] == '\t' || bytes[at] == '\r' || bytes[at] == '\n'))
        at++;
    return at;
}

static bool looks_like_object(const char *bytes, size_t n, size_t at) {
    at = skip_blanks(bytes, n, at);
    if (at >= n || bytes[at] != '{')
        return false;
    at = skip_blanks(bytes, n, at + 1);
    return at < n && (bytes[at] == '"' || bytes[at] == '}');
}

/* A file of this name is meant as JSON Lines, also where its first line is broken. */
static bool is_named_json_lines(const char *name) {
    static const char *const endings[] = {".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (n >= strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return true;
    return false;
}

bool texts_can_start(const char *name, const char *bytes, size_t n, trouble *trouble) {
    if (n == 0)
        return trouble_set(trouble, "%s: expected text, found an empty file", name);
    if (n >= 2 && (memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0))
        return trouble_set(trouble, "%s: expected UTF-8, found UTF-16; \"iconv -f UTF-16 -t UTF-8\" converts it", name);
    return true;
}

/* The next bytes, of a pipe only as many as tell what they begin, three that are no blanks: it may send one line, and
 * no more until that is answered. */
static bool peek_beginning(texts *texts, const char **bytes, size_t *n, trouble *trouble) {
    size_t n_signs = 0;
    if (input_can_rewind(texts->input))
        return input_peek(texts->input, bytes, n, trouble);
    for (size_t least = 3; n_signs < 3; least = *n + 1) {
        if (!input_peek_least(texts->input, least, bytes, n, trouble))
            return false;
        if (*n < least)
            return true; /* there is no more, or no more to be looked at */
        n_signs = 0;
        for (size_t at = skip_blanks(*bytes, *n, 0); at < *n && n_signs < 3; at = skip_blanks(*bytes, *n, at + 1))
            n_signs++;
    }
    return true;
}

/* The byte order mark says how a file is encoded and is no part of its text. */
static bool skip_mark(texts *texts, trouble *trouble) {
    const char *bytes;
    size_t n;
    if (!peek_beginning(texts, &bytes, &n, trouble))
        return false;
    if (!texts_can_start(input_name(texts->input), bytes, n, trouble))
        return false;
    char mark[3];
    return n < 3 || memcmp(bytes, "\xEF\xBB\xBF", 3) != 0 || input_read(texts->input, mark, 3, trouble) == 3;
}

static bool takes_recorded(const texts *texts) {
    return texts->options.recorded && !texts->options.field;
}

/* One JSON document that is no response. */
static bool report_array(texts *texts, trouble *trouble) {
    if (texts->options.of_records)
        return texts->is_done = true;
    return trouble_set(trouble,
                       "%s: expected one JSON object a line, found an array of them; \"jq -c '.[]'\" makes lines, "
                       "--plain reads it as text",
                       input_name(texts->input));
}

static bool detect(texts *texts, trouble *trouble) {
    const char *bytes;
    size_t n;
    if (texts->options.plain)
        return true;
    if (!peek_beginning(texts, &bytes, &n, trouble))
        return false;
    size_t at = skip_blanks(bytes, n, 0);
    texts->is_json_lines =
        texts->options.field || is_named_json_lines(input_name(texts->input)) || looks_like_object(bytes, n, at);
    if (at == n || bytes[at] != '[' || !looks_like_object(bytes, n, at + 1))
        return true;
    bool is_other = true;
    texts->is_json_lines = texts->is_document = true;
    if (takes_recorded(texts))
        texts->responses = logprobs_read_document(texts->input, "", 0, &is_other, trouble);
    return texts->responses != NULL || (is_other && report_array(texts, trouble));
}

texts *texts_open_input(input *input, const text_options *options, trouble *trouble) {
    if (!input)
        return NULL;
    texts *made = calloc(1, sizeof *made);
    if (!made) {
        if (!options || !options->of_records)
            input_close(input);
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    made->input = input;
    if (options)
        made->options = *options;
    if (skip_mark(made, trouble) && detect(made, trouble))
        return made;
    texts_close(made);
    return NULL;
}

/* Valid UTF-8 without NUL, or trouble that names the line (counted from `line_number`) and the byte in it, from 1. */
static bool check_text(const texts *texts, uint64_t line_number, const char *bytes, size_t n, trouble *trouble) {
    size_t broken = n;
    const char *nul = n > 0 ? memchr(bytes, 0, n) : NULL;
    bool is_valid = utf8_valid(bytes, n, &broken);
    if (is_valid && !nul)
        return true;
    size_t at = nul && (is_valid || (size_t)(nul - bytes) < broken) ? (size_t)(nul - bytes) : broken;
    size_t line_start = 0;
    for (size_t i = 0; i < at; i++)
        if (bytes[i] == '\n') {
            line_number++;
            line_start = i + 1;
        }
    return trouble_set(trouble, "%s:%llu: expected UTF-8 text, found %s (0x%02x) at byte %zu of the line",
                       input_name(texts->input), (unsigned long long)line_number,
                       bytes[at] ? "an invalid byte" : "a NUL", (unsigned char)bytes[at], at - line_start + 1);
}

/* The same cap as for JSON Lines: what has such lines is no text. */
static bool check_lines(const texts *texts, const char *bytes, size_t n, trouble *trouble) {
    uint64_t line_number = 1;
    for (size_t start = 0; n - start > INPUT_MAX_LINE; line_number++) {
        const char *newline = memchr(bytes + start, '\n', INPUT_MAX_LINE + 1);
        if (!newline)
            return trouble_set(trouble, "%s:%llu: the line is longer than %zu MiB", input_name(texts->input),
                               (unsigned long long)line_number, INPUT_MAX_LINE >> 20);
        start = (size_t)(newline - bytes) + 1;
    }
    return true;
}

static bool pass_over_bad(texts *texts) {
    texts->is_at_bad_line = !texts->options.skip_bad;
    texts->n_bad += texts->options.skip_bad;
    return texts->options.skip_bad;
}

static int next_plain(texts *texts, text_document *document, trouble *trouble) {
    texts->is_done = true;
    if (!input_all(texts->input, &document->text, &document->text_size, MAX_PLAIN, trouble))
        return -1;
    if (check_text(texts, 1, document->text, document->text_size, trouble) &&
        check_lines(texts, document->text, document->text_size, trouble))
        return 1;
    text_document_free(document);
    return pass_over_bad(texts) ? 0 : -1;
}

/* A line being read, for messages. */
typedef struct line {
    const char *name;
    unsigned long long number;
    trouble *trouble;
} line;

static bool report_field(const line *line, const char *field, const char *expected, const json_t *found) {
    return trouble_set(line->trouble, "%s:%llu: field \"%s\": expected %s, found %s", line->name, line->number, field,
                       expected, json_kind(found));
}

static bool append_field(const line *line, buffer *text, const json_t *fields, const char *field) {
    const json_t *value = json_object_get(fields, field);
    if (!json_is_string(value))
        return report_field(line, field, "a string", value);
    buffer_append(text, json_string_value(value), json_string_length(value));
    return true;
}

/* Alpaca: the instruction and the input, each on lines of its own, are context; an input that is absent, null or empty
 * adds no line. */
static bool append_alpaca(const line *line, buffer *text, const json_t *fields) {
    const json_t *extra = json_object_get(fields, "input");
    if (!append_field(line, text, fields, "instruction"))
        return false;
    buffer_append(text, "\n", 1);
    if (!extra || json_is_null(extra))
        return true;
    size_t before = text->size;
    if (!append_field(line, text, fields, "input"))
        return false;
    if (text->size > before)
        buffer_append(text, "\n", 1);
    return true;
}

static bool take_messages(const line *line, text_document *document, const char *field, trouble *trouble) {
    json_t *messages = json_object_get(document->fields, field);
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return report_field(line, field, "an array of messages", messages);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *const members[] = {"role", "content"};
        for (size_t j = 0; j < 2; j++) {
            const json_t *value = json_object_get(message, members[j]);
            if (!json_is_string(value))
                return trouble_set(trouble, "%s:%llu: field \"%s\": message %zu: expected a string \"%s\", found %s",
                                   line->name, line->number, field, i + 1, members[j], json_kind(value));
        }
    }
    document->messages = messages;
    return true;
}

static bool report_no_text(const line *line, const json_t *fields, const char *expected) {
    buffer found = {0};
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_foreach((json_t *)fields, key, value) {
        if (n++ < 8)
            buffer_append_format(&found, "%s\"%.40s\"", found.size ? ", " : "", key);
    }
    trouble_set(line->trouble, "%s:%llu: expected a field %s (--field names another), found %s%s", line->name,
                line->number, expected, found.data ? found.data : "none", n > 8 ? ", ..." : "");
    buffer_free(&found);
    return false;
}

/* The first of these that the line has; NULL: none. */
static const char *prompt_field(const json_t *fields) {
    static const char *const names[] = {"prompt", "messages", "text"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (json_object_get(fields, names[i]))
            return names[i];
    return NULL;
}

/* What of the line's object is text. */
static bool take_text(const line *line, text_document *document, const text_options *options, trouble *trouble) {
    const char *named = options->field;
    const json_t *fields = document->fields;
    buffer text = {0};
    bool ok = true;
    const char *scored = NULL;
    if (!named && options->of_prompts && !(named = prompt_field(fields)))
        return report_no_text(line, fields, "\"prompt\", \"messages\" or \"text\"");
    if (named || json_object_get(fields, "text")) {
        scored = named ? named : "text";
        if (json_is_array(json_object_get(fields, scored)))
            return take_messages(line, document, scored, trouble);
    } else if (json_object_get(fields, "prompt") && json_object_get(fields, "completion")) {
        ok = append_field(line, &text, fields, "prompt");
        scored = "completion";
    } else if (json_object_get(fields, "instruction") && json_object_get(fields, "output")) {
        ok = append_alpaca(line, &text, fields);
        scored = "output";
    } else if (json_object_get(fields, "messages")) {
        return take_messages(line, document, "messages", trouble);
    } else {
        return report_no_text(line, fields,
                              "\"text\", or \"prompt\" and \"completion\", or \"instruction\" and \"output\", or "
                              "\"messages\"");
    }
    document->context_size = text.size;
    ok = ok && append_field(line, &text, fields, scored);
    buffer_append(&text, "", 0); /* an empty text is a string too */
    if (ok && text.failed)
        ok = trouble_set(trouble, "%s: out of memory", line->name);
    document->text = text.data;
    document->text_size = text.size;
    return ok;
}

static bool report_several_lines(const char *name, trouble *trouble) {
    return trouble_set(trouble,
                       "%s:1: expected one JSON object a line, found one over several lines; \"jq -c .\" makes lines, "
                       "--plain reads it as text",
                       name);
}

static bool parse_line(const texts *texts, const char *bytes, size_t n, text_document *document, trouble *trouble) {
    uint64_t number = input_line_number(texts->input);
    line line = {input_name(texts->input), number, trouble};
    document->line_number = number;
    if (!check_text(texts, number, bytes, n, trouble))
        return false;
    if (number == 1 && skip_blanks(bytes, n, skip_blanks(bytes, n, 0) + 1) >= n)
        return report_several_lines(line.name, trouble);
    document->fields = json_read_object(line.name, number, bytes, n, trouble);
    if (document->fields && takes_recorded(texts))
        document->recorded = logprobs_recognise(document->fields);
    if (document->fields && (document->recorded || texts->options.of_records))
        return true;
    return document->fields && take_text(&line, document, &texts->options, trouble);
}

/* The next of the responses of one JSON document. */
static int next_response(texts *texts, text_document *document, trouble *trouble) {
    for (;;) {
        json_t *response = json_array_get(texts->responses, texts->n_given);
        if (!response)
            return 0;
        document->line_number = ++texts->n_given;
        document->recorded = logprobs_recognise(response);
        if (document->recorded) {
            document->fields = json_incref(response);
            return 1;
        }
        trouble_set(trouble, "%s: element %zu of the array: expected recorded log-probabilities, found %s",
                    input_name(texts->input), texts->n_given - 1, json_kind(response));
        if (!pass_over_bad(texts))
            return -1;
    }
}

/* The first line goes on in the next: of one JSON document. */
static int next_of_document(texts *texts, const char *bytes, size_t n, text_document *document, trouble *trouble) {
    bool is_other = false;
    texts->is_document = true;
    texts->responses = logprobs_read_document(texts->input, bytes, n, &is_other, trouble);
    if (texts->responses)
        return next_response(texts, document, trouble);
    if (is_other && texts->options.of_records)
        return 0;
    if (is_other)
        report_several_lines(input_name(texts->input), trouble);
    return -1;
}

static int next_line(texts *texts, text_document *document, trouble *trouble) {
    const char *bytes;
    size_t n;
    int status;
    while ((status = input_line(texts->input, &bytes, &n, trouble)) == 1 || status == INPUT_LONG_LINE) {
        if (status == 1 && skip_blanks(bytes, n, 0) == n)
            continue;
        bool is_first = !texts->has_line;
        texts->has_line = true;
        if (status == 1 && is_first && takes_recorded(texts) && logprobs_goes_on(bytes, n))
            return next_of_document(texts, bytes, n, document, trouble);
        if (status == 1 && parse_line(texts, bytes, n, document, trouble))
            return 1;
        text_document_free(document);
        if (!pass_over_bad(texts))
            return -1;
    }
    return status;
}

static int next(texts *texts, text_document *document, trouble *trouble) {
    return texts->responses       ? next_response(texts, document, trouble)
           : texts->is_done       ? 0
           : texts->is_json_lines ? next_line(texts, document, trouble)
                                  : next_plain(texts, document, trouble);
}

int texts_next(texts *texts, text_document *document, trouble *trouble) {
    text_document_free(document);
    if (!texts->first.is_there)
        return next(texts, document, trouble);
    texts->first.is_there = false;
    *document = texts->first.document;
    texts->first.document = (text_document){0};
    if (texts->first.status < 0)
        *trouble = texts->first.trouble;
    return texts->first.status;
}

bool texts_look(texts *texts, bool *is_recorded) {
    *is_recorded = false;
    if (!texts->is_json_lines || !takes_recorded(texts))
        return true;
    if (!texts->first.is_there)
        texts->first.status = next(texts, &texts->first.document, &texts->first.trouble);
    texts->first.is_there = true;
    *is_recorded = texts->first.document.recorded != NULL;
    return texts->first.status >= 0;
}
