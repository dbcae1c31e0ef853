/* PATH.part, renamed to PATH when everything is written and on the disk. What is no plain file (a terminal, a pipe,
 * /dev/null) is written directly. */
#include "output.h"
#include "buffer.h"
#include "open_files.h"
#include "temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { BUFFER_SIZE = 1 << 16 };

struct output {
    int fd;
    char *path, *part; /* part is NULL where the bytes go straight to path */
    char *buffer;      /* NULL: written at once */
    size_t n_buffered;
    mode_t mode;   /* of the file that is replaced; 0: there is none */
    bool has_tail; /* after where it stands are bytes of an earlier run, to be dropped once there is more to write */
};

static bool report_write(const output *output, trouble *trouble) {
    return trouble_set(trouble, "cannot write %s: %s", output->path,
                       errno == EPIPE ? "its reader has closed it" : strerror(errno));
}

static void output_free(output *output) {
    if (output->fd > STDERR_FILENO)
        close(output->fd);
    free(output->path);
    free(output->part);
    free(output->buffer);
    free(output);
}

static output *output_new(const char *path, trouble *trouble) {
    output *made = calloc(1, sizeof *made);
    if (made) {
        made->fd = -1;
        made->path = strdup(path);
    }
    if (made && made->path)
        return made;
    if (made)
        output_free(made);
    trouble_set(trouble, "cannot write %s: out of memory", path);
    return NULL;
}

char *output_real_path(const char *path) {
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT)
        return real;
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return strdup(path);
    target[n] = 0;
    const char *slash = target[0] != '/' ? strrchr(path, '/') : NULL;
    buffer next = {0};
    buffer_append(&next, path, slash ? (size_t)(slash - path) + 1 : 0);
    buffer_append_string(&next, target);
    real = next.failed ? NULL : output_real_path(next.data); /* a circle of links is ELOOP above */
    buffer_free(&next);
    return real;
}

/* Refuses what cannot be replaced; follows a link, so that the file behind it is replaced and not the link. */
static bool look_at_target(output *output, bool *is_plain, trouble *trouble) {
    struct stat status = {0};
    if (output->path[0] == '\0')
        return trouble_set(trouble, "cannot write \"\": expected the name of a file");
    if (output->path[strlen(output->path) - 1] == '/')
        return trouble_set(trouble, "cannot write %s: expected a file, found the name of a directory", output->path);
    bool exists = stat(output->path, &status) == 0;
    if (exists && S_ISDIR(status.st_mode))
        return trouble_set(trouble, "cannot write %s: it is a directory", output->path);
    if (exists && open_files_is_input(&status))
        return trouble_set(trouble, "cannot write %s: it is being read", output->path);
    *is_plain = !exists || S_ISREG(status.st_mode);
    if (!*is_plain)
        return true;
    output->mode = status.st_mode & 07777;
    char *real = output_real_path(output->path);
    if (!real)
        return report_write(output, trouble);
    free(output->path);
    output->path = real;
    return true;
}

