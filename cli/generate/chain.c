/* What a text is drawn by: a chain of its own, its stream of random numbers, and what holds its mean entropy.
 *
 * Sample s of prompt i draws from the stream i 2^32 + s of the seed, a branch from one that follows from its parent's
 * and the place: so more samples, or another prompt behind, change nothing of the random numbers. llama.cpp's rules
 * that draw by themselves have numbers of a sample's stream, and are copied for a branch as they were before its first
 * token: it goes on with numbers that its parent had, and mirostat's threshold has not been moved by that token. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../mix.h"

#include <stdio.h>

/* --- Random streams --- */

uint64_t generate_stream_of_sample(const generate_prompt *prompt, uint64_t sample) {
    return prompt->number << 32 | sample;
}

uint64_t generate_stream_of_branch(const made_text *parent, size_t fork_at, size_t rank) {
    return mix(mix(parent->stream ^ mix(fork_at)) + rank);
}

/* --- The chain --- */

entrol_sampler *generate_make_sampler(generator *generator, uint64_t stream, trouble *trouble) {
    const generate_settings *settings = generator->settings;
    entrol_sampler *sampler = NULL;
    entrol_diagnosis diagnosis = {0};
    entrol_sampler_options options = ENTROL_SAMPLER_OPTIONS_INIT;
    const entrol_rule_source source = entrol_llama_rules(generator->llama);
    options.seed = (uint64_t)settings->seed;
    options.stream = stream;
    options.source = &source;
    entrol_status status =
        entrol_sampler_create(generator->context, &sampler, &diagnosis, settings->chain, settings->n_chain, &options);
    if (status == ENTROL_OK)
        return sampler;
    if (status == ENTROL_ERROR_ARGUMENT)
        generate_report_rule(settings, &diagnosis, &source);
    else
        trouble_set(trouble, "--rule: %s", entrol_status_string(status));
    return NULL;
}

/* Integral control: over n tokens the mean is off by no more than what the target has moved by, over 0.2 n. */
entrol_controller *generate_make_controller(generator *generator, trouble *trouble) {
    const double target = generator->settings->hold;
    char text[32];
    snprintf(text, sizeof text, "%.17g", target);
    const entrol_setting settings[] = {{"target", 0, text}, {"initial", target, NULL}, {"min", 0, NULL},
                                       {"max", 25, NULL},   {"kp", 0, NULL},           {"ki", 0.2, NULL}};
    entrol_controller *controller = NULL;
    entrol_status status = entrol_controller_create(generator->context, &controller, NULL, "pi", settings,
                                                    sizeof settings / sizeof *settings, NULL);
    if (status != ENTROL_OK)
        trouble_set(trouble, "--hold %g: %s", target, entrol_status_string(status));
    return controller;
}

entrol_controller *generate_copy_controller(generator *generator, const entrol_controller *controller,
                                            trouble *trouble) {
    char state[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n = 0;
    entrol_controller *copy = generate_make_controller(generator, trouble);
    if (copy == NULL || (entrol_controller_save(state, &n, sizeof state, controller) == ENTROL_OK &&
                         entrol_controller_restore(copy, NULL, state, n) == ENTROL_OK))
        return copy;
    entrol_controller_destroy(generator->context, copy);
    trouble_set(trouble, "--hold: the controller's state cannot be copied");
    return NULL;
}

#endif
