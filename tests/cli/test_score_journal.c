/* The journal of score --resume: what it gives back after each way of being torn. */
#include "harness.h"

#include "score/score.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[64], output_path[96], part_path[128], state_path[128];

static void make_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/entrol-journal-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(output_path, sizeof output_path, "%s/out", folder);
    snprintf(part_path, sizeof part_path, "%s.part", output_path);
    snprintf(state_path, sizeof state_path, "%s.part.state", output_path);
}

static void remove_folder(void) {
    unlink(part_path);
    unlink(state_path);
    rmdir(folder);
}

static void write_part(size_t n_bytes) {
    static const char lines[] = "{\"id\":1}\n{\"id\":3}\n{\"id\":4}\n";
    FILE *part = fopen(part_path, "wb");
    CHECK(part != NULL && fwrite(lines, 1, n_bytes, part) == n_bytes && fclose(part) == 0);
}

static score_totals totals_of(const float *entropies, size_t n) {
    score_totals totals = {.n_tokens = n, .n_bytes = 3 * n};
    for (size_t i = 0; i < n; i++)
        entrol_sum_add(&totals.entropy, (double)entropies[i]);
    return totals;
}

static json_t *settings_of(int top) {
    return json_pack("{s:i, s:s}", "top", top, "model", "m.gguf");
}

static const float entropies[3] = {0.5f, 1.25f, 3};

/* Three lines of 9 bytes; the second document was skipped. */
static void write_journal(void) {
    trouble trouble = {""};
    json_t *settings = settings_of(3);
    score_journal *journal = score_journal_begin(output_path, settings, &trouble);
    CHECK_STRING(trouble.text, "");
    score_totals totals = totals_of(entropies, 3), none = {0};
    CHECK(score_journal_add(journal, 9, 101, &totals, entropies, 3, &trouble));
    CHECK(score_journal_skip(journal, 9, 102, &trouble));
    CHECK(score_journal_add(journal, 18, 103, &none, NULL, 0, &trouble));
    CHECK(score_journal_add(journal, 27, 104, &totals, entropies, 3, &trouble));
    CHECK(score_journal_flush(journal, &trouble));
    score_journal_close(journal, false);
    json_decref(settings);
}

static bool said_damaged;

/* How many entries are found, and how many bytes of the .part they stand for. */
static size_t resume(uint64_t *n_bytes, score_summary *summary) {
    trouble trouble = {""};
    json_t *settings = settings_of(3);
    score_journal *journal = score_journal_resume(output_path, settings, summary, n_bytes, &trouble);
    said_damaged = strstr(trouble.text, "is damaged") != NULL;
    CHECK_SAY(said_damaged || trouble.text[0] == '\0', "%s", trouble.text);
    size_t n_done = score_journal_n_done(journal);
    for (size_t i = 0; i < n_done; i++)
        CHECK(score_journal_matches(journal, i, 101 + i));
    CHECK(journal == NULL || !score_journal_matches(journal, 0, 5));
    score_journal_close(journal, false);
    json_decref(settings);
    return n_done;
}

static void test_all_of_it(void) {
    make_folder();
    write_part(27);
    write_journal();
    uint64_t n_bytes;
    score_summary summary = {0};
    CHECK_INT(resume(&n_bytes, &summary), 4);
    CHECK_INT(n_bytes, 27);
    CHECK_INT(summary.n_documents, 3);
    CHECK_INT(summary.n_skipped, 1);
    CHECK_INT(summary.totals.n_tokens, 6);
    CHECK_INT(summary.totals.n_bytes, 18);
    CHECK_INT(summary.n_entropies, 6);
    CHECK_NEAR(entrol_sum_value(&summary.totals.entropy), 2 * 4.75, 0);
    CHECK_NEAR(summary.entropies[4], 1.25, 0);
    score_summary_free(&summary);
    remove_folder();
}

/* Whatever the length of what is left, the entries found are whole, and their bytes end a line. Without its settings
 * nothing can be gone on with. */
static void test_torn_anywhere(void) {
    make_folder();
    write_part(27);
    write_journal();
    struct stat status;
    CHECK(stat(state_path, &status) == 0);
    size_t last = 5;
    for (off_t size = status.st_size; size-- > 0;) {
        uint64_t n_bytes;
        score_summary summary = {0};
        CHECK(truncate(state_path, size) == 0);
        size_t n_done = resume(&n_bytes, &summary);
        CHECK_SAY(n_done <= last && n_done < 4, "%zu entries at %lld bytes", n_done, (long long)size);
        CHECK_INT(n_bytes, n_done == 0 ? 0 : n_done < 3 ? 9 : 18);
        CHECK_INT(summary.n_skipped, n_done >= 2);
        CHECK(said_damaged == ((size_t)size < sizeof("{\"top\":3,\"model\":\"m.gguf\"}")));
        last = n_done;
        score_summary_free(&summary);
    }
    CHECK_INT(last, 0);
    remove_folder();
}

