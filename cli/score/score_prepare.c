/* From a line to the tokens that the model reads, and which of them are scored: all of a text, the completion after a
 * prompt, or the messages of a role in a conversation. */
#include "score.h"

#ifdef ENTROL_HAVE_LLAMA

#include "score_llama.h"

#include <stdlib.h>
#include <string.h>

/* What became of splitting the text: its ids, or why it could not be split. */
static bool take_tokens(scored_text *scored, entrol_status status, const char *where, trouble *trouble) {
    if (status == ENTROL_ERROR_UNSUPPORTED)
        return trouble_set(trouble,
                           "%s: the pieces of the model's tokens do not give the text back, so they have no "
                           "places in it",
                           where);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "%s: cannot be split into tokens: %s", where, entrol_status_string(status));
    scored->ids = malloc((scored->n_tokens + 1) * sizeof(*scored->ids));
    if (scored->ids == NULL)
        return trouble_set(trouble, "%s: out of memory", where);
    for (size_t i = 0; i < scored->n_tokens; i++)
        scored->ids[i] = scored->tokens[i].id;
    return true;
}

static bool tokenize(scored_text *scored, scorer *scorer, const char *where, trouble *trouble) {
    entrol_status status =
        entrol_llama_tokenize(scorer->llama, &scored->tokens, &scored->n_tokens, scored->text, scored->text_size, 0);
    return take_tokens(scored, status, where, trouble);
}

static bool tokenize_chat(scored_text *scored, scorer *scorer, const entrol_llama_span *contents, size_t n_contents,
                          const char *where, trouble *trouble) {
    entrol_status status = entrol_llama_tokenize_chat(scorer->llama, &scored->tokens, &scored->n_tokens, scored->text,
                                                      scored->text_size, contents, n_contents);
    return take_tokens(scored, status, where, trouble);
}

/* Whether a token comes before what is scored from this byte on: it holds no byte of that. One that straddles the
 * border does, and one without bytes belongs to the side where it stands. */
static bool comes_before(const entrol_llama_token *token, size_t byte) {
    return token->byte_start < byte && token->byte_end <= byte;
}

static size_t first_from(const scored_text *scored, size_t byte) {
    size_t first = 0;
    while (first < scored->n_tokens && comes_before(&scored->tokens[first], byte))
        first++;
    return first;
}

static bool read_messages(entrol_llama_message *messages, const json_t *array, const char *where, trouble *trouble) {
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *message = json_array_get(array, i);
        messages[i].role = json_string_value(json_object_get(message, "role"));
        messages[i].content = json_string_value(json_object_get(message, "content"));
        if (messages[i].role == NULL || messages[i].content == NULL)
            return trouble_set(trouble, "%s: message %zu: expected {\"role\": TEXT, \"content\": TEXT}", where, i + 1);
    }
    return true;
}

/* The tokens that hold a byte of a message of the role. */
static bool choose_rows(scored_text *scored, const entrol_llama_message *messages, const entrol_llama_span *spans,
                        size_t n_messages, const char *role) {
    scored->rows = malloc((scored->n_tokens + 1) * sizeof(*scored->rows));
    if (scored->rows == NULL)
        return false;
    size_t token = 0;
    scored->first = scored->n_tokens;
    for (size_t i = 0; i < n_messages; i++) {
        bool is_chosen = strcmp(role, "all") == 0 || strcmp(role, messages[i].role) == 0;
        if (!is_chosen || spans[i].byte_start == spans[i].byte_end)
            continue;
        while (token < scored->n_tokens && comes_before(&scored->tokens[token], spans[i].byte_start))
            token++;
        for (; token < scored->n_tokens && scored->tokens[token].byte_start < spans[i].byte_end; token++) {
            if (scored->n_rows == 0)
                scored->first = token;
            scored->rows[scored->n_rows++] = token - scored->first;
        }
    }
    return true;
}

static bool apply_template(scored_text *scored, scorer *scorer, const entrol_llama_message *messages,
                           entrol_llama_span *spans, size_t n_messages, const char *where, trouble *trouble) {
    entrol_status status = entrol_llama_apply_template(scorer->llama, &scored->templated, spans, messages, n_messages);
    const char *named = scorer->settings->chat_template;
    if (status == ENTROL_ERROR_UNSUPPORTED && named != NULL)
        return trouble_set(trouble, "%s: llama.cpp cannot write this conversation with --chat-template %s", where,
                           named);
    if (status == ENTROL_ERROR_UNSUPPORTED)
        return trouble_set(trouble,
                           "%s: a conversation, and the model has no chat template that llama.cpp knows: name one with "
                           "--chat-template, such as gemma or chatml",
                           where);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "%s: the chat template: %s", where, entrol_status_string(status));
    scored->text = scored->templated;
    scored->text_size = strlen(scored->templated);
    return true;
}

static bool prepare_messages(scored_text *scored, scorer *scorer, const json_t *array, const char *where,
                             trouble *trouble) {
    size_t n = json_array_size(array);
    entrol_llama_message *messages = calloc(n + 1, sizeof(*messages));
    entrol_llama_span *spans = calloc(n + 1, sizeof(*spans));
    bool ok = messages != NULL && spans != NULL;
    if (!ok)
        trouble_set(trouble, "%s: out of memory", where);
    ok = ok && read_messages(messages, array, where, trouble) &&
         apply_template(scored, scorer, messages, spans, n, where, trouble) &&
         tokenize_chat(scored, scorer, spans, n, where, trouble);
    if (ok && !choose_rows(scored, messages, spans, n, scorer->settings->score_role))
        ok = trouble_set(trouble, "%s: out of memory", where);
    free(messages);
    free(spans);
    return ok;
}

bool scored_text_prepare(scored_text *scored, scorer *scorer, const text_document *text, const char *where,
                         trouble *trouble) {
    if (text->messages != NULL)
        return prepare_messages(scored, scorer, text->messages, where, trouble);
    scored->text = text->text;
    scored->text_size = text->text_size;
    if (!tokenize(scored, scorer, where, trouble))
        return false;
    scored->first = first_from(scored, text->context_size);
    return true;
}

bool scored_text_prepend(scored_text *scored, int32_t token) {
    size_t n = scored->n_tokens;
    entrol_llama_token *tokens = realloc(scored->tokens, (n + 1) * sizeof(*tokens));
    if (tokens != NULL)
        scored->tokens = tokens;
    int32_t *ids = realloc(scored->ids, (n + 1) * sizeof(*ids));
    if (ids != NULL)
        scored->ids = ids;
    if (tokens == NULL || ids == NULL)
        return false;
    memmove(tokens + 1, tokens, n * sizeof(*tokens));
    memmove(ids + 1, ids, n * sizeof(*ids));
    tokens[0] = (entrol_llama_token){token, 0, 0};
    ids[0] = token;
    scored->n_tokens++;
    return true;
}

void scored_text_free(scored_text *scored) {
    free(scored->tokens);
    free(scored->ids);
    free(scored->rows);
    free(scored->templated);
    *scored = (scored_text){0};
}

#endif
