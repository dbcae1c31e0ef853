"""Reinforcement: which tokens are the fifth with the highest entropy? forks.py WORK RESULTS."""
import re
import sys

import numpy as np

import tool
from measures import interval

RULE = ("--keep", "high:20%")
FUNCTION_WORDS = frozenset("""a about after all also although am an and any are as at be because been before being between both but by can could
did do does during each either for from had has have he her him his how i if in into is it its may me might more most must my neither no nor not
of off on once one only or other our out over own per shall she should since so some such than that the their them then there these they this
those though through to too under until up upon us very was we were what when where whether which while who whom whose why will with within
without would yet you your""".split())
CONNECTIVES = frozenset("""also although because but hence however if instead meanwhile since so suppose then therefore though thus wait while
yet""".split())


def words_of(records):
    """Of each token its text, and whether the word that it begins ends with it."""
    for document in records.documents:
        text = document["text"].encode()
        tokens = [text[a:b].decode(errors="replace") for a, b in zip(document["byte_start"], document["byte_end"])]
        for token, following in zip(tokens, [*tokens[1:], " "]):
            yield token, not re.match(r"[^\W\d_]", following)


def kind(token, before, is_whole):
    """What a token is, given the one before it: each is of one kind."""
    bare = token.strip()
    if not bare:
        return "white space alone"
    if not re.match(r"[^\W_]", bare):
        return "punctuation and other marks"
    if bare[0].isdigit():
        return "digits"
    if token == bare and re.search(r"[^\W\d_]$", before):
        return "inside a word"
    if is_whole and bare.lower() in FUNCTION_WORDS:
        return "function word"
    return "capitalised word, or its start" if bare[0].isupper() else "other word, or its start"


def kinds(records):
    found, before, document = [], "", None
    for (token, is_whole), number in zip(words_of(records), records.document):
        found.append(kind(token, before if number == document else "", is_whole))
        before, document = token, number
    return np.array(found)


def shares(name, inside, kept, entropy):
    return {"kind": name, "tokens": int(inside.sum()), "of_all": inside.mean(), "of_kept": inside[kept].mean(),
            "kept_of_kind": kept[inside].mean() if inside.any() else None, "entropy": entropy[inside].mean() if inside.any() else None}


def by_kind(kind_of, kept, entropy):
    """Those of which most is kept first."""
    return [shares(name, kind_of == name, kept, entropy) for name in sorted(set(kind_of), key=lambda k: (-kept[kind_of == k].mean(), k))]


def main(work, results):
    records = tool.score(f"{work}/news.jsonl")
    kept, entropy, kind_of = tool.kept(records, *RULE), records["entropy"], kinds(records)
    connective = np.array([is_whole and token.strip().lower() in CONNECTIVES for token, is_whole in words_of(records)])
    before = np.where(np.diff(records.document, prepend=-1) > 0, "nothing: first token", np.roll(kind_of, 1))
    tool.write_result(results, "forks", {
        "rule": " ".join(RULE), "tokens": len(kept), "kept": kept.mean(), "threshold": entropy[kept].min(),
        "entropy_in_kept": entropy[kept].sum() / entropy.sum(), "loss_in_kept": records["surprisal"][kept].sum() / records["surprisal"].sum(),
        "below_0.01": (entropy < 0.01).mean(), "right_of_kept": (records["rank"][kept] == 1).mean(), "kinds": by_kind(kind_of, kept, entropy),
        "connectives": {**shares("connectives", connective, kept, entropy),
                        "interval": interval(lambda weight: weight @ (kept & connective) / (weight @ connective), records.document)},
        "after": by_kind(before, kept, entropy)}, records)


if __name__ == "__main__":
    main(*sys.argv[1:])
