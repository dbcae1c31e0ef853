"""From rows of logits to statistics, and back to gradients. Everything is in nats; a logit of -inf is an impossible
column, whose probability, gradient and contribution are exactly 0. include/entrol/measure.h has the accuracy of each
call."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import _bindings as c
from ._arguments import choice, flag, names_of, number, whole
from ._arrays import FLOATS, Matrix, address, matrix, take, vector
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis, library

FLOAT_STATISTICS = (
    "entropy",
    "logsumexp",
    "logprob",
    "varentropy",
    "top_prob",
    "margin",
    "sum_p_squared",
    "renyi",
    "support_entropy",
)
STATISTICS = FLOAT_STATISTICS + ("rank", "top", "state", "support")
STATE_DTYPE = np.dtype([(name, np.float64) for name, _ in c.State._fields_])
SUPPORT_DTYPE = np.dtype([(name, np.float64) for name, _ in c.Support._fields_])
PAIR_DTYPE = np.dtype([(name, np.float64) for name, _ in c.Pair._fields_])


class Support(NamedTuple):
    """A subset of a row's columns on which `support_entropy` is measured: Support("top_p", 0.9), ("top_k", 20),
    ("before_p", 0.8) (SIREN, arXiv 2509.25133), ("drop", 0.2) (AEnt, arXiv 2509.03493), ("all", 0)."""

    kind: str
    parameter: float = 0.0


@dataclass
class Record:
    """The token record: arrays of the logits' shape without its last dimension, None where not wanted. float32, but
    rank (int32); top_id (int32) and top_logprob have n_top columns more; states and supports are structured arrays of
    float64. Rows in trouble have NaN, rank 0 and ids -1, and `diagnosis` names the first of them."""

    entropy: np.ndarray | None = None
    logsumexp: np.ndarray | None = None
    logprob: np.ndarray | None = None
    varentropy: np.ndarray | None = None
    top_prob: np.ndarray | None = None
    margin: np.ndarray | None = None
    sum_p_squared: np.ndarray | None = None
    renyi: np.ndarray | None = None
    support_entropy: np.ndarray | None = None
    rank: np.ndarray | None = None
    top_id: np.ndarray | None = None
    top_logprob: np.ndarray | None = None
    state: np.ndarray | None = None
    support: np.ndarray | None = None
    diagnosis: Diagnosis | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """What is there."""
        known = [f"{name}={value!r}" for name, value in vars(self).items() if value is not None and name != "diagnosis"]
        return f"Record({', '.join(known)})"


def _wanted(want: Any, targets: object, n_top: int) -> set[str]:
    names = names_of(want, "want", STATISTICS)
    if n_top > 0:
        names.add("top")
    for name in ("logprob", "rank"):
        if name in names and targets is None:
            raise ArgumentError(f"targets: {name} needs them", "targets")
    if "top" in names and n_top == 0:
        raise ArgumentError("n_top: top needs a number from 1", "n_top")
    return names


def bits(mask: Any, name: str, rows: Matrix | tuple[tuple[int, ...], int]) -> tuple[np.ndarray | None, int]:
    """A mask of bytes or booleans, of the rows' shape or one row for all, as C reads it: a bit a column; and its
    stride."""
    if mask is None:
        return None, 0
    leading, n_columns = (rows.leading, rows.n_columns) if isinstance(rows, Matrix) else rows
    array, _ = take(mask, name)
    if array.shape not in ((n_columns,), (*leading, n_columns)):
        raise ValueError(f"{name}: expected the shape {(*leading, n_columns)} or {(n_columns,)}, got {array.shape}")
    is_possible = array if array.dtype == np.bool_ else array != 0  # no copy of a mask as big as the logits
    n_rows = int(np.prod(array.shape[:-1], dtype=np.int64))
    packed = np.packbits(is_possible.reshape(n_rows, n_columns), axis=-1, bitorder="little")
    return packed, packed.shape[1] if array.ndim > 1 else 0


def options_of(
    temperature: float = 1.0,
    mask: np.ndarray | None = None,
    mask_stride: int = 0,
    renyi_order: float = 2.0,
    support: Support | tuple[str, float] | None = None,
) -> c.MeasureOptions:
    options = c.MeasureOptions(
        temperature=number(temperature, "temperature"),
        renyi_order=number(renyi_order, "renyi_order"),
        mask=address(mask),
        mask_row_stride=mask_stride,
    )
    if support is not None:
        if not isinstance(support, (tuple, list)) or len(support) not in (1, 2):
            raise TypeError(f'support: expected a kind and a number, as ("top_p", 0.9), got {support!r}')
        kind, parameter = Support(*support)
        options.support_kind = choice(kind, "support", c.SupportKind)
        options.support_parameter = number(parameter, "support")
    return options


def _make_record(names: set[str], leading: tuple[int, ...], n_top: int) -> tuple[c.Record, Record]:
    made, raw = Record(), c.Record()
    for name in names.intersection(FLOAT_STATISTICS):
        setattr(made, name, np.empty(leading, np.float32))
    if "rank" in names:
        made.rank = np.empty(leading, np.int32)
    if "top" in names:
        made.top_id, made.top_logprob = np.empty((*leading, n_top), np.int32), np.empty((*leading, n_top), np.float32)
        raw.n_top = n_top
    if "state" in names:
        made.state = np.empty(leading, STATE_DTYPE)
    if "support" in names:
        made.support = np.empty(leading, SUPPORT_DTYPE)
    for name, kind in c.Record._fields_:
        if name not in ("size", "n_top"):
            array = address(getattr(made, name))
            setattr(raw, name, ctypes.cast(array, kind) if kind is not ctypes.c_void_p and array else array)
    return raw, made


def _targets(targets: Any, leading: tuple[int, ...]) -> np.ndarray | None:
    return None if targets is None else vector(targets, "targets", np.int64, leading)


def measure_rows(
    logits: Any,
    targets: Any = None,
    *,
    want: Any = ("entropy",),
    temperature: float = 1.0,
    mask: Any = None,
    n_top: int = 0,
    renyi_order: float = 2.0,
    support: Support | tuple[str, float] | None = None,
    context: Context | None = None,
) -> Record:
    """Measures softmax(logits / temperature) of every row in one pass over memory (entrol_measure_rows).

    logits: (..., V), float64, float32, float16 or bfloat16, of NumPy or any DLPack producer on the CPU. targets: (...),
    whole numbers, for logprob and rank; a target that is no column makes them NaN and 0. want: names of STATISTICS.
    mask: (V,) or (..., V), 0 for impossible columns. renyi_order: of renyi. support: of support_entropy. Errors:
    ArgumentError, ValueError and TypeError, which name the argument."""
    rows, n_top = matrix(logits, "logits"), whole(n_top, "n_top", 0, c.MAX_TOP)
    names = _wanted(want, targets, n_top)
    chosen, (packed, stride) = _targets(targets, rows.leading), bits(mask, "mask", rows)
    options = options_of(temperature, packed, stride, renyi_order, support)
    raw, made = _make_record(names, rows.leading, n_top)
    diagnosis = c.Diagnosis()
    context_of(context).call(
        "measure_rows",
        ctypes.byref(raw),
        ctypes.byref(diagnosis),
        ctypes.byref(rows),
        address(chosen),
        ctypes.byref(options),
        diagnosis=diagnosis,
        temperature=temperature,
        renyi_order=renyi_order,
        n_top=n_top,
    )
    made.diagnosis = Diagnosis(diagnosis)
    return made


def gradient_rows(
    logits: Any,
    state: np.ndarray,
    *,
    logprob: Any = None,
    entropy: Any = None,
    varentropy: Any = None,
    support_entropy: Any = None,
    support: np.ndarray | None = None,
    targets: Any = None,
    temperature: float = 1.0,
    mask: Any = None,
    out: np.ndarray | None = None,
    add: bool = False,
    context: Context | None = None,
) -> tuple[np.ndarray, Diagnosis]:
    """dL/dlogits from dL/dlogprob, dL/dentropy, dL/dvarentropy and dL/dsupport_entropy of each row
    (entrol_gradient_rows).

    logits, targets, temperature, mask: as the rows were measured; state (and support, of what support_entropy was
    measured on): what measure_rows gave. Derivatives: (...) or one number. out: (..., V), of any float dtype,
    C-contiguous; `logits` itself may be given. add: adds to out. The default is a new array of the logits' dtype
    (float32 of bfloat16). Errors: ArgumentError, ValueError, TypeError. Rows in trouble have NaN."""
    rows = matrix(logits, "logits")
    chosen, (packed, stride) = _targets(targets, rows.leading), bits(mask, "mask", rows)
    _check_targets(logprob, targets)
    parts = {"logprob": logprob, "entropy": entropy, "varentropy": varentropy, "support_entropy": support_entropy}
    arrays = {name: vector(part, name, np.float32, rows.leading) for name, part in parts.items() if part is not None}
    record = c.Gradient(**{name: address(array) for name, array in arrays.items()})
    states = _structured(state, "state", STATE_DTYPE, rows.leading)
    if support_entropy is not None:
        supports = _structured(support, "support", SUPPORT_DTYPE, rows.leading)
        record.supports = ctypes.cast(address(supports), ctypes.POINTER(c.Support))
    if out is None:
        shape = (*rows.leading, rows.n_columns)
        out = np.zeros(shape, np.float32 if rows.dtype == c.Dtype.BF16 else rows.array.dtype)
    to = destination(out, "out", (*rows.leading, rows.n_columns), add)
    _check_overlap(take(out, "out")[0], rows)
    diagnosis = c.Diagnosis()
    context_of(context).call(
        "gradient_rows",
        ctypes.byref(to),
        ctypes.byref(diagnosis),
        ctypes.byref(record),
        address(states),
        ctypes.byref(rows),
        address(chosen),
        ctypes.byref(options_of(temperature, packed, stride)),
        diagnosis=diagnosis,
        temperature=temperature,
    )
    return out, Diagnosis(diagnosis)


def _check_targets(logprob: Any, targets: Any) -> None:
    if logprob is not None and targets is None:
        raise ArgumentError("targets: logprob needs them", "targets")


def _structured(value: Any, name: str, dtype: np.dtype, leading: tuple[int, ...]) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != leading:
        raise ArgumentError(f"{name}: expected what measure_rows gave, of shape {leading}", name)
    return np.ascontiguousarray(value)


def destination(out: Any, name: str, shape: tuple[int, ...], add: bool = False) -> c.Destination:
    """entrol_destination over an array that is written. Errors: TypeError, ValueError."""
    if not (out.dtype.isnative if isinstance(out, np.ndarray) else hasattr(out, "__dlpack__")):
        raise TypeError(f"{name}: expected an array that can be written where it lies, got {type(out).__name__}")
    array, is_bf16 = take(out, name)
    if array.shape != shape or not array.flags.c_contiguous or not array.flags.writeable:
        raise ValueError(f"{name}: expected a contiguous array of shape {shape} that can be written, got {array.shape}")
    dtype = c.Dtype.BF16 if is_bf16 else FLOATS.get(array.dtype)
    if dtype is None:
        raise TypeError(f"{name}: expected float64, float32, float16 or bfloat16, got {array.dtype}")
    return c.Destination(data=address(array), dtype=dtype, row_stride=shape[-1] if shape else 1, add=flag(add, "add"))


def _check_overlap(out: np.ndarray, rows: Matrix) -> None:
    """Results may go where the logits are, but not beside their own row's."""
    is_in_place = address(out) == rows.data and out.dtype == rows.array.dtype and rows.array.flags.c_contiguous
    if not is_in_place and np.may_share_memory(out, rows.array):
        raise ValueError("out: expected memory apart from the logits', or the logits themselves")


