#!/usr/bin/env python3
"""How far each estimate of semantic entropy is off: bench/semantic.py [--answers N] [ENTROL]

For some distributions of a model's answers over meanings, prints the bias of each estimator of `entrol entropy --answers`
and, in brackets, the root of its mean squared error, in nats, at N answers to a prompt (10). Nothing is drawn at random:
N answers can fall into clusters in a few ways (42 for 10), each of which is given to the command, and has a probability
that is known. "K known" means that --outcomes was told how many meanings there are.
"""
import argparse
import json
import math
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ESTIMATORS = ("plug-in", "miller-madow", "chao-shen", "grassberger", "james-stein", "nsb")
NEED_OUTCOMES = ESTIMATORS[4:]


def zipf(n):
    total = sum(1 / i for i in range(1, n + 1))
    return [1 / i / total for i in range(1, n + 1)]


TRUTHS = [
    ("one meaning", [1]),
    ("0.9 and 0.1", [0.9, 0.1]),
    ("0.8 and 20 of 0.01", [0.8] + [0.01] * 20),
    ("0.5, 0.3 and 0.2", [0.5, 0.3, 0.2]),
    ("4 alike", [1 / 4] * 4),
    ("1/2, 1/4, ... 1/512", [2.0 ** -i for i in range(1, 10)] + [2.0 ** -9]),
    ("16 alike", [1 / 16] * 16),
    ("50 by Zipf's law", zipf(50)),
]


def entropy(shares):
    return -math.fsum(p * math.log(p) for p in shares) + 0.0


def ways(shares, n):
    """The sizes of clusters, greatest first, that n draws can come to, and their probabilities."""
    found = {(): 1.0}  # of the meanings so far: product of p^c / c!
    for p in shares:
        grown = {}
        for sizes, weight in found.items():
            for c in range(n - sum(sizes) + 1):
                key = tuple(sorted(sizes + (c,) * (c > 0), reverse=True))
                grown[key] = grown.get(key, 0) + weight * p**c / math.factorial(c)
        found = grown
    return {sizes: weight * math.factorial(n) for sizes, weight in found.items() if sum(sizes) == n}


def estimate(entrol, samples, n_outcomes=None):
    """Every estimate of each sample's entropy, by the command."""
    lines = "".join(json.dumps({"answers": [i for i, size in enumerate(sizes) for _ in range(size)]}) + "\n" for sizes in samples)
    options = ["--label", "answers", "--estimator", "all"] + (["--outcomes", str(n_outcomes)] if n_outcomes else [])
    done = subprocess.run([entrol, "entropy", "--answers", *options, "-"], input=lines, capture_output=True, text=True, check=True)
    names = ["semantic_entropy"] + ["semantic_entropy_" + name.replace("-", "_") for name in ESTIMATORS[1:]]
    return [dict(zip(ESTIMATORS, map(json.loads(line).get, names))) for line in done.stdout.splitlines()]


def errors(entrol, shares, n):
    """{estimator: (bias, root mean squared error)}"""
    truth, outcome = entropy(shares), ways(shares, n)
    seen, known = estimate(entrol, outcome), estimate(entrol, outcome, len(shares))
    columns = {name: [each[name] for each in seen] for name in ESTIMATORS}
    columns.update({f"{name}, K known": [each[name] for each in known] for name in NEED_OUTCOMES})
    return {name: (math.fsum(p * (value - truth) for p, value in zip(outcome.values(), values)),
                   math.sqrt(math.fsum(p * (value - truth) ** 2 for p, value in zip(outcome.values(), values))))
            for name, values in columns.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=10, metavar="N", help="answers to a prompt, 2 or more")
    parser.add_argument("entrol", nargs="?", default=f"{ROOT}/build/entrol", metavar="ENTROL", help="the command")
    arguments = parser.parse_args()
    for i, (name, shares) in enumerate(TRUTHS):
        found = errors(arguments.entrol, shares, arguments.answers)
        if i == 0:
            print(f"| meanings | entropy | {' | '.join(found)} |\n|---|---|{'---|' * len(found)}")
        cells = [f"{bias + 0:+.2f} ({rmse:.2f})".replace("-0.00", "+0.00") for bias, rmse in found.values()]
        print(f"| {name} | {entropy(shares):.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
