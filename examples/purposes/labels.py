"""Self-training and distillation: are the labels that a rule keeps right? labels.py WORK RESULTS.

A token's pseudo-label is the model's favourite; it is right where the token that came has rank 1.
"""
import sys

import numpy as np

import tool
from measures import Ranking, interval

RULES = (("--keep", "low:80%"), ("--mask", "high:20%"), ("--keep", "high:20%"), ("--keep", "low:80%", "--scope", "document"),
         ("--keep", "0.9..", "--by", "top_prob"), ("--keep", "0.95..", "--by", "top_prob"))
SURENESS = {"entropy": -1, "top_prob": 1, "margin": 1}  # the sign that makes greater mean surer
SHARES = range(5, 101, 5)


def described(records, right, out):
    """Of some of the tokens."""
    return {"accuracy": right[out].mean(), "loss": records["surprisal"][out].mean()} if out.any() else {"accuracy": None, "loss": None}


def rules(records, right):
    total = records["surprisal"].sum()
    for rule in RULES:
        kept = tool.kept(records, *rule)
        yield {"rule": " ".join(rule), "kept": kept.mean(), "tokens_kept": described(records, right, kept),
               "tokens_dropped": described(records, right, ~kept), "loss_kept": records["surprisal"][kept].sum() / total}


def fifths(records, right):
    """From the surest fifth of the tokens to the least sure: does the model know how sure it may be?"""
    for percentiles in "p0..p20", "p20..p40", "p40..p60", "p60..p80", "p80..p100", "p0..p100":
        part = tool.kept(records, "--keep", percentiles)
        yield {"percentiles": percentiles, "accuracy": right[part].mean(),
               **{name: records[name][part].mean() for name in ("top_prob", "entropy", "surprisal")}}


def coverage(records, right):
    """Accuracy of what is kept, for each share that is kept: the points that `entrol select` gives."""
    for name, sign in SURENESS.items():
        rules = [f"{'low' if sign < 0 else 'high'}:{share}%" for share in SHARES]
        yield name, [right[tool.kept(records, "--by", name, "--keep", rule)].mean() for rule in rules]


def risks(records, right):
    rankings = {name: Ranking(sign * records[name], right) for name, sign in SURENESS.items()}
    found = {name: {"aurc": r.aurc(), "interval": interval(r.aurc, records.document)} for name, r in rankings.items()}
    for name in "top_prob", "margin":
        def difference(weight, other=name):
            return rankings["entropy"].aurc(weight) - rankings[other].aurc(weight)
        found[name]["entropy_minus_this"] = difference(np.ones(len(right)))
        found[name]["interval_of_difference"] = interval(difference, records.document)
    found["best possible"] = {"aurc": best(right)}
    found["no order"] = {"aurc": (~right).mean()}
    return found


def best(right):
    """All that is right before all that is wrong."""
    ordered = np.sort(~right)
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1)).mean())


def main(work, results):
    records = tool.score(f"{work}/news.jsonl")
    right = records["rank"] == 1
    tool.write_result(results, "labels", {
        "tokens": len(right), "accuracy": right.mean(), "loss": records["surprisal"].mean(), "rules": list(rules(records, right)),
        "fifths": list(fifths(records, right)), "shares": list(SHARES), "accuracy_of_kept": dict(coverage(records, right)),
        "risk": risks(records, right)}, records)


if __name__ == "__main__":
    main(*sys.argv[1:])
