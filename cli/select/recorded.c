/* Records of recorded log-probabilities, made by what `entrol score` makes them with. The temporary file is mapped part
 * by part: one descriptor is enough for any number of inputs. */
#include "recorded.h"

#include "../output.h"
#include "../score/score.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct select_recorded {
    entrol_context *context;
    score_settings settings;
    output *spool; /* NULL: nothing has been made yet */
    int fd;        /* of it */
    uint64_t n_bytes, n_infinite;
    bool has_sampled;      /* probabilities after sampling: said once */
    score_summary summary; /* of it what was replaced */
    buffer line;
};

select_recorded *select_recorded_new(entrol_context *context, int64_t n_vocabulary, trouble *trouble) {
    select_recorded *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        trouble_set(trouble, "out of memory");
        return NULL;
    }
    made->context = context;
    made->settings = (score_settings)SCORE_SETTINGS_INIT;
    made->settings.n_vocabulary = n_vocabulary;
    made->settings.texts.recorded = made->settings.texts.of_records = true;
    if (score_settings_columns(&made->settings, NULL, false, trouble))
        return made;
    select_recorded_free(made);
    return NULL;
}

void select_recorded_free(select_recorded *recorded) {
    if (recorded == NULL)
        return;
    output_abandon(recorded->spool, false);
    buffer_free(&recorded->line);
    score_summary_free(&recorded->summary);
    free(recorded);
}

uint64_t select_recorded_n_infinite(const select_recorded *recorded) {
    return recorded->n_infinite;
}

void select_recorded_warn(const select_recorded *recorded) {
    score_warn_replaced(&recorded->summary);
}

/* --- What an input is --- */

