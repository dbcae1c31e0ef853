/* The flags that score and filter share, the choice of columns, and where the default model lies. */
#include "score.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MODEL "gemma-3-270m-q4_k_m.gguf"

void score_model_options(option *rows, score_settings *settings) {
    const option table[SCORE_MODEL_OPTIONS] = {
        {.letter = 'm',
         .name = "model",
         .type = OPTION_STRING,
         .value = &settings->model,
         .metavar = "FILE",
         .help = "The model, a GGUF file. Default: " DEFAULT_MODEL " in the cache directory."},
        {.letter = 'c',
         .name = "ctx-size",
         .type = OPTION_INTEGER,
         .value = &settings->n_ctx,
         .metavar = "N",
         .help = "Tokens of context. Default: 2048, or the model's own if less; as llama-perplexity 512.",
         .minimum = 8,
         .maximum = 1 << 24},
        {.letter = 'b',
         .name = "batch-size",
         .type = OPTION_INTEGER,
         .value = &settings->n_batch,
         .metavar = "N",
         .help = "Tokens of one decode; logits exist for these only. Default: 128, as llama-perplexity 2048.",
         .minimum = 1,
         .maximum = 1 << 20},
        {.name = "ubatch-size",
         .short_name = "ub",
         .type = OPTION_INTEGER,
         .value = &settings->n_ubatch,
         .metavar = "N",
         .help = "Tokens of one micro-batch. Default: the batch, as llama-perplexity 512.",
         .minimum = 1,
         .maximum = 1 << 20},
        {.letter = 't',
         .name = "threads",
         .type = OPTION_INTEGER,
         .value = &settings->n_threads,
         .metavar = "N",
         .help = "Threads. Default: one for each processor. Results do not depend on it.",
         .minimum = 1,
         .maximum = 1024},
        {.name = "n-gpu-layers",
         .short_name = "ngl",
         .type = OPTION_INTEGER,
         .value = &settings->n_gpu_layers,
         .metavar = "N",
         .help = "Layers that a GPU computes. Default: 0.",
         .minimum = 0,
         .maximum = 1 << 16},
        {.name = "flash-attn",
         .short_name = "fa",
         .type = OPTION_CHOICE,
         .value = &settings->flash_attention,
         .help = "Flash attention. Default: auto.",
         .choices = "on|off|auto"},
        {.name = "min-context",
         .type = OPTION_INTEGER,
         .value = &settings->min_context,
         .metavar = "N",
         .help = "Documents longer than the context are scored in windows; no token after the first window has fewer "
                 "tokens before it than this. Default: half the context.",
         .minimum = 1,
         .maximum = 1 << 24},
        {.name = "temperature",
         .type = OPTION_REAL,
         .value = &settings->temperature,
         .metavar = "T",
         .help = "Divide the logits by this. Default: 1.",
         .minimum = 1e-6,
         .maximum = 1e6},
        {.name = "field",
         .type = OPTION_STRING,
         .value = &settings->texts.field,
         .metavar = "NAME",
         .help = "JSON Lines: the field that holds the text. Default: text, prompt and completion, instruction, or "
                 "messages, whichever is there."},
        {.name = "plain",
         .type = OPTION_FLAG,
         .value = &settings->texts.plain,
         .help = "Read every file as plain text, one document a file."},
        {.name = "chat-template",
         .type = OPTION_STRING,
         .value = &settings->chat_template,
         .metavar = "NAME",
         .help =
             "Conversations: a template that llama.cpp knows, such as gemma, chatml or llama3. Default: the model's."},
        {.name = "score-role",
         .type = OPTION_STRING,
         .value = &settings->score_role,
         .metavar = "ROLE",
         .help = "Conversations: score the messages of this role, or of all. Default: assistant."},
        {.name = "skip-bad",
         .type = OPTION_FLAG,
         .value = &settings->texts.skip_bad,
         .help = "Go on after a bad line, and count it."},
        {.name = "verbose",
         .type = OPTION_FLAG,
         .value = &settings->verbose,
         .help = "Say more: llama.cpp's warnings, and where the time went."},
    };
    memcpy(rows, table, sizeof(table));
}

/* What follows from the most probable tokens; recorded log-probabilities are these. */
static bool is_of_top(column_id id) {
    return id == COLUMN_TAIL_MASS || id == COLUMN_MEAN_TOPK_LOGPROB;
}

static bool is_top(column_id id) {
    return id == COLUMN_TOP_ID || id == COLUMN_TOP_TOKEN || id == COLUMN_TOP_LOGPROB;
}

/* The first flag that says what --compat decides itself, or NULL. */
static const char *against_compat(const score_settings *settings) {
    return settings->n_pack > 1            ? "--pack"
           : settings->min_context > 0     ? "--min-context"
           : settings->temperature != 1    ? "--temperature"
           : settings->texts.field != NULL ? "--field"
                                           : NULL;
}

bool score_settings_check(score_settings *settings, trouble *trouble) {
    const char *flag = against_compat(settings);
    if (settings->compat != NULL && flag != NULL)
        return trouble_set(trouble, "%s does not go with --compat llama-perplexity, which scores as that program does",
                           flag);
    if (settings->texts.plain && settings->texts.field != NULL)
        return trouble_set(trouble, "--field does not go with --plain, which reads a file as one text without fields");
    settings->texts.plain |= settings->compat != NULL; /* a file is one text there */
    return true;
}

