/* "context_ids": what the model read besides the tokens that have a record, so that a trainer can be given all of it.
 */
#include "score.h"

#ifdef ENTROL_HAVE_LLAMA

#include "score_llama.h"

/* Adds [row, [id, ...]]; `ids` is taken. */
static bool append_run(json_t *runs, size_t row, json_t *ids) {
    json_t *run = json_array();
    bool ok = json_array_append_new(run, json_integer((json_int_t)row)) == 0;
    ok = json_array_append_new(run, ids) == 0 && ok;
    return json_array_append_new(runs, run) == 0 && ok;
}

/* The tokens [from, to), after the start token if it is not negative. */
static json_t *ids_between(const scored_text *scored, int32_t bos, size_t from, size_t to) {
    json_t *ids = json_array();
    if (bos >= 0)
        json_array_append_new(ids, json_integer(bos));
    for (size_t i = from; i < to; i++)
        json_array_append_new(ids, json_integer(scored->ids[i]));
    return ids;
}

bool scored_text_context(json_t *fields, const scored_text *scored, int32_t bos) {
    size_t n_rows = scored->rows != NULL ? scored->n_rows : scored->n_tokens - scored->first;
    size_t from = 0; /* the first token after the record before this row */
    json_t *runs = json_array();
    bool ok = runs != NULL;
    for (size_t row = 0; ok && row <= n_rows; row++) {
        size_t to = row == n_rows ? scored->n_tokens : scored->first + (scored->rows != NULL ? scored->rows[row] : row);
        int32_t start = row == 0 ? bos : -1;
        if (to > from || start >= 0)
            ok = append_run(runs, row, ids_between(scored, start, from, to));
        from = to + 1;
    }
    return json_object_set_new(fields, "context_ids", runs) == 0 && ok;
}

#endif
