"""Quantiles and the mask of high-entropy tokens, of tensors on any device and over the ranks of a process group.

Exact and deterministic: ranks tell each other counts (entrol_quantile), not values, so that what they exchange does not
grow with the tokens."""

from __future__ import annotations

from functools import cache

import torch
import torch.distributed as dist
from torch import Tensor

from .. import _selection as selection
from . import _host
from ._distributed import context_of


@cache
def _installed() -> str:
    """torch.quantile's arithmetic, as this torch has it: the rank 0.8 * 100 is 80 in float32, and a little more
    else."""
    values = torch.zeros(101, dtype=torch.float32, device="cpu")
    values[81:] = 1
    return "torch_f32_rank" if torch.quantile(values, 0.8) == 0 else "torch"


def _method(method: str) -> str:
    return _installed() if isinstance(method, str) and method == "installed" else method


def quantile(
    values: Tensor,
    q: float | Tensor,
    mask: Tensor | None = None,
    *,
    group: dist.ProcessGroup | None = None,
    method: str = "torch",
    nan: str = "error",
) -> Tensor:
    """The quantile of the values that count, of all ranks of `group`, float32 of q's shape on the values' device.

    values: any shape, float dtype and device, read as float32, without a limit on their number. q: from 0 to 1, a
    number or a tensor of at most 16. mask: of the values' shape, which of them count. method: "torch" (torch.quantile's
    arithmetic from torch 2.15 on), "torch_f32_rank" (torch 2.9's), "installed" (that of this torch), or one of
    NumPy's names. nan: "error", "ignore", "propagate". NaN where no value counts. Errors: ArgumentError, TypeError,
    ValueError; DataError for a NaN; CommunicationError."""
    numbers = _host.values(values, "values")
    result = selection.quantile(
        numbers,
        _host.indices(q, "q"),
        valid=_host.mask(mask, numbers),
        method=_method(method),
        nan=nan,
        context=context_of(group),
    )
    return torch.as_tensor(result, dtype=torch.float32, device=values.device)


def high_entropy_mask(
    entropies: Tensor,
    mask: Tensor | None,
    threshold: float,
    *,
    group: dist.ProcessGroup | None = None,
    method: str = "torch",
    nan: str = "error",
) -> Tensor:
    """TRL's get_high_entropy_mask(entropies, mask, threshold), over all ranks of `group`: bool of the entropies' shape
    and device, True where a token counts and its entropy is at least the quantile `threshold` (1 -
    top_entropy_quantile) of those that count. Ties are kept.

    entropies: any float dtype, read as float32. mask: of their shape, 0 where a token does not count. A rank may have
    no token. Padding does not matter, whatever it holds, negative entropies of continuous policies are as good as
    others, and a NaN is a DataError on every rank, where it silently empties TRL's mask. method: as
    in quantile; the default keeps the same tokens with every torch, "installed" those that TRL keeps with this one.
    Errors: as quantile."""
    numbers = _host.values(entropies, "entropies")
    found = selection.high_entropy_mask(
        numbers, _host.mask(mask, numbers), threshold, method=_method(method), nan=nan, context=context_of(group)
    )
    return torch.from_numpy(found.keep).to(entropies.device)
