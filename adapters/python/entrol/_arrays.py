"""Arrays of other people, as they lie in memory: NumPy's, and those of every DLPack producer (PyTorch, JAX, CuPy's
host arrays and others), read without a copy.

DLPack's structs are those of its version 0.8 (dlpack.h of dmlc/dlpack): a capsule named "dltensor" that is never
consumed keeps the producer's memory and frees it by itself.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from . import _bindings as c

CPU_DEVICES = (1, 3)  # kDLCPU, kDLCUDAHost
FLOATS = {np.dtype(np.float64): c.Dtype.F64, np.dtype(np.float32): c.Dtype.F32, np.dtype(np.float16): c.Dtype.F16}
BF16 = (4, 16)  # DLPack's kDLBfloat of 16 bits, which NumPy has no type for: read as uint16 with the dtype BF16
TYPES = {
    (0, 8): "i1",
    (0, 16): "i2",
    (0, 32): "i4",
    (0, 64): "i8",
    (1, 8): "u1",
    (1, 16): "u2",
    (1, 32): "u4",
    (1, 64): "u8",
    (2, 16): "f2",
    (2, 32): "f4",
    (2, 64): "f8",
    (6, 8): "b1",
    BF16: "u2",
}


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("n_dimensions", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class _Held:
    """NumPy's array interface over memory that `owner` keeps."""

    def __init__(self, owner: object, interface: dict[str, object]) -> None:
        self.owner = owner
        self.__array_interface__ = interface


def over_memory(
    data: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, kind: str, owner: object = None
) -> np.ndarray:
    """An array over memory that `owner` keeps, or nobody does; strides in bytes."""
    return np.asarray(
        _Held(owner, {"data": (data, False), "shape": shape, "strides": strides, "typestr": kind, "version": 3})
    )


def _of_dlpack(value: Any, name: str) -> tuple[np.ndarray, bool]:
    try:
        device = int(value.__dlpack_device__()[0])
        if device not in CPU_DEVICES:
            raise ValueError(
                f"expected memory of the CPU, got an array on {getattr(value, 'device', f'device {device}')}"
            )
        if hasattr(value, "is_neg") and value.is_neg():  # torch's: DLPack has no word for it
            raise ValueError("expected numbers as they lie in memory, got lazily negated ones: give .resolve_neg()")
        capsule = value.__dlpack__()
        tensor = _DLTensor.from_address(_pointer_of(capsule, b"dltensor"))
    except Exception as error:  # a producer raises what it likes
        raise ValueError(f"{name}: cannot be read through DLPack: {error}") from error
    kind = TYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if kind is None:
        raise TypeError(f"{name}: no dtype that is known: DLPack code {tensor.code} of {tensor.bits} bits")
    shape = tuple(tensor.shape[i] for i in range(tensor.n_dimensions))
    size = tensor.bits // 8
    strides = tuple(tensor.strides[i] * size for i in range(tensor.n_dimensions)) if tensor.strides else None
    data = (tensor.data or 0) + tensor.byte_offset
    if 0 in shape:
        return np.empty(shape, kind), (tensor.code, tensor.bits) == BF16
    if not data:
        raise ValueError(f"{name}: cannot be read through DLPack: it has no memory")
    typestr = f"{'|' if size == 1 else '<'}{kind}"
    return over_memory(data, shape, strides, typestr, capsule), (tensor.code, tensor.bits) == BF16


