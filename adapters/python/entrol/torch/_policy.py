"""What the distributions of distributions.py have in common: rows of parameters, draws, and torch's shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from .._arguments import number, whole
from . import _policy_ops as ops
from ._host import check_dense, check_floats
from ._kept import Kept

Shape = Sequence[int]
_CHEAP = (ops.GAUSSIAN, ops.FULL_GAUSSIAN, ops.BERNOULLI)  # kinds whose entropy costs nothing beside ln p
_SEEDS = torch.iinfo(torch.int64)


class Policy(Distribution):
    """Distributions of one kind, a row of parameters for each."""

    kind: ClassVar[str]
    _names: ClassVar[tuple[str, ...]] = ("logits",)  # what `first` and `second` are to a user
    _square: ClassVar[int] = 1  # dimensions of a row of `second`
    _kept: Kept | None = None  # the entropy that log_prob has measured, too

    def __init__(
        self,
        first: Tensor,
        second: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        sizes: Sequence[int] = (),
        low: float = -1.0,
        high: float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        for name, tensor in zip(self._names, (first, second)):
            check_floats(tensor, name)
        if first.ndim < 1 or first.shape[-1] == 0:
            shape = tuple(first.shape)
            raise ValueError(f"{self._names[0]}: expected a row of at least one number for each, got the shape {shape}")
        try:
            self._sizes = tuple(whole(size, "sizes", 1) for size in iter(sizes))
        except TypeError as error:
            raise TypeError(f"sizes: expected whole numbers, got {type(sizes).__name__}") from error
        self._low, self._high = number(low, "low"), number(high, "high")
        if not -math.inf < self._low < self._high < math.inf:
            raise ValueError(f"low: expected finite numbers, low below high, got {self._low} and {self._high}")
        self._mask = self._checked_mask(mask, first)
        self._first, self._second = self._rows(first, second)
        event = ops.action_shape(self.kind, self._sizes, first.shape[-1:])
        super().__init__(self._first.shape[:-1], torch.Size(event), validate_args=False)
        is_checked = Distribution._validate_args if validate_args is None else bool(validate_args)
        self._validate_args = is_checked and not torch.compiler.is_compiling()
        if self._validate_args:
            self._check_numbers()

    def _check_numbers(self) -> None:
        """No parameter is NaN: in one pass and no memory, where torch's constraints take several."""
        for name, tensor in zip(self._names, (self._first, self._second)):
            if tensor is not None and tensor.numel() and bool(tensor.detach().amax().isnan()):
                raise ValueError(f"{name}: expected numbers, got NaN")

    @staticmethod
    def _checked_mask(mask: Tensor | None, first: Tensor) -> Tensor | None:
        if mask is None:
            return None
        check_dense(mask, "mask")
        if mask.shape not in (first.shape, first.shape[-1:]):
            raise ValueError(f"mask: expected the shape {tuple(first.shape)} or {tuple(first.shape[-1:])}")
        return mask.bool()

    def _rows(self, first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Both of one batch shape; a second of one row stays one, so that its gradient is an exact sum."""
        if second is None:
            return first, None
        n, tail = first.shape[-1], second.shape[second.ndim - self._square :]
        if tuple(tail) != (n,) * self._square:
            expected = ", ".join([str(n)] * self._square)
            raise ValueError(f"{self._names[1]}: expected the shape (..., {expected}), got {tuple(second.shape)}")
        batch = _broadcast(first.shape[:-1], second.shape[: second.ndim - self._square], self._names[1])
        if second.ndim > self._square:
            second = second.expand(*batch, *tail)
        return first if batch == first.shape[:-1] else first.expand(*batch, n), second

    def _get(self, batch: Shape) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """first, second and mask of a batch shape."""
        first, second, mask = self._first, self._second, self._mask
        if tuple(batch) != tuple(self._batch_shape):
            first = first.expand(*batch, first.shape[-1])
            if second is not None and second.ndim > self._square:
                second = second.expand(*batch, *second.shape[second.ndim - self._square :])
            if mask is not None and mask.ndim > 1:
                mask = mask.expand(*batch, mask.shape[-1])
        return first, second, mask

    @property
    def _shape(self) -> tuple[str, list[int], float, float]:
        return self.kind, list(self._sizes), self._low, self._high

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Policy:
        """The same distributions with another batch shape, as Tensor.expand has it."""
        made = self._get_checked_instance(type(self), _instance)
        shape = torch.Size(batch_shape)
        for name in ("_sizes", "_low", "_high"):
            setattr(made, name, getattr(self, name))
        made._first, made._second, made._mask = self._get(shape)
        Distribution.__init__(made, shape, self._event_shape, validate_args=False)
        made._validate_args = self._validate_args
        return made

    def entropy(self) -> Tensor:
        """H in nats, of the batch shape; of densities it may be negative."""
        kept = None if self._kept is None else self._kept.entropy()
        if kept is not None:
            return kept[0]
        first, second, mask = self._get(self._batch_shape)
        return ops.measure("entropy", *self._shape, first, second, mask, None, False, None, None, None)

    def log_prob(self, value: Tensor) -> Tensor:
        """ln p of actions of the shape (..., *batch_shape, *event_shape), differentiable in them too where they are
        continuous. An action on a bound is taken as the last number of its dtype inside."""
        check_dense(value, "value")
        if self._validate_args:
            self._validate_sample(value)
        return self._log_prob(value, False)

    def _batch_with(self, value: Tensor) -> torch.Size:
        """The batch shape of ln p of such actions. Error: ValueError."""
        n_lead = value.ndim - len(self._event_shape)
        if value.shape[max(n_lead, 0) :] != self._event_shape:
            raise ValueError(f"value: expected the shape (..., {self._event_shape}), got {tuple(value.shape)}")
        return _broadcast(value.shape[:n_lead], self._batch_shape, "value")

    def _log_prob(self, value: Tensor, is_before: bool) -> Tensor:
        batch = self._batch_with(value)
        value = value.expand(*batch, *self._event_shape)
        rows = *self._shape, *self._get(batch)
        if self.kind not in _CHEAP or batch != self._batch_shape or value.requires_grad:
            return ops.measure("logprob", *rows, value, is_before, None, None, None)
        both = ops.measure("both", *rows, value, is_before, None, None, None)
        self._kept = Kept(self._first, self._second)
        self._kept.put(both)
        return both[1]

    def _kl(self, other: Policy, batch: Shape) -> Tensor:
        """KL(self || other), of one kind and shape, for a batch shape."""
        return ops.measure("kl_pq", *self._shape, *self._get(batch), None, False, *other._get(batch))

    def _draw(self, sample_shape: Shape, with_logprob: bool = False) -> tuple:
        seed = torch.randint(_SEEDS.min, _SEEDS.max, (1,), dtype=torch.int64, device="cpu")
        rows = self._get(torch.Size(sample_shape) + self._batch_shape)
        return ops.sample(*self._shape, *rows, seed, False, with_logprob)

    def sample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Actions of the shape sample_shape + batch_shape + event_shape, without gradient."""
        with torch.no_grad():
            return self._draw(sample_shape)[0]

    def deterministic(self) -> Tensor:
        """The action for evaluation, without gradient: the most probable choice (of equal ones the first), the mean, or
        of a squashed Gaussian the squashed mean of x."""
        with torch.no_grad():
            rows, seed = self._get(self._batch_shape), torch.zeros(1, dtype=torch.int64, device="cpu")
            return ops.sample(*self._shape, *rows, seed, True, False)[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self._batch_shape)}, event_shape={tuple(self._event_shape)})"


