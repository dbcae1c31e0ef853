/* What made the texts, beside the files that they went to. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../formats/manifest.h"
#include "../json_text.h"

#include <string.h>
#include <sys/stat.h>

static bool set_model(json_t *manifest, const generator *generator, trouble *trouble) {
    char hex[65];
    const char *path = generator->settings->score.model, *name = generator->settings->score.chat_template;
    if (!manifest_hash_file(hex, path, trouble))
        return false;
    json_object_set_new(manifest, "model", json_string_of(path));
    json_object_set_new(manifest, "model_sha256", json_string(hex));
    json_object_set_new(manifest, "model_description", json_string_of(entrol_llama_description(generator->llama)));
    json_object_set_new(manifest, "llama_cpp", json_string(entrol_llama_version()));
    json_object_set_new(manifest, "context", json_integer((json_int_t)entrol_llama_n_ctx(generator->llama)));
    json_object_set_new(manifest, "batch", json_integer((json_int_t)entrol_llama_n_batch(generator->llama)));
    json_object_set_new(manifest, "parallel", json_integer((json_int_t)(generator->n_families * generator->n_each)));
    json_object_set_new(manifest, "chat_template", name != NULL ? json_string_of(name) : json_null());
    return true;
}

static json_t *make_manifest(const generator *generator, int argc, char **argv, trouble *trouble) {
    json_t *manifest = manifest_new(argc, argv), *counts = json_object();
    if (manifest == NULL || counts == NULL || !set_model(manifest, generator, trouble)) {
        json_decref(manifest);
        json_decref(counts);
        return NULL;
    }
    json_object_set_new(manifest, "rules", generate_chain_json(generator->settings));
    json_object_set_new(manifest, "seed", json_integer(generator->settings->seed));
    json_object_set_new(manifest, "cpu", json_string(entrol_cpu_name(entrol_context_cpu(generator->context))));
    json_object_set_new(counts, "documents", json_integer((json_int_t)generator->n_texts_done));
    json_object_set_new(counts, "tokens", json_integer((json_int_t)generator->n_done));
    json_object_set_new(manifest, "counts", counts);
    return manifest;
}

static bool is_plain_file(const char *path) {
    struct stat status;
    return path != NULL && strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool generate_write_manifests(const generator *generator, int argc, char **argv, trouble *trouble) {
    const char *const paths[] = {generator->settings->output_path, generator->settings->trace_path};
    json_t *manifest = NULL;
    bool ok = true;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && ok; i++) {
        if (!is_plain_file(paths[i]))
            continue;
        if (manifest == NULL)
            manifest = make_manifest(generator, argc, argv, trouble);
        ok = manifest != NULL && manifest_write(manifest, paths[i], trouble);
    }
    json_decref(manifest);
    return ok;
}

#endif
