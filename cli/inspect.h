/* What `entrol inspect` says about one kind of file: each reads the input to its end and appends lines of text. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include "buffer.h"
#include "formats/records.h"
#include "input.h"

bool inspect_records(buffer *text, records *records, trouble *trouble);
/* Takes the input, also on failure. */
bool inspect_texts(buffer *text, input *input, trouble *trouble);
/* Recorded log-probabilities, and those of llama-perplexity. Both take the input. */
bool inspect_recorded(buffer *text, input *input, trouble *trouble);
bool inspect_kld(buffer *text, input *input, trouble *trouble);
bool inspect_objects(buffer *text, input *input, trouble *trouble); /* lines of other JSON objects */
bool inspect_gguf(buffer *text, input *input, trouble *trouble);
/* .npy or .safetensors: arrays, or records. */
bool inspect_tensors(buffer *text, input *input, trouble *trouble);
bool inspect_manifest(buffer *text, input *input, trouble *trouble);

/* "  NAME: VALUE\n", escaped. */
void inspect_line(buffer *text, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
