/* llama.cpp's message hook is one for the process; the thread that calls us says where its own messages go. */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <threads.h>

static _Thread_local ent_log *current;
static once_flag hooked = ONCE_FLAG_INIT;

/* "function_name: what happened\n" -> "what happened". */
static void keep_error(ent_log *log, const char *text) {
    const char *colon = strstr(text, ": ");
    const char *space = strchr(text, ' ');
    const char *start = colon != NULL && (space == NULL || colon < space) ? colon + 2 : text;
    snprintf(log->error, sizeof log->error, "%s", start);
    log->error[strcspn(log->error, "\r\n")] = '\0';
}

static void on_message(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (current == NULL) {
        return;
    }
    if (level != GGML_LOG_LEVEL_CONT) {
        current->level = (int)level;
    }
    if (level == GGML_LOG_LEVEL_ERROR && current->error[0] == '\0') {
        keep_error(current, text);
    }
    if (current->forward != NULL) {
        current->forward(current->user, current->level, text);
    }
}

static void hook(void) {
    llama_log_set(on_message, NULL);
}

ent_log *ent_log_use(ent_log *log) {
    call_once(&hooked, hook);
    ent_log *before = current;
    current = log;
    if (log != NULL) {
        log->error[0] = '\0';
    }
    return before;
}
