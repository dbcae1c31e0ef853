/* The journal beside PATH.part: what makes --resume give the bytes of an undisturbed run.
 *
 * PATH.part.state holds a line of JSON with the settings, then an entry for each document: how far PATH.part reaches
 * with it, a hash of the input it came from, its totals and its entropies (so that the summary is the whole run's). An
 * entry is written after its document; whatever is torn, missing or runs past the end of PATH.part ends the list, and
 * the run goes on from there. It is read by the machine that wrote it, so entries are plain structs. */
#include "score.h"

#include "../output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_MAGIC UINT64_C(0x31796c616e727574)
#define MAX_SETTINGS ((size_t)1 << 20)

typedef struct entry {
    uint64_t magic, end_offset, hash, n_entropies;
    uint64_t was_skipped; /* 1: a document that could not be scored, and has no line */
    score_totals totals;
} entry;

struct score_journal {
    char *path;
    FILE *file;
    uint64_t *hashes; /* of the documents found on resuming */
    size_t n_done, capacity;
    off_t size, end; /* of the file that was found on resuming, and of its whole entries */
};

uint64_t score_hash(uint64_t hash, const void *bytes, size_t n_bytes) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < n_bytes; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static score_journal *journal_new(const char *output_path, trouble *trouble) {
    score_journal *journal = calloc(1, sizeof(*journal));
    buffer path = {0};
    buffer_append_format(&path, "%s.part" OUTPUT_STATE, output_path);
    if (journal == NULL || path.failed) {
        trouble_set(trouble, "out of memory");
        buffer_free(&path);
        free(journal);
        return NULL;
    }
    journal->path = path.data;
    return journal;
}

static bool journal_trouble(const score_journal *journal, trouble *trouble) {
    return trouble_set(trouble, "%s: cannot write: %s", journal->path, strerror(errno));
}

void score_journal_close(score_journal *journal, bool remove) {
    if (journal == NULL)
        return;
    if (journal->file != NULL)
        fclose(journal->file);
    if (remove)
        unlink(journal->path);
    free(journal->hashes);
    free(journal->path);
    free(journal);
}

score_journal *score_journal_begin(const char *output_path, const json_t *settings, trouble *trouble) {
    score_journal *journal = journal_new(output_path, trouble);
    if (journal == NULL)
        return NULL;
    char *line = json_dumps(settings, JSON_COMPACT);
    journal->file = line != NULL ? fopen(journal->path, "wb") : NULL;
    bool written = journal->file != NULL && fputs(line, journal->file) >= 0 && fputc('\n', journal->file) != EOF &&
                   fflush(journal->file) == 0;
    free(line);
    if (!written) {
        journal_trouble(journal, trouble);
        score_journal_close(journal, false);
        return NULL;
    }
    return journal;
}

/* The first setting that differs, or NULL. */
static const char *difference(const json_t *now, const json_t *then) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)now, key, value) if (!json_equal(value, json_object_get(then, key))) return key;
    json_object_foreach((json_t *)then, key, value) if (json_object_get(now, key) == NULL) return key;
    return NULL;
}

static void say_difference(const score_journal *journal, const char *key, const json_t *now, const json_t *then,
                           trouble *trouble) {
    const json_t *a = json_object_get(then, key), *b = json_object_get(now, key);
    char *was = a != NULL ? json_dumps(a, JSON_ENCODE_ANY | JSON_COMPACT) : NULL; /* 0: the default */
    char *is = b != NULL ? json_dumps(b, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    trouble_set(
        trouble,
        "--resume: the setting \"%s\" was %.200s in the interrupted run, and is %.200s now: give the same, or remove "
        "%s to begin anew",
        key, was != NULL ? was : "none", is != NULL ? is : "none", journal->path);
    free(was);
    free(is);
}

/* 1: the same settings, 0: no journal that can be used, -1: trouble. */
static int check_settings(score_journal *journal, const json_t *settings, trouble *trouble) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n_bytes = getline(&line, &capacity, journal->file);
    json_t *then = NULL;
    if (n_bytes > 0 && (size_t)n_bytes < MAX_SETTINGS && line[n_bytes - 1] == '\n')
        then = json_loadb(line, (size_t)n_bytes, 0, NULL);
    free(line);
    if (!json_is_object(then)) {
        json_decref(then);
        return 0;
    }
    const char *key = difference(settings, then);
    if (key != NULL)
        say_difference(journal, key, settings, then, trouble);
    json_decref(then);
    return key == NULL ? 1 : -1;
}

static bool remember_hash(score_journal *journal, uint64_t hash) {
    if (journal->n_done == journal->capacity) {
        size_t capacity = 2 * journal->capacity + 64;
        uint64_t *larger = realloc(journal->hashes, capacity * sizeof(*larger));
        if (larger == NULL)
            return false;
        journal->hashes = larger;
        journal->capacity = capacity;
    }
    journal->hashes[journal->n_done++] = hash;
    return true;
}

/* Whether PATH.part holds a whole line that ends at the offset. */
static bool ends_line(FILE *part, uint64_t end_offset) {
    return end_offset > 0 && fseeko(part, (off_t)(end_offset - 1), SEEK_SET) == 0 && fgetc(part) == '\n';
}

