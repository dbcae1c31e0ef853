/* What texts begin with: arguments, files of text, and JSON Lines; as the tokens that the model reads. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void generate_prompt_free(generate_prompt *prompt) {
    text_document_free(&prompt->source);
    buffer_free(&prompt->id);
    free(prompt->tokens);
    *prompt = (generate_prompt){.number = 0};
}

static bool check_utf8(const char *option, const char *text, trouble *trouble) {
    size_t broken = 0;
    return utf8_valid(text, strlen(text), &broken) ||
           trouble_set(trouble, "--%s: expected UTF-8 text, found an invalid byte (0x%02x) at byte %zu", option,
                       (unsigned char)text[broken], broken + 1);
}

static int of_argument(generate_prompts *prompts, generate_prompt *prompt, trouble *trouble) {
    const char *text = prompts->settings->prompts.items[prompts->n_arguments++];
    buffer_append_format(&prompt->id, "prompt %zu", prompts->n_arguments);
    if (!check_utf8("prompt", text, trouble))
        return -1;
    prompt->source.text = strdup(text);
    prompt->source.text_size = strlen(text);
    if (prompt->source.text == NULL || prompt->id.failed) {
        trouble_set(trouble, "out of memory");
        return -1;
    }
    return 1;
}

/* As llama.cpp's -f: a file's last newline is no part of the prompt. */
static void drop_newline(text_document *source) {
    if (source->text_size > 0 && source->text[source->text_size - 1] == '\n')
        source->text[--source->text_size] = '\0';
}

static bool set_id(generate_prompt *prompt, const char *path, trouble *trouble) {
    const json_t *id = json_object_get(prompt->source.fields, "id");
    if (json_is_string(id)) {
        buffer_append_string(&prompt->id, json_string_value(id));
    } else if (json_is_integer(id)) {
        buffer_append_integer(&prompt->id, json_integer_value(id));
    } else {
        buffer_append_string(&prompt->id, score_input_name(path));
        if (prompt->source.line_number > 0)
            buffer_append_format(&prompt->id, ":%" PRIu64, prompt->source.line_number);
    }
    return !prompt->id.failed || trouble_set(trouble, "out of memory");
}

/* 0: the file has no more. */
static int of_file(generate_prompts *prompts, generate_prompt *prompt, trouble *trouble) {
    const char *path = prompts->settings->files.items[prompts->n_files];
    text_options options = prompts->settings->score.texts;
    options.of_prompts = true;
    if (prompts->texts == NULL)
        prompts->texts = texts_open_input(input_open(path, trouble), &options, trouble);
    if (prompts->texts == NULL)
        return -1;
    const int more = texts_next(prompts->texts, &prompt->source, trouble);
    if (more == 1 && prompt->source.fields == NULL)
        drop_newline(&prompt->source);
    return more == 1 && !set_id(prompt, path, trouble) ? -1 : more;
}

int generate_prompts_next(generate_prompts *prompts, generate_prompt *prompt, trouble *trouble) {
    int more = 0;
    generate_prompt_free(prompt);
    if (prompts->n_arguments < prompts->settings->prompts.n_items)
        more = of_argument(prompts, prompt, trouble);
    while (more == 0 && prompts->n_files < prompts->settings->files.n_items) {
        more = of_file(prompts, prompt, trouble);
        if (more == 0) {
            texts_close(prompts->texts);
            prompts->texts = NULL;
            prompts->n_files++;
        }
    }
    prompt->number = prompts->n_prompts;
    prompts->n_prompts += more == 1;
    return more;
}

void generate_prompts_close(generate_prompts *prompts) {
    texts_close(prompts->texts);
    prompts->texts = NULL;
}

/* --- Tokens --- */

static bool report(const generate_prompt *prompt, entrol_status status, trouble *trouble) {
    if (status == ENTROL_ERROR_UNSUPPORTED)
        return trouble_set(trouble, "%s: the pieces of the model's tokens do not give the prompt back",
                           prompt->id.data);
    return trouble_set(trouble, "%s: cannot be split into tokens: %s", prompt->id.data, entrol_status_string(status));
}

/* The tokens behind the model's BOS, unless they begin with it. */
static bool take_tokens(generate_prompt *prompt, entrol_llama *llama, const entrol_llama_token *tokens, size_t n,
                        trouble *trouble) {
    const int32_t bos = entrol_llama_bos(llama);
    const size_t n_bos = bos >= 0 && (n == 0 || tokens[0].id != bos);
    if (n_bos + n == 0)
        return trouble_set(trouble, "%s: expected some text, found none: this model has no start token to go on from",
                           prompt->id.data);
    prompt->tokens = malloc((n_bos + n) * sizeof *prompt->tokens);
    if (prompt->tokens == NULL)
        return trouble_set(trouble, "%s: out of memory", prompt->id.data);
    prompt->tokens[0] = bos;
    for (size_t i = 0; i < n; i++)
        prompt->tokens[n_bos + i] = tokens[i].id;
    prompt->n_tokens = n_bos + n;
    return true;
}

