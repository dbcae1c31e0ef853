"""Small tensors (a number a token) as the library reads them: on the CPU, without gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def values(tensor: Any, name: str) -> Tensor:
    """float32. Error: TypeError."""
    if not isinstance(tensor, Tensor) or tensor.is_complex():
        raise TypeError(f"{name}: expected a tensor of real numbers, got {_said(tensor)}")
    return tensor.detach().to("cpu", torch.float32)


def mask(tensor: Any, like: Tensor, name: str = "mask") -> Tensor | None:
    """bool, of any dtype whose 0 is False, of another tensor's shape. Errors: TypeError, ValueError."""
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {_said(tensor)}")
    if tensor.shape != like.shape:
        raise ValueError(f"{name}: expected the shape {tuple(like.shape)}, got {tuple(tensor.shape)}")
    return (tensor.detach() != 0).cpu()


def _said(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