def entropy_of_distributions(
    distributions: Any, *, scale: str = "probabilities", tolerance: float = 1e-6, context: Context | None = None
) -> tuple[np.ndarray, Diagnosis]:
    """The entropy of each row of probabilities, or of natural log-probabilities (scale="log_probabilities"), as given:
    nothing is normalised (entrol_entropy_of_distributions). distributions: (..., V). A row whose sum is further than
    `tolerance` from one has NaN. Errors: ArgumentError, ValueError, TypeError."""
    rows = matrix(distributions, "distributions")
    entropy, diagnosis = np.empty(rows.leading, np.float64), c.Diagnosis()
    context_of(context).call(
        "entropy_of_distributions",
        address(entropy),
        ctypes.byref(diagnosis),
        ctypes.byref(rows),
        choice(scale, "scale", c.Scale),
        number(tolerance, "tolerance"),
        diagnosis=diagnosis,
        tolerance=tolerance,
    )
    return entropy, Diagnosis(diagnosis)


def entropy_of_counts(counts: Any, estimator: str = "plug-in", *, context: Context | None = None) -> float:
    """The entropy of a distribution over len(counts) outcomes, estimated from how often each was seen
    (entrol_entropy_of_counts). estimator: plug-in, miller-madow, chao-shen, grassberger, james-stein, nsb. NaN where
    nothing was seen. Errors: ArgumentError."""
    numbers, result = vector(counts, "counts", np.uint64).ravel(), ctypes.c_double()
    kind = choice(estimator, "estimator", {library.entrol_estimator_name(i).decode(): i for i in c.Estimator})
    try:
        context_of(context).call("entropy_of_counts", ctypes.byref(result), address(numbers), numbers.size, kind)
    except OverflowError:
        raise OverflowError("counts: expected a sum below 2^64") from None
    return result.value


