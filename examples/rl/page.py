"""Writes the tables of docs/training-rl.md from the results: page.py RESULTS PAGE"""
import math
import os
import statistics
import sys

from arms import DISCRETE, arms
from results import label, late, of, read, spread

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tables import fill, table  # noqa: E402

BEST = {"deep-sea": 0.99, "deep-sea-normalised": 0.99, "river-swim": 3.397}  # the best policy's return; solved is 0.9 of it


def number(x):
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.2f}".replace("-0.00", "0.00")


def with_spread(values):
    mean, deviation = spread(values)
    return f"{number(mean)} ± {number(deviation)}"


def ratio(ours, theirs):
    """Of the means, with its standard error."""
    (a, s), (b, t) = spread(ours), spread(theirs)
    return f"{a / b:.2f} ± {abs(a / b) * math.hypot(s / a / math.sqrt(len(ours)), t / b / math.sqrt(len(theirs))):.2f}"


def solved(results, environments):
    rows = []
    for arm in arms(environments[0]):
        row = [label(arm)]
        for environment in environments:
            runs = of(results, environment, arm)
            returns = [run["return"] for run in runs]
            row += [with_spread(returns), f"{sum(r > 0.9 * BEST[environment] for r in returns)} of {len(runs)}",
                    with_spread([run["entropies"][-1] for run in runs])]
        rows.append(row)
    return rows


def discrete(results):
    return table(["", "deep sea: return", "solved", "entropy at the end", "RiverSwim: return", "solved", "entropy at the end"],
                 solved(results, DISCRETE))


def normalised(results):
    return table(["", "return", "solved", "entropy at the end"], solved(results, ["deep-sea-normalised"]))


def continuous(results, environment):
    rows = []
    peer = of(results, environment, "CleanRL")
    for arm in ["CleanRL"] * bool(peer) + list(arms(environment)):
        runs = of(results, environment, arm)
        returns = [run["return"] for run in runs]
        row = [label(arm), with_spread(returns), " ".join(number(r) for r in sorted(returns))]
        row.append("" if arm == "CleanRL" or not peer else ratio(returns, [p["return"] for p in peer]))
        row.append(with_spread([run["entropies"][-1] for run in runs]))
        missed = [statistics.mean(abs(h - run["target"]) for h in late(run, "entropies")) for run in runs if "target" in run]
        row.append(number(statistics.mean(missed)) if missed else "")
        rows.append(row)
    return table(["", "return", "of each seed", "to CleanRL's mean, ± its standard error", "entropy at the end (nats)", "distance from the target"], rows)


def hopper(results):
    return continuous(results, "hopper")


def half_cheetah(results):
    return continuous(results, "half-cheetah")


TABLES = (discrete, normalised, hopper, half_cheetah)


if __name__ == "__main__":
    fill(sys.argv[2], TABLES, read(sys.argv[1]))
