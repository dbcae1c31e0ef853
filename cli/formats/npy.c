/* NumPy's .npy, versions 1, 2 and 3 (numpy.lib.format): a magic number, a header length, and a header that is a Python
 * dictionary with exactly the keys 'descr', 'fortran_order' and 'shape'. Only that much of Python is understood. */
#include "tensor.h"

#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 1 << 16 };

/* A cursor in the header. `at` never passes `end`. */
typedef struct cursor {
    const char *start, *at, *end;
    const tensor_file *file;
    trouble *trouble;
} cursor;

static bool report(const cursor *cursor, const char *expected) {
    char found[8] = "";
    if (cursor->at < cursor->end)
        snprintf(found, sizeof found, "\"%c\"", *cursor->at);
    return trouble_set(cursor->trouble, "%s: broken .npy header at column %zu: expected %s, found %s",
                       cursor->file->name, (size_t)(cursor->at - cursor->start) + 1, expected,
                       cursor->at < cursor->end ? found : "its end");
}

static void skip_space(cursor *cursor) {
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n' || *cursor->at == '\t'))
        cursor->at++;
}

/* Takes one character if it is the next. */
static bool take(cursor *cursor, char c) {
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool take_word(cursor *cursor, const char *word) {
    size_t n = strlen(word);
    skip_space(cursor);
    if ((size_t)(cursor->end - cursor->at) < n || memcmp(cursor->at, word, n) != 0)
        return false;
    cursor->at += n;
    return true;
}

/* A Python string without escapes, which is all that NumPy writes. */
static bool take_string(cursor *cursor, char *text, size_t size) {
    skip_space(cursor);
    if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"'))
        return report(cursor, "a string");
    char quote = *cursor->at++;
    size_t n = 0;
    while (cursor->at < cursor->end && *cursor->at != quote) {
        if (*cursor->at == '\\' || n + 1 >= size)
            return report(cursor, "a short string");
        text[n++] = *cursor->at++;
    }
    text[n] = 0;
    return take(cursor, quote) || report(cursor, "a closing quote");
}

static bool take_size(cursor *cursor, size_t *size) {
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at < '0' || *cursor->at > '9')
        return report(cursor, "a dimension");
    *size = 0;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
        if (__builtin_mul_overflow(*size, (size_t)10, size) ||
            __builtin_add_overflow(*size, (size_t)(*cursor->at - '0'), size))
            return report(cursor, "a dimension that fits in memory");
    return true;
}

/* "()", "(3,)", "(3, 4)". */
static bool take_shape(cursor *cursor, tensor *tensor) {
    if (!take(cursor, '('))
        return report(cursor, "a tuple");
    while (!take(cursor, ')')) {
        if (tensor->n_dimensions == TENSOR_MAX_DIMENSIONS)
            return report(cursor, "at most 32 dimensions");
        if (!take_size(cursor, &tensor->shape[tensor->n_dimensions++]))
            return false;
        if (take(cursor, ','))
            continue;
        if (tensor->n_dimensions == 1) /* "(3)" is a number in Python */
            return report(cursor, "\",\"");
        return take(cursor, ')') || report(cursor, "\",\" or \")\"");
    }
    return true;
}

static bool take_order(cursor *cursor) {
    if (take_word(cursor, "False"))
        return true;
    if (take_word(cursor, "True"))
        return trouble_set(cursor->trouble,
                           "%s: the array is in Fortran order; numpy.save(path, numpy.ascontiguousarray(array)) writes "
                           "it in C order",
                           cursor->file->name);
    return report(cursor, "False or True");
}

/* ml_dtypes writes a bfloat16 array as '<V2', which NumPy alone reads back as 2 bytes of nothing in particular; '|V2'
 * says no more than that from the start. */
static element descr_element(const char *descr) {
    static const struct {
        const char *descr;
        element element;
    } known[] = {{"<f8", ELEMENT_F64},  {"<f4", ELEMENT_F32},       {"<f2", ELEMENT_F16},
                 {"<V2", ELEMENT_BF16}, {"bfloat16", ELEMENT_BF16}, {"<i8", ELEMENT_I64},
                 {"<i4", ELEMENT_I32},  {"<u4", ELEMENT_U32},       {"<u2", ELEMENT_U16}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].descr, descr) == 0)
            return known[i].element;
    return ELEMENT_OTHER;
}

