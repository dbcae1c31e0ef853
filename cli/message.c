/* Messages on standard error: one line each, safe to print whatever a file name or a file's text holds. */
#include "message.h"
#include "progress.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>

/* Characters that would move the cursor, change the colour or turn the line around in a terminal. */
static bool is_unsafe(uint32_t code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F || code == 0x061C ||
           code == 0xFEFF || code == 0x2028 || code == 0x2029 || (code >= 0x202A && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069);
}

void message_escape(char *to, size_t to_size, const char *text, size_t n_bytes) {
    size_t used = 0;
    for (size_t i = 0; i < n_bytes;) {
        uint32_t code;
        size_t length = utf8_next(text + i, n_bytes - i, &code);
        bool unsafe = code == UTF8_BROKEN || is_unsafe(code);
        size_t need = unsafe ? 4 * length : length;
        if (used + need + 1 > to_size)
            break;
        for (size_t j = 0; unsafe && j < length; j++)
            snprintf(to + used + 4 * j, 5, "\\x%02x", (unsigned char)text[i + j]);
        if (!unsafe)
            memcpy(to + used, text + i, length);
        used += need;
        i += length;
    }
    to[used] = 0;
}

static void format_safely(char *to, size_t to_size, const char *format, va_list arguments) {
    char raw[2048];
    if (vsnprintf(raw, sizeof raw, format, arguments) < 0)
        snprintf(raw, sizeof raw, "%s", format);
    message_escape(to, to_size, raw, strlen(raw));
}

bool trouble_set(trouble *trouble, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    format_safely(trouble->text, sizeof trouble->text, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_silent;

void message_silence(bool silent) {
    is_silent = silent;
}

/* One write, so that lines of several processes do not mix. */
static void print_line(const char *prefix, const char *text) {
    if (is_silent)
        return;
    progress_hide();
    fprintf(stderr, "entrol: %s%s\n", prefix, text);
}

static void print_formatted(const char *prefix, const char *format, va_list arguments) {
    char text[4096];
    format_safely(text, sizeof text, format, arguments);
    print_line(prefix, text);
}

int message_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_formatted("", format, arguments);
    va_end(arguments);
    return EXIT_ERROR;
}

int message_trouble(const trouble *trouble) {
    print_line("", trouble->text);
    return EXIT_ERROR;
}

void message_point(const char *text, size_t at) {
    if (!is_silent)
        fprintf(stderr, "    %s\n    %*s^\n", text, (int)at, "");
}

void message_note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_formatted("", format, arguments);
    va_end(arguments);
}

void message_warning(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_formatted("warning: ", format, arguments);
    va_end(arguments);
}
