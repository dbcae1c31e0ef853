/* What --reference names, and what may stand beside it: distributions, which token records are not. */
#include "compare.h"

#include "../formats/container.h"
#include "../formats/tensor.h"
#include "../json_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool say_no_distributions(const char *where, trouble *trouble) {
    return trouble_set(trouble,
                       "%s holds token records, not distributions: give models (-m, --reference) and texts, or logits",
                       where);
}

bool compare_refuse_record(const char *where, const json_t *fields, trouble *trouble) {
    return !record_is_measured(fields) || say_no_distributions(where, trouble);
}

/* By the first line of JSON Lines; whatever else is wrong with it is said when it is read in earnest. */
static bool check_first_line(const char *path, input *input, trouble *trouble) {
    struct trouble ignored;
    const char *line;
    size_t n_bytes;
    if (input_line(input, &line, &n_bytes, &ignored) != 1)
        return true;
    json_t *fields = json_loadb(line, n_bytes, 0, NULL);
    bool ok = compare_refuse_record(path, fields, trouble);
    json_decref(fields);
    return ok;
}

static bool check_container(const char *path, trouble *trouble) {
    struct trouble ignored;
    tensor_file *file = tensors_open(path, &ignored);
    bool ok = file == NULL || !container_holds_records(file) || say_no_distributions(path, trouble);
    tensors_close(file);
    return ok;
}

/* What a file is by its first bytes. */
typedef enum kind { KIND_LINES, KIND_MODEL, KIND_LOGITS } kind;

static bool find_kind(kind *kind, const char *path, input *input, trouble *trouble) {
    const char *bytes;
    size_t n;
    bool is_logits;
    if (!score_is_logits(&is_logits, path, input, trouble) || !input_peek_least(input, 4, &bytes, &n, trouble))
        return false;
    *kind = is_logits ? KIND_LOGITS : n >= 4 && memcmp(bytes, "GGUF", 4) == 0 ? KIND_MODEL : KIND_LINES;
    return true;
}

/* Opens the file for a look, and refuses records. */
static bool look(kind *kind, const char *path, trouble *trouble) {
    input *input = input_open(path, trouble);
    bool ok = input != NULL && find_kind(kind, path, input, trouble);
    if (ok && *kind == KIND_LINES)
        ok = check_first_line(path, input, trouble);
    else if (ok && *kind == KIND_LOGITS)
        ok = check_container(path, trouble);
    input_close(input);
    return ok;
}

bool compare_refuse_records(const char *path, trouble *trouble) {
    kind kind;
    return look(&kind, path, trouble);
}

static bool take(comparison *comparison, size_t i, trouble *trouble) {
    kind kind;
    compare_reference *reference = &comparison->references[i];
    reference->path = comparison->paths.items[i];
    if (strcmp(reference->path, "-") == 0)
        return trouble_set(trouble, "--reference -: a file is needed, which can be opened beside the other");
    if (!look(&kind, reference->path, trouble))
        return false;
    if (kind == KIND_LINES)
        return trouble_set(trouble, "--reference %s: expected a model (GGUF) or logits (.npy, .safetensors)",
                           reference->path);
    const compare_kind of_this = kind == KIND_MODEL ? COMPARE_MODELS : COMPARE_LOGITS;
    if (i > 0 && of_this != comparison->kind)
        return trouble_set(trouble, "--reference %s and %s: one is a model and the other logits",
                           comparison->references->path, reference->path);
    comparison->kind = of_this;
    return true;
}

bool compare_references_take(comparison *comparison, trouble *trouble) {
    const size_t n = comparison->paths.n_items;
    if (n == 0)
        return trouble_set(trouble, "compare needs --reference FILE: another model, or another file of logits");
    if (n > COMPARE_MOST - 1)
        return trouble_set(trouble, "--reference: at most %d can stand beside the first, found %zu", COMPARE_MOST - 1,
                           n);
    comparison->references = calloc(n, sizeof(*comparison->references));
    if (comparison->references == NULL)
        return trouble_set(trouble, "out of memory");
    comparison->n_references = comparison->run.settings.n_references = n;
    for (size_t i = 0; i < n; i++)
        if (!take(comparison, i, trouble))
            return false;
    return true;
}

void compare_free(comparison *comparison) {
    for (size_t i = 0; i < comparison->n_references; i++) {
        scorer_close(comparison->references[i].scorer);
        logits_close(comparison->references[i].file);
    }
    free(comparison->references);
    free(comparison->top_ids);
    free(comparison->reference_top_ids);
    free(comparison->scratch);
}
