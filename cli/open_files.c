/* The list of inputs: device and inode of each file that was opened for reading. */
#include "open_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct identity {
    dev_t device;
    ino_t inode;
} identity;

static identity *inputs;
static size_t n_inputs, inputs_capacity;

bool open_files_is_plain(const char *path) {
    struct stat status;
    return strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool open_files_is_input(const struct stat *status) {
    for (size_t i = 0; i < n_inputs; i++)
        if (inputs[i].device == status->st_dev && inputs[i].inode == status->st_ino)
            return true;
    return false;
}

void open_files_note(const struct stat *status) {
    if (!S_ISREG(status->st_mode) || open_files_is_input(status))
        return;
    if (n_inputs == inputs_capacity) {
        size_t capacity = inputs_capacity ? 2 * inputs_capacity : 16;
        identity *grown = realloc(inputs, capacity * sizeof *inputs);
        if (!grown)
            return; /* a check less; nothing else depends on it */
        inputs = grown;
        inputs_capacity = capacity;
    }
    inputs[n_inputs++] = (identity){status->st_dev, status->st_ino};
}

static bool refuse_directory(const char *name, const struct stat *status, trouble *trouble) {
    return !S_ISDIR(status->st_mode) ||
           trouble_set(trouble, "cannot read %s: expected a file, found a directory", name);
}

bool open_files_look(const char *path, struct stat *status, trouble *trouble) {
    bool is_standard = strcmp(path, "-") == 0;
    const char *name = is_standard ? "standard input" : path;
    if (is_standard ? fstat(STDIN_FILENO, status) != 0 : stat(path, status) != 0 || access(path, R_OK) != 0)
        return trouble_set(trouble, "cannot read %s: %s", name, strerror(errno));
    open_files_note(status);
    return refuse_directory(name, status, trouble);
}

int open_files_read(const char *path, struct stat *status, trouble *trouble) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        trouble_set(trouble, "cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    bool ok = fstat(fd, status) == 0;
    if (!ok)
        trouble_set(trouble, "cannot read %s: %s", path, strerror(errno));
    if (!ok || !refuse_directory(path, status, trouble)) {
        close(fd);
        return -1;
    }
    open_files_note(status);
    return fd;
}