class Pathwise(Policy):
    """Draws are differentiable functions of the parameters."""

    has_rsample = True

    def rsample(self, sample_shape: Shape = torch.Size()) -> Tensor:
        """Actions with their gradient by the parameters, the noise held fixed."""
        return self._draw(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Shape = torch.Size()) -> tuple[Tensor, Tensor]:
        """Actions and their ln p, both with the pathwise gradient, as SAC needs them. Of a squashed Gaussian ln p is
        computed from the x that was drawn: exact where the action, rounded, is a bound."""
        action, _, logprob = self._draw(sample_shape, with_logprob=True)
        return action, logprob


class Bounded(Policy):
    """Actions between bounds, which belong to the support: rounding puts actions there."""

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.interval(self._low, self._high), 1)

    @property
    def low(self) -> float:
        return self._low

    @property
    def high(self) -> float:
        return self._high


def _broadcast(shape: Shape, other: Shape, name: str) -> torch.Size:
    if tuple(shape) == tuple(other):  # torch's takes its time
        return torch.Size(shape)
    try:
        return torch.broadcast_shapes(shape, other)
    except RuntimeError as error:
        raise ValueError(f"{name}: {tuple(shape)} and {tuple(other)} are no shapes of one batch") from error


def divergence(p: Policy, q: Policy) -> Tensor:
    """KL(p || q), differentiable in both."""
    if p._shape != q._shape or p._event_shape != q._event_shape or p._first.shape[-1] != q._first.shape[-1]:
        raise ValueError(f"kl_divergence: expected two of the same shape, sizes and bounds, got {p} and {q}")
    batch = _broadcast(p.batch_shape, q.batch_shape, "kl_divergence")
    return p._kl(q, batch)
