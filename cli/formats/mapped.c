/* Mapping what can be mapped, unpacking the rest. */
#include "mapped.h"
#include "../temporary.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Unpacks an input to a temporary file: its descriptor, or -1. */
static int unpack(input *input, trouble *trouble) {
    int fd = temporary_open(trouble);
    bool ok = fd >= 0;
    while (ok) {
        char bytes[1 << 16];
        ssize_t n = input_read(input, bytes, sizeof bytes, trouble);
        if (n == 0)
            return fd;
        ok = n > 0 && temporary_write(fd, bytes, (size_t)n, trouble);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool map(mapped *mapped, int fd, const char *name, trouble *trouble) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return trouble_set(trouble, "cannot read %s: %s", name, strerror(errno));
    if (status.st_size == 0)
        return true;
    void *mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping == MAP_FAILED)
        return trouble_set(trouble, "cannot map %s: %s", name, strerror(errno));
    mapped->mapping = mapping;
    mapped->bytes = mapping;
    mapped->n_bytes = (size_t)status.st_size;
    return true;
}

bool mapped_open(mapped *mapped, input *input, trouble *trouble) {
    int plain = input_descriptor(input), fd = plain >= 0 ? plain : unpack(input, trouble);
    if (fd < 0)
        return false;
    bool ok = map(mapped, fd, input_name(input), trouble);
    if (fd != plain)
        close(fd);
    return ok;
}

void mapped_close(mapped *mapped) {
    if (mapped->mapping)
        munmap(mapped->mapping, mapped->n_bytes);
    *mapped = (struct mapped){0};
}
