"""Ranks over torch.distributed: one quantile, one coefficient and one loss of all ranks' tokens, by all-reduces of
counts.

    context = entrol.torch.group_context(torch.distributed.group.WORLD)
    entrol.quantile(entropies, 0.8, context=context)
    context.comm.n_bytes

What takes `group` uses the same context. Every rank of the group makes the same calls in the same order. A rank that
dies, or does not come within the group's timeout, is a CommunicationError on the others."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist

from .._context import Context
from .._library import CommunicationError
from ._context import context, thread_count


class TorchComm:
    """entrol.Comm over a process group: counts are added up as int64, modulo 2^64. On the CPU where the group's backend
    has it (gloo, MPI), else through the current device of the backend's kind (nccl).

    n_calls, n_bytes: how many all-reduces this rank has made, and how many bytes it put into them."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.n_calls = self.n_bytes = 0
        config = str(dist.get_backend_config(group))
        self.device = torch.device("cpu" if "cpu:" in config else config.split(":")[0])

    def all_reduce(self, counts: np.ndarray) -> None:
        """Adds up over all ranks, in place. Error: CommunicationError."""
        self.n_calls += 1
        self.n_bytes += counts.nbytes
        here = torch.from_numpy(counts.view(np.int64))
        there = here.to(self.device)
        try:
            dist.all_reduce(there, group=self.group)
        except (RuntimeError, ValueError) as error:
            raise CommunicationError(f"rank {self.rank} of {self.size} cannot reach the others: {error}") from error
        if there is not here:
            here.copy_(there)


_contexts: dict[str, Context] = {}


def group_context(group: dist.ProcessGroup) -> Context:
    """The context of a process group, of torch.get_num_threads() threads; the same one at every call. Its comm is a
    TorchComm. Errors: TypeError for what is no group of torch.distributed, ValueError where this rank is not in it."""
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            f"group: expected one of torch.distributed, as torch.distributed.group.WORLD, got {type(group).__name__}"
        )
    if dist.get_rank(group) < 0:
        raise ValueError("group: this rank is not in it")
    found = _contexts.get(group.group_name)
    if found is None or found.comm.group is not group:  # a group that was destroyed leaves its name to others
        found = _contexts[group.group_name] = Context(threads=thread_count(), comm=TorchComm(group))
    return found


def context_of(group: dist.ProcessGroup | None) -> Context:
    """group_context, or without a group the context of this process alone."""
    return context() if group is None else group_context(group)


def context_named(name: str) -> Context:
    """The same by the name of a group whose context was made; "" for none."""
    return _contexts[name] if name else context()
