/* Token records without end, or so many bytes of them, on standard output: what `entrol score` writes of a corpus with
 * its default columns, made up fast enough that the reader is what is measured.
 *
 *     stream_records BYTES [SEED]         BYTES may end in K, M or G (powers of 1000); whole lines, the last one
 * crosses the mark
 *
 * Entropies and log-probabilities have as many digits as those of a model, and are as unevenly spread. The same seed
 * gives the same bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_TOKENS = 100, MAX_TOKENS = 1100, MAX_TEXT = MAX_TOKENS * 16, COLUMN_ROOM = MAX_TOKENS * 16 };

typedef struct text {
    char *bytes;
    size_t n;
} text;

static uint64_t state;

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t draw(void) {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void add(text *text, const char *bytes, size_t n) {
    memcpy(text->bytes + text->n, bytes, n);
    text->n += n;
}

static void add_string(text *text, const char *string) {
    add(text, string, strlen(string));
}

static void add_number(text *text, uint64_t number) {
    char digits[20];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    add(text, digits + n, sizeof digits - n);
}

/* Units of 1e-7, without zeros at the end. */
static void add_decimal(text *text, uint64_t units) {
    const uint64_t SCALE = 10000000;
    char digits[7];
    size_t n = sizeof digits;
    add_number(text, units / SCALE);
    units %= SCALE;
    for (size_t i = n; i > 0; units /= 10)
        digits[--i] = (char)('0' + units % 10);
    while (n > 0 && digits[n - 1] == '0')
        n--;
    if (n > 0) {
        add(text, ".", 1);
        add(text, digits, n);
    }
}

/* Many near 0, a long tail to `most`. */
static uint64_t draw_units(double most) {
    const double u = (double)(draw() >> 40) / 0x1p24;
    return (uint64_t)(most * 1e7 * u * u * u);
}

/* One piece of the text: as it stands in JSON; how many bytes it is. */
static size_t add_piece(text *text) {
    static const struct {
        const char *json;
        size_t n;
    } pieces[] = {{" the", 4},      {" of", 3},          {",", 1},    {" entropy", 8}, {"\\n", 1},
                  {".", 1},         {" a", 2},           {"ing", 3},  {" model", 6},   {" \\\"", 2},
                  {"\xC3\xA9t", 3}, {" in", 3},          {" was", 4}, {"tion", 4},     {" uncertain", 10},
                  {"s", 1},         {"\xE2\x80\x9C", 3}, {" and", 4}, {" to", 3},      {" token", 6}};
    const size_t i = (size_t)(draw() % (sizeof pieces / sizeof pieces[0]));
    add_string(text, pieces[i].json);
    return pieces[i].n;
}

enum { IDS, STARTS, ENDS, LOGPROBS, ENTROPIES, RANKS, N_COLUMNS };
static const char *const names[N_COLUMNS] = {"token_id", "byte_start", "byte_end", "logprob", "entropy", "rank"};

static void add_token(text columns[N_COLUMNS], size_t start, size_t end) {
    const uint64_t rank = draw();
    add_number(&columns[IDS], draw() % 262144);
    add_number(&columns[STARTS], start);
    add_number(&columns[ENDS], end);
    add_string(&columns[LOGPROBS], "-");
    add_decimal(&columns[LOGPROBS], draw_units(12));
    add_decimal(&columns[ENTROPIES], draw_units(8));
    add_number(&columns[RANKS], rank % 2 ? 1 : 1 + (rank >> 8) % (1u << (rank >> 1) % 16));
}

static size_t write_document(text *content, text columns[N_COLUMNS], uint64_t number) {
    const size_t n_tokens = MIN_TOKENS + (size_t)(draw() % (MAX_TOKENS - MIN_TOKENS));
    size_t at = 0, n_bytes = 0;
    content->n = 0;
    for (int i = 0; i < N_COLUMNS; i++)
        columns[i].n = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        const size_t n = add_piece(content);
        for (int j = 0; i > 0 && j < N_COLUMNS; j++)
            add(&columns[j], ",", 1);
        add_token(columns, at, at + n);
        at += n;
    }
    n_bytes += (size_t)printf("{\"id\": \"corpus.jsonl:%" PRIu64 "\", \"text\": \"", number);
    n_bytes += fwrite(content->bytes, 1, content->n, stdout);
    n_bytes += (size_t)printf("\", \"context_ids\": [[0, [2]]]");
    for (int i = 0; i < N_COLUMNS; i++) {
        n_bytes += (size_t)printf(i > 0 ? "], \"%s\": [" : ", \"%s\": [", names[i]);
        n_bytes += fwrite(columns[i].bytes, 1, columns[i].n, stdout);
    }
    return n_bytes + (size_t)printf("]}\n");
}

static uint64_t parse_size(const char *argument) {
    char *end;
    uint64_t n = strtoull(argument, &end, 10);
    for (const char *unit = "KMG"; *end && *unit; unit++) {
        n *= 1000;
        if (*end == *unit)
            return end[1] ? 0 : n;
    }
    return *end ? 0 : n;
}

int main(int argc, char **argv) {
    const uint64_t n_wanted = argc > 1 ? parse_size(argv[1]) : 0;
    uint64_t n_written = 0;
    text content = {malloc(MAX_TEXT), 0}, columns[N_COLUMNS];
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    if (n_wanted == 0 || argc > 3) {
        fprintf(stderr, "usage: stream_records BYTES [SEED], such as 20G\n");
        return 2;
    }
    for (int i = 0; i < N_COLUMNS; i++)
        columns[i] = (text){malloc(COLUMN_ROOM), 0};
    for (int i = 0; i < N_COLUMNS; i++)
        if (!columns[i].bytes || !content.bytes)
            return 2;
    setvbuf(stdout, NULL, _IOFBF, 1 << 18);
    for (uint64_t number = 1; n_written < n_wanted && !ferror(stdout); number++)
        n_written += write_document(&content, columns, number);
    for (int i = 0; i < N_COLUMNS; i++)
        free(columns[i].bytes);
    free(content.bytes);
    return fflush(stdout) == 0 ? 0 : 2;
}
