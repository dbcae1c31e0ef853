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
