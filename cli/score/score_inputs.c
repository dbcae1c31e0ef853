/* What the inputs of a run hold, told before hours are spent on the first of them. */
#include "score_run.h"

#include "../formats/kld.h"
#include "../formats/tensor.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const char *score_input_name(const char *path) {
    return strcmp(path, "-") == 0 ? "stdin" : path;
}

static bool ends_with(const char *path, const char *ending) {
    size_t n = strlen(path), n_ending = strlen(ending);
    return n >= n_ending && strcasecmp(path + n - n_ending, ending) == 0;
}

/* So that a broken file of these names is called broken logits, and not a text. */
static bool is_named_logits(const char *path) {
    static const char *const endings[] = {".npy", ".safetensors",    ".npy.gz",         ".npy.zst",
                                          ".npz", ".safetensors.gz", ".safetensors.zst"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (ends_with(path, endings[i]))
            return true;
    return false;
}

bool score_is_logits(bool *is_logits, const char *path, input *input, trouble *trouble) {
    enum { N_TOLD = 9 }; /* a slow pipe may take long to send more */
    const char *bytes;
    size_t n;
    if (!input_peek_least(input, N_TOLD, &bytes, &n, trouble))
        return false;
    const unsigned char *start = (const unsigned char *)bytes;
    *is_logits = is_named_logits(path) || tensor_detect(start, n) != TENSOR_FORMAT_NONE || kld_detect(start, n);
    return true;
}

static bool is_kld(input *input, trouble *trouble) {
    const char *bytes;
    size_t n;
    return input_peek_least(input, 1, &bytes, &n, trouble) && kld_detect((const unsigned char *)bytes, n);
}

/* A pipe with a name waits for whoever writes to it. Of several, each in its turn: one writer may fill them all. */
static bool must_wait(const score_run *run, int index) {
    struct stat status;
    return run->n_inputs > 1 && stat(run->inputs[index], &status) == 0 && S_ISFIFO(status.st_mode);
}

static bool can_be_text(input *input, trouble *trouble) {
    const char *bytes;
    size_t n;
    return input_peek_least(input, 2, &bytes, &n, trouble) && texts_can_start(input_name(input), bytes, n, trouble);
}

/* What starts as recorded log-probabilities is all of these, and needs no model. Takes the stream. */
static bool look_for_recorded(score_run *run, score_look *looked, trouble *trouble) {
    looked->texts = texts_open_input(looked->stream, &run->settings.texts, trouble);
    looked->stream = NULL;
    if (looked->texts == NULL)
        return false;
    looked->is_unreadable = !texts_look(looked->texts, &looked->is_recorded);
    return true;
}

bool score_inputs_look_at(score_run *run, int index, trouble *trouble) {
    score_look *looked = &run->looked[index];
    const char *path = run->inputs[index];
    if (looked->is_known)
        return true;
    looked->stream = input_open(path, trouble);
    if (looked->stream == NULL || !score_is_logits(&looked->is_logits, path, looked->stream, trouble))
        return false;
    looked->is_known = true;
    looked->is_kld = looked->is_logits && is_kld(looked->stream, trouble);
    if (!looked->is_logits && !can_be_text(looked->stream, trouble)) {
        looked->is_passed_over = true;
        return score_inputs_pass_over(run, trouble);
    }
    bool is_read_again = strcmp(path, "-") != 0 && input_can_rewind(looked->stream);
    if (!looked->is_logits && !look_for_recorded(run, looked, trouble))
        return false;
    if (is_read_again) {
        input_close(looked->stream);
        texts_close(looked->texts);
        looked->stream = NULL;
        looked->texts = NULL;
    }
    return true;
}

bool score_inputs_pass_over(score_run *run, const trouble *why) {
    if (run->settings.texts.skip_bad)
        message_warning("%s; passed over", why->text);
    else
        run->end = SCORE_END_BAD_LINE;
    return run->settings.texts.skip_bad;
}

static bool check_standard_input(const score_run *run, trouble *trouble) {
    int n = 0;
    for (int i = 0; i < run->n_inputs; i++)
        n += strcmp(run->inputs[i], "-") == 0;
    return n < 2 || trouble_set(trouble, "standard input is named twice, and can be read once");
}

/* The size of the inputs together; 0 where it says little about the text: pipes, packed files. */
static uint64_t total_size(const score_run *run) {
    uint64_t total = 0;
    for (int i = 0; i < run->n_inputs; i++) {
        struct stat status;
        const char *path = run->inputs[i];
        if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || ends_with(path, ".gz") || ends_with(path, ".zst"))
            return 0;
        total += (uint64_t)status.st_size;
    }
    return total;
}

