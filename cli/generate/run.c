/* All texts of a prompt: the model reads it once, samples and branches go on from it at once, one decode a step. */
#include "generate.h"

#ifdef ENTROL_HAVE_LLAMA

#include "../score/score_llama.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Opening --- */

static bool open_llama(generator *generator, trouble *trouble) {
    const generate_settings *settings = generator->settings;
    entrol_llama_options options = score_llama_options(&settings->score, generator->context, false);
    options.n_seq_max = (uint32_t)(generator->n_families * generator->n_each + 1); /* the prompt is one, too */
    options.n_own = settings->n_tokens < 1 ? UINT32_MAX : (uint32_t)settings->n_tokens;
    generator->llama = score_llama_open(&options, trouble);
    return generator->llama != NULL;
}

bool generator_open(generator *generator, const generate_settings *settings, entrol_context *context,
                    trouble *trouble) {
    const size_t n_parallel = (size_t)settings->n_parallel, n_samples = (size_t)settings->n_samples;
    *generator = (struct generator){.settings = settings, .context = context};
    generator->n_each = isnan(settings->branch_above) ? 1 : 1 + (size_t)settings->max_branches;
    generator->n_families = n_parallel > generator->n_each ? n_parallel / generator->n_each : 1;
    if (generator->n_families > n_samples)
        generator->n_families = n_samples;
    if (!open_llama(generator, trouble))
        return false;
    entrol_sampler *tried = generate_make_sampler(generator, 0, trouble);
    entrol_sampler_destroy(context, tried);
    generator->first = malloc(entrol_llama_n_vocab(generator->llama) * sizeof *generator->first);
    made_top *top = &generator->top;
    top->n = (size_t)settings->n_top;
    top->ids = malloc((top->n + 1) * sizeof *top->ids);
    top->logprobs = malloc((top->n + 1) * sizeof *top->logprobs);
    const bool has_memory = generator->first != NULL && top->ids != NULL && top->logprobs != NULL;
    return tried != NULL && (has_memory || trouble_set(trouble, "out of memory"));
}

void generator_close(generator *generator) {
    for (size_t i = 0; i < generator->n_texts; i++)
        made_text_free(generator->texts[i], generator->context);
    free(generator->texts);
    free(generator->first);
    free(generator->top.ids);
    free(generator->top.logprobs);
    entrol_llama_close(generator->llama);
}

/* --- Texts --- */

static made_text *add_text(generator *generator, trouble *trouble) {
    if (generator->n_texts == generator->capacity) {
        const size_t capacity = generator->capacity > 0 ? 2 * generator->capacity : 16;
        made_text **texts = realloc(generator->texts, capacity * sizeof *texts);
        if (texts != NULL) {
            generator->texts = texts;
            generator->capacity = capacity;
        }
    }
    made_text *text = generator->n_texts < generator->capacity ? calloc(1, sizeof *text) : NULL;
    if (text == NULL) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    text->root = text;
    generator->texts[generator->n_texts++] = text;
    return text;
}

static bool goes_on(const made_text *text) {
    return text->stop == NULL;
}

/* The last sequence is the prompt's. */
static uint32_t prompt_sequence(const generator *generator) {
    return (uint32_t)(generator->n_families * generator->n_each);
}

/* Gives a text that goes on a sequence of its own. */
static void take_sequence(generator *generator, made_text *text) {
    while (generator->is_taken[text->sequence])
        text->sequence++;
    generator->is_taken[text->sequence] = true;
    generator->n_live_families += text->root->n_live++ == 0;
}

static bool failed(const generator *generator, entrol_status status, const generate_prompt *prompt, trouble *trouble) {
    const char *why = entrol_llama_error(generator->llama);
    return trouble_set(trouble, "%s: llama.cpp cannot go on: %s", prompt->id.data,
                       why[0] != '\0' ? why : entrol_status_string(status));
}

static bool set_target(generator *generator, made_text *text, double target, trouble *trouble) {
    entrol_status status = entrol_sampler_set(text->sampler, generator->settings->held_rule, "target", target);
    return status == ENTROL_OK ||
           trouble_set(trouble, "--hold %g: %s", generator->settings->hold, entrol_status_string(status));
}

/* What is held is the target from the first token on, whatever the chain says of it. */
static bool begin_hold(generator *generator, made_text *text, trouble *trouble) {
    const double target = generator->settings->hold;
    if (isnan(target))
        return true;
    text->controller = generate_make_controller(generator, trouble);
    return text->controller != NULL && set_target(generator, text, target, trouble);
}

