/* `entrol inspect`: what a file is, told by its content and not by its name. */
#include "commands.h"
#include "formats/kld.h"
#include "formats/logprobs.h"
#include "formats/record.h"
#include "formats/tensor.h"
#include "inspect.h"
#include "message.h"
#include "output.h"

#include <string.h>

typedef enum kind {
    KIND_TEXTS,
    KIND_OBJECTS,
    KIND_RECORDS,
    KIND_RECORDED,
    KIND_TENSORS,
    KIND_KLD,
    KIND_GGUF,
    KIND_MANIFEST
} kind;

/* An object with the members that every manifest has, over several lines, which a JSON Lines file cannot be. */
static bool looks_like_manifest(const char *bytes, size_t n) {
    static const char start[] = "{\n  \"entrol\": \"";
    return n >= sizeof start - 1 && memcmp(bytes, start, sizeof start - 1) == 0;
}

static bool has_any(const json_t *fields, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (json_object_get(fields, names[i]))
            return true;
    return false;
}

/* What the fields of a line say: arrays that are columns, the statistics of score --level sample, a text, or none. */
static kind kind_of_line(const json_t *fields) {
    static const char *const texts[] = {"text", "prompt", "completion", "instruction", "output", "messages"};
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (json_is_array(json_object_get(fields, record_columns[id].name)))
            return KIND_RECORDS;
    if (json_is_number(json_object_get(fields, "n_tokens")) && json_object_get(fields, "entropy_mean"))
        return KIND_RECORDS;
    if (fields && logprobs_recognise(fields))
        return KIND_RECORDED;
    return !fields || has_any(fields, texts, sizeof texts / sizeof *texts) ? KIND_TEXTS : KIND_OBJECTS;
}

/* One object over several lines, or an array of them. */
static bool looks_like_document(const char *bytes, size_t n) {
    while (n > 0 && strchr(" \t\r\n", *bytes)) {
        bytes++;
        n--;
    }
    const char *end = n > 0 ? memchr(bytes, '\n', n) : NULL;
    return n > 0 && (*bytes == '[' || (*bytes == '{' && end && logprobs_goes_on(bytes, (size_t)(end - bytes))));
}

static bool detect_document(kind *kind, input *input, trouble *trouble) {
    struct trouble ignored;
    bool is_other;
    json_t *responses = logprobs_read_document(input, "", 0, &is_other, &ignored);
    if (responses)
        *kind = KIND_RECORDED;
    json_decref(responses);
    return input_rewind(input, trouble);
}

/* By the first line. */
static bool detect_lines(kind *kind, input *input, trouble *trouble) {
    document document = {0};
    struct trouble ignored; /* whatever is wrong with the line is said when it is read in earnest */
    (void)record_read(input, &document, &ignored);
    *kind = kind_of_line(document.fields);
    document_free(&document);
    return input_rewind(input, trouble);
}

static bool detect(kind *kind, input *input, trouble *trouble) {
    const char *bytes;
    size_t n;
    if (!input_peek(input, &bytes, &n, trouble))
        return false;
    *kind = KIND_TEXTS;
    if (n >= 4 && memcmp(bytes, "GGUF", 4) == 0)
        *kind = KIND_GGUF;
    else if (tensor_detect((const unsigned char *)bytes, n) != TENSOR_FORMAT_NONE)
        *kind = KIND_TENSORS;
    else if (looks_like_manifest(bytes, n))
        *kind = KIND_MANIFEST;
    else if (kld_detect((const unsigned char *)bytes, n))
        *kind = KIND_KLD;
    else if (looks_like_document(bytes, n))
        return detect_document(kind, input, trouble);
    else if (n > 0 && bytes[0] == '{')
        return detect_lines(kind, input, trouble);
    return true;
}

static bool inspect_lines(buffer *text, input *input, trouble *trouble) {
    records *records = records_open_input(input, trouble);
    bool ok = records && inspect_records(text, records, trouble);
    records_close(records);
    return ok;
}

static bool inspect(buffer *text, const char *path, trouble *trouble) {
    char name[4096];
    kind kind;
    input *input = input_open_twice(path, trouble);
    if (!input)
        return false;
    if (!detect(&kind, input, trouble)) {
        input_close(input);
        return false;
    }
    message_escape(name, sizeof name, input_name(input), strlen(input_name(input)));
    buffer_append_format(text, "%s\n", name);
    if (kind == KIND_TEXTS)
        return inspect_texts(text, input, trouble);
    if (kind == KIND_RECORDED)
        return inspect_recorded(text, input, trouble);
    if (kind == KIND_KLD)
        return inspect_kld(text, input, trouble);
    bool ok = kind == KIND_OBJECTS    ? inspect_objects(text, input, trouble)
              : kind == KIND_RECORDS  ? inspect_lines(text, input, trouble)
              : kind == KIND_TENSORS  ? inspect_tensors(text, input, trouble)
              : kind == KIND_MANIFEST ? inspect_manifest(text, input, trouble)
                                      : inspect_gguf(text, input, trouble);
    input_close(input);
    return ok;
}

/* Each file's lines are printed whole, or its trouble is. */
static int run_file(const char *path) {
    buffer text = {0};
    trouble trouble;
    bool ok = inspect(&text, path, &trouble);
    ok = ok && (!text.failed || trouble_set(&trouble, "out of memory")) &&
         output_whole("-", text.data, text.size, &trouble);
    buffer_free(&text);
    return ok ? EXIT_DONE : message_trouble(&trouble);
}

static int run(const command *command, int argc, char **argv) {
    operands operands;
    int exit_code = EXIT_DONE;
    if (!options_parse(command, NULL, 0, argc, argv, &operands, &exit_code))
        return exit_code;
    if (operands.n_items == 0)
        return message_error("expected a file, found none; \"entrol inspect --help\" says more");
    for (int i = 0; i < operands.n_items; i++)
        if (run_file(operands.items[i]) != EXIT_DONE)
            exit_code = EXIT_ERROR;
    return exit_code;
}

const command command_inspect = {
    .name = "inspect",
    .summary = "what a file is: records, texts, logs, arrays, a model, a manifest",
    .usage = "FILE...",
    .description =
        "Says what each file is, by its content, and reads it to the end, so that a broken one is found: token "
        "records (documents, tokens, the range of each column), texts, recorded log-probabilities (by which server), "
        "other JSON Lines, .npy and .safetensors arrays, llama-perplexity's log-probabilities, GGUF models (their "
        "metadata), manifests. - is standard input; .gz and .zst are read directly.",
    .examples = "  entrol inspect records.jsonl       the columns of a result\n"
                "  entrol inspect model.gguf          a model's metadata\n",
    .run = run,
};
