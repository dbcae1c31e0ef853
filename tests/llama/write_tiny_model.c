/* Writes a tiny model to a file, so that the command's tests of texts can run where the real model is too slow (under
 * the sanitizers): llama_write_tiny_model PATH */
#include "tiny_model.h"

#include <stdio.h>

int main(int argc, char **argv) {
    const tiny_model model = {.name = "tiny", .wants_bos = true};
    if (argc != 2) {
        fprintf(stderr, "usage: llama_write_tiny_model PATH\n");
        return 2;
    }
    FILE *in = fopen(tiny_model_write(&model), "rb"), *out = fopen(argv[1], "wb");
    char bytes[1 << 16];
    size_t n;
    int ok = in && out;
    while (ok && (n = fread(bytes, 1, sizeof bytes, in)) > 0)
        ok = fwrite(bytes, 1, n, out) == n;
    if (!ok || ferror(in) || fclose(out) != 0) {
        fprintf(stderr, "llama_write_tiny_model: cannot write %s\n", argv[1]);
        return 2;
    }
    return 0;
}
