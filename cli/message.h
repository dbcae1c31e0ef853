/* What the command says on standard error, and how it ends. */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Exit codes of every command. */
enum { EXIT_DONE = 0, EXIT_NOTHING_SELECTED = 1, EXIT_ERROR = 2 };

/* Why something below main could not be done: a sentence that names the file and the line or row, what
 * was expected and what was found. Passed up; only a command prints it. Whoever returns false or -1 has
 * filled it. */
typedef struct trouble {
    char text[1024];
} trouble;

/* Fills `trouble`; always returns false, so that a function can end with it. Control characters in what is
 * quoted are escaped. */
bool trouble_set(trouble *trouble, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies text so that a terminal can show it: control and bidirectional characters, byte order marks and broken UTF-8
 * become \xNN. Cut at a whole character where it does not fit; n_bytes of text may hold NULs. */
void message_escape(char *to, size_t to_size, const char *text, size_t n_bytes);

/* "entrol: TEXT" on standard error; returns EXIT_ERROR. */
int message_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int message_trouble(const trouble *trouble);
/* "entrol: TEXT": how it went, where nothing is wrong. */
void message_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void message_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Under an error, the printable text that it is about, and a caret under its byte `at`. */
void message_point(const char *text, size_t at);

/* From now on nothing of these is said, or all of it again: of several processes one speaks. */
void message_silence(bool silent);

#endif
