"""Entrol for PyTorch: entropies, log-probabilities and losses of tensors, with gradients."""

from .controllers import Controller
from .distributed import group_context
from .distributions import Bernoulli, Beta, Categorical, FullGaussian, Gaussian, MultiDiscrete, SquashedGaussian
from .linear import linear_logprob_and_entropy
from .logits import entropy_from_logits, logprob_and_entropy, selective_log_softmax
from .masks import high_entropy_mask, quantile
from .objectives import ObjectiveResult, gae, group_advantage, leave_one_out, objective, whiten

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Controller",
    "FullGaussian",
    "Gaussian",
    "MultiDiscrete",
    "ObjectiveResult",
    "SquashedGaussian",
    "entropy_from_logits",
    "gae",
    "group_advantage",
    "group_context",
    "high_entropy_mask",
    "leave_one_out",
    "linear_logprob_and_entropy",
    "logprob_and_entropy",
    "objective",
    "quantile",
    "selective_log_softmax",
    "whiten",
]
