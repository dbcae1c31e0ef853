"""The context that tensors of the CPU are worked on in."""

from __future__ import annotations

from functools import lru_cache

import torch

from .._context import MAX_THREADS, Context


@lru_cache(maxsize=None)
def _of(threads: int) -> Context:
    return Context(threads=threads)


def thread_count() -> int:
    """torch's threads, as many as a context can have."""
    return min(torch.get_num_threads(), MAX_THREADS)


def context() -> Context:
    """One of as many threads as torch has, made when a call first needs that many."""
    return _of(thread_count())
