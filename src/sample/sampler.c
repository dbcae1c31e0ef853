/* Samplers: made of rules as texts, copied, and told what came. */
#include "sampler.h"

#include "rule_text.h"

#include "base/context.h"
#include "base/parameter.h"
#include "base/random.h"

#include <string.h>

/* What rules are made with beside their texts. */
typedef struct making {
    entrol_rule_source source;
    uint64_t random; /* the stream of the seeds of external rules */
} making;

/* Where a rule's text does not fit. */
static entrol_status bad_rule(entrol_diagnosis *diagnosis, const char *argument, size_t rule, size_t offset) {
    const entrol_status status = ent_bad_argument(diagnosis, argument);
    if (diagnosis) {
        diagnosis->first_row = rule;
        diagnosis->first_column = offset;
    }
    return status;
}

/* --- One rule --- */

/* Its settings, which are read by its table, whoever's it is. */
static entrol_status take_values(ent_step *step, entrol_diagnosis *diagnosis, const entrol_sampling_rule *kind,
                                 ent_rule_text *text, size_t index) {
    if (text->n_settings && !*text->settings[0].name) {
        if (!kind->n_parameters)
            return bad_rule(diagnosis, "rules", index, text->offsets[0]);
        text->settings[0].name = kind->parameters[0].name;
    }
    for (size_t n = 0; n <= text->n_settings; n++) { /* one more each time: the last one is bad */
        entrol_diagnosis found = {.argument = NULL};
        if (ent_take_settings(step->values, NULL, &found, kind->parameters, kind->n_parameters, text->settings, n) ==
            ENTROL_OK)
            continue;
        return strcmp(found.argument, "settings") == 0
                   ? bad_rule(diagnosis, "rules", index, text->offsets[n - 1])
                   : bad_rule(diagnosis, found.argument, index, text->value_offsets[n - 1]);
    }
    return ENTROL_OK;
}

/* Whether there is room for a value of each parameter. */
static int are_numbers(const entrol_sampling_rule *kind) {
    for (size_t i = 0; i < kind->n_parameters; i++)
        if (i == ENT_MOST_PARAMETERS || kind->parameters[i].type == ENTROL_PARAMETER_TEXT)
            return 0;
    return 1;
}

static entrol_status take_external(ent_step *step, entrol_diagnosis *diagnosis, ent_rule_text *text, size_t index,
                                   const making *making) {
    const entrol_rule_source *source = &making->source;
    const entrol_sampling_rule *kind = source->find ? source->find(source->user, text->name) : NULL;
    if (!kind)
        return bad_rule(diagnosis, "rules", index, 0);
    if (!are_numbers(kind))
        return ENTROL_ERROR_UNSUPPORTED;
    entrol_status status = take_values(step, diagnosis, kind, text, index);
    if (status != ENTROL_OK)
        return status;
    status = source->make(source->user, &step->external, kind, step->values, ent_random(making->random, index));
    if (status == ENTROL_OK && !step->external.apply)
        status = ENTROL_ERROR_ARGUMENT;
    return status == ENTROL_ERROR_ARGUMENT ? bad_rule(diagnosis, "rules", index, 0) : status;
}

/* `copy` is the rule's text, which it is split in. */
static entrol_status take_step(ent_step *step, entrol_diagnosis *diagnosis, char *copy, size_t index,
                               const making *making) {
    ent_rule_text text;
    size_t offset = 0;
    if (!ent_rule_text_split(&text, &offset, copy))
        return bad_rule(diagnosis, "rules", index, offset);
    step->rule = ent_rule_find(text.name);
    return step->rule ? take_values(step, diagnosis, &step->rule->kind, &text, index)
                      : take_external(step, diagnosis, &text, index, making);
}

/* --- The chain --- */

static void release_step(ent_step *step) {
    if (!step->rule && step->external.release)
        step->external.release(step->external.user);
}

void entrol_sampler_destroy(entrol_context *context, entrol_sampler *sampler) {
    if (!sampler)
        return;
    for (size_t i = 0; i < sampler->n_steps; i++)
        release_step(&sampler->steps[i]);
    ent_release(context, sampler->workspace.memory);
    ent_release(context, sampler->steps);
    ent_release(context, sampler);
}

/* Without rules yet: room for n_steps. */
static entrol_sampler *make_empty(entrol_context *context, size_t n_steps) {
    size_t n_bytes;
    if (!ent_multiply(&n_bytes, n_steps + 1, sizeof(ent_step)))
        return NULL;
    entrol_sampler *made = ent_allocate(context, sizeof *made);
    if (!made)
        return NULL;
    memset(made, 0, sizeof *made);
    made->last_token = -1;
    made->steps = ent_allocate(context, n_bytes);
    if (made->steps) {
        memset(made->steps, 0, n_bytes);
        return made;
    }
    ent_release(context, made);
    return NULL;
}

static entrol_status take_steps(entrol_context *context, entrol_sampler *made, entrol_diagnosis *diagnosis,
                                const char *const *rules, size_t n_rules, const making *making) {
    for (size_t i = 0; i < n_rules; i++) {
        if (!rules[i])
            return bad_rule(diagnosis, "rules", i, 0);
        const size_t n_bytes = strlen(rules[i]) + 1;
        char *copy = ent_allocate(context, n_bytes);
        if (!copy)
            return ENTROL_ERROR_MEMORY;
        memcpy(copy, rules[i], n_bytes);
        const entrol_status status = take_step(&made->steps[i], diagnosis, copy, i, making);
        ent_release(context, copy);
        if (status != ENTROL_OK)
            return status;
        made->n_steps++;
    }
    return ENTROL_OK;
}

