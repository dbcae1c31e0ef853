"""Entrol's sampling rules on a model's logits, beside transformers' and beside their formulas in float64: one JSON
object a line on standard output.

    bench/sampling.py MODEL.gguf [--rows N] [--build FOLDER] [--only WORD] [TEXT...]

N rows (1,000) of logits are what the model says about the texts (examples/alice.txt, examples/guxiang.txt and
README.md), from FOLDER/llama_dump_logits, a hundred at a time. Per chain of rules:
"transformers": its own warper in float64, and in float32, as generate runs it. "llama.cpp": its own sampler, which
computes in float32. "formulas": those of sampling_formulas.py in float64.
`rows` are compared; in `same` the same columns are kept; in `ties` other ones of an equal logit (transformers keeps
all, and Entrol as many as it says, the lower columns first), in `border` a column more or less that is within 1e-6 of
the border (by its logit or log-probability, a mass, an entropy in nats, or a share of the least probability);
`unexplained` is every other, and makes the exit status 1. Where a peer computes in float32, what it keeps may hang on a
last digit: `float32_other` are the rows in which transformers in float32 keeps other columns than in float64, `other`
those in which llama.cpp keeps other ones than Entrol; of these Entrol keeps what the formulas keep in `as_formulas`,
and `other_mass` is the most that one alone keeps. max_dp and max_dlogq: how far probabilities and their logarithms are
from
the peer's where both kept the same (of what is drawn at all: ln q from -86 on).
"target entropy": how far the entropy that was reached is from the target, in nats, in the rows where any temperature
within the bounds reaches it, and how many passes that took.
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import sampling_formulas as formulas
import torch
from transformers.generation import logits_process as theirs

import entrol

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXTS = ("examples/alice.txt", "examples/guxiang.txt", "README.md")
PART, CHARACTERS = 100, 1200  # rows of a part, and what is read for them
NEAR = 1e-6
LOWEST = -86.0  # ln q below which Entrol never draws a column: include/entrol/sample.h

PEERS = {
    ("temperature=0.7",): [theirs.TemperatureLogitsWarper(0.7)],
    ("temperature=1.5",): [theirs.TemperatureLogitsWarper(1.5)],
    ("top-k=1",): [theirs.TopKLogitsWarper(1)],
    ("top-k=40",): [theirs.TopKLogitsWarper(40)],
    ("top-k=5000",): [theirs.TopKLogitsWarper(5000)],
    ("top-p=0.5",): [theirs.TopPLogitsWarper(0.5)],
    ("top-p=0.95",): [theirs.TopPLogitsWarper(0.95)],
    ("min-p=0.05",): [theirs.MinPLogitsWarper(0.05)],
    ("min-p=0.3",): [theirs.MinPLogitsWarper(0.3)],
    ("typical=0.2",): [theirs.TypicalLogitsWarper(0.2)],
    ("typical=0.95",): [theirs.TypicalLogitsWarper(0.95)],
    ("epsilon=3e-4",): [theirs.EpsilonLogitsWarper(3e-4)],
    ("epsilon=0.05",): [theirs.EpsilonLogitsWarper(0.05)],
    ("eta=3e-4",): [theirs.EtaLogitsWarper(3e-4)],
    ("eta=2e-3",): [theirs.EtaLogitsWarper(2e-3)],
    ("top-h=0.4,reading=transformers",): [theirs.TopHLogitsWarper(0.4)],
    ("top-h=0.9,reading=transformers",): [theirs.TopHLogitsWarper(0.9)],
    ("temperature=0.8", "top-k=64", "top-p=0.95"): [
        theirs.TemperatureLogitsWarper(0.8),
        theirs.TopKLogitsWarper(64),
        theirs.TopPLogitsWarper(0.95),
    ],
}

FORMULAS = [
    ("greedy",),
    ("dynamic-temperature=1,range=0.5",),
    ("dynamic-temperature=0.9,range=0.9,exponent=2",),
    ("edt=1,theta=1",),
    ("edt=1.5,theta=0.4,base=0.9",),
    ("p-less",),
    ("top-h=0.4",),
    ("top-h=0.8",),
    ("top-n-sigma=1",),
    ("entropix",),
    ("top-k=100", "dynamic-temperature=1,range=0.5", "min-p=0.02"),
    ("edt=1,theta=0.5", "p-less"),
    ("min-p=0.01", "target-entropy=1.5,min=0.01,max=100", "top-p=0.9"),
]

TARGETS = (0.5, 1.0, 2.0, 2.5, 4.0)
BOUNDS = ((0.1, 2.0), (0.01, 100.0))


def text_of(arguments):
    """As much as N rows need. Error: ValueError."""
    text = "".join(open(path, encoding="utf-8").read() for path in arguments.texts)
    if len(text) < (arguments.rows - 1) // PART * CHARACTERS + 4 * PART:
        raise ValueError(f"the texts, of {len(text)} characters, are too short for {arguments.rows} rows")
    return text


def parts(text, arguments):
    """Arrays of rows, N in all."""
    dump = os.path.join(arguments.build, "llama_dump_logits")
    with tempfile.TemporaryDirectory() as folder:
        piece, logits, targets = (os.path.join(folder, name) for name in ("text.txt", "logits.npy", "targets.npy"))
        for first in range(0, arguments.rows, PART):
            begin, n = first // PART * CHARACTERS, min(PART, arguments.rows - first)
            with open(piece, "w", encoding="utf-8") as file:
                file.write(text[begin : begin + CHARACTERS])
            subprocess.run([dump, arguments.model, piece, str(n), logits, targets], check=True)
            yield np.load(logits)


def differs(differing, state, near=NEAR):
    """Why other columns were kept than the formulas keep: "same", "ties", "border" or "unexplained"."""
    if not differing.any():
        return "same"
    if state.margin is None:
        return "unexplained"
    apart = np.abs(state.key[differing] - state.key[state.keep].max())
    is_near = (apart <= near) | (np.abs(state.margin[differing]) <= near)
    return "ties" if (apart == 0).all() else "border" if is_near.all() else "unexplained"


class Case:
    """What is counted of a chain of rules."""

    def __init__(self, rules):
        self.rules, self.sampler = rules, entrol.Sampler(*rules)
        self.counts = dict.fromkeys(("rows", "same", "ties", "border", "unexplained"), 0)
        self.apart = {"max_dp": 0.0, "max_dlogq": 0.0}

    def add(self, row, logs, state=None):
        """Beside ln q of another; state: what the formulas leave, made when it is needed."""
        ours = self.sampler.logprobs(row).astype(np.float64)
        here, there = ours > -np.inf, logs > -np.inf
        differing = here != there
        why = differs(differing, state or formulas.chain(row, self.rules)) if differing.any() else "same"
        self.counts["rows"] += 1
        self.counts[why] += 1
        if why == "same":
            both = here & (logs >= LOWEST)
            dp = np.abs(np.exp(ours[both]) - np.exp(logs[both])).max()
            self.apart = {
                "max_dp": max(self.apart["max_dp"], dp),
                "max_dlogq": max(self.apart["max_dlogq"], np.abs(ours[both] - logs[both]).max()),
            }

    def line(self):
        return {"rules": self.rules, **self.counts, **self.apart}


class BesideTransformers(Case):
    """And its warpers in float32 beside themselves in float64."""

    def __init__(self, rules, warpers):
        super().__init__(rules)
        self.warpers = warpers
        self.counts |= {"float32_same": 0, "float32_other": 0}

    def warped(self, row, dtype):
        scores = torch.from_numpy(row).to(dtype)[None]
        for warper in self.warpers:
            scores = warper(None, scores)
        return scores.double().log_softmax(-1)[0].numpy()

    def compare(self, row):
        exact, single = self.warped(row, torch.float64), self.warped(row, torch.float32)
        is_same = np.array_equal(exact > -np.inf, single > -np.inf)
        self.counts["float32_same" if is_same else "float32_other"] += 1
        self.add(row, exact)

    def line(self):
        return {"case": "transformers", "peer": [type(warper).__name__ for warper in self.warpers], **super().line()}


class TokenData(ctypes.Structure):
    """llama_token_data."""

    _fields_ = [("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float)]


class TokenDataArray(ctypes.Structure):
    """llama_token_data_array."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("selected", ctypes.c_int64),
        ("sorted", ctypes.c_bool),
    ]


