"""Defects: which number of a document tells broken text from text that is merely different? defects.py WORK RESULTS."""
import sys

import numpy as np

import tool
from measures import Ranking, interval
from texts import BROKEN, REPEATED, SOUND

STATISTICS = ("entropy", "surprisal", "surprisal - entropy")  # perplexity is e to the mean surprisal: the same order
RULES = (("--by", "surprisal", "--keep", "high:1%"), ("--keep", "high:1%"))


def compared(values, kind, one, other):
    """How well greater values tell the documents of ONE kind from those of the OTHER."""
    used = np.isin(kind, [*one, *other])
    ranking = Ranking(values[used], np.isin(kind[used], one))
    return {"auc": ranking.auc(), "interval": interval(ranking.auc, np.arange(used.sum()))}


def worst(records, kind, n_worst):
    """The kinds of the documents that `entrol select` finds worst by each number that it knows of a document."""
    for name in ("entropy_mean", "surprisal_mean", "perplexity"):
        found = kind[tool.chosen(records, "--by", name, "--keep", f"high:{n_worst}")]
        yield {"by": name, "kept": n_worst, "kinds": {k: int((found == k).sum()) for k in dict.fromkeys(kind)}}


def spans(records, kind):
    """In documents of which kinds the tokens lie that a rule on tokens keeps."""
    for rule in RULES:
        found = kind[records.document[tool.kept(records, *rule)]]
        yield {"rule": " ".join(rule), "kept": len(found), "kinds": {k: int((found == k).sum()) for k in dict.fromkeys(kind)}}


def main(work, results):
    records = tool.score(f"{work}/mixed.jsonl")
    kind = records.fields("kind")
    means = {s: records.mean(s) for s in STATISTICS}
    groups = [{"kind": k, "documents": int((kind == k).sum()), "tokens": int(records.n_tokens[kind == k].sum()),
               **{s: means[s][kind == k].mean() for s in STATISTICS},
               "perplexity": np.exp(records["surprisal"][(kind == k)[records.document]].mean())} for k in (*SOUND, *BROKEN, REPEATED)]
    pairs = [{"broken": b, "sound": s, **{name: compared(means[name], kind, [b], [s]) for name in STATISTICS}}
             for b in BROKEN for s in SOUND]
    total = {name: compared(means[name], kind, BROKEN, SOUND) for name in STATISTICS}
    low = {name: compared(-means[name], kind, [REPEATED], SOUND) for name in STATISTICS}
    tool.write_result(results, "defects", {
        "groups": groups, "pairs": pairs, "broken_against_sound": total, "repeated_by_low_values": low,
        "worst": list(worst(records, kind, int(np.isin(kind, BROKEN).sum()))), "tokens": list(spans(records, kind)),
        "documents": [{"kind": k, "entropy": e, "surprisal": s} for k, e, s in zip(kind, means["entropy"], means["surprisal"])]}, records)


if __name__ == "__main__":
    main(*sys.argv[1:])
