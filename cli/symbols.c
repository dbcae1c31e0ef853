/* Counting symbols in one pass; memory grows with the number of distinct symbols, not with the text. Words are the keys
 * of a jansson object: a hash table with a random seed, so that no text makes it slow, which keeps its order. */
#include "symbols.h"
#include "buffer.h"
#include "utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16, N_BYTES = 256, N_CHARACTERS = 0x110000 };

typedef struct counter {
    symbol_kind kind;
    uint64_t *table; /* by byte or character */
    json_t *words;
    buffer word; /* the one being read */
    uint64_t n_total;
    uint64_t n_newlines; /* of the text that was taken */
    bool failed;
} counter;

static void end_word(counter *counter) {
    if (counter->word.size == 0)
        return;
    const char *key = counter->word.data;
    size_t n = counter->word.size;
    json_t *count = json_object_getn(counter->words, key, n);
    int status = count ? json_integer_set(count, json_integer_value(count) + 1)
                       : json_object_setn_new_nocheck(counter->words, key, n, json_integer(1));
    counter->failed |= status != 0;
    counter->n_total++;
    buffer_clear(&counter->word);
}

static void count_character(counter *counter, const char *bytes, size_t n, uint32_t code) {
    if (counter->kind == SYMBOL_CHARACTERS) {
        counter->table[code]++;
        counter->n_total++;
    } else if (utf8_is_white_space(code)) {
        end_word(counter);
    } else {
        buffer_append(&counter->word, bytes, n);
        counter->failed |= counter->word.failed;
    }
}

/* Counts the whole characters among n bytes; what is left is fewer than 4, unless the text ends here. Returns how many
 * bytes were taken; they end before n only at such a rest, or at a byte that is not UTF-8 (then *broken). */
static size_t count_text(counter *counter, const char *bytes, size_t n, bool is_last, bool *broken) {
    size_t at = 0;
    *broken = false;
    while (at < n && (is_last || n - at >= 4)) {
        uint32_t code;
        size_t length = utf8_next(bytes + at, n - at, &code);
        if (code == UTF8_BROKEN) {
            *broken = true;
            break;
        }
        count_character(counter, bytes + at, length, code);
        counter->n_newlines += code == '\n';
        at += length;
    }
    return at;
}

static bool read_bytes(counter *counter, input *input, trouble *trouble) {
    unsigned char chunk[CHUNK];
    ssize_t n;
    while ((n = input_read(input, chunk, CHUNK, trouble)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            counter->table[chunk[i]]++;
        counter->n_total += (uint64_t)n;
    }
    return n == 0;
}

static bool read_text(counter *counter, input *input, trouble *trouble) {
    char chunk[CHUNK];
    size_t held = 0;
    uint64_t taken = 0;
    for (;;) {
        ssize_t n = input_read(input, chunk + held, CHUNK - held, trouble);
        if (n < 0)
            return false;
        bool broken;
        size_t size = held + (size_t)n, used = count_text(counter, chunk, size, n == 0, &broken);
        taken += used;
        if (broken)
            return trouble_set(trouble,
                               "%s:%llu: expected UTF-8 text, found an invalid byte (0x%02x) at byte %llu of the file",
                               input_name(input), (unsigned long long)counter->n_newlines + 1,
                               (unsigned char)chunk[used], (unsigned long long)taken + 1);
        if (counter->failed)
            return trouble_set(trouble, "%s: out of memory", input_name(input));
        if (n == 0)
            break;
        held = size - used;
        memmove(chunk, chunk + used, held);
    }
    if (counter->kind == SYMBOL_WORDS)
        end_word(counter);
    return !counter->failed || trouble_set(trouble, "%s: out of memory", input_name(input));
}

/* The counts above 0, one after the other. */
static bool collect(symbol_counts *counts, const counter *counter, size_t table_size) {
    size_t room = counter->words ? json_object_size(counter->words) : table_size;
    counts->counts = malloc((room + 1) * sizeof *counts->counts);
    if (!counts->counts)
        return false;
    for (size_t i = 0; i < table_size; i++)
        if (counter->table[i] > 0)
            counts->counts[counts->n_symbols++] = counter->table[i];
    const char *key;
    json_t *value;
    json_object_foreach(counter->words, key, value) {
        counts->counts[counts->n_symbols++] = (uint64_t)json_integer_value(value);
    }
    counts->n_total = counter->n_total;
    return true;
}

bool symbols_count(symbol_counts *counts, input *input, symbol_kind kind, trouble *trouble) {
    counter counter = {.kind = kind};
    size_t table_size = kind == SYMBOL_BYTES ? N_BYTES : kind == SYMBOL_CHARACTERS ? N_CHARACTERS : 0;
    *counts = (symbol_counts){0};
    if (table_size > 0)
        counter.table = calloc(table_size, sizeof *counter.table);
    else
        counter.words = json_object();
    bool ok = counter.table || counter.words || trouble_set(trouble, "%s: out of memory", input_name(input));
    if (ok)
        ok = kind == SYMBOL_BYTES ? read_bytes(&counter, input, trouble) : read_text(&counter, input, trouble);
    if (ok && !collect(counts, &counter, table_size))
        ok = trouble_set(trouble, "%s: out of memory", input_name(input));
    free(counter.table);
    json_decref(counter.words);
    buffer_free(&counter.word);
    return ok;
}
