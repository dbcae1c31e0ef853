/* Texts, arrays, models and manifests, each in a few lines. */
#include "inspect.h"
#include "formats/container.h"
#include "formats/gguf.h"
#include "formats/manifest.h"
#include "formats/record_parts.h"
#include "formats/tensor.h"
#include "formats/texts.h"
#include "json_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void inspect_line(buffer *text, const char *name, const char *format, ...) {
    char value[1024], safe_name[1024], safe_value[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    message_escape(safe_name, sizeof safe_name, name, strlen(name));
    message_escape(safe_value, sizeof safe_value, value, strlen(value));
    buffer_append_format(text, "  %s: %s\n", safe_name, safe_value);
}

static uint64_t count_lines(const char *bytes, size_t n) {
    uint64_t lines = n > 0 && bytes[n - 1] != '\n';
    for (size_t i = 0; i < n; i++)
        lines += bytes[i] == '\n';
    return lines;
}

/* The kinds of documents of a JSON Lines file, by what is scored in them. */
typedef struct texts_summary {
    uint64_t n_documents, n_conversations, n_with_context, n_bytes;
} texts_summary;

static void add_text(texts_summary *summary, const text_document *document) {
    summary->n_documents++;
    summary->n_conversations += document->messages != NULL;
    summary->n_with_context += document->context_size > 0;
    summary->n_bytes += document->text_size;
    for (size_t i = 0; i < json_array_size(document->messages); i++)
        summary->n_bytes += json_string_length(json_object_get(json_array_get(document->messages, i), "content"));
}

bool inspect_texts(buffer *text, input *input, trouble *trouble) {
    texts *texts = texts_open_input(input, NULL, trouble);
    text_document document = {0};
    texts_summary summary = {0};
    int status = -1;
    bool is_plain = false;
    uint64_t n_lines = 0;
    while (texts && (status = texts_next(texts, &document, trouble)) == 1) {
        add_text(&summary, &document);
        is_plain = document.fields == NULL;
        if (is_plain)
            n_lines = count_lines(document.text, document.text_size);
    }
    text_document_free(&document);
    texts_close(texts);
    if (status < 0)
        return false;
    inspect_line(text, "kind", "%s", is_plain ? "plain text: one document" : "texts, JSON Lines");
    if (is_plain)
        inspect_line(text, "lines", "%llu", (unsigned long long)n_lines);
    else
        inspect_line(text, "documents", "%llu", (unsigned long long)summary.n_documents);
    if (summary.n_conversations > 0)
        inspect_line(text, "conversations", "%llu", (unsigned long long)summary.n_conversations);
    if (summary.n_with_context > 0)
        inspect_line(text, "with a prompt", "%llu", (unsigned long long)summary.n_with_context);
    inspect_line(text, "bytes of text", "%llu", (unsigned long long)summary.n_bytes);
    return true;
}

bool inspect_objects(buffer *text, input *input, trouble *trouble) {
    const char *line, *key;
    size_t n_bytes, n_fields = 0;
    int status;
    uint64_t n_documents = 0;
    buffer names = {0};
    json_t *value;
    while ((status = record_next_line(input, &line, &n_bytes, trouble)) == 1) {
        json_t *fields = json_read_object(input_name(input), input_line_number(input), line, n_bytes, trouble);
        if (!fields)
            break;
        json_object_foreach(fields, key, value) {
            if (n_documents == 0 && n_fields++ < 16)
                buffer_append_format(&names, "%s%s", names.size ? ", " : "", key);
        }
        n_documents++;
        json_decref(fields);
    }
    if (status == 0) {
        inspect_line(text, "kind", "JSON Lines, neither texts nor token records");
        inspect_line(text, "documents", "%llu", (unsigned long long)n_documents);
        inspect_line(text, "fields", "%s", names.failed || !names.data ? "none" : names.data);
    }
    buffer_free(&names);
    return status == 0;
}

static void describe_tensor(buffer *text, const tensor *tensor, bool has_name) {
    char shape[256];
    tensor_format_shape(shape, sizeof shape, tensor);
    const char *type = element_name(tensor->element)[0] ? element_name(tensor->element) : tensor->type_name;
    if (has_name)
        inspect_line(text, tensor->name, "%s %s", type, shape);
    else
        inspect_line(text, "array", "%s %s", type, shape);
    if (element_is_real(tensor->element) && tensor->n_dimensions > 0 && tensor->n_elements > 0) {
        size_t n_columns = tensor->shape[tensor->n_dimensions - 1];
        inspect_line(text, "  as logits", "%zu rows of %zu", tensor->n_elements / n_columns, n_columns);
    }
}

/* Takes the file. */
static bool inspect_container(buffer *text, tensor_file *file, trouble *trouble) {
    records *records = records_open_tensors(file, trouble);
    bool ok = records && inspect_records(text, records, trouble);
    records_close(records);
    return ok;
}

bool inspect_tensors(buffer *text, input *input, trouble *trouble) {
    tensor_file *file = tensors_open_input(input, trouble);
    if (!file)
        return false;
    if (container_holds_records(file))
        return inspect_container(text, file, trouble);
    bool is_npy = file->format == TENSOR_FORMAT_NPY;
    inspect_line(text, "kind", "%s", is_npy ? ".npy array" : ".safetensors arrays");
    if (!is_npy)
        inspect_line(text, "arrays", "%zu", file->n_tensors);
    for (size_t i = 0; i < file->n_tensors; i++)
        describe_tensor(text, &file->tensors[i], !is_npy);
    tensors_close(file);
    return true;
}

static void add_pair(void *user, const char *key, const char *value) {
    char name[256];
    snprintf(name, sizeof name, "  %s", key);
    inspect_line(user, name, "%s", value);
}

bool inspect_gguf(buffer *text, input *input, trouble *trouble) {
    buffer pairs = {0};
    gguf_summary summary;
    bool ok = gguf_read(&summary, input, add_pair, &pairs, trouble);
    if (ok) {
        inspect_line(text, "kind", "GGUF model, version %u", summary.version);
        inspect_line(text, "tensors", "%llu", (unsigned long long)summary.n_tensors);
        inspect_line(text, "parameters", "%llu", (unsigned long long)summary.n_parameters);
        inspect_line(text, "metadata", "%llu pairs", (unsigned long long)summary.n_pairs);
        buffer_append(text, pairs.data, pairs.size);
        text->failed |= pairs.failed;
    }
    buffer_free(&pairs);
    return ok;
}

bool inspect_manifest(buffer *text, input *input, trouble *trouble) {
    json_t *manifest = manifest_read_input(input, trouble);
    if (!manifest)
        return false;
    inspect_line(text, "kind", "manifest of a result");
    const char *key;
    json_t *value;
    json_object_foreach(manifest, key, value) {
        buffer shown = {0};
        json_append(&shown, value);
        inspect_line(text, key, "%s", shown.data ? shown.data : "");
        text->failed |= shown.failed;
        buffer_free(&shown);
    }
    json_decref(manifest);
    return true;
}
