"""KL(p || q) of rows of logits as torch operators, by entrol_compare_rows and its gradient: what the library reads
where it lies (float32, float16 and bfloat16 of the CPU), p and q each of its own dtype, under one mask."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import torch
from torch import Tensor

from .. import _bindings as c
from . import _native
from ._context import context
from ._rows import DTYPES, Segment, empty_rows

_library = torch.library.Library("entrol", "FRAGMENT")
_library.define("kl_pq(Tensor p, Tensor q, Tensor? mask) -> Tensor", tags=torch.Tag.pt2_compliant_tag)
_library.define(
    "kl_pq_backward(Tensor by, Tensor p, Tensor q, Tensor? mask, bool is_by_q) -> Tensor",
    tags=torch.Tag.pt2_compliant_tag,
)


def _matrix(rows: Tensor) -> c.Matrix:
    n_rows, n_columns = math.prod(rows.shape[:-1]), rows.shape[-1]
    return _native.matrix_of(rows, Segment(0, n_rows, rows.data_ptr(), n_columns))


def _compare(p: Tensor, q: Tensor, options: c.MeasureOptions, **outputs: Tensor) -> None:
    """outputs: contiguous tensors for what entrol_comparison has."""
    raw = c.Comparison()
    for name, tensor in outputs.items():
        kind = dict(c.Comparison._fields_)[name]
        setattr(raw, name, tensor.data_ptr() if kind is ctypes.c_void_p else ctypes.cast(tensor.data_ptr(), kind))
    context().call("compare_rows", *map(ctypes.byref, (raw, c.Diagnosis(), _matrix(p), _matrix(q), options)))


@torch.library.impl(_library, "kl_pq", "CompositeExplicitAutograd")
def _kl_pq(p, q, mask):
    """(...), float32, of (..., V)."""
    p, q, made = p.contiguous(), q.contiguous(), p.new_empty(p.shape[:-1], dtype=torch.float32)
    options = _native.options_from(mask, p, 1.0)
    _compare(p, q, options(0), kl_pq=made)
    return made


@torch.library.register_fake("entrol::kl_pq", lib=_library)
def _kl_pq_fake(p, q, mask):
    return p.new_empty(p.shape[:-1], dtype=torch.float32)


@torch.library.impl(_library, "kl_pq_backward", "CompositeExplicitAutograd")
def _kl_pq_backward(by, p, q, mask, is_by_q):
    """dL/dp of dL/dKL(p || q), or dL/dq: that of KL(q || p) with the two changed about."""
    logits, other = (q.contiguous(), p.contiguous()) if is_by_q else (p.contiguous(), q.contiguous())
    by, shape, out = by.float().contiguous(), logits.shape[:-1], empty_rows(logits)
    options = _native.options_from(mask, logits, 1.0)
    states = by.new_empty((*shape, ctypes.sizeof(c.State)), dtype=torch.uint8)
    pairs = by.new_empty((*shape, ctypes.sizeof(c.Pair)), dtype=torch.uint8)
    _compare(logits, other, options(0), p_states=states, pairs=pairs)
    reference = _matrix(other)
    record = c.Gradient(**{"kl_qp" if is_by_q else "kl_pq": by.data_ptr()})
    record.reference = ctypes.pointer(reference)
    record.pairs = ctypes.cast(pairs.data_ptr(), ctypes.POINTER(c.Pair))
    to = c.Destination(data=out.data_ptr(), dtype=DTYPES[out.dtype], row_stride=out.shape[-1])
    context().call(
        "gradient_rows",
        ctypes.byref(to),
        None,
        ctypes.byref(record),
        states.data_ptr(),
        ctypes.byref(_matrix(logits)),
        None,
        ctypes.byref(options(0)),
    )
    return out


@torch.library.register_fake("entrol::kl_pq_backward", lib=_library)
def _kl_pq_backward_fake(by, p, q, mask, is_by_q):
    return torch.empty_like(q if is_by_q else p, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, by: Tensor) -> tuple:
    p, q, mask = ctx.saved_tensors
    of = torch.ops.entrol.kl_pq_backward
    made = [of(by, p, q, mask, is_by_q) if ctx.needs_input_grad[is_by_q] else None for is_by_q in (False, True)]
    return *made, None


torch.library.register_autograd("entrol::kl_pq", _backward, setup_context=_keep, lib=_library)


def kl_pq(p: Tensor, q: Tensor, mask: Tensor | None) -> Tensor:
    """KL(p || q) of each row, (...), float32."""
    return torch.ops.entrol.kl_pq(p, q, mask)