/* As llama.cpp: "<start_of_turn>" and its like are control tokens. */
static bool tokenize_text(generate_prompt *prompt, entrol_llama *llama, trouble *trouble) {
    entrol_llama_token *tokens = NULL;
    size_t n = 0;
    entrol_status status = entrol_llama_tokenize(llama, &tokens, &n, prompt->source.text, prompt->source.text_size, 1);
    bool ok = status == ENTROL_OK ? take_tokens(prompt, llama, tokens, n, trouble) : report(prompt, status, trouble);
    free(tokens);
    return ok;
}

static bool report_template(const generate_prompt *prompt, const char *named, entrol_status status, trouble *trouble) {
    if (status == ENTROL_ERROR_UNSUPPORTED && named != NULL)
        return trouble_set(trouble, "%s: llama.cpp cannot write this conversation with --chat-template %s",
                           prompt->id.data, named);
    if (status == ENTROL_ERROR_UNSUPPORTED)
        return trouble_set(trouble,
                           "%s: a conversation, and the model has no chat template that llama.cpp knows: name one with "
                           "--chat-template, such as gemma or chatml",
                           prompt->id.data);
    return trouble_set(trouble, "%s: the chat template: %s", prompt->id.data, entrol_status_string(status));
}

static bool tokenize_turns(generate_prompt *prompt, entrol_llama *llama, const entrol_llama_message *messages,
                           entrol_llama_span *spans, size_t n, const char *named, trouble *trouble) {
    char *text = NULL;
    entrol_llama_token *tokens = NULL;
    size_t n_tokens = 0;
    entrol_status status = entrol_llama_open_turn(llama, &text, spans, messages, n);
    if (status != ENTROL_OK)
        return report_template(prompt, named, status, trouble);
    status = entrol_llama_tokenize_chat(llama, &tokens, &n_tokens, text, strlen(text), spans, n);
    bool ok =
        status == ENTROL_OK ? take_tokens(prompt, llama, tokens, n_tokens, trouble) : report(prompt, status, trouble);
    free(tokens);
    free(text);
    return ok;
}

/* The messages of a line, or what a user says; before them the system's. */
static bool tokenize_chat(generate_prompt *prompt, entrol_llama *llama, const generate_settings *settings,
                          trouble *trouble) {
    const json_t *array = prompt->source.messages;
    const size_t n_system = settings->system != NULL, n_given = array != NULL ? json_array_size(array) : 1;
    entrol_llama_message *messages = calloc(n_system + n_given, sizeof *messages);
    entrol_llama_span *spans = calloc(n_system + n_given, sizeof *spans);
    bool ok = (messages != NULL && spans != NULL) || trouble_set(trouble, "%s: out of memory", prompt->id.data);
    ok = ok && (settings->system == NULL || check_utf8("system", settings->system, trouble));
    if (ok && n_system > 0)
        messages[0] = (entrol_llama_message){"system", settings->system};
    for (size_t i = 0; i < n_given && ok; i++) {
        const json_t *message = json_array_get(array, i); /* the reader has checked it */
        messages[n_system + i] = message != NULL
                                     ? (entrol_llama_message){json_string_value(json_object_get(message, "role")),
                                                              json_string_value(json_object_get(message, "content"))}
                                     : (entrol_llama_message){"user", prompt->source.text};
    }
    ok = ok &&
         tokenize_turns(prompt, llama, messages, spans, n_system + n_given, settings->score.chat_template, trouble);
    free(messages);
    free(spans);
    return ok;
}

bool generate_prompt_tokenize(generate_prompt *prompt, entrol_llama *llama, const generate_settings *settings,
                              trouble *trouble) {
    const bool is_chat = prompt->source.messages != NULL || settings->is_chat;
    if (!is_chat && settings->system != NULL)
        return trouble_set(trouble, "%s: --system belongs to a conversation, and this is a plain prompt: add --chat",
                           prompt->id.data);
    if (!(is_chat ? tokenize_chat(prompt, llama, settings, trouble) : tokenize_text(prompt, llama, trouble)))
        return false;
    const size_t n_ctx = entrol_llama_n_ctx(llama);
    return prompt->n_tokens <= n_ctx || trouble_set(trouble, "%s: the prompt has %zu tokens, and the context %zu (-c)",
                                                    prompt->id.data, prompt->n_tokens, n_ctx);
}

#endif