@dataclass
class EntropyInterval:
    """What the k recorded log-probabilities of each row leave for its entropy, each of shape (...), in nats: no
    distribution that agrees with them has a smaller or a greater one."""

    lower: np.ndarray
    upper: np.ndarray
    tail_mass: np.ndarray
    mean_logprob: np.ndarray
    diagnosis: Diagnosis = field(repr=False)


def entropy_bounds(
    logprobs: Any,
    *,
    n_columns: int = 0,
    counts: Any = None,
    chosen: Any = None,
    caps: Any = None,
    error: float = 2e-6,
    relative_error: float = 2e-6,
    context: Context | None = None,
) -> EntropyInterval:
    """The least and the greatest entropy that each row can have of which only the k most probable columns were recorded
    (entrol_entropy_bounds). logprobs: (..., k), ln p. n_columns: V, 0 where unknown. counts: (...), how many of the k
    are given. chosen: (...), ln p of the token that came where it is none of the k, NaN for none. caps: (...), ln of
    the most that any other column can have. Errors: ArgumentError, ValueError, TypeError."""
    rows = matrix(logprobs, "logprobs")
    kinds = {"counts": (counts, np.uintp), "chosen": (chosen, np.float64), "caps": (caps, np.float64)}
    arrays = {
        name: vector(value, name, dtype, rows.leading) for name, (value, dtype) in kinds.items() if value is not None
    }
    top = c.TopLogprobs(
        logprobs=rows,
        error=number(error, "error"),
        relative_error=number(relative_error, "relative_error"),
        n_columns=whole(n_columns, "n_columns"),
        **{name: address(array) for name, array in arrays.items()},
    )
    results = {name: np.empty(rows.leading, np.float32) for name in ("lower", "upper", "tail_mass", "mean_logprob")}
    raw, diagnosis = c.EntropyInterval(**{name: address(array) for name, array in results.items()}), c.Diagnosis()
    context_of(context).call(
        "entropy_bounds",
        ctypes.byref(raw),
        ctypes.byref(diagnosis),
        ctypes.byref(top),
        diagnosis=diagnosis,
        error=error,
        relative_error=relative_error,
        n_columns=n_columns,
    )
    return EntropyInterval(**results, diagnosis=Diagnosis(diagnosis))
