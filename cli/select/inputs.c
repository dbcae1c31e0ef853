/* The files that a selection reads, as often as it must. A plain file is open only while it is read, so that there may
 * be any number of them; a pipe stays open, spooled to a temporary file. */
#include "select.h"

#include "../formats/manifest.h"
#include "../open_files.h"
#include "../ranks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool look_at(select_inputs *inputs, int index, trouble *trouble) {
    struct stat status;
    const char *path = inputs->paths[index];
    if (!open_files_look(path, &status, trouble))
        return false;
    inputs->is_stream[index] = strcmp(path, "-") == 0 || !S_ISREG(status.st_mode);
    inputs->n_bytes[index] = inputs->is_stream[index] ? 0 : (uint64_t)status.st_size;
    return true;
}

bool select_inputs_begin(select_inputs *inputs, char **paths, int n, trouble *trouble) {
    *inputs = (select_inputs){.paths = paths, .n = n, .end = n};
    inputs->open = calloc((size_t)n, sizeof(input *));
    inputs->records = calloc((size_t)n, sizeof(records *));
    inputs->logs = calloc((size_t)n, sizeof(*inputs->logs));
    inputs->is_stream = calloc((size_t)n, sizeof(bool));
    inputs->n_bytes = calloc((size_t)n, sizeof(*inputs->n_bytes));
    if (inputs->open == NULL || inputs->records == NULL || inputs->logs == NULL || inputs->is_stream == NULL ||
        inputs->n_bytes == NULL)
        return trouble_set(trouble, "out of memory");
    for (int i = 0; i < n; i++)
        if (!look_at(inputs, i, trouble))
            return false;
    return true;
}

/* What comes through a pipe comes to one process. */
static bool check_streams(const select_inputs *inputs, trouble *trouble) {
    for (int i = 0; i < inputs->n; i++)
        if (inputs->is_stream[i] && ranks_size() > 1)
            return trouble_set(trouble,
                               "%s: one process alone can read it, and %zu were started together; expected files",
                               strcmp(inputs->paths[i], "-") == 0 ? "standard input" : inputs->paths[i], ranks_size());
    return true;
}

bool select_take_inputs(select_inputs *inputs, const operands *operands, const char *command) {
    static char dash[] = "-";
    static char *standard_input[] = {dash};
    trouble trouble = {""};
    bool none = operands->n_items == 0, ok = !none || !isatty(STDIN_FILENO);
    *inputs = (select_inputs){0};
    if (!ok)
        trouble_set(&trouble, "%s: name a file, or - for standard input", command);
    ok = ok &&
         select_inputs_begin(inputs, none ? standard_input : operands->items, none ? 1 : operands->n_items, &trouble) &&
         check_streams(inputs, &trouble);
    if (ranks_agree(ok, &trouble))
        return true;
    ranks_report(&trouble);
    select_inputs_end(inputs);
    return false;
}

input *select_inputs_read(select_inputs *inputs, int index, trouble *trouble) {
    input *open = inputs->open[index];
    if (open != NULL)
        return input_rewind(open, trouble) ? open : NULL;
    const char *path = inputs->paths[index];
    inputs->open[index] = inputs->is_stream[index] ? input_open_twice(path, trouble) : input_open(path, trouble);
    return inputs->open[index];
}

records *select_inputs_records(select_inputs *inputs, int index, trouble *trouble) {
    records *records = inputs->records[index];
    if (records != NULL)
        return records_rewind(records, trouble) ? records : NULL;
    input *input = select_inputs_read(inputs, index, trouble);
    select_log *log = &inputs->logs[index];
    if (input != NULL && (inputs->recorded == NULL || select_log_look(log, inputs->recorded, input, trouble)))
        inputs->records[index] = select_log_records(log, inputs->recorded, inputs->paths[index], input, trouble);
    return inputs->records[index];
}

static void close_one(select_inputs *inputs, int index) {
    records_close(inputs->records[index]);
    select_log_leave(&inputs->logs[index]);
    input_close(inputs->open[index]);
    inputs->records[index] = NULL;
    inputs->open[index] = NULL;
}

void select_inputs_leave(select_inputs *inputs, int index) {
    if (!inputs->is_stream[index])
        close_one(inputs, index);
}

bool select_inputs_count_logs(uint64_t *n_logs, select_inputs *inputs, trouble *trouble) {
    *n_logs = 0;
    for (int i = inputs->first; i < inputs->end; i++) {
        input *input = select_inputs_read(inputs, i, trouble);
        if (input == NULL || !select_log_look(&inputs->logs[i], inputs->recorded, input, trouble))
            return false;
        *n_logs += inputs->logs[i].is_log;
        select_inputs_leave(inputs, i);
    }
    return true;
}

/* Every rank hashes what it reads, and the text goes as counts: the others have added nothing to it. */
bool select_inputs_hash(select_inputs *inputs, trouble *trouble) {
    inputs->hashes = calloc((size_t)inputs->n, sizeof(*inputs->hashes));
    bool ok = inputs->hashes != NULL || trouble_set(trouble, "out of memory");
    for (int i = inputs->first; ok && i < inputs->end; i++) {
        char hex[65];
        ok = inputs->is_stream[i] || manifest_hash_file(hex, inputs->paths[i], trouble);
        if (ok && !inputs->is_stream[i])
            memcpy(inputs->hashes[i], hex, sizeof(*inputs->hashes));
    }
    return ranks_agree(ok, trouble) && ranks_add_up(*inputs->hashes, 8 * (size_t)inputs->n, trouble);
}

void select_inputs_end(select_inputs *inputs) {
    for (int i = 0; inputs->is_stream != NULL && inputs->open != NULL && inputs->records != NULL &&
                    inputs->logs != NULL && i < inputs->n;
         i++) {
        close_one(inputs, i);
        select_log_free(&inputs->logs[i]);
    }
    free(inputs->logs);
    free(inputs->open);
    free(inputs->records);
    free(inputs->is_stream);
    free(inputs->n_bytes);
    free(inputs->hashes);
    *inputs = (select_inputs){0};
}
