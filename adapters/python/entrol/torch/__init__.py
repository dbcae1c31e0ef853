"""Entrol for PyTorch: entropies, log-probabilities and losses of tensors, with gradients."""

from .linear import linear_logprob_and_entropy
from .logits import entropy_from_logits, logprob_and_entropy, selective_log_softmax

__all__ = [
    "entropy_from_logits",
    "linear_logprob_and_entropy",
    "logprob_and_entropy",
    "selective_log_softmax",
]
