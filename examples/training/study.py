"""What the programs of docs/training.md have in common: an experiment is runs by arm and seed; each leaves a log.

    python3 examples/training/NAME.py                    all runs that are not in the folder yet, one for each processor
    python3 examples/training/NAME.py --arm A --seed N   one of them
    python3 examples/training/NAME.py --quick            a few steps of each arm: to see that it runs, its figures mean nothing
    python3 examples/training/NAME.py --folder F         where the logs lie; default: build/training/NAME

A log is JSON Lines: first what was run (arm, seed, settings, versions), then a line for each step that is reported. It
appears whole, as ARM-SEED.jsonl; a run that is interrupted begins anew, or goes on where it has checkpoints of its own.
"""

import argparse
import concurrent.futures
import dataclasses
import importlib.metadata
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = ("torch", "transformers", "trl", "stable_baselines3", "gymnasium", "scikit-learn")


@dataclasses.dataclass
class Run:
    """What a program is told of one run."""

    arm: str
    seed: int
    settings: dict  # of the arm
    folder: str  # for checkpoints; it is there, and goes when the run is done
    quick: bool


@dataclasses.dataclass
class Study:
    """run(Run) yields the log, a dict for each reported step; arms are their settings by name.

    prepare(folder, quick) makes once, before any run, what all runs begin from."""

    name: str
    arms: dict[str, dict]
    seeds: Iterable[int]
    run: Callable[[Run], Iterable[dict]]
    prepare: Callable[[str, bool], None] = lambda folder, quick: None
    threads: int = 1  # of a run: two of one thread learn more than one of two

    def environment(self) -> dict[str, str]:
        """What the processes of runs need to be the same every time."""
        return {"OMP_NUM_THREADS": str(self.threads), "HF_HUB_OFFLINE": "1"}


def short(value):
    """Five digits are enough for a figure, and JSON has no NaN."""
    if isinstance(value, dict):
        return {name: short(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [short(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def log_path(folder: str, arm: str, seed: int) -> str:
    return os.path.join(folder, f"{arm}-{seed}.jsonl")


def run_one(study: Study, folder: str, arm: str, seed: int, quick: bool) -> None:
    path = log_path(folder, arm, seed)
    if os.path.exists(path):
        return
    scratch = path.removesuffix(".jsonl")
    os.makedirs(scratch, exist_ok=True)
    run = Run(arm, seed, study.arms[arm], scratch, quick)
    start = time.monotonic()
    with open(path + ".part", "w", encoding="utf-8") as file:

        def write(line):
            file.write(json.dumps(short(line)) + "\n")
            file.flush()

        write({"arm": arm, "seed": seed, "settings": run.settings, "versions": versions()})
        for line in study.run(run):
            write(line)
        write({"seconds": time.monotonic() - start})
    os.replace(path + ".part", path)
    shutil.rmtree(scratch)


def run_all(study: Study, folder: str, quick: bool, jobs: int) -> None:
    """Each run is a process of its own."""
    wanted = [(arm, seed) for seed in (list(study.seeds)[:1] if quick else study.seeds) for arm in study.arms]
    missing = [one for one in wanted if not os.path.exists(log_path(folder, *one))]
    n_done = 0

    def one_run(which):
        nonlocal n_done
        arm, seed = which
        command = [sys.executable, sys.argv[0], "--folder", folder, "--arm", arm, "--seed", str(seed)]
        start = time.monotonic()
        with open(log_path(folder, arm, seed) + ".said", "w", encoding="utf-8") as said:
            done = subprocess.run(command + ["--quick"] * quick, stdout=said, stderr=said)
        if done.returncode != 0:
            sys.exit(f"{study.name}: {arm}, seed {seed} failed; {said.name} says why")
        os.remove(said.name)
        n_done += 1
        took = time.monotonic() - start
        print(f"{study.name}: {n_done} of {len(missing)}: {arm}, seed {seed}: {took:.0f} s", file=sys.stderr, flush=True)

    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        for outcome in concurrent.futures.as_completed([pool.submit(one_run, which) for which in missing]):
            outcome.result()
    finally:  # at Ctrl-C, and when a run has failed, those that have not begun never do
        pool.shutdown(cancel_futures=True)


def main(study: Study) -> None:
    parser = argparse.ArgumentParser(
        description=(sys.modules["__main__"].__doc__ or study.name).strip(),
        epilog="arms: " + ", ".join(study.arms),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = os.path.join(ROOT, "build", "training", study.name)
    parser.add_argument("--folder", default=default, help="of the logs; default: build/training/" + study.name)
    parser.add_argument("--arm", choices=study.arms, metavar="NAME", help="one arm alone")
    parser.add_argument("--seed", type=int, metavar="N", help="one seed alone")
    parser.add_argument("--quick", action="store_true", help="a few steps of one seed")
    jobs = max(1, (os.cpu_count() or 1) // study.threads)
    parser.add_argument("--jobs", type=int, default=jobs, metavar="N", help="runs at a time (%(default)s)")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    if any(os.environ.get(name) != value for name, value in study.environment().items()):  # before a library has threads
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **study.environment()})
    if options.arm and options.seed is not None:
        study.prepare(options.folder, options.quick)
        run_one(study, options.folder, options.arm, options.seed, options.quick)
        return
    if options.arm:
        study.arms = {options.arm: study.arms[options.arm]}
    if options.seed is not None:
        study.seeds = (options.seed,)
    study.prepare(options.folder, options.quick)
    run_all(study, options.folder, options.quick, options.jobs)
