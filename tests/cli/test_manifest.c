/* Manifests: the hash against the standard's vectors, and what was written is read back. */
#include "harness.h"
#include "formats/manifest.h"

#include <unistd.h>

static char path[] = "/tmp/entrol-manifest-XXXXXX";

static void write_path(const char *name, const char *text) {
    FILE *file = fopen(name, "wb");
    if (CHECK(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
}

/* FIPS 180-2, appendix B.1 and B.3, and the empty message. */
static void test_hashes(void) {
    char hex[65], *million = malloc(1000001);
    trouble trouble = {""};
    write_path(path, "abc");
    CHECK(manifest_hash_file(hex, path, &trouble));
    CHECK_STRING(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    write_path(path, "");
    CHECK(manifest_hash_file(hex, path, &trouble));
    CHECK_STRING(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    memset(million, 'a', 1000000);
    million[1000000] = 0;
    write_path(path, million);
    CHECK(manifest_hash_file(hex, path, &trouble));
    CHECK_STRING(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
    CHECK(!manifest_hash_file(hex, "/nonexistent", &trouble));
    CHECK(strstr(trouble.text, "/nonexistent: No such file") != NULL);
}

static void test_written_and_read(void) {
    char program[] = "entrol", broken[] = "a\xFF\"", *arguments[] = {program, broken};
    char name[64];
    trouble trouble = {""};
    snprintf(name, sizeof name, "%s.manifest.json", path);
    json_t *manifest = manifest_new(2, arguments);
    json_object_set_new(manifest, "threshold", json_real(0.1));
    CHECK_SAY(manifest_write(manifest, path, &trouble), "%s", trouble.text);
    json_decref(manifest);
    manifest = manifest_read(path, &trouble);
    if (CHECK_SAY(manifest != NULL, "%s", trouble.text)) {
        const json_t *command = json_object_get(manifest, "command");
        CHECK_STRING(json_string_value(json_array_get(command, 1)), "a\xEF\xBF\xBD\"");
        CHECK_STRING(json_string_value(json_object_get(manifest, "unit")), "nat");
        CHECK_NEAR(json_real_value(json_object_get(manifest, "threshold")), 0.1, 0);
    }
    json_decref(manifest);
    write_path(name, "{\n\"entrol\": 1,\n}");
    CHECK(manifest_read(path, &trouble) == NULL);
    CHECK_SAY(strstr(trouble.text, ".manifest.json:3: broken JSON at column 1") != NULL, "%s", trouble.text);
    unlink(name);
    CHECK(manifest_read(path, &trouble) == NULL);
    CHECK_STRING(trouble.text, "");
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    TEST(test_hashes);
    TEST(test_written_and_read);
    unlink(path);
    return test_end();
}
