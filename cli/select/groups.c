/* Documents that belong together: duplicates, of which the first counts, and groups, in which values are compared. */
#include "select.h"

#include "../formats/manifest.h"
#include "../json_text.h"

#include <inttypes.h>
#include <string.h>

/* A field as one line of text; false if there is none. */
static bool field_text(buffer *text, const document *document, const char *field) {
    const json_t *value = json_object_get(document->fields, field);
    buffer_clear(text);
    if (value == NULL || json_is_null(value))
        return false;
    if (json_is_string(value))
        buffer_append(text, json_string_value(value), json_string_length(value));
    else
        json_append(text, value);
    return true;
}

static bool report_field(const char *flag, const char *field, const records *records, const document *document,
                         trouble *trouble) {
    return trouble_set(trouble, "%s:%" PRIu64 " (%s): no field \"%s\", which %s needs", records_name(records),
                       document->line_number, document->id, field, flag);
}

bool select_look_for_duplicate(bool *is_duplicate, select_gatherer *gatherer, const records *records,
                               const document *document, trouble *trouble) {
    buffer text = {0};
    unsigned char hash[32];
    bool ok = field_text(&text, document, gatherer->settings->unique);
    if (!ok) {
        buffer_free(&text);
        return report_field("--unique", gatherer->settings->unique, records, document, trouble);
    }
    ok = !text.failed && manifest_hash(hash, text.data, text.size);
    buffer_free(&text);
    const char *key = (const char *)hash; /* 128 of its bits tell all documents apart */
    *is_duplicate = ok && json_object_getn(gatherer->seen, key, 16) != NULL;
    if (ok && !*is_duplicate)
        ok = json_object_setn_new_nocheck(gatherer->seen, key, 16, json_true()) == 0;
    gatherer->counts.n_duplicates += *is_duplicate;
    return ok || trouble_set(trouble, "out of memory for what --unique has seen");
}

/* The group's name: of class probabilities the class that they give, whatever the line calls its class; else a field.
 */
static bool read_group(buffer *name, select_gatherer *gatherer, const records *records, const document *document,
                       trouble *trouble) {
    const char *field = gatherer->settings->group;
    class_statistics classes;
    bool has_classes = false;
    if (strcmp(field, "class") == 0 &&
        !class_statistics_read(&classes, &has_classes, gatherer->context, records, document, trouble))
        return false;
    if (has_classes)
        buffer_append_format(name, "%zu", classes.class);
    return has_classes || field_text(name, document, field) ||
           report_field("--scope group", field, records, document, trouble);
}

bool select_find_group(size_t *group, select_gatherer *gatherer, const records *records, const document *document,
                       trouble *trouble) {
    buffer name = {0};
    bool ok = read_group(&name, gatherer, records, document, trouble);
    if (ok) {
        const char *text = name.size > 0 ? name.data : "";
        const json_t *known = json_object_getn(gatherer->groups, text, name.size);
        *group = known != NULL ? (size_t)json_integer_value(known) : json_object_size(gatherer->groups);
        ok = !name.failed &&
             (known != NULL ||
              (json_object_setn_new_nocheck(gatherer->groups, text, name.size, json_integer((json_int_t)*group)) == 0 &&
               json_array_append_new(gatherer->names, json_stringn_nocheck(text, name.size)) == 0));
        if (!ok)
            trouble_set(trouble, "%s:%" PRIu64 ": out of memory for the groups", records_name(records),
                        document->line_number);
    }
    buffer_free(&name);
    return ok;
}

const char *select_group_name(const select_gatherer *gatherer, size_t scope) {
    return json_string_value(json_array_get(gatherer->names, scope));
}
