/* .npy and .safetensors: shapes and types as their specifications have them, and everything that must be refused. */
#include "harness.h"
#include "buffer.h"
#include "formats/gguf.h"
#include "formats/logits.h"

#include <unistd.h>

/* A file in memory that ends at an inaccessible page. */
static guarded copy_of(const buffer *bytes) {
    guarded copy = guarded_allocate(bytes->size, true);
    memcpy(copy.data, bytes->data, bytes->size);
    return copy;
}

static void append_little(buffer *bytes, uint64_t value, size_t n) {
    for (size_t i = 0; i < n; i++)
        buffer_append(bytes, &(char){(char)(value >> 8 * i)}, 1);
}

static void make_npy(buffer *bytes, int version, const char *header, size_t n_data) {
    buffer_clear(bytes);
    buffer_append(bytes, "\x93NUMPY", 6);
    append_little(bytes, (uint64_t)version, 2);
    append_little(bytes, strlen(header), version == 1 ? 2 : 4);
    buffer_append_string(bytes, header);
    for (size_t i = 0; i < n_data; i++)
        append_little(bytes, i, 1);
}

static void make_safetensors(buffer *bytes, const char *header, size_t n_data) {
    buffer_clear(bytes);
    append_little(bytes, strlen(header), 8);
    buffer_append_string(bytes, header);
    for (size_t i = 0; i < n_data; i++)
        append_little(bytes, i, 1);
}

static void check_refused(const buffer *bytes, const char *message) {
    trouble trouble = {""};
    guarded copy = copy_of(bytes);
    logits_file *file = logits_open_memory("test", copy.data, bytes->size, &trouble);
    CHECK_SAY(file == NULL, "accepted; expected \"%s\"", message);
    CHECK_SAY(strstr(trouble.text, message) != NULL, "\"%s\" does not hold \"%s\"", trouble.text, message);
    CHECK_SAY(strncmp(trouble.text, "test:", 5) == 0, "no file in \"%s\"", trouble.text);
    logits_close(file);
    guarded_free(&copy);
}

static void check_array(const buffer *bytes, size_t n_documents, size_t n_rows, size_t n_columns, entrol_dtype dtype) {
    trouble trouble = {""};
    guarded copy = copy_of(bytes);
    logits_file *file = logits_open_memory("test", copy.data, bytes->size, &trouble);
    if (CHECK_SAY(file != NULL, "%s", trouble.text)) {
        const logits_array *array = logits_array_at(file, 0);
        CHECK_INT(logits_n_arrays(file), 1);
        CHECK_INT(array->n_documents, n_documents);
        CHECK_INT(array->n_rows, n_rows);
        CHECK_INT(array->n_columns, n_columns);
        CHECK_INT(array->dtype, dtype);
        CHECK_INT(*(const unsigned char *)array->data, 0); /* the data counts from 0 */
    }
    logits_close(file);
    guarded_free(&copy);
}

static void test_npy(void) {
    buffer bytes = {0};
    make_npy(&bytes, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", 24);
    check_array(&bytes, 1, 2, 3, ENTROL_F32);
    make_npy(&bytes, 2, "{'shape': (4,5,6), 'descr': '<f2', 'fortran_order': False}\n", 240);
    check_array(&bytes, 4, 5, 6, ENTROL_F16);
    make_npy(&bytes, 3, "{\"descr\":\"<f8\",\"fortran_order\":False,\"shape\":(3,)}", 24);
    check_array(&bytes, 1, 1, 3, ENTROL_F64);
    make_npy(&bytes, 1, "{'descr': '<V2', 'fortran_order': False, 'shape': (2, 3, 2, 2), }", 48);
    check_array(&bytes, 6, 2, 2, ENTROL_BF16);
    make_npy(&bytes, 1, "{'descr': 'bfloat16', 'fortran_order': False, 'shape': (1, 1), }", 2);
    check_array(&bytes, 1, 1, 1, ENTROL_BF16);
    buffer_free(&bytes);
}

static void test_npy_refused(void) {
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } bad[] = {
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, "ascontiguousarray"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", 24, "newbyteorder"},
        {"{'descr': '|V2', 'fortran_order': False, 'shape': (2, 3), }", 12, "found descr '|V2'"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", 48, "found descr '<c8'"},
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }", 48, "expected a floating-point array"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8, "records with fields"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, "expected 24 bytes of data"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 25, "found 25"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", 0, "empty shape (0, 3)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, "one dimension or more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, "does not fit"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", 0, "does not fit"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0, "fits in memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }", 0, "expected a dimension"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3), }", 12, "expected \",\""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [3], }", 12, "expected a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, }", 12, "expected the keys"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (3,), }", 12, "once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}", 12, "once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), } x", 12, "nothing behind"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (3,), }", 12, "False or True"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3", 12, "found its end"},
        {"{'descr': '<f4", 12, "closing quote"},
        {"{'descr'", 12, "expected \":\""},
        {"{", 12, "expected a string, found its end"},
        {"", 12, "expected \"{\""},
    };
    buffer bytes = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make_npy(&bytes, 1, bad[i].header, bad[i].n_data);
        check_refused(&bytes, bad[i].message);
    }
    make_npy(&bytes, 4, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 12);
    check_refused(&bytes, "expected .npy version 1.0, 2.0 or 3.0, found 4.0");
    make_npy(&bytes, 2, "{", 0);
    memset(bytes.data + 8, 0xFF, 4);
    check_refused(&bytes, "4294967295 bytes; at most 65536");
    buffer_free(&bytes);
}

