/* The flags that select and filter share, and messages about a rule that cannot be read. */
#include "select.h"

#include "../suggest.h"

#include <stdio.h>
#include <string.h>

static const char RULE_FORMS[] =
    "low:80%, high:1000, ..2.5, 2.5.., 1..2 or p5..p95; no share above 100%, no range that ends before it begins";

void select_rule_options(option *rows, select_settings *settings) {
    const option table[SELECT_RULE_OPTIONS] = {
        {.name = "keep",
         .type = OPTION_STRING,
         .value = &settings->keep,
         .metavar = "RULE",
         .help = "Keep what the rule names: low:80% or high:20% (a share), low:1000 or high:1000 (exactly that many), "
                 "..2.5, 2.5.. or 1..2 (values, in nats as in the records, ends included), p5..p95 (percentiles)."},
        {.name = "mask",
         .type = OPTION_STRING,
         .value = &settings->mask,
         .metavar = "RULE",
         .help = "Keep everything else: the exact complement among what has a value."},
        {.name = "for",
         .type = OPTION_STRING,
         .value = &settings->purpose,
         .metavar = "PURPOSE",
         .help = "In a later version: self-training, active-learning, distillation, noise, defects, reinforcement."},
        {.name = "recipe",
         .type = OPTION_STRING,
         .value = &settings->recipe,
         .metavar = "NAME",
         .help = "In a later version: a published rule by its name."},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &settings->unit,
         .choices = "bits|nats",
         .help = "For the summary; rules and records are always in nats. Default: bits."},
    };
    memcpy(rows, table, sizeof(table));
}

/* What to write until the name itself is understood. */
typedef struct stand_in {
    const char *name, *rule; /* NULL: no rule of this version does the same */
} stand_in;

static const stand_in purposes[] = {
    {"self-training", "--keep low:80% (the model's own labels, where it is sure)"},
    {"active-learning", "--level sample --keep high:100 --emit samples (what the model does not know)"},
    {"distillation", "--mask high:20% (leave out the teacher's unsure tokens), or --keep high:20% on the student's"},
    {"noise", "--mask high:20%, or --by surprisal --mask high:5%"},
    {"defects", "--by surprisal --keep high:1% --emit spans"},
    {"reinforcement", "--keep high:20%"},
};
static const stand_in recipes[] = {
    {"fixmatch", "--by top_prob --keep 0.95.."},           {"flexmatch", NULL}, {"deepconf", NULL},
    {"robustft", "--level sample --keep low:50%"},         {"rho1", NULL},      {"ifd", NULL},
    {"se-kd", "--keep high:20% on the student's records"}, {"hes", NULL},       {"8020", "--keep high:20%"},
};

static bool answer_later(const char *flag, const char *name, const stand_in *table, size_t n) {
    suggestion suggestion = suggestion_for(name);
    for (size_t i = 0; i < n; i++) {
        suggestion_offer(&suggestion, table[i].name);
        if (strcmp(table[i].name, name) != 0)
            continue;
        if (table[i].rule != NULL)
            message_error("%s %s comes in a later version; until then write the rule: %s", flag, name, table[i].rule);
        else
            message_error("%s %s comes in a later version, and no rule of this one does the same", flag, name);
        return false;
    }
    if (suggestion.best != NULL)
        message_error("unknown %s %s; did you mean %s? It comes in a later version", flag, name, suggestion.best);
    else
        message_error("unknown %s %s; write the rule with --keep or --mask", flag, name);
    return false;
}

static bool is_printable(const char *text) {
    for (const char *at = text; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            return false;
    return true;
}

/* low:0.8 is the usual slip: without a percent sign it is a count, and a count is whole. */
static const char *hint_for(const char *text, size_t n_read) {
    bool has_amount = strncmp(text, "low:", 4) == 0 || strncmp(text, "high:", 5) == 0;
    if (text[0] == '\0')
        return "; it is empty";
    if (has_amount && strchr(text, '.') != NULL && strchr(text, '%') == NULL)
        return "; a share needs its percent sign";
    return text[n_read] == '\0' ? "; it ends too early" : "";
}

static bool report_rule(const char *flag, const char *text, size_t n_read) {
    message_error("%s \"%s\": expected a rule such as %s%s", flag, text, RULE_FORMS, hint_for(text, n_read));
    if (is_printable(text))
        fprintf(stderr, "    %s\n    %*s^\n", text, (int)n_read, "");
    return false;
}

static bool parse_rule(select_settings *settings) {
    const char *text = settings->is_mask ? settings->mask : settings->keep;
    size_t n_read = 0;
    if (entrol_rule_parse(&settings->rule, &n_read, text) == ENTROL_OK)
        return true;
    return report_rule(settings->is_mask ? "--mask" : "--keep", text, n_read);
}

/* Sample statistics have their names; the columns' names mean their means. */
static bool check_by(select_settings *settings) {
    if (settings->by == NULL)
        settings->by = settings->of_samples ? "entropy_mean" : "entropy";
    if (settings->of_samples && strcmp(settings->by, "entropy") == 0)
        settings->by = "entropy_mean";
    if (settings->of_samples && strcmp(settings->by, "surprisal") == 0)
        settings->by = "surprisal_mean";
    if (!settings->of_samples && sample_statistic_exists(settings->by)) {
        message_error("--by %s is a statistic of documents: add --level sample", settings->by);
        return false;
    }
    return true;
}

/* A container holds records. */
static bool check_output(const select_settings *settings) {
    const char *emit = settings->emit;
    if (!container_is_path(settings->output_path) || strcmp(emit, "records") == 0 || strcmp(emit, "samples") == 0)
        return true;
    message_error("-o %s: --emit %s writes lines of JSON; .safetensors is for --emit records and samples",
                  settings->output_path, emit);
    return false;
}

bool select_settings_check(select_settings *settings) {
    if (settings->purpose != NULL)
        return answer_later("--for", settings->purpose, purposes, sizeof(purposes) / sizeof(purposes[0]));
    if (settings->recipe != NULL)
        return answer_later("--recipe", settings->recipe, recipes, sizeof(recipes) / sizeof(recipes[0]));
    if ((settings->keep == NULL) == (settings->mask == NULL)) {
        message_error("%s; a rule is one of %s",
                      settings->keep == NULL ? "expected --keep RULE or --mask RULE"
                                             : "--keep and --mask exclude each other: each is the other's complement",
                      RULE_FORMS);
        return false;
    }
    settings->is_mask = settings->mask != NULL;
    settings->of_samples = strcmp(settings->level, "sample") == 0;
    settings->each_document = strcmp(settings->scope, "document") == 0;
    if (settings->of_samples && settings->scope_given && settings->each_document) {
        message_error("--scope document is for tokens: with --level sample documents are compared with each other");
        return false;
    }
    if (settings->output_path != NULL && strcmp(settings->output_path, "-") == 0)
        settings->output_path = NULL;
    return check_output(settings) && check_by(settings) && parse_rule(settings);
}
