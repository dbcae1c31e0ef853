"""Losses of policies by their names, with their derivatives by every token (include/entrol/objective.h;
docs/objectives.md has each formula and its source)."""

from __future__ import annotations

import ctypes
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import MAX_UINT64, choice, flag, text, whole
from ._arrays import address, are_starts, marks, row_starts, vector
from ._context import Context, context_of
from ._library import EXPECTED, NOTHING_COUNTS, ArgumentError, check, library
from ._measure import Support
from ._registry import Parameters, Table, described, explain, parameters, refuse_unknown, settings_of

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
WITH_GRADIENT = ("logprob", "entropy", "support_entropy", "value")
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
    parameters: Parameters
    needs: frozenset[str]
    gives: frozenset[str]
    support: Support

    def __repr__(self) -> str:
        return described(self, f"needs {', '.join(sorted(self.needs)) or 'logprob alone'}")


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


def _registered() -> dict[str, tuple[Any, Objective]]:
    pointers = map(library.entrol_objective_at, range(library.entrol_objective_count()))
    return {row.name: (pointer, row) for pointer, row in ((one, _row(one.contents)) for one in pointers)}


#: Each objective by its name, as C has it and as Python does: read once, since every loss asks for it.
REGISTERED = _registered()


def _says(row: Objective) -> tuple[str, ...]:
    return (row.says,)


def objectives() -> Table[Objective]:
    """All objectives by their names: a dict, which shows itself as a table."""
    return Table(((name, row) for name, (_, row) in REGISTERED.items()), _says)


def check_keywords(name: str, given: Iterable[str]) -> None:
    """ArgumentError for no objective's name; TypeError for a keyword that is no array and no parameter."""
    text(name, "name")
    if name not in REGISTERED:
        raise ArgumentError(f"name: no objective {name!r}; there are {', '.join(REGISTERED)}", "name")
    refuse_unknown(
        given, REGISTERED[name][1].parameters, name, "array or parameter", (*TOKEN_ARRAYS, "mask", "sequence_starts")
    )


def listed(function: Any) -> Any:
    """Puts the names of the objectives into a docstring, where it says NAMES."""
    if function.__doc__:  # python -OO has none
        lines = textwrap.wrap(", ".join(REGISTERED), 110, subsequent_indent="    ")
        function.__doc__ = function.__doc__.replace("NAMES", "\n".join(lines))
    return function


def objective_needs(name: str, **given: object) -> frozenset[str]:
    """What an objective needs under settings. Errors: ArgumentError, TypeError."""
    check_keywords(name, ())
    row, found = REGISTERED[name]
    refuse_unknown(given, found.parameters, name)
    made, n = settings_of(given, found.parameters)
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

    def __repr__(self) -> str:
        return result_text(self.loss, self.diagnostics, self.gradients)


def result_text(loss: float, diagnostics: Mapping[str, float], gradients: Iterable[str]) -> str:
    """What a result shows of itself: the loss, what is known to log, and what has gradients."""
    known = "".join(f", {name}={value:.6g}" for name, value in diagnostics.items() if not math.isnan(value))
    return f"ObjectiveResult(loss={loss:.6g}{known}; gradients by {', '.join(gradients)})"


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
    starts = None if first.ndim != 2 else row_starts(first.shape)
    if sequence_starts is not None:
        starts = vector(sequence_starts, "sequence_starts", np.uintp).ravel()
    kept: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if value is not None:
            given = _of_tokens(value, name, first.shape, starts) if name == "advantage" else value
            kept[name] = vector(given, name, np.float32, first.shape)
            setattr(tokens, name, address(kept[name]))
    if mask is not None:
        kept["mask"] = marks(mask, "mask", first.shape)
        tokens.mask = address(kept["mask"])
    if starts is not None:
        kept["sequence_starts"] = starts
        tokens.sequence_starts, tokens.n_sequences = address(starts), max(0, starts.size - 1)
    return tokens, kept


