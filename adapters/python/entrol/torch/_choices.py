"""Categorical distributions by the kernels of rows (_ops.py), for logits of float32, float16 and bfloat16: entropy and
log-probability of one pass over the logits where both are asked for, and one for the gradient of both."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _native, _ops
from . import _policy_ops as ops
from ._divergence import kl_pq
from ._kept import Kept
from ._policy import Policy, Shape

CHUNK_ROWS = 128  # on other devices than the CPU; at least _chunked.CHUNK_ELEMENTS numbers are taken at a time


class Rows:
    """What there is to know of logits (..., n) with a mask (n,) or (..., n)."""

    def __init__(self, logits: Tensor, mask: Tensor | None) -> None:
        self._logits, self._mask = logits, mask
        self._kept = Kept(logits, mask)

    def _measure(self, index: Tensor | None) -> tuple[Tensor, Tensor]:
        entropy, logprob, state = _ops.measure(
            self._logits, index, self._mask, None, 1.0, CHUNK_ROWS, True, False, True
        )
        self._kept.put(entropy, state)
        return entropy, logprob

    def entropy(self) -> Tensor:
        """(...), float32."""
        kept = self._kept.entropy()
        return self._measure(None)[0] if kept is None else kept

    def logprob(self, index: Tensor) -> Tensor:
        """Of the columns (..., K), float32."""
        state = self._kept.more() if _native.reads(self._logits) else None
        if state is not None:
            return _ops.logprob_again(self._logits, index, self._mask, state)
        return self._measure(index)[1]

    def is_measured_with(self, other: Rows) -> bool:
        """Whether the library reads both, under one mask."""
        masks = self._mask, other._mask
        is_one_mask = masks[0] is masks[1]
        if not is_one_mask and None not in masks and not torch.compiler.is_compiling():
            is_one_mask = torch.equal(*masks)
        return is_one_mask and _native.reads(self._logits) and _native.reads(other._logits)

    def kl(self, other: Rows) -> Tensor:
        """KL(self || other), (...), float32."""
        return kl_pq(self._logits, other._logits, self._mask)


class Choices(Policy):
    """A categorical of each row, or several side by side."""

    _measured: list[Rows] | None = None

    def _parts(self) -> list[Rows] | None:
        """The rows of each categorical, or of all together where they are of one size: (..., len(sizes), size). None
        of float64, which the calls of policies take."""
        if self._measured is None and self._first.dtype != torch.float64:
            self._measured = self._split(self._first, self._mask)
        return self._measured

    def _split(self, logits: Tensor, mask: Tensor | None) -> list[Rows]:
        sizes = self._sizes
        if self.kind == ops.CATEGORICAL:
            return [Rows(logits, mask)]
        if len(set(sizes)) == 1:
            side_by_side = logits.unflatten(-1, (len(sizes), sizes[0]))
            if mask is not None:
                mask = mask.unflatten(-1, (len(sizes), sizes[0])).expand(side_by_side.shape)
            return [Rows(side_by_side, mask)]
        masks = [None] * len(sizes) if mask is None else mask.split(sizes, -1)
        return [Rows(part, one) for part, one in zip(logits.split(sizes, -1), masks)]

    def entropy(self) -> Tensor:
        """H in nats, of the batch shape."""
        parts = self._parts()
        if parts is None:
            return super().entropy()
        return self._summed([part.entropy() for part in parts]).to(self._first.dtype)

    def _summed(self, of_parts: list[Tensor]) -> Tensor:
        """The sum over categoricals, which may have been measured together."""
        first, *others = of_parts
        if self.kind == ops.MULTI_DISCRETE and not others:
            return first.sum(len(self._batch_shape))
        return sum(others, first)

    def _validate_sample(self, value: Tensor) -> None:
        if value.dtype == torch.int64 and value.device.type == "cpu" and self._parts() is not None:
            return  # the operators look themselves
        super()._validate_sample(value)

    def _log_prob(self, value: Tensor, is_before: bool) -> Tensor:
        if self._parts() is None:
            return super()._log_prob(value, is_before)
        batch, shape = self._batch_with(value), self._batch_shape
        leading = batch[: len(batch) - len(shape)]
        if batch != leading + shape or value.shape != batch + self._event_shape:
            return self.expand(batch)._log_prob(value.expand(*batch, *self._event_shape), is_before)
        draws = value.long().reshape(-1, *shape, *self._event_shape).movedim(0, -1)  # several columns of each row
        try:
            return self._logprob_of(draws).movedim(-1, 0).reshape(batch).to(self._first.dtype)
        except IndexError as error:
            refusal = ValueError if self._validate_args else IndexError
            raise refusal(f"value: expected choices of the support, {self.support}: {error}") from None

    def _kl(self, other: Policy, batch: Shape) -> Tensor:
        p, q = (x if x.batch_shape == batch else x.expand(batch) for x in (self, other))
        pairs = list(zip(p._parts() or (), q._parts() or ()))
        if not pairs or not all(one.is_measured_with(two) for one, two in pairs):
            return super()._kl(other, batch)
        return p._summed([one.kl(two) for one, two in pairs]).to(self._first.dtype)

    def _logprob_of(self, draws: Tensor) -> Tensor:
        """(*batch_shape, K) of actions (*batch_shape, *event_shape, K)."""
        parts = self._parts()
        columns = [draws] if len(parts) == 1 else draws.unbind(-2)
        return self._summed([part.logprob(column) for part, column in zip(parts, columns)])
