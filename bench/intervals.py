#!/usr/bin/env python3
"""What the most probable tokens tell of an entropy: every token of some texts is scored with the whole vocabulary, the result is
cut to its top k, written as each server would write it, and read back. A table in Markdown says how often the interval held the
entropy, how wide it was, and how often the usual value (the top k, renormalised) lay outside of it, and how far.

    bench/intervals.py ENTROL MODEL [--tokens 10000] [--top 20] [--format NAME] FILE...

Needs NumPy.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "cli"))
import recorded

PLACES_AN_ANSWER = 256


def entrol(command, *arguments):
    done = subprocess.run([command, *map(str, arguments)], capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}\n{done.stderr.decode()}")
    return done.stdout


def score(options, folder):
    """The tokens of the files: their places, true entropies, and whether each is at the head of an answer."""
    out = os.path.join(folder, "texts.jsonl")
    entrol(options.entrol, "score", "-m", options.model, "--plain", "--columns",
           "token_id,byte_start,byte_end,logprob,entropy,rank", "--top", options.top, "-o", out, *options.files)
    with open(out + ".manifest.json") as file:
        n_vocabulary = json.load(file)["tokenizer_size"]
    places, entropies = [], []
    with open(out, encoding="utf-8") as file:
        for document in map(json.loads, file):
            text = document["text"].encode()
            for i in range(len(document["entropy"])):
                top = zip(document["top_id"][i], document["top_token"][i], document["top_logprob"][i])
                piece = text[document["byte_start"][i]:document["byte_end"][i]]
                places.append({"chosen": (document["token_id"][i], piece, document["logprob"][i]), "rank": document["rank"][i],
                               "top": [(token, word.encode(), logprob) for token, word, logprob in top]})
                entropies.append(document["entropy"][i])
    return places[:options.tokens], np.array(entropies[:options.tokens]), n_vocabulary


def is_ambiguous(place):
    """Two tokens of the same text, such as "b" and a byte's: where there are no numbers, they would be one token twice."""
    entries = {entry[0]: entry[1] for entry in place["top"] + [place["chosen"]]}
    words = [word for word in entries.values() if b"\xef\xbf\xbd" not in word]
    return len(set(words)) < len(words)


def renormalised(place):
    p = np.exp(np.array([entry[2] for entry in place["top"]], dtype=np.float64))
    p /= p.sum()
    return float(-(p * np.log(p)).sum())


def read_back(options, folder, write, places, n_vocabulary):
    """The bounds of every place, NaN where a format says nothing of one."""
    path, out = os.path.join(folder, "log.jsonl"), os.path.join(folder, "bounds.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        for first in range(0, len(places), PLACES_AN_ANSWER):
            file.write(json.dumps(write(places[first:first + PLACES_AN_ANSWER])) + "\n")
    entrol(options.entrol, "score", path, "--vocab-size", n_vocabulary, "--columns", "entropy_lower,entropy_upper,tail_mass",
           "-o", out)
    number = lambda value: math.nan if value is None else float(value)
    with open(out, encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    return [np.array([number(value) for document in documents for value in document[column]])
            for column in ("entropy_lower", "entropy_upper", "tail_mass")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entrol")
    parser.add_argument("model")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--tokens", type=int, default=10000)
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--format", choices=recorded.FORMATS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="entrol-intervals-") as folder:
        places, truth, n_vocabulary = score(options, folder)
        keep = np.array([not is_ambiguous(place) for place in places])
        places, truth = [place for place, kept in zip(places, keep) if kept], truth[keep]
        if not keep.all():
            print(f"{np.count_nonzero(~keep)} tokens left out: two of the top had the same text\n")
        usual = np.array([renormalised(place) for place in places])
        print(f"{len(places):,} tokens, the {options.top} most probable of {n_vocabulary:,}; mean entropy {truth.mean():.4f} nats, "
              f"by the top {options.top} renormalised {usual.mean():.4f}\n")
        print("| format | tokens | held the entropy | mean bounds | median width | renormalised: outside | by, on average |")
        print("|---|---|---|---|---|---|---|")
        for name, (write, _) in recorded.FORMATS.items():
            if options.format not in (None, name):
                continue
            lower, upper, _ = read_back(options, folder, write, places, n_vocabulary)
            known = ~np.isnan(lower)
            low, high, h, other = lower[known], upper[known], truth[known], usual[known]
            held = np.count_nonzero((low <= h) & (h <= high))
            beyond = np.maximum(low - other, other - high)
            outside = np.count_nonzero(beyond > 0)
            print(f"| {name} | {known.sum():,} | {held:,} ({100 * held / known.sum():.4g} %) | {low.mean():.4f} to {high.mean():.4f} "
                  f"| {np.median(high - low):.4f} | {outside:,} ({100 * outside / known.sum():.1f} %) "
                  f"| {beyond[beyond > 0].mean() if outside > 0 else 0:.4f} |", flush=True)


if __name__ == "__main__":
    main()
