"""Active learning: does a ranking by entropy find the documents in which the model is wrong? learning.py WORK RESULTS.

Documents are taken in an order until a budget of tokens is spent, the last one in part. What counts is the share of all
the model's errors that lies in what was taken; a random order finds, on average, the same share as that of the tokens.
"""
import json
import random
import sys

import numpy as np

import tool
from texts import SOUND

BUDGETS = np.linspace(0, 1, 51)  # shares of all tokens
SHOWN = (0.1, 0.2, 0.5)
N_RANDOM = 100


def pool(work):
    """The sound passages, of five kinds and about the same length, scored already, as a file of their own."""
    path = f"{work}/sound.scored.jsonl"
    with open(path, "w", encoding="utf-8") as out, open(f"{work}/mixed.scored.jsonl", encoding="utf-8") as file:
        out.writelines(line for line in file if json.loads(line)["kind"] in SOUND)
    return tool.Records(path)


def order_by(records, name):
    """The documents in the order of `entrol select`, the greatest first: those that high:N keeps, for N = 1, 2, ..."""
    order = []
    for n in range(1, len(records.documents) + 1):
        order += set(tool.chosen(records, "--by", name, "--keep", f"high:{n}")) - set(order)
    return order


def curve(order, tokens, gain):
    """The share of the gain in what each budget buys."""
    spent, found = (np.concatenate([[0], np.cumsum(x[order])]) / x.sum() for x in (tokens, gain))
    return np.interp(BUDGETS, spent, found)


def orders(records, misses):
    tokens = records.n_tokens
    return {"entropy_mean": order_by(records, "entropy_mean"), "surprisal_mean": order_by(records, "surprisal_mean"),
            "sum of entropy": np.argsort(-np.bincount(records.document, records["entropy"]), kind="stable"),
            "longest first": np.argsort(-tokens, kind="stable"), "shortest first": np.argsort(tokens, kind="stable"),
            "most errors first": np.argsort(-misses / tokens, kind="stable")}


def judged(records):
    """Of one pool: what each order finds at each budget, beside a hundred random orders."""
    gains = {"misses": np.bincount(records.document, records["rank"] > 1), "loss": np.bincount(records.document, records["surprisal"]),
             "excess loss": np.bincount(records.document, np.maximum(records["surprisal - entropy"], 0))}
    tried = orders(records, gains["misses"])
    shuffle = random.Random(3)
    chance = [shuffle.sample(range(len(records.documents)), len(records.documents)) for _ in range(N_RANDOM)]
    result = {"documents": len(records.documents), "tokens": int(records.n_tokens.sum()), "miss_rate": (records["rank"] > 1).mean(),
              "curves": {}, "at": {}}
    for name, gain in gains.items():
        curves = {o: curve(np.array(order, int), records.n_tokens, gain) for o, order in tried.items()}
        band = np.percentile([curve(np.array(o), records.n_tokens, gain) for o in chance], [2.5, 50, 97.5], axis=0)
        curves.update({"random, low": band[0], "random": band[1], "random, high": band[2]})
        if name == "misses":
            result["curves"] = curves
        result["at"][name] = {o: np.interp(SHOWN, BUDGETS, c) for o, c in curves.items()}
    return {**result, **by_documents(records, tried, gains["misses"])}


def by_documents(records, tried, misses):
    """If the budget were a fifth of the documents, whatever their length: where a sum is biased; and of which kinds they are."""
    taken = {o: list(order[:round(len(records.documents) / 5)]) for o, order in tried.items()}
    kind = records.fields("kind")
    return {"a_fifth_of_the_documents": {o: {"tokens": records.n_tokens[some].sum() / records.n_tokens.sum(),
                                             "misses": misses[some].sum() / misses.sum()} for o, some in taken.items()},
            "its_kinds": {o: {k: int((kind[some] == k).sum()) for k in SOUND} for o, some in taken.items()} if kind[0] else None}


def main(work, results):
    stories, mixed = tool.score(f"{work}/news.jsonl"), tool.score(f"{work}/mixed.jsonl")
    sound = pool(work)
    tool.write_result(results, "learning", {"budgets": BUDGETS, "shown_budgets": SHOWN, "stories": judged(stories), "sound": judged(sound)},
                        stories, mixed)


if __name__ == "__main__":
    main(*sys.argv[1:])
