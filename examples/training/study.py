"""What the programs of docs/training.md have in common: an experiment is runs by arm and seed; each leaves a log.

    python3 examples/training/NAME.py                    all runs that are not in the folder yet, one for each processor
    python3 examples/training/NAME.py --arm A --seed N   one of them
    python3 examples/training/NAME.py --quick            a few steps of each arm: to see that it runs, its figures mean nothing
    python3 examples/training/NAME.py --folder F         where the logs lie; default: build/training/NAME, or NAME-quick, which
                                                         --quick empties
    python3 examples/training/NAME.py --gather FILE      and the logs of all runs in one file

A log is JSON Lines: first what was run (arm, seed, and all that decides the figures), then a line for each step that is
reported. It appears whole, as ARM-SEED.jsonl; a run that is interrupted begins anew, or goes on where it has checkpoints of
its own. What a folder holds is used again only where it was made with the same program, settings, data and versions:
else the program says what differs, and stops.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import logs
import made

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
    data: tuple[str, ...] = ()  # the environment's names of the files or folders that it reads

    def runs(self) -> list[tuple[str, int]]:
        """Arm and seed of each, seed by seed."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

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


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def say_what_is_missing(kind, error, trace):
    """A program without one of its packages ends with one line."""
    if isinstance(error, ModuleNotFoundError):
        say(f"{sys.argv[0]} needs {error.name}; docs/training.md says what to install")
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = say_what_is_missing  # programs import this module first


def head_of(study: Study, arm: str, seed: int, common: dict) -> dict:
    """The first line of a log."""
    return {"arm": arm, "seed": seed, "settings": json.loads(json.dumps(study.arms[arm])), **common}


def log_path(folder: str, arm: str, seed: int) -> str:
    return os.path.join(folder, f"{arm}-{seed}.jsonl")


def missing(study: Study, folder: str, common: dict) -> list[tuple[str, int]]:
    """The runs that are not in the folder yet. One that was made otherwise is refused."""
    found = []
    for arm, seed in study.runs():
        path = log_path(folder, arm, seed)
        if os.path.exists(path):
            made.must_be(path, head_of(study, arm, seed, common))
        else:
            found.append((arm, seed))
    return found


def run_one(study: Study, folder: str, arm: str, seed: int, common: dict) -> None:
    path, head = log_path(folder, arm, seed), head_of(study, arm, seed, common)
    scratch = path.removesuffix(".jsonl")
    resumed = made.claim(scratch, head)
    run = Run(arm, seed, study.arms[arm], scratch, common["quick"])
    start = time.monotonic()
    with open(path + ".part", "w", encoding="utf-8") as file:

        def write(line):
            file.write(json.dumps(line) + "\n")
            file.flush()

        write(head)
        for line in study.run(run):
            write(short(line))
        end = {"seconds": time.monotonic() - start}  # of this process: of one that was interrupted nobody took the time
        write(short(end | {"resumed": True} if resumed else end))
    os.replace(path + ".part", path)
    shutil.rmtree(scratch)


def run_all(study: Study, folder: str, runs: list[tuple[str, int]], quick: bool, jobs: int) -> None:
    """Each run is a process of its own."""
    n_done = 0
    if not runs:
        say(f"{study.name}: no run is left to do in {folder}")

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
        say(f"{study.name}: {n_done} of {len(runs)}: {arm}, seed {seed}: {took:.0f} s")

    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        for outcome in concurrent.futures.as_completed([pool.submit(one_run, which) for which in runs]):
            outcome.result()
    finally:  # at Ctrl-C, and when a run has failed, those that have not begun never do
        pool.shutdown(cancel_futures=True)


def parsed(study: Study) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(sys.modules["__main__"].__doc__ or study.name).strip(),
        epilog="arms: " + ", ".join(study.arms),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = os.path.join("build", "training", study.name)
    parser.add_argument("--folder", help=f"of the logs; default: {default}, or {default}-quick, which --quick empties")
    parser.add_argument("--arm", choices=study.arms, metavar="NAME", help="one arm alone")
    parser.add_argument("--seed", type=int, metavar="N", help="one seed alone")
    parser.add_argument("--quick", action="store_true", help="a few steps of one seed")
    parser.add_argument("--gather", metavar="FILE", help="then puts the logs of these runs into one file")
    jobs = max(1, (os.cpu_count() or 1) // study.threads)
    parser.add_argument("--jobs", type=int, default=jobs, metavar="N", help="runs at a time (%(default)s)")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs: 1 or more, not {options.jobs}")
    for name in study.data:
        if not os.path.exists(os.environ.get(name, "")):
            parser.error(f"${name} is to be the path of what it reads: {study.name} by scripts/train sets it")
    if options.folder is None:
        options.folder = os.path.join(ROOT, default) + "-quick" * options.quick
        if options.quick:
            shutil.rmtree(options.folder, ignore_errors=True)
    try:
        os.makedirs(options.folder, exist_ok=True)
    except OSError as error:
        parser.error(f"--folder {options.folder}: {error.strerror}")
    return options


def main(study: Study) -> None:
    options = parsed(study)
    if any(
        os.environ.get(name) != value for name, value in study.environment().items()
    ):  # before a library has threads
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **study.environment()})
    is_one = options.arm is not None and options.seed is not None
    if options.arm:
        study.arms = {options.arm: study.arms[options.arm]}
    if options.seed is not None:
        study.seeds = (options.seed,)
    elif options.quick:
        study.seeds = list(study.seeds)[:1]
    common = made.with_what(options.quick, study.threads, study.data)
    runs = missing(study, options.folder, common)
    made.claim(options.folder, common)
    study.prepare(options.folder, options.quick)
    if not is_one:
        run_all(study, options.folder, runs, options.quick, options.jobs)
    elif runs:
        run_one(study, options.folder, options.arm, options.seed, common)
    if options.gather:
        logs.gather([log_path(options.folder, *one) for one in study.runs()], options.gather)
