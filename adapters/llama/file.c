/* A look at a model file before llama.cpp gets it: the errors that people make most, each in its own words. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the first bytes of files that people take for models say. */
static const struct {
    const char *bytes;
    const char *name;
} foreign_files[] = {
    {"PK\x03\x04", "a zip archive, such as a PyTorch checkpoint or a wheel"},
    {"\x1f\x8b", "a gzip file"},
    {"\x28\xb5\x2f\xfd", "a zstd file"},
    {"ggml", "a GGML file from before GGUF"},
    {"ggjt", "a GGML file from before GGUF"},
    {"lmgg", "a GGML file from before GGUF"},
    {"tjgg", "a GGML file from before GGUF"},
    {"vers", "probably a Git LFS pointer, not the file itself"},
    {"<!DO", "an HTML page"},
    {"<htm", "an HTML page"},
};

static const char *foreign_name(const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < sizeof foreign_files / sizeof *foreign_files; i++) {
        const size_t size = strlen(foreign_files[i].bytes);
        if (n_bytes >= size && memcmp(bytes, foreign_files[i].bytes, size) == 0) {
            return foreign_files[i].name;
        }
    }
    return NULL;
}

/* Printable ASCII as it is, everything else as \xNN. `text` has room for 4 characters a byte and a NUL. */
static void escape(char *text, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        const unsigned char byte = (unsigned char)bytes[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            *text++ = (char)byte;
        } else {
            text += snprintf(text, 5, "\\x%02x", byte);
        }
    }
    *text = '\0';
}

static entrol_status not_gguf(char *error, size_t error_size, const char *path, const char *bytes, size_t n_bytes) {
    char shown[33];
    escape(shown, bytes, n_bytes);
    const char *name = foreign_name(bytes, n_bytes);
    snprintf(error, error_size, "'%s' is not a GGUF file: it begins with \"%s\"%s%s%s.", path, shown,
             name != NULL ? " (" : " instead of \"GGUF\"", name != NULL ? name : "", name != NULL ? ")" : "");
    return ENTROL_ERROR_ARGUMENT;
}

static entrol_status check_bytes(char *error, size_t error_size, const char *path, int file) {
    char bytes[8];
    const ssize_t n_read = read(file, bytes, sizeof bytes);
    if (n_read < 0) {
        snprintf(error, error_size, "cannot read the model '%s': %s.", path, strerror(errno));
        return ENTROL_ERROR_SYSTEM;
    }
    if (n_read == 0) {
        snprintf(error, error_size, "'%s' is not a GGUF file: it is empty.", path);
        return ENTROL_ERROR_ARGUMENT;
    }
    if (n_read < 4 || memcmp(bytes, "GGUF", 4) != 0) {
        return not_gguf(error, error_size, path, bytes, (size_t)n_read);
    }
    return ENTROL_OK;
}

entrol_status ent_gguf_check(char *error, size_t error_size, const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) {
        snprintf(error, error_size, "cannot open the model '%s': %s.", path, strerror(errno));
        return ENTROL_ERROR_SYSTEM;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(error, error_size, "the model '%s' is %s, not a GGUF file.", path,
                 S_ISDIR(status.st_mode) ? "a directory" : "no regular file");
        return ENTROL_ERROR_ARGUMENT;
    }
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        snprintf(error, error_size, "cannot open the model '%s': %s.", path, strerror(errno));
        return ENTROL_ERROR_SYSTEM;
    }
    const entrol_status result = check_bytes(error, error_size, path, file);
    close(file);
    return result;
}