bool score_settings_check_inputs(const score_settings *settings, bool has_recorded, bool has_kld, bool has_others,
                                 trouble *trouble) {
    if ((has_recorded || has_kld) && settings->temperature != 1)
        return trouble_set(trouble, "--temperature %g: recorded log-probabilities cannot be taken to another one",
                           settings->temperature);
    if (!has_recorded && settings->n_vocabulary > 0)
        return trouble_set(trouble, "--vocab-size is for recorded log-probabilities; a model and a file of logits have "
                                    "their own");
    for (int id = 0; id < COLUMN_COUNT && has_others && settings->n_top == 0; id++)
        if (settings->named[id] && is_of_top((column_id)id))
            return trouble_set(trouble, "--columns: %s needs --top N, the number of most probable tokens to look at",
                               record_columns[id].name);
    return true;
}

static bool can_measure(const score_settings *settings, column_id id) {
    return record_can_score(id) || (settings->n_references > 0 && record_can_compare(id));
}

/* Of two models, the entropy of their mean follows from the rest. */
static bool is_default(const score_settings *settings, column_id id) {
    size_t n_enough = id >= COLUMN_MEAN_ENTROPY ? 2 : 1;
    return record_columns[id].by_default || (record_can_compare(id) && settings->n_references >= n_enough);
}

/* Of recorded log-probabilities everything is written that they tell, but for texts of tokens. */
static void want_default(score_settings *settings) {
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column_id id = (column_id)i;
        settings->wanted[id] = is_default(settings, id);
        settings->wanted_recorded[id] = record_can_score_recorded(id) && !is_top(id) && id != COLUMN_TOKEN;
    }
}

static void want_all(score_settings *settings) {
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column_id id = (column_id)i;
        bool has_top = settings->n_top > 0;
        settings->wanted[id] = can_measure(settings, id) && (has_top || !(is_top(id) || is_of_top(id)));
        settings->wanted_recorded[id] = record_can_score_recorded(id) && (has_top || !is_top(id));
    }
}

/* Every column that there may be: of compare nothing is recorded. */
static bool can_write(const score_settings *settings, column_id id) {
    return can_measure(settings, id) || (settings->n_references == 0 && record_can_score_recorded(id));
}

static bool unknown_column(const score_settings *settings, const char *name, size_t n_bytes, trouble *trouble) {
    buffer known = {0};
    for (int id = 0; id < COLUMN_COUNT; id++)
        if (can_write(settings, (column_id)id))
            buffer_append_format(&known, "%s%s", known.size ? ", " : "", record_columns[id].name);
    trouble_set(trouble, "--columns: \"%.*s\" is not a column that %s can write; it is one of %s", (int)n_bytes, name,
                settings->n_references > 0 ? "compare" : "score", known.failed ? "those in --help" : known.data);
    buffer_free(&known);
    return false;
}

static bool want_named(score_settings *settings, const char *list, trouble *trouble) {
    for (const char *name = list;;) {
        size_t n_bytes = strcspn(name, ",");
        column_id id = record_find_column(name, n_bytes);
        if (id == COLUMN_COUNT || !can_write(settings, id))
            return unknown_column(settings, name, n_bytes, trouble);
        if (is_top(id) && settings->n_top == 0)
            return trouble_set(trouble, "--columns: %s needs --top N, the number of most probable tokens to look at",
                               record_columns[id].name);
        settings->wanted[id] = settings->wanted_recorded[id] = settings->named[id] = true;
        if (name[n_bytes] == '\0')
            return true;
        name += n_bytes + 1;
    }
}

bool score_settings_columns(score_settings *settings, const char *list, bool renyi_given, trouble *trouble) {
    if (list == NULL)
        want_default(settings);
    else if (strcmp(list, "all") == 0)
        want_all(settings);
    else if (!want_named(settings, list, trouble))
        return false;
    for (int id = 0; id < COLUMN_COUNT && settings->n_top > 0; id++)
        if (is_top((column_id)id))
            settings->wanted[id] = settings->wanted_recorded[id] = true;
    if (renyi_given)
        settings->wanted[COLUMN_RENYI] = true;
    return true;
}

/* ${ENTROL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/entrol}/models/... ; scripts/demo puts the model there. */
static void default_model_path(buffer *path) {
    const char *entrol = getenv("ENTROL_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (entrol != NULL && *entrol != '\0')
        buffer_append_string(path, entrol);
    else if (cache != NULL && *cache != '\0')
        buffer_append_format(path, "%s/entrol", cache);
    else
        buffer_append_format(path, "%s/.cache/entrol", home != NULL ? home : "");
    buffer_append_string(path, "/models/" DEFAULT_MODEL);
}

bool score_settings_model(score_settings *settings, trouble *trouble) {
#ifndef ENTROL_HAVE_LLAMA
    return trouble_set(trouble,
                       "this entrol was built without llama.cpp (ENTROL_LLAMA=OFF): it scores logits and recorded "
                       "log-probabilities, not texts");
#endif
    struct stat status;
    if (settings->model != NULL) {
        if (stat(settings->model, &status) != 0)
            return trouble_set(trouble, "%s: cannot read the model: %s", settings->model, strerror(errno));
        if (S_ISDIR(status.st_mode))
            return trouble_set(trouble, "%s: a directory, where a model (a GGUF file) was expected", settings->model);
        return true;
    }
    static buffer path; /* lives as long as the settings may */
    buffer_clear(&path);
    default_model_path(&path);
    if (path.failed)
        return trouble_set(trouble, "out of memory");
    if (access(path.data, R_OK) != 0)
        return trouble_set(trouble,
                           "no model: there is none at %s. Give one with -m FILE (any GGUF), or run scripts/demo, "
                           "which gets the default model",
                           path.data);
    settings->model = path.data;
    return true;
}
