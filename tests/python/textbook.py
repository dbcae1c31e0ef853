"""Textbook formulas in NumPy's float64, which the tests of the package are held against."""

import numpy as np


def log_softmax(logits, temperature=1.0, mask=None):
    z = np.asarray(logits, np.float64) / temperature
    if mask is not None:
        z = np.where(mask, z, -np.inf)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def times(p, x):
    """p x, 0 where p is 0."""
    return np.where(p > 0, p * np.where(p > 0, x, 0), 0)


def entropy(log_p):
    return -times(np.exp(log_p), log_p).sum(-1)


def varentropy(log_p):
    return times(np.exp(log_p), np.square(log_p + entropy(log_p)[..., None])).sum(-1)


def gradient(log_p, by_entropy, by_logprob, targets, temperature=1.0):
    """dL/dz of a loss by H and ln p of the targets: -p (ln p + H) and 1[i = y] - p, over T."""
    p = np.exp(log_p)
    one = np.arange(p.shape[-1]) == np.asarray(targets)[..., None]
    d_entropy = -times(p, log_p + entropy(log_p)[..., None])
    return (np.expand_dims(by_entropy, -1) * d_entropy + np.expand_dims(by_logprob, -1) * (one - p)) / temperature


def kl(log_p, log_q):
    p = np.exp(log_p)
    return np.where(p > 0, p * (np.where(p > 0, log_p, 0) - np.where(p > 0, log_q, 0)), 0).sum(-1)


def mean_log(*log_ps):
    """ln of the mean of several distributions."""
    return np.log(np.mean(np.exp(log_ps), 0))


def gae(rewards, values, last_values, ends, final_values, gamma, lambda_):
    """arXiv 1506.02438, backwards over the steps; ends: 0 goes on, 1 terminated, 2 truncated."""
    advantages, later = np.zeros(rewards.shape), np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        following = last_values if t + 1 == len(rewards) else values[t + 1]
        following = np.where(ends[t] == 0, following, np.where(ends[t] == 2, final_values[t], 0))
        later = rewards[t] + gamma * following - values[t] + np.where(ends[t] == 0, gamma * lambda_ * later, 0)
        advantages[t] = later
    return advantages


def ppo(logprob, old_logprob, advantage, mask, low, high):
    """The mean of -min(r A, clip(r) A) over the tokens that count, and its derivative by ln p: at a token that the clip
    holds, none."""
    r = np.exp(logprob - old_logprob)
    surrogate = np.minimum(r * advantage, np.clip(r, 1 - low, 1 + high) * advantage)
    is_free = np.where(advantage > 0, r <= 1 + high, r >= 1 - low) & (mask != 0)
    n = (mask != 0).sum()
    return -np.where(mask != 0, surrogate, 0).sum() / n, np.where(is_free, -r * advantage / n, 0)