/* Whether the entry can follow one that ended at n_bytes. */
static bool is_plausible(const entry *entry, uint64_t n_bytes) {
    if (entry->magic != ENTRY_MAGIC || entry->was_skipped > 1)
        return false;
    if (entry->was_skipped != 0)
        return entry->end_offset == n_bytes && entry->n_entropies == 0;
    return entry->end_offset > n_bytes && entry->n_entropies == entry->totals.entropy.n &&
           entry->n_entropies <= entry->totals.n_tokens && entry->totals.n_tokens <= entry->end_offset;
}

static bool take_entry(score_journal *journal, const entry *entry, const float *entropies, score_summary *summary) {
    if (!remember_hash(journal, entry->hash))
        return false;
    summary->n_skipped += entry->was_skipped;
    return entry->was_skipped != 0 || score_summary_add(summary, &entry->totals, entropies, (size_t)entry->n_entropies);
}

/* Whether the file is long enough for so many: a damaged count must not decide how much memory is asked for. */
static bool can_hold(const score_journal *journal, uint64_t n_entropies) {
    off_t at = ftello(journal->file);
    return at >= 0 && at <= journal->size && n_entropies <= (uint64_t)(journal->size - at) / sizeof(float);
}

/* 1: an entry, 0: no more whole ones, -1: out of memory. */
static int read_entry(score_journal *journal, FILE *part, score_summary *summary, uint64_t *n_bytes) {
    entry entry;
    if (fread(&entry, sizeof(entry), 1, journal->file) != 1 || !is_plausible(&entry, *n_bytes) ||
        !can_hold(journal, entry.n_entropies))
        return 0;
    float *entropies = malloc(((size_t)entry.n_entropies + 1) * sizeof(*entropies));
    if (entropies == NULL)
        return -1;
    int result = 0;
    if (fread(entropies, sizeof(*entropies), (size_t)entry.n_entropies, journal->file) == entry.n_entropies &&
        (entry.was_skipped != 0 || ends_line(part, entry.end_offset))) {
        *n_bytes = entry.end_offset;
        result = take_entry(journal, &entry, entropies, summary) ? 1 : -1;
    }
    free(entropies);
    return result;
}

static bool read_entries(score_journal *journal, FILE *part, score_summary *summary, uint64_t *n_bytes,
                         trouble *trouble) {
    int more;
    do {
        journal->end = ftello(journal->file);
        more = read_entry(journal, part, summary, n_bytes);
    } while (more == 1);
    return more == 0 || trouble_set(trouble, "out of memory");
}

bool score_journal_go_on(score_journal *journal, trouble *trouble) {
    if (journal->end < 0 || fseeko(journal->file, journal->end, SEEK_SET) != 0 ||
        ftruncate(fileno(journal->file), journal->end) != 0)
        return journal_trouble(journal, trouble);
    return true;
}

static FILE *open_part(const char *output_path) {
    buffer path = {0};
    buffer_append_format(&path, "%s.part", output_path);
    FILE *part = path.failed ? NULL : fopen(path.data, "rb");
    buffer_free(&path);
    return part;
}

score_journal *score_journal_resume(const char *output_path, const json_t *settings, score_summary *summary,
                                    uint64_t *n_bytes, trouble *trouble) {
    *n_bytes = 0;
    trouble->text[0] = '\0';
    score_journal *journal = journal_new(output_path, trouble);
    FILE *part = journal != NULL ? open_part(output_path) : NULL;
    struct stat status = {0};
    if (part != NULL)
        journal->file = fopen(journal->path, "r+b");
    if (part != NULL && journal->file != NULL && fstat(fileno(journal->file), &status) == 0)
        journal->size = status.st_size;
    int usable = part != NULL && journal->file != NULL ? check_settings(journal, settings, trouble) : 0;
    if (usable == 0 && part != NULL && journal->file != NULL && fgetc(part) != EOF)
        trouble_set(trouble, "--resume: %s is damaged: remove it to begin anew", journal->path);
    if (usable == 1 && !read_entries(journal, part, summary, n_bytes, trouble))
        usable = -1;
    if (part != NULL)
        fclose(part);
    if (usable == 1)
        return journal;
    score_journal_close(journal, false);
    return NULL;
}

size_t score_journal_n_done(const score_journal *journal) {
    return journal != NULL ? journal->n_done : 0;
}

bool score_journal_matches(const score_journal *journal, size_t index, uint64_t hash) {
    return index < journal->n_done && journal->hashes[index] == hash;
}

bool score_journal_add(score_journal *journal, uint64_t end_offset, uint64_t hash, const score_totals *totals,
                       const float *entropies, size_t n_entropies, trouble *trouble) {
    entry entry = {ENTRY_MAGIC, end_offset, hash, n_entropies, 0, *totals};
    if (fwrite(&entry, sizeof(entry), 1, journal->file) != 1 ||
        (n_entropies > 0 && fwrite(entropies, sizeof(*entropies), n_entropies, journal->file) != n_entropies))
        return journal_trouble(journal, trouble);
    return true;
}

bool score_journal_skip(score_journal *journal, uint64_t end_offset, uint64_t hash, trouble *trouble) {
    entry entry = {.magic = ENTRY_MAGIC, .end_offset = end_offset, .hash = hash, .was_skipped = 1};
    return fwrite(&entry, sizeof(entry), 1, journal->file) == 1 || journal_trouble(journal, trouble);
}

bool score_journal_flush(score_journal *journal, trouble *trouble) {
    return fflush(journal->file) == 0 || journal_trouble(journal, trouble);
}
