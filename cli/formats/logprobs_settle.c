/* What follows from a response as a whole: the lists in order, the chosen tokens found in them, and how exact the
 * numbers are. */
#include "logprobs_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- Lists --- */

static int by_logprob(const void *a, const void *b) {
    const logprobs_entry *first = a, *second = b;
    if (first->logprob != second->logprob)
        return first->logprob > second->logprob ? -1 : 1;
    return first->place < second->place ? -1 : first->place > second->place;
}

/* A text in which U+FFFD stands may be another token's too. */
static bool has_key(const logprobs_entry *entry) {
    return entry->id >= 0 || (entry->text && !entry->is_damaged);
}

static int by_key(const void *a, const void *b) {
    const logprobs_entry *first = *(const logprobs_entry *const *)a, *second = *(const logprobs_entry *const *)b;
    if (first->id != second->id)
        return first->id < second->id ? -1 : 1;
    if (first->id >= 0)
        return 0;
    size_t n = first->n_bytes < second->n_bytes ? first->n_bytes : second->n_bytes;
    int order = memcmp(first->text, second->text, n);
    return order != 0 ? order : first->n_bytes < second->n_bytes ? -1 : first->n_bytes > second->n_bytes;
}

static bool check_duplicates(const logprobs_reader *reader, const logprobs_entry *top, size_t n) {
    const logprobs_entry **keyed = malloc((n + 1) * sizeof *keyed);
    size_t n_keyed = 0;
    if (!keyed)
        return trouble_set(reader->trouble, "%s: out of memory", reader->name);
    for (size_t i = 0; i < n; i++)
        if (has_key(&top[i]))
            keyed[n_keyed++] = &top[i];
    qsort(keyed, n_keyed, sizeof *keyed, by_key);
    bool ok = true;
    for (size_t i = 1; ok && i < n_keyed; i++) {
        const logprobs_entry *twice = keyed[i];
        if (by_key(&keyed[i - 1], &keyed[i]) != 0)
            continue;
        ok = twice->id >= 0
                 ? logprobs_report(reader, "the token %lld is twice among the most probable ones", (long long)twice->id)
                 : logprobs_report(reader,
                                   "the token \"%.*s\" is twice among the most probable ones (tokens of the "
                                   "same text need numbers: vLLM's --return-tokens-as-token-ids)",
                                   (int)(twice->n_bytes < 40 ? twice->n_bytes : 40), twice->text);
    }
    free(keyed);
    return ok;
}

static bool is_same(const logprobs_entry *chosen, const logprobs_entry *listed) {
    if (chosen->id >= 0 && listed->id >= 0)
        return chosen->id == listed->id;
    bool same_text = chosen->text && listed->text && chosen->n_bytes == listed->n_bytes &&
                     memcmp(chosen->text, listed->text, listed->n_bytes) == 0;
    return same_text && (!listed->is_damaged || chosen->logprob == listed->logprob);
}

static size_t find_chosen(const logprobs_token *token, const logprobs_entry *top) {
    for (size_t i = 0; i < token->n_top; i++)
        if (is_same(&token->chosen, &top[i]))
            return i;
    return token->n_top;
}

/* --- Which of a list are the most probable ones --- */

/* In an object of texts, one stands for all tokens with this text: where it is U+FFFD, others may be missing. */
static bool lacks_some(const logprobs_token *token, const logprobs_entry *top) {
    for (size_t i = 0; token->list == LOGPROBS_TEXT_AND_CHOSEN && i < token->n_top; i++)
        if (top[i].is_damaged)
            return true;
    return false;
}

/* k of the lists of k or k + 1 in a choice: as many as there are where the chosen one is not the least, and so is one
 * of the k. Else the lists tell, if some are longer than others. 0: nothing tells. */
static size_t find_k(const logprobs_choice *choice, logprobs_list list) {
    size_t least = SIZE_MAX, greatest = 0, k = 0;
    for (size_t i = 0; i < choice->n_tokens; i++) {
        const logprobs_token *token = &choice->tokens[i];
        const logprobs_entry *top = logprobs_top_of(choice, token);
        size_t n = token->n_top;
        if (token->list != list || n == 0 || lacks_some(token, top))
            continue;
        if (find_chosen(token, top) + 1 < n && n > k)
            k = n;
        least = n < least ? n : least;
        greatest = n > greatest ? n : greatest;
    }
    return k > 0 ? k : least < greatest ? least : 0;
}

/* Whether the least of a list may be there only because it came. `is_known`: the least is the chosen one. */
static bool least_may_be_extra(const logprobs_token *token, const logprobs_entry *top, bool is_known, size_t k) {
    size_t n = token->n_top;
    const logprobs_entry *least = &top[n - 1];
    if (least->rank > 0)
        return (uint64_t)least->rank > n;
    if (n == 1 && least->logprob > log(0.5)) /* nothing else can be more probable */
        return false;
    switch (token->list) {
    case LOGPROBS_TOP: /* in order, unless the chosen one was put first */
        return is_known && n > 1 && least->place == 0 && least->logprob < top[n - 2].logprob;
    case LOGPROBS_CHOSEN_FIRST:
        return is_known;
    default:
        return n != k;
    }
}

static int64_t rank_in(const logprobs_entry *top, size_t at) {
    while (at > 0 && top[at - 1].logprob == top[at].logprob)
        at--;
    return (int64_t)at + 1;
}