static bool start_sample(generator *generator, const generate_prompt *prompt, uint64_t sample, trouble *trouble) {
    made_text *text = add_text(generator, trouble);
    if (text == NULL)
        return false;
    text->sample = sample;
    text->top.n = generator->top.n;
    text->stream = generate_stream_of_sample(prompt, sample);
    take_sequence(generator, text);
    text->row = generator->first;
    text->sampler = generate_make_sampler(generator, text->stream, trouble);
    for (size_t i = 0; i < prompt->n_tokens && text->sampler != NULL; i++)
        entrol_sampler_read(text->sampler, prompt->tokens[i]);
    if (text->sampler == NULL || !begin_hold(generator, text, trouble))
        return false;
    entrol_status status = entrol_llama_fork(generator->llama, text->sequence, prompt_sequence(generator));
    if (generator->settings->n_tokens == 0)
        text->stop = "length";
    return status == ENTROL_OK || failed(generator, status, prompt, trouble);
}

static void end_text(generator *generator, made_text *text) {
    entrol_llama_forget(generator->llama, text->sequence);
    generator->is_taken[text->sequence] = false;
    generator->n_live_families -= --text->root->n_live == 0;
    entrol_sampler_destroy(generator->context, text->sampler);
    text->sampler = NULL;
}

/* --- A token --- */

static size_t most_tokens(const generator *generator, const generate_prompt *prompt) {
    const size_t n_room = entrol_llama_n_ctx(generator->llama) - prompt->n_tokens + 1;
    const int64_t n_wanted = generator->settings->n_tokens;
    return n_wanted < 0 || (size_t)n_wanted > n_room ? n_room : (size_t)n_wanted;
}

/* What the mean of the text is held by. */
static bool hold(generator *generator, made_text *text, const entrol_drawn *drawn, trouble *trouble) {
    if (text->controller == NULL)
        return true;
    entrol_command command = ENTROL_COMMAND_INIT;
    entrol_status status =
        entrol_controller_observe(generator->context, &command, NULL, text->controller, drawn->sampled_entropy, 1);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "--hold %g: %s", generator->settings->hold, entrol_status_string(status));
    return set_target(generator, text, command.coefficient, trouble);
}

/* The text goes on with a token. Control tokens are no part of it, but stand in the record. */
static bool take_token(generator *generator, const generate_prompt *prompt, made_text *text, const entrol_drawn *drawn,
                       trouble *trouble) {
    char *piece = NULL;
    size_t n = 0;
    if (entrol_llama_piece(generator->llama, &piece, &n, drawn->token) != ENTROL_OK)
        return trouble_set(trouble, "out of memory");
    const bool is_end = entrol_llama_is_end(generator->llama, drawn->token) != 0;
    const bool is_text = !is_end && !entrol_llama_is_control(generator->llama, drawn->token);
    buffer shown = {0};
    generate_append_clean(&shown, piece, n);
    bool ok = !shown.failed && made_text_append(text, drawn, &generator->top, shown.size > 0 ? shown.data : "", piece,
                                                is_text ? n : 0, &generator->settings->stops);
    buffer_free(&shown);
    free(piece);
    if (!ok)
        return trouble_set(trouble, "out of memory");
    entrol_sampler_accept(text->sampler, drawn->token);
    if (text->stop == NULL && is_end)
        text->stop = "end";
    if (text->stop == NULL && text->n_tokens >= most_tokens(generator, prompt))
        text->stop = "length";
    generator->n_done++;
    generator->sampled_entropy += drawn->sampled_entropy;
    return hold(generator, text, drawn, trouble) &&
           (generator->on_growth == NULL || generator->on_growth(generator->user, text, trouble));
}

/* What is wrong with the logits of a text's next token. */
static bool report_row(const generator *generator, const generate_prompt *prompt, const made_text *text,
                       const entrol_diagnosis *diagnosis, trouble *trouble) {
    char where[64];
    snprintf(where, sizeof where, "sample %" PRIu64 ", token %zu", text->sample, text->n_tokens + 1);
    if (diagnosis->first_row > 0 && diagnosis->first_row <= generator->settings->n_chain)
        return trouble_set(trouble, "%s, %s: the rule \"%s\" left nothing to draw from: %s", prompt->id.data, where,
                           generator->settings->chain[diagnosis->first_row - 1],
                           entrol_reason_string(diagnosis->reason));
    return trouble_set(trouble, "%s, %s: the model's logits cannot be drawn from: %s (column %zu)", prompt->id.data,
                       where, entrol_reason_string(diagnosis->reason), diagnosis->first_column);
}

/* The most probable tokens of a row, which has been drawn from. */
static bool find_top(generator *generator, const entrol_matrix *row, trouble *trouble) {
    made_top *top = &generator->top;
    entrol_record record = ENTROL_RECORD_INIT;
    record.n_top = top->n;
    record.top_id = top->ids;
    record.top_logprob = top->logprobs;
    if (top->n == 0)
        return true;
    const entrol_status status = entrol_measure_rows(generator->context, &record, NULL, row, NULL, NULL);
    return status == ENTROL_OK || trouble_set(trouble, "--top: %s", entrol_status_string(status));
}

