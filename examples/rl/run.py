"""Trains all that arms.py names, and gathers what came out: run.py PROGRAM ENVIRONMENTS WORK RESULTS [--jobs N] [--quick]
[--peer PYTHON] [--peer-logs FOLDER] [--only ENVIRONMENT,...]

PROGRAM is rl_train, ENVIRONMENTS the folder that setup_environments makes. Each run leaves its log in WORK, whole or not at
all; a run whose log is there is not made again. --peer PYTHON runs bench/peer_ppo.py, too, by a Python that has torch. RESULTS
becomes one JSON object a run: what was run, and its course in 50 parts. --quick: two seeds of a few updates.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import math
import os
import subprocess
import sys

from arms import ENVIRONMENTS, GYMNASIUM, arms, command, seeds

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
N_PARTS = 50
QUICK_STEPS, QUICK_SEEDS = 10240, (1, 2)
Run = collections.namedtuple("Run", "environment arm seed steps log command")


def log_name(words):
    """Says what it is to people, and differs for whatever is called in another way."""
    readable = "-".join(word for word in words if not word.startswith("--"))[:60].replace("=", "")
    return f"{readable}-{hashlib.sha256(' '.join(words).encode()).hexdigest()[:8]}.jsonl"


def planned(o):
    """All runs, the peer's first, for they take longest."""
    for environment in o.only.split(",") if o.only else ENVIRONMENTS:
        steps = QUICK_STEPS if o.quick else ENVIRONMENTS[environment][1]
        if o.peer and environment in GYMNASIUM:
            for seed in QUICK_SEEDS if o.quick else seeds(environment, "CleanRL"):
                name = GYMNASIUM[environment]
                log = f"{o.peer_logs}/peer-{name}-{steps}-{seed}.jsonl"
                yield Run(environment, "CleanRL", seed, steps, log,
                          [o.peer, f"{ROOT}/bench/peer_ppo.py", o.environments, log, "--env-id", name, "--seed", str(seed),
                           "--total-timesteps", str(steps)])
        for arm in arms(environment):
            for seed in QUICK_SEEDS if o.quick else seeds(environment, arm):
                words = command(environment, arm, seed, steps)
                yield Run(environment, arm, seed, steps, f"{o.work}/{log_name(words)}",
                          [o.program, *words, "--models", f"{o.environments}/gymnasium/envs/mujoco/assets"])


def train(run):
    if os.path.exists(run.log):
        return
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    if run.arm == "CleanRL":  # it writes its log by itself
        subprocess.run(run.command, check=True, env=environment, cwd=os.path.dirname(run.log))  # MuJoCo writes its warnings there
    else:
        with open(run.log + ".part", "w", encoding="utf-8") as file:
            subprocess.run(run.command, check=True, env=environment, stdout=file)
        os.replace(run.log + ".part", run.log)
    print(f"{run.environment}, {run.arm}, seed {run.seed}", file=sys.stderr, flush=True)


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def course(log, steps, name, weight=None):
    """The mean of a field in each part of the run; None where there was none."""
    sums, weights = [0.0] * N_PARTS, [0.0] * N_PARTS
    for line in log:
        if name in line and "step" in line:
            part = min(N_PARTS - 1, (line["step"] - 1) * N_PARTS // steps)
            w = line[weight] if weight in line else 1
            sums[part] += w * line[name]
            weights[part] += w
    return [float(f"{s / w:.4g}") if w else None for s, w in zip(sums, weights)]


def mean_return(log, steps, share):
    """Of the episodes that ended in the last share of the steps."""
    ended = [(line["return"], line.get("episodes", 1)) for line in log if "return" in line and line["step"] > (1 - share) * steps]
    return float(f"{sum(r * n for r, n in ended) / sum(n for _, n in ended):.5g}") if ended else None


def target_of(settings, log):
    """A target in nats, as Entrol reads it: a share of the greatest entropy (here of two actions), or of the mean of the first 20."""
    text = settings.get("target", "")
    if text.endswith("max"):
        return float(text[:-3]) * math.log(2)
    first = [line["entropy"] for line in log if "entropy" in line][:20]
    return float(text[:-1]) * sum(first) / len(first) if text.endswith("x") else None


def summary(run):
    log = lines(run.log)
    result = {"environment": run.environment, "arm": run.arm, "seed": run.seed, "steps": run.steps,
              "return": mean_return(log, run.steps, 0.2)}
    if run.arm != "CleanRL":
        result["command"] = " ".join(["rl_train", *command(run.environment, run.arm, run.seed, run.steps)])
        target = target_of(arms(run.environment)[run.arm][1], log)
        if target is not None:
            result["target"] = float(f"{target:.4g}")
        result["coefficients"] = course(log, run.steps, "coefficient")
    return {**result, "returns": course(log, run.steps, "return", "episodes"), "entropies": course(log, run.steps, "entropy")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "environments", "work", "results"):
        parser.add_argument(name)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer", help="a Python that has torch")
    parser.add_argument("--peer-logs", help="the folder of its logs; default: WORK")
    parser.add_argument("--only")
    o = parser.parse_args()
    o.peer_logs = os.path.abspath(o.peer_logs or o.work)
    o.environments = os.path.abspath(o.environments)
    os.makedirs(o.work, exist_ok=True)
    os.makedirs(o.peer_logs, exist_ok=True)
    runs = list(planned(o))
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        for _ in pool.map(train, runs):
            pass
    with open(o.results + ".part", "w", encoding="utf-8") as file:
        for run in runs:
            file.write(json.dumps(summary(run)) + "\n")
    os.replace(o.results + ".part", o.results)


if __name__ == "__main__":
    main()
