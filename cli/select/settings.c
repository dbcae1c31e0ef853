/* The flags that select and filter share, what a recipe fills in, and messages about a rule that cannot be read. */
#include "select.h"

#include "../suggest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char RULE_FORMS[] = "low:80%, high:1000, high:=20%, ..2.5, 2.5.., 1..2 or p5..p95; no share above 100%, "
                                 "no range that ends before it begins";

/* The registry as help: a line a recipe, those that a purpose begins with under --for. */
static const char *recipes_help(bool of_purposes, const char *introduction) {
    static char texts[2][8192];
    char *text = texts[of_purposes];
    size_t used = (size_t)snprintf(text, sizeof(texts[0]), "%s", introduction);
    for (size_t i = 0; i < entrol_recipe_count() && used < sizeof(texts[0]); i++) {
        const entrol_recipe *recipe = entrol_recipe_at(i);
        if ((strcmp(recipe->name, recipe->purpose) == 0) != of_purposes)
            continue;
        const bool has_scope = strcmp(recipe->scope, "corpus") != 0;
        used += (size_t)snprintf(text + used, sizeof(texts[0]) - used, "\n%s: %s%s%s --by %s --%s %s%s%s; %s (%s)",
                                 recipe->name, strcmp(recipe->level, "sample") == 0 ? "--level sample " : "",
                                 has_scope ? "--scope " : "", has_scope ? recipe->scope : "", recipe->by,
                                 recipe->is_mask ? "mask" : "keep", recipe->rule, recipe->weight ? " --weight " : "",
                                 recipe->weight ? recipe->weight : "", recipe->says, recipe->source);
    }
    return text;
}

void select_rule_options(option *rows, select_settings *settings) {
    const option table[SELECT_RULE_OPTIONS] = {
        {.name = "keep",
         .type = OPTION_STRING,
         .value = &settings->keep,
         .metavar = "RULE",
         .help = "Keep what the rule names: low:80% or high:20% (a share), low:1000 or high:1000 (exactly that many), "
                 "high:=20% (exactly that share), ..2.5, 2.5.. or 1..2 (values, in nats as in the records, ends "
                 "included), p5..p95 (percentiles)."},
        {.name = "mask",
         .type = OPTION_STRING,
         .value = &settings->mask,
         .metavar = "RULE",
         .help = "Keep everything else: the exact complement among what has a value."},
        {.name = "for",
         .type = OPTION_STRING,
         .value = &settings->purpose,
         .metavar = "PURPOSE",
         .help = recipes_help(true, "What it is for, in place of a rule; each part of it can be given otherwise:")},
        {.name = "recipe",
         .type = OPTION_STRING,
         .value = &settings->recipe,
         .metavar = "NAME",
         .help = recipes_help(false, "A published rule, in place of one; each part of it can be given otherwise:")},
        {.name = "quantile",
         .type = OPTION_STRING,
         .value = &settings->method,
         .metavar = "METHOD",
         .help = "How shares and percentiles fall between values: NumPy's methods by their names, torch, or "
                 "torch_f32_rank. Default: linear."},
        {.name = "nan",
         .type = OPTION_CHOICE,
         .value = &settings->nan,
         .choices = "ignore|error",
         .help = "A value that is NaN is not kept and does not count, with a warning, or is an error that names it. "
                 "Default: ignore."},
        {.name = "tie-seed",
         .type = OPTION_INTEGER,
         .value = &settings->tie_seed,
         .metavar = "N",
         .help = "Where a count ends among equal values: draw which of them are kept. Default: 0, the earlier ones.",
         .minimum = 0,
         .maximum = 9e15},
        {.name = "unit",
         .type = OPTION_CHOICE,
         .value = &settings->unit,
         .choices = "bits|nats",
         .help = "For what is shown; rules and records are always in nats. Default: bits."},
    };
    memcpy(rows, table, sizeof(table));
}

/* --- The recipe --- */

static bool report_recipe(const char *flag, const char *name, bool of_purposes) {
    suggestion suggestion = suggestion_for(name);
    buffer names = {0};
    for (size_t i = 0; i < entrol_recipe_count(); i++) {
        const entrol_recipe *recipe = entrol_recipe_at(i);
        if ((strcmp(recipe->name, recipe->purpose) == 0) != of_purposes)
            continue;
        suggestion_offer(&suggestion, recipe->name);
        buffer_append_format(&names, "%s%s", names.size > 0 ? ", " : "", recipe->name);
    }
    if (suggestion.best != NULL)
        message_error("unknown %s %s; did you mean %s?", flag, name, suggestion.best);
    else
        message_error("unknown %s %s; there are %s", flag, name, names.failed ? "others" : names.data);
    buffer_free(&names);
    return false;
}

