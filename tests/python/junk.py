"""Calls that nobody would make, drawn from a seed: good arguments of every public function of the package, and things
to put in the place of one or two of them."""

import math
import random

import entrol
import numpy as np
from junk_policies import policy_calls, token_calls

try:
    import entrol.torch as et
    import torch
except ImportError:
    torch = et = None


class Awkward:
    """Whatever is asked of it, it raises."""

    def __float__(self):
        raise OverflowError("no number")

    def __index__(self):
        raise ValueError("no index")

    def __array__(self, *_, **__):
        raise ValueError("no array")

    def __bool__(self):
        raise ValueError("neither")


def numpy_gemm(operands):
    c, a, b = entrol.gemm_arrays(operands)
    c[...] = c + a @ b if operands.add else a @ b


CONTEXT = entrol.Context(threads=2, gemm=numpy_gemm)


def scalars(rng):
    return rng.choice(
        (
            None,
            "text",
            b"bytes",
            "",
            "\ud800",
            "a\0b",
            -1,
            0,
            1,
            2,
            7,
            257,
            2**31,
            2**63,
            2**64,
            2**70,
            -(2**70),
            0.5,
            -0.5,
            -1.0,
            1e-9,
            1e30,
            1e300,
            math.nan,
            math.inf,
            -math.inf,
            True,
            1j,
            object(),
            Awkward(),
            lambda: 0,
            {},
            [],
            (),
            {"a": 1},
            set(),
            range(3),
            Ellipsis,
            np.float32(0.5),
            np.int8(-3),
            np.datetime64("2026-01-01"),
            type,
        )
    )


def shapes(rng):
    return rng.choice(
        ((), (0,), (1,), (3,), (4,), (0, 6), (3, 0), (3, 6), (3, 7), (4, 6), (6, 3), (2, 3, 6), (1, 1, 1, 6))
    )


def arrays(rng):
    of = np.random.default_rng(rng.randrange(1 << 30))
    array = np.asarray(of.normal(size=shapes(rng)) * rng.choice((0, 1, 1e4)))
    if array.size and rng.random() < 0.3:
        array.flat[rng.randrange(array.size)] = rng.choice((math.nan, math.inf, -math.inf, 1e300, -1))
    kind = rng.choice(
        ("f8", "f4", "f2", ">f4", "g", "i1", "i8", "u2", "u8", "?", "c8", "M8[s]", "O", "S3", "U2", "i4,f4")
    )
    with np.errstate(all="ignore"):
        try:
            array = array.astype(kind)
        except (TypeError, ValueError):
            array = np.zeros(array.shape, kind)
    return layouts(rng, array)


def layouts(rng, array):
    drawn = rng.random()
    if drawn < 0.1:
        return array.tolist()
    if drawn < 0.2:
        return array[..., ::-1] if array.ndim else array
    if drawn < 0.3:
        return np.asfortranarray(array)
    if drawn < 0.35:
        array.flags.writeable = False
    if drawn < 0.4:
        return np.ma.masked_array(array)
    return array


def tensors(rng):
    if torch is None:
        return arrays(rng)
    kinds = (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.float8_e5m2,
    )
    tensor = torch.zeros(shapes(rng)) if rng.random() < 0.3 else torch.randn(shapes(rng))
    if tensor.numel() and rng.random() < 0.2:
        tensor.view(-1)[0] = rng.choice((math.nan, math.inf, -math.inf, 1e38))
    tensor = tensor.to(rng.choice(kinds))
    drawn = rng.random()
    if drawn < 0.15:
        return tensor.to("meta")
    if drawn < 0.2:
        return tensor.to_sparse() if tensor.dtype != torch.float8_e5m2 else tensor
    if drawn < 0.3:
        return tensor.transpose(0, -1) if tensor.ndim else tensor
    if drawn < 0.4 and tensor.is_floating_point():
        return tensor.requires_grad_()
    return tensor


def junk(rng):
    return rng.choice((scalars, arrays, tensors))(rng)


