/* The journal of score --resume, behind its first line: what is taken from it lies within the output that it is about,
 * and what remains of it once the torn end is dropped gives the same again. */
#include "fuzz.h"

#include "score/score.h"

#include <stdio.h>
#include <unistd.h>

enum { PART_SIZE = 4096 };

static char folder[] = "/tmp/entrol-fuzz-XXXXXX", output_path[64], part[80], state[80];

static void remove_files(void) {
    unlink(part);
    unlink(state);
    rmdir(folder);
}

static void write_file(const char *path, const char *first_line, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    fuzz_require(file != NULL && fputs(first_line, file) >= 0);
    fuzz_require(fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* An output in which every byte ends a line. */
static void make_folder(void) {
    char newlines[PART_SIZE];
    memset(newlines, '\n', sizeof newlines);
    fuzz_require(mkdtemp(folder) != NULL);
    snprintf(output_path, sizeof output_path, "%s/out", folder);
    snprintf(part, sizeof part, "%s.part", output_path);
    snprintf(state, sizeof state, "%s.part.state", output_path);
    write_file(part, "", newlines, sizeof newlines);
    atexit(remove_files);
}

/* How many entries are found, of a journal that is then cut behind the last. */
static size_t resume(const json_t *settings, uint64_t *n_bytes, size_t size) {
    trouble trouble = {""};
    score_summary summary = {0};
    score_journal *journal = score_journal_resume(output_path, settings, &summary, n_bytes, &trouble);
    fuzz_require(journal != NULL && *n_bytes <= PART_SIZE);
    fuzz_require(summary.n_entropies <= size / sizeof(float));
    size_t n_done = score_journal_n_done(journal);
    fuzz_require(summary.n_documents + summary.n_skipped == n_done);
    fuzz_require(score_journal_go_on(journal, &trouble));
    score_journal_close(journal, false);
    score_summary_free(&summary);
    return n_done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_t *settings;
    uint64_t n_bytes, again;
    if (settings == NULL) {
        make_folder();
        settings = json_object();
    }
    write_file(state, "{}\n", data, size);
    size_t n_done = resume(settings, &n_bytes, size);
    fuzz_require(resume(settings, &again, size) == n_done && again == n_bytes);
    return 0;
}
