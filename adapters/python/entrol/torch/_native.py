"""The same as _chunked.py by libentrol, for float32, float16 and bfloat16 on the CPU: rows are read where they lie.

The state of a row is entrol_state: N_STATE float64, handed out as the bits they have (int64), since what was not asked
for is NaN. m is -inf and the others 0 of a row without a possible column and of one that is not measured."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import torch

from .. import _bindings as c
from .._measure import bits, options_of
from ._context import context
from ._rows import DTYPES, Segment, readable, segments

FIELDS = [name for name, _ in c.State._fields_]
N_STATE = len(FIELDS)
M, N_TOP, S, T, TARGET = (FIELDS.index(name) for name in ("m", "n_top", "s", "t", "target"))


def reads(tensor: torch.Tensor) -> bool:
    """Whether the library does, rather than _chunked.py."""
    return tensor.device.type == "cpu" and tensor.dtype in DTYPES


def _address(tensor: torch.Tensor | None, first: int = 0, width: int = 1) -> int | None:
    """Where row `first` of a contiguous tensor of `width` elements a row is."""
    return None if tensor is None else tensor.data_ptr() + first * width * tensor.element_size()


def matrix_of(logits: torch.Tensor, segment: Segment) -> c.Matrix:
    return c.Matrix(
        data=segment.address,
        dtype=DTYPES[logits.dtype],
        n_rows=segment.count,
        n_columns=logits.shape[-1],
        row_stride=segment.stride,
    )


def options_from(
    mask: torch.Tensor | None, logits: torch.Tensor, temperature: float
) -> Callable[[int], c.MeasureOptions]:
    """The options of the rows from one on. The function keeps the packed mask."""
    packed, stride = bits(mask, "mask", (tuple(logits.shape[:-1]), logits.shape[-1]))

    def of(first: int) -> c.MeasureOptions:
        return options_of(temperature, None if packed is None else packed.reshape(-1)[first * stride :], stride)

    return of


def _is_possible(values: torch.Tensor, index: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    possible = values > -math.inf
    if mask is None:
        return possible
    return possible & mask.expand(*index.shape[:-1], mask.shape[-1]).gather(-1, index)


def _logprob(
    logits: torch.Tensor, index: torch.Tensor, mask: torch.Tensor | None, state: torch.Tensor, temperature: float
) -> torch.Tensor:
    """ln p of several columns a row (..., K), in float64: the library takes one target a row."""
    values = logits.gather(-1, index).double()
    m, n_top, s = (state[..., field, None] for field in (M, N_TOP, S))
    logprob = (values - m) / temperature - n_top.log() - torch.log1p(s / n_top)
    is_impossible = ~_is_possible(values, index, mask) & ~logprob.isnan()
    return logprob.masked_fill_(is_impossible, -math.inf).masked_fill_(_is_void(state)[..., None], 0)


def _is_void(state: torch.Tensor) -> torch.Tensor:
    """The rows without a possible column, and those not measured. One with NaN has no finite s."""
    return (state[..., M] == -math.inf) & (state[..., S] == 0)


def _settle(
    state: torch.Tensor, keep: torch.Tensor | None, *outputs: torch.Tensor | None, empty_is_nan: bool = False
) -> None:
    """Nothing remains of what the void rows hold, and of those that `keep` has not. empty_is_nan: they are made rows
    with NaN, which have NaN as their gradient, too."""
    void = _is_void(state) if keep is None else _is_void(state) | ~keep
    value = math.nan if empty_is_nan else 0
    state.masked_fill_(void[..., None], 0)
    if empty_is_nan:
        state[..., S].masked_fill_(void, value)
    else:
        state[..., M].masked_fill_(void, -math.inf)
    for output in outputs:
        if output is not None:
            output.masked_fill_(void, value)


def measure(
    logits: torch.Tensor,
    index: torch.Tensor | None,
    mask: torch.Tensor | None,
    keep: torch.Tensor | None,
    temperature: float,
    want_entropy: bool,
    empty_is_nan: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """entropy (...), logprob (..., K), both float32, and state (..., N_STATE), int64, of logits (..., V), index (...,
    K), mask (V) or (..., V), keep (...). empty_is_nan: for a void row NaN, not 0."""
    leading, rows, options = logits.shape[:-1], readable(logits), options_from(mask, logits, temperature)
    state = logits.new_empty((*leading, N_STATE), dtype=torch.float64)
    entropy = logits.new_empty(leading, dtype=torch.float32) if want_entropy else None
    target = index if index is not None and index.shape[-1] == 1 else None
    logprob = None if target is None else logits.new_empty(leading, dtype=torch.float32)
    has_void, diagnosis = keep is not None, c.Diagnosis()
    for segment in segments(rows, None if keep is None else keep.flatten()):
        first = segment.first
        record = c.Record(entropy=_address(entropy, first), logprob=_address(logprob, first))
        record.state = ctypes.cast(_address(state, first, N_STATE), ctypes.POINTER(c.State))
        context().call(
            "measure_rows",
            ctypes.byref(record),
            ctypes.byref(diagnosis),
            ctypes.byref(matrix_of(logits, segment)),
            _address(target, first),
            ctypes.byref(options(first)),
            diagnosis=diagnosis,
            temperature=temperature,
        )
        has_void |= diagnosis.n_bad > 0
    if has_void:
        _settle(state, keep, entropy, logprob, empty_is_nan=empty_is_nan)
    if logprob is not None:
        logprob = logprob[..., None]
    elif index is not None:
        logprob = _logprob(logits, index, mask, state, temperature).float()
    none = logits.new_empty(0, dtype=torch.float32)
    return none if entropy is None else entropy, none if logprob is None else logprob, state.view(torch.int64)


def logprob_again(
    logits: torch.Tensor, index: torch.Tensor, mask: torch.Tensor | None, state: torch.Tensor, temperature: float
) -> torch.Tensor:
    """ln p of columns (..., K), float32, of rows whose state is known: without another pass."""
    return _logprob(logits, index, mask, state.view(torch.float64), temperature).float()


def state_of(logits: torch.Tensor, index: torch.Tensor, mask: torch.Tensor | None, state: torch.Tensor) -> torch.Tensor:
    """The state with the columns (..., 1) as the targets; with several a row they are not read."""
    if index.shape[-1] != 1:
        return state
    state, values = state.view(torch.float64).clone(), logits.gather(-1, index)
    targets = values.double().masked_fill(~_is_possible(values, index, mask), -math.inf)
    state[..., TARGET] = targets[..., 0]
    return state.view(torch.int64)


def gradient(
    d_entropy: torch.Tensor | None,
    d_logprob: torch.Tensor | None,
    logits: torch.Tensor,
    state: torch.Tensor,
    index: torch.Tensor | None,
    mask: torch.Tensor | None,
    temperature: float,
    out: torch.Tensor | None,
) -> None:
    """dL/dlogits of dL/dentropy (...) and dL/dlogprob (..., K) into `out`, contiguous and of the logits' shape; None:
    into the logits' own memory."""
    state = state.view(torch.float64)
    void, targets, own = _is_void(state), None, None
    by_entropy, by_logprob = d_entropy, None if index is None else d_logprob
    if void.any():
        by_entropy, by_logprob, index = (
            None if x is None else x.masked_fill(void.view(*void.shape, *[1] * (x.ndim - void.ndim)), 0)
            for x in (by_entropy, by_logprob, index)  # a column may be anything there
        )
    if by_logprob is not None:
        index = targets = index.contiguous()
    if by_logprob is not None and index.shape[-1] != 1:
        own = _own_terms(by_entropy, by_logprob, logits, state, index, mask, temperature)
        by_logprob, state, targets = _summed(by_logprob, state)
    _rows_gradient(by_entropy, by_logprob, logits, state, targets, mask, temperature, out)
    if own is not None:
        (logits if out is None else out).scatter_(-1, index, own.to(logits.dtype))


