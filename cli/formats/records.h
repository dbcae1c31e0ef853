/* Token records, whatever they are in: every command reads them through this.
 *
 * JSON Lines, also packed with gzip or zstd, a safetensors container (container.h), or an .npy array of class
 * probabilities (class_rows.h); told apart by their first bytes.
 */
#ifndef CLI_FORMATS_RECORDS_H
#define CLI_FORMATS_RECORDS_H

#include "record.h"
#include "tensor.h"

typedef struct records records;

/* NULL with trouble where the path cannot be opened, or holds another kind of arrays. */
records *records_open(const char *path, trouble *trouble);
/* The same over an input at its start, which stays the caller's and must outlive it. */
records *records_open_input(input *input, trouble *trouble);
/* Takes the file, also on failure. */
records *records_open_tensors(tensor_file *file, trouble *trouble);
/* Line i (from 0) has been made from line lines[i] of the file that the input is called by, which messages name. The
 * array must outlive the records. */
void records_set_origins(records *records, const uint64_t *lines);
void records_close(records *records);

/* The path as messages should show it. */
const char *records_name(const records *records);
/* Whether they are in a container, and not lines. */
bool records_are_flat(const records *records);

/* The number of the document last read among the lines or documents, wherever they come from. */
uint64_t records_number(const records *records, const document *document);

/* The next document: 1, 0 at the end, -1 for trouble, which a file without a line is too. As record_read says; in a
 * container line_number counts documents, and `fields` are "id", "text" and the others, in this order. */
int records_next(records *records, document *document, trouble *trouble);
/* The same with at least what is wanted of it, which is faster; checked as a whole. */
int records_next_wanted(records *records, document *document, const record_wanted *wanted, trouble *trouble);
/* The next document as a line without its newline: as it stands where it is one, else as record_write would. */
int records_next_line(records *records, const char **line, size_t *n_bytes, trouble *trouble);
/* Back to the start; where the input is one that input_open_twice opened. */
bool records_rewind(records *records, trouble *trouble);

#endif
