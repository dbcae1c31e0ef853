/* Chat templates: the text is llama.cpp's, and the spans are where the contents stand in it. */
#include "harness.h"

#include "entrol_llama.h"
#include "internal.h"
#include "tiny_model.h"

/* What llama.cpp recognises each template by. */
static const char *const templates[] = {
    "<|im_start|>",                          /* ChatML */
    "<start_of_turn>",                       /* Gemma: trims, folds the system message into the next one */
    "[INST] <<SYS>> content.strip()",        /* Llama 2: trims, wraps the system message */
    "[INST]",                                /* Llama 2 without a system message */
    " [INST] [AVAILABLE_TOOLS]",             /* Mistral */
    "<|assistant|> <|end|>",                 /* Phi 3 */
    "<|start_header_id|> <|end_header_id|>", /* Llama 3: trims */
    "<|assistant|> <|user|> </s>",           /* Falcon 3 */
    "USER: ASSISTANT: SYSTEM: ",             /* Vicuna */
    "### Instruction: <|EOT|>",              /* DeepSeek */
    "'Assistant: ' + message['content'] + eos_token",
};

static entrol_llama *open_with(const char *chat_template) {
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    char error[400];
    entrol_llama *llama = NULL;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true, .chat_template = chat_template});
    options.vocabulary_only = 1;
    const entrol_status status = entrol_llama_open(&llama, error, sizeof error, &options);
    CHECK_SAY(status == ENTROL_OK, "%s", error);
    return llama;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The content without the whitespace at its ends. */
static entrol_llama_span core_of(const char *content) {
    entrol_llama_span core = {0, strlen(content)};
    while (core.byte_start < core.byte_end && is_space(content[core.byte_start])) {
        core.byte_start++;
    }
    while (core.byte_end > core.byte_start && is_space(content[core.byte_end - 1])) {
        core.byte_end--;
    }
    return core;
}

/* Every span holds its content, trimmed or not, in the order of the messages. */
static void check_spans(const char *name, const char *text, const entrol_llama_span *spans,
                        const entrol_llama_message *messages, size_t n_messages) {
    size_t at = 0;
    for (size_t i = 0; i < n_messages; i++) {
        const entrol_llama_span core = core_of(messages[i].content);
        char span[256] = "";
        snprintf(span, sizeof span, "%.*s", (int)(spans[i].byte_end - spans[i].byte_start), text + spans[i].byte_start);
        const entrol_llama_span found = core_of(span);
        const size_t size = core.byte_end - core.byte_start;
        CHECK_SAY(found.byte_end - found.byte_start == size &&
                      memcmp(span + found.byte_start, messages[i].content + core.byte_start, size) == 0,
                  "%s: message %zu is \"%s\" in \"%s\"", name, i, span, text);
        CHECK_SAY(spans[i].byte_start >= at && spans[i].byte_end >= spans[i].byte_start, "%s: message %zu", name, i);
        at = spans[i].byte_end;
    }
}

/* The text must be what llama.cpp's own function writes. */
static void check_conversation(const char *chat_template, const entrol_llama_message *messages, size_t n_messages) {
    entrol_llama *llama = open_with(chat_template);
    char *text = NULL, expected[4096] = "";
    entrol_llama_span spans[8];
    const entrol_status status = entrol_llama_apply_template(llama, &text, spans, messages, n_messages);
    CHECK_SAY(status == ENTROL_OK, "%s: %s", chat_template, entrol_status_string(status));
    if (status == ENTROL_OK) {
        struct llama_chat_message chat[8];
        for (size_t i = 0; i < n_messages; i++) {
            chat[i] = (struct llama_chat_message){messages[i].role, messages[i].content};
        }
        llama_chat_apply_template(chat_template, chat, n_messages, false, expected, sizeof expected);
        CHECK_STRING(text, expected);
        check_spans(chat_template, text, spans, messages, n_messages);
    }
    free(text);
    entrol_llama_close(llama);
}