/* 0 for a source that has no size or lacks a function. */
static int take_source(making *making, const entrol_sampler_options *options) {
    making->random = options->seed ^ ent_random(options->stream, 0);
    if (!options->source)
        return 1;
    return ent_take(&making->source, options->source, sizeof making->source) && making->source.find &&
           making->source.make;
}

entrol_status entrol_sampler_create(entrol_context *context, entrol_sampler **sampler, entrol_diagnosis *diagnosis,
                                    const char *const *rules, size_t n_rules, const entrol_sampler_options *options) {
    entrol_sampler_options taken = ENTROL_SAMPLER_OPTIONS_INIT;
    making making = {ENTROL_RULE_SOURCE_INIT, 0};
    if (diagnosis)
        *diagnosis = (entrol_diagnosis){.argument = NULL};
    if (!context || !sampler)
        return ent_bad_argument(diagnosis, context ? "sampler" : "context");
    if (n_rules && !rules)
        return ent_bad_argument(diagnosis, "rules");
    if ((options && !ent_take(&taken, options, sizeof taken)) || !take_source(&making, &taken))
        return ent_bad_argument(diagnosis, "options");
    entrol_sampler *made = make_empty(context, n_rules);
    if (!made)
        return ENTROL_ERROR_MEMORY;
    made->seed = taken.seed;
    made->stream = taken.stream;
    const entrol_status status = take_steps(context, made, diagnosis, rules, n_rules, &making);
    if (status != ENTROL_OK) {
        entrol_sampler_destroy(context, made);
        return status;
    }
    *sampler = made;
    return ENTROL_OK;
}

/* One without a way to be cloned is shared, if nobody releases it. */
static entrol_status clone_step(ent_step *clone, const ent_step *step) {
    *clone = *step;
    if (step->rule)
        return ENTROL_OK;
    if (!step->external.clone)
        return step->external.release ? ENTROL_ERROR_UNSUPPORTED : ENTROL_OK;
    clone->external.user = step->external.clone(step->external.user);
    return clone->external.user ? ENTROL_OK : ENTROL_ERROR_MEMORY;
}

entrol_status entrol_sampler_clone(entrol_context *context, entrol_sampler **clone, const entrol_sampler *sampler) {
    if (!context || !clone || !sampler)
        return ENTROL_ERROR_ARGUMENT;
    entrol_sampler *made = make_empty(context, sampler->n_steps);
    if (!made)
        return ENTROL_ERROR_MEMORY;
    made->seed = sampler->seed;
    made->stream = sampler->stream;
    made->place = sampler->place;
    made->last_token = sampler->last_token;
    for (; made->n_steps < sampler->n_steps; made->n_steps++) {
        const entrol_status status = clone_step(&made->steps[made->n_steps], &sampler->steps[made->n_steps]);
        if (status != ENTROL_OK) {
            entrol_sampler_destroy(context, made);
            return status;
        }
    }
    *clone = made;
    return ENTROL_OK;
}

/* --- A text --- */

void entrol_sampler_reset(entrol_sampler *sampler) {
    sampler->place = 0;
    sampler->last_token = -1;
    for (size_t i = 0; i < sampler->n_steps; i++) {
        const ent_step *step = &sampler->steps[i];
        if (!step->rule && step->external.reset)
            step->external.reset(step->external.user);
    }
}

void entrol_sampler_set_stream(entrol_sampler *sampler, uint64_t stream) {
    sampler->stream = stream;
}

void entrol_sampler_read(entrol_sampler *sampler, int32_t token) {
    for (size_t i = 0; i < sampler->n_steps; i++) {
        const ent_step *step = &sampler->steps[i];
        if (!step->rule && step->external.accept)
            step->external.accept(step->external.user, token);
    }
}

void entrol_sampler_accept(entrol_sampler *sampler, int32_t token) {
    sampler->place++;
    sampler->last_token = token;
    entrol_sampler_read(sampler, token);
}

entrol_status entrol_sampler_set(entrol_sampler *sampler, size_t rule, const char *parameter, double value) {
    if (!sampler || !parameter || rule >= sampler->n_steps || !sampler->steps[rule].rule)
        return ENTROL_ERROR_ARGUMENT;
    ent_step *step = &sampler->steps[rule];
    const entrol_sampling_rule *kind = &step->rule->kind;
    for (size_t i = 0; i < kind->n_parameters; i++) {
        if (strcmp(kind->parameters[i].name, parameter) != 0)
            continue;
        double values[ENT_MOST_PARAMETERS];
        const entrol_setting setting = {parameter, value, NULL};
        const entrol_status status =
            ent_take_settings(values, NULL, NULL, kind->parameters, kind->n_parameters, &setting, 1);
        step->values[i] = status == ENTROL_OK ? values[i] : step->values[i];
        return status;
    }
    return ENTROL_ERROR_ARGUMENT;
}