def _rows_gradient(
    by_entropy: torch.Tensor | None,
    by_logprob: torch.Tensor | None,
    logits: torch.Tensor,
    state: torch.Tensor,
    targets: torch.Tensor | None,
    mask: torch.Tensor | None,
    temperature: float,
    out: torch.Tensor | None,
) -> None:
    """What the library does of it: derivatives (...), and one target a row."""
    by_entropy, by_logprob = (None if by is None else by.float().contiguous() for by in (by_entropy, by_logprob))
    rows, n_columns = logits if out is None else readable(logits), logits.shape[-1]
    options = options_from(mask, logits, temperature)
    for segment in segments(rows):
        first = segment.first
        record = c.Gradient(entropy=_address(by_entropy, first), logprob=_address(by_logprob, first))
        to = c.Destination(
            data=segment.address if out is None else _address(out, first, n_columns),
            dtype=DTYPES[logits.dtype],
            row_stride=segment.stride if out is None else n_columns,
        )
        context().call(
            "gradient_rows",
            ctypes.byref(to),
            None,
            ctypes.byref(record),
            _address(state, first, N_STATE),
            ctypes.byref(matrix_of(logits, segment)),
            _address(targets, first),
            ctypes.byref(options(first)),
            temperature=temperature,
        )


def _summed(by_logprob: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Several columns a row for the library, which takes one: their derivatives' sum by a target in another shard of
    the vocabulary, which leaves -p sum to every column here. A row with NaN keeps NaN where the sum is 0."""
    state = state.clone()
    state[..., TARGET] = 0
    is_bad = state[..., S].isnan() & (by_logprob != 0).any(-1)
    total = by_logprob.sum(-1).masked_fill(is_bad, math.nan)
    return total, state, torch.full_like(total, -1, dtype=torch.int64)


def _own_terms(
    by_entropy: torch.Tensor | None,
    by_logprob: torch.Tensor,
    logits: torch.Tensor,
    state: torch.Tensor,
    index: torch.Tensor,
    mask: torch.Tensor | None,
    temperature: float,
) -> torch.Tensor:
    """The gradient's elements (..., K) at the columns of `index`, with what each column's own log-probability adds; in
    float64, so that a half type is rounded once."""
    by_logprob = by_logprob.double()
    log_p = _logprob(logits, index, mask, state, temperature)
    p = log_p.exp()
    terms = -by_logprob.sum(-1, keepdim=True) * p
    is_idle = (by_logprob == 0).all(-1, keepdim=True)
    if by_entropy is not None:
        by, (s, t, n_top) = by_entropy.double()[..., None], (state[..., field, None] for field in (S, T, N_TOP))
        entropy = n_top.log() + torch.log1p(s / n_top) - t / (temperature * (n_top + s))
        terms -= torch.where(p == 0, 0 * by, by * p * (log_p + entropy))
        is_idle &= by == 0
    own = by_logprob.masked_fill(~_is_possible(logits.gather(-1, index), index, mask), 0)
    return ((terms + _of_same_column(own, index)) / temperature).masked_fill(is_idle, 0)


def _of_same_column(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """For each of a row's columns the sum of `values` over those of the row that are the same column."""
    columns, order = index.sort(-1)
    is_next = torch.ones_like(columns, dtype=torch.bool)
    is_next[..., 1:] = columns[..., 1:] != columns[..., :-1]
    group = is_next.cumsum(-1) - 1
    sums = torch.zeros_like(values).scatter_add_(-1, group, values.gather(-1, order))
    return torch.empty_like(values).scatter_(-1, order, sums.gather(-1, group))
