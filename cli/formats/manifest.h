/* The manifest beside a result: what made it, so that it can be made again. One JSON object, PATH.manifest.json. */
#ifndef CLI_FORMATS_MANIFEST_H
#define CLI_FORMATS_MANIFEST_H

#include "../input.h"

#include <jansson.h>

/* Starts a manifest: {"entrol": version, "command": argv as given, "unit": "nat"}. */
json_t *manifest_new(int argc, char **argv);
/* SHA-256 of bytes, or of a file, as lower-case hex (64 + NUL). */
bool manifest_hash(char hex[65], const void *bytes, size_t n_bytes);
bool manifest_hash_file(char hex[65], const char *path, trouble *trouble);
/* Writes it whole or not at all to `path` + ".manifest.json". */
bool manifest_write(const json_t *manifest, const char *path, trouble *trouble);
/* Reads one from an input, which stays the caller's. NULL for trouble. */
json_t *manifest_read_input(input *input, trouble *trouble);
/* Reads the manifest beside `path`: NULL without trouble text if there is none. */
json_t *manifest_read(const char *path, trouble *trouble);
/* Reads the manifest beside an output, which is no input and may be written anew. NULL if there is none, or no JSON. */
json_t *manifest_of_output(const char *path);

#endif