static bool open_part(output *output, trouble *trouble) {
    size_t n = strlen(output->path);
    output->part = malloc(n + sizeof ".part");
    output->buffer = malloc(BUFFER_SIZE);
    if (!output->part || !output->buffer)
        return trouble_set(trouble, "cannot write %s: out of memory", output->path);
    memcpy(output->part, output->path, n);
    memcpy(output->part + n, ".part", sizeof ".part");
    output->fd = open(output->part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    struct stat status;
    if (output->fd < 0 || fstat(output->fd, &status) != 0)
        return trouble_set(trouble, "cannot write %s: %s", output->path, strerror(errno));
    if (open_files_is_input(&status))
        return trouble_set(trouble, "cannot write %s: it is being read", output->part);
    if (flock(output->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return trouble_set(trouble, "cannot write %s: another process is writing it", output->part);
    return true;
}

/* What is gone on with must be there: ftruncate would fill up with zeros. */
static bool check_part(const output *output, uint64_t n_bytes, trouble *trouble) {
    struct stat status;
    if (fstat(output->fd, &status) != 0)
        return report_write(output, trouble);
    return (uint64_t)status.st_size >= n_bytes ||
           trouble_set(trouble, "cannot go on with %s: expected %llu bytes or more, found %lld", output->part,
                       (unsigned long long)n_bytes, (long long)status.st_size);
}

/* What an interrupted run has made may have taken hours: it has a state beside it, which says how to go on. */
static bool check_unfinished(const output *output, trouble *trouble) {
    struct stat status;
    buffer state = {0};
    buffer_append_format(&state, "%s" OUTPUT_STATE, output->part);
    if (state.failed)
        return trouble_set(trouble, "cannot write %s: out of memory", output->path);
    bool is_unfinished = fstat(output->fd, &status) == 0 && status.st_size > 0 && access(state.data, F_OK) == 0;
    buffer_free(&state);
    return !is_unfinished || trouble_set(trouble,
                                         "cannot write %s: %s holds what an interrupted run has done; the same command "
                                         "with --resume goes on from there, or remove it to begin anew",
                                         output->path, output->part);
}

static bool drop_tail(output *output, trouble *trouble) {
    off_t end = output->has_tail ? lseek(output->fd, 0, SEEK_CUR) : 0;
    if (output->has_tail && (end < 0 || ftruncate(output->fd, end) != 0))
        return report_write(output, trouble);
    output->has_tail = false;
    return true;
}

/* `resumes`: the first n_bytes of the part stay. */
static output *open_file(const char *path, bool resumes, uint64_t n_bytes, trouble *trouble) {
    output *made = output_new(path, trouble);
    bool is_plain = false;
    if (!made)
        return NULL;
    bool ok = look_at_target(made, &is_plain, trouble);
    if (ok && is_plain) {
        ok = open_part(made, trouble) &&
             (resumes ? check_part(made, n_bytes, trouble) : check_unfinished(made, trouble));
        made->has_tail = true;
        if (ok && lseek(made->fd, (off_t)n_bytes, SEEK_SET) != (off_t)n_bytes)
            ok = report_write(made, trouble);
        ok = ok && (resumes || drop_tail(made, trouble));
    } else if (ok) {
        made->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (made->fd < 0)
            ok = report_write(made, trouble);
    }
    if (ok)
        return made;
    output_free(made); /* a .part of someone else, or of an earlier run, stays */
    return NULL;
}

output *output_open(const char *path, trouble *trouble) {
    if (path && strcmp(path, "-") != 0)
        return open_file(path, false, 0, trouble);
    output *made = output_new("standard output", trouble);
    if (made)
        made->fd = STDOUT_FILENO;
    return made;
}

output *output_open_temporary(int *fd, trouble *trouble) {
    output *made = output_new("a temporary file (TMPDIR says where)", trouble);
    if (!made)
        return NULL;
    made->buffer = malloc(BUFFER_SIZE);
    if (!made->buffer)
        trouble_set(trouble, "out of memory");
    *fd = made->fd = made->buffer ? temporary_open(trouble) : -1;
    if (made->fd >= 0)
        return made;
    output_free(made);
    return NULL;
}

output *output_resume(const char *path, uint64_t n_bytes, trouble *trouble) {
    output *made = open_file(path, true, n_bytes, trouble);
    if (made && !made->part) {
        trouble_set(trouble, "cannot go on with %s: it is no plain file", path);
        output_free(made);
        return NULL;
    }
    return made;
}

static bool write_out(output *output, const char *bytes, size_t n_bytes, trouble *trouble) {
    if (n_bytes > 0 && !drop_tail(output, trouble))
        return false;
    while (n_bytes > 0) {
        ssize_t n = write(output->fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return report_write(output, trouble);
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool output_flush(output *output, trouble *trouble) {
    size_t n = output->n_buffered;
    output->n_buffered = 0;
    return write_out(output, output->buffer, n, trouble);
}

bool output_write(output *output, const void *bytes, size_t n_bytes, trouble *trouble) {
    if (!output->buffer)
        return write_out(output, bytes, n_bytes, trouble);
    if (n_bytes > BUFFER_SIZE - output->n_buffered && !output_flush(output, trouble))
        return false;
    if (n_bytes > BUFFER_SIZE)
        return write_out(output, bytes, n_bytes, trouble);
    if (n_bytes > 0)
        memcpy(output->buffer + output->n_buffered, bytes, n_bytes);
    output->n_buffered += n_bytes;
    return true;
}

/* The new name itself must reach the disk too. Not every file system can do it: then the rename is as safe as it
 * gets. */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static bool put_into_place(output *output, trouble *trouble) {
    struct stat status;
    if (stat(output->path, &status) == 0 && open_files_is_input(&status))
        return trouble_set(trouble, "cannot write %s: it was read; the result is not kept", output->path);
    if (output->mode && fchmod(output->fd, output->mode) != 0)
        return report_write(output, trouble);
    if (fsync(output->fd) != 0 || rename(output->part, output->path) != 0)
        return report_write(output, trouble);
    sync_folder(output->path);
    return true;
}

bool output_commit(output *output, bool keep_part, trouble *trouble) {
    bool ok = output_flush(output, trouble) && drop_tail(output, trouble);
    if (ok && output->part)
        ok = put_into_place(output, trouble);
    if (!ok && output->part && !keep_part)
        unlink(output->part);
    output_free(output);
    return ok;
}

void output_abandon(output *output, bool keep_part) {
    if (!output)
        return;
    trouble ignored; /* why it is abandoned is being reported already */
    if (output->part && keep_part)
        (void)output_flush(output, &ignored);
    else if (output->part)
        unlink(output->part);
    output_free(output);
}

bool output_whole(const char *path, const void *bytes, size_t n_bytes, trouble *trouble) {
    output *output = output_open(path, trouble);
    if (!output)
        return false;
    if (output_write(output, bytes, n_bytes, trouble))
        return output_commit(output, false, trouble);
    output_abandon(output, false);
    return false;
}
