/* Made with a random name and unlinked at once. */
#include "temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *folder(void) {
    const char *name = getenv("TMPDIR");
    return name && *name ? name : "/tmp";
}

int temporary_open(trouble *trouble) {
    char path[4096];
    int fd = -1;
    if (snprintf(path, sizeof path, "%s/entrol-XXXXXX", folder()) >= (int)sizeof path)
        errno = ENAMETOOLONG;
    else
        fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        trouble_set(trouble, "cannot make a temporary file in %.200s (TMPDIR says where): %s", folder(),
                    strerror(errno));
    else
        unlink(path);
    return fd;
}

bool temporary_trouble(trouble *trouble) {
    return trouble_set(trouble, "cannot write a temporary file in %.200s (TMPDIR says where): %s", folder(),
                       strerror(errno));
}

bool temporary_write(int fd, const void *bytes, size_t n_bytes, trouble *trouble) {
    const char *next = bytes;
    while (n_bytes > 0) {
        ssize_t n = write(fd, next, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return temporary_trouble(trouble);
        next += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

ssize_t temporary_read(int fd, void *bytes, size_t n_bytes, uint64_t place, trouble *trouble) {
    size_t n = 0;
    while (n < n_bytes) {
        const ssize_t n_read = pread(fd, (char *)bytes + n, n_bytes - n, (off_t)(place + n));
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read < 0) {
            trouble_set(trouble, "a temporary file cannot be read: %s", strerror(errno));
            return -1;
        }
        if (n_read == 0)
            break;
        n += (size_t)n_read;
    }
    return (ssize_t)n;
}