/* Cut anywhere, the file is refused and nothing behind its end is read. */
static void test_npy_cut(void) {
    buffer bytes = {0};
    make_npy(&bytes, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24);
    for (size_t n = 1; n < bytes.size; n++) {
        buffer cut = {.data = bytes.data, .size = n};
        check_refused(&cut, "");
    }
    buffer_free(&bytes);
}

static void test_safetensors(void) {
    buffer bytes = {0};
    make_safetensors(
        &bytes,
        "{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"t\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[12,20]}}   ",
        20);
    check_array(&bytes, 1, 2, 3, ENTROL_BF16);
    make_safetensors(&bytes,
                     "{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[24,28]},"
                     "\"e\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[24,24]},"
                     "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1,3],\"data_offsets\":[0,24]}}",
                     28);
    check_array(&bytes, 2, 1, 3, ENTROL_F32);
    buffer_free(&bytes);
}

static void test_safetensors_refused(void) {
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } bad[] = {
        {"{}", 0, "found none"},
        {"{\"x\":1}", 0, "tensor \"x\": expected an object, found a number"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", 8, "broken JSON"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", 9,
         "hold 9 bytes, its shape and dtype need 8"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "outside of the 7 bytes"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "outside"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "outside"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "two whole numbers"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole numbers from 0"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "\"shape\", an array"},
        {"{\"x\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "unknown dtype \"F31\""},
        {"{\"x\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "\"dtype\", a string, found nothing"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, "does not fit"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}", 8, "found only U8"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         12, "a hole"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         12, "an overlap"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a hole"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "end at byte 4 of the data"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, "duplicate"},
    };
    buffer bytes = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        make_safetensors(&bytes, bad[i].header, bad[i].n_data);
        check_refused(&bytes, bad[i].message);
    }
    make_safetensors(&bytes, "{}", 0);
    memcpy(bytes.data, "\0\0\0\0\0\0\0\x10", 8); /* 2^60 */
    check_refused(&bytes, "a safetensors header of 1152921504606846976 bytes");
    memcpy(bytes.data, "\x03\0\0\0\0\0\0\0", 8);
    check_refused(&bytes, "expected a safetensors header of 3 bytes, found the end after 2");
    buffer_free(&bytes);
}

static void test_foreign(void) {
    buffer bytes = {0};
    buffer_append_string(&bytes, "");
    check_refused(&bytes, "an empty file");
    buffer_append_string(&bytes, "PK\x03\x04....");
    check_refused(&bytes, "a zip archive");
    buffer_clear(&bytes);
    buffer_append_string(&bytes, "just some text\n");
    check_refused(&bytes, "expected .npy or .safetensors, found something else");
    buffer_free(&bytes);
}

