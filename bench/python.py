"""The Python package on tensors beside what people use today: time, and memory besides what is given. One JSON object a
line on standard output.

    bench/python.py [--quick] [--threads N] [--filter WORD]
    bench/python.py --table RESULTS.jsonl       the table of docs/python.md from what that, or scripts/bench, printed

Entropies and log-probabilities of 4 x 256 rows of a vocabulary of 151,936, as a training step of a language model has
them, without and with the gradient. Peers: TRL's entropy_from_logits and selective_log_softmax, torch.compile of the
formula, Liger; one that does not run here says why. Limits: reading the logits once, and copying them. And the same of
512 hidden states of 640 numbers under an output layer of 65,536 columns, beside TRL's functions on whole logits, its
ChunkedLogProbFunction, and cut-cross-entropy, which has no entropies; the limit there is the products alone. And
"policies": distributions of entrol.torch beside torch.distributions (policies_torch.py). Every repetition times all,
one after the other. Memory is what the resident set grows by during a call that is not the first, in a process of the
case's own. scripts/bench makes the environment and calls this.
"""

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys

import peers
import policies_torch

import entrol.torch
import torch

REPEATS, QUICK_REPEATS = 7, 2
SHAPE, QUICK_SHAPE = (4, 256, 151936), (2, 8, 18992)
LAYER, QUICK_LAYER = (512, 640, 65536), (64, 64, 8192)  # rows, depth, columns
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS, IN_PLACE = "Entrol", "Entrol, in place"
CHUNKED, CUT = "TRL ChunkedLogProbFunction", "cut-cross-entropy (torch_compile), no entropy"
TRL, COMPILED, LIGER = "TRL entropy_from_logits and selective_log_softmax", "torch.compile of the formula", "Liger"


class Given(torch.autograd.Function):
    """The logits as a model's last layer would give them, which takes its gradient: neither costs anything."""

    @staticmethod
    def forward(ctx, anchor, logits):
        return logits.detach()

    @staticmethod
    def backward(ctx, gradient):
        Given.gradient = gradient
        return torch.zeros(1), None


def by_trl(logits, index):
    entropy_from_logits, selective_log_softmax = peers.trl_functions()
    return selective_log_softmax(logits, index), entropy_from_logits(logits)


def formula(logits, index):
    logs = torch.log_softmax(logits.float(), -1)
    return logs.gather(-1, index[..., None])[..., 0], -(logs.exp() * logs).sum(-1)


def by_liger(logits, index):
    from liger_kernel.transformers.functional import liger_cross_entropy

    return -liger_cross_entropy(logits.flatten(0, -2), index.flatten(), reduction="none").view(index.shape), None


def in_place(logits, index):
    return entrol.torch.logprob_and_entropy(logits, index, inplace_backward=True)


class Logits:
    """A case: calls (logits, index) -> (logprob, entropy), what they are given, and the limit beside them."""

    def __init__(self, quick, dtype, with_gradient):
        self.name, self.with_gradient = "tensors, gradient" if with_gradient else "tensors", with_gradient
        generator, shape = torch.Generator().manual_seed(1), QUICK_SHAPE if quick else SHAPE
        self.values = torch.randn(shape, generator=generator).mul_(2.5).to(dtype)
        self.index = torch.randint(0, shape[-1], shape[:-1], generator=generator)
        self.logits, self.anchor = self.values.clone(), torch.zeros(1, requires_grad=True)
        self.n_columns, self.dtype, self.n_bytes = shape[-1], dtype, self.logits.nbytes
        compiled = torch.compile(formula, fullgraph=True, dynamic=False)
        self.calls = {OURS: entrol.torch.logprob_and_entropy, TRL: by_trl, COMPILED: compiled, LIGER: by_liger}
        if with_gradient:
            self.calls[IN_PLACE] = in_place

    def prepare(self):
        """Before each call: the last one may have written its gradient over the logits."""
        if self.with_gradient:
            Given.gradient = None
            self.logits.copy_(self.values)

    def run(self, name):
        if not self.with_gradient:
            with torch.no_grad():
                return self.calls[name](self.logits, self.index)
        results = [r for r in self.calls[name](Given.apply(self.anchor, self.logits), self.index) if r is not None]
        torch.autograd.backward(results, [torch.full_like(result, 0.5) for result in results])
        return [result.detach() for result in results]

    def limit(self):
        """As few bytes as can be moved: a name, and a call that moves them."""
        words = self.logits.view(torch.float32)
        if self.with_gradient:
            written = torch.zeros_like(words)
            return "memcpy", lambda: written.copy_(words)
        return "torch.sum of as many bytes", words.sum


