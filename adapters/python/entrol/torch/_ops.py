"""The operators that torch knows: entrol::measure, and entrol::measure_backward with a twin that writes in place. One
set for every device and dtype, with shapes for torch.compile, and gradients.

measure(logits, index, mask, row_mask, temperature, chunk_size, want_entropy, inplace_backward, empty_is_nan) takes
logits (..., V), columns int64 (..., K), mask bool (V) or (..., V), row_mask bool (...), and gives entropy (...),
logprob (..., K), each float32 (float64 of float64; empty where not wanted), and the state of each row, which the
gradient needs. empty_is_nan: a row without a possible column has NaN, as a distribution, and not 0. Arguments have been
checked (_logits.py, _choices.py), but for what the numbers of `index` are."""

from __future__ import annotations

from typing import Any

import torch

from . import _chunked, _native
from ._eager import eager
from ._rows import empty_rows

_library = torch.library.Library("entrol", "FRAGMENT")
_library.define(
    "measure(Tensor logits, Tensor? index, Tensor? mask, Tensor? row_mask, float temperature, int chunk_size, "
    "bool want_entropy, bool inplace_backward, bool empty_is_nan=False) -> (Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
_library.define(
    "logprob_again(Tensor logits, Tensor index, Tensor? mask, Tensor state) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)
_BACKWARD = (
    "Tensor? d_entropy, Tensor? d_logprob, Tensor{} logits, Tensor state, Tensor? index, Tensor? mask, "
    "float temperature, int chunk_size"
)
_library.define(f"measure_backward({_BACKWARD.format('')}) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
_library.define(f"measure_backward_({_BACKWARD.format('(a!)')}) -> ()", tags=torch.Tag.pt2_compliant_tag)


def _check_index(index: torch.Tensor | None, row_mask: torch.Tensor | None, n_columns: int) -> None:
    if index is None or index.device.type != "cpu":  # elsewhere torch.gather checks, without waiting for the device
        return
    if index.numel() == 0:
        return
    least, greatest = index.aminmax()
    if least >= 0 and greatest < n_columns:
        return
    is_out = (index < 0) | (index >= n_columns)
    if row_mask is not None:
        is_out &= row_mask[..., None]
    if is_out.any():
        place = tuple(is_out.nonzero()[0].tolist())
        told = list(place[:-1] if index.shape[-1] == 1 else place)
        raise IndexError(f"index: expected columns from 0 to {n_columns - 1}, got {index[place].item()} at {told}")


@torch.library.impl(_library, "measure", "CompositeExplicitAutograd")
def _measure(
    logits, index, mask, row_mask, temperature, chunk_size, want_entropy, inplace_backward, empty_is_nan=False
):
    _check_index(index, row_mask, logits.shape[-1])
    if index is not None:
        index = index.contiguous()
        if row_mask is not None:
            index = index.masked_fill(~row_mask[..., None], 0)
    if _native.reads(logits):
        return _native.measure(logits, index, mask, row_mask, temperature, want_entropy, empty_is_nan)
    entropy, logprob, state = _chunked.measure(logits, index, mask, row_mask, temperature, chunk_size, empty_is_nan)
    return entropy if want_entropy else entropy.new_empty(0), logprob, state


@torch.library.register_fake("entrol::measure", lib=_library)
def _measure_fake(
    logits, index, mask, row_mask, temperature, chunk_size, want_entropy, inplace_backward, empty_is_nan=False
):
    leading, kind = logits.shape[:-1], _chunked.accumulator(logits.dtype)
    entropy = logits.new_empty(leading if want_entropy else (0,), dtype=kind)
    logprob = logits.new_empty((0,) if index is None else index.shape, dtype=kind)
    if _native.reads(logits):
        return entropy, logprob, logits.new_empty((*leading, _native.N_STATE), dtype=torch.int64)
    return entropy, logprob, logits.new_empty((*leading, _chunked.N_STATE), dtype=kind)


def _write_gradient(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size, out) -> None:
    if _native.reads(logits):
        _native.gradient(d_entropy, d_logprob, logits, state, index, mask, temperature, out)
    else:
        _chunked.gradient(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size, out)


@torch.library.impl(_library, "measure_backward", "CompositeExplicitAutograd")
def _measure_backward(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size):
    is_on_cpu = logits.device.type == "cpu"
    out = empty_rows(logits) if is_on_cpu else torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    _write_gradient(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size, out)
    return out


@torch.library.register_fake("entrol::measure_backward", lib=_library)
def _measure_backward_fake(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size):
    return logits.new_empty(logits.shape)


@torch.library.impl(_library, "measure_backward_", "CompositeExplicitAutograd")
def _measure_backward_in_place(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size):
    _write_gradient(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size, None)


@torch.library.register_fake("entrol::measure_backward_", lib=_library)
def _measure_backward_in_place_fake(d_entropy, d_logprob, logits, state, index, mask, temperature, chunk_size):
    return None


def _keep_for_backward(ctx: Any, inputs: tuple, output: tuple) -> None:
    logits, index, mask, _, ctx.temperature, ctx.chunk_size, _, ctx.in_place, _ = inputs
    ctx.save_for_backward(logits, output[2], index, mask)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, d_entropy: torch.Tensor | None, d_logprob: torch.Tensor | None, _: Any) -> tuple:
    logits, state, index, mask = ctx.saved_tensors
    if d_entropy is None and d_logprob is None:
        return (None,) * 9
    rest = state, index, mask, ctx.temperature, ctx.chunk_size
    if not ctx.in_place:
        return (torch.ops.entrol.measure_backward(d_entropy, d_logprob, logits, *rest), *(None,) * 8)
    gradient = logits.detach()
    torch.ops.entrol.measure_backward_(d_entropy, d_logprob, gradient, *rest)
    torch.autograd.graph.increment_version(gradient)  # whoever saved the logits, too, is told by torch
    return (gradient, *(None,) * 8)


torch.library.register_autograd("entrol::measure", _backward, setup_context=_keep_for_backward, lib=_library)
measure = eager(torch.ops.entrol.measure, _measure, _keep_for_backward, _backward)


@torch.library.impl(_library, "logprob_again", "CompositeExplicitAutograd")
def _logprob_again(logits, index, mask, state):
    """ln p of columns, float32, of what `measure` on the CPU has the state of, at the temperature 1."""
    _check_index(index, None, logits.shape[-1])
    return _native.logprob_again(logits, index, mask, state, 1.0)


@torch.library.register_fake("entrol::logprob_again", lib=_library)
def _logprob_again_fake(logits, index, mask, state):
    return logits.new_empty(index.shape, dtype=torch.float32)


def _keep_again(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
    logits, index, mask, state = inputs
    ctx.save_for_backward(logits, state, index, mask)


def _backward_again(ctx: Any, d_logprob: torch.Tensor) -> tuple:
    logits, state, index, mask = ctx.saved_tensors
    state = _native.state_of(logits.detach(), index, mask, state)
    gradient = torch.ops.entrol.measure_backward(None, d_logprob, logits, state, index, mask, 1.0, 1)
    return gradient, None, None, None


torch.library.register_autograd("entrol::logprob_again", _backward_again, setup_context=_keep_again, lib=_library)
logprob_again = eager(torch.ops.entrol.logprob_again, _logprob_again, _keep_again, _backward_again)


def _no_second_derivative(ctx: Any, *_: Any) -> tuple:
    raise NotImplementedError("entrol.torch: there are no second derivatives")


torch.library.register_autograd("entrol::measure_backward", _no_second_derivative, lib=_library)
