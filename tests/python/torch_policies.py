"""Policies of entrol.torch and torch.distributions' own, of the same parameters, for the tests beside this file."""

import torch
from torch import distributions as D

from entrol.torch import Bernoulli, Beta, Categorical, FullGaussian, Gaussian, MultiDiscrete, SquashedGaussian

torch.set_num_threads(2)
N, SIZES, LOW, HIGH = 3, (1, 2), -0.5, 2.0
TRIGAMMA = 1e-8  # torch.polygamma(1, x) is off by as much as 1e-9 of itself


def ours(kind, first, second, **more):
    if kind is MultiDiscrete:
        return kind(first, SIZES, **more)
    if kind in (SquashedGaussian, Beta):
        more |= {"low": LOW, "high": HIGH}
    return kind(first, **more) if second is None else kind(first, second, **more)


class Several(D.Distribution):
    """torch's categoricals side by side."""

    def __init__(self, logits):
        self.parts = [D.Categorical(logits=part) for part in logits.split(SIZES, -1)]

    def entropy(self):
        return sum(part.entropy() for part in self.parts)

    def log_prob(self, value):
        return sum(part.log_prob(x) for part, x in zip(self.parts, value.unbind(-1)))


def theirs(kind, first, second):
    """torch's distribution, and a constant that its entropy lacks (None: it has none)."""
    if kind is Categorical:
        return D.Categorical(logits=first), 0
    if kind is MultiDiscrete:
        return Several(first), 0
    if kind is Bernoulli:
        return D.Independent(D.Bernoulli(logits=first), 1), 0
    if kind is Gaussian:
        return D.Independent(D.Normal(first, second.exp()), 1), 0
    if kind is FullGaussian:
        return D.MultivariateNormal(first, scale_tril=second.tril()), 0
    if kind is SquashedGaussian:
        squash = [D.TanhTransform(cache_size=1), D.AffineTransform((LOW + HIGH) / 2, (HIGH - LOW) / 2)]
        return D.Independent(D.TransformedDistribution(D.Normal(first, second.exp()), squash), 1), None
    place = [D.AffineTransform(LOW, HIGH - LOW)]
    return D.Independent(D.TransformedDistribution(D.Beta(first.exp(), second.exp()), place), 1), None


KINDS = (Categorical, MultiDiscrete, Bernoulli, Gaussian, FullGaussian, SquashedGaussian, Beta)
PATHWISE = (Gaussian, FullGaussian, SquashedGaussian)


def parameters(kind, leading=(4,), dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    first, second = normal(*leading, N), None
    if kind is FullGaussian:
        second = normal(*leading, N, N).tril(-1) * 0.5 + torch.diag_embed((normal(*leading, N) * 0.5).exp())
    elif kind in (Gaussian, SquashedGaussian, Beta):
        second = normal(*leading, N) * 0.5
    return tuple(None if x is None else x.to(dtype).requires_grad_() for x in (first, second))


def leaves(parameters):
    return [x for x in parameters if x is not None]


def same(found, expected, parameters, tolerance=1e-11, of_slopes=None):
    torch.testing.assert_close(found, expected.detach(), rtol=tolerance, atol=tolerance, check_dtype=False)
    by = torch.linspace(-1, 2, found.numel(), dtype=found.dtype).reshape(found.shape)
    slopes = torch.autograd.grad((found * by).sum(), leaves(parameters), retain_graph=True, allow_unused=True)
    wanted = torch.autograd.grad((expected * by).sum(), leaves(parameters), retain_graph=True, allow_unused=True)
    for x, slope, want in zip(leaves(parameters), slopes, wanted):
        want = torch.zeros_like(x) if want is None else want
        torch.testing.assert_close(slope, want, rtol=of_slopes or tolerance, atol=of_slopes or tolerance)