static bool starts_like_json(bool *does, input *input, trouble *trouble) {
    const char *bytes;
    size_t n, at = 0;
    if (!input_peek(input, &bytes, &n, trouble))
        return false;
    if (n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        at = 3;
    while (at < n && strchr(" \t\r\n", bytes[at]) != NULL && bytes[at] != '\0')
        at++;
    *does = at < n && (bytes[at] == '{' || bytes[at] == '[');
    return true;
}

static bool has_measured_column(const document *document) {
    for (int id = 0; id < COLUMN_COUNT; id++) {
        const bool is_there =
            document->columns[id].is_present || (document->places.are_known && document->places.values[id].end > 0);
        if (is_there && record_columns[id].type == COLUMN_REAL && id != COLUMN_WEIGHT)
            return true;
    }
    return false;
}

/* What a record keeps of a response may look like one. Told as fast as records are read; of what cannot be read so,
 * others say why. */
static bool look_for_record(bool *is_record, input *input, trouble *trouble) {
    static const record_wanted wanted = {.fields = true};
    struct trouble ignored = {""};
    document document = {0};
    records *records = records_open_input(input, &ignored);
    *is_record = records != NULL && records_next_wanted(records, &document, &wanted, &ignored) == 1 &&
                 (has_measured_column(&document) || record_is_measured(document.fields));
    document_free(&document);
    records_close(records);
    return input_rewind(input, trouble);
}

/* A bad line is a log's only where it is one JSON document: of lines, the reader of records says what it expected. */
static bool look(select_log *log, const select_recorded *recorded, input *input, trouble *trouble) {
    bool may_be = false, is_record = false;
    if (!starts_like_json(&may_be, input, trouble) || !look_for_record(&is_record, input, trouble))
        return false;
    if (!may_be || is_record)
        return true;
    texts *texts = texts_open_input(input, &recorded->settings.texts, trouble);
    if (texts == NULL)
        return false;
    bool ok = texts_look(texts, &log->is_log) || !texts_is_document(texts);
    if (!ok) { /* gives the trouble */
        text_document none = {0};
        texts_next(texts, &none, trouble);
        text_document_free(&none);
    }
    texts_close(texts);
    return ok;
}

bool select_log_look(select_log *log, select_recorded *recorded, input *input, trouble *trouble) {
    if (log->is_known)
        return true;
    if (!look(log, recorded, input, trouble) || !input_rewind(input, trouble))
        return false;
    log->is_known = true;
    return true;
}

/* --- Making records --- */

static bool add_line(select_log *log, uint64_t line_number, trouble *trouble) {
    if (log->n_lines == log->capacity) {
        const size_t room = log->capacity == 0 ? 64 : 2 * log->capacity;
        uint64_t *grown = room > SIZE_MAX / sizeof(*grown) ? NULL : realloc(log->lines, room * sizeof(*grown));
        if (grown == NULL)
            return trouble_set(trouble, "out of memory");
        log->lines = grown;
        log->capacity = room;
    }
    log->lines[log->n_lines++] = line_number;
    return true;
}

static uint64_t count_infinite(const document *document) {
    const column *upper = &document->columns[COLUMN_ENTROPY_UPPER];
    uint64_t n = 0;
    for (size_t i = 0; upper->is_present && i < document->n_tokens; i++)
        n += upper->valid[i] != 0 && isinf(upper->reals[i]);
    return n;
}

static bool write_record(select_recorded *recorded, document *document, trouble *trouble) {
    recorded->n_infinite += count_infinite(document);
    score_columns_drop(document, &recorded->settings, false);
    buffer_clear(&recorded->line);
    record_write(&recorded->line, document);
    if (recorded->line.failed)
        return trouble_set(trouble, "out of memory");
    recorded->n_bytes += recorded->line.size;
    return output_write(recorded->spool, recorded->line.data, recorded->line.size, trouble);
}

static bool make_choice(select_log *log, select_recorded *recorded, const logprobs *response, size_t index,
                        const char *where, uint64_t line_number, trouble *trouble) {
    document document = {0};
    bool ok = score_recorded(&document, recorded->context, &recorded->settings, response, index, where, trouble);
    if (ok)
        score_note_replaced(&recorded->summary, where, document.fields, &document);
    ok = ok && write_record(recorded, &document, trouble) && add_line(log, line_number, trouble);
    recorded->summary.n_documents += ok;
    document_free(&document);
    return ok;
}

/* All choices of one response, called as score calls them. */
static bool make_response(select_log *log, select_recorded *recorded, const char *name, const text_document *line,
                          trouble *trouble) {
    logprobs response = {0};
    buffer where = {0};
    buffer_append_format(&where, "%s:%" PRIu64, name, line->line_number);
    bool ok = !where.failed || trouble_set(trouble, "out of memory");
    if (ok && line->recorded == NULL)
        ok = trouble_set(trouble,
                         "%s: expected recorded log-probabilities, as in the lines before, found an object "
                         "without them",
                         where.data);
    ok = ok && logprobs_read(&response, line->recorded, line->fields, name, line->line_number, trouble);
    if (ok)
        score_note_sampled(&recorded->has_sampled, &response, where.data);
    for (size_t i = 0; ok && i < response.n_choices; i++)
        ok = make_choice(log, recorded, &response, i, where.data, line->line_number, trouble);
    logprobs_free(&response);
    buffer_free(&where);
    return ok;
}

static bool make_all(select_log *log, select_recorded *recorded, const char *path, input *input, trouble *trouble) {
    texts *texts = texts_open_input(input, &recorded->settings.texts, trouble);
    text_document line = {0};
    int more = texts != NULL ? 1 : -1;
    bool ok = true;
    while (ok && more == 1 && (more = texts_next(texts, &line, trouble)) == 1)
        ok = make_response(log, recorded, score_input_name(path), &line, trouble);
    text_document_free(&line);
    texts_close(texts);
    return ok && more == 0;
}

/* Once. */
static bool make(select_log *log, select_recorded *recorded, const char *path, input *input, trouble *trouble) {
    if (log->is_made)
        return true;
    if (recorded->spool == NULL)
        recorded->spool = output_open_temporary(&recorded->fd, trouble);
    log->start = recorded->n_bytes;
    if (recorded->spool == NULL || !make_all(log, recorded, path, input, trouble) ||
        !output_flush(recorded->spool, trouble))
        return false;
    log->end = recorded->n_bytes;
    log->is_made = true;
    return true;
}

/* --- Reading them --- */

/* A mapping begins with a page. */
static const char *map(select_log *log, const select_recorded *recorded, trouble *trouble) {
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first = log->start / page * page;
    if (log->end == log->start)
        return "";
    log->n_mapped = (size_t)(log->end - first);
    void *mapping = mmap(NULL, log->n_mapped, PROT_READ, MAP_PRIVATE, recorded->fd, (off_t)first);
    if (mapping == MAP_FAILED) {
        trouble_set(trouble, "a temporary file cannot be read: %s", strerror(errno));
        return NULL;
    }
    log->mapping = mapping;
    return (const char *)mapping + (log->start - first);
}

records *select_log_records(select_log *log, select_recorded *recorded, const char *path, input *input,
                            trouble *trouble) {
    if (!log->is_log)
        return records_open_input(input, trouble);
    const char *bytes = make(log, recorded, path, input, trouble) ? map(log, recorded, trouble) : NULL;
    if (bytes == NULL)
        return NULL;
    log->input = input_open_memory(input_name(input), bytes, (size_t)(log->end - log->start), trouble);
    records *made = log->input != NULL ? records_open_input(log->input, trouble) : NULL;
    if (made != NULL)
        records_set_origins(made, log->lines);
    return made;
}

void select_log_leave(select_log *log) {
    input_close(log->input);
    log->input = NULL;
    if (log->mapping != NULL)
        munmap(log->mapping, log->n_mapped);
    log->mapping = NULL;
}

void select_log_free(select_log *log) {
    select_log_leave(log);
    free(log->lines);
    *log = (select_log){0};
}
