"""Losses of policies by their names, with their derivatives by every token, and the advantages that go in
(include/entrol/objective.h; docs/objectives.md has each formula and its source)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import MAX_UINT64, choice, flag, number, text, whole
from ._arrays import address, take, vector
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis, check, library
from ._measure import Support
from ._registry import Parameter, explain, parameters, settings

TOKEN_ARRAYS = (
    "logprob",
    "old_logprob",
    "reference_logprob",
    "advantage",
    "entropy",
    "old_entropy",
    "support_entropy",
    "value",
    "old_value",
    "target_return",
    "weight",
)
DIAGNOSTICS = tuple(
    name
    for name, kind in c.ObjectiveResult._fields_
    if name not in ("size", "loss") and kind in (ctypes.c_double, ctypes.c_uint64)
)
NEEDS = {name.removeprefix("NEEDS_").lower(): bit for name, bit in vars(c).items() if name.startswith("NEEDS_")}


def _names(bits: int) -> frozenset[str]:
    return frozenset(name for name, bit in NEEDS.items() if bits & bit)


@dataclass(frozen=True)
class Objective:
    """A published objective. needs, gives: names of the tokens' arrays ("sequences": where each begins). support: what
    to measure support_entropy on, where it needs that."""

    name: str
    says: str
    source: str
    parameters: dict[str, Parameter]
    needs: frozenset[str]
    gives: frozenset[str]
    support: Support


def _row(row: c.Objective) -> Objective:
    support = Support(c.SupportKind(row.support_kind).name.lower(), row.support_parameter)
    return Objective(
        row.name.decode(),
        row.says.decode(),
        row.source.decode(),
        parameters(row.parameters, row.n_parameters),
        _names(row.needs),
        _names(row.gives),
        support,
    )


def objectives() -> dict[str, Objective]:
    """All objectives by their names."""
    rows = (_row(library.entrol_objective_at(i).contents) for i in range(library.entrol_objective_count()))
    return {row.name: row for row in rows}


def _find(name: str) -> tuple[Any, Objective]:
    row = library.entrol_objective_find(text(name, "name"))
    if not row:
        raise ArgumentError(f"name: no objective {name!r}; there are {', '.join(objectives())}", "name")
    return row, _row(row.contents)


def objective_needs(name: str, **given: object) -> frozenset[str]:
    """What an objective needs under settings. Errors: ArgumentError, TypeError."""
    row, found = _find(name)
    made, n = settings(given, found.parameters, name)
    needs, diagnosis = ctypes.c_uint(), c.Diagnosis()
    try:
        check(library.entrol_objective_needs(ctypes.byref(needs), ctypes.byref(diagnosis), row, made, n), diagnosis)
    except ArgumentError as error:
        raise explain(error, given, found.parameters) from None
    return _names(needs.value)


@dataclass
class ObjectiveResult:
    """The loss, its parts, what people log of it, and the derivatives by every token (entrol_objective_result,
    entrol_objective_record): float32 arrays of the tokens, 0 where a token does not count, None where not wanted. NaN
    where what a number is made of was not given."""

    loss: float
    diagnostics: dict[str, float]
    gradients: dict[str, np.ndarray]
    token_loss: np.ndarray | None = None
    kept: np.ndarray | None = None
    sums: dict[str, tuple[float, int]] = field(default_factory=dict, repr=False)


def _result(raw: c.ObjectiveResult, gradients: dict[str, np.ndarray], token_loss: Any, kept: Any) -> ObjectiveResult:
    numbers = {name: getattr(raw, name) for name in DIAGNOSTICS}
    totals = {one.name.lower().removeprefix("sum_"): raw.sums[one] for one in c.ObjectiveSum if one < len(raw.sums)}
    sums = {name: (library.entrol_sum_value(ctypes.byref(total)), total.n) for name, total in totals.items()}
    return ObjectiveResult(raw.loss, numbers, gradients, token_loss, kept, sums)


def tokens_of(
    arrays: Mapping[str, Any], mask: Any, sequence_starts: Any, seed: int
) -> tuple[c.Tokens, dict[str, np.ndarray]]:
    """entrol_tokens over arrays of one shape, and these by their names, which it needs to be kept."""
    if arrays.get("logprob") is None:
        raise ArgumentError("logprob: expected an array", "logprob")
    first = vector(arrays["logprob"], "logprob", np.float32)
    tokens = c.Tokens(n_tokens=first.size, seed=whole(seed, "seed", 0, MAX_UINT64))
    kept: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if value is not None:
            kept[name] = vector(value, name, np.float32, first.shape)
            setattr(tokens, name, address(kept[name]))
    if mask is not None:
        kept["mask"] = vector(mask, "mask", np.uint8, first.shape)
        tokens.mask = address(kept["mask"])
    starts = None if first.ndim != 2 else np.arange(first.shape[0] + 1, dtype=np.uintp) * first.shape[1]
    if sequence_starts is not None:
        starts = vector(sequence_starts, "sequence_starts", np.uintp).ravel()
    if starts is not None:
        kept["sequence_starts"] = starts
        tokens.sequence_starts, tokens.n_sequences = address(starts), max(0, starts.size - 1)
    return tokens, kept


def objective_compute(
    name: str,
    *,
    logprob: Any,
    mask: Any = None,
    sequence_starts: Any = None,
    seed: int = 0,
    loss_alone: bool = False,
    context: Context | None = None,
    **given: Any,
) -> ObjectiveResult:
    """The loss of the tokens under an objective, and its derivatives (entrol_objective_compute).

    logprob and others of TOKEN_ARRAYS (old_logprob, reference_logprob, advantage, entropy, old_entropy,
    support_entropy, value, old_value, target_return, weight): arrays of one shape; of two dimensions each row is a
    sequence, else sequence_starts (n + 1 numbers) says where each begins. mask: 0 where a token does not count: it may
    hold anything. seed: of what is drawn. Everything else is a parameter of the objective
    (entrol.objectives()[name].parameters), as entropy_coefficient, aggregation or clip_low. loss_alone: fewer numbers
    to log, quicker. With a context that has a comm, of all ranks together. Errors: ArgumentError and TypeError, which
    name the argument; DataError for a NaN or a ratio beyond e^88; CommunicationError."""
    row, found = _find(name)
    arrays = {"logprob": logprob, **{key: given.pop(key) for key in TOKEN_ARRAYS if key in given}}
    made, n = settings(given, found.parameters, name)
    tokens, kept = tokens_of(arrays, mask, sequence_starts, seed)
    shape = kept["logprob"].shape
    gradients = {
        key: np.empty(shape, np.float32)
        for key in ("logprob", "entropy", "support_entropy", "value")
        if arrays.get(key) is not None
    }
    loss, let_through = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    record = c.ObjectiveRecord(
        loss=address(loss), kept=address(let_through), **{key: address(array) for key, array in gradients.items()}
    )
    options, raw, diagnosis = (
        c.ObjectiveOptions(settings=made, n_settings=n, loss_alone=flag(loss_alone, "loss_alone")),
        c.ObjectiveResult(),
        c.Diagnosis(),
    )
    raw.size = ctypes.sizeof(raw)
    try:
        context_of(context).call(
            "objective_compute",
            ctypes.byref(record),
            ctypes.byref(raw),
            ctypes.byref(diagnosis),
            row,
            ctypes.byref(tokens),
            ctypes.byref(options),
            diagnosis=diagnosis,
            **{**given, **kept},
        )
    except ArgumentError as error:
        if error.argument in TOKEN_ARRAYS and arrays.get(error.argument) is None:
            raise ArgumentError(f"{error.argument}: {name} needs it", error.argument) from None
        raise explain(error, given, found.parameters) from None
    return _result(raw, gradients, loss, let_through.view(bool))


def kl_estimate(
    logprob: Any, reference_logprob: Any, estimator: str = "k3", *, mask: Any = None, context: Context | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """An estimate of KL(p || q) of each draw from p, and its derivative by ln p (entrol_kl_estimate): "k1", "k2", "k3"
    (Schulman, Approximating KL divergence, 2020). float32, of logprob's shape. Errors: ArgumentError; DataError."""
    first = vector(logprob, "logprob", np.float32)
    second = vector(reference_logprob, "reference_logprob", np.float32, first.shape)
    counts = None if mask is None else vector(mask, "mask", np.uint8, first.shape)
    kl, derivative, diagnosis = np.empty_like(first), np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "kl_estimate",
        address(kl),
        address(derivative),
        ctypes.byref(diagnosis),
        address(first),
        address(second),
        address(counts),
        first.size,
        choice(estimator, "estimator", c.KlEstimator),
        diagnosis=diagnosis,
        logprob=first,
        reference_logprob=second,
    )
    return kl, derivative


