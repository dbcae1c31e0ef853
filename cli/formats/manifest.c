/* The manifest: a JSON object, a member a line. SHA-256 is libcrypto's. */
#include "manifest.h"
#include "../json_text.h"
#include "../open_files.h"
#include "../output.h"

#include <entrol/base.h>

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char SUFFIX[] = ".manifest.json";
static const size_t MAX_SIZE = (size_t)16 << 20;

json_t *manifest_new(int argc, char **argv) {
    json_t *manifest = json_object(), *command = json_array();
    for (int i = 0; i < argc; i++)
        json_array_append_new(command, json_string_of(argv[i]));
    json_object_set_new(manifest, "entrol", json_string(entrol_version()));
    json_object_set_new(manifest, "command", command);
    json_object_set_new(manifest, "unit", json_string("nat"));
    return manifest;
}

static bool hash_descriptor(EVP_MD_CTX *hash, int fd, const char *path, trouble *trouble) {
    enum { CHUNK = 1 << 20 };
    unsigned char *chunk = malloc(CHUNK);
    bool ok = chunk || trouble_set(trouble, "%s: out of memory", path);
    while (ok) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            ok = n == 0 || trouble_set(trouble, "cannot read %s: %s", path, strerror(errno));
            break;
        }
        ok = EVP_DigestUpdate(hash, chunk, (size_t)n) == 1 || trouble_set(trouble, "%s: SHA-256 failed", path);
    }
    free(chunk);
    return ok;
}

bool manifest_hash(unsigned char hash[32], const void *bytes, size_t n_bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(bytes, n_bytes, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    memcpy(hash, digest, 32);
    return true;
}

bool manifest_hash_file(char hex[65], const char *path, trouble *trouble) {
    struct stat status;
    int fd = open_files_read(path, &status, trouble);
    if (fd < 0)
        return false;
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1) ||
              trouble_set(trouble, "%s: SHA-256 is not available", path);
    ok = ok && hash_descriptor(hash, fd, path, trouble);
    if (ok && EVP_DigestFinal_ex(hash, digest, NULL) != 1)
        ok = trouble_set(trouble, "%s: SHA-256 failed", path);
    EVP_MD_CTX_free(hash);
    close(fd);
    for (size_t i = 0; ok && i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return ok;
}

/* PATH.manifest.json, malloc'd. */
static char *manifest_path(const char *path, trouble *trouble) {
    size_t n = strlen(path);
    char *made = malloc(n + sizeof SUFFIX);
    if (!made) {
        trouble_set(trouble, "%s: out of memory", path);
        return NULL;
    }
    memcpy(made, path, n);
    memcpy(made + n, SUFFIX, sizeof SUFFIX);
    return made;
}

static void append_manifest(buffer *text, const json_t *manifest) {
    const char *separator = "{\n  ", *key;
    json_t *value;
    json_object_foreach((json_t *)manifest, key, value) {
        buffer_append_string(text, separator);
        buffer_append_json_string(text, key, strlen(key));
        buffer_append_string(text, ": ");
        json_append(text, value);
        separator = ",\n  ";
    }
    buffer_append_string(text, *separator == '{' ? "{}\n" : "\n}\n");
}

bool manifest_write(const json_t *manifest, const char *path, trouble *trouble) {
    buffer text = {0};
    append_manifest(&text, manifest);
    char *name = manifest_path(path, trouble);
    const bool ok = name && (!text.failed || trouble_set(trouble, "%s: out of memory", name)) &&
                    output_whole(name, text.data, text.size, trouble);
    buffer_free(&text);
    free(name);
    return ok;
}

json_t *manifest_read_input(input *input, trouble *trouble) {
    char *text;
    size_t n;
    if (!input_all(input, &text, &n, MAX_SIZE, trouble))
        return NULL;
    json_t *manifest = json_read_object(input_name(input), 0, text, n, trouble);
    free(text);
    return manifest;
}

json_t *manifest_of_output(const char *path) {
    trouble ignored;
    char *name = manifest_path(path, &ignored);
    json_t *manifest = name ? json_load_file(name, 0, NULL) : NULL;
    free(name);
    return manifest;
}

json_t *manifest_read(const char *path, trouble *trouble) {
    trouble->text[0] = 0;
    char *name = manifest_path(path, trouble);
    if (!name || access(name, F_OK) != 0) {
        free(name);
        return NULL;
    }
    input *input = input_open(name, trouble);
    json_t *manifest = input ? manifest_read_input(input, trouble) : NULL;
    input_close(input);
    free(name);
    return manifest;
}
