/* Conversations as the model's own chat template writes them, and where each message's content stands in that text.
 *
 * A template may trim a content, leave it out, or fold a system message into the next one. So the conversation is
 * written a second time with a mark in the place of every content: what stands between the marks is the template's own
 * text, and the contents are what lies between those pieces in the real one. That the pieces and the contents give the
 * real text back, byte for byte, is checked. */
#include "internal.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* STX, the number, ETX: no template has them, and trimming leaves them alone. */
#define MARK_SIZE 24

/* A conversation, and what its template is to make of it. */
typedef struct conversation {
    const char *template_text;
    const entrol_llama_message *messages;
    size_t n_messages;
    bool opens_turn; /* the assistant's is begun behind the last message */
} conversation;

/* The conversation as the template writes it, of other messages in the place of its own: malloc'd. */
static entrol_status render(char **text, const conversation *c, const struct llama_chat_message *messages) {
    const int32_t size = llama_chat_apply_template(c->template_text, messages, c->n_messages, c->opens_turn, NULL, 0);
    if (size < 0 || size == INT32_MAX) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    char *written = calloc((size_t)size + 1, 1);
    if (written == NULL) {
        return ENTROL_ERROR_MEMORY;
    }
    if (llama_chat_apply_template(c->template_text, messages, c->n_messages, c->opens_turn, written, size + 1) !=
        size) {
        free(written);
        return ENTROL_ERROR_UNSUPPORTED;
    }
    *text = written;
    return ENTROL_OK;
}

bool ent_template_is_known(const char *template_text) {
    const struct llama_chat_message message = {"user", "a"};
    return llama_chat_apply_template(template_text, &message, 1, false, NULL, 0) >= 0;
}

static void write_mark(char mark[MARK_SIZE], size_t number) {
    snprintf(mark, MARK_SIZE, "\x02%zu\x03", number);
}

static bool starts_with(const char *text, const char *piece, size_t piece_size) {
    return strncmp(text, piece, piece_size) == 0;
}

/* How a template may have changed a content: not at all, trimmed at both ends, at the start, at the end. */
static entrol_llama_span trimmed(const char *content, int way) {
    entrol_llama_span span = {0, strlen(content)};
    while ((way == 1 || way == 2) && span.byte_start < span.byte_end &&
           isspace((unsigned char)content[span.byte_start])) {
        span.byte_start++;
    }
    while ((way == 1 || way == 3) && span.byte_end > span.byte_start &&
           isspace((unsigned char)content[span.byte_end - 1])) {
        span.byte_end--;
    }
    return span;
}

/* The content's bytes at the start of the text, so that the literal follows them; false if it is not there. */
static bool match_content(size_t *size, const char *text, const char *content, const char *literal, size_t n_literal) {
    for (int way = 0; way < 4; way++) {
        const entrol_llama_span span = trimmed(content, way);
        *size = span.byte_end - span.byte_start;
        if (starts_with(text, content + span.byte_start, *size) && starts_with(text + *size, literal, n_literal)) {
            return true;
        }
    }
    return false;
}

/* Where message i's mark stands in the marked text, from `from` on; NULL if the template leaves the message out. */
static const char *find_mark(const char *from, size_t i) {
    char mark[MARK_SIZE];
    write_mark(mark, i);
    return strstr(from, mark);
}

/* The template's own text from `from` up to the next mark of a message from number i on, or to the end. */
static size_t literal_size(const char *from, size_t i, size_t n_messages) {
    for (; i < n_messages; i++) {
        const char *mark = find_mark(from, i);
        if (mark != NULL) {
            return (size_t)(mark - from);
        }
    }
    return strlen(from);
}

