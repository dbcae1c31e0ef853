"""Entropy, log-probabilities and their gradient in plain torch, for what the library does not read: tensors of other
devices, and float64. In chunks of rows, so that the temporaries are a chunk's; in float32, or float64 of float64. The
formulas are those of include/entrol/measure.h: impossible columns have nothing, never NaN.

The state of a row is m (its greatest logit), ln sum e^((z - m) / T), and its entropy; m is -inf, the others 0 of a row
without a possible column and of one that is not measured."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

N_STATE = 3
CHUNK_ELEMENTS = 1 << 22  # so many at a time, however few rows a chunk is said to have: rows may be short


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """What a dtype's sums are taken in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _stretches(logits: torch.Tensor) -> Iterator[torch.Tensor]:
    """The rows (n, V) as views, in order: a tensor without a common stride in parts."""
    try:
        yield logits.view(-1, logits.shape[-1])
    except RuntimeError:
        for part in logits:
            yield from _stretches(part)


def _chunks(logits: torch.Tensor, chunk_size: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Views of up to so many rows, and which rows these are."""
    first = 0
    chunk_size = max(chunk_size, CHUNK_ELEMENTS // logits.shape[-1])
    for stretch in _stretches(logits) if logits.numel() else ():
        for chunk in stretch.split(chunk_size):
            yield slice(first, first + len(chunk)), chunk
            first += len(chunk)


def _masked(chunk: torch.Tensor, mask: torch.Tensor | None, rows: slice) -> torch.Tensor:
    """A chunk of logits with -inf where the mask, of one row or of all, is False."""
    values = chunk.to(accumulator(chunk.dtype))
    return values if mask is None else values.masked_fill(~(mask if mask.ndim == 1 else mask[rows]), -math.inf)


def _measured(values: torch.Tensor, temperature: float, empty_is_nan: bool) -> torch.Tensor:
    """(rows, N_STATE) of a chunk. Where m is counted apart, a nearly certain row keeps the digits of its entropy."""
    m = values.amax(-1, keepdim=True)
    m = m.masked_fill(m == math.inf, math.nan)
    d = (values - m.masked_fill(m == -math.inf, 0)) / temperature
    is_top = values == m
    e = d.exp().masked_fill(is_top, 0)
    n_top, s = is_top.sum(-1), e.sum(-1)
    t = torch.where(e == 0, 0, e * d).sum(-1)  # 0 where d is -inf; NaN stays
    log_sum = n_top.log() + torch.log1p(s / n_top)
    state = torch.stack((m[:, 0], log_sum, (log_sum - t / (n_top + s)).clamp(min=0)), -1)
    empty = [math.nan] * N_STATE if empty_is_nan else [-math.inf, 0, 0]
    nothing = torch.tensor(empty, dtype=state.dtype, device=state.device)
    return torch.where(m == -math.inf, nothing, state)


def _logprob(values: torch.Tensor, index: torch.Tensor, state: torch.Tensor, temperature: float) -> torch.Tensor:
    m, log_sum = state[:, :1], state[:, 1:2]
    logprob = (values.gather(-1, index) - m) / temperature - log_sum
    return logprob.masked_fill(m == -math.inf, 0)


def _flat(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """(n, K) of (..., K); a mask of one row as it is."""
    return tensor if tensor is None or tensor.ndim == 1 else tensor.reshape(-1, tensor.shape[-1])


def measure(
    logits: torch.Tensor,
    index: torch.Tensor | None,
    mask: torch.Tensor | None,
    keep: torch.Tensor | None,
    temperature: float,
    chunk_size: int,
    empty_is_nan: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """entropy (...), logprob (..., K) and state (..., N_STATE) of logits (..., V), index (..., K), mask (V) or (...,
    V), keep (...)."""
    leading, device, kind = logits.shape[:-1], logits.device, accumulator(logits.dtype)
    n_rows = math.prod(leading)
    state = torch.empty((n_rows, N_STATE), dtype=kind, device=device)
    logprob = torch.empty((n_rows, 0 if index is None else index.shape[-1]), dtype=kind, device=device)
    columns, mask = None if index is None else index.reshape(logprob.shape), _flat(mask)
    for rows, chunk in _chunks(logits, chunk_size):
        values = _masked(chunk, mask, rows)
        if keep is not None:
            values = values.masked_fill(~keep.reshape(-1, 1)[rows], -math.inf)
        state[rows] = _measured(values, temperature, empty_is_nan)
        if columns is not None:
            logprob[rows] = _logprob(values, columns[rows], state[rows], temperature)
    logprob = state.new_empty(0) if index is None else logprob.view(index.shape)
    return state[:, 2].reshape(leading).clone(), logprob, state.view(*leading, N_STATE)


def gradient(
    d_entropy: torch.Tensor | None,
    d_logprob: torch.Tensor | None,
    logits: torch.Tensor,
    state: torch.Tensor,
    index: torch.Tensor | None,
    mask: torch.Tensor | None,
    temperature: float,
    chunk_size: int,
    out: torch.Tensor | None,
) -> None:
    """dL/dlogits into `out`, contiguous and of the logits' shape (None: into the logits' own memory): dL/dz_i = (-dL/dH
    p_i (ln p_i + H) + sum_k dL/dln p_k (1[i = y_k] - p_i)) / T, 0 where p_i is 0. A row without a derivative gets 0,
    whatever it holds."""
    mask, state = _flat(mask), _flat(state) if state.ndim > 1 else state[None]
    by_entropy = None if d_entropy is None else d_entropy.reshape(-1, 1)
    by_logprob, columns = None, None
    if index is not None and d_logprob is not None:
        by_logprob, columns = (tensor.reshape(len(state), index.shape[-1]) for tensor in (d_logprob, index))
    for rows, chunk in _chunks(logits, chunk_size):
        slope = _gradient(
            _masked(chunk, mask, rows),
            state[rows],
            None if by_entropy is None else by_entropy[rows],
            None if by_logprob is None else by_logprob[rows],
            None if columns is None else columns[rows],
            temperature,
        )
        (chunk if out is None else out.view(-1, chunk.shape[-1])[rows]).copy_(slope)


def _gradient(
    values: torch.Tensor,
    state: torch.Tensor,
    by_entropy: torch.Tensor | None,
    by_logprob: torch.Tensor | None,
    columns: torch.Tensor | None,
    temperature: float,
) -> torch.Tensor:
    """A chunk's (rows, V), of derivatives (rows, 1) and (rows, K)."""
    m, log_sum, entropy = state[..., None].unbind(1)
    log_p = (values - m) / temperature - log_sum
    p = log_p.exp()
    slope, is_idle = torch.zeros_like(p), torch.ones_like(m, dtype=torch.bool)
    if by_entropy is not None:
        slope -= torch.where(p == 0, 0 * by_entropy, by_entropy * p * (log_p + entropy))
        is_idle &= by_entropy == 0
    if by_logprob is not None:
        columns = columns.masked_fill(m == -math.inf, 0)  # of a row that was not measured it may be anything
        slope -= by_logprob.sum(-1, keepdim=True) * p
        slope.scatter_add_(-1, columns, by_logprob.masked_fill(values.gather(-1, columns) == -math.inf, 0))
        is_idle &= (by_logprob == 0).all(-1, keepdim=True)
    return (slope / temperature).masked_fill_(is_idle | (m == -math.inf), 0)
