"""Small tensors (a number a token) as the library reads them: on the CPU, without gradient. And what no tensor of any
call may be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def values(tensor: Any, name: str) -> Tensor:
    """float32. Errors: TypeError, ValueError."""
    _check_kind(tensor, name)
    return _moved(tensor, name).to(torch.float32)


def mask(tensor: Any, like: Tensor, name: str = "mask") -> Tensor | None:
    """bool, of any dtype whose 0 is False, of another tensor's shape. Errors: TypeError, ValueError."""
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got {_said(tensor)}")
    if tensor.shape != like.shape:
        raise ValueError(f"{name}: expected the shape {tuple(like.shape)}, got {tuple(tensor.shape)}")
    here = _moved(tensor, name)
    return here if here.dtype == torch.bool else here.to(torch.float64) != 0 if here.is_floating_point() else here != 0


def indices(tensor: Any, name: str) -> Any:
    """Whole numbers as they are, a tensor's on the CPU; the library's own reader looks at what they are."""
    return _moved(tensor, name) if isinstance(tensor, Tensor) else tensor


def check_dense(tensor: Any, name: str) -> None:
    """Errors: TypeError unless these are real numbers that lie in memory; NotImplementedError, as check_transforms."""
    _check_kind(tensor, name)
    check_transforms(tensor, name)


def check_floats(tensor: Any, name: str) -> None:
    """The same, and TypeError for another dtype."""
    check_dense(tensor, name)
    if tensor.dtype not in FLOATS:
        raise TypeError(f"{name}: expected float32, float16, bfloat16 or float64, got {tensor.dtype}")


def _check_kind(tensor: Any, name: str) -> None:
    if not isinstance(tensor, Tensor) or tensor.is_complex() or tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor of real numbers, got {_said(tensor)}")


def check_transforms(tensor: Tensor, name: str) -> None:
    """The operators see memory: what torch.func wraps around it, and a tangent beside it, would be lost in silence."""
    if torch.compiler.is_compiling():
        return
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise NotImplementedError(
            f"{name}: torch.func's transforms (vmap, grad, jvp) are not supported; any leading dimensions are taken as "
            "they are, and autograd's backward pass has the gradient"
        )
    if torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None:
        raise NotImplementedError(f"{name}: forward-mode derivatives are not supported")


def _moved(tensor: Tensor, name: str) -> Tensor:
    try:
        return tensor.detach().cpu().resolve_neg()
    except (NotImplementedError, RuntimeError) as error:  # of the device "meta"
        raise ValueError(f"{name}: cannot be read: {error}") from error


def _said(value: Any) -> str:
    return f"{value.layout} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
