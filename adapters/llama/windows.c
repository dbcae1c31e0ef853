/* Which windows a document is scored in: see windows.h. */
#include "windows.h"

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

bool ent_window_at(ent_window *window, const ent_window_plan *plan, size_t index) {
    /* Without a BOS the first token has no distribution, and the window has one more token. */
    const size_t first_possible = plan->has_bos ? 0 : 1;
    const size_t head_end = plan->n_ctx + first_possible; /* where the first window ends */
    const size_t step = head_end - plan->min_context;     /* tokens that each later one scores */
    const size_t first = plan->first > first_possible ? plan->first : first_possible;
    if (first >= plan->n_tokens) {
        return false;
    }
    const size_t n_skipped = first < head_end ? 0 : 1 + (first - head_end) / step;
    const size_t number = n_skipped + index;
    const size_t n_windows = plan->n_tokens <= head_end ? 1 : 1 + (plan->n_tokens - head_end + step - 1) / step;
    if (index >= n_windows || number >= n_windows) {
        return false;
    }
    const size_t start = number == 0 ? first_possible : head_end + (number - 1) * step;
    window->begin = number == 0 ? 0 : start - plan->min_context;
    window->first_scored = start > first ? start : first;
    window->end = min_size(plan->n_tokens, number == 0 ? head_end : start + step);
    return true;
}
