/* Writes a tiny model to a file, so that the command's tests of texts can run where the real model is too slow (under
 * the sanitizers):
 *
 *     llama_write_tiny_model PATH [--seed N] [--noise X] [--nan] [--no-bos] [--other-token] [--more-tokens]
 *
 * With --seed it has other weights; with --noise they differ by up to X from those of the same seed; the rest is in
 * tiny_model.h. */
#include "tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_flag(tiny_model *model, char **argv, int *i) {
    const char *flag = argv[*i], *value = argv[*i + 1] != NULL ? argv[*i + 1] : "";
    if (strcmp(flag, "--seed") == 0 || strcmp(flag, "--noise") == 0) {
        *i += 1;
        if (strcmp(flag, "--seed") == 0)
            model->seed = (uint32_t)strtoul(value, NULL, 10);
        else
            model->noise = strtof(value, NULL);
        return *value != '\0';
    }
    model->has_nan_token |= strcmp(flag, "--nan") == 0;
    model->wants_bos &= strcmp(flag, "--no-bos") != 0;
    model->other_token |= strcmp(flag, "--other-token") == 0;
    model->more_tokens |= strcmp(flag, "--more-tokens") == 0;
    return strstr("--nan --no-bos --other-token --more-tokens", flag) != NULL;
}

int main(int argc, char **argv) {
    tiny_model model = {.name = "tiny", .wants_bos = true};
    bool is_right = argc >= 2;
    for (int i = 2; is_right && i < argc; i++)
        is_right = read_flag(&model, argv, &i);
    if (!is_right) {
        fprintf(stderr, "usage: llama_write_tiny_model PATH [--seed N] [--noise X] [--nan] [--no-bos] [--other-token] "
                        "[--more-tokens]\n");
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