class BesideLlama(Case):
    """llama.cpp's own sampler, through libllama."""

    def __init__(self, library, rules, peer, *values):
        super().__init__(rules)
        self.library, self.peer = library, peer
        make = getattr(library, f"llama_sampler_init_{peer}")
        make.restype = ctypes.c_void_p
        self.theirs = ctypes.c_void_p(make(*values))
        self.counts = {"rows": 0, "same": 0, "other": 0, "as_formulas": 0}
        self.mass = 0.0

    def sampled(self, row):
        """ln q of every column."""
        data = np.zeros(row.size, np.dtype(TokenData))
        data["id"], data["logit"] = np.arange(row.size), row
        array = TokenDataArray(data.ctypes.data, row.size, -1, False)
        self.library.llama_sampler_apply(self.theirs, ctypes.byref(array))
        left = data[: array.size] if array.selected < 0 else data[array.selected : array.selected + 1]
        logs = np.full(row.size, -np.inf)
        logs[left["id"]] = left["logit"]
        return logs - np.logaddexp.reduce(logs)

    def compare(self, row):
        ours, logs = self.sampler.logprobs(row).astype(np.float64), self.sampled(row)
        here, there = ours > -np.inf, logs > -np.inf
        is_same = np.array_equal(here, there)
        self.counts["rows"] += 1
        self.counts["same" if is_same else "other"] += 1
        if is_same:
            self.apart["max_dp"] = max(self.apart["max_dp"], np.abs(np.exp(ours) - np.exp(logs)).max())
            return
        state = formulas.chain(row, self.rules)
        self.counts["as_formulas"] += differs(here != state.keep, state) != "unexplained"
        only = np.exp(ours[here & ~there]).sum(), np.exp(logs[there & ~here]).sum()
        self.mass = max(self.mass, *map(float, only))

    def line(self):
        return {
            "case": "llama.cpp",
            "peer": self.peer,
            "rules": self.rules,
            **self.counts,
            "max_dp": self.apart["max_dp"],
            "other_mass": self.mass,
            "unexplained": self.counts["other"] - self.counts["as_formulas"],
        }


