"""Entrol beside what people use today, on the same arrays, by turns: one JSON object a line on standard output.

    bench/peers.py LIBENTROL [--quick] [--threads N] [--filter WORD]

Peers: TRL's entropy_from_logits and selective_log_softmax, verl's formula, torch.distributions.Categorical, torch's autograd,
NumPy with SciPy; and for losses TRL's own, and PPO in torch (bench/objectives.py). Each repetition times the peer and Entrol one after the other; ratio_to_peer is how many times faster Entrol
was in that pair. scripts/bench makes the environment and calls this.
"""
import argparse
import contextlib
import ctypes
import io
import json
import math
import os
import statistics
import sys
import time

import objectives

REPEATS, QUICK_REPEATS = 9, 3


class Record(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_void_p) for name in (
        "entropy", "logsumexp", "logprob", "varentropy", "top_prob", "margin", "sum_p_squared", "renyi", "rank", "top_id",
        "top_logprob")] + [("n_top", ctypes.c_size_t), ("state", ctypes.c_void_p)]


class Gradient(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_void_p) for name in ("logprob", "entropy", "varentropy")]


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("n_rows", ctypes.c_size_t),
                ("n_columns", ctypes.c_size_t), ("row_stride", ctypes.c_ssize_t)]


class Destination(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("row_stride", ctypes.c_ssize_t), ("add", ctypes.c_int)]


class QuantileOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("method", ctypes.c_int), ("nan", ctypes.c_int)]


class ContextOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("n_threads", ctypes.c_size_t)]


class Entrol:
    """What the benchmark needs of the library. A struct that is shorter than the library's keeps its defaults."""

    def __init__(self, path, n_threads):
        self.library = ctypes.CDLL(path)
        self.library.entrol_cpu_name.restype = ctypes.c_char_p
        self.context = ctypes.c_void_p()
        options = ContextOptions(ctypes.sizeof(ContextOptions), n_threads)
        self.check(self.library.entrol_context_create(ctypes.byref(self.context), ctypes.byref(options)))
        self.cpu = self.library.entrol_cpu_name(self.library.entrol_context_cpu(self.context)).decode()

    def check(self, status):
        if status != 0:
            sys.exit(f"peers.py: libentrol says {status}")

    def matrix(self, logits):
        import torch
        dtype = {torch.float64: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 3}[logits.dtype]
        return Matrix(logits.data_ptr(), dtype, logits.shape[0], logits.shape[1], logits.stride(0))

    def measure(self, logits, entropy, logprob=None, targets=None):
        record = Record(size=ctypes.sizeof(Record), entropy=entropy.data_ptr(),
                        logprob=logprob.data_ptr() if logprob is not None else None)
        self.check(self.library.entrol_measure_rows(
            self.context, ctypes.byref(record), None, ctypes.byref(self.matrix(logits)),
            ctypes.c_void_p(targets.data_ptr() if targets is not None else None), None))

    def quantile_options(self, method):
        number = ctypes.c_int()
        self.check(self.library.entrol_quantile_method_parse(ctypes.byref(number), method))
        return QuantileOptions(ctypes.sizeof(QuantileOptions), number.value, 0)

    def quantile(self, values, q, method=b"torch"):
        """One quantile of float32 values, or of as many as q has."""
        import numpy as np
        options = self.quantile_options(method)
        q, result = np.atleast_1d(np.asarray(q, dtype=np.float64)), np.empty(np.size(q))
        self.check(self.library.entrol_quantile(
            self.context, ctypes.c_void_p(result.ctypes.data), None, ctypes.c_void_p(values.data_ptr()), None,
            ctypes.c_size_t(values.numel()), ctypes.c_void_p(q.ctypes.data), ctypes.c_size_t(q.size), ctypes.byref(options)))
        return result

    def high_entropy_mask(self, entropies, mask, threshold, method):
        import torch
        keep = torch.empty(mask.shape, dtype=torch.uint8)
        options = self.quantile_options(method)
        self.check(self.library.entrol_high_entropy_mask(
            self.context, ctypes.c_void_p(keep.data_ptr()), None, None, ctypes.c_void_p(entropies.data_ptr()),
            ctypes.c_void_p(mask.data_ptr()), ctypes.c_size_t(mask.numel()), ctypes.c_double(threshold), ctypes.byref(options)))
        return keep.bool()

    def gradient(self, logits, d_logits, entropy, logprob, targets, by_entropy, by_logprob):
        record = Record(size=ctypes.sizeof(Record), entropy=entropy.data_ptr(), logprob=logprob.data_ptr())
        gradient = Gradient(ctypes.sizeof(Gradient), by_logprob.data_ptr(), by_entropy.data_ptr(), None)
        to = Destination(d_logits.data_ptr(), self.matrix(d_logits).dtype, d_logits.stride(0), 0)
        self.check(self.library.entrol_measure_and_gradient_rows(
            self.context, ctypes.byref(to), ctypes.byref(record), None, ctypes.byref(gradient),
            ctypes.byref(self.matrix(logits)), ctypes.c_void_p(targets.data_ptr()), None, None, None))


