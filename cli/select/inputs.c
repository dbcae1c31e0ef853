/* The files that a selection reads, as often as it must. A plain file is open only while it is read, so that there may
 * be any number of them; a pipe stays open, spooled to a temporary file. */
#include "select.h"

#include "../open_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool look_at(select_inputs *inputs, int index, trouble *trouble) {
    struct stat status;
    const char *path = inputs->paths[index];
    if (!open_files_look(path, &status, trouble))
        return false;
    inputs->is_stream[index] = strcmp(path, "-") == 0 || !S_ISREG(status.st_mode);
    return true;
}

bool select_inputs_begin(select_inputs *inputs, char **paths, int n, trouble *trouble) {
    *inputs = (select_inputs){.paths = paths, .n = n};
    inputs->open = calloc((size_t)n, sizeof(input *));
    inputs->records = calloc((size_t)n, sizeof(records *));
    inputs->is_stream = calloc((size_t)n, sizeof(bool));
    if (inputs->open == NULL || inputs->records == NULL || inputs->is_stream == NULL)
        return trouble_set(trouble, "out of memory");
    for (int i = 0; i < n; i++)
        if (!look_at(inputs, i, trouble))
            return false;
    return true;
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
    if (input != NULL)
        inputs->records[index] = records_open_input(input, trouble);
    return inputs->records[index];
}

static void close_one(select_inputs *inputs, int index) {
    records_close(inputs->records[index]);
    input_close(inputs->open[index]);
    inputs->records[index] = NULL;
    inputs->open[index] = NULL;
}

void select_inputs_leave(select_inputs *inputs, int index) {
    if (!inputs->is_stream[index])
        close_one(inputs, index);
}

void select_inputs_end(select_inputs *inputs) {
    for (int i = 0; inputs->is_stream != NULL && inputs->open != NULL && inputs->records != NULL && i < inputs->n; i++)
        close_one(inputs, i);
    free(inputs->open);
    free(inputs->records);
    free(inputs->is_stream);
    *inputs = (select_inputs){0};
}
