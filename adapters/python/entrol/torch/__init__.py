"""Entrol for PyTorch: entropies, log-probabilities and losses of tensors, with gradients."""

from .logits import entropy_from_logits, logprob_and_entropy, selective_log_softmax

__all__ = [
    "entropy_from_logits",
    "logprob_and_entropy",
    "selective_log_softmax",
]
