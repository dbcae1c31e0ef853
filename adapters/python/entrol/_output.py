"""The output layer of a language model, measured and differentiated without its logits: they are made tile by tile with
the context's matrix product (include/entrol/measure.h, entrol_output_layer)."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import names_of, number, whole
from ._arrays import Matrix, address, matrix, vector
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis, UnsupportedError, check, library
from ._measure import (
    STATE_DTYPE,
    Record,
    _check_targets,
    _make_record,
    _structured,
    _targets,
    _wanted,
    bits,
    destination,
    options_of,
)

PARTS = ("hidden", "weight", "bias")


class _Layer:
    """The arguments of a call, as C reads them: hidden states, the layer, the options, a workspace."""

    def __init__(
        self,
        hidden: Any,
        weight: Any,
        bias: Any,
        soft_cap: float | None,
        temperature: float,
        mask: Any,
        renyi_order: float,
        context: Context | None,
    ) -> None:
        self.context = context_of(context)
        if not self.context.has_gemm:
            raise UnsupportedError(
                "context: expected one with a matrix product, entrol.Context(gemm=...): entrol.gemm_arrays helps to "
                "write one, entrol.torch brings torch's own"
            )
        self.hidden, self.weight = _operand(hidden, "hidden"), _operand(weight, "weight")
        if len(self.weight.leading) != 1 or self.weight.n_columns != self.hidden.n_columns:
            shape = (*self.weight.leading, self.weight.n_columns)
            raise ValueError(f"weight: expected the shape (V, {self.hidden.n_columns}), got {shape}")
        self.n_columns = self.weight.n_rows
        self.bias = None if bias is None else vector(bias, "bias", np.float32)
        if self.bias is not None and self.bias.shape != (self.n_columns,):
            raise ValueError(f"bias: expected the shape {(self.n_columns,)}, got {self.bias.shape}")
        cap = 0.0 if soft_cap is None else number(soft_cap, "soft_cap")
        self.raw = c.OutputLayer(weight=self.weight, bias=address(self.bias), soft_cap=cap)
        self.packed, stride = bits(mask, "mask", (self.hidden.leading, self.n_columns))
        self.options = options_of(temperature, self.packed, stride, renyi_order)
        self.given = {"temperature": temperature, "renyi_order": renyi_order, "soft_cap": soft_cap}
        self.workspace = self._make_workspace()

    def _make_workspace(self) -> np.ndarray:
        n_bytes, inputs = ctypes.c_size_t(), (ctypes.byref(self.hidden), ctypes.byref(self.raw))
        status = library.entrol_output_workspace_size(self.context._handle, ctypes.byref(n_bytes), *inputs)
        if status == c.Status.ERROR_ARGUMENT:  # it has no diagnosis; the rest was looked at above
            raise ArgumentError(f"soft_cap = {self.raw.soft_cap!r}: expected 0 for none, or 1e-6 to 1e6", "soft_cap")
        check(status)
        return np.empty(n_bytes.value, np.uint8)

    def call(self, name: str, diagnosis: c.Diagnosis, *results: object, targets: Any, **given: object) -> None:
        self.context.call(
            name,
            *results,
            ctypes.byref(self.hidden),
            ctypes.byref(self.raw),
            address(targets),
            ctypes.byref(self.options),
            diagnosis=diagnosis,
            **self.given,
            **given,
        )


def _operand(value: Any, name: str) -> Matrix:
    made = matrix(value, name)
    if made.dtype == c.Dtype.F64:
        raise TypeError(f"{name}: expected float32, float16 or bfloat16")
    return made


def measure_output(
    hidden: Any,
    weight: Any,
    targets: Any = None,
    *,
    bias: Any = None,
    soft_cap: float | None = None,
    want: Any = ("entropy",),
    temperature: float = 1.0,
    mask: Any = None,
    n_top: int = 0,
    renyi_order: float = 2.0,
    context: Context | None = None,
) -> Record:
    """measure_rows of the logits z = hidden weight^T + bias, or soft_cap tanh(z / soft_cap) of them, which are never in
    memory (entrol_measure_output).

    hidden: (..., d), weight: (V, d), each float32, float16 or bfloat16 and used as it lies; products are taken in
    float32. bias: (V,), read as float32; -inf makes a column impossible (but under a soft cap). Other arguments as in
    measure_rows; support_entropy and support cannot be had. context: one that has a matrix product. Besides the
    arguments it takes 18 MB and 11 MB a thread at most. Errors: ArgumentError, ValueError and TypeError, which name the
    argument; UnsupportedError for a context without a product, and what a product raises."""
    layer = _Layer(hidden, weight, bias, soft_cap, temperature, mask, renyi_order, context)
    n_top = whole(n_top, "n_top", 0, c.MAX_TOP)
    names = _wanted(want, targets, n_top)
    for name in names.intersection(("support", "support_entropy")):
        raise ArgumentError(f"want: {name} needs whole rows of logits (measure_rows)", "want")
    chosen, diagnosis = _targets(targets, layer.hidden.leading), c.Diagnosis()
    raw, made = _make_record(names, layer.hidden.leading, n_top)
    room = (address(layer.workspace), layer.workspace.size)
    layer.call(
        "measure_output", diagnosis, ctypes.byref(raw), ctypes.byref(diagnosis), *room, targets=chosen, n_top=n_top
    )
    made.diagnosis = Diagnosis(diagnosis)
    return made


@dataclass
class OutputGradient:
    """dL/dhidden (..., d), dL/dweight (V, d) and dL/dbias (V,), float32, None where not wanted. A row in trouble has
    NaN in `hidden` and adds nothing to the others: `diagnosis` counts such rows."""

    hidden: np.ndarray | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    diagnosis: Diagnosis | None = field(default=None, repr=False)


def gradient_output(
    hidden: Any,
    weight: Any,
    state: np.ndarray,
    *,
    logprob: Any = None,
    entropy: Any = None,
    varentropy: Any = None,
    targets: Any = None,
    bias: Any = None,
    soft_cap: float | None = None,
    temperature: float = 1.0,
    mask: Any = None,
    want: Collection[str] = PARTS,
    context: Context | None = None,
) -> OutputGradient:
    """The gradients of an output layer from dL/dlogprob, dL/dentropy and dL/dvarentropy of each row
    (entrol_gradient_output): the logits are made again, tile by tile.

    state: what measure_output gave; hidden, weight, targets, bias, soft_cap, temperature, mask: as it was given them.
    Derivatives: (...) or one number, read as float32; rows where all are 0 cost nothing. want: of "hidden", "weight"
    and "bias". Errors: as measure_output."""
    layer = _Layer(hidden, weight, bias, soft_cap, temperature, mask, 2.0, context)
    leading = layer.hidden.leading
    chosen, states = _targets(targets, leading), _structured(state, "state", STATE_DTYPE, leading)
    given = {"logprob": logprob, "entropy": entropy, "varentropy": varentropy}
    parts = {name: vector(part, name, np.float32, leading) for name, part in given.items() if part is not None}
    _check_targets(logprob, targets)
    made, diagnosis = _make_gradient(layer, want), c.Diagnosis()
    destinations = [_to(getattr(made, name)) for name in PARTS]
    layer.call(
        "gradient_output",
        diagnosis,
        *destinations,
        ctypes.byref(diagnosis),
        address(layer.workspace),
        layer.workspace.size,
        ctypes.byref(c.Gradient(**{name: address(array) for name, array in parts.items()})),
        address(states),
        targets=chosen,
    )
    made.diagnosis = Diagnosis(diagnosis)
    return made


def _make_gradient(layer: _Layer, want: Collection[str]) -> OutputGradient:
    names = names_of(want, "want", PARTS)
    shapes = {
        "hidden": (*layer.hidden.leading, layer.hidden.n_columns),
        "weight": (layer.n_columns, layer.hidden.n_columns),
        "bias": (layer.n_columns,),
    }
    return OutputGradient(**{name: np.empty(shapes[name], np.float32) for name in names})


def _to(array: np.ndarray | None) -> Any:
    """entrol_destination over an array of results; NULL for None."""
    return None if array is None else ctypes.byref(destination(array, "out", array.shape))
