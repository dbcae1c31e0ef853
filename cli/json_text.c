/* Reading with clear messages, writing that keeps numbers short. */
#include "json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_kind(const json_t *value) {
    if (!value)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return json_array_size(value) > 0 ? "an array" : "an empty array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

/* jansson's sentence ends with "near '...'", which quotes up to 20 bytes of what it found. */
static void report_broken(const char *name, uint64_t line_number, const json_error_t *error, trouble *trouble) {
    unsigned long long line = line_number ? line_number : (unsigned long long)(error->line > 0 ? error->line : 1);
    int column = error->column > 0 ? error->column : 1;
    if (json_error_code(error) == json_error_numeric_overflow) {
        trouble_set(trouble,
                    "%s:%llu: the number that ends at column %d does not fit: whole numbers go from -2^63 to 2^63 - 1, "
                    "others the "
                    "range of a double; a string keeps every digit",
                    name, line, column);
        return;
    }
    bool is_nul = strstr(error->text, "\\u0000") != NULL; /* jansson names its own flag there */
    trouble_set(trouble, "%s:%llu: broken JSON at column %d: %s", name, line, column,
                is_nul ? "\\u0000 is not allowed" : error->text);
}

json_t *json_read_value(const char *name, uint64_t line_number, const char *text, size_t n_bytes, trouble *trouble) {
    json_error_t error;
    const char *nul = memchr(text, 0, n_bytes); /* jansson overlooks one behind a number, true, false or null */
    if (nul) {
        trouble_set(trouble, "%s:%llu: broken JSON at column %td: a NUL", name,
                    (unsigned long long)(line_number ? line_number : 1), nul - text + 1);
        return NULL;
    }
    /* JSON_ALLOW_NUL stays off: what is read here may be used as a C string. */
    json_t *value = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        report_broken(name, line_number, &error, trouble);
    return value;
}

json_t *json_read_object(const char *name, uint64_t line_number, const char *text, size_t n_bytes, trouble *trouble) {
    json_t *value = json_read_value(name, line_number, text, n_bytes, trouble);
    if (!value || json_is_object(value))
        return value;
    trouble_set(trouble, "%s:%llu: expected a JSON object, found %s", name,
                (unsigned long long)(line_number ? line_number : 1), json_kind(value));
    json_decref(value);
    return NULL;
}

json_t *json_string_of(const char *bytes) {
    buffer text = {0};
    buffer_append_utf8(&text, bytes, strlen(bytes));
    json_t *string = text.failed ? NULL : json_stringn(text.data, text.size);
    buffer_free(&text);
    return string;
}

static void append_real(buffer *buffer, double value) {
    char text[40];
    for (int n = 15; n <= 17; n++) {
        snprintf(text, sizeof text, "%.*g", n, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (char *at = text; *at; at++)
        if (*at == ',') /* a locale's decimal point */
            *at = '.';
    buffer_append_string(buffer, text);
    if (!strpbrk(text, ".e")) /* stays a real */
        buffer_append_string(buffer, ".0");
}

static void append_object(buffer *buffer, const json_t *object) {
    const char *separator = "{";
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        buffer_append_string(buffer, separator);
        buffer_append_json_string(buffer, key, strlen(key));
        buffer_append_string(buffer, ": ");
        json_append(buffer, value);
        separator = ", ";
    }
    buffer_append_string(buffer, json_object_size(object) > 0 ? "}" : "{}");
}

static void append_array(buffer *buffer, const json_t *array) {
    buffer_append_string(buffer, "[");
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            buffer_append_string(buffer, ", ");
        json_append(buffer, json_array_get(array, i));
    }
    buffer_append_string(buffer, "]");
}

json_t *json_of_real(double value) {
    if (isnan(value))
        return json_string("NaN");
    if (isinf(value))
        return json_string(value > 0 ? "Infinity" : "-Infinity");
    return json_real(value);
}

json_t *json_of_real_or_null(double value) {
    return isnan(value) ? json_null() : json_of_real(value);
}

bool json_set(json_t *object, const char *name, json_t *value) {
    return json_object_set_new(object, name, value) == 0;
}

/* Recursion is as deep as jansson let the text be. */
void json_append(buffer *buffer, const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        append_object(buffer, value);
        break;
    case JSON_ARRAY:
        append_array(buffer, value);
        break;
    case JSON_STRING:
        buffer_append_json_string(buffer, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        buffer_append_format(buffer, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        append_real(buffer, json_real_value(value));
        break;
    case JSON_TRUE:
        buffer_append_string(buffer, "true");
        break;
    case JSON_FALSE:
        buffer_append_string(buffer, "false");
        break;
    case JSON_NULL:
        buffer_append_string(buffer, "null");
        break;
    }
}
