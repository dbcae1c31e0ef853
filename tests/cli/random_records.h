/* Token records made up: every column, all of Unicode, the numbers that are special. */
#ifndef RANDOM_RECORDS_H
#define RANDOM_RECORDS_H

#include "harness.h"
#include "formats/record.h"

static float random_real(void) {
    const double exponent = test_uniform() * 12 - 8;
    return (float)((test_below(2) ? 1 : -1) * test_uniform() * pow(10, exponent));
}

/* Of one to four bytes, most of them ASCII; not NUL, no surrogate. */
static void append_character(buffer *text) {
    static const uint32_t ends[] = {0x80, 0x80, 0x80, 0x800, 0x10000, 0x110000};
    uint32_t code = 1 + (uint32_t)test_below(ends[test_below(6)] - 1);
    if (code >= 0xD800 && code <= 0xDFFF)
        code -= 0x1000;
    if (code < 0x80)
        buffer_append(text, &(char){(char)code}, 1);
    else if (code < 0x800)
        buffer_append(text, (char[]){(char)(0xC0 | code >> 6), (char)(0x80 | (code & 0x3F))}, 2);
    else if (code < 0x10000)
        buffer_append(
            text, (char[]){(char)(0xE0 | code >> 12), (char)(0x80 | (code >> 6 & 0x3F)), (char)(0x80 | (code & 0x3F))},
            3);
    else
        buffer_append(text,
                      (char[]){(char)(0xF0 | code >> 18), (char)(0x80 | (code >> 12 & 0x3F)),
                               (char)(0x80 | (code >> 6 & 0x3F)), (char)(0x80 | (code & 0x3F))},
                      4);
}

static char *random_string(size_t n_characters) {
    buffer text = {0};
    buffer_append(&text, "", 0);
    for (size_t i = 0; i < n_characters; i++)
        append_character(&text);
    return text.data;
}

static void fill_value(column *column, column_type type, size_t slot) {
    static const float specials[] = {0, -0.0f, 1, NAN, INFINITY, -INFINITY};
    if (test_below(20) == 0) {
        column->valid[slot] = 0;
        return;
    }
    if (type == COLUMN_REAL)
        column->reals[slot] = test_below(20) ? random_real() : specials[test_below(6)];
    else if (type == COLUMN_STRING)
        column->strings[slot] = random_string(test_below(6));
    else if (type == COLUMN_FLAG)
        column->integers[slot] = (int64_t)test_below(2);
    else
        column->integers[slot] =
            test_below(20) ? (int64_t)test_below(300000) : (int64_t)(test_random() >> 5) - (1 << 30);
}

/* Byte offsets that fit a text of n_bytes. */
static void fill_offsets(document *document, size_t n_bytes) {
    const size_t n = document->n_tokens;
    for (size_t i = 0; i < n; i++) {
        document->columns[COLUMN_BYTE_START].integers[i] = (int64_t)(n_bytes * i / n);
        document->columns[COLUMN_BYTE_END].integers[i] = (int64_t)(n_bytes * (i + 1) / n);
    }
}

/* Each column with the given chance in 100. */
static void random_document(document *made, size_t n_tokens, size_t chance) {
    document document = {.n_tokens = n_tokens};
    char *text = random_string(n_tokens * 4);
    document.fields = json_pack("{s:s,s:s,s:[[i,[i]]],s:{s:f,s:b,s:n,s:[]}}", "id", "a/b.txt:12", "text", text,
                                "context_ids", 0, 2, "other", "x", 0.25, "y", 1, "z", "list");
    for (int id = 0; id < COLUMN_COUNT; id++) {
        if (test_below(100) >= chance)
            continue;
        const size_t width = record_columns[id].is_list ? test_below(6) : 1;
        CHECK(document_add_column(&document, (column_id)id, width));
        if (id == COLUMN_BYTE_START || id == COLUMN_BYTE_END)
            continue;
        for (size_t i = 0; i < n_tokens * width; i++)
            fill_value(&document.columns[id], record_columns[id].type, i);
    }
    if (document.columns[COLUMN_BYTE_START].is_present && document.columns[COLUMN_BYTE_END].is_present)
        fill_offsets(&document, strlen(text));
    *made = document;
    free(text);
}

/* As score writes it. */
static void random_line(buffer *line, size_t n_tokens, size_t chance) {
    document document;
    random_document(&document, n_tokens, chance);
    record_write(line, &document);
    line->data[--line->size] = 0; /* the newline */
    document_free(&document);
}

static const record_wanted *random_wanted(void) {
    static record_wanted wanted;
    wanted =
        (record_wanted){.columns = (column_set)test_random() & record_everything.columns, .fields = test_below(2) == 1};
    return test_below(3) ? &wanted : &record_everything;
}

/* One to three bytes changed, added or left out. */
static void mutate_line(buffer *line) {
    static const char bytes[] = "0123456789-+.eE,:[]{}\"\\ \tnulltruefalsNaIy/bu\xC3\xA9\x80\x1F";
    for (size_t n = 1 + test_below(3); n > 0 && line->size > 0; n--) {
        const size_t at = test_below(line->size);
        const char c = bytes[test_below(sizeof bytes)]; /* its NUL, too */
        switch (test_below(4)) {
        case 0: /* a byte more, in the place of the last */
            memmove(line->data + at + 1, line->data + at, line->size - at - 1);
            line->data[at] = c;
            break;
        case 1:
            memmove(line->data + at, line->data + at + 1, line->size - at - 1);
            line->size--;
            break;
        default:
            line->data[at] = c;
        }
    }
}

#endif
