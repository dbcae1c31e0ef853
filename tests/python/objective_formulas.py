"""Published objectives as their papers write them, in torch and any dtype, and arrays to compute them of; for
test_torch_objectives.py."""

import math

import torch

ROWS, LENGTH = 6, 10
LEAVES = ("logprob", "entropy", "support_entropy", "value")


def tokens(seed=1):
    """Arrays by name, float32's numbers, and a mask that drops the rows' ends, where they hold NaN."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda: torch.randn(ROWS, LENGTH, generator=generator)
    uniform = lambda: torch.rand(ROWS, LENGTH, generator=generator)
    made = {
        "logprob": -4 * uniform() - 0.01,
        "entropy": 2 * uniform(),
        "support_entropy": uniform(),
        "value": normal(),
        "target_return": normal(),
        "advantage": normal(),
    }
    made["old_logprob"] = made["logprob"] - 0.25 * normal()
    made["reference_logprob"] = made["logprob"] - 0.4 * normal()
    made["old_entropy"] = made["entropy"] + 0.2 * uniform()
    made["old_value"] = made["value"] + 0.3 * normal()
    mask = torch.arange(LENGTH) < torch.randint(1, LENGTH + 1, (ROWS, 1), generator=generator)
    return made, mask


def aggregate(x, m, how, length=1.0):
    x = torch.where(m, x, torch.zeros_like(x))
    return {
        "token_mean": lambda: x.sum() / m.sum(),
        "sequence_mean": lambda: (x.sum(1) / m.sum(1)).mean(),
        "sequence_sum": lambda: x.sum(1).mean(),
        "constant": lambda: x.sum(1).mean() / length,
    }[how]()


def mean(x, m):
    return aggregate(x, m, "token_mean")


def ratio(t):
    return (t["logprob"] - t["old_logprob"]).exp()


def clipped(r, a, low, high):
    return -torch.minimum(r * a, r.clamp(1 - low, 1 + high) * a)


def dual(r, a, low, high, c):
    return torch.where(a < 0, torch.minimum(clipped(r, a, low, high), -c * a), clipped(r, a, low, high))


def rows_mean(x, m):
    return (torch.where(m, x, torch.zeros_like(x)).sum(1) / m.sum(1))[:, None]


def gmpo(t, m, low, high):
    ln = t["logprob"] - t["old_logprob"]
    held = torch.where(t["advantage"] > 0, ln.clamp(max=high), ln.clamp(min=-low))
    return -rows_mean(held, m).exp() * t["advantage"]


def sapo(t):
    tau = torch.where(t["advantage"] > 0, 1.0, 1.05)
    return -(4 / tau) * torch.sigmoid(tau * (ratio(t) - 1)) * t["advantage"]


def value_loss(t, m, clip=None):
    error = (t["value"] - t["target_return"]) ** 2
    if clip is not None:
        held = t["old_value"] + (t["value"] - t["old_value"]).clamp(-clip, clip)
        error = torch.maximum(error, (held - t["target_return"]) ** 2)
    return mean(error, m)


def k3(t):
    d = t["reference_logprob"] - t["logprob"]
    return d.exp() - 1 - d


def kl_cov(t, m, share, penalty):
    a, p = t["advantage"], t["logprob"]
    covariance = ((a - mean(a, m)) * (p - mean(p, m))).detach().masked_fill(~m, -math.inf)
    chosen = torch.zeros_like(covariance).flatten()
    chosen[covariance.flatten().topk(max(1, int(share * m.sum()))).indices] = 1
    return -ratio(t) * a + penalty * chosen.reshape(a.shape) * (p - t["old_logprob"]).abs()


def shaped(t, alpha, kappa):
    return t["advantage"] + torch.minimum(alpha * t["entropy"].detach(), t["advantage"].abs() / kappa)


def erc(t, m, low, high):
    changed = (t["entropy"].detach() + 1e-8) / (t["old_entropy"] + 1e-8)
    loss = clipped(ratio(t), t["advantage"], 0.2, 0.28)
    return torch.where((changed > low) & (changed < high), loss, loss.detach())


# name, settings, the arrays it is given besides logprob and advantage, and the loss by its formula.
CASES = [
    ("reinforce", {"aggregation": "token_mean"}, (), lambda t, m: mean(-t["logprob"] * t["advantage"], m)),
    (
        "a2c",
        {"value_coefficient": 0.5, "entropy_coefficient": 0.01},
        ("entropy", "value", "target_return"),
        lambda t, m: mean(-t["logprob"] * t["advantage"], m) + 0.5 * value_loss(t, m) - 0.01 * mean(t["entropy"], m),
    ),
    (
        "ppo",
        {"entropy_coefficient": 0.01, "value_coefficient": 0.5},
        ("old_logprob", "entropy", "value", "target_return"),
        lambda t, m: mean(clipped(ratio(t), t["advantage"], 0.2, 0.2), m)
        + 0.5 * value_loss(t, m)
        - 0.01 * mean(t["entropy"], m),
    ),
    (
        "ppo",
        {"dual_clip": 1.1, "value_clip": 0.2, "value_coefficient": 0.3, "entropy_coefficient": 0},
        ("old_logprob", "value", "old_value", "target_return"),
        lambda t, m: mean(dual(ratio(t), t["advantage"], 0.2, 0.2, 1.1), m) + 0.3 * value_loss(t, m, 0.2),
    ),
    (
        "grpo",
        {"kl_coefficient": 0.04},
        ("old_logprob", "reference_logprob"),
        lambda t, m: aggregate(clipped(ratio(t), t["advantage"], 0.2, 0.2) + 0.04 * k3(t), m, "sequence_mean"),
    ),
    (
        "dr_grpo",
        {"length": 16},
        ("old_logprob",),
        lambda t, m: aggregate(clipped(ratio(t), t["advantage"], 0.2, 0.2), m, "constant", 16),
    ),
    ("dapo", {}, ("old_logprob",), lambda t, m: mean(clipped(ratio(t), t["advantage"], 0.2, 0.28), m)),
    (
        "gspo",
        {"clip_low": 0.02, "clip_high": 0.03, "aggregation": "sequence_mean"},
        ("old_logprob",),
        lambda t, m: aggregate(
            clipped(rows_mean(t["logprob"] - t["old_logprob"], m).exp().expand_as(m), t["advantage"], 0.02, 0.03),
            m,
            "sequence_mean",
        ),
    ),
    (
        "gmpo",
        {"aggregation": "sequence_mean", "clip_low": 0.1, "clip_high": 0.2},
        ("old_logprob",),
        lambda t, m: aggregate(gmpo(t, m, 0.1, 0.2), m, "sequence_mean"),
    ),
    (
        "cispo",
        {"ratio_low": 0.9, "ratio_high": 1.1, "aggregation": "token_mean"},
        ("old_logprob",),
        lambda t, m: mean(-ratio(t).detach().clamp(0.9, 1.1) * t["advantage"] * t["logprob"], m),
    ),
    ("sapo", {"aggregation": "sequence_mean"}, ("old_logprob",), lambda t, m: aggregate(sapo(t), m, "sequence_mean")),
    (
        "kl_cov",
        {"covariance_share": 0.1, "covariance_penalty": 1, "aggregation": "token_mean"},
        ("old_logprob",),
        lambda t, m: mean(kl_cov(t, m, 0.1, 1), m),
    ),
    (
        "entropy_advantage",
        {"entropy_alpha": 0.4, "entropy_kappa": 2, "aggregation": "token_mean"},
        ("old_logprob", "entropy"),
        lambda t, m: mean(clipped(ratio(t), shaped(t, 0.4, 2), 0.2, 0.2), m),
    ),
    (
        "aent",
        {"entropy_coefficient": 0.02, "aggregation": "token_mean"},
        ("old_logprob", "support_entropy"),
        lambda t, m: mean(clipped(ratio(t), t["advantage"], 0.2, 0.2), m) - 0.02 * mean(t["support_entropy"], m),
    ),
    (
        "erc",
        {"aggregation": "token_mean"},
        ("old_logprob", "entropy", "old_entropy"),
        lambda t, m: mean(erc(t, m, 0.8, 1.2), m),
    ),
    (
        "w_reinforce",
        {"positive_weight": 0.1, "aggregation": "token_mean"},
        (),
        lambda t, m: mean(-t["logprob"] * t["advantage"] * torch.where(t["advantage"] > 0, 0.1, 1.0), m),
    ),
]
