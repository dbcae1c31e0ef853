/* Opening models: what goes wrong is said in a sentence, and no file makes the process end. */
#include "harness.h"

#include "entrol_llama.h"
#include "tiny_model.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path_buffer[256];

/* A file in the temporary folder with these bytes; removed by the caller. */
static const char *write_file(const void *bytes, size_t n_bytes) {
    const char *folder = getenv("TMPDIR");
    snprintf(path_buffer, sizeof path_buffer, "%s/entrol-open-%d", folder != NULL ? folder : "/tmp", (int)getpid());
    FILE *file = fopen(path_buffer, "wb");
    if (!CHECK(file != NULL)) {
        exit(1);
    }
    const size_t n_written = fwrite(bytes, 1, n_bytes, file);
    CHECK_INT(n_written, n_bytes);
    fclose(file);
    return path_buffer;
}

static entrol_status try_open(const char *path, char *error, size_t error_size) {
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = path;
    options.n_threads = 1;
    entrol_llama *llama = NULL;
    const entrol_status status = entrol_llama_open(&llama, error, error_size, &options);
    entrol_llama_close(llama);
    return status;
}

static void check_refusal(const char *path, entrol_status expected, const char *words) {
    char error[600] = "";
    const entrol_status status = try_open(path, error, sizeof error);
    CHECK_INT(status, expected);
    CHECK_SAY(strstr(error, words) != NULL, "\"%s\" lacks \"%s\"", error, words);
    CHECK_SAY(strstr(error, path) != NULL, "\"%s\" lacks the path", error);
    CHECK_SAY(error[0] != '\0' && error[strlen(error) - 1] == '.', "\"%s\" is no sentence", error);
}

/* A struct of an older version ends earlier: what follows is not read, and has its default. */
static void test_options_of_another_size(void) {
    char error[600] = "";
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    entrol_llama *llama = NULL;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true});
    options.n_ctx = 64;
    options.n_batch = 7;
    options.chat_template = (const char *)1; /* no address */
    options.size = offsetof(entrol_llama_options, n_batch);
    CHECK_INT(entrol_llama_open(&llama, error, sizeof error, &options), ENTROL_OK);
    CHECK_INT(entrol_llama_n_ctx(llama), 64);
    CHECK_INT(entrol_llama_n_batch(llama), 64); /* 128, but not more than the context */
    entrol_llama_close(llama);
    options.size = 0;
    CHECK_INT(entrol_llama_open(&llama, error, sizeof error, &options), ENTROL_ERROR_ARGUMENT);
    CHECK_STRING(error, "the options have no size.");
}

static void test_files_that_are_no_models(void) {
    check_refusal("/nonexistent/model.gguf", ENTROL_ERROR_SYSTEM, "No such file");
    check_refusal("/tmp", ENTROL_ERROR_ARGUMENT, "a directory");
    check_refusal("/dev/null", ENTROL_ERROR_ARGUMENT, "no regular file");
    check_refusal(write_file("", 0), ENTROL_ERROR_ARGUMENT, "empty");
    check_refusal(write_file("GGU", 3), ENTROL_ERROR_ARGUMENT, "begins with \"GGU\"");
    check_refusal(write_file("PK\x03\x04zip.", 8), ENTROL_ERROR_ARGUMENT,
                  "begins with \"PK\\x03\\x04zip.\" (a zip archive");
    check_refusal(write_file("version https://git-lfs", 23), ENTROL_ERROR_ARGUMENT, "Git LFS pointer");
    check_refusal(write_file("Hello, world", 12), ENTROL_ERROR_ARGUMENT, "instead of \"GGUF\"");
    check_refusal(write_file("GGUF", 4), ENTROL_ERROR_ARGUMENT, "truncated or damaged");
    unlink(path_buffer);
}

