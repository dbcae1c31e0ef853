"""The output layer of a language model: log-probabilities and entropies of hidden states, whose logits are never whole
in memory, with gradients."""

from __future__ import annotations

import math

import torch
from torch.utils.checkpoint import checkpoint

from .._arguments import number, positive
from . import _linear_ops  # noqa: F401 the operators themselves
from ._chunked import accumulator
from ._host import check_floats
from ._logits import _columns, _row_mask, logprob_and_entropy
from ._native import reads

__all__ = ["linear_logprob_and_entropy"]

CHUNK_LOGITS = 1 << 24  # that plain torch has at a time: 64 MB of float32


def linear_logprob_and_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    index: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    temperature: float = 1.0,
    soft_cap: float | None = None,
    logit_scale: float = 1.0,
    row_mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """ln p of the columns `index` and the entropies (nats) of softmax(z / temperature), both of index's shape (...):
    z = logit_scale (hidden weight^T + bias), or with a soft cap soft_cap tanh(z / soft_cap), as Gemma 2 has it. TRL's
    ChunkedLogProbFunction of those two outputs.

    hidden: (..., d), weight: (V, d), bias: (V). On the CPU each float32, float16 or bfloat16, used as it lies and
    multiplied in float32 by torch's BLAS, tile by tile, under autocast, too; the gradients are summed in float32 and
    rounded once. float64 and other devices: by plain torch, 2^24 logits at a time, which are computed again for the
    gradients. Results are float32 (float64 where hidden or weight is).
    index: (...), whole numbers. bias: -inf is an impossible column, exactly (but under a soft cap).
    soft_cap: None or 0 for none. logit_scale: above 0. temperature, and both over logit_scale: from 1e-6 to 1e6.
    row_mask: (...), of any dtype. A row where it is 0 costs nothing, and its results and gradients are 0, whatever it
    and its index hold; so are those of a row without a possible column. NaN makes its row NaN, and its gradient in
    `hidden`; to those of weight and bias it adds nothing on the CPU.
    Errors: TypeError and ValueError, which name the argument; IndexError for an index that is no column, of a row that
    counts. There is no second derivative: NotImplementedError."""
    _check_layer(hidden, weight, bias)
    columns, rows = _index(index, hidden), _row_mask(row_mask, hidden)
    temperature, cap = _scales(temperature, soft_cap, logit_scale)
    if reads(hidden) and reads(weight):
        logprob, entropy, _ = torch.ops.entrol.linear(
            hidden, weight, None if bias is None else bias.float(), columns, rows, temperature, cap
        )
        return logprob, entropy
    return _by_torch(hidden, weight, bias, columns, rows, temperature, cap)


def _check_layer(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    for name, tensor in (("hidden", hidden), ("weight", weight), ("bias", bias)):
        if tensor is not None or name != "bias":
            check_floats(tensor, name)
            if tensor.device != hidden.device:
                raise ValueError(f"{name}: expected a tensor on hidden's device {hidden.device}, got {tensor.device}")
    if hidden.ndim == 0:
        raise ValueError("hidden: expected the shape (..., d), got a single number")
    if weight.ndim != 2 or weight.shape[1] != hidden.shape[-1] or weight.shape[0] == 0:
        raise ValueError(f"weight: expected the shape (V, {hidden.shape[-1]}), V above 0, got {tuple(weight.shape)}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias: expected the shape {tuple(weight.shape[:1])}, got {tuple(bias.shape)}")


def _index(index: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """(...), int64."""
    if isinstance(index, torch.Tensor) and index.shape != hidden.shape[:-1]:
        raise ValueError(f"index: expected the shape {tuple(hidden.shape[:-1])}, got {tuple(index.shape)}")
    return _columns(index, hidden)[..., 0]


def _scales(temperature: float, soft_cap: float | None, logit_scale: float) -> tuple[float, float]:
    """The same logits without a scale: c tanh(s y / c) / T = (c / s) tanh(y / (c / s)) / (T / s)."""
    scale = positive(logit_scale, "logit_scale")
    given = {"temperature": number(temperature, "temperature")}
    cap = 0.0 if soft_cap is None else number(soft_cap, "soft_cap")
    if cap != 0:
        given["soft_cap"] = cap
    for name, value in given.items():
        if not (1e-6 <= value <= 1e6 and 1e-6 <= value / scale <= 1e6):
            over = "" if scale == 1 else f", also over logit_scale = {scale}"
            raise ValueError(f"{name}: expected a number from 1e-6 to 1e6{over}, got {value}")
    return given["temperature"] / scale, cap / scale


def _by_torch(hidden, weight, bias, index, row_mask, temperature, soft_cap) -> tuple[torch.Tensor, torch.Tensor]:
    """In chunks of rows, whose logits are thrown away and computed again for the gradients."""
    kind = torch.promote_types(hidden.dtype, weight.dtype)
    layer = (weight.to(kind), None if bias is None else bias.to(kind), temperature, soft_cap)
    leading, rows = index.shape, hidden.reshape(-1, hidden.shape[-1]).to(kind)
    columns, keep = index.reshape(-1), None if row_mask is None else row_mask.reshape(-1)
    kept = None if keep is None or keep.device.type == "meta" else keep.nonzero()[:, 0]
    if kept is not None:
        rows, columns, keep = rows[kept], columns[kept], None
    size = max(1, CHUNK_LOGITS // len(weight))
    chunks = [
        checkpoint(_chunk, rows[i : i + size], columns[i : i + size], None if keep is None else keep[i : i + size],
                   *layer, use_reentrant=False, preserve_rng_state=False)
        for i in range(0, max(1, len(rows)), size)
    ]  # fmt: skip
    parts = [torch.cat(part) for part in zip(*chunks)]
    if kept is not None:
        parts = [part.new_zeros(math.prod(leading)).index_copy(0, kept, part) for part in parts]
    logprob, entropy = (part.reshape(leading) for part in parts)
    return logprob, entropy


def _chunk(rows, columns, keep, weight, bias, temperature, soft_cap) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.nn.functional.linear(rows, weight, bias)
    if soft_cap:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    to = accumulator(logits.dtype)
    return logprob_and_entropy(logits, columns, temperature=temperature, row_mask=keep, dtype=to)
