"""Good arguments of the functions for policies, and of those for tensors over tokens; for junk.py."""

import entrol
import numpy as np

try:
    import entrol.torch as et
    import torch
except ImportError:
    torch = et = None


def policy_of(policy, kind, first, second, sizes, mask, low, high, log_sigma_low, log_sigma_high):
    """`policy`: a word of the messages, whose value does not matter."""
    return entrol.Policy(kind, first, second, sizes, mask, log_sigma_low, log_sigma_high, low, high)


def measured(actions, reference, want, actions_are_before_squash, **policy):
    made = policy_of(**policy)
    return entrol.policy_measure(
        made,
        actions,
        made if reference is None else reference,
        want=want,
        actions_are_before_squash=actions_are_before_squash,
    )


def gradient(actions, entropy, logprob, d_action, is_pathwise, out_first, **policy):
    return entrol.policy_gradient(
        policy_of(**policy),
        actions,
        entropy=entropy,
        logprob=logprob,
        d_action=d_action,
        is_pathwise=is_pathwise,
        out_first=out_first,
    )


def sampled(seed, first_row, is_deterministic, out, before, **policy):
    made = policy_of(**policy)
    return entrol.policy_sample(
        made, seed=seed, first_row=first_row, is_deterministic=is_deterministic, out=out, before=before
    )


def policy_calls():
    """name: (function, good arguments)."""
    rows = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    common = {"policy": None, "sizes": None, "mask": None, "low": -1.0, "high": 1.0}
    common |= {"log_sigma_low": -5.0, "log_sigma_high": 2.0}
    squashed = {"kind": "squashed-gaussian", "first": rows, "second": rows, **common}
    several = {**common, "kind": "multi-discrete", "first": rows, "second": None, "sizes": [2, 4], "mask": np.ones(6)}
    asked = {"reference": None, "want": ("entropy", "kl_pq"), "actions_are_before_squash": False}
    slopes = {"actions": np.tanh(rows), "entropy": 1.0, "logprob": np.ones(3), "d_action": rows, "is_pathwise": True}
    drawn = {"seed": 1, "first_row": 0, "is_deterministic": False, "out": None, "before": None}
    return {
        "policy_measure": (measured, {"actions": np.tanh(rows), **asked, **squashed}),
        "policy_measure of choices": (measured, {"actions": np.zeros((3, 2), int), **asked, **several}),
        "policy_gradient": (gradient, {**slopes, "out_first": np.zeros((3, 6)), **squashed}),
        "policy_sample": (sampled, {**drawn, **squashed}),
    }


def logprob_of(value, mean, log_sigma, low, high):
    policy = et.SquashedGaussian(mean, log_sigma, low, high, validate_args=False)
    return policy.log_prob(value) + policy.entropy()


def choices(logits, sizes, mask, value):
    policy = et.MultiDiscrete(logits, sizes, mask, validate_args=False)
    return policy.log_prob(value)


def loss(**given):
    return et.objective(**given).loss


def observed(entropies, mask, sum, count, **settings):
    controller = et.Controller(**settings)
    controller.observe(entropies, mask)
    return controller.observe_sum(sum, count)


def token_calls():
    """The same of tensors."""
    if torch is None:
        return {}
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    mask, common = x > -1, {"method": "torch", "nan": "error", "group": None}
    tokens = {
        "logprob": x.clone().requires_grad_(),
        "old_logprob": x,
        "advantage": x[:, 0],
        "entropy": x.abs(),
        "mask": mask,
    }
    settings = {"group": None, "seed": 1, "loss_alone": False, "clip_low": 0.1, "aggregation": "token_mean"}
    groups = {"rewards": x.flatten(), "group_starts": torch.tensor([0, 9, 18])}
    trajectory = {"rewards": x, "values": x, "last_values": x[0], "ends": torch.ones(3, 6, dtype=torch.int64)}
    return {
        "torch.log_prob": (
            logprob_of,
            {"value": x.tanh(), "mean": x.clone().requires_grad_(), "log_sigma": x[0], "low": -1.0, "high": 1.0},
        ),
        "torch.MultiDiscrete": (
            choices,
            {"logits": x, "sizes": (2, 4), "mask": torch.ones(6), "value": torch.zeros(3, 2, dtype=torch.int64)},
        ),
        "torch.high_entropy_mask": (et.high_entropy_mask, {"entropies": x, "mask": mask, "threshold": 0.8, **common}),
        "torch.quantile": (et.quantile, {"values": x, "q": 0.5, "mask": mask, **common}),
        "torch.objective": (loss, {"name": "dapo", **tokens, **settings}),
        "torch.Controller": (
            observed,
            {"name": "pi", "target": 0.4, "entropies": x.abs(), "mask": mask, "sum": 3.0, "count": 4},
        ),
        "torch.whiten": (et.whiten, {"advantages": x, "mask": mask, "epsilon": 1e-8, "group": None}),
        "torch.group_advantage": (et.group_advantage, {**groups, "scale": "group", "epsilon": 1e-4, "group": None}),
        "torch.leave_one_out": (et.leave_one_out, groups),
        "torch.gae": (et.gae, {**trajectory, "final_values": x, "gamma": 0.9, "lambda_": 0.9}),
    }