/* The computer stopped before all of the output was on the disk. */
static void test_shorter_output(void) {
    static const struct { size_t n_bytes, n_done; } cases[] = {{26, 3}, {18, 3}, {17, 2}, {9, 2}, {8, 0}, {0, 0}};
    make_folder();
    write_journal();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t n_bytes;
        score_summary summary = {0};
        write_part(cases[i].n_bytes);
        CHECK_INT(resume(&n_bytes, &summary), cases[i].n_done);
        CHECK(n_bytes <= cases[i].n_bytes);
        score_summary_free(&summary);
    }
    unlink(part_path);
    uint64_t n_bytes;
    score_summary summary = {0};
    CHECK_INT(resume(&n_bytes, &summary), 0);
    remove_folder();
}

static void test_going_on(void) {
    make_folder();
    write_part(18);
    write_journal();
    trouble trouble = {""};
    json_t *settings = settings_of(3);
    score_summary summary = {0}, again = {0};
    uint64_t n_bytes;
    score_journal *journal = score_journal_resume(output_path, settings, &summary, &n_bytes, &trouble);
    CHECK_INT(score_journal_n_done(journal), 3);
    CHECK(score_journal_go_on(journal, &trouble));
    score_totals totals = totals_of(entropies, 3);
    CHECK(score_journal_add(journal, 27, 104, &totals, entropies, 3, &trouble));
    score_journal_close(journal, false);
    write_part(27);
    CHECK_INT(resume(&n_bytes, &again), 4);
    CHECK_INT(again.n_documents, 3);
    json_decref(settings);
    score_summary_free(&summary);
    score_summary_free(&again);
    remove_folder();
}

static void test_other_settings(void) {
    make_folder();
    write_part(27);
    write_journal();
    trouble trouble = {""};
    json_t *settings = settings_of(4);
    score_summary summary = {0};
    uint64_t n_bytes;
    CHECK(score_journal_resume(output_path, settings, &summary, &n_bytes, &trouble) == NULL);
    CHECK_SAY(strstr(trouble.text, "\"top\" was 3 in the interrupted run, and is 4 now") != NULL, "%s", trouble.text);
    json_decref(settings);
    remove_folder();
}

/* As score_resume.c writes an entry. */
typedef struct entry {
    uint64_t magic, end_offset, hash, n_entropies, was_skipped;
    score_totals totals;
} entry;

/* A count that nothing but the file's length contradicts: the entry is torn, and no memory is asked for. */
static void test_more_entropies_than_the_file_holds(void) {
    static const uint64_t counts[] = {4, UINT64_C(1) << 40, UINT64_C(1) << 62, UINT64_MAX};
    make_folder();
    write_part(27);
    write_journal();
    FILE *state = fopen(state_path, "r+b");
    entry entry;
    int byte;
    while ((byte = fgetc(state)) != '\n' && byte != EOF)
        ;
    long start = ftell(state);
    CHECK_INT(fread(&entry, sizeof entry, 1, state), 1);
    CHECK_INT(entry.n_entropies, 3);
    CHECK(truncate(state_path, start + (long)(sizeof entry + sizeof entropies)) == 0);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        entry.end_offset = UINT64_MAX;
        entry.n_entropies = entry.totals.n_tokens = entry.totals.entropy.n = counts[i];
        CHECK(fseek(state, start, SEEK_SET) == 0 && fwrite(&entry, sizeof entry, 1, state) == 1 && fflush(state) == 0);
        uint64_t n_bytes;
        score_summary summary = {0};
        CHECK_INT(resume(&n_bytes, &summary), 0);
    }
    fclose(state);
    remove_folder();
}

static void test_not_a_journal(void) {
    make_folder();
    write_part(27);
    static const char *const contents[] = {"", "\n", "[1]\n", "{\"top\": 3", "\177ELF\n"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        FILE *state = fopen(state_path, "wb");
        CHECK(state != NULL && fputs(contents[i], state) >= 0 && fclose(state) == 0);
        uint64_t n_bytes;
        score_summary summary = {0};
        CHECK_INT(resume(&n_bytes, &summary), 0);
        CHECK_INT(n_bytes, 0);
    }
    remove_folder();
}

int main(int argc, char **argv) {
    test_begin(argc, argv);
    TEST(test_all_of_it);
    TEST(test_torn_anywhere);
    TEST(test_shorter_output);
    TEST(test_going_on);
    TEST(test_other_settings);
    TEST(test_more_entropies_than_the_file_holds);
    TEST(test_not_a_journal);
    return test_end();
}
