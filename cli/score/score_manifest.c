/* What decides the bytes of a run's output: kept in the journal while it runs, and in the manifest when it is done.
 *
 * No dates and no durations: a run that was interrupted and resumed has the same manifest as an undisturbed one. */
#include "score_run.h"

#include "../formats/manifest.h"
#include "../json_text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static json_t *inputs_json(const score_run *run) {
    json_t *inputs = json_array();
    for (int i = 0; i < run->n_inputs; i++)
        json_array_append_new(inputs, json_string_of(run->inputs[i]));
    return inputs;
}

/* Of the kinds of inputs that there are. */
static json_t *columns_json(const score_run *run) {
    const score_settings *settings = &run->settings;
    int n_bounded = run->n_recorded + run->n_kld;
    json_t *columns = json_array();
    for (int id = 0; id < COLUMN_COUNT && !settings->sample_level; id++)
        if ((settings->wanted[id] && n_bounded < run->n_inputs) || (settings->wanted_recorded[id] && n_bounded > 0))
            json_array_append_new(columns, json_string(record_columns[id].name));
    return columns;
}

static const char *formula_of(const score_run *run) {
    return run->n_recorded + run->n_kld < run->n_inputs
               ? "H = -sum p ln p over the whole vocabulary, p = softmax(logits / temperature)"
               : "bounds of H = -sum p ln p over the whole vocabulary, from the probabilities that were recorded";
}

static json_t *string_or_null(const char *string) {
    return string != NULL ? json_string_of(string) : json_null();
}

static void set_model(json_t *settings, const score_settings *flags) {
    json_object_set_new(settings, "model", string_or_null(flags->model));
    json_object_set_new(settings, "model_sha256", json_null());
    json_object_set_new(settings, "context", json_integer(flags->n_ctx));
    json_object_set_new(settings, "batch", json_integer(flags->n_batch));
    json_object_set_new(settings, "micro_batch", json_integer(flags->n_ubatch));
    json_object_set_new(settings, "min_context", json_integer(flags->min_context));
    json_object_set_new(settings, "pack", json_integer(flags->n_pack));
    json_object_set_new(settings, "gpu_layers", json_integer(flags->n_gpu_layers));
    json_object_set_new(settings, "flash_attention", json_string(flags->flash_attention));
    json_object_set_new(settings, "compat", string_or_null(flags->compat));
    json_object_set_new(settings, "chat_template", string_or_null(flags->chat_template));
    json_object_set_new(settings, "score_role", json_string_of(flags->score_role));
    json_object_set_new(settings, "field", string_or_null(flags->texts.field));
    json_object_set_new(settings, "plain", json_boolean(flags->texts.plain));
}

static void set_measure(json_t *settings, const score_run *run) {
    const score_settings *flags = &run->settings;
    json_object_set_new(settings, "temperature", json_real(flags->temperature));
    json_object_set_new(settings, "renyi_order",
                        flags->wanted[COLUMN_RENYI] ? json_of_real(flags->renyi_order) : json_null());
    json_object_set_new(settings, "columns", columns_json(run));
    json_object_set_new(settings, "top", json_integer(flags->n_top));
    json_object_set_new(settings, "vocabulary_size",
                        flags->n_vocabulary > 0 ? json_integer(flags->n_vocabulary) : json_null());
    json_object_set_new(settings, "level", json_string(run->level));
    json_object_set_new(settings, "sample", json_real(run->share));
    json_object_set_new(settings, "seed", json_integer(run->seed));
    json_object_set_new(settings, "cpu", json_string(entrol_cpu_name(entrol_context_cpu(run->context))));
}

json_t *score_run_settings(const score_run *run, trouble *trouble) {
    json_t *settings = json_object();
    json_object_set_new(settings, "inputs", inputs_json(run));
    json_object_set_new(settings, "targets", string_or_null(run->targets));
    set_model(settings, &run->settings);
    set_measure(settings, run);
    if (run->settings.model == NULL || run->journal_path == NULL)
        return settings;
    char hex[65];
    if (!manifest_hash_file(hex, run->settings.model, trouble)) {
        json_decref(settings);
        return NULL;
    }
    json_object_set_new(settings, "model_sha256", json_string(hex));
    return settings;
}

void score_run_set_scorer(json_t *manifest, const scorer *scorer) {
    scorer_about about = scorer_describe(scorer);
    json_object_set_new(manifest, "model_description", json_string(about.description));
    json_object_set_new(manifest, "tokenizer_size", json_integer((json_int_t)about.n_vocab));
    json_object_set_new(manifest, "starts_with_bos", json_boolean(about.wants_bos));
    json_object_set_new(manifest, "llama_cpp", json_string(about.llama_version));
    json_object_set_new(manifest, "context", json_integer((json_int_t)about.n_ctx));
    json_object_set_new(manifest, "batch", json_integer((json_int_t)about.n_batch));
    json_object_set_new(manifest, "micro_batch", json_integer((json_int_t)about.n_ubatch));
    json_object_set_new(manifest, "min_context", json_integer((json_int_t)about.min_context));
}

