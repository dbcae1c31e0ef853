/* A controller's state in a file. */
#include "control.h"

#include "../message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

bool control_load(entrol_controller *controller, const char *path, trouble *trouble) {
    char *text = NULL;
    size_t n_bytes, n_read = 0;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return true;
    input *input = input_open(path, trouble);
    bool ok = input != NULL && input_all(input, &text, &n_bytes, (size_t)1 << 20, trouble);
    input_close(input);
    if (ok && entrol_controller_restore(controller, &n_read, text, n_bytes) != ENTROL_OK)
        ok = report_text(controller, path, text, n_bytes, n_read, trouble);
    free(text);
    return ok;
}

static bool write_all(int fd, const char *bytes, size_t n_bytes) {
    while (n_bytes > 0) {
        const ssize_t n = write(fd, bytes, n_bytes);
        if (n < 0 && errno != EINTR)
            return false;
        bytes += n > 0 ? n : 0;
        n_bytes -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Without waiting for the disk at every step, which would take longer than all else: what a process wrote is there also
 * where it is killed. */
bool control_save(const entrol_controller *controller, const char *path, bool is_last, trouble *trouble) {
    char text[ENTROL_CONTROLLER_STATE_ROOM];
    size_t n_bytes = 0;
    buffer part = {0};
    buffer_append_format(&part, "%s.part", path);
    if (part.failed || entrol_controller_save(text, &n_bytes, sizeof text, controller) != ENTROL_OK) {
        buffer_free(&part);
        return trouble_set(trouble, "cannot write %s: out of memory", path);
    }
    const int fd = open(part.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write_all(fd, text, n_bytes) && (!is_last || fsync(fd) == 0);
    ok = (fd < 0 || close(fd) == 0) && ok && rename(part.data, path) == 0;
    if (!ok) {
        trouble_set(trouble, "cannot write %s: %s", path, strerror(errno));
        if (fd >= 0)
            unlink(part.data);
    }
    buffer_free(&part);
    return ok;
}
