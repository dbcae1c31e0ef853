"""Distributions that a policy acts by: entropy, log-probability, divergence, draws, and the gradients of all of them
(include/entrol/policy.h, which has the accuracy of each call; docs/policies.md has the formulas). Everything is
computed in float64 and in nats; of densities with respect to the action."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import MAX_UINT64, choice, flag, names_of, number, whole
from ._arrays import Matrix, address, matrix, take, vector
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis, library
from ._measure import bits, destination

KINDS = {library.entrol_policy_kind_name(kind).decode(): kind for kind in c.PolicyKind}
RESULTS = ("entropy", "logprob", "kl_pq", "kl_qp")
WITH_SECOND = (
    c.PolicyKind.GAUSSIAN,
    c.PolicyKind.FULL_GAUSSIAN,
    c.PolicyKind.SQUASHED_GAUSSIAN,
    c.PolicyKind.BETA,
)
CHOICES = (c.PolicyKind.CATEGORICAL, c.PolicyKind.MULTI_DISCRETE)


@dataclass(frozen=True)
class Policy:
    """A batch of distributions, one for each row of the last dimension of `first`; arrays of any float dtype.

    | kind | first (..., n) | second | an action |
    |---|---|---|---|
    | "categorical" | logits | | a number below n, of shape (...) |
    | "multi-discrete" | the logits of several categoricals of `sizes` choices, side by side | | (..., len(sizes)) |
    | "bernoulli" | logits of 1 | | 0 or 1, (..., n) |
    | "gaussian" | means | ln sigma, (..., n) | (..., n) |
    | "full-gaussian" | means | L of the covariance L L^T, (..., n, n) | (..., n) |
    | "squashed-gaussian" | means of x | ln sigma of x, (..., n) | low + (high - low) (1 + tanh x) / 2, (..., n) |
    | "beta" | ln alpha | ln beta, (..., n) | low + (high - low) u, (..., n) |

    A second of one row alone, as of shape (n,), is that of all rows. mask: of logits, which columns may happen, (...,
    n) or (n,). log_sigma_low, log_sigma_high: ln sigma is clipped to these, with torch.clamp's gradient. low, high: the
    actions' bounds, of the last two kinds. A logit of -inf is impossible."""

    kind: str
    first: Any
    second: Any = None
    sizes: Sequence[int] | None = None
    mask: Any = None
    log_sigma_low: float = -math.inf
    log_sigma_high: float = math.inf
    low: float = -1.0
    high: float = 1.0


class _Rows(c.Policy):
    """entrol_policy over a Policy's arrays, which it keeps."""

    first_rows: Matrix
    leading: tuple[int, ...]
    second_shape: tuple[int, ...] | None
    action_shape: tuple[int, ...]
    kept: list[Any]


def kind_of(name: str) -> c.PolicyKind:
    """The kind of a name. Error: ArgumentError."""
    return choice(name.replace("_", "-") if isinstance(name, str) else name, "kind", KINDS)


def _rows(policy: Policy, name: str = "policy") -> _Rows:
    if not isinstance(policy, Policy):
        raise TypeError(f"{name}: expected an entrol.Policy, got {type(policy).__name__}")
    kind, first = kind_of(policy.kind), matrix(policy.first, f"{name}.first")
    if first.n_columns == 0:
        raise ArgumentError(f"{name}.first: expected at least one column", "first")
    limits = {
        key: number(getattr(policy, key), f"{name}.{key}") for key in ("log_sigma_low", "log_sigma_high", "low", "high")
    }
    made = _Rows(kind=kind, first=first, **limits)
    made.first_rows, made.leading, made.kept = first, first.leading, [first]
    _take_second(made, policy.second, f"{name}.second")
    _take_sizes(made, policy.sizes, f"{name}.sizes")
    if policy.mask is not None:
        if kind not in CHOICES:
            raise ArgumentError(f"{name}.mask: a {policy.kind} has none", "mask")
        packed, made.mask_row_stride = bits(policy.mask, f"{name}.mask", first)
        made.mask = address(packed)
        made.kept.append(packed)
    n = made.n_sizes if kind == c.PolicyKind.MULTI_DISCRETE else first.n_columns
    made.action_shape = made.leading if kind == c.PolicyKind.CATEGORICAL else (*made.leading, n)
    return made