def trl_functions():
    """TRL's own, from the installed package; what importing it says goes nowhere."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from trl.trainer.utils import entropy_from_logits, selective_log_softmax
    return entropy_from_logits, selective_log_softmax


def verl_entropy(logits):
    """verl's entropy_from_logits, after its description: logsumexp(x) - sum(softmax(x) x)."""
    import torch
    return torch.logsumexp(logits, -1) - (torch.softmax(logits, -1) * logits).sum(-1)


def cases(entrol, quick, only):
    """(name, logits, peer's name, the peer's work, Entrol's work, Entrol's entropies, and how far its gradients are off)."""
    import numpy as np
    import torch
    entropy_from_logits, selective_log_softmax = trl_functions()
    generator = torch.Generator().manual_seed(1)

    def rows(n_rows, n_columns, dtype=torch.float32):
        n_rows = max(1, n_rows // 8) if quick else n_rows
        logits = (2.5 * torch.randn((n_rows, n_columns), generator=generator)).to(dtype)
        targets = torch.randint(0, n_columns, (n_rows,), generator=generator)
        return logits, targets, torch.empty(n_rows), torch.empty(n_rows)

    def wanted(name):
        return only is None or only in name

    for n_rows, n_columns, dtype in ((256, 131072, torch.float32), (256, 131072, torch.bfloat16), (256, 32768, torch.float32)):
        name = "entropy of a vocabulary"
        if wanted(name):
            logits, _, entropy, _ = rows(n_rows, n_columns, dtype)
            yield (name, logits, "TRL entropy_from_logits", lambda: entropy_from_logits(logits),
                   lambda: entrol.measure(logits, entropy), entropy)
            yield (name, logits, "verl's formula", lambda: verl_entropy(logits), lambda: entrol.measure(logits, entropy), entropy)
    name = "entropy and log-probability"
    if wanted(name):
        logits, targets, entropy, logprob = rows(256, 131072)
        yield (name, logits, "TRL entropy_from_logits and selective_log_softmax",
               lambda: (selective_log_softmax(logits, targets), entropy_from_logits(logits))[1],
               lambda: entrol.measure(logits, entropy, logprob, targets), entropy)
        array = logits.numpy()

        def by_numpy():
            from scipy.special import log_softmax
            logs = log_softmax(array, axis=-1)
            return -(np.exp(logs) * logs).sum(-1), logs[np.arange(len(logs)), targets.numpy()]
        yield (name, logits, "NumPy and SciPy", lambda: torch.from_numpy(by_numpy()[0]),
               lambda: entrol.measure(logits, entropy, logprob, targets), entropy)
    for n_rows, n_columns in ((1 << 20, 4), (1 << 19, 18), (1 << 13, 1024)):
        name = "actions"
        if wanted(name):
            logits, targets, entropy, logprob = rows(n_rows, n_columns)

            def categorical():
                distribution = torch.distributions.Categorical(logits=logits, validate_args=False)
                distribution.log_prob(targets)
                return distribution.entropy()
            yield (name, logits, "torch.distributions.Categorical", categorical,
                   lambda: entrol.measure(logits, entropy, logprob, targets), entropy)
    name = "a quantile"
    if wanted(name):
        for n, peers in ((1 << 24, ("torch.quantile", "numpy.quantile")), (1 << 26, ("numpy.partition", "numpy.quantile"))):
            values = torch.empty((1, n // 8 if quick else n)).exponential_(generator=generator)
            array, result = values.numpy()[0], torch.empty(1)
            work = {"torch.quantile": lambda: torch.quantile(values[0], 0.8).reshape(1),
                    "numpy.quantile": lambda: torch.tensor([np.quantile(array, 0.8)]),
                    "numpy.partition": lambda: torch.tensor([np.partition(array, int(0.8 * (len(array) - 1)))[int(
                        0.8 * (len(array) - 1))]])}
            for peer in peers:
                yield (name, values, peer, work[peer], lambda: result.copy_(torch.from_numpy(entrol.quantile(values, 0.8))), result)
    name = "gradient"
    if wanted(name):
        for n_rows, n_columns in ((128, 131072), (1 << 19, 18)):
            logits, targets, entropy, logprob = rows(n_rows, n_columns)
            d_logits, by = torch.empty_like(logits), torch.full((logits.shape[0],), 0.5)

            def autograd():
                leaf = logits.detach().requires_grad_()
                logs = torch.log_softmax(leaf, -1)
                value = -(logs.exp() * logs).sum(-1)
                (0.5 * value + 0.5 * logs.gather(-1, targets[:, None])[:, 0]).sum().backward()
                return value.detach()
            yield (name, logits, "torch's autograd", autograd,
                   lambda: entrol.gradient(logits, d_logits, entropy, logprob, targets, by, by), entropy,
                   lambda: gradient_error(logits, targets, d_logits))


def finite_or_none(value):
    return value if math.isfinite(value) else None  # JSON has no NaN


def accuracy(entrol):
    """The rows that break kernels: how far the libraries' entropies are from float64's. One line a row."""
    import torch
    entropy_from_logits, _ = trl_functions()
    generator = torch.Generator().manual_seed(2)
    n = 131072
    normal = 2.5 * torch.randn(n, generator=generator)
    peaked = torch.randn(n, generator=generator)
    peaked[77] = 40
    two = torch.full((n,), -torch.inf)
    two[77], two[99999] = 1, 3
    rows = {"N(0, 2.5)": normal, "the same + 1000": normal + 1000, "uniform": torch.full((n,), 0.5),
            "one at 40, the rest N(0, 1)": peaked, "two finite, the rest -inf": two}
    for name, row in rows.items():
        logits, entropy = row[None].contiguous(), torch.empty(1)
        entrol.measure(logits, entropy)
        # the greatest is left out of the sum, so that a nearly certain row keeps its digits
        d = (row.double() - row.double().max()).sort(descending=True).values
        rest = d[1:].exp()
        log_sum = torch.log1p(rest.sum())
        exact = log_sum - (rest * d[1:].clamp(min=-1e300)).sum() / (1 + rest.sum())
        errors = {"Entrol": entropy, "TRL entropy_from_logits": entropy_from_logits(logits), "verl's formula": verl_entropy(logits)}
        yield {"case": "accuracy", "row": name, "columns": n, "exact": exact.item(),
               "errors": {who: finite_or_none((value.double()[0] - exact).item()) for who, value in errors.items()}}


def conformance(entrol, n_cases):
    """How many of random quantiles, and of TRL's masks by them, differ from this torch's in any bit."""
    import torch
    generator = torch.Generator().manual_seed(1)
    method = b"torch" if tuple(map(int, torch.__version__.split(".")[:2])) > (2, 9) else b"torch_f32_rank"
    n_quantiles = n_masks = 0
    for case in range(n_cases):
        n = int(torch.randint(1, 5000 if case % 20 == 0 else 60, (1,), generator=generator))
        values = torch.randn(n, generator=generator).abs()
        q = float(torch.rand(1, generator=generator, dtype=torch.float64)) if case % 2 else \
            float(torch.randint(0, n + 1, (1,), generator=generator)) / n
        n_quantiles += torch.quantile(values, q).item() != entrol.quantile(values, q, method)[0]
        mask = torch.rand(n, generator=generator) < 0.8
        theirs = (values * mask >= torch.quantile(values[mask], q)) & mask if mask.any() else torch.zeros_like(mask)
        n_masks += not torch.equal(theirs, entrol.high_entropy_mask(values, mask, q, method))
    return {"case": "conformance", "torch": torch.__version__, "method": method.decode(), "cases": n_cases,
            "quantiles_that_differ": int(n_quantiles), "masks_that_differ": n_masks}


def gradient_error(logits, targets, d_logits):
    """How far a gradient is from torch's autograd in float64, as a share of its greatest element, over the first rows."""
    import torch
    leaf = logits[:16].double().requires_grad_()
    logs = torch.log_softmax(leaf, -1)
    (0.5 * -(logs.exp() * logs).sum(-1) + 0.5 * logs.gather(-1, targets[:16, None])[:, 0]).sum().backward()
    return ((d_logits[:16].double() - leaf.grad).abs().amax(-1) / leaf.grad.abs().amax(-1)).max().item()


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--filter")
    arguments = parser.parse_args()
    import torch
    torch.set_num_threads(arguments.threads)
    entrol = Entrol(arguments.library, arguments.threads)
    if arguments.filter is None or arguments.filter in "accuracy":
        for line in accuracy(entrol):
            print(json.dumps(line), flush=True)
    if arguments.filter is None or arguments.filter in "conformance":
        print(json.dumps(conformance(entrol, 1000 if arguments.quick else 10000)), flush=True)
    if arguments.filter is None or arguments.filter in "objective":
        for line in objectives.conformance(entrol, 20 if arguments.quick else 200):
            print(json.dumps(line), flush=True)
    if arguments.filter is None or arguments.filter in "ppo":
        for line in objectives.throughput(entrol, arguments.threads, QUICK_REPEATS if arguments.quick else 3 * REPEATS):
            print(json.dumps(line), flush=True)
    for name, logits, peer, peers_work, our_work, entropy, *more in cases(entrol, arguments.quick, arguments.filter):
        with torch.no_grad() if name != "gradient" else contextlib.nullcontext():
            peers_work()
            our_work()
            ours, ratios = [], []
            for _ in range(QUICK_REPEATS if arguments.quick else REPEATS):
                theirs, result = seconds(peers_work)
                ours.append(seconds(our_work)[0])
                ratios.append(theirs / ours[-1])
        apart = (result.double() - entropy.double()).abs().max().item()
        extra = {"gradient_differs_by": more[0]()} if more else {}
        print(json.dumps({
            "case": name, "dtype": str(logits.dtype).removeprefix("torch."), "rows": logits.shape[0],
            "columns": logits.shape[1], "threads": arguments.threads, "cpu": entrol.cpu, "seconds": spread(ours),
            "gigabytes_per_second": logits.nbytes / statistics.median(ours) / 1e9, "peer": peer,
            "ratio_to_peer": spread(ratios), "results_differ_by": finite_or_none(apart), **extra}), flush=True)


if __name__ == "__main__":
    main()