def _of_tokens(value: Any, name: str, shape: tuple[int, ...], starts: np.ndarray | None) -> np.ndarray:
    """Numbers of sequences, (n,) or (n, 1), at all tokens of theirs; others as they are."""
    array = vector(value, name, np.float32)
    n = 0 if starts is None else starts.size - 1
    if n < 1 or array.shape in (shape, ()):
        return array
    if array.shape not in ((n,), (n, 1)):
        raise ValueError(f"{name}: expected the shape {shape}, or {(n,)} of the sequences, got {array.shape}")
    if not are_starts(starts, math.prod(shape)):
        raise ArgumentError(f"sequence_starts: expected {EXPECTED['sequence_starts']}", "sequence_starts")
    return np.repeat(array.ravel(), np.diff(starts).astype(np.intp)).reshape(shape)


@listed
def objective_compute(
    name: str,
    *,
    logprob: Any,
    advantage: Any = None,
    mask: Any = None,
    old_logprob: Any = None,
    reference_logprob: Any = None,
    entropy: Any = None,
    old_entropy: Any = None,
    support_entropy: Any = None,
    value: Any = None,
    old_value: Any = None,
    target_return: Any = None,
    weight: Any = None,
    sequence_starts: Any = None,
    seed: int = 0,
    loss_alone: bool = False,
    context: Context | None = None,
    **settings: Any,
) -> ObjectiveResult:
    """The loss of the tokens under an objective, and its derivatives (entrol_objective_compute).

    name: NAMES.
    All arrays are of one shape, read as float32; of two dimensions each row is a sequence, else sequence_starts (n + 1
    numbers) says where each begins. logprob: ln p of the tokens under the policy that learns. advantage: of each token,
    or of each sequence, (n) or (n, 1). mask: 0 where a token does not count: it may hold anything. old_logprob: ln p
    under the policy that acted; without it every ratio is 1 (the same policy acted). reference_logprob: under the
    reference, for the KL. entropy, old_entropy, support_entropy: nats, of the policy that learns, of that which acted,
    and on the objective's support. value, old_value, target_return: of a critic, for the value loss. weight: of each
    token's loss. entrol.objectives()[name].needs says what has to be there. settings: parameters of the objective
    (entrol.objectives()[name].parameters), as entropy_coefficient, aggregation or clip_low. seed: of what is drawn.
    loss_alone: fewer numbers to log, quicker. With a context that has a comm, of all ranks together.

    Errors: ArgumentError and TypeError, which name the argument; DataError for a NaN, a ratio beyond e^88, or no token
    that counts; CommunicationError."""
    check_keywords(name, settings)
    arrays = {"logprob": logprob, "advantage": advantage, "old_logprob": old_logprob, "entropy": entropy}
    arrays |= {"reference_logprob": reference_logprob, "old_entropy": old_entropy, "weight": weight, "value": value}
    arrays |= {"support_entropy": support_entropy, "old_value": old_value, "target_return": target_return}
    tokens, kept = tokens_of(arrays, mask, sequence_starts, seed)
    return _compute(name, settings, tokens, kept, flag(loss_alone, "loss_alone"), context_of(context))


def _compute(
    name: str,
    given: Mapping[str, Any],
    tokens: c.Tokens,
    kept: Mapping[str, np.ndarray],
    loss_alone: bool,
    context: Context,
) -> ObjectiveResult:
    row, found = REGISTERED[name]
    made, n = settings_of(given, found.parameters)
    shape = kept["logprob"].shape
    gradients = {key: np.empty(shape, np.float32) for key in WITH_GRADIENT if key in kept}
    loss, let_through = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    record = c.ObjectiveRecord(
        loss=address(loss), kept=address(let_through), **{key: address(array) for key, array in gradients.items()}
    )
    options, raw, diagnosis = (
        c.ObjectiveOptions(settings=made, n_settings=n, loss_alone=loss_alone),
        c.ObjectiveResult(),
        c.Diagnosis(),
    )
    raw.size = ctypes.sizeof(raw)
    try:
        context.call(
            "objective_compute",
            ctypes.byref(record),
            ctypes.byref(raw),
            ctypes.byref(diagnosis),
            row,
            ctypes.byref(tokens),
            ctypes.byref(options),
            diagnosis=diagnosis,
            reasons=NOTHING_COUNTS if "mask" in kept else {c.Reason.EMPTY_SUPPORT: "logprob: no tokens"},
            **{**given, **kept},
        )
    except ArgumentError as error:
        if error.argument in (*TOKEN_ARRAYS, "sequence_starts") and error.argument not in kept:
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
    counts = marks(mask, "mask", first.shape)
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
