"""Rows of logits beside rows of logits: divergences, and the entropy of a mean (include/entrol/measure.h)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _bindings as c
from ._arrays import address, matrix
from ._context import Context, context_of
from ._library import ArgumentError, Diagnosis
from ._measure import bits, options_of


@dataclass
class Comparison:
    """What two rows of the same columns are to each other, each of shape (...): divergences in nats, at least 0; inf
    where a column is possible in the first alone."""

    kl_pq: np.ndarray
    kl_qp: np.ndarray
    jsd: np.ndarray
    mean_entropy: np.ndarray
    diagnosis: Diagnosis = field(repr=False)


def compare_rows(
    p: Any, q: Any, *, temperature: float = 1.0, mask: Any = None, context: Context | None = None
) -> Comparison:
    """KL(p||q), KL(q||p), the Jensen-Shannon divergence and the entropy of the mean of each row of two arrays of logits
    (entrol_compare_rows). p, q: (..., V), each of its own dtype. Errors: ArgumentError, ValueError, TypeError."""
    first, second = matrix(p, "p"), matrix(q, "q")
    if (*first.leading, first.n_columns) != (*second.leading, second.n_columns):
        raise ValueError(
            f"q: expected the shape {(*first.leading, first.n_columns)}, got {(*second.leading, second.n_columns)}"
        )
    packed, stride = bits(mask, "mask", first)
    arrays = {name: np.empty(first.leading, np.float32) for name in ("kl_pq", "kl_qp", "jsd", "mean_entropy")}
    raw, diagnosis = c.Comparison(**{name: address(array) for name, array in arrays.items()}), c.Diagnosis()
    context_of(context).call(
        "compare_rows",
        ctypes.byref(raw),
        ctypes.byref(diagnosis),
        ctypes.byref(first),
        ctypes.byref(second),
        ctypes.byref(options_of(temperature, packed, stride)),
        diagnosis=diagnosis,
        temperature=temperature,
    )
    return Comparison(**arrays, diagnosis=Diagnosis(diagnosis))


def mixture_rows(
    matrices: Any, *, temperature: float = 1.0, mask: Any = None, context: Context | None = None
) -> tuple[np.ndarray, np.ndarray, Diagnosis]:
    """The entropy of the mean of several distributions, and the mutual information of the outcome and which of them it
    is drawn from (BALD, arXiv 1112.5745), of each row (entrol_mixture_rows). matrices: 1 to 16 arrays of logits, (...,
    V). Errors: as compare_rows."""
    try:
        several = list(matrices)
    except TypeError as error:
        raise TypeError(f"matrices: expected several arrays of logits, got {type(matrices).__name__}") from error
    if not 1 <= len(several) <= c.MAX_MIXTURE:
        raise ArgumentError(f"matrices: expected 1 to {c.MAX_MIXTURE} arrays, got {len(several)}", "matrices")
    rows = [matrix(logits, f"matrices[{i}]") for i, logits in enumerate(several)]
    for i, other in enumerate(rows):
        if (other.leading, other.n_columns) != (rows[0].leading, rows[0].n_columns):
            raise ValueError(f"matrices[{i}]: expected the shape {(*rows[0].leading, rows[0].n_columns)}")
    packed, stride = bits(mask, "mask", rows[0])
    mean_entropy, information = np.empty(rows[0].leading, np.float32), np.empty(rows[0].leading, np.float32)
    raw, diagnosis = (c.Matrix * len(rows))(*rows), c.Diagnosis()
    context_of(context).call(
        "mixture_rows",
        address(mean_entropy),
        address(information),
        ctypes.byref(diagnosis),
        raw,
        len(rows),
        ctypes.byref(options_of(temperature, packed, stride)),
        diagnosis=diagnosis,
        temperature=temperature,
    )
    return mean_entropy, information, Diagnosis(diagnosis)
