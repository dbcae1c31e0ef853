/* Writing the report. See html.h. */
#include "html.h"
#include "assets.h"
#include "data.h"
#include "../open_context.h"
#include "terminal.h"

#include <entrol/base.h>

#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    float *items;
    size_t n_items, capacity;
} values;

struct html_report {
    output *output;
    bool in_bits;
    size_t page_offset; /* how much of the template is written */
    size_t n_documents, n_tokens, n_surprisals;
    uint64_t n_bytes;   /* of the tokens that have a surprisal */
    bool has_all_bytes; /* every one of them has its offsets */
    entrol_sum surprisal;
    bool is_surprisal_infinite;
    values entropies;
    vocabulary vocabulary;
    buffer json, escaped;
};

static bool out_of_memory(trouble *trouble) {
    return trouble_set(trouble, "not enough memory for the report");
}

/* In JSON these characters stand in strings only, so that \u says the same: the data cannot end its element, open a
 * comment, or break a line of JavaScript. */
static void append_inert_json(buffer *out, const char *json, size_t size) {
    size_t written = 0;
    for (size_t i = 0; i < size; i++) {
        const char *escape = json[i] == '<'   ? "\\u003c"
                             : json[i] == '>' ? "\\u003e"
                             : json[i] == '&' ? "\\u0026"
                                              : NULL;
        size_t length = 1;
        if (size - i >= 3 && (!memcmp(json + i, "\xe2\x80\xa8", 3) || !memcmp(json + i, "\xe2\x80\xa9", 3))) {
            escape = json[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
            length = 3;
        }
        if (!escape)
            continue;
        buffer_append(out, json + written, i - written);
        buffer_append_string(out, escape);
        i += length - 1;
        written = i + 1;
    }
    buffer_append(out, json + written, size - written);
}

static bool write_json(html_report *report, trouble *trouble) {
    buffer_clear(&report->escaped);
    append_inert_json(&report->escaped, report->json.data ? report->json.data : "", report->json.size);
    if (report->json.failed || report->escaped.failed)
        return out_of_memory(trouble);
    buffer_clear(&report->json);
    return output_write(report->output, report->escaped.data, report->escaped.size, trouble);
}

static bool write_string(html_report *report, const char *string, trouble *trouble) {
    return output_write(report->output, string, strlen(string), trouble);
}

/* What must not be shown raw is written as in a terminal: <U+202E>. */
static bool write_html_escaped(html_report *report, const char *raw, trouble *trouble) {
    static const struct {
        char character;
        const char *entity;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}};
    buffer shown = {0};
    terminal_text(&shown, raw, strlen(raw), SIZE_MAX);
    buffer_clear(&report->escaped);
    for (size_t at = 0; at < shown.size; at++) {
        const char *entity = NULL, *text = shown.data + at;
        for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
            if (*text == entities[i].character)
                entity = entities[i].entity;
        if (entity)
            buffer_append_string(&report->escaped, entity);
        else
            buffer_append(&report->escaped, text, 1);
    }
    bool failed = shown.failed || report->escaped.failed;
    buffer_free(&shown);
    if (failed)
        return out_of_memory(trouble);
    return output_write(report->output, report->escaped.data ? report->escaped.data : "", report->escaped.size,
                        trouble);
}

/* 'sha256-...' of an inline script or style, as a policy names it. */
static bool write_hash(html_report *report, const unsigned char *bytes, size_t size, trouble *trouble) {
    unsigned char digest[32], encoded[48];
    if (!EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL))
        return trouble_set(trouble, "libcrypto cannot compute SHA-256");
    EVP_EncodeBlock(encoded, digest, sizeof digest);
    return write_string(report, "'sha256-", trouble) && write_string(report, (const char *)encoded, trouble) &&
           write_string(report, "'", trouble);
}

static bool write_policy(html_report *report, trouble *trouble) {
    return write_string(report, "default-src 'none'; script-src ", trouble) &&
           write_hash(report, report_script, report_script_size, trouble) &&
           write_string(report, "; style-src ", trouble) &&
           write_hash(report, report_style, report_style_size, trouble) &&
           write_string(report, "; base-uri 'none'; form-action 'none'", trouble);
}

/* Writes the page on to its place {{stop}}, filling the places before it; stop NULL: to the end. */
static bool write_page(html_report *report, const char *title, const char *stop, trouble *trouble) {
    const char *page = (const char *)report_page;
    for (;;) {
        const char *from = page + report->page_offset, *place = strstr(from, "{{");
        if (!place)
            return write_string(report, from, trouble);
        if (!output_write(report->output, from, (size_t)(place - from), trouble))
            return false;
        const char *name = place + 2, *name_end = strstr(name, "}}");
        size_t length = (size_t)(name_end - name);
        report->page_offset = (size_t)(name_end + 2 - page);
        if (stop && strlen(stop) == length && !memcmp(name, stop, length))
            return true;
        bool ok = !memcmp(name, "policy", length)  ? write_policy(report, trouble)
                  : !memcmp(name, "title", length) ? write_html_escaped(report, title, trouble)
                  : !memcmp(name, "style", length)
                      ? output_write(report->output, report_style, report_style_size, trouble)
                      : output_write(report->output, report_script, report_script_size, trouble);
        if (!ok)
            return false;
    }
}

html_report *html_begin(output *output, const char *title, bool in_bits, trouble *trouble) {
    html_report *report = calloc(1, sizeof *report);
    if (!report) {
        out_of_memory(trouble);
        return NULL;
    }
    report->output = output;
    report->in_bits = in_bits;
    report->has_all_bytes = true;
    if (!write_page(report, title, "data", trouble) || !write_string(report, "{\"documents\":[", trouble)) {
        html_free(report);
        return NULL;
    }
    return report;
}

