/* Diversity where memory is out, and where there is more than can be counted. */
#include "harness.h"
#include "diversity/diversity.h"

#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

static int n_allowed;

static void *allocate_some(size_t n_bytes) {
    return n_allowed-- > 0 ? malloc(n_bytes) : NULL;
}

/* One prompt of one sample. */
static void print(buffer *out) {
    static size_t sizes[1] = {1};
    static diversity_values values[1];
    static prompt prompts[1];
    const diversity_result result = {.name = "a", .n_prompts = 1, .sizes = sizes, .prompts = values};
    const diversity_samples samples = {.prompts = {.items = prompts}};
    diversity_print_json(out, &result, &samples);
}

/* A line is whole, or it has failed. */
static void test_json_without_memory(void) {
    buffer whole = {0};
    print(&whole);
    CHECK_SAY(!whole.failed && strstr(whole.data, "\"of_prompts\": [{") != NULL, "%d %s", whole.failed, whole.data);
    int n_failed = 0;
    json_set_alloc_funcs(allocate_some, free);
    for (bool is_whole = false; !is_whole; n_failed++) {
        buffer out = {0};
        n_allowed = n_failed;
        print(&out);
        is_whole = out.data != NULL && strcmp(out.data, whole.data) == 0;
        CHECK_SAY(is_whole != out.failed, "after %d allocations: %s", n_failed, out.data != NULL ? out.data : "");
        buffer_free(&out);
    }
    json_set_alloc_funcs(malloc, free);
    CHECK(n_failed > 100);
    buffer_free(&whole);
}

static char *write_line(void) {
    static char path[] = "/tmp/entrol_test_XXXXXX";
    static const char line[] = "{\"prompt\": \"p\", \"text\": \"a b\", \"token_id\": [1, 2]}\n";
    const int fd = mkstemp(path);
    if (!CHECK(fd >= 0 && write(fd, line, sizeof line - 1) == (ssize_t)sizeof line - 1))
        exit(1);
    close(fd);
    return path;
}

static void check_many(uint32_t *room, const char *path, const char *of, bool fits) {
    const diversity_settings settings = {.of = of};
    diversity_samples samples = {.units = room, .n_units = UINT32_MAX - (fits ? 3 : 2), .unit_capacity = SIZE_MAX};
    diversity_units units = {0};
    trouble trouble = {""};
    const bool ok = diversity_samples_read(&samples, &units, NULL, &settings, path, &trouble);
    CHECK_SAY(ok == fits, "%s: %s", of, trouble.text);
    CHECK(fits || strstr(trouble.text, ":1: expected fewer than 4294967295 tokens or words in a file, found more"));
    samples.units = NULL;
    diversity_samples_free(&samples);
}

/* Room for all of them that is never touched but at its end. */
static void test_more_units_than_can_be_counted(void) {
    const size_t n_bytes = ((size_t)UINT32_MAX + 1) * sizeof(uint32_t);
    uint32_t *room = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        test_skip("there is no address space");
        return;
    }
    char *path = write_line();
    for (int fits = 0; fits < 2; fits++) {
        check_many(room, path, "words", fits);
        check_many(room, path, "tokens", fits);
    }
    remove(path);
    munmap(room, n_bytes);
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_json_without_memory);
    TEST(test_more_units_than_can_be_counted);
    return test_end();
}