static void test_file_without_permission(void) {
    const uid_t user = geteuid(), nobody = 65534;
    chmod(write_file("GGUF", 4), 0);
    if (user == 0 && seteuid(nobody) != 0) {
        test_skip("root may read everything");
    } else {
        check_refusal(path_buffer, ENTROL_ERROR_SYSTEM, "Permission denied");
        CHECK(seteuid(user) == 0);
    }
    unlink(path_buffer);
}

static void test_no_arguments(void) {
    char error[64] = "";
    entrol_llama *llama;
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    CHECK(entrol_llama_open(&llama, error, sizeof error, NULL) == ENTROL_ERROR_ARGUMENT);
    CHECK(entrol_llama_open(&llama, NULL, 0, &options) == ENTROL_ERROR_ARGUMENT);
    options.model_path = "/nonexistent";
    CHECK(entrol_llama_open(&llama, NULL, 0, &options) == ENTROL_ERROR_SYSTEM);
    CHECK(entrol_llama_open(&llama, error, 5, &options) == ENTROL_ERROR_SYSTEM);
    CHECK_INT(strlen(error), 4);
    entrol_llama_close(NULL);
}

/* An embedding model loads, but says nothing about a next token. */
static void test_embedding_model(void) {
    const char *path = tiny_model_write(&(tiny_model){.is_embedding = true, .wants_bos = true});
    check_refusal(path, ENTROL_ERROR_UNSUPPORTED, "no decoder");
}

static void test_sizes_that_cannot_be(void) {
    entrol_llama *llama;
    char error[300];
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true});
    options.n_ctx = 3;
    CHECK(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_ERROR_ARGUMENT);
    CHECK(strstr(error, "a context of 3 tokens") != NULL);
    options.n_ctx = UINT32_MAX;
    CHECK(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_ERROR_ARGUMENT);
    options.n_ctx = 16;
    options.n_seq_max = 1000000;
    CHECK(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_ERROR_ARGUMENT);
}

static void test_defaults(void) {
    entrol_llama *llama;
    char error[300];
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = tiny_model_write(&(tiny_model){.wants_bos = true});
    if (!CHECK(entrol_llama_open(&llama, error, sizeof error, &options) == ENTROL_OK)) {
        return;
    }
    CHECK_INT(entrol_llama_n_ctx(llama), 256); /* the model's own, less than 2048 */
    CHECK(entrol_llama_n_batch(llama) <= 256);
    CHECK_INT(entrol_llama_n_ubatch(llama), entrol_llama_n_batch(llama));
    CHECK_INT(entrol_llama_wants_bos(llama), 1);
    CHECK_INT(entrol_llama_bos(llama), TINY_BOS);
    CHECK(strstr(entrol_llama_description(llama), "llama") != NULL);
    CHECK(entrol_llama_version()[0] != '\0');
    CHECK_STRING(entrol_llama_error(llama), "");
    entrol_llama_close(llama);
}

/* Runs the function in a child: what it does to the process stays there. Returns its exit code, -signal if killed. */
static int in_child(int (*function)(void *), void *argument) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        _exit(function(argument));
    }
    int state = 0;
    waitpid(child, &state, 0);
    return WIFSIGNALED(state) ? -WTERMSIG(state) : WEXITSTATUS(state);
}

static int open_truncated(void *argument) {
    char error[600] = "";
    const entrol_status status = try_open(argument, error, sizeof error);
    const bool good = status < 0 && error[0] != '\0' && error[strlen(error) - 1] == '.' &&
                      strstr(error, "llama.cpp says \"\"") == NULL;
    return good ? 0 : 1;
}

static size_t read_file(unsigned char **bytes, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!CHECK(file != NULL)) {
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    const size_t size = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(size);
    const size_t n_read = fread(*bytes, 1, size, file);
    CHECK_INT(n_read, size);
    fclose(file);
    return size;
}

