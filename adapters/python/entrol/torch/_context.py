"""The context that tensors of the CPU are worked on in."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..context import Context


@lru_cache(maxsize=None)
def _of(threads: int) -> Context:
    return Context(threads=threads)


def context() -> Context:
    """One of torch.get_num_threads() threads, made when a call first needs that many."""
    return _of(torch.get_num_threads())
