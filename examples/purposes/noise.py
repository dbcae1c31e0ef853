"""Noise: do the token's numbers find words with typing errors? noise.py WORK RESULTS, after texts.py made WORK/noisy.jsonl."""
import re
import sys

import numpy as np

import tool
from measures import Ranking, interval

STATISTICS = ("entropy", "surprisal", "surprisal - entropy", "rank", "varentropy")
RULES = (("--mask", "high:20%"), ("--mask", "high:20%", "--by", "surprisal"), ("--mask", "high:3%", "--by", "surprisal"))


def classes(records):
    """Of each token: the number of the damaged word that it is of, or -1; and whether it begins a word of four letters or more."""
    word, begins, n_words = [], [], 0
    for document in records.documents:
        start, end = np.array(document["byte_start"]), np.array(document["byte_end"])
        inside, first_token = np.full(len(start), -1), np.zeros(len(start), bool)
        starts = [len(document["text"][:m.start()].encode()) for m in re.finditer(r"\b[A-Za-z]{4,}", document["text"])]
        for first in [place[0] for place in document["damaged"]] + starts:
            first_token |= (start <= first) & (first < end)
        for first, last, _ in document["damaged"]:
            inside[(start < last) & (end > first)] = n_words
            n_words += 1
        word.append(inside)
        begins.append(first_token)
    return np.concatenate(word), np.concatenate(begins)


def measured(scores, positive, document):
    ranking = Ranking(scores, positive)
    return {"auc": ranking.auc(), "interval": interval(ranking.auc, document)}


def rules(records, word, after):
    """What each rule of `entrol select` takes out."""
    for rule in RULES:
        out = ~tool.kept(records, *rule)
        yield {"rule": " ".join(rule), "share_out": out.mean(), "damaged_out": out[word >= 0].mean(),
               "others_out": out[(word < 0) & ~after].mean(), "damaged_among_out": (word[out] >= 0).mean(), "words_touched": len(set(word[out]) - {-1}) / len(set(word) - {-1})}


def main(work, results):
    records = tool.score(f"{work}/noisy.jsonl")
    word, begins = classes(records)
    damaged = word >= 0
    after = ~damaged & np.roll(damaged, 1) & (np.diff(records.document, prepend=-1) == 0)
    sets = {"damaged": (damaged, ~after),  # what is sought, and among which tokens
            "first": (damaged & begins, begins & ~after), "later": (damaged & ~begins, ~after & ~(damaged & begins)),
            "after": (after, ~damaged)}
    found = {name: {s: measured(records[s][among], sought[among], records.document[among]) for s in STATISTICS}
             for name, (sought, among) in sets.items()}
    curves = {s: Ranking(records[s][~after], damaged[~after]).roc() for s in STATISTICS}
    kinds = {"damaged": damaged, "after": after, "others": ~damaged & ~after}
    tool.write_result(results, "noise", {
        "words": sum(len(d["text"].split()) for d in records.documents), "damaged_words": len(set(word) - {-1}),
        "sought": {name: int(sought.sum()) for name, (sought, _) in sets.items()}, "auc": found, "rules": list(rules(records, word, after)),
        "mean": {s: {name: records[s][which].mean() for name, which in kinds.items()} for s in ("entropy", "surprisal")},
        "roc": {s: {"false_positives": curve[0], "true_positives": curve[1]} for s, curve in curves.items()}}, records)


if __name__ == "__main__":
    main(*sys.argv[1:])