static void fill_in(const char **setting, const char *value) {
    if (*setting == NULL)
        *setting = value;
}

/* What was not given is the recipe's. */
static bool take_recipe(select_settings *settings) {
    const bool is_purpose = settings->purpose != NULL;
    const char *name = is_purpose ? settings->purpose : settings->recipe;
    if (name == NULL)
        return true;
    if (is_purpose && settings->recipe != NULL) {
        message_error("--for and --recipe exclude each other: a recipe is for a purpose of its own");
        return false;
    }
    const entrol_recipe *recipe = entrol_recipe_find(name);
    if (recipe == NULL || (is_purpose && strcmp(recipe->purpose, name) != 0))
        return report_recipe(is_purpose ? "--for" : "--recipe", name, is_purpose);
    if (settings->level != NULL && strcmp(settings->level, recipe->level) != 0) {
        message_error("%s %s chooses %ss, not %ss", is_purpose ? "--for" : "--recipe", name, recipe->level,
                      settings->level);
        return false;
    }
    if (settings->scope == NULL && strcmp(recipe->scope, "group") == 0) {
        message_error(
            "--recipe %s compares what answers one question: name the field that tells questions apart, --scope "
            "group:FIELD, or give --scope corpus",
            name);
        return false;
    }
    settings->from = recipe;
    if (settings->keep == NULL && settings->mask == NULL)
        *(recipe->is_mask ? &settings->mask : &settings->keep) = recipe->rule;
    fill_in(&settings->by, recipe->by);
    fill_in(&settings->level, recipe->level);
    fill_in(&settings->scope, recipe->scope);
    fill_in(&settings->emit, recipe->emit);
    fill_in(&settings->method, recipe->method);
    fill_in(&settings->weight, recipe->weight);
    return true;
}

/* --- The rule --- */

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
    if (has_amount && (strchr(text, '.') != NULL || strchr(text, '=') != NULL) && strchr(text, '%') == NULL)
        return "; a share needs its percent sign";
    return text[n_read] == '\0' ? "; it ends too early" : "";
}

static bool report_at(const char *flag, const char *text, size_t n_read, const char *expected, const char *hint) {
    message_error("%s \"%s\": expected %s%s", flag, text, expected, hint);
    if (is_printable(text))
        message_point(text, n_read);
    return false;
}

/* --keep flexmatch:0.95, the cutoff read as a rule's number is. *n_read is where it stops being one. */
static bool read_flexmatch(select_settings *settings, size_t *n_read, const char *text) {
    char range[64];
    entrol_rule rule;
    const int n = snprintf(range, sizeof(range), "%s..", text);
    const bool ok = n > 0 && (size_t)n < sizeof(range) && entrol_rule_parse(&rule, n_read, range) == ENTROL_OK &&
                    rule.kind == ENTROL_RULE_RANGE && rule.low > 0 && rule.low <= 1 && isinf(rule.high);
    if (*n_read > strlen(text) || ok)
        *n_read = strlen(text);
    settings->flexmatch = ok ? rule.low : 0;
    settings->rule = rule;
    return ok;
}

static bool parse_flexmatch(select_settings *settings, const char *flag, const char *text, const char *cutoff) {
    size_t n_read = 0;
    if (!read_flexmatch(settings, &n_read, cutoff))
        return report_at(flag, text, (size_t)(cutoff - text) + n_read,
                         "flexmatch: and a probability above 0, up to 1, such as flexmatch:0.95", "");
    if (settings->group != NULL && settings->of_samples)
        return true;
    message_error(
        "%s %s compares the classes of samples: it needs --level sample and --scope group:class, or the field "
        "that names the class",
        flag, text);
    return false;
}

static bool parse_rule(select_settings *settings) {
    const char *text = select_rule_text(settings), *flag = settings->is_mask ? "--mask" : "--keep";
    size_t n_read = 0;
    char expected[256];
    static const char flexmatch[] = "flexmatch:";
    if (strncmp(text, flexmatch, sizeof(flexmatch) - 1) == 0)
        return parse_flexmatch(settings, flag, text, text + sizeof(flexmatch) - 1);
    const entrol_status status = entrol_rule_parse(&settings->rule, &n_read, text);
    settings->rule.tie_seed = (uint64_t)settings->tie_seed;
    if (status == ENTROL_OK)
        return true;
    snprintf(expected, sizeof(expected), "a rule such as %s", RULE_FORMS);
    return report_at(flag, text, n_read, expected, hint_for(text, n_read));
}

static bool parse_weight(select_settings *settings) {
    size_t n_read = 0;
    if (settings->weight == NULL ||
        entrol_weighting_parse(&settings->weighting, &n_read, settings->weight) == ENTROL_OK)
        return true;
    return report_at("--weight", settings->weight, n_read, "sigmoid, rise:A..B or fall:A..B (p5..p95 too)", "");
}

