/* What made the texts, beside the files that they went to. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../formats/manifest.h"
#include "../json_text.h"
#include "../open_files.h"

static bool set_model(json_t *manifest, const generator *generator, trouble *trouble) {
    char hex[65];
    const entrol_llama *llama = generator->llama;
    const char *path = generator->settings->score.model, *name = generator->settings->score.chat_template;
    if (!manifest_hash_file(hex, path, trouble))
        return false;
    const size_t n_parallel = generator->n_families * generator->n_each;
    return (json_set(manifest, "model", json_string_of(path)) && json_set(manifest, "model_sha256", json_string(hex)) &&
            json_set(manifest, "model_description", json_string_of(entrol_llama_description(llama))) &&
            json_set(manifest, "llama_cpp", json_string(entrol_llama_version())) &&
            json_set(manifest, "context", json_integer((json_int_t)entrol_llama_n_ctx(llama))) &&
            json_set(manifest, "batch", json_integer((json_int_t)entrol_llama_n_batch(llama))) &&
            json_set(manifest, "parallel", json_integer((json_int_t)n_parallel)) &&
            json_set(manifest, "chat_template", name != NULL ? json_string_of(name) : json_null())) ||
           trouble_set(trouble, "the manifest: out of memory");
}

/* How many texts and tokens were made. */
static json_t *counts_of(const generator *generator) {
    json_t *counts = json_object();
    if (json_set(counts, "documents", json_integer((json_int_t)generator->n_texts_done)) &&
        json_set(counts, "tokens", json_integer((json_int_t)generator->n_done)))
        return counts;
    json_decref(counts);
    return NULL;
}

static bool set_settings(json_t *manifest, const generator *generator, trouble *trouble) {
    const char *cpu = entrol_cpu_name(entrol_context_cpu(generator->context));
    return (json_set(manifest, "rules", generate_chain_json(generator->settings)) &&
            json_set(manifest, "seed", json_integer(generator->settings->seed)) &&
            json_set(manifest, "cpu", json_string(cpu)) && json_set(manifest, "counts", counts_of(generator))) ||
           trouble_set(trouble, "the manifest: out of memory");
}

static json_t *make_manifest(const generator *generator, int argc, char **argv, trouble *trouble) {
    json_t *manifest = manifest_new(argc, argv);
    if (set_model(manifest, generator, trouble) && set_settings(manifest, generator, trouble))
        return manifest;
    json_decref(manifest);
    return NULL;
}

bool generate_write_manifests(const generator *generator, int argc, char **argv, trouble *trouble) {
    const char *const paths[] = {generator->settings->output_path, generator->settings->trace_path};
    json_t *manifest = NULL;
    bool ok = true;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && ok; i++) {
        if (paths[i] == NULL || !open_files_is_plain(paths[i]))
            continue;
        if (manifest == NULL)
            manifest = make_manifest(generator, argc, argv, trouble);
        ok = manifest != NULL && manifest_write(manifest, paths[i], trouble);
    }
    json_decref(manifest);
    return ok;
}

#endif