/* --- The manifest --- */

/* A plain file's bytes, null for another. */
static json_t *input_sizes_json(const score_run *run) {
    json_t *sizes = json_array();
    for (int i = 0; i < run->n_inputs; i++) {
        struct stat status;
        bool is_plain = stat(run->inputs[i], &status) == 0 && S_ISREG(status.st_mode);
        json_array_append_new(sizes, is_plain ? json_integer((json_int_t)status.st_size) : json_null());
    }
    return sizes;
}

static json_t *counts_json(const score_summary *summary) {
    json_t *counts = json_object();
    json_object_set_new(counts, "documents", json_integer((json_int_t)summary->n_documents));
    json_object_set_new(counts, "tokens", json_integer((json_int_t)summary->totals.n_tokens));
    json_object_set_new(counts, "bad_rows", json_integer((json_int_t)summary->totals.n_bad));
    json_object_set_new(counts, "skipped_lines", json_integer((json_int_t)summary->n_skipped));
    return counts;
}

/* The command line without --resume: how often a run was interrupted is no property of its result. */
static json_t *start(int argc, char **argv) {
    char **kept = calloc((size_t)argc + 1, sizeof(*kept));
    if (kept == NULL)
        return NULL;
    int n_kept = 0;
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--resume") != 0)
            kept[n_kept++] = argv[i];
    json_t *manifest = manifest_new(n_kept, kept);
    free(kept);
    return manifest;
}

bool score_run_write_manifest(const score_run *run, int argc, char **argv, trouble *trouble) {
    json_t *manifest = start(argc, argv);
    if (manifest == NULL)
        return trouble_set(trouble, "out of memory");
    json_object_set_new(manifest, "formula", json_string(formula_of(run)));
    json_object_update(manifest, run->settings_json);
    json_object_set_new(manifest, "skip_bad", json_boolean(run->settings.texts.skip_bad));
    json_object_set_new(manifest, "input_bytes", input_sizes_json(run));
    if (run->scorer != NULL)
        score_run_set_scorer(manifest, run->scorer);
    json_object_set_new(manifest, "counts", counts_json(&run->summary));
    bool ok = run->companion == NULL || run->companion->describe(run->companion->user, manifest, trouble);
    ok = ok && manifest_write(manifest, run->output_path, trouble);
    json_decref(manifest);
    return ok;
}

/* --- What is done already --- */

/* Whether the setting is what the manifest says. Where a flag was left to the model, the manifest has the model's. */
static bool is_same_setting(const char *key, const json_t *now, const json_t *then) {
    static const char *const of_model[] = {"context", "batch", "micro_batch", "min_context"};
    for (size_t i = 0; i < sizeof(of_model) / sizeof(of_model[0]); i++)
        if (strcmp(key, of_model[i]) == 0 && json_integer_value(now) == 0)
            return true;
    return json_equal(now, then);
}

static bool is_same_run(const score_run *run, const json_t *manifest) {
    const char *key, *version = json_string_value(json_object_get(manifest, "entrol"));
    json_t *value;
    json_object_foreach(run->settings_json, key,
                        value) if (!is_same_setting(key, value, json_object_get(manifest, key))) return false;
    json_t *sizes = input_sizes_json(run);
    bool same_sizes = json_equal(sizes, json_object_get(manifest, "input_bytes"));
    json_decref(sizes);
    return same_sizes && version != NULL && strcmp(version, entrol_version()) == 0;
}

static bool is_newer(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* Whether the result is newer than all it was made from. */
static bool is_up_to_date(const score_run *run) {
    struct stat result, source;
    if (stat(run->output_path, &result) != 0)
        return false;
    for (int i = 0; i < run->n_inputs; i++)
        if (stat(run->inputs[i], &source) != 0 || !S_ISREG(source.st_mode) ||
            !is_newer(&result.st_mtim, &source.st_mtim))
            return false;
    return run->targets == NULL; /* may name a tensor of a file */
}

bool score_run_is_done(score_run *run) {
    json_t *manifest = is_up_to_date(run) ? manifest_of_output(run->output_path) : NULL;
    bool is_done = manifest != NULL && is_same_run(run, manifest);
    const json_t *counts = json_object_get(manifest, "counts");
    if (is_done) {
        run->summary.n_documents = (uint64_t)json_integer_value(json_object_get(counts, "documents"));
        run->summary.totals.n_tokens = (uint64_t)json_integer_value(json_object_get(counts, "tokens"));
    }
    json_decref(manifest);
    return is_done;
}
