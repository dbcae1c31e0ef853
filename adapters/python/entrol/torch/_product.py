"""Contexts with a matrix product: torch's own BLAS, as the library's output layer calls it for each of its tiles.

PyPI's wheels for x86-64 hold Intel's MKL and export its sgemm_ and its count of threads for the calling thread alone:
the library's threads call it side by side, each computing alone, so that no bit depends on their number. A torch with
another BLAS, whose threads cannot be held per thread, multiplies by torch.mm instead: one tile after the other, with
torch's threads inside. There the bits depend on torch.get_num_threads() as far as torch.mm's do."""

from __future__ import annotations

import ctypes
import glob
import os
from ctypes import byref, c_float, c_int, c_void_p
from functools import lru_cache
from typing import Any

import torch

from .. import _bindings as c
from .._context import Context, Gemm, gemm_arrays
from ._context import thread_count

_ONE, _ZERO = c_float(1), c_float(0)
_AS_IT_IS, _TRANSPOSED = ctypes.c_char(b"N"), ctypes.c_char(b"T")


def _blas() -> Any:
    """The library of torch that has sgemm_ and MKL's threads; None: there is none."""
    for path in glob.glob(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.*")):
        try:
            library = ctypes.CDLL(path)
            library.sgemm_, library.MKL_Set_Num_Threads_Local  # noqa: B018 raises where it has not
        except (OSError, AttributeError):
            continue
        return library
    return None


def by_blas(library: Any) -> Gemm:
    """c = a b of rows is c^T = b^T a^T of columns, as BLAS stores matrices."""
    multiply, set_threads = library.sgemm_, library.MKL_Set_Num_Threads_Local
    multiply.restype, multiply.argtypes = None, None
    set_threads.restype, set_threads.argtypes = c_int, [c_int]

    def product(o: c.GemmOperands) -> None:
        before = set_threads(1)
        multiply(
            byref(_TRANSPOSED if o.b_transposed else _AS_IT_IS),
            byref(_TRANSPOSED if o.a_transposed else _AS_IT_IS),
            byref(c_int(o.n)),
            byref(c_int(o.m)),
            byref(c_int(o.k)),
            byref(_ONE),
            c_void_p(o.b),
            byref(c_int(o.b_stride)),
            c_void_p(o.a),
            byref(c_int(o.a_stride)),
            byref(_ONE if o.add else _ZERO),
            c_void_p(o.c),
            byref(c_int(o.c_stride)),
        )
        set_threads(before)

    return product


def by_torch(operands: c.GemmOperands) -> None:
    out, a, b = (torch.from_numpy(array) for array in gemm_arrays(operands))
    with torch.autocast("cpu", enabled=False), torch.no_grad():
        if operands.add:
            out.addmm_(a, b)
        else:
            torch.mm(a, b, out=out)


@lru_cache(maxsize=None)
def _gemm() -> tuple[Gemm, bool]:
    """The product, and whether it computes on the calling thread alone."""
    library = _blas()
    return (by_torch, False) if library is None else (by_blas(library), True)


@lru_cache(maxsize=None)
def _of(threads: int) -> Context:
    gemm, is_alone = _gemm()
    return Context(threads=threads if is_alone else 1, gemm=gemm)


def product_context() -> Context:
    """One of as many threads as torch has, made when a call first needs that many."""
    return _of(thread_count())