def advantage_gae(
    rewards: Any,
    values: Any,
    last_values: Any,
    *,
    ends: Any = None,
    final_values: Any = None,
    gamma: float = 0.99,
    lambda_: float = 0.95,
    context: Context | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation (arXiv 1506.02438; entrol_advantage_gae): advantages and returns, float32 of the
    rewards' shape. rewards, values: (steps, environments); last_values: (environments). ends: what each step did to its
    episode, 0 goes on, 1 terminated, 2 truncated (needs final_values). Errors: ArgumentError; DataError."""
    first = vector(rewards, "rewards", np.float32)
    if first.ndim != 2:
        raise ArgumentError(f"rewards: expected two dimensions, (steps, environments), got {first.ndim}", "rewards")
    trajectory = c.Trajectory(n_steps=first.shape[0], n_environments=first.shape[1], rewards=address(first))
    kept = {
        "values": vector(values, "values", np.float32, first.shape),
        "last_values": vector(last_values, "last_values", np.float32, first.shape[1:]),
    }
    if ends is not None:
        kept["ends"] = _ends(ends, first.shape)
    if final_values is not None:
        kept["final_values"] = vector(final_values, "final_values", np.float32, first.shape)
    for name, array in kept.items():
        setattr(trajectory, name, address(array))
    advantages, returns, diagnosis = np.empty_like(first), np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_gae",
        address(advantages),
        address(returns),
        ctypes.byref(diagnosis),
        ctypes.byref(trajectory),
        number(gamma, "gamma"),
        number(lambda_, "lambda_"),
        diagnosis=diagnosis,
        gamma=gamma,
        lambda_=lambda_,
        rewards=first,
        **kept,
    )
    return advantages, returns


def _ends(ends: Any, shape: tuple[int, ...]) -> np.ndarray:
    array, _ = take(ends, "ends")
    if (
        array.shape != shape
        or array.dtype.kind not in "biu"
        or (array.size and not 0 <= array.min() <= array.max() <= 2)
    ):
        raise ArgumentError(f"ends: expected 0, 1 or 2 in the shape {shape}", "ends")
    return np.ascontiguousarray(array, np.uint8)


def _groups(rewards: Any, group_starts: Any) -> tuple[np.ndarray, np.ndarray]:
    first = vector(rewards, "rewards", np.float32)
    if group_starts is not None:
        starts = vector(group_starts, "group_starts", np.uintp).ravel()
        if starts.size == 0 or starts[0] != 0 or starts[-1] != first.size or np.any(starts[1:] < starts[:-1]):
            raise ArgumentError(
                f"group_starts: expected numbers that rise from 0 to {first.size}, the rewards", "group_starts"
            )
        return first, starts
    if first.ndim != 2:
        raise ArgumentError("group_starts: needed where rewards have not one row for each group", "group_starts")
    return first, np.arange(first.shape[0] + 1, dtype=np.uintp) * first.shape[1]


def advantage_group(
    rewards: Any,
    group_starts: Any = None,
    *,
    scale: str = "group",
    epsilon: float = 1e-4,
    context: Context | None = None,
) -> tuple[np.ndarray, Diagnosis]:
    """GRPO's advantage: each reward over the mean of its group, divided by "group" or "batch" deviation, or "none" (Dr.
    GRPO) (entrol_advantage_group). rewards: (groups, samples), or any with group_starts (groups + 1 numbers). The
    diagnosis counts groups of equal rewards, which get 0. Errors: ArgumentError; DataError."""
    first, starts = _groups(rewards, group_starts)
    result, diagnosis = np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_group",
        address(result),
        ctypes.byref(diagnosis),
        address(first),
        address(starts),
        starts.size - 1,
        choice(scale, "scale", c.AdvantageScale),
        number(epsilon, "epsilon"),
        diagnosis=diagnosis,
        epsilon=epsilon,
        rewards=first,
    )
    return result, Diagnosis(diagnosis)


def advantage_leave_one_out(rewards: Any, group_starts: Any = None, *, context: Context | None = None) -> np.ndarray:
    """Each reward less the mean of the others of its group (RLOO, arXiv 2402.14740). rewards, errors: as
    advantage_group."""
    first, starts = _groups(rewards, group_starts)
    result, diagnosis = np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_leave_one_out",
        address(result),
        ctypes.byref(diagnosis),
        address(first),
        address(starts),
        starts.size - 1,
        diagnosis=diagnosis,
        rewards=first,
    )
    return result


def advantage_whiten(
    advantages: Any, mask: Any = None, *, epsilon: float = 1e-8, context: Context | None = None
) -> np.ndarray:
    """(A - mean) / (deviation + epsilon) over all advantages that count, of all ranks; others become 0
    (entrol_advantage_whiten). Errors: ArgumentError; DataError."""
    first = vector(advantages, "advantages", np.float32)
    counts = None if mask is None else vector(mask, "mask", np.uint8, first.shape)
    result, diagnosis = np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_whiten",
        address(result),
        ctypes.byref(diagnosis),
        address(first),
        address(counts),
        first.size,
        number(epsilon, "epsilon"),
        diagnosis=diagnosis,
        epsilon=epsilon,
        advantages=first,
    )
    return result
