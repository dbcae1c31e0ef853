/* Token records as one .safetensors file: every column flat over the tokens of all documents, memory-mapped.
 *
 * __metadata__ has "format": "entrol-records-1", "unit": "nat" and "entrol", the version. document_offset, I64
 * [documents + 1], says where each document's tokens start. A column NAME is F32 (reals), I32 or I64 (integers) or U8
 * (flags) of shape [tokens], or [tokens, width] for lists. Strings are U8 [bytes] with NAME_offset, I64: of a column
 * [tokens * width + 1], and of "id", "text" and "fields" (the rest of each line as a JSON object) [documents + 1]. Only
 * where they say something, there are NAME.valid, U8 of the column's shape (0: missing), NAME.present, U8 [documents]
 * (0: this document does not have the column), and NAME.width, I64 [documents] (how many of a list's values count). */
#ifndef CLI_FORMATS_CONTAINER_H
#define CLI_FORMATS_CONTAINER_H

#include "../output.h"
#include "record.h"
#include "tensor.h"

/* --- Reading --- */

typedef struct container container;

/* Whether the file says that it holds records, in this form or a later one. */
bool container_holds_records(const tensor_file *file);
/* Takes the file, also on failure. NULL with trouble if it holds no records, or tensors do not fit together. */
container *container_open(tensor_file *file, trouble *trouble);
void container_close(container *container);
/* As record_read; a document has no line, and its number as line_number. */
int container_next(container *container, document *document, const record_wanted *wanted, trouble *trouble);
void container_rewind(container *container);

/* --- Writing --- */

typedef struct container_writer container_writer;

/* Whether records written to this path (NULL: standard output) go into a container: it ends in .safetensors. */
bool container_is_path(const char *path);
container_writer *container_writer_open(trouble *trouble);
/* Columns wait in temporary files: memory does not grow with the documents. */
bool container_writer_add(container_writer *writer, const document *document, trouble *trouble);
/* Writes the whole file. */
bool container_writer_finish(container_writer *writer, output *output, trouble *trouble);
void container_writer_close(container_writer *writer);
/* About how many bytes of the file a document becomes. */
size_t container_size_of(const document *document);

#endif
