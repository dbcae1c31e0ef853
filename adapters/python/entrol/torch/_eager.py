"""Operators called as autograd functions where nothing is to be traced: torch's way through the dispatcher and back
costs several times what the library's call on a few rows does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _is_plain(args: tuple) -> bool:
    """Whether these are tensors that hold numbers of the CPU, and nobody watches operators."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    return all(
        type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu" for x in args if isinstance(x, Tensor)
    )


def eager(operator: Callable, forward: Callable, setup_context: Callable, backward: Callable) -> Callable:
    """A function as the operator, whose parts the others are: as they were given to register_autograd."""

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:  # with a setup_context of its own torch inspects the signature
            output = forward(*args)
            setup_context(ctx, args, output)
            return output

    Eager.backward = staticmethod(backward)

    def call(*args: Any) -> Any:
        return Eager.apply(*args) if _is_plain(args) else operator(*args)

    return call
