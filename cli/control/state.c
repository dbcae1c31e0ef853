/* A controller's state in a file, which is written in place before each answer.
 *
 * A state has fewer bytes than a page, and is one write: a process that is killed has written all of it or nothing.
 * What replaces a file by another name would wait for the disk each time, some milliseconds on ext4, where this takes
 * microseconds; but a machine that fails may lose the last steps of a run that has not ended. */
#include "control.h"

#include "../message.h"
#include "../output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The line, from 1, in which byte `at` of a text is, and that line. */
static size_t find_line(const char *text, size_t n_bytes, size_t at, const char **line, size_t *n_line) {
    size_t number = 1, start = 0;
    for (size_t i = 0; i < at && i < n_bytes; i++)
        if (text[i] == '\n') {
            number++;
            start = i + 1;
        }
    const char *end = start < n_bytes ? memchr(text + start, '\n', n_bytes - start) : NULL;
    *line = text + start;
    *n_line = end != NULL ? (size_t)(end - *line) : n_bytes - start;
    return number;
}

/* What the same line is in the controller's own state. */
static void find_own_line(const char *text, size_t number, const char **line, size_t *n_line) {
    for (; number > 1 && *text != '\0'; number--)
        text += strcspn(text, "\n") + 1;
    *line = text;
    *n_line = strcspn(text, "\n");
}

static bool report_text(const entrol_controller *controller, const char *path, const char *text, size_t n_bytes,
                        size_t at, trouble *trouble) {
    char own[ENTROL_CONTROLLER_STATE_ROOM];
    const char *found, *expected;
    size_t n_found, n_expected;
    const size_t number = find_line(text, n_bytes, at, &found, &n_found);
    if (entrol_controller_save(own, NULL, sizeof own, controller) != ENTROL_OK)
        own[0] = '\0';
    find_own_line(own, number, &expected, &n_expected);
    const bool is_setting = n_expected > 4 && strncmp(expected, "set ", 4) == 0;
    return trouble_set(trouble, "%s:%zu: expected %s \"%.*s\", found \"%.*s\": it is not a state of this controller%s",
                       path, number, is_setting ? "the setting" : "a line like", (int)n_expected, expected,
                       n_found < 60 ? (int)n_found : 60, found, is_setting ? " with these settings" : "");
}

/* The state's text without the newlines that filled up a shorter one. */
static size_t trimmed(const char *text, size_t n_bytes) {
    while (n_bytes > 1 && text[n_bytes - 1] == '\n' && text[n_bytes - 2] == '\n')
        n_bytes--;
    return n_bytes;
}

static bool load(entrol_controller *controller, const char *path, trouble *trouble) {
    char *text = NULL;
    size_t n_bytes = 0, n_read = 0;
    input *input = input_open(path, trouble);
    bool ok = input != NULL && input_all(input, &text, &n_bytes, (size_t)1 << 20, trouble);
    input_close(input);
    n_bytes = ok ? trimmed(text, n_bytes) : 0;
    if (ok && entrol_controller_restore(controller, &n_read, text, n_bytes) != ENTROL_OK)
        ok = report_text(controller, path, text, n_bytes, n_read, trouble);
    free(text);
    return ok;
}

static bool report_write(const char *path, trouble *trouble) {
    return trouble_set(trouble, "cannot write %s: %s", path, strerror(errno));
}

static bool is_absent(const char *path) {
    return access(path, F_OK) != 0 && errno == ENOENT;
}

/* One that is not there appears whole: written under another name, which one process at a time may do. It replaces
 * none that another has made meanwhile. */
static bool create(const entrol_controller *controller, const char *path, trouble *trouble) {
    char text[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n_bytes = 0;
    output *output = output_open(path, trouble);
    if (output == NULL)
        return false;
    const bool is_needed = is_absent(path);
    if (is_needed && entrol_controller_save(text, &n_bytes, sizeof text, controller) == ENTROL_OK &&
        output_write(output, text, n_bytes, trouble))
        return output_commit(output, false, trouble);
    output_abandon(output, false);
    return !is_needed;
}

/* Opens it for this process alone. What is no plain file is not waited for. */
static bool open_alone(control_file *file, trouble *trouble) {
    file->fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0)
        return report_write(file->path, trouble);
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return trouble_set(trouble, "cannot write %s: another process is writing it", file->path);
    return true;
}

/* It is read when no other process can write it any more. */
bool control_open(control_file *file, entrol_controller *controller, const char *path, trouble *trouble) {
    struct stat status;
    *file = (control_file){.path = path, .fd = -1};
    if (strcmp(path, "-") == 0 || (stat(path, &status) == 0 && !S_ISREG(status.st_mode)))
        return trouble_set(trouble, "cannot write %s: expected a plain file", path);
    if (is_absent(path) && !create(controller, path, trouble))
        return false;
    if (!open_alone(file, trouble) || !load(controller, path, trouble))
        return false;
    if (fstat(file->fd, &status) != 0)
        return report_write(path, trouble);
    file->n_bytes = (size_t)status.st_size;
    return true;
}

bool control_store(control_file *file, const entrol_controller *controller, trouble *trouble) {
    char text[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n_bytes = 0;
    if (file->fd < 0)
        return true;
    if (entrol_controller_save(text, &n_bytes, sizeof text, controller) != ENTROL_OK)
        return trouble_set(trouble, "cannot write %s: the state is too long", file->path);
    size_t n_written = n_bytes;
    while (n_written < file->n_bytes && n_written < sizeof text)
        text[n_written++] = '\n';
    ssize_t n;
    do
        n = pwrite(file->fd, text, n_written, 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)n_written || (n_bytes < file->n_bytes && ftruncate(file->fd, (off_t)n_bytes) != 0)) {
        errno = n >= 0 && n != (ssize_t)n_written ? ENOSPC : errno;
        return report_write(file->path, trouble);
    }
    file->n_bytes = n_bytes;
    return true;
}

bool control_close(control_file *file, bool ok, trouble *trouble) {
    if (file->fd < 0)
        return ok;
    const bool is_kept = !ok || fsync(file->fd) == 0 || errno == EINVAL;
    const bool is_closed = close(file->fd) == 0;
    file->fd = -1;
    return ok && ((is_kept && is_closed) || report_write(file->path, trouble));
}
