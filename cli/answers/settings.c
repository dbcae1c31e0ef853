/* The options that are for answers alone. */
#include "answers.h"

#include "../formats/container.h"

#include <string.h>

void answers_options(option rows[ANSWERS_OPTIONS], answers_settings *settings) {
    const option table[ANSWERS_OPTIONS] = {
        {.name = "match",
         .type = OPTION_CHOICE,
         .value = &settings->match,
         .choices = "normalised|exact",
         .was_given = &settings->is_given,
         .help = "Of --answers: which texts are the same answer. normalised (the default): case, punctuation, articles "
                 "and white space do not matter, as in SQuAD's scores, but for numbers and in more than ASCII. exact: "
                 "byte for byte."},
        {.name = "label",
         .type = OPTION_STRING,
         .value = &settings->label,
         .metavar = "FIELD",
         .was_given = &settings->is_given,
         .help = "Of --answers: answers with the same string or number in this field are the same, whatever their "
                 "texts: the cluster that a model of entailment gave them, or the final answer that was taken from "
                 "them."},
        {.name = "logprob",
         .type = OPTION_STRING,
         .value = &settings->logprob,
         .metavar = "FIELD",
         .was_given = &settings->is_given,
         .help = "Of --answers: the field with an answer's log-probability in nats, or an array of its tokens', which "
                 "semantic_entropy_rao weighs the answers by. Default: logprob, where there is one."},
        {.name = "logprob-as",
         .type = OPTION_CHOICE,
         .value = &settings->logprob_as,
         .choices = "sum|mean",
         .was_given = &settings->is_given,
         .help = "Of --answers: what of an array of tokens' log-probabilities is the answer's. sum (the default) is "
                 "its probability; mean does not favour short answers, and is what the papers report."},
        {.name = "group",
         .type = OPTION_STRING,
         .value = &settings->group,
         .metavar = "FIELD",
         .was_given = &settings->is_given,
         .help = "Of --answers: lines with the same value in this field are answers to one prompt, in any order. "
                 "Default: of one answer a line the first of prompt_id, prompt and id that the first line has; a line "
                 "with an array is a prompt by itself."},
        {.name = "field",
         .type = OPTION_STRING,
         .value = &settings->field,
         .metavar = "FIELD",
         .was_given = &settings->is_given,
         .help = "Of --answers: the field with the array of answers, or of one answer a line its text, where it has "
                 "another name."},
        {.name = "outcomes",
         .type = OPTION_INTEGER,
         .value = &settings->n_outcomes,
         .metavar = "K",
         .minimum = 1,
         .maximum = 1000000,
         .was_given = &settings->is_given,
         .help = "Of --answers: how many clusters there could be, for james-stein and nsb. Default: those of the "
                 "prompt that were seen."},
        {.letter = 'o',
         .name = "output",
         .type = OPTION_STRING,
         .value = &settings->output_path,
         .metavar = "FILE",
         .was_given = &settings->is_given,
         .help = "Of --answers: write here, and FILE.manifest.json beside it. Default: standard output."},
    };
    memcpy(rows, table, sizeof table);
}

bool answers_settings_check(answers_settings *settings) {
    if (settings->output_path && strcmp(settings->output_path, "-") == 0)
        settings->output_path = NULL;
    if (!container_is_path(settings->output_path))
        return true;
    message_error("-o %s: the entropies of answers are lines of JSON; .safetensors is for token records",
                  settings->output_path);
    return false;
}
