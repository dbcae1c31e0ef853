/* JSON through jansson, with messages that say where, and numbers written as short as they were. */
#ifndef CLI_JSON_TEXT_H
#define CLI_JSON_TEXT_H

#include "buffer.h"
#include "message.h"

#include <jansson.h>
#include <stdint.h>

/* Reads one JSON value from a line of a file (line_number 0: the file as a whole). Refused: two members of one name,
 * \u0000, broken UTF-8, numbers that do not fit, and nesting deeper than jansson's own cap (2048). */
json_t *json_read_value(const char *name, uint64_t line_number, const char *text, size_t n_bytes, trouble *trouble);
/* The same of an object. */
json_t *json_read_object(const char *name, uint64_t line_number, const char *text, size_t n_bytes, trouble *trouble);

/* A string of what may hold any bytes, such as a file's name: what is not UTF-8 becomes U+FFFD. NULL: out of memory. */
json_t *json_string_of(const char *bytes);

/* Sets a member to a value, which is the object's from now on. False where memory is out, as it may have been for the
 * object or the value: NULL. */
bool json_set(json_t *object, const char *name, json_t *value);

/* Appends a value without white space. A real is the shortest decimal that reads back as the same double. */
void json_append(buffer *buffer, const json_t *value);

/* JSON has no NaN and no infinity: they are the strings "NaN", "Infinity" and "-Infinity". */
json_t *json_of_real(double value);
/* The same, null for NaN: a value that is not known. */
json_t *json_of_real_or_null(double value);

/* "a string", "a number", "an array", ... for messages. */
const char *json_kind(const json_t *value);

#endif