static bool draw(generator *generator, const generate_prompt *prompt, made_text *text, entrol_drawn *drawn, size_t n,
                 trouble *trouble) {
    const size_t n_vocab = entrol_llama_n_vocab(generator->llama);
    const entrol_matrix row = {text->row, ENTROL_F32, 1, n_vocab, (ptrdiff_t)n_vocab};
    entrol_diagnosis diagnosis = {0};
    for (size_t i = 0; i < n; i++)
        drawn[i] = (entrol_drawn)ENTROL_DRAWN_INIT;
    entrol_status status =
        entrol_sampler_draw(generator->context, text->sampler, drawn, n, NULL, &diagnosis, &row, NULL);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "%s: %s", prompt->id.data, entrol_status_string(status));
    if (drawn[0].token < 0)
        return report_row(generator, prompt, text, &diagnosis, trouble);
    return find_top(generator, &row, trouble);
}

/* --- Branches --- */

/* The same text, to go on with another token than it does; `sampler` is its own as it was before that was drawn. */
static made_text *branch_off(generator *generator, const generate_prompt *prompt, const made_text *text, size_t rank,
                             const entrol_sampler *sampler, trouble *trouble) {
    made_text *branch = add_text(generator, trouble);
    if (branch == NULL)
        return NULL;
    branch->root = text->root;
    branch->sample = text->sample;
    branch->branch = ++text->root->n_branches;
    branch->parent = text->branch;
    branch->fork_at = text->n_tokens;
    branch->stream = generate_stream_of_branch(text, text->n_tokens, rank);
    take_sequence(generator, branch);
    entrol_status status = entrol_sampler_clone(generator->context, &branch->sampler, sampler);
    if (status != ENTROL_OK || !made_text_copy(branch, text)) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    entrol_sampler_set_stream(branch->sampler, branch->stream);
    if (text->controller != NULL &&
        (branch->controller = generate_copy_controller(generator, text->controller, trouble)) == NULL)
        return NULL;
    status = entrol_llama_fork(generator->llama, branch->sequence, text->sequence);
    if (status == ENTROL_OK)
        return branch;
    failed(generator, status, prompt, trouble);
    return NULL;
}

/* How many tokens the text may go on with here. */
static size_t most_continuations(const generator *generator, const made_text *text) {
    const generate_settings *settings = generator->settings;
    if (isnan(settings->branch_above))
        return 1;
    const size_t n_left = (size_t)settings->max_branches - text->root->n_branches;
    const size_t n = (size_t)settings->n_continuations;
    return n_left + 1 < n ? n_left + 1 : n;
}

/* Draws the text's next token; where the entropy is high, others for its branches. */
static bool grow_with(generator *generator, const generate_prompt *prompt, made_text *text, size_t n,
                      const entrol_sampler *before, trouble *trouble) {
    entrol_drawn drawn[64];
    if (!draw(generator, prompt, text, drawn, n, trouble))
        return false;
    for (size_t i = 1; i < n && drawn[0].entropy > generator->settings->branch_above; i++) {
        if (drawn[i].token < 0)
            continue;
        made_text *branch = branch_off(generator, prompt, text, i, before, trouble);
        if (branch == NULL || !take_token(generator, prompt, branch, &drawn[i], trouble))
            return false;
    }
    return take_token(generator, prompt, text, &drawn[0], trouble);
}

/* What llama.cpp's rules make of the text's own token is not its branches': these go on from a copy without it. */
static bool grow(generator *generator, const generate_prompt *prompt, made_text *text, trouble *trouble) {
    const size_t n = most_continuations(generator, text);
    entrol_sampler *before = NULL;
    if (n > 1 && entrol_sampler_clone(generator->context, &before, text->sampler) != ENTROL_OK)
        return trouble_set(trouble, "out of memory");
    const bool ok = grow_with(generator, prompt, text, n, before, trouble);
    entrol_sampler_destroy(generator->context, before);
    return ok;
}

/* --- The steps --- */

static bool read_prompt(generator *generator, const generate_prompt *prompt, trouble *trouble) {
    entrol_matrix logits;
    entrol_status status = entrol_llama_forget_all(generator->llama);
    if (status == ENTROL_OK)
        status =
            entrol_llama_read(generator->llama, &logits, prompt_sequence(generator), prompt->tokens, prompt->n_tokens);
    if (status != ENTROL_OK)
        return failed(generator, status, prompt, trouble);
    memcpy(generator->first, logits.data, logits.n_columns * sizeof *generator->first);
    return true;
}