static bool look_at_all(score_run *run, trouble *trouble) {
    run->looked = calloc((size_t)run->n_inputs, sizeof(*run->looked));
    if (run->looked == NULL)
        return trouble_set(trouble, "out of memory");
    if (!check_standard_input(run, trouble))
        return false;
    for (int i = 0; i < run->n_inputs; i++) {
        if (must_wait(run, i))
            run->looked[i].is_logits = is_named_logits(run->inputs[i]);
        else if (!score_inputs_look_at(run, i, trouble))
            return false;
        run->n_logits += run->looked[i].is_logits;
        run->n_kld += run->looked[i].is_kld;
        run->n_recorded += run->looked[i].is_recorded;
    }
    run->input_bytes = total_size(run);
    return true;
}

bool score_inputs_check(score_run *run, trouble *trouble) {
    if (!look_at_all(run, trouble))
        return false;
    if (run->companion != NULL && !run->companion->check_inputs(run->companion->user, run, trouble))
        return false;
    if (run->targets != NULL && (run->n_logits != 1 || run->n_inputs != 1 || run->n_kld > 0))
        return trouble_set(trouble, "--targets goes with one logits file%s",
                           run->n_kld > 0 ? "; this one has its tokens" : "");
    if (run->settings.compat != NULL && (run->n_inputs != 1 || run->n_logits > 0))
        return trouble_set(trouble, "--compat llama-perplexity scores one text file");
    int n_known = 0, n_unreadable = 0;
    for (int i = 0; i < run->n_inputs; i++) {
        n_known += run->looked[i].is_known;
        n_unreadable += run->looked[i].is_unreadable;
    }
    bool has_texts = run->n_logits + run->n_recorded + n_unreadable < n_known;
    bool has_unknown = n_known < run->n_inputs || n_unreadable > 0;
    if (!score_settings_check_inputs(&run->settings, run->n_recorded > 0 || has_unknown, run->n_kld > 0,
                                     run->n_recorded + run->n_kld < n_known, trouble))
        return false;
    struct trouble ignored; /* what has not been read yet may hold texts, and need no model all the same */
    if (has_texts)
        return score_settings_model(&run->settings, trouble);
    if (!has_unknown || !score_settings_model(&run->settings, &ignored))
        run->settings.model = NULL;
    return true;
}

input *score_inputs_open(score_run *run, int index, trouble *trouble) {
    input *stream = run->looked[index].stream;
    run->looked[index].stream = NULL;
    return stream != NULL ? stream : input_open(run->inputs[index], trouble);
}

texts *score_inputs_open_texts(score_run *run, int index, trouble *trouble) {
    texts *texts = run->looked[index].texts;
    run->looked[index].texts = NULL;
    return texts != NULL ? texts
                         : texts_open_input(score_inputs_open(run, index, trouble), &run->settings.texts, trouble);
}

void score_inputs_free(score_run *run) {
    for (int i = 0; run->looked != NULL && i < run->n_inputs; i++) {
        input_close(run->looked[i].stream);
        texts_close(run->looked[i].texts);
    }
    free(run->looked);
    run->looked = NULL;
}
