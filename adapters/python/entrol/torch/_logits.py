"""Entropies and log-probabilities of logits, with gradients: the functions of TRL (trl.trainer.utils), by their names
and arguments, in one pass over the logits and without a temporary of their size.

Everything is in nats and of softmax(logits / temperature). What holds for all of them:

logits: (..., V), float32, float16, bfloat16 or float64, of any strides and device. -inf is an impossible column, exact.
mask: bool, of the logits' shape or one that broadcasts to it; False is an impossible column.
row_mask: (...), of any dtype. A row where it is 0, and one without a possible column, has entropy 0, log-probability 0
and gradient 0, whatever it holds. NaN and +inf make their own row NaN, no other.
Results have the logits' dtype unless `dtype` says otherwise: rounded once from float32 (float64 of float64).
inplace_backward: the gradient is written over the logits, which saves memory of their size. They are destroyed by the
backward pass; torch raises if something else has saved them for its own.
chunk_size: rows at a time where plain torch does the work (other devices than the CPU, and float64); at least 2^22
numbers at a time are taken. The library needs no chunks.
Errors: TypeError and ValueError, which name the argument; IndexError for an index that is no column, of a row that
counts (on other devices than the CPU torch.gather's own); NotImplementedError for a second derivative, a forward-mode
derivative and torch.func's transforms."""

from __future__ import annotations

import torch

from .._arguments import flag, number
from . import _ops, _rows
from ._host import FLOATS, check_floats

__all__ = ["entropy_from_logits", "logprob_and_entropy", "selective_log_softmax"]

_INDICES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def entropy_from_logits(
    logits: torch.Tensor,
    chunk_size: int = 128,
    *,
    temperature: float = 1.0,
    mask: torch.Tensor | None = None,
    row_mask: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    inplace_backward: bool = False,
) -> torch.Tensor:
    """H = -sum p ln p of each row, (...). TRL's entropy_from_logits, which has NaN where a logit is -inf."""
    _check_logits(logits, inplace_backward)
    _, entropy = _measure(logits, None, mask, row_mask, temperature, chunk_size, True, inplace_backward)
    return entropy.to(_output(dtype, logits))


def selective_log_softmax(
    logits: torch.Tensor,
    index: torch.Tensor,
    temperature: float = 1.0,
    row_mask: torch.Tensor | None = None,
    *,
    mask: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    inplace_backward: bool = False,
) -> torch.Tensor:
    """ln p of the columns `index` of each row, of index's shape: (...), or (..., K) for K columns a row. -inf of an
    impossible one: as the others its log-probability has the gradient -p_i / T at the row's possible columns, and 0 at
    itself. row_mask may have index's shape (..., K), too. TRL's selective_log_softmax."""
    _check_logits(logits, inplace_backward)
    columns = _columns(index, logits)
    each = None
    if isinstance(row_mask, torch.Tensor) and row_mask.ndim == logits.ndim and row_mask.shape == index.shape:
        _check_device(row_mask, "row_mask", logits)
        each = row_mask == 0
        row_mask, columns = ~each.all(-1), columns.masked_fill(each, 0)
    logprob, _ = _measure(logits, columns, mask, row_mask, temperature, 128, False, inplace_backward)
    if each is not None:
        logprob = logprob.masked_fill(each, 0)
    return logprob.view(index.shape).to(_output(dtype, logits))