void html_free(html_report *report) {
    if (!report)
        return;
    free(report->entropies.items);
    vocabulary_free(&report->vocabulary);
    buffer_free(&report->json);
    buffer_free(&report->escaped);
    free(report);
}

static bool add_value(values *values, float value) {
    if (values->n_items == values->capacity) {
        size_t capacity = values->capacity ? 2 * values->capacity : 4096;
        float *items = realloc(values->items, capacity * sizeof *items);
        if (!items)
            return false;
        values->items = items;
        values->capacity = capacity;
    }
    values->items[values->n_items++] = value;
    return true;
}

static bool count_entropies(html_report *report, const document *document) {
    const column *entropy = &document->columns[COLUMN_ENTROPY];
    for (size_t i = 0; entropy->is_present && i < document->n_tokens; i++)
        if (entropy->valid[i] && isfinite(entropy->reals[i]) && !add_value(&report->entropies, entropy->reals[i]))
            return false;
    return true;
}

static void count_surprisals(html_report *report, const document *document) {
    const column *logprob = &document->columns[COLUMN_LOGPROB];
    const column *start = &document->columns[COLUMN_BYTE_START], *end = &document->columns[COLUMN_BYTE_END];
    bool has_offsets = start->is_present && end->is_present;
    for (size_t i = 0; logprob->is_present && i < document->n_tokens; i++) {
        if (!logprob->valid[i] || isnan(logprob->reals[i]))
            continue;
        report->n_surprisals++;
        if (isinf(logprob->reals[i]))
            report->is_surprisal_infinite = true;
        else
            entrol_sum_add(&report->surprisal, -(double)logprob->reals[i]);
        if (has_offsets && start->valid[i] && end->valid[i])
            report->n_bytes += (uint64_t)(end->integers[i] - start->integers[i]);
        else
            report->has_all_bytes = false;
    }
}

bool html_document(html_report *report, const document *document, trouble *trouble) {
    if (report->n_documents++)
        buffer_append_string(&report->json, ",");
    report->n_tokens += document->n_tokens;
    count_surprisals(report, document);
    if (!count_entropies(report, document) || !data_append_document(&report->json, &report->vocabulary, document))
        return out_of_memory(trouble);
    return write_json(report, trouble);
}

static void append_number(buffer *json, const char *name, double value, bool exists) {
    if (!exists || isnan(value))
        buffer_append_format(json, ",\"%s\":null", name);
    else if (isinf(value))
        buffer_append_format(json, ",\"%s\":\"Infinity\"", name);
    else
        buffer_append_format(json, ",\"%s\":%.9g", name, value);
}

static bool append_totals(html_report *report, trouble *trouble) {
    const double q[] = {0.5, 0.95};
    double quantiles[2] = {NAN, NAN};
    entrol_sum sum = {0};
    size_t n = report->entropies.n_items;
    for (size_t i = 0; i < n; i++)
        entrol_sum_add(&sum, (double)report->entropies.items[i]);
    entrol_context *context = open_context(0, trouble);
    if (context == NULL)
        return false;
    entrol_status status = ENTROL_OK;
    if (n)
        status = entrol_quantile(context, quantiles, NULL, report->entropies.items, NULL, n, q, 2, NULL);
    entrol_context_destroy(context);
    if (status != ENTROL_OK)
        return trouble_set(trouble, "the totals: %s", entrol_status_string(status));
    double total = report->is_surprisal_infinite ? INFINITY : entrol_sum_value(&report->surprisal);
    bool has_surprisal = report->n_surprisals > 0;
    buffer_append_format(&report->json, "\"totals\":{\"documents\":%zu,\"tokens\":%zu", report->n_documents,
                         report->n_tokens);
    append_number(&report->json, "mean_entropy", entrol_sum_value(&sum) / (double)n, n > 0);
    append_number(&report->json, "median_entropy", quantiles[0], n > 0);
    append_number(&report->json, "p95_entropy", quantiles[1], n > 0);
    append_number(&report->json, "perplexity", exp(total / (double)report->n_surprisals), has_surprisal);
    append_number(&report->json, "bits_per_byte", total / log(2) / (double)report->n_bytes,
                  has_surprisal && report->has_all_bytes && report->n_bytes > 0);
    buffer_append_string(&report->json, "}");
    return true;
}

static void append_sources(buffer *json, const char *const *names, json_t *const *manifests, size_t n_inputs) {
    buffer_append_string(json, ",\"sources\":[");
    for (size_t i = 0; i < n_inputs; i++) {
        char *manifest = manifests[i] ? json_dumps(manifests[i], JSON_COMPACT) : NULL;
        buffer_append_string(json, i ? ",{\"name\":" : "{\"name\":");
        buffer_append_json_string(json, names[i], strlen(names[i]));
        buffer_append_string(json, ",\"manifest\":");
        buffer_append_string(json, manifest ? manifest : "null");
        buffer_append_string(json, "}");
        free(manifest);
    }
    buffer_append_string(json, "]");
}

bool html_end(html_report *report, const char *const *names, json_t *const *manifests, size_t n_inputs,
              trouble *trouble) {
    buffer *json = &report->json;
    buffer_append_format(json, "],\"version\":\"%s\",\"unit\":\"%s\",", entrol_version(),
                         report->in_bits ? "bit" : "nat");
    if (!append_totals(report, trouble))
        return false;
    append_sources(json, names, manifests, n_inputs);
    vocabulary_append_json(json, &report->vocabulary);
    buffer_append_string(json, "}");
    return write_json(report, trouble) && write_page(report, "", NULL, trouble);
}
