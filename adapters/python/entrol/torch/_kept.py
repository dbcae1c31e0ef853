"""What one call of a distribution has computed for the next: entropy and log-probability of one pass."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor


class Kept:
    """An entropy, and what else was measured with it, of tensors that the caller may write to."""

    def __init__(self, *given: Tensor | None) -> None:
        self._given = [tensor for tensor in given if tensor is not None]
        self._key: object = None
        self._entropy: Tensor | None = None
        self._more: Any = None

    def put(self, entropy: Tensor, more: Any = None) -> None:
        """Keeps them, where it can be told for how long they hold."""
        self._key = self._now()
        if self._key is None:
            return
        self._entropy, self._more = entropy, more
        if entropy.grad_fn is not None:  # a backward pass leaves nothing of the entropy's graph
            kept = weakref.ref(self)
            entropy.grad_fn.register_hook(lambda *_: _forget(kept))

    def entropy(self) -> Tensor | None:
        """With its graph; None where there is none, or no more."""
        return self._entropy if self._entropy is not None and self._key == self._now() else None

    def more(self) -> Any:
        return self._more if self._more is not None and self._key == self._now() else None

    def _now(self) -> object:
        """What the results depend on; None where that cannot be told."""
        if torch.compiler.is_compiling() or any(tensor.is_inference() for tensor in self._given):
            return None
        return torch.is_grad_enabled(), *(tensor._version for tensor in self._given)


def _forget(kept: weakref.ref[Kept]) -> None:
    held = kept()
    if held is not None:
        held._entropy = None