def core_calls():
    """name: (function, good arguments)."""
    rng = np.random.default_rng(0)
    rows, vector = rng.normal(size=(3, 6)).astype(np.float32), rng.normal(size=12).astype(np.float32)
    index, hidden, weight = np.array([0, 5, 2]), rows, rng.normal(size=(9, 6)).astype(np.float32)
    record = entrol.measure_rows(rows, index, want=("state", "support", "support_entropy"), support=("top_k", 2))
    states = entrol.measure_output(hidden, weight, index, want="state", context=CONTEXT).state
    log_p = np.sort(rows - np.log(np.exp(rows).sum(-1, keepdims=True)), -1)[:, ::-1]
    two = np.abs(vector).reshape(4, 3)
    tokens = {
        "logprob": vector,
        "old_logprob": vector,
        "advantage": vector,
        "entropy": vector,
        "value": vector,
        "target_return": vector,
        "mask": vector > -1,
        "sequence_starts": [0, 5, 12],
        "seed": 1,
        "loss_alone": False,
        "clip_low": 0.2,
        "aggregation": "token_mean",
        "entropy_coefficient": 0.1,
    }
    common = {"temperature": 1.0, "mask": np.ones((3, 6), bool), "context": CONTEXT}
    layer = {
        "temperature": 1.0,
        "mask": np.ones((3, 9), bool),
        "context": CONTEXT,
        "bias": np.zeros(9),
        "soft_cap": 5.0,
    }
    return {
        "measure_rows": (
            entrol.measure_rows,
            {
                "logits": rows,
                "targets": index,
                "want": ("entropy", "rank"),
                "n_top": 2,
                "renyi_order": 2.0,
                "support": ("top_p", 0.9),
                **common,
            },
        ),
        "gradient_rows": (
            entrol.gradient_rows,
            {
                "logits": rows,
                "state": record.state,
                "logprob": 1.0,
                "entropy": index,
                "support_entropy": 1.0,
                "support": record.support,
                "targets": index,
                "out": np.zeros((3, 6), np.float32),
                "add": True,
                **common,
            },
        ),
        "compare_rows": (entrol.compare_rows, {"p": rows, "q": -rows, **common}),
        "mixture_rows": (entrol.mixture_rows, {"matrices": [rows, -rows, rows], **common}),
        "entropy_of_distributions": (
            entrol.entropy_of_distributions,
            {"distributions": np.exp(log_p), "tolerance": 1e-5, "scale": "probabilities", "context": CONTEXT},
        ),
        "entropy_of_counts": (entrol.entropy_of_counts, {"counts": [1, 2, 3], "estimator": "grassberger"}),
        "entropy_bounds": (
            entrol.entropy_bounds,
            {
                "logprobs": log_p[:, :3],
                "n_columns": 6,
                "counts": [3, 2, 1],
                "chosen": log_p[:, 5],
                "caps": log_p[:, 2],
                "error": 1e-5,
                "relative_error": 1e-5,
            },
        ),
        "measure_output": (
            entrol.measure_output,
            {
                "hidden": hidden,
                "weight": weight,
                "targets": index,
                "n_top": 2,
                "want": ("entropy", "logprob"),
                "renyi_order": 2.0,
                **layer,
            },
        ),
        "gradient_output": (
            entrol.gradient_output,
            {
                "hidden": hidden,
                "weight": weight,
                "state": states,
                "logprob": 1.0,
                "entropy": 0.5,
                "targets": index,
                "want": ("hidden", "bias"),
                **layer,
            },
        ),
        "quantile": (
            entrol.quantile,
            {"values": vector, "q": [0.1, 0.9], "valid": vector > -1, "method": "linear", "nan": "ignore"},
        ),
        "select": (
            entrol.select,
            {
                "values": vector,
                "rule": "high:3",
                "valid": vector > -1,
                "method": "torch",
                "nan": "propagate",
                "tie_seed": 3,
            },
        ),
        "high_entropy_mask": (
            entrol.high_entropy_mask,
            {"entropies": two, "mask": two > 0, "threshold": 0.8, "method": "torch", "nan": "error"},
        ),
        "weight": (
            entrol.weight,
            {"values": vector, "weighting": "rise:p5..p95", "valid": vector > -1, "method": "linear"},
        ),
        "flexmatch_thresholds": (entrol.flexmatch_thresholds, {"n_sure": [1, 2], "n_samples": 9, "cutoff": 0.9}),
        "objective_compute": (entrol.objective_compute, {"name": "ppo", **tokens}),
        "kl_estimate": (
            entrol.kl_estimate,
            {"logprob": vector, "reference_logprob": vector, "estimator": "k3", "mask": vector > 0},
        ),
        "advantage_gae": (
            entrol.advantage_gae,
            {
                "rewards": two,
                "values": two,
                "last_values": [0, 0, 0],
                "gamma": 0.9,
                "ends": np.ones((4, 3), int),
                "final_values": two,
                "lambda_": 0.9,
            },
        ),
        "advantage_group": (
            entrol.advantage_group,
            {"rewards": vector, "group_starts": [0, 4, 12], "scale": "batch", "epsilon": 1e-4},
        ),
        "advantage_leave_one_out": (entrol.advantage_leave_one_out, {"rewards": vector, "group_starts": [0, 4, 12]}),
        "advantage_whiten": (entrol.advantage_whiten, {"advantages": vector, "mask": vector > -1, "epsilon": 1e-8}),
        "bounds": (
            bounds,
            {
                "values": vector,
                "valid": vector > -1,
                "rule": "high:3",
                "method": "torch",
                "nan": "ignore",
                "tie_seed": 3,
            },
        ),
        "controller": (
            controller,
            {
                "name": "pi",
                "max_entropy": 2.0,
                "n_actions": 0,
                "target": 0.4,
                "kp": 0.1,
                "entropies": two,
                "mask": two > 0,
                "sum": 3.0,
                "count": 4,
                "accuracy": 0.5,
                "text": None,
            },
        ),
        "fit_ceiling": (
            entrol.fit_ceiling,
            {"entropies": vector, "rewards": -np.exp(vector), "forecast_at": [0.1], "confidence": 0.9},
        ),
        "rule_parse": (entrol.rule_parse, {"rule": "low:80%"}),
        "Context": (entrol.Context, {"threads": 1, "cpu": "scalar", "comm": None, "gemm": numpy_gemm}),
    }