/* Reads the last token of every text that goes on. */
static bool step(generator *generator, const generate_prompt *prompt, trouble *trouble) {
    uint32_t sequences[GENERATE_MOST_AT_ONCE];
    int32_t tokens[GENERATE_MOST_AT_ONCE];
    size_t n = 0;
    entrol_matrix logits;
    for (size_t i = 0; i < generator->n_texts; i++) {
        const made_text *text = generator->texts[i];
        if (!goes_on(text))
            continue;
        sequences[n] = text->sequence;
        tokens[n++] = text->tokens[text->n_tokens - 1].id;
    }
    if (n == 0)
        return true;
    entrol_status status = entrol_llama_step(generator->llama, &logits, sequences, tokens, n);
    if (status != ENTROL_OK)
        return failed(generator, status, prompt, trouble);
    n = 0;
    for (size_t i = 0; i < generator->n_texts; i++)
        if (goes_on(generator->texts[i]))
            generator->texts[i]->row = (const float *)logits.data + (ptrdiff_t)n++ * logits.row_stride;
    return true;
}

/* Samples begin as long as there is room for them and all branches that they may have. */
static bool start_samples(generator *generator, const generate_prompt *prompt, uint64_t *n_started, trouble *trouble) {
    const uint64_t n_samples = (uint64_t)generator->settings->n_samples;
    while (*n_started < n_samples && generator->n_live_families < generator->n_families)
        if (!start_sample(generator, prompt, (*n_started)++, trouble))
            return false;
    return true;
}

/* Takes leave of texts that have ended; all of them, where a signal came. */
static void end_texts(generator *generator, bool is_interrupted) {
    for (size_t i = 0; i < generator->n_texts; i++) {
        made_text *text = generator->texts[i];
        if (goes_on(text) && is_interrupted)
            text->stop = "interrupted";
        if (!goes_on(text) && text->sampler != NULL)
            end_text(generator, text);
    }
}

static int by_branch(const void *a, const void *b) {
    const made_text *one = *(made_text *const *)a, *other = *(made_text *const *)b;
    return one->branch < other->branch ? -1 : one->branch > other->branch;
}

/* Takes a sample and its branches out of the texts, in their order; how many they are, 0 while one of them goes on. */
static size_t take_family(generator *generator, made_text *family[GENERATE_MOST_AT_ONCE], uint64_t sample) {
    size_t n = 0, n_left = 0;
    for (size_t i = 0; i < generator->n_texts; i++)
        if (generator->texts[i]->sample == sample && generator->texts[i]->root->n_live > 0)
            return 0;
    for (size_t i = 0; i < generator->n_texts; i++)
        if (generator->texts[i]->sample == sample)
            family[n++] = generator->texts[i];
        else
            generator->texts[n_left++] = generator->texts[i];
    generator->n_texts = n_left;
    qsort(family, n, sizeof *family, by_branch);
    return n;
}

/* Gives away samples that are done, in their order. */
static bool give_texts(generator *generator, const generate_prompt *prompt, uint64_t *n_given, trouble *trouble) {
    made_text *family[GENERATE_MOST_AT_ONCE];
    bool ok = true;
    size_t n;
    while (ok && (n = take_family(generator, family, *n_given)) > 0) {
        ok = generator->on_texts(generator->user, prompt, family, n, trouble);
        for (size_t i = 0; i < n; i++)
            made_text_free(family[i], generator->context);
        generator->n_texts_done += n;
        ++*n_given;
    }
    return ok;
}

static bool make_texts(generator *generator, const generate_prompt *prompt, trouble *trouble) {
    uint64_t n_started = 0, n_given = 0;
    bool is_interrupted = false;
    while (!is_interrupted && n_given < (uint64_t)generator->settings->n_samples) {
        is_interrupted = score_stop_signal() != 0; /* before samples begin that would have no token */
        if (!is_interrupted && !start_samples(generator, prompt, &n_started, trouble))
            return false;
        const size_t n_now = is_interrupted ? 0 : generator->n_texts; /* branches made now have their token */
        for (size_t i = 0; i < n_now; i++)
            if (goes_on(generator->texts[i]) && !grow(generator, prompt, generator->texts[i], trouble))
                return false;
        end_texts(generator, is_interrupted);
        progress_update(&generator->progress, generator->n_done);
        if (!give_texts(generator, prompt, &n_given, trouble) || !step(generator, prompt, trouble))
            return false;
    }
    return true;
}

bool generator_run(generator *generator, const generate_prompt *prompt, trouble *trouble) {
    return read_prompt(generator, prompt, trouble) && make_texts(generator, prompt, trouble);
}

#endif
