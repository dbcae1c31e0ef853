/* Token strings by id, in an open hash table. See vocabulary.h. */
#include "vocabulary.h"

#include <stdlib.h>
#include <string.h>

static size_t slot_of(const vocabulary *vocabulary, int64_t id) {
    size_t slot = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15u >> 20) & (vocabulary->n_slots - 1);
    while (vocabulary->slots[slot].string && vocabulary->slots[slot].id != id)
        slot = (slot + 1) & (vocabulary->n_slots - 1);
    return slot;
}

static bool grow(vocabulary *vocabulary) {
    struct vocabulary old = *vocabulary;
    vocabulary->n_slots = old.n_slots ? 2 * old.n_slots : 1024;
    vocabulary->slots = calloc(vocabulary->n_slots, sizeof *vocabulary->slots);
    if (!vocabulary->slots) {
        *vocabulary = old;
        return false;
    }
    for (size_t i = 0; i < old.n_slots; i++)
        if (old.slots[i].string)
            vocabulary->slots[slot_of(vocabulary, old.slots[i].id)] = old.slots[i];
    free(old.slots);
    return true;
}

/* Keeps the first string given for an id. */
static bool add(vocabulary *vocabulary, int64_t id, const char *text, size_t size) {
    if (2 * vocabulary->n_used >= vocabulary->n_slots && !grow(vocabulary))
        return false;
    size_t slot = slot_of(vocabulary, id);
    if (vocabulary->slots[slot].string)
        return true;
    char *string = strndup(text, size);
    if (!string)
        return false;
    vocabulary->slots[slot].id = id;
    vocabulary->slots[slot].string = string;
    vocabulary->n_used++;
    return true;
}

const char *vocabulary_find(const vocabulary *vocabulary, int64_t id) {
    return vocabulary->n_slots ? vocabulary->slots[slot_of(vocabulary, id)].string : NULL;
}

void vocabulary_append_json(buffer *json, const vocabulary *vocabulary) {
    const char *separator = "";
    buffer_append_string(json, ",\"vocabulary\":{");
    for (size_t i = 0; i < vocabulary->n_slots; i++) {
        if (!vocabulary->slots[i].string)
            continue;
        buffer_append_format(json, "%s\"%lld\":", separator, (long long)vocabulary->slots[i].id);
        buffer_append_json_string(json, vocabulary->slots[i].string, strlen(vocabulary->slots[i].string));
        separator = ",";
    }
    buffer_append_string(json, "}");
}

void vocabulary_free(vocabulary *vocabulary) {
    for (size_t i = 0; i < vocabulary->n_slots; i++)
        free(vocabulary->slots[i].string);
    free(vocabulary->slots);
    memset(vocabulary, 0, sizeof *vocabulary);
}

static bool add_list(vocabulary *vocabulary, const column *ids, const column *strings, size_t n_values) {
    if (!ids->is_present || !strings->is_present || ids->width != strings->width)
        return true;
    for (size_t i = 0; i < n_values * ids->width; i++)
        if (ids->valid[i] && strings->valid[i] &&
            !add(vocabulary, ids->integers[i], strings->strings[i], strlen(strings->strings[i])))
            return false;
    return true;
}

bool vocabulary_add_tokens(vocabulary *vocabulary, const document *document, const pieces *pieces) {
    const column *columns = document->columns, *ids = &columns[COLUMN_TOKEN_ID];
    if (!add_list(vocabulary, &columns[COLUMN_TOP_ID], &columns[COLUMN_TOP_TOKEN], document->n_tokens) ||
        !add_list(vocabulary, ids, &columns[COLUMN_TOKEN], document->n_tokens))
        return false;
    for (size_t i = 0; ids->is_present && pieces->has_text && i < pieces->n_items; i++) {
        const piece *piece = &pieces->items[i];
        if (piece->n_tokens == 1 && piece->size && ids->valid[piece->first_token] &&
            !add(vocabulary, ids->integers[piece->first_token], pieces->text + piece->offset, piece->size))
            return false;
    }
    return true;
}