def take(value: Any, name: str) -> tuple[np.ndarray, bool]:
    """The array as NumPy sees it, and whether its numbers are bfloat16 (then seen as uint16). Numbers and lists are
    taken, too. Errors: TypeError, ValueError, with `name`."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected an array without a mask of its own: give its .data, and which of it count")
    if isinstance(value, np.ndarray):
        array = np.asarray(value)
    elif hasattr(value, "__dlpack__"):
        return _of_dlpack(value, name)
    else:
        try:
            array = np.asarray(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: expected an array: {error}") from error
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":  # the name alone takes microseconds
        return array.view(np.uint16), True
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected an array of numbers, got {type(value).__name__} of {array.dtype}")
    return array, False


class Matrix(c.Matrix):
    """entrol_matrix over an array, which it keeps; `leading` is the shape without the last dimension."""

    array: np.ndarray
    leading: tuple[int, ...]


def matrix(value: Any, name: str) -> Matrix:
    """Rows of the last dimension. float64, float32, float16 and bfloat16 as they are; copied only where a row's
    elements do not follow each other or the rows have no common stride. Whole numbers become float64. Errors:
    TypeError, ValueError."""
    array, is_bf16 = take(value, name)
    if array.ndim == 0:
        raise ValueError(f"{name}: expected rows, got a single number")
    if not is_bf16 and array.dtype not in FLOATS:
        if array.dtype.kind == "f":
            raise TypeError(f"{name}: expected float64, float32, float16 or bfloat16, got {array.dtype}")
        array = array.astype(np.float64)
    leading, n_columns = array.shape[:-1], array.shape[-1]
    n_rows = math.prod(leading)
    rows = array.reshape(n_rows, n_columns)
    size = rows.itemsize
    if (n_columns > 1 and rows.strides[1] != size) or rows.strides[0] % size:
        rows = np.ascontiguousarray(rows)
    stride = rows.strides[0] // size if n_rows > 1 else n_columns
    made = Matrix(
        data=rows.ctypes.data,
        dtype=c.Dtype.BF16 if is_bf16 else FLOATS[rows.dtype],
        n_rows=n_rows,
        n_columns=n_columns,
        row_stride=stride,
    )
    made.array, made.leading = rows, leading
    return made


def vector(value: Any, name: str, dtype: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A contiguous array of `dtype`, of a shape if one is given (numbers are repeated to it). Copied only where dtype
    or layout are others. Numbers must keep their values: a fraction is no index. Errors: TypeError, ValueError."""
    array, is_bf16 = take(value, name)
    if is_bf16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    to = np.dtype(dtype)
    if to == np.uint8:  # a mask: 0 or not
        array = (array if array.dtype.kind == "b" else array != 0).view(np.uint8)
    elif to.kind in "iu":
        _check_whole(array, name, to)
    if shape is not None and array.shape != shape:
        if array.ndim != 0:
            raise ValueError(f"{name}: expected the shape {shape}, got {array.shape}")
        array = np.broadcast_to(array, shape)
    return np.ascontiguousarray(array, dtype=to).reshape(array.shape)  # which makes one dimension of none


def marks(mask: Any, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Which of the elements of an array of that shape count, as C reads it: bytes; None for all. Errors: TypeError,
    ValueError."""
    return None if mask is None else vector(mask, name, np.uint8, shape)


def row_starts(shape: tuple[int, ...]) -> np.ndarray:
    """Where each row of an array of two dimensions begins, and where the last one ends."""
    return np.arange(shape[0] + 1, dtype=np.uintp) * shape[1]


def are_starts(starts: np.ndarray, n: int) -> bool:
    """Whether these numbers rise from 0 to n."""
    return starts.size > 0 and starts[0] == 0 and starts[-1] == n and not np.any(starts[1:] < starts[:-1])


def _check_whole(array: np.ndarray, name: str, to: np.dtype) -> None:
    if array.dtype.kind == "f" and array.size:  # an empty list is of floats
        raise TypeError(f"{name}: expected whole numbers, got {array.dtype}")
    if array.dtype.kind in "iu" and array.size:
        least, greatest = int(array.min()), int(array.max())
        if least < np.iinfo(to).min or greatest > np.iinfo(to).max:
            raise ValueError(f"{name}: expected whole numbers that {to} holds, got {least} to {greatest}")


def address(array: np.ndarray | None) -> int | None:
    """Where an array begins; NULL for None."""
    return None if array is None else array.ctypes.data
