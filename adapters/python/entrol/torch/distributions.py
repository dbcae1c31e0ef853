"""The distributions that a policy acts by, as torch.distributions has them: entropy, log-probability, divergence and
draws by the C library (include/entrol/policy.h), with gradients.

    policy = entrol.torch.SquashedGaussian(mean, log_sigma)
    action, logprob = policy.rsample_and_log_prob()
    loss = (alpha * logprob - critic(state, action)).mean()

Parameters are rows: (..., n), with the batch shape (...). Everything is in nats, has the parameters' dtype, and is
computed in float64; but entropy, log-probability and divergence of categoricals of float32 and half types in float32,
by the kernels of logits (_logits.py): entropy and log-probability in one pass.

Draws come from a counter-based generator of the library, seeded from torch's of the CPU, so that torch.manual_seed
makes them repeat: the same parameters and seed give the same bits on every machine and for any number of threads.
Parameters on another device are copied to the CPU, and results back; entropy and log-probability of categoricals are
computed where they are.

Arguments are checked as torch.distributions does it; under torch.compile they are not. A row in trouble without such
checks (NaN, an infinite mean) has NaN. A row of logits without a possible choice is no distribution: its entropy, its
log-probability and its gradient are NaN (where functions of logits have 0), and to draw from it is a DataError.
Forward-mode derivatives and torch.func's transforms are NotImplementedError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, constraints, register_kl

from . import _policy_ops as ops
from ._choices import Choices
from ._host import check_floats
from ._policy import Bounded, Pathwise, Policy, Shape, divergence

__all__ = ["Bernoulli", "Beta", "Categorical", "FullGaussian", "Gaussian", "MultiDiscrete", "SquashedGaussian"]


class Categorical(Choices):
    """One of n choices. logits: (..., n), -inf is impossible; mask: (..., n) or (n,), where a choice may happen. probs:
    instead of logits, (..., n) from 0, of any sum; of 0 is impossible. Actions: int64 of the batch shape."""

    kind = ops.CATEGORICAL
    arg_constraints: ClassVar = {"logits": constraints.independent(constraints.real, 1)}

    def __init__(
        self,
        logits: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        probs: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (logits is None) == (probs is None):
            raise ValueError("logits: expected logits or probs, one of the two")
        if probs is not None:
            logits = _logits_of(probs, validate_args)
        super().__init__(logits, mask=mask, validate_args=validate_args)

    @property
    def logits(self) -> Tensor:
        """As they were given."""
        return self._first

    @property
    def probs(self) -> Tensor:
        logits = self._first if self._mask is None else self._first.masked_fill(~self._mask, -torch.inf)
        return logits.softmax(-1)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self._first.shape[-1] - 1)

    @property
    def mode(self) -> Tensor:
        return self.deterministic()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every choice, of the shape (n, *batch_shape)."""
        n = self._first.shape[-1]
        values = torch.arange(n, device=self._first.device).view(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    has_enumerate_support = True


class MultiDiscrete(Choices):
    """Several independent choices at once (gymnasium's MultiDiscrete). logits: (..., sum of sizes), those of each
    choice side by side; mask as in Categorical. Actions: int64, (..., len(sizes))."""

    kind = ops.MULTI_DISCRETE
    arg_constraints: ClassVar = {"logits": constraints.independent(constraints.real, 1)}

    def __init__(
        self,
        logits: Tensor,
        sizes: Sequence[int],
        mask: Tensor | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(logits, sizes=sizes, mask=mask, validate_args=validate_args)
        if min(self._sizes, default=0) < 1 or sum(self._sizes) != logits.shape[-1]:
            raise ValueError(f"sizes: expected numbers above 0 whose sum is {logits.shape[-1]}, got {self._sizes}")

    @property
    def logits(self) -> Tensor:
        return self._first

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        greatest = torch.tensor(self._sizes, device=self._first.device) - 1
        return constraints.independent(constraints.integer_interval(0, greatest), 1)

    @property
    def mode(self) -> Tensor:
        return self.deterministic()


class Bernoulli(Policy):
    """n independent bits (gymnasium's MultiBinary). logits: (..., n), of 1. Actions: 0 or 1 of the logits' dtype."""

    kind = ops.BERNOULLI
    arg_constraints: ClassVar = {"logits": constraints.independent(constraints.real, 1)}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, logits: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(logits, validate_args=validate_args)

    @property
    def logits(self) -> Tensor:
        return self._first

    @property
    def probs(self) -> Tensor:
        return self._first.sigmoid()

    mean = probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (-self._first).sigmoid()

    @property
    def mode(self) -> Tensor:
        return self.deterministic()


class Gaussian(Pathwise):
    """n independent Gaussians. mean: (..., n); log_sigma: ln sigma, (..., n), or (n,) for all rows alike."""

    kind = ops.GAUSSIAN
    _names = ("mean", "log_sigma")
    arg_constraints: ClassVar = {"mean": constraints.real_vector, "log_sigma": constraints.real_vector}
    support = constraints.real_vector

    def __init__(self, mean: Tensor, log_sigma: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(mean, log_sigma, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self._first

    mode = mean

    @property
    def log_sigma(self) -> Tensor:
        return self._second.expand_as(self._first)

    @property
    def stddev(self) -> Tensor:
        return self.log_sigma.exp()

    @property
    def variance(self) -> Tensor:
        return (2 * self.log_sigma).exp()


class FullGaussian(Pathwise):
    """A Gaussian of n dimensions. mean: (..., n); scale_tril: L of the covariance L L^T, (..., n, n) or (n, n) for all
    rows alike; what is above its diagonal is not read and has the gradient 0."""

    kind = ops.FULL_GAUSSIAN
    _names, _square = ("mean", "scale_tril"), 2
    arg_constraints: ClassVar = {"mean": constraints.real_vector, "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector

    def _check_numbers(self) -> None:
        super()._check_numbers()
        if not bool(constraints.lower_cholesky.check(self._second).all()):
            raise ValueError("scale_tril: expected lower triangular matrices whose diagonals are above 0")

    def __init__(self, mean: Tensor, scale_tril: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(mean, scale_tril, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self._first

    mode = mean

    @property
    def scale_tril(self) -> Tensor:
        return self._second.expand(*self._batch_shape, *self._second.shape[-2:])

    @property
    def covariance_matrix(self) -> Tensor:
        lower = self.scale_tril.tril()
        return lower @ lower.mT

    @property
    def variance(self) -> Tensor:
        return self.scale_tril.tril().square().sum(-1)


class SquashedGaussian(Bounded, Pathwise):
    """a = low + (high - low) (1 + tanh x) / 2 of independent Gaussian x, as SAC acts. mean, log_sigma: of x, (..., n);
    log_sigma also (n,).

    entropy() is the entropy of a itself, by quadrature within 1e-12, with its gradient by mean and log_sigma: where
    others take that of x, or -ln p of one draw (docs/policies.md)."""

    kind = ops.SQUASHED_GAUSSIAN
    _names = ("mean", "log_sigma")
    arg_constraints: ClassVar = {"mean_before_squash": constraints.real_vector, "log_sigma": constraints.real_vector}

    def __init__(
        self,
        mean: Tensor,
        log_sigma: Tensor,
        low: float = -1.0,
        high: float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(mean, log_sigma, low=low, high=high, validate_args=validate_args)

    @property
    def mean_before_squash(self) -> Tensor:
        """Of x: the mean of a has no closed form."""
        return self._first

    @property
    def log_sigma(self) -> Tensor:
        return self._second.expand_as(self._first)

    def sample_before_squash(self, sample_shape: Shape = torch.Size()) -> tuple[Tensor, Tensor]:
        """Actions, and the x that they are made of, for log_prob_before_squash; without gradient."""
        with torch.no_grad():
            action, before, _ = self._draw(sample_shape)
        return action, before

    def log_prob_before_squash(self, value: Tensor) -> Tensor:
        """ln p of the action (not of x) by its x: exact where the action, rounded, has forgotten x, beyond |x| of 9 in
        float32 and 18 in float64."""
        return self._log_prob(value, True)


class Beta(Bounded):
    """a = low + (high - low) u of n independent u of Beta(alpha, beta). log_alpha, log_beta: (..., n), logarithms, so
    that every number a network gives is a distribution; log_beta also (n,)."""

    kind = ops.BETA
    _names = ("log_alpha", "log_beta")
    arg_constraints: ClassVar = {"log_alpha": constraints.real_vector, "log_beta": constraints.real_vector}

    def __init__(
        self,
        log_alpha: Tensor,
        log_beta: Tensor,
        low: float = 0.0,
        high: float = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(log_alpha, log_beta, low=low, high=high, validate_args=validate_args)

    @property
    def log_alpha(self) -> Tensor:
        return self._first

    @property
    def log_beta(self) -> Tensor:
        return self._second.expand_as(self._first)

    @property
    def mean(self) -> Tensor:
        return self._low + (self._high - self._low) * (self.log_alpha - self.log_beta).sigmoid()

    @property
    def variance(self) -> Tensor:
        share = (self.log_alpha - self.log_beta).sigmoid()
        total = self.log_alpha.exp() + self.log_beta.exp()
        return (self._high - self._low) ** 2 * share * (1 - share) / (total + 1)


def _logits_of(probs: Tensor, validate_args: bool | None) -> Tensor:
    """ln p, and of 0 -inf, with the gradient 0."""
    check_floats(probs, "probs")
    is_checked = Distribution._validate_args if validate_args is None else validate_args
    if is_checked and not torch.compiler.is_compiling() and not bool(((probs >= 0) & (probs < torch.inf)).all()):
        raise ValueError("probs: expected finite numbers from 0")
    is_impossible = probs == 0
    return probs.masked_fill(is_impossible, 1).log().masked_fill(is_impossible, -torch.inf)


@register_kl(Categorical, distributions.Categorical)
def _to_torchs(p: Categorical, q: distributions.Categorical) -> Tensor:
    return divergence(p, Categorical(q.logits, validate_args=False))


@register_kl(distributions.Categorical, Categorical)
def _from_torchs(p: distributions.Categorical, q: Categorical) -> Tensor:
    return divergence(Categorical(p.logits, validate_args=False), q)


def _refuse_other(p: Distribution, q: Distribution) -> Tensor:
    names = [
        f"{type(x).__module__.replace('entrol.torch.distributions', 'entrol.torch')}.{type(x).__name__}" for x in (p, q)
    ]
    raise NotImplementedError(f"kl_divergence: of {names[0]} and {names[1]} there is none: make both of entrol.torch")


for _kind, _other in ((Bernoulli, distributions.Bernoulli), (Beta, distributions.Beta)):
    register_kl(_kind, _other)(_refuse_other)
    register_kl(_other, _kind)(_refuse_other)
for _kind in (Categorical, MultiDiscrete, Bernoulli, Gaussian, FullGaussian, SquashedGaussian, Beta):
    register_kl(_kind, _kind)(divergence)