class Layer:
    """A case as Logits: hidden states under an output layer, with the gradients of both. The limit is the products
    alone."""

    def __init__(self, quick, dtype, with_gradient):
        self.name, self.with_gradient = "tensors, output layer" + ", gradient" * with_gradient, with_gradient
        generator, (n, depth, n_columns) = torch.Generator().manual_seed(2), QUICK_LAYER if quick else LAYER
        self.hidden = torch.randn(n, depth, generator=generator).to(dtype).requires_grad_(with_gradient)
        self.weight = torch.randn(n_columns, depth, generator=generator).mul_(depth**-0.5).to(dtype)
        self.weight.requires_grad_(with_gradient)
        self.index = torch.randint(0, n_columns, (n,), generator=generator)
        self.n_columns, self.dtype, self.n_bytes = n_columns, dtype, self.hidden.nbytes + self.weight.nbytes
        self.calls = {OURS: entrol.torch.linear_logprob_and_entropy, TRL: whole_logits, CHUNKED: chunked, CUT: cut}

    def prepare(self):
        self.hidden.grad = self.weight.grad = None

    def run(self, name):
        with torch.set_grad_enabled(self.with_gradient):
            results = [r for r in self.calls[name](self.hidden, self.weight, self.index) if r is not None]
            if self.with_gradient:
                torch.autograd.backward(results, [torch.full_like(result, 0.5) for result in results])
        return [result.detach() for result in results]

    def limit(self):
        hidden, weight = self.hidden.detach(), self.weight.detach()

        def products():
            logits = hidden @ weight.T
            return (logits @ weight, logits.T @ hidden) if self.with_gradient else logits

        return "torch's products alone", products


def whole_logits(hidden, weight, index):
    return by_trl(torch.nn.functional.linear(hidden, weight), index)


def chunked(hidden, weight, index):
    from trl.kernels import ChunkedLogProbFunction

    return ChunkedLogProbFunction.apply(hidden, weight, None, index, 1.0, 8192, None, 1.0, ("entropy",))[:2]


def cut(hidden, weight, index):
    from cut_cross_entropy import linear_cross_entropy

    return -linear_cross_entropy(hidden, weight, index, impl="torch_compile", reduction="none"), None


CASES = [
    (kind, dtype, with_gradient) for kind in (Logits, Layer) for dtype in DTYPES for with_gradient in (False, True)
]