def _take_second(made: _Rows, second: Any, name: str) -> None:
    made.second_shape = None
    if made.kind not in WITH_SECOND:
        if second is not None:
            raise ArgumentError(f"{name}: this kind has none", "second")
        return
    if second is None:
        raise ArgumentError(f"{name}: expected an array, got None", "second")
    n, rows = made.first_rows.n_columns, matrix(second, name)
    tail = (n, n) if made.kind == c.PolicyKind.FULL_GAUSSIAN else (n,)
    shape = (*rows.leading, rows.n_columns)
    of_rows = shape[: len(shape) - len(tail)]
    if shape[len(of_rows) :] != tail or (of_rows != made.leading and math.prod(of_rows) != 1):
        raise ArgumentError(f"{name}: expected the shape {(*made.leading, *tail)} or {tail}, got {shape}", "second")
    if len(tail) == 2:
        rows = _joined(rows, n)
    made.second, made.second_shape = rows, shape
    made.kept.append(rows)


def _joined(rows: Matrix, n: int) -> Matrix:
    """Square matrices as rows of n n elements."""
    array = np.ascontiguousarray(rows.array).reshape(rows.n_rows // n, n * n)
    made = Matrix(data=array.ctypes.data, dtype=rows.dtype, n_rows=array.shape[0], n_columns=n * n, row_stride=n * n)
    made.array, made.leading = array, rows.leading[:-1]
    return made


def _take_sizes(made: _Rows, sizes: Sequence[int] | None, name: str) -> None:
    if (sizes is not None) != (made.kind == c.PolicyKind.MULTI_DISCRETE):
        raise ArgumentError(f"{name}: multi-discrete alone needs them", "sizes")
    if sizes is None:
        return
    numbers = vector(sizes, name, np.int64)
    if numbers.ndim != 1 or (numbers < 1).any() or numbers.sum() != made.first_rows.n_columns:
        raise ArgumentError(
            f"{name}: expected numbers above 0 whose sum is {made.first_rows.n_columns}, got {numbers.tolist()}",
            "sizes",
        )
    numbers = numbers.astype(np.uintp)
    made.sizes, made.n_sizes = address(numbers), numbers.size
    made.kept.append(numbers)


def _actions(actions: Any, made: _Rows) -> Matrix | None:
    if actions is None:
        return None
    shape = made.action_shape
    given = actions if hasattr(actions, "__dlpack__") else take(actions, "actions")[0]
    if tuple(given.shape) != shape:
        raise ArgumentError(f"actions: expected the shape {shape}, got {tuple(given.shape)}", "actions")
    return matrix(given[..., None] if made.kind == c.PolicyKind.CATEGORICAL else given, "actions")


def _reference(reference: Policy | None, made: _Rows) -> _Rows | None:
    if reference is None:
        return None
    other = _rows(reference, "reference")
    alike = ("kind", "low", "high", "action_shape")
    shape = (*made.leading, made.first_rows.n_columns)
    if any(getattr(other, key) != getattr(made, key) for key in alike) or (
        (*other.leading, other.first_rows.n_columns) != shape
    ):
        raise ArgumentError("reference: expected the policy's kind, shape, sizes and bounds", "reference")
    return other


def _pointer(struct: ctypes.Structure | None) -> Any:
    return None if struct is None else ctypes.byref(struct)


@dataclass
class PolicyRecord:
    """What was measured of each row, float64 of shape (...); None where not wanted. kl_pq: KL(p || q), p the policy and
    q the reference. Rows in trouble have NaN, and `diagnosis` names the first of them."""

    entropy: np.ndarray | None = None
    logprob: np.ndarray | None = None
    kl_pq: np.ndarray | None = None
    kl_qp: np.ndarray | None = None
    diagnosis: Diagnosis | None = field(default=None, repr=False)


def _wanted(want: Iterable[str] | str | None, actions: Any, reference: Any) -> list[str]:
    possible = {"entropy": True, "logprob": actions is not None}
    possible["kl_pq"] = possible["kl_qp"] = reference is not None
    if want is None:
        return [name for name in RESULTS if possible[name]]
    names = names_of(want, "want", RESULTS)
    for name in names:
        if not possible[name]:
            needed = "actions" if name == "logprob" else "reference"
            raise ArgumentError(f"{needed}: {name} needs it", needed)
    return list(names)


def policy_measure(
    policy: Policy,
    actions: Any = None,
    reference: Policy | None = None,
    *,
    want: Iterable[str] | str | None = None,
    actions_are_before_squash: bool = False,
    context: Context | None = None,
) -> PolicyRecord:
    """Measures every row of a policy (entrol_policy_measure): its entropy, ln p of an action where `actions` has them
    (of the kind's shape, any dtype), the divergences where `reference` is given, of the same kind and shape.

    want: some of "entropy", "logprob", "kl_pq", "kl_qp"; all that can be had where None. actions_are_before_squash: of
    squashed-gaussian, actions are x, as policy_sample gives it; ln p is that of the action all the same, exact where
    the action, rounded, has forgotten x. An action on a bound counts as the last number of its dtype inside. Errors:
    ArgumentError, ValueError, TypeError. Rows in trouble have NaN."""
    rows = _rows(policy)
    taken, other = _actions(actions, rows), _reference(reference, rows)
    made, raw, diagnosis = PolicyRecord(), c.PolicyRecord(), c.Diagnosis()
    for name in _wanted(want, actions, reference):
        array = np.empty(rows.leading)
        setattr(made, name, array)
        setattr(raw, name, address(array))
    options = c.PolicyOptions(actions_are_before_squash=flag(actions_are_before_squash, "actions_are_before_squash"))
    context_of(context).call(
        "policy_measure",
        ctypes.byref(raw),
        ctypes.byref(diagnosis),
        ctypes.byref(rows),
        _pointer(taken),
        _pointer(other),
        ctypes.byref(options),
        diagnosis=diagnosis,
        low=policy.low,
        log_sigma_low=policy.log_sigma_low,
    )
    made.diagnosis = Diagnosis(diagnosis)
    return made


def policy_gradient(
    policy: Policy,
    actions: Any = None,
    reference: Policy | None = None,
    *,
    entropy: Any = None,
    logprob: Any = None,
    kl_pq: Any = None,
    kl_qp: Any = None,
    d_action: Any = None,
    is_pathwise: bool = False,
    actions_are_before_squash: bool = False,
    out_first: Any = None,
    out_second: Any = None,
    context: Context | None = None,
) -> tuple[np.ndarray, np.ndarray | None, Diagnosis]:
    """dL/dfirst and dL/dsecond (None where the kind has none) from a loss's derivatives by what policy_measure gives
    (entrol_policy_gradient).

    entropy, logprob, kl_pq, kl_qp: (...) or one number. d_action: dL/da, of the actions' shape, where the action is a
    function of the parameters and its noise (the Gaussian kinds); is_pathwise: so it is in ln p(a) too, as in SAC's
    alpha ln p(a) - Q(a). KL's derivatives are those by the policy, the reference being a constant. A second of one row
    for all gets the sum over the rows, added exactly. out_first, out_second: where the gradients go, C-contiguous, of
    any float dtype, apart from each other and from what is read; new float64 arrays where None. Errors: as
    policy_measure; UnsupportedError for d_action or is_pathwise of a kind that has none. Rows in trouble have NaN."""
    rows = _rows(policy)
    taken, other = _actions(actions, rows), _reference(reference, rows)
    by_action = _actions(d_action, rows) if d_action is not None else None
    by = {"entropy": entropy, "logprob": logprob, "kl_pq": kl_pq, "kl_qp": kl_qp}
    exact = {name: vector(value, name, np.float64, rows.leading) for name, value in by.items() if value is not None}
    shape = (*rows.leading, rows.first_rows.n_columns)
    first = np.zeros(shape) if out_first is None else out_first
    second = np.zeros(rows.second_shape) if out_second is None and rows.second_shape is not None else out_second
    to_first = destination(first, "out_first", shape)
    to_second = None if second is None else destination(second, "out_second", rows.second_shape or ())
    if to_second is not None:
        to_second.row_stride = rows.second.n_columns
    raw_options = c.PolicyOptions(
        actions_are_before_squash=flag(actions_are_before_squash, "actions_are_before_squash")
    )
    _check_apart({"out_first": out_first, "out_second": out_second}, rows, taken, other, by_action)
    pathwise, told = flag(is_pathwise, "is_pathwise"), None
    for part in _parts(exact):
        record = c.PolicyGradientRecord(**{name: address(x) for name, x in part.items()}, is_pathwise=pathwise)
        if by_action is not None and told is None:
            record.d_action = ctypes.cast(ctypes.pointer(by_action), ctypes.POINTER(c.Matrix))
        raw = c.Diagnosis()
        given = (record, rows, taken, other, raw_options)
        context_of(context).call("policy_gradient", *map(_pointer, (to_first, to_second, raw, *given)), diagnosis=raw)
        told = Diagnosis(raw) if told is None else told
        for to in (to_first, to_second):
            if to is not None:
                to.add = 1
    return first, second, told


def _check_apart(results: dict[str, Any], *read: _Rows | Matrix | None) -> None:
    """Results lie neither on what is read nor on each other."""
    kept = [one for rows in read if rows is not None for one in getattr(rows, "kept", [rows])]
    arrays = [one.array if isinstance(one, Matrix) else one for one in kept]
    for name, result in results.items():
        if result is not None:
            array = take(result, name)[0]
            if any(np.may_share_memory(array, other) for other in arrays):
                raise ValueError(f"{name}: expected memory apart from what is read and from the other result")
            arrays.append(array)


def _parts(exact: dict[str, np.ndarray]) -> Iterable[dict[str, np.ndarray]]:
    """The gradient record is of float32: a second one has what rounding leaves of float64, where it leaves anything."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = {name: value.astype(np.float32) for name, value in exact.items()}
        left = {name: value - rounded[name] for name, value in exact.items() if (value != rounded[name]).any()}
    yield rounded
    if left:
        yield {name: np.where(np.isfinite(value), value, 0).astype(np.float32) for name, value in left.items()}


@dataclass
class PolicySample:
    """Actions of the kind's shape, float64 (whole numbers too) or as `out` was; of squashed-gaussian also x, of which
    they are f(x). NaN in rows in trouble, the first of which `diagnosis` names."""

    actions: np.ndarray
    before: np.ndarray | None = None
    diagnosis: Diagnosis | None = field(default=None, repr=False)


def policy_sample(
    policy: Policy,
    *,
    seed: int = 0,
    first_row: int = 0,
    is_deterministic: bool = False,
    out: Any = None,
    before: Any = None,
    context: Context | None = None,
) -> PolicySample:
    """Draws an action from every row (entrol_policy_sample): row i's from (seed, first_row + i) alone, the same bits on
    every machine, thread count and split over ranks.

    is_deterministic: no draw, but the most probable choice, the mean, or the squashed mean. out, before: arrays to
    write to, C-contiguous, of any float dtype, to which results are rounded, apart from each other and from what is
    read. Errors: ArgumentError, ValueError, TypeError."""
    rows = _rows(policy)
    is_squashed = rows.kind == c.PolicyKind.SQUASHED_GAUSSIAN
    if before is not None and not is_squashed:
        raise ArgumentError("before: of squashed-gaussian alone", "before")
    made = PolicySample(np.empty(rows.action_shape) if out is None else out, before)
    if out is None and before is None and is_squashed:
        made.before = np.empty(rows.action_shape)
    to_actions = _actions_to(made.actions, "out", rows)
    to_before = None if made.before is None else _actions_to(made.before, "before", rows)
    _check_apart({"out": out, "before": before}, rows)
    options = c.PolicySampleOptions(
        seed=whole(seed, "seed", 0, MAX_UINT64),
        first_row=whole(first_row, "first_row", 0, MAX_UINT64),
        is_deterministic=flag(is_deterministic, "is_deterministic"),
    )
    diagnosis = c.Diagnosis()
    context_of(context).call(
        "policy_sample",
        ctypes.byref(to_actions),
        _pointer(to_before),
        ctypes.byref(diagnosis),
        ctypes.byref(rows),
        ctypes.byref(options),
        diagnosis=diagnosis,
    )
    made.diagnosis = Diagnosis(diagnosis)
    return made


def _actions_to(out: Any, name: str, rows: _Rows) -> c.Destination:
    to = destination(out, name, rows.action_shape)
    if rows.kind == c.PolicyKind.CATEGORICAL:
        to.row_stride = 1
    return to