def logprob_and_entropy(
    logits: torch.Tensor,
    index: torch.Tensor,
    entropy_requires_grad: bool = True,
    temperature: float = 1.0,
    row_mask: torch.Tensor | None = None,
    *,
    mask: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    inplace_backward: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both of one pass: ln p of the columns `index`, of index's shape, (...) or (..., K), and the entropies (...).
    entropy_requires_grad: False for entropies that are only looked at. TRL's selective_log_softmax_and_entropy."""
    _check_logits(logits, inplace_backward)
    columns = _columns(index, logits)
    logprob, entropy = _measure(logits, columns, mask, row_mask, temperature, 128, True, inplace_backward)
    if not flag(entropy_requires_grad, "entropy_requires_grad"):
        entropy = entropy.detach()
    to = _output(dtype, logits)
    return logprob.view(index.shape).to(to), entropy.to(to)


def _check_logits(logits: torch.Tensor, inplace_backward: bool) -> None:
    check_floats(logits, "logits")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits: expected rows of at least one column, got the shape {tuple(logits.shape)}")
    if inplace_backward and logits.requires_grad and torch.is_grad_enabled():
        _check_in_place(logits)


def _check_in_place(logits: torch.Tensor) -> None:
    if torch.compiler.is_compiling():
        raise ValueError("inplace_backward: torch.compile decides itself where a gradient goes: leave it False there")
    base = logits._base if logits._is_view() else logits
    if base.is_leaf and base.requires_grad:
        raise ValueError("inplace_backward: logits are a leaf that requires a gradient: its values would be destroyed")
    if not _rows.rows_lie_apart(logits):
        raise ValueError(
            "inplace_backward: expected logits whose rows lie apart and whose columns follow each other, got the "
            f"strides {logits.stride()} of the shape {tuple(logits.shape)}"
        )


def _columns(index: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """(..., K) of int64."""
    if not isinstance(index, torch.Tensor):
        raise TypeError(f"index: expected a tensor, got {type(index).__name__}")
    if index.dtype not in _INDICES:
        raise TypeError(f"index: expected whole numbers, got {index.dtype}")
    leading = logits.shape[:-1]
    if index.shape != leading and index.shape[:-1] != leading:
        raise ValueError(f"index: expected the shape {tuple(leading)}, or one dimension more, got {tuple(index.shape)}")
    _check_device(index, "index", logits)
    return (index.unsqueeze(-1) if index.ndim < logits.ndim else index).long()


def _check_device(tensor: torch.Tensor, name: str, logits: torch.Tensor) -> None:
    if tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got one of {tensor.layout}")
    if tensor.device != logits.device:
        raise ValueError(f"{name}: expected a tensor on the logits' device {logits.device}, got {tensor.device}")


def _temperature(value: float) -> float:
    value = number(value, "temperature")
    if not 1e-6 <= value <= 1e6:
        raise ValueError(f"temperature: expected a number from 1e-6 to 1e6, got {value}")
    return value


def _output(dtype: torch.dtype | None, logits: torch.Tensor) -> torch.dtype:
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype in FLOATS):
        raise TypeError(f"dtype: expected float32, float16, bfloat16, float64 or None, got {dtype}")
    return dtype or logits.dtype


def _mask(mask: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor | None:
    """(V) or (..., V), bool."""
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor):
        raise TypeError(f"mask: expected a tensor, got {type(mask).__name__}")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask: expected bool, got {mask.dtype}")
    _check_device(mask, "mask", logits)
    if mask.shape == logits.shape[-1:]:
        return mask
    try:
        return mask.expand(logits.shape)
    except RuntimeError:
        raise ValueError(
            f"mask: expected a shape that broadcasts to {tuple(logits.shape)}, got {tuple(mask.shape)}"
        ) from None


def _row_mask(row_mask: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor | None:
    if row_mask is None:
        return None
    if not isinstance(row_mask, torch.Tensor):
        raise TypeError(f"row_mask: expected a tensor, got {type(row_mask).__name__}")
    if row_mask.shape != logits.shape[:-1]:
        raise ValueError(f"row_mask: expected the shape {tuple(logits.shape[:-1])}, got {tuple(row_mask.shape)}")
    _check_device(row_mask, "row_mask", logits)
    return row_mask != 0


def _measure(
    logits: torch.Tensor,
    columns: torch.Tensor | None,
    mask: torch.Tensor | None,
    row_mask: torch.Tensor | None,
    temperature: float,
    chunk_size: int,
    want_entropy: bool,
    inplace_backward: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(..., K) and (...), in float32 or float64."""
    if not isinstance(chunk_size, int) or not 1 <= chunk_size < 1 << 63:
        raise ValueError(f"chunk_size: expected a whole number from 1, got {chunk_size!r}")
    entropy, logprob, _ = _ops.measure(
        logits,
        columns,
        _mask(mask, logits),
        _row_mask(row_mask, logits),
        _temperature(temperature),
        chunk_size,
        want_entropy,
        inplace_backward,
        False,
    )
    return logprob, entropy