/* Every value is kept where there are weights alone. */
static bool take_rule(select_settings *settings) {
    if (settings->keep == NULL && settings->mask == NULL && settings->weight != NULL)
        settings->keep = "p0..p100";
    if ((settings->keep == NULL) != (settings->mask == NULL)) {
        settings->is_mask = settings->mask != NULL;
        return true;
    }
    message_error("%s; a rule is one of %s",
                  settings->keep == NULL ? "expected --keep RULE, --mask RULE, --for PURPOSE or --recipe NAME"
                                         : "--keep and --mask exclude each other: each is the other's complement",
                  RULE_FORMS);
    return false;
}

/* --- The rest --- */

/* Sample statistics have their names; a column's name means its mean. */
static bool check_by(select_settings *settings) {
    fill_in(&settings->by, "entropy");
    if (settings->of_samples && document_has_values_of(settings->by)) {
        snprintf(settings->by_mean, sizeof(settings->by_mean), "%s_mean", settings->by);
        settings->by = settings->by_mean;
    }
    if (!settings->of_samples && (sample_statistic_exists(settings->by) || strcmp(settings->by, "ifd") == 0)) {
        message_error("--by %s is a statistic of documents: add --level sample", settings->by);
        return false;
    }
    return true;
}

static bool check_scope(select_settings *settings) {
    static const char group[] = "group:";
    const char *scope = settings->scope;
    fill_in(&settings->scope, "corpus");
    settings->each_document = strcmp(settings->scope, "document") == 0;
    if (scope != NULL && strncmp(scope, group, sizeof(group) - 1) == 0 && scope[sizeof(group) - 1] != '\0')
        settings->group = scope + sizeof(group) - 1;
    if (settings->group == NULL && !settings->each_document && strcmp(settings->scope, "corpus") != 0) {
        message_error("--scope %s: expected corpus, document or group:FIELD", settings->scope);
        return false;
    }
    if (settings->preview && (settings->explain || settings->output_path != NULL)) {
        message_error("--preview writes nothing: not with %s", settings->explain ? "--explain" : "-o");
        return false;
    }
    if (settings->each_document && settings->preview) {
        message_error("--preview is of all documents together, or of groups: not with --scope document");
        return false;
    }
    if (!settings->of_samples || !settings->each_document)
        return true;
    message_error("--scope document is for tokens: with --level sample documents are compared with each other");
    return false;
}

/* A container holds records. */
static bool check_output(const select_settings *settings) {
    const char *emit = settings->emit;
    const bool holds = strcmp(emit, "records") == 0 || strcmp(emit, "samples") == 0;
    if (settings->weight != NULL &&
        (settings->of_samples || strcmp(emit, "spans") == 0 || strcmp(emit, "samples") == 0)) {
        message_error("--weight is for tokens, with --emit records, labels or trl");
        return false;
    }
    if (settings->explain &&
        (settings->weight != NULL || strcmp(emit, settings->from != NULL ? settings->from->emit : "records") != 0)) {
        message_error("--explain writes its own lines: not with --emit or --weight");
        return false;
    }
    if (!container_is_path(settings->output_path) || (holds && !settings->explain))
        return true;
    message_error("-o %s: %s%s writes lines of %s; .safetensors is for --emit records and samples",
                  settings->output_path, settings->explain ? "--explain" : "--emit ", settings->explain ? "" : emit,
                  settings->explain ? "text" : "JSON");
    return false;
}

static bool check_quantiles(select_settings *settings) {
    settings->quantiles = (entrol_quantile_options)ENTROL_QUANTILE_OPTIONS_INIT;
    if (settings->method == NULL ||
        entrol_quantile_method_parse(&settings->quantiles.method, settings->method) == ENTROL_OK)
        return true;
    buffer names = {0};
    for (int i = 0; entrol_quantile_method_name((entrol_quantile_method)i) != NULL; i++)
        buffer_append_format(&names, "%s%s", i > 0 ? ", " : "", entrol_quantile_method_name((entrol_quantile_method)i));
    message_error("--quantile %s: expected one of %s", settings->method, names.failed ? "NumPy's methods" : names.data);
    buffer_free(&names);
    return false;
}

bool select_settings_check(select_settings *settings) {
    if (!take_recipe(settings) || !take_rule(settings))
        return false;
    fill_in(&settings->level, "token");
    fill_in(&settings->emit, "records");
    settings->of_samples = strcmp(settings->level, "sample") == 0;
    if (settings->output_path != NULL && strcmp(settings->output_path, "-") == 0)
        settings->output_path = NULL;
    return check_output(settings) && check_scope(settings) && check_by(settings) && check_quantiles(settings) &&
           parse_rule(settings) && parse_weight(settings);
}
