/* Published rules by name, and what each purpose begins with: one row each. Where a paper's rule has parts that are no
 * selection (relabelling, voting, several rounds), a row is its selection alone. */
#include <entrol/select.h>

#include <string.h>

/* clang-format off */
static const entrol_recipe recipes[] = {
    /* --- What --for begins with --- */
    {"self-training", "self-training", "token", "entropy", "low:80%", 0, "corpus", "records", "linear", NULL,
     "the model's own labels where it is sure", "entropy as confidence: Grandvalet and Bengio, NIPS 2004"},
    {"active-learning", "active-learning", "sample", "entropy", "high:100", 0, "corpus", "samples", "linear", NULL,
     "the 100 samples the model is least sure of, by their mean, which does not favour long ones",
     "Settles and Craven, EMNLP 2008: token entropy normalised by length"},
    {"distillation", "distillation", "token", "entropy", "high:20%", 1, "corpus", "records", "linear", NULL,
     "leave out the teacher's least sure tokens", "a start; recipes of this purpose have sources"},
    {"noise", "noise", "token", "entropy", "high:20%", 1, "corpus", "records", "linear", NULL,
     "leave out the least sure tokens", "a start; recipes of this purpose have sources"},
    {"defects", "defects", "token", "surprisal", "high:1%", 0, "corpus", "spans", "linear", NULL,
     "where the text is least what the model expects", "surprisal as in GLTR, arXiv 1906.04043"},
    {"reinforcement", "reinforcement", "token", "entropy", "high:20%", 0, "corpus", "records", "linear", NULL,
     "the tokens that keep the policy gradient", "arXiv 2506.01939"},
    /* --- Self-training --- */
    {"fixmatch", "self-training", "sample", "top_prob", "0.95..", 0, "corpus", "samples", "linear", NULL,
     "pseudo-labels of a probability of at least 0.95", "FixMatch, arXiv 2001.07685"},
    {"flexmatch", "self-training", "sample", "top_prob", "flexmatch:0.95", 0, "group:class", "samples", "linear", NULL,
     "the same with a lower threshold where a class is learnt less: 0.95 b / (2 - b)", "FlexMatch, arXiv 2110.08263"},
    {"robustft", "self-training", "sample", "entropy", "low:50%", 0, "corpus", "samples", "linear", NULL,
     "answers of less than the median entropy", "RobustFT, arXiv 2412.14922"},
    {"deepconf", "self-training", "sample", "confidence_window_min:2048", "high:10%", 0, "corpus", "samples", "linear",
     NULL, "the tenth of the traces whose worst 2048 tokens are the surest (score --top 20 --columns mean_topk_logprob); --scope "
     "group:FIELD does it for each question",
     "DeepConf, arXiv 2508.15260"},
    /* --- Active learning --- */
    {"margin", "active-learning", "sample", "margin", "low:100", 0, "corpus", "samples", "linear", NULL,
     "the least distance of the two most probable", "Scheffer, Decomain and Wrobel, IDA 2001"},
    {"least-confidence", "active-learning", "sample", "top_prob", "low:100", 0, "corpus", "samples", "linear", NULL,
     "the least sure of its best answer", "Culotta and McCallum, AAAI 2005"},
    {"bald", "active-learning", "sample", "bald", "high:100", 0, "corpus", "samples", "linear", NULL,
     "where several models disagree: H of their mean less the mean of their H", "BALD, arXiv 1112.5745"},
    /* --- Distillation --- */
    {"se-kd", "distillation", "token", "entropy", "high:20%", 0, "document", "records", "linear", NULL,
     "the tokens of which the student is least sure: give the student's records", "SE-KD, arXiv 2602.01395"},
    {"eopd", "distillation", "token", "reference_entropy", "high:20%", 0, "corpus", "records", "linear", NULL,
     "where the teacher (--reference) is least sure, to learn by the forward KL there; the share is not the paper's, "
     "which has a threshold for each teacher", "EOPD, arXiv 2603.07079"},
    {"todi", "distillation", "token", "excess_loss", "p0..p100", 0, "corpus", "records", "linear", "sigmoid",
     "a weight for the forward KL, sigmoid(ln p of the teacher (--reference) - ln p of the student), of the token that "
     "came; the paper has one for every token of the vocabulary", "ToDi, arXiv 2505.16297"},
    /* --- Noise --- */
    {"rho1", "noise", "token", "excess_loss", "high:60%", 0, "document", "records", "linear", NULL,
     "what the reference model (--reference) knows better", "Rho-1, arXiv 2404.07965"},
    {"token-cleaning", "noise", "token", "excess_loss", "high:60%", 0, "corpus", "records", "linear", NULL,
     "the same over all documents", "Token Cleaning, arXiv 2502.01968"},
    {"ifd", "noise", "sample", "ifd", "1..", 1, "corpus", "samples", "linear", NULL,
     "without answers that the question does not make likelier; --reference: the answers scored alone",
     "IFD, arXiv 2308.12032"},
    {"ccnet", "noise", "sample", "perplexity", "..p30", 0, "corpus", "samples", "linear", NULL,
     "the head of three buckets by perplexity, ..p30, p30..p60 and p60..", "CCNet, arXiv 1911.00359"},
    /* --- Defects --- */
    {"confident-wrong", "defects", "token", "surprisal_excess", "high:1%", 0, "corpus", "spans", "linear", NULL,
     "sure and wrong: surprisal beyond what the entropy lets expect", "typical information, arXiv 2202.00666"},
    {"gltr", "defects", "token", "rank", "1001..", 0, "corpus", "spans", "linear", NULL,
     "tokens beyond the 1000 most probable; its other bands are ..10, 11..100 and 101..1000", "GLTR, arXiv 1906.04043"},
    /* --- Reinforcement --- */
    {"trl", "reinforcement", "token", "entropy", "p80..", 0, "corpus", "records", "torch", NULL,
     "TRL's top_entropy_quantile of 0.2, with torch's quantile", "TRL, GRPOTrainer"},
    {"8020", "reinforcement", "token", "entropy", "high:=20%", 0, "corpus", "records", "linear", NULL,
     "exactly a fifth of the tokens", "arXiv 2506.01939"},
    {"hes", "reinforcement", "sample", "entropy_top_sum:0.5", "high:20%", 0, "corpus", "samples", "linear", NULL,
     "the fifth with the greatest sum of the 0.5 % most uncertain tokens", "HES, arXiv 2605.22389"},
};
/* clang-format on */

size_t entrol_recipe_count(void) {
    return sizeof(recipes) / sizeof(recipes[0]);
}

const entrol_recipe *entrol_recipe_at(size_t index) {
    return index < entrol_recipe_count() ? &recipes[index] : NULL;
}

const entrol_recipe *entrol_recipe_find(const char *name) {
    for (size_t i = 0; name && i < entrol_recipe_count(); i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}
