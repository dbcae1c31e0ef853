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
    char hex[65];
    bool ok = field_text(&text, document, gatherer->settings->unique);
    if (!ok) {
        buffer_free(&text);
        return report_field("--unique", gatherer->settings->unique, records, document, trouble);
    }
    ok = !text.failed && manifest_hash(hex, text.data, text.size);
    buffer_free(&text);
    *is_duplicate = ok && json_object_get(gatherer->seen, hex) != NULL;
    if (ok && !*is_duplicate)
        ok = json_object_set_new(gatherer->seen, hex, json_true()) == 0;
    gatherer->counts.n_duplicates += *is_duplicate;
    return ok || trouble_set(trouble, "out of memory for what --unique has seen");
}

/* The group's name: a field, or the class of class probabilities. */
static bool read_group(buffer *name, select_gatherer *gatherer, const records *records, const document *document,
                       trouble *trouble) {
    const char *field = gatherer->settings->group;
    class_statistics classes;
    bool has_classes = false;
    if (field_text(name, document, field))
        return true;
    if (strcmp(field, "class") == 0 &&
        !class_statistics_read(&classes, &has_classes, gatherer->context, records, document, trouble))
        return false;
    if (!has_classes)
        return report_field("--scope group", field, records, document, trouble);
    buffer_append_format(name, "%zu", classes.class);
    return true;
}

bool select_find_group(size_t *group, select_gatherer *gatherer, const records *records, const document *document,
                       trouble *trouble) {
    buffer name = {0};
    bool ok = read_group(&name, gatherer, records, document, trouble);
    if (ok) {
        buffer_append(&name, "", 0);
        const char *text = name.size > 0 ? name.data : "";
        const json_t *known = json_object_get(gatherer->groups, text);
        *group = known != NULL ? (size_t)json_integer_value(known) : json_object_size(gatherer->groups);
        ok = !name.failed &&
             (known != NULL || json_object_set_new(gatherer->groups, text, json_integer((json_int_t)*group)) == 0);
        if (!ok)
            trouble_set(trouble, "%s:%" PRIu64 ": out of memory for the groups, or \"%s\" is no name",
                        records_name(records), document->line_number, text);
    }
    buffer_free(&name);
    return ok;
}

const char *select_group_name(const select_gatherer *gatherer, size_t scope) {
    const char *name;
    json_t *number;
    json_object_foreach(gatherer->groups, name, number) {
        if ((size_t)json_integer_value(number) == scope)
            return name;
    }
    return NULL;
}