static bool settle_token(const logprobs_reader *reader, logprobs_choice *choice, logprobs_token *token, size_t k) {
    logprobs_entry *top = logprobs_top_of(choice, token);
    if (!check_duplicates(reader, top, token->n_top))
        return false;
    size_t at = find_chosen(token, top), n = token->n_top;
    bool is_chosen_known = token->chosen.id >= 0 || token->chosen.text;
    token->outside = NAN;
    token->is_ranked = !lacks_some(token, top);
    if (n > 0 && (at == n - 1 || !is_chosen_known) && least_may_be_extra(token, top, at == n - 1, k)) {
        token->outside = top[n - 1].logprob;
        token->n_top--;
        at = n;
    } else if (at == n) {
        token->outside = token->chosen.logprob;
    }
    token->rank = token->chosen.rank;
    if (at < token->n_top)
        token->rank = token->is_ranked ? rank_in(top, at) : 0;
    return true;
}

/* --- The numbers --- */

/* What the numbers of a response show of how they were rounded. */
typedef struct digits {
    size_t n; /* numbers other than 0 and -inf */
    int decimals;
    bool fit_f16, fit_bf16;
    bool are_all_zero;
    size_t n_tokens, n_zero; /* that have a log-probability, and one of 0 */
    bool has_other;          /* a list has another one for the token that came than the token has */
} digits;

/* A coarse rounding that all numbers show is taken for one only where there are so many of them: a few may be written
 * in three decimals because they are meant so. */
enum { EVIDENCE = 32, MAX_DECIMALS = 7 };

/* A number may have been a float on its way. */
static bool is_whole(double scaled) {
    return fabs(scaled - rint(scaled)) <= 6e-8 * fabs(scaled);
}

/* The fewest decimals that give it back; MAX_DECIMALS: as many, or more. */
static int count_decimals(double value) {
    int decimals = 0;
    for (double scaled = value; decimals < MAX_DECIMALS && !is_whole(scaled); scaled *= 10)
        decimals++;
    return decimals;
}

/* Whether it has no more significant bits. */
static bool fits_bits(double value, int bits) {
    int exponent;
    return is_whole(ldexp(frexp(value, &exponent), bits));
}

static void add_number(digits *digits, double logprob) {
    if (!isfinite(logprob))
        return;
    digits->are_all_zero = digits->are_all_zero && logprob == 0;
    if (logprob == 0)
        return;
    digits->n++;
    if (digits->decimals < MAX_DECIMALS) {
        int decimals = count_decimals(logprob);
        digits->decimals = decimals > digits->decimals ? decimals : digits->decimals;
    }
    digits->fit_f16 = digits->fit_f16 && fits_bits(logprob, 11);
    digits->fit_bf16 = digits->fit_bf16 && fits_bits(logprob, 8);
}

/* The library's own: what f32 leaves. Half a unit of the last decimal; half a unit in the last place of a half. */
static void set_errors(logprobs *response, const digits *digits) {
    response->logprob_error = response->relative_error = 2e-6;
    if (digits->n > 0 && digits->decimals < MAX_DECIMALS && (digits->decimals > 3 || digits->n >= EVIDENCE))
        response->logprob_error = fmax(2e-6, 0.5000001 * pow(10, -digits->decimals));
    if (digits->n >= EVIDENCE && (digits->fit_f16 || digits->fit_bf16))
        response->relative_error = digits->fit_bf16 ? 0x1p-8 : 0x1p-11;
}

static bool check_numbers(const logprobs_reader *reader, const digits *digits) {
    bool is_measured = digits->n_zero < digits->n_tokens || !(digits->are_all_zero || digits->has_other);
    if (digits->n_tokens < 2 || is_measured)
        return true;
    return logprobs_report_line(reader,
                                "every log-probability is 0: the server did not measure them (as with speculative "
                                "decoding); record them without it");
}

static bool differs_from_list(const logprobs_choice *choice, const logprobs_token *token) {
    const logprobs_entry *top = logprobs_top_of(choice, token);
    size_t at = find_chosen(token, top);
    return at < token->n_top && fabs(top[at].logprob - token->chosen.logprob) > 0.01;
}

static bool settle_choice(logprobs_reader *reader, logprobs_choice *choice, digits *digits) {
    size_t ks[2];
    choice->has_text = true;
    for (size_t i = 0; i < choice->n_tokens; i++)
        qsort(logprobs_top_of(choice, &choice->tokens[i]), choice->tokens[i].n_top, sizeof *choice->top, by_logprob);
    ks[0] = find_k(choice, LOGPROBS_TOP_AND_CHOSEN);
    ks[1] = find_k(choice, LOGPROBS_TEXT_AND_CHOSEN);
    for (size_t i = 0; i < choice->n_tokens; i++) {
        logprobs_token *token = &choice->tokens[i];
        reader->token = i;
        choice->has_text = choice->has_text && token->chosen.text != NULL;
        digits->n_tokens += isfinite(token->chosen.logprob) ? 1 : 0;
        digits->n_zero += token->chosen.logprob == 0 ? 1 : 0;
        digits->has_other = digits->has_other || differs_from_list(choice, token);
        add_number(digits, token->chosen.logprob);
        if (!settle_token(reader, choice, token, ks[token->list == LOGPROBS_TEXT_AND_CHOSEN]))
            return false;
    }
    for (size_t i = 0; i < choice->n_top; i++)
        add_number(digits, choice->top[i].logprob);
    return true;
}

bool logprobs_settle(logprobs_reader *reader) {
    logprobs *response = reader->response;
    digits digits = {.fit_f16 = true, .fit_bf16 = true, .are_all_zero = true};
    size_t n_choices = response->n_choices;
    bool ok = true;
    for (size_t i = 0; ok && i < n_choices; i++) {
        response->n_choices = i + 1; /* the last one is the one that messages name */
        ok = settle_choice(reader, &response->choices[i], &digits);
    }
    response->n_choices = n_choices;
    set_errors(response, &digits);
    return ok && check_numbers(reader, &digits);
}