static void test_every_template(void) {
    static const entrol_llama_message plain[] = {{"user", "Hello"}, {"assistant", "Good day."}};
    static const entrol_llama_message system[] = {{"system", "Be brief."},
                                                  {"user", "user"},
                                                  {"assistant", "assistant"},
                                                  {"user", "u"},
                                                  {"assistant", "<|im_end|>"}};
    static const entrol_llama_message spaces[] = {
        {"user", "  two\n\nlines \n"}, {"assistant", "\n ok "}, {"user", "ok"}, {"assistant", "ok"}};
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        check_conversation(templates[i], plain, 2);
        check_conversation(templates[i], system, 5);
        check_conversation(templates[i], spaces, 4);
    }
}

/* Gemma's template, known from its source: contents trimmed, the assistant is called model. */
static void test_known_text(void) {
    static const entrol_llama_message messages[] = {{"user", " Hi "}, {"assistant", "Yes"}};
    entrol_llama *llama = open_with("<start_of_turn>");
    char *text = NULL;
    entrol_llama_span spans[2];
    CHECK(entrol_llama_apply_template(llama, &text, spans, messages, 2) == ENTROL_OK);
    if (text != NULL) {
        CHECK_STRING(text, "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n");
        CHECK_INT(spans[0].byte_start, 20);
        CHECK_INT(spans[0].byte_end, 22);
        CHECK_INT(spans[1].byte_start, 57);
        CHECK_INT(spans[1].byte_end, 60);
    }
    free(text);
    entrol_llama_close(llama);
}

/* A template named by the caller goes before the model's own. The text is ChatML, from its published description. */
static void test_named_template(void) {
    static const entrol_llama_message messages[] = {{"user", "Hi"}};
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    char error[400];
    entrol_llama *llama = NULL;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true, .chat_template = "<start_of_turn>"});
    options.vocabulary_only = 1;
    options.chat_template = "chatml";
    CHECK_SAY(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_OK, "%s", error);
    char *text = NULL;
    entrol_llama_span spans[1];
    CHECK(entrol_llama_apply_template(llama, &text, spans, messages, 1) == ENTROL_OK);
    CHECK_STRING(text, "<|im_start|>user\nHi<|im_end|>\n");
    free(text);
    entrol_llama_close(llama);
}

static void test_empty_content_and_no_spans(void) {
    static const entrol_llama_message messages[] = {{"user", ""}, {"assistant", ""}};
    entrol_llama *llama = open_with("<|im_start|>");
    char *text = NULL;
    entrol_llama_span spans[2];
    CHECK(entrol_llama_apply_template(llama, &text, spans, messages, 2) == ENTROL_OK);
    CHECK_STRING(text, "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n");
    CHECK_INT(spans[0].byte_start, 17);
    CHECK_INT(spans[0].byte_end, 17);
    free(text);
    CHECK(entrol_llama_apply_template(llama, &text, NULL, messages, 2) == ENTROL_OK);
    free(text);
    CHECK(entrol_llama_apply_template(llama, &text, NULL, NULL, 0) == ENTROL_OK);
    CHECK_STRING(text, "");
    free(text);
    entrol_llama_close(llama);
}

static void test_no_template(void) {
    static const entrol_llama_message messages[] = {{"user", "a"}}, nobody[] = {{NULL, "a"}};
    static const char *const cases[] = {NULL, "{{ a template that llama.cpp does not know }}"};
    for (size_t i = 0; i < 2; i++) {
        entrol_llama *llama = open_with(cases[i]);
        char *text = NULL;
        CHECK(entrol_llama_apply_template(llama, &text, NULL, messages, 1) == ENTROL_ERROR_UNSUPPORTED);
        CHECK(text == NULL);
        entrol_llama_close(llama);
    }
    entrol_llama *llama = open_with("<|im_start|>");
    char *text = NULL;
    CHECK(entrol_llama_apply_template(llama, &text, NULL, nobody, 1) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_apply_template(llama, NULL, NULL, messages, 1) == ENTROL_ERROR_ARGUMENT);
    entrol_llama_close(llama);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_every_template);
    TEST(test_known_text);
    TEST(test_named_template);
    TEST(test_empty_content_and_no_spans);
    TEST(test_no_template);
    return test_end();
}