static void test_targets(void) {
    char path[] = "/tmp/entrol-targets-XXXXXX";
    int fd = mkstemp(path);
    buffer bytes = {0};
    make_safetensors(&bytes,
                     "{\"a\":{\"dtype\":\"U16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                     "\"b\":{\"dtype\":\"I32\",\"shape\":[1,2],\"data_offsets\":[4,12]}}",
                     0);
    append_little(&bytes, 0xFFFF, 2);
    append_little(&bytes, 1, 2);
    append_little(&bytes, 0xFFFFFF9C, 4); /* -100 */
    append_little(&bytes, 7, 4);
    CHECK_INT(write(fd, bytes.data, bytes.size), bytes.size);
    close(fd);
    trouble trouble = {""};
    int64_t *targets = NULL;
    if (CHECK_SAY(logits_read_targets(path, "a", &targets, 2, &trouble), "%s", trouble.text)) {
        CHECK_INT(targets[0], 65535);
        CHECK_INT(targets[1], 1);
        free(targets);
    }
    if (CHECK_SAY(logits_read_targets(path, "b", &targets, 2, &trouble), "%s", trouble.text)) {
        CHECK_INT(targets[0], -100);
        CHECK_INT(targets[1], 7);
        free(targets);
    }
    CHECK(!logits_read_targets(path, NULL, &targets, 2, &trouble));
    CHECK(strstr(trouble.text, "found \"a\" and \"b\"") != NULL);
    CHECK(!logits_read_targets(path, "a", &targets, 3, &trouble));
    CHECK(strstr(trouble.text, "each of 3 rows, found 2") != NULL);
    CHECK(!logits_read_targets(path, "c", &targets, 2, &trouble));
    unlink(path);
    buffer_free(&bytes);
}

/* The smallest GGUF: ggml/docs/gguf.md. */
static void make_gguf(buffer *bytes) {
    buffer_append_string(bytes, "GGUF");
    append_little(bytes, 3, 4);
    append_little(bytes, 1, 8); /* tensors */
    append_little(bytes, 3, 8); /* pairs */
    append_little(bytes, 4, 8);
    buffer_append_string(bytes, "name");
    append_little(bytes, 8, 4); /* a string */
    append_little(bytes, 4, 8);
    buffer_append_string(bytes, "tiny");
    append_little(bytes, 1, 8);
    buffer_append_string(bytes, "n");
    append_little(bytes, 5, 4); /* i32 */
    append_little(bytes, 0xFFFFFFFE, 4);
    append_little(bytes, 1, 8);
    buffer_append_string(bytes, "l");
    append_little(bytes, 9, 4); /* an array of two strings */
    append_little(bytes, 8, 4);
    append_little(bytes, 2, 8);
    append_little(bytes, 1, 8);
    buffer_append_string(bytes, "a");
    append_little(bytes, 0, 8);
    append_little(bytes, 1, 8); /* tensor "w", 3 x 5 */
    buffer_append_string(bytes, "w");
    append_little(bytes, 2, 4);
    append_little(bytes, 3, 8);
    append_little(bytes, 5, 8);
    append_little(bytes, 0, 4);
    append_little(bytes, 0, 8);
}

static void note_pair(void *user, const char *key, const char *value) {
    buffer_append_format(user, "%s=%s;", key, value);
}

static bool read_gguf(const buffer *bytes, size_t n, gguf_summary *summary, buffer *pairs, trouble *trouble) {
    input *input = input_open_memory("test", bytes->data, n, trouble);
    bool ok = gguf_read(summary, input, note_pair, pairs, trouble);
    input_close(input);
    return ok;
}

static void test_gguf(void) {
    buffer bytes = {0}, pairs = {0};
    gguf_summary summary;
    trouble trouble = {""};
    make_gguf(&bytes);
    CHECK_SAY(read_gguf(&bytes, bytes.size, &summary, &pairs, &trouble), "%s", trouble.text);
    CHECK_STRING(pairs.data, "name=tiny;n=-2;l=array of 2 string;");
    CHECK_INT(summary.n_tensors, 1);
    CHECK_INT(summary.n_parameters, 15);
    for (size_t n = 4; n < bytes.size; n++) {
        CHECK(!read_gguf(&bytes, n, &summary, &pairs, &trouble));
        CHECK_SAY(strstr(trouble.text, "ends inside its header") != NULL, "%s", trouble.text);
    }
    memset(bytes.data + 24, 0xFF, 8); /* a key of 2^64 - 1 bytes */
    CHECK(!read_gguf(&bytes, bytes.size, &summary, &pairs, &trouble));
    buffer_free(&bytes);
    buffer_free(&pairs);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_npy);
    TEST(test_npy_refused);
    TEST(test_npy_cut);
    TEST(test_safetensors);
    TEST(test_safetensors_refused);
    TEST(test_foreign);
    TEST(test_targets);
    TEST(test_gguf);
    return test_end();
}