def resident():
    """(now, at most since the last reset): bytes of this process."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return tuple(1024 * int(lines[key].split()[0]) for key in ("VmRSS", "VmHWM"))


def extra_bytes(case, name):
    """What the resident set grows by during a call, after one that has compiled and allocated what stays."""
    for _ in range(2):
        case.prepare()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free is the system's again, or it would not be seen to be used
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the greatest resident set begins anew: proc(5)
        before, _ = resident()
        case.run(name)
        _, most = resident()
    return most - before


def extra_bytes_elsewhere(arguments, number, names):
    """{name: bytes}, from a process of its own."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "--threads",
        str(arguments.threads),
        "--memory-of",
        str(number),
        *names,
    ]
    done = subprocess.run(command + ["--quick"] * arguments.quick, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def times(case, n_repeats):
    """{name: seconds of each repetition}, {name: why it does not run}, and how far entropies are from ours."""
    limit, work = case.limit()
    absent, results = {}, {}
    for name in list(case.calls):
        case.prepare()
        try:
            results[name] = case.run(name)
        except Exception as error:  # of a peer that needs another machine
            absent[name] = f"does not run on a CPU: {type(error).__name__}: {str(error).splitlines()[0]}"
    apart = {
        name: max((a.double() - b.double()).abs().max().item() for a, b in zip(result, results[OURS]))
        for name, result in results.items()
    }
    seconds = {name: [] for name in (*results, limit)}
    for _ in range(n_repeats):
        for name in seconds:
            case.prepare()
            seconds[name].append(peers.seconds(work if name == limit else lambda: case.run(name))[0])
    return seconds, absent, apart


def lines_of(arguments, number, case):
    """A line for the limit, and one for each peer."""
    limit = case.limit()[0]
    seconds, absent, apart = times(case, QUICK_REPEATS if arguments.quick else REPEATS)
    most = extra_bytes_elsewhere(arguments, number, apart)
    ours = {
        "case": case.name,
        "dtype": str(case.dtype).removeprefix("torch."),
        "rows": case.index.numel(),
        "columns": case.n_columns,
        "threads": arguments.threads,
        "cpu": entrol.default_context().cpu,
        "seconds": peers.spread(seconds[OURS]),
        "extra_bytes": most[OURS],
        "gigabytes_per_second": case.n_bytes / statistics.median(seconds[OURS]) / 1e9,
    }
    ratio = lambda name: peers.spread([theirs / mine for theirs, mine in zip(seconds[name], seconds[OURS])])
    yield {**ours, "limit": limit, "limit_seconds": peers.spread(seconds[limit]), "ratio_to_limit": ratio(limit)}
    for name in case.calls:
        if name in absent:
            yield {**ours, "peer": name, "absent": absent[name]}
        elif name != OURS:
            yield {
                **ours,
                "peer": name,
                "peer_seconds": peers.spread(seconds[name]),
                "ratio_to_peer": ratio(name),
                "peer_extra_bytes": most[name],
                "results_differ_by": peers.finite_or_none(apart[name]),
            }


def table(path):
    """Markdown of the results: a row each for the package, the limit, and every peer."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    policies_torch.table(lines)
    results = [r for r in lines if r.get("case", "").startswith("tensors")]
    if not results:
        return
    median = lambda values: values["median"]
    size = lambda n_bytes: f"{n_bytes / 1e6:,.0f} MB"
    ratio = lambda x: f"{median(x):.3g} ({x['min']:.3g} to {x['max']:.3g})"
    head = lambda who: f"| {r['case']}: {who} | {r['dtype']} | {r['threads']} |"
    print(
        "| | dtype | threads | milliseconds | times Entrol's (least to greatest) | memory besides |\n"
        "|---|---|---|---|---|---|"
    )
    for r in results:
        if "limit" in r:
            print(head("**Entrol**"), f"{1e3 * median(r['seconds']):,.1f} | 1 | {size(r['extra_bytes'])} |")
            print(head(r["limit"]), f"{1e3 * median(r['limit_seconds']):,.1f} | {ratio(r['ratio_to_limit'])} | |")
        elif "absent" in r:
            print(head(r["peer"]), f"{r['absent']} | | |")
        else:
            print(
                head(r["peer"]),
                f"{1e3 * median(r['peer_seconds']):,.1f} | {ratio(r['ratio_to_peer'])} |",
                f"{size(r['peer_extra_bytes'])} |",
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--filter")
    parser.add_argument("--table", metavar="RESULTS")
    parser.add_argument("--memory-of", nargs="+", metavar=("CASE", "NAME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.table:
        table(arguments.table)
        return
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        number, *names = arguments.memory_of
        kind, dtype, with_gradient = CASES[int(number)]
        case = kind(arguments.quick, DTYPES[dtype], with_gradient)
        print(json.dumps({name: extra_bytes(case, name) for name in names}))
        return
    for number, (kind, dtype, with_gradient) in enumerate(CASES):
        case = kind(arguments.quick, DTYPES[dtype], with_gradient)
        if arguments.filter is None or arguments.filter in case.name:
            for line in lines_of(arguments, number, case):
                print(json.dumps(line), flush=True)
    if arguments.filter is None or arguments.filter in policies_torch.CASE:
        for line in policies_torch.lines(arguments):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