def llama_peers(build):
    """Of the libllama that the dump program uses."""
    linked = subprocess.run(["ldd", f"{build}/llama_dump_logits"], check=True, capture_output=True, text=True).stdout
    library = ctypes.CDLL(re.search(r"libllama\.so\S* => (\S+)", linked)[1])
    real, none = ctypes.c_float, ctypes.c_size_t(0)
    return [
        BesideLlama(library, *case)
        for case in (
            (("greedy",), "greedy"),
            (("temperature=0.7",), "temp", real(0.7)),
            (("dynamic-temperature=0.9,range=0.5",), "temp_ext", real(0.9), real(0.5), real(1)),
            (("top-k=40",), "top_k", 40),
            (("top-p=0.95",), "top_p", real(0.95), none),
            (("min-p=0.05",), "min_p", real(0.05), none),
            (("typical=0.95",), "typical", real(0.95), none),
            (("top-n-sigma=1",), "top_n_sigma", real(1)),
        )
    ]


class BesideFormulas(Case):
    def compare(self, row):
        state = formulas.chain(row, self.rules, self.sampler.draw(row).temperature)
        self.add(row, formulas.log_softmax(state), state)

    def line(self):
        return {"case": "formulas", **super().line()}


class Target:
    """Whether a target is reached, and in how many passes."""

    def __init__(self, target, low, high):
        self.target, self.low, self.high = target, low, high
        self.sampler = entrol.Sampler(f"target-entropy={target},min={low},max={high}")
        self.n_rows, self.passes, self.errors, self.n_beyond, self.unexplained = 0, [], [], 0, 0

    def compare(self, row):
        state, drawn = formulas.start(row), self.sampler.draw(row)
        self.n_rows += 1
        self.passes.append(drawn.n_passes)
        low, reached, high = (
            formulas.entropy(formulas.log_softmax(state, t)) for t in (self.low, drawn.temperature, self.high)
        )
        if low <= self.target <= high:
            self.errors += [max(abs(reached - self.target), abs(drawn.sampled_entropy - self.target))]
        else:
            bound = self.low if self.target < low else self.high
            self.unexplained += not np.isclose(drawn.temperature, bound, rtol=1e-6)
            self.n_beyond += 1

    def line(self):
        errors = np.array(self.errors)
        return {
            "case": "target entropy",
            "target": self.target,
            "min": self.low,
            "max": self.high,
            "rows": self.n_rows,
            "reachable": len(errors),
            "max_error_nats": errors.max(initial=0),
            "mean_passes": float(np.mean(self.passes)),
            "max_passes": max(self.passes),
            "at_a_bound": self.n_beyond,
            "unexplained": self.unexplained + int((errors > formulas.CLOSE).sum()),
        }


def cases(word, build):
    """Those in whose line a word is."""
    made = [BesideTransformers(rules, warpers) for rules, warpers in PEERS.items()] + llama_peers(build)
    made += [BesideFormulas(rules) for rules in FORMULAS]
    made += [Target(target, *bounds) for bounds in BOUNDS for target in TARGETS]
    return made if word is None else [case for case in made if word in type(case).__name__ + str(vars(case))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.gguf")
    parser.add_argument("texts", metavar="TEXT", nargs="*", default=[os.path.join(ROOT, text) for text in TEXTS])
    parser.add_argument("--rows", metavar="N", type=int, default=1000)
    parser.add_argument("--build", metavar="FOLDER", default=os.path.join(ROOT, "build"))
    parser.add_argument("--only", metavar="WORD", help="only the cases with it in their rules or their peer's name")
    arguments = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    made = cases(arguments.only, arguments.build)
    try:
        text = text_of(arguments)
    except ValueError as error:
        parser.error(str(error))
    for rows in parts(text, arguments):
        for row in rows:
            for case in made:
                case.compare(row)
    lines = [case.line() for case in made]
    for line in lines:
        print(json.dumps(line))
    return 1 if any(line["unexplained"] for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
