/* Shared by the readers of recorded log-probabilities. */
#ifndef CLI_FORMATS_LOGPROBS_PARTS_H
#define CLI_FORMATS_LOGPROBS_PARTS_H

#include "logprobs.h"

typedef struct logprobs_reader {
    logprobs *response;
    const char *name;
    uint64_t line_number;
    trouble *trouble;
    size_t token;       /* of the last choice, that is being read */
    logprobs_list list; /* of the tokens that are being read */
} logprobs_reader;

struct logprobs_format {
    const char *name;
    bool (*recognise)(const json_t *object);
    bool (*read)(logprobs_reader *reader, const json_t *object);
};

/* The families; each reads whole responses. */
bool logprobs_is_vllm(const json_t *object);
bool logprobs_is_openai_chat(const json_t *object);
bool logprobs_is_openai_legacy(const json_t *object);
bool logprobs_is_openai_responses(const json_t *object);
bool logprobs_is_llama_server(const json_t *object);
bool logprobs_is_tgi(const json_t *object);
bool logprobs_is_sglang(const json_t *object);
bool logprobs_is_ollama(const json_t *object);
bool logprobs_read_vllm(logprobs_reader *reader, const json_t *object);
bool logprobs_read_openai(logprobs_reader *reader, const json_t *object);
bool logprobs_read_openai_responses(logprobs_reader *reader, const json_t *object);
bool logprobs_read_llama_server(logprobs_reader *reader, const json_t *object);
bool logprobs_read_tgi(logprobs_reader *reader, const json_t *object);
bool logprobs_read_sglang(logprobs_reader *reader, const json_t *object);
bool logprobs_read_ollama(logprobs_reader *reader, const json_t *object);

/* vLLM's prompt_logprobs of a choice (or of all of them), before its own tokens. */
bool logprobs_read_prompt(logprobs_reader *reader, const json_t *object, const json_t *choice);
/* The choices of OpenAI's two older interfaces, with such lists in chat completions. */
bool logprobs_read_choices(logprobs_reader *reader, const json_t *object, logprobs_list list);

/* "FILE:LINE: choice C, token T: ..." of the choice and the token that are being read, from 0; always false. */
bool logprobs_report(const logprobs_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "FILE:LINE: ...". */
bool logprobs_report_line(const logprobs_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A new choice, which the calls below add to; and a new token with its most probable ones. Reading a token begins with
 * logprobs_begin_token, so that trouble names it. */
bool logprobs_add_choice(logprobs_reader *reader);
void logprobs_begin_token(logprobs_reader *reader);
bool logprobs_add_token(logprobs_reader *reader, const logprobs_entry *chosen);
bool logprobs_add_top(logprobs_reader *reader, const logprobs_entry *entry);
logprobs_choice *logprobs_last_choice(const logprobs_reader *reader);
/* The response's own text of the last choice, from its token `first` on; what is no string is none. */
void logprobs_set_whole(const logprobs_reader *reader, const json_t *text, size_t first);
/* An array, object or string that the line's other members leave out; others are no matter. */
void logprobs_consume(const logprobs_reader *reader, const json_t *value);

extern const logprobs_entry logprobs_no_entry; /* nothing is given */

/* One member each; null and nothing are none. */
bool logprobs_take_logprob(const logprobs_reader *reader, logprobs_entry *entry, const json_t *value);
bool logprobs_take_id(const logprobs_reader *reader, logprobs_entry *entry, const json_t *value);
bool logprobs_take_text(const logprobs_reader *reader, logprobs_entry *entry, const json_t *text, const json_t *bytes);
/* {id, token | text, bytes, logprob | prob, rank}. */
bool logprobs_take_object(const logprobs_reader *reader, logprobs_entry *entry, const json_t *object);
/* An array of these as the most probable ones of the last token; null is an empty one. */
bool logprobs_read_top(logprobs_reader *reader, const json_t *array);
/* An array of these, each with top_logprobs or top_probs, as tokens of the last choice; null is an empty one. */
bool logprobs_read_content(logprobs_reader *reader, const json_t *array, const char *name);

/* When all is read: sorts the lists, finds the chosen tokens in them, refuses what cannot be, and tells from their
 * digits how exact the numbers are. */
bool logprobs_settle(logprobs_reader *reader);

#endif