static bool take_descr(cursor *cursor, tensor *tensor) {
    skip_space(cursor);
    if (cursor->at < cursor->end && *cursor->at == '[')
        return trouble_set(cursor->trouble, "%s: expected an array of numbers, found records with fields",
                           cursor->file->name);
    if (!take_string(cursor, tensor->type_name, sizeof tensor->type_name))
        return false;
    tensor->element = descr_element(tensor->type_name);
    if (tensor->element != ELEMENT_OTHER)
        return true;
    return trouble_set(cursor->trouble,
                       "%s: expected little-endian f2, f4, f8, bfloat16, i4, i8, u2 or u4, found descr '%s'%s",
                       cursor->file->name, tensor->type_name,
                       tensor->type_name[0] == '>' ? "; array.astype(array.dtype.newbyteorder('<')) converts it" : "");
}

static bool take_member(cursor *cursor, tensor *tensor, unsigned *seen) {
    static const char *const names[] = {"descr", "fortran_order", "shape"};
    char key[24];
    size_t which = 0;
    const char *before = cursor->at;
    if (!take_string(cursor, key, sizeof key))
        return false;
    while (which < 3 && strcmp(key, names[which]) != 0)
        which++;
    if (which == 3 || (*seen & 1u << which)) {
        cursor->at = before;
        return report(cursor, "each of 'descr', 'fortran_order' and 'shape' once");
    }
    *seen |= 1u << which;
    if (!take(cursor, ':'))
        return report(cursor, "\":\"");
    return which == 0 ? take_descr(cursor, tensor) : which == 1 ? take_order(cursor) : take_shape(cursor, tensor);
}

static bool parse_header(cursor *cursor, tensor *tensor) {
    unsigned seen = 0;
    if (!take(cursor, '{'))
        return report(cursor, "\"{\"");
    while (!take(cursor, '}')) {
        if (!take_member(cursor, tensor, &seen))
            return false;
        if (!take(cursor, ',')) {
            if (take(cursor, '}'))
                break;
            return report(cursor, "\",\" or \"}\"");
        }
    }
    if (seen != 7)
        return report(cursor, "the keys 'descr', 'fortran_order' and 'shape' before it");
    skip_space(cursor);
    return cursor->at == cursor->end || report(cursor, "nothing behind \"}\"");
}

/* Where the header lies; false for an unknown version or one that the file is too short for. */
static bool find_header(const tensor_file *file, size_t *start, size_t *size, trouble *trouble) {
    const unsigned char *bytes = file->file.bytes;
    if (file->file.n_bytes < 12)
        return trouble_set(trouble, "%s: the .npy file ends inside its header", file->name);
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return trouble_set(trouble, "%s: expected .npy version 1.0, 2.0 or 3.0, found %u.%u", file->name, bytes[6],
                           bytes[7]);
    *start = bytes[6] == 1 ? 10 : 12;
    *size = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        *size |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (*size > MAX_HEADER)
        return trouble_set(trouble, "%s: a .npy header of %zu bytes; at most %d are supported", file->name, *size,
                           MAX_HEADER);
    return *size <= file->file.n_bytes - *start ||
           trouble_set(trouble, "%s: the .npy file ends inside its header", file->name);
}

bool npy_read(tensor_file *file, trouble *trouble) {
    size_t start = 0, size = 0;
    if (!find_header(file, &start, &size, trouble))
        return false;
    tensor *tensor = tensors_add(file, "", trouble);
    const char *header = (const char *)file->file.bytes + start;
    cursor cursor = {header, header, header + size, file, trouble};
    if (!tensor || !parse_header(&cursor, tensor))
        return false;
    char shape[256];
    tensor_format_shape(shape, sizeof shape, tensor);
    if (!tensor_count(tensor, element_size(tensor->element)))
        return trouble_set(trouble, "%s: the shape %s does not fit in memory", file->name, shape);
    size_t available = file->file.n_bytes - start - size;
    if (available != tensor->n_bytes)
        return trouble_set(trouble, "%s: expected %zu bytes of data for the shape %s, found %zu", file->name,
                           tensor->n_bytes, shape, available);
    tensor->data = file->file.bytes + start + size;
    return true;
}
