/* A look at a model file before llama.cpp gets it. */
#ifndef ENT_LLAMA_FILE_H
#define ENT_LLAMA_FILE_H

#include <entrol/base.h>

/* OK if the file can be read and begins as a GGUF file does; else `error` says in a sentence what it is. */
entrol_status ent_gguf_check(char *error, size_t error_size, const char *path);

#endif