static void check_truncation(const unsigned char *bytes, size_t size, size_t length) {
    const int code = in_child(open_truncated, (void *)(uintptr_t)write_file(bytes, length));
    CHECK_SAY(code == 0, "the first %zu of %zu bytes: %s %d", length, size, code < 0 ? "killed by signal" : "exit code",
              code < 0 ? -code : code);
}

static void test_truncated_tiny_model(void) {
    unsigned char *bytes;
    const size_t size = read_file(&bytes, tiny_model_write(&(tiny_model){.wants_bos = true}));
    for (size_t length = 1; length < 64; length++) {
        check_truncation(bytes, size, length);
    }
    for (size_t i = 0; i < 150; i++) {
        check_truncation(bytes, size, 64 + test_below(size - 64));
    }
    check_truncation(bytes, size, size - 1);
    free(bytes);
    unlink(path_buffer);
}

static void test_truncated_real_model(void) {
    const char *path = getenv("ENTROL_MODEL");
    if (path == NULL) {
        test_skip("ENTROL_MODEL is not set");
        return;
    }
    unsigned char *bytes;
    const size_t size = read_file(&bytes, path);
    for (size_t i = 0; i < 24; i++) { /* its metadata, with the vocabulary, is some megabytes */
        check_truncation(bytes, size, test_below(8u << 20));
    }
    check_truncation(bytes, size, size / 2);
    check_truncation(bytes, size, size - 1);
    free(bytes);
    unlink(path_buffer);
}

/* Opens with little room left: must come back with a sentence, whatever part of llama.cpp runs out. */
static int open_in_little_memory(void *argument) {
    const struct rlimit limit = {*(const size_t *)argument, *(const size_t *)argument};
    setrlimit(RLIMIT_AS, &limit);
    char error[600] = "";
    entrol_llama_options options = ENTROL_LLAMA_OPTIONS_INIT;
    options.model_path = getenv("ENTROL_MODEL");
    options.n_ctx = 32768;
    options.n_threads = 1;
    entrol_llama *llama = NULL;
    const entrol_status status = entrol_llama_open(&llama, error, sizeof error, &options);
    if (status == ENTROL_OK) {
        return 2;
    }
    return status == ENTROL_ERROR_MEMORY && strstr(error, "not enough memory") != NULL ? 0
                                                                                       : (puts(error), fflush(NULL), 1);
}

/* The sanitizers reserve terabytes of addresses, so no limit on them can be set. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_ADDRESS_LIMIT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_ADDRESS_LIMIT 0
#endif
#endif
#ifndef HAS_ADDRESS_LIMIT
#define HAS_ADDRESS_LIMIT 1
#endif

static void test_not_enough_memory(void) {
    if (!HAS_ADDRESS_LIMIT) {
        test_skip("the sanitizer allows no limit on addresses");
        return;
    }
    if (getenv("ENTROL_MODEL") == NULL) {
        test_skip("ENTROL_MODEL is not set");
        return;
    }
    for (size_t megabytes = 150; megabytes <= 900; megabytes += 50) {
        size_t limit = megabytes << 20;
        const int code = in_child(open_in_little_memory, &limit);
        /* At some limits the allocation that fails is one that llama.cpp asserts: it aborts, which the command turns
         * into a message (cli/abort_message.h) and a library cannot. */
        CHECK_SAY(code == 0 || code == 2 || code == -SIGABRT, "%zu MiB: %s %d", megabytes,
                  code < 0 ? "killed by signal" : "exit code", code < 0 ? -code : code);
    }
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    /* These fork, so they come before anything starts threads. */
    TEST(test_truncated_tiny_model);
    TEST(test_truncated_real_model);
    TEST(test_not_enough_memory);
    TEST(test_options_of_another_size);
    TEST(test_files_that_are_no_models);
    TEST(test_file_without_permission);
    TEST(test_no_arguments);
    TEST(test_embedding_model);
    TEST(test_sizes_that_cannot_be);
    TEST(test_defaults);
    return test_end();
}
