"""The operators of the output layer: entrol::linear and entrol::linear_backward, by libentrol, for float32, float16 and
bfloat16 on the CPU.

linear(hidden, weight, bias, index, row_mask, temperature, soft_cap) takes hidden (..., d), weight (V, d), bias (V) of
float32, index int64 (...), row_mask bool (...), soft_cap 0 for none, and gives logprob and entropy (...), float32, and
the states of the rows (as in _native.py). Arguments have been checked (_linear.py), but for what the numbers of `index`
are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._measure import STATE_DTYPE
from .._output import PARTS, gradient_output, measure_output
from ._native import N_STATE, M, _is_void, _settle
from ._ops import _check_index, _library, _no_second_derivative
from ._product import product_context

_library.define(
    "linear(Tensor hidden, Tensor weight, Tensor? bias, Tensor index, Tensor? row_mask, float temperature, "
    "float soft_cap) -> (Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)
_library.define(
    "linear_backward(Tensor? d_logprob, Tensor? d_entropy, Tensor hidden, Tensor weight, Tensor? bias, Tensor index, "
    "Tensor state, float temperature, float soft_cap, bool[] want) -> (Tensor, Tensor, Tensor)",
    tags=torch.Tag.pt2_compliant_tag,
)


@torch.library.impl(_library, "linear", "CPU")
def _linear(hidden, weight, bias, index, row_mask, temperature, soft_cap):
    _check_index(index[..., None], row_mask, weight.shape[0])
    if row_mask is None or bool(row_mask.all()):
        return _measure(hidden, weight, bias, index, temperature, soft_cap)
    parts = _measure(hidden[row_mask], weight, bias, index[row_mask], temperature, soft_cap)
    whole = tuple(part.new_zeros((*row_mask.shape, *part.shape[1:])) for part in parts)
    for one, part in zip(whole, parts):
        one[row_mask] = part
    whole[2].view(torch.float64)[..., M].masked_fill_(~row_mask, -torch.inf)
    return whole


def _measure(hidden, weight, bias, index, temperature, soft_cap):
    record = measure_output(
        hidden.detach(),
        weight.detach(),
        index,
        bias=None if bias is None else bias.detach(),
        soft_cap=soft_cap,
        want=("logprob", "entropy", "state"),
        temperature=temperature,
        context=product_context(),
    )
    state = torch.from_numpy(record.state.reshape(-1).view(np.float64)).view(*index.shape, N_STATE)
    logprob, entropy = torch.from_numpy(record.logprob), torch.from_numpy(record.entropy)
    if record.diagnosis:
        _settle(state, None, entropy, logprob)
    return logprob, entropy, state.view(torch.int64)


@torch.library.register_fake("entrol::linear", lib=_library)
def _linear_fake(hidden, weight, bias, index, row_mask, temperature, soft_cap):
    leading = hidden.shape[:-1]
    logprob, entropy = (hidden.new_empty(leading, dtype=torch.float32) for _ in range(2))
    return logprob, entropy, hidden.new_empty((*leading, N_STATE), dtype=torch.int64)


@torch.library.impl(_library, "linear_backward", "CPU")
def _linear_backward(d_logprob, d_entropy, hidden, weight, bias, index, state, temperature, soft_cap, want):
    state = state.view(torch.float64)
    is_void = _is_void(state)  # nothing is asked of their gradients, whatever they hold
    records = {"logprob": d_logprob, "entropy": d_entropy}
    found = gradient_output(
        hidden.detach(),
        weight.detach(),
        state.numpy().reshape(-1).view(STATE_DTYPE).reshape(index.shape),
        **{name: record.masked_fill(is_void, 0) for name, record in records.items() if record is not None},
        targets=index.masked_fill(is_void, 0),
        bias=None if bias is None else bias.detach(),
        soft_cap=soft_cap,
        temperature=temperature,
        want=[name for name, is_wanted in zip(PARTS, want) if is_wanted],
        context=product_context(),
    )
    inputs = hidden, weight, bias
    arrays = (getattr(found, name) for name in PARTS)
    return tuple(
        hidden.new_empty(0, dtype=torch.float32) if array is None else torch.from_numpy(array).to(given.dtype)
        for array, given in zip(arrays, inputs)
    )


@torch.library.register_fake("entrol::linear_backward", lib=_library)
def _linear_backward_fake(d_logprob, d_entropy, hidden, weight, bias, index, state, temperature, soft_cap, want):
    return tuple(
        given.new_empty(given.shape) if is_wanted else hidden.new_empty(0, dtype=torch.float32)
        for given, is_wanted in zip((hidden, weight, bias), want)
    )


def _keep_for_backward(ctx: Any, inputs: tuple, output: tuple) -> None:
    hidden, weight, bias, index, _, ctx.temperature, ctx.soft_cap = inputs
    ctx.save_for_backward(hidden, weight, bias, index, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, d_logprob: torch.Tensor | None, d_entropy: torch.Tensor | None, _: Any) -> tuple:
    want = list(ctx.needs_input_grad[:3])
    if d_logprob is None and d_entropy is None:
        return (None,) * 7
    found = torch.ops.entrol.linear_backward(
        d_logprob, d_entropy, *ctx.saved_tensors, ctx.temperature, ctx.soft_cap, want
    )
    return (*(gradient if is_wanted else None for gradient, is_wanted in zip(found, want)), *(None,) * 4)


torch.library.register_autograd("entrol::linear", _backward, setup_context=_keep_for_backward, lib=_library)
torch.library.register_autograd("entrol::linear_backward", _no_second_derivative, lib=_library)
