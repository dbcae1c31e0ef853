"""Where the rows of a tensor lie in memory, and memory for as many new ones."""

from __future__ import annotations

import ctypes
import glob
import itertools
import math
import mmap
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch

from .. import _bindings as c

DTYPES = {torch.float32: c.Dtype.F32, torch.float16: c.Dtype.F16, torch.bfloat16: c.Dtype.BF16}

#: A stretch of rows of fewer bytes is not worth a call of its own: a gap of the row mask is measured along with its
#: neighbours, rows without a common stride are copied next to each other.
GAP_BYTES, BLOCK_BYTES = 4 << 20, 64 << 10

#: A page of the kernel's "transparent huge pages", and what a tensor needs to be given them.
HUGE_PAGE, HUGE_FROM = 2 << 20, 4 << 20


class Segment(NamedTuple):
    """Rows `first` to `first` + `count` of a tensor, the first at `address`, `stride` elements from one to the next."""

    first: int
    count: int
    address: int
    stride: int


def _leading(tensor: torch.Tensor) -> list[tuple[int, int]]:
    """(size, stride) of the leading dimensions, neighbours that one stride serves put together; at least one."""
    merged: list[tuple[int, int]] = []
    for size, stride in zip(tensor.shape[:-1], tensor.stride()[:-1]):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return merged or [(1, tensor.shape[-1])]


def rows_lie_apart(tensor: torch.Tensor) -> bool:
    """Whether no element of `tensor` lies on another, each row's following each other: what writing in place needs."""
    reach = tensor.shape[-1]
    for size, stride in sorted(_leading(tensor), key=lambda dimension: dimension[1]):
        if size > 1 and stride < reach:
            return False
        reach += (size - 1) * stride
    return tensor.shape[-1] == 1 or tensor.stride(-1) == 1


def readable(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or a contiguous copy where its rows cannot be read in few stretches."""
    blocks = math.prod(size for size, _ in _leading(tensor)[:-1])
    is_scattered = blocks > 1 and tensor.numel() * tensor.element_size() < blocks * BLOCK_BYTES
    follow = tensor.shape[-1] == 1 or tensor.stride(-1) == 1
    return tensor if follow and not is_scattered else tensor.contiguous()


def _runs(keep: torch.Tensor, row_bytes: int) -> list[tuple[int, int]]:
    """[first, end) of the rows that `keep` (bool, one dimension) has, gaps of less than GAP_BYTES run over."""
    outside = keep.new_zeros(1, dtype=torch.int8)
    edges = torch.diff(keep.to(torch.int8), prepend=outside, append=outside)
    runs: list[tuple[int, int]] = []
    for first, end in zip((edges > 0).nonzero()[:, 0].tolist(), (edges < 0).nonzero()[:, 0].tolist()):
        if runs and (first - runs[-1][1]) * row_bytes < GAP_BYTES:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((first, end))
    return runs


def segments(tensor: torch.Tensor, keep: torch.Tensor | None = None) -> Iterator[Segment]:
    """All rows of a tensor (the last dimension's elements follow each other), or those that `keep` has and short gaps
    between them."""
    n_rows, n_columns = math.prod(tensor.shape[:-1]), tensor.shape[-1]
    *outer, (block, stride) = _leading(tensor)
    size = tensor.element_size()
    offsets = [sum(places) for places in itertools.product(*([i * step for i in range(n)] for n, step in outer))]
    runs = [(0, n_rows)] if keep is None else _runs(keep, n_columns * size)
    for first, end in runs:
        while first < end:
            number, inside = divmod(first, block)
            count = min(end - first, block - inside)
            yield Segment(first, count, tensor.data_ptr() + (offsets[number] + inside * stride) * size, stride)
            first += count


def _reports_free_pages(driver: str = "/sys/bus/virtio/drivers/virtio_balloon") -> bool:
    """Whether this is a virtual machine that gives its free pages back to the host: feature 5 of a memory balloon
    (VIRTIO_BALLOON_F_REPORTING, virtio 1.2, 5.5.6)."""
    for path in glob.glob(f"{driver}/*/features"):
        try:
            with open(path) as file:
                if file.read()[5:6] == "1":
                    return True
        except OSError:  # whoever may not know it does without huge pages
            return True
    return False


@lru_cache(maxsize=None)
def _has_huge_pages() -> bool:
    """Whether they make a fresh tensor cheaper. The page faults of one of 622 MB cost 0.4 s, several times what its
    gradient does, and with pages of 2 MB 0.06 s: there are 512 times fewer. But free pages of that size are what a
    balloon gives back, within seconds, and the host needs 1 to 2 s to find new ones; small ones it leaves."""
    return sys.platform == "linux" and hasattr(mmap, "MADV_HUGEPAGE") and not _reports_free_pages()


def _advise(address: int, n_bytes: int) -> None:
    """Asks the kernel for huge pages ("madvise" is the usual setting): whole ones inside the range, so nothing of a
    neighbour. Where the kernel will not, nothing changes."""
    first = -(-address // HUGE_PAGE) * HUGE_PAGE
    n_bytes = (address + n_bytes - first) // HUGE_PAGE * HUGE_PAGE
    if n_bytes > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(n_bytes), mmap.MADV_HUGEPAGE)


def empty_rows(like: torch.Tensor) -> torch.Tensor:
    """A new contiguous tensor of the CPU, of like's shape and dtype, on huge pages where it is big. It has to be new:
    of memory that somebody else has allocated it is not ours to say what pages it gets."""
    tensor = torch.empty(like.shape, dtype=like.dtype, device="cpu")
    n_bytes = tensor.numel() * tensor.element_size()
    if n_bytes >= HUGE_FROM and _has_huge_pages():
        _advise(tensor.data_ptr(), n_bytes)
    return tensor
