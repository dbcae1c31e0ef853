"""Entrol for PyTorch: entropies, log-probabilities and losses of tensors, with gradients."""

from .. import _public
from .._control import controllers
from .._objective import objectives
from .._sample import sampling_rules
from ._controllers import Controller
from ._distributed import group_context
from ._linear import linear_logprob_and_entropy
from ._logits import entropy_from_logits, logprob_and_entropy, selective_log_softmax
from ._masks import high_entropy_mask, quantile
from ._objectives import ObjectiveResult, gae, group_advantage, leave_one_out, objective, whiten
from ._processor import LogitsProcessor
from .distributions import Bernoulli, Beta, Categorical, FullGaussian, Gaussian, MultiDiscrete, SquashedGaussian

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Controller",
    "FullGaussian",
    "Gaussian",
    "LogitsProcessor",
    "MultiDiscrete",
    "ObjectiveResult",
    "SquashedGaussian",
    "controllers",
    "entropy_from_logits",
    "gae",
    "group_advantage",
    "group_context",
    "high_entropy_mask",
    "leave_one_out",
    "linear_logprob_and_entropy",
    "logprob_and_entropy",
    "objective",
    "objectives",
    "quantile",
    "sampling_rules",
    "selective_log_softmax",
    "whiten",
]

_public.settle(globals())