def controller(entropies, mask, sum, count, accuracy, text, **settings):
    made = entrol.Controller(**settings)
    made.observe_tokens(entropies, mask)
    made.observe(sum, count)
    made.coefficient_of(accuracy)
    made.restore(made.save() if text is None else text)


def bounds(values, valid, rule, method, nan, tie_seed):
    made = entrol.Bounds([(values, valid)], rule, method=method, nan=nan, tie_seed=tie_seed)
    made.keep(values, valid)


def torch_calls():
    if torch is None:
        return {}
    rng = torch.Generator().manual_seed(0)
    logits, index = torch.randn(3, 6, generator=rng).requires_grad_(), torch.tensor([0, 5, 2])
    hidden, weight = (
        torch.randn(3, 4, generator=rng).requires_grad_(),
        torch.randn(6, 4, generator=rng).requires_grad_(),
    )
    common = {"temperature": 1.0, "row_mask": torch.ones(3), "dtype": None, "mask": torch.ones(3, 6, dtype=torch.bool)}
    return {
        "torch.entropy_from_logits": (et.entropy_from_logits, {"logits": logits, "chunk_size": 128, **common}),
        "torch.selective_log_softmax": (et.selective_log_softmax, {"logits": logits, "index": index, **common}),
        "torch.logprob_and_entropy": (
            et.logprob_and_entropy,
            {"logits": logits, "index": index, **common, "entropy_requires_grad": True},
        ),
        "torch.linear_logprob_and_entropy": (
            et.linear_logprob_and_entropy,
            {
                "hidden": hidden,
                "weight": weight,
                "index": index,
                "bias": torch.zeros(6),
                "temperature": 1.0,
                "soft_cap": 3.0,
                "logit_scale": 0.5,
                "row_mask": torch.ones(3),
            },
        ),
    }


def all_calls():
    return {**core_calls(), **torch_calls(), **policy_calls(), **token_calls()}


def call(function, arguments):
    """Calls it, and where gradients come out, their backward pass."""
    found = function(**arguments)
    parts = found if isinstance(found, tuple) else (found,)
    if (
        torch is not None
        and all(isinstance(part, torch.Tensor) for part in parts)
        and any(p.requires_grad for p in parts)
    ):
        sum(part.float().sum() for part in parts if part.requires_grad).backward()


def drawn(seed, n):
    """n calls: the function's name, it, its arguments, the names of those that are not the good ones."""
    rng, calls = random.Random(seed), all_calls()
    for _ in range(n):
        name = rng.choice(list(calls))
        function, good = calls[name]
        changed = rng.sample(sorted(good), min(len(good), rng.choice((0, 1, 1, 1, 2, 3))))
        yield name, function, {**good, **{one: junk(rng) for one in changed}}, changed