/* Walks the text beside its marked twin. */
static entrol_status find_spans(entrol_llama_span *spans, const char *text, const char *marked,
                                const entrol_llama_message *messages, size_t n_messages) {
    const char *literal = marked; /* stands at text + at */
    size_t at = 0;
    if (!starts_with(text, literal, literal_size(literal, 0, n_messages))) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    for (size_t i = 0; i < n_messages; i++) {
        const char *mark = find_mark(literal, i);
        if (mark == NULL) {
            spans[i] = (entrol_llama_span){at, at};
            continue;
        }
        at += (size_t)(mark - literal);
        literal = strchr(mark, '\x03') + 1;
        size_t size;
        if (!match_content(&size, text + at, messages[i].content, literal, literal_size(literal, i + 1, n_messages))) {
            return ENTROL_ERROR_UNSUPPORTED;
        }
        spans[i] = (entrol_llama_span){at, at + size};
        at += size;
    }
    return strcmp(text + at, literal) == 0 ? ENTROL_OK : ENTROL_ERROR_UNSUPPORTED;
}

/* The same conversation with marks for contents, written by the same template. */
static entrol_status locate(entrol_llama_span *spans, const char *text, const conversation *c) {
    const entrol_llama_message *messages = c->messages;
    const size_t n_messages = c->n_messages;
    struct llama_chat_message *twins = calloc(n_messages + 1, sizeof *twins);
    char(*marks)[MARK_SIZE] = calloc(n_messages + 1, sizeof *marks);
    char *marked = NULL;
    entrol_status status = twins == NULL || marks == NULL ? ENTROL_ERROR_MEMORY : ENTROL_OK;
    for (size_t i = 0; i < n_messages && status == ENTROL_OK; i++) {
        write_mark(marks[i], i);
        twins[i] = (struct llama_chat_message){messages[i].role, marks[i]};
    }
    if (status == ENTROL_OK) {
        status = render(&marked, c, twins);
    }
    if (status == ENTROL_OK) {
        status = find_spans(spans, text, marked, messages, n_messages);
    }
    free(marked);
    free(marks);
    free(twins);
    return status;
}

/* Fills in the template. */
static entrol_status apply(entrol_llama *llama, char **text, entrol_llama_span *spans, conversation *c) {
    if (llama == NULL || text == NULL || (c->messages == NULL && c->n_messages > 0)) {
        return ENTROL_ERROR_ARGUMENT;
    }
    c->template_text =
        llama->chat_template != NULL ? llama->chat_template : llama_model_chat_template(llama->model, NULL);
    if (c->template_text == NULL) {
        return ENTROL_ERROR_UNSUPPORTED;
    }
    struct llama_chat_message *chat = calloc(c->n_messages + 1, sizeof *chat);
    if (chat == NULL) {
        return ENTROL_ERROR_MEMORY;
    }
    entrol_status status = ENTROL_OK;
    for (size_t i = 0; i < c->n_messages; i++) {
        chat[i] = (struct llama_chat_message){c->messages[i].role, c->messages[i].content};
        status = c->messages[i].role == NULL || c->messages[i].content == NULL ? ENTROL_ERROR_ARGUMENT : status;
    }
    ent_log *before = ent_log_use(&llama->log);
    char *written = NULL;
    if (status == ENTROL_OK) {
        status = render(&written, c, chat);
    }
    if (status == ENTROL_OK && spans != NULL) {
        status = locate(spans, written, c);
    }
    ent_log_use(before);
    free(chat);
    if (status != ENTROL_OK) {
        free(written);
        return status;
    }
    *text = written;
    return ENTROL_OK;
}

entrol_status entrol_llama_apply_template(entrol_llama *llama, char **text, entrol_llama_span *spans,
                                          const entrol_llama_message *messages, size_t n_messages) {
    return apply(llama, text, spans, &(conversation){.messages = messages, .n_messages = n_messages});
}

entrol_status entrol_llama_open_turn(entrol_llama *llama, char **text, entrol_llama_span *spans,
                                     const entrol_llama_message *messages, size_t n_messages) {
    return apply(llama, text, spans,
                 &(conversation){.messages = messages, .n_messages = n_messages, .opens_turn = true});
}
