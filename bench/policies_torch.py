"""Distributions of entrol.torch beside torch.distributions, for bench/python.py: what a training step asks of them, with
the gradient. Few rows show what a call costs, many what the work does."""

import statistics

import peers

import entrol
import entrol.torch as et
import torch
from torch import distributions as D

CASE = "policies"
REPEATS, QUICK_REPEATS = 30, 3
SHAPES = ((256, 6), (4096, 4), (4096, 18), (1024, 1024), (256, 5000))
QUICK_SHAPES = ((256, 6), (64, 100))
ROWS = ((256, 6), (4096, 6))  # of continuous actions


def asked(policy, action):
    """PPO's: ln p and the entropy."""
    return policy.log_prob(action).mean() - 0.01 * policy.entropy().mean()


def categorical(n, columns):
    logits, action = torch.randn(n, columns, requires_grad=True), torch.randint(0, columns, (n,))
    ours = lambda: asked(et.Categorical(logits), action)
    return (logits,), ours, lambda: asked(D.Categorical(logits=logits), action)


def divergence(n, columns):
    given = [torch.randn(n, columns, requires_grad=True) for _ in range(2)]
    ours = lambda: D.kl_divergence(*map(et.Categorical, given)).mean()
    return given, ours, lambda: D.kl_divergence(*(D.Categorical(logits=x) for x in given)).mean()


def gaussian(n, columns):
    mean, log_sigma = torch.randn(n, columns, requires_grad=True), torch.zeros(columns, requires_grad=True)
    action = torch.randn(n, columns)
    theirs = lambda: D.Independent(D.Normal(mean, log_sigma.exp()), 1)
    return (mean, log_sigma), lambda: asked(et.Gaussian(mean, log_sigma), action), lambda: asked(theirs(), action)


def squashed(n, columns):
    """SAC's: a draw and its ln p, by the path."""
    mean, log_sigma = (torch.randn(n, columns, requires_grad=True) for _ in range(2))

    def theirs():
        squash = D.TanhTransform(cache_size=1)
        policy = D.Independent(D.TransformedDistribution(D.Normal(mean, log_sigma.exp()), squash), 1)
        action = policy.rsample()
        return 0.2 * policy.log_prob(action).mean() - action.mean()

    def ours():
        action, logprob = et.SquashedGaussian(mean, log_sigma).rsample_and_log_prob()
        return 0.2 * logprob.mean() - action.mean()

    return (mean, log_sigma), ours, theirs


KINDS = {
    "Categorical, ln p and entropy": (categorical, SHAPES),
    "Categorical, KL": (divergence, SHAPES),
    "Gaussian, ln p and entropy": (gaussian, ROWS),
    "SquashedGaussian, draw and ln p": (squashed, ROWS),
}


def lines(arguments):
    """One for each kind and shape."""
    torch.manual_seed(1)
    for name, (make, shapes) in KINDS.items():
        for shape in QUICK_SHAPES if arguments.quick else shapes:
            given, *calls = make(*shape)

            def step(call):
                for tensor in given:
                    tensor.grad = None
                call().backward()

            seconds = ([], [])
            for call in calls:  # what is made once
                step(call)
            for _ in range(QUICK_REPEATS if arguments.quick else REPEATS):
                for call, to in zip(calls, seconds):
                    to.append(peers.seconds(lambda: step(call))[0])
            yield {
                "case": f"{CASE}: {name}",
                "dtype": "float32",
                "rows": shape[0],
                "columns": shape[1],
                "threads": arguments.threads,
                "cpu": entrol.default_context().cpu,
                "seconds": peers.spread(seconds[0]),
                "peer": "torch.distributions",
                "peer_seconds": peers.spread(seconds[1]),
                "ratio_to_peer": statistics.median(seconds[1]) / statistics.median(seconds[0]),
            }


def table(results):
    """Markdown."""
    results = [r for r in results if r.get("case", "").startswith(CASE)]
    if results:
        print("| | rows, columns | Entrol | torch.distributions | times as fast |\n|---|---|---|---|---|")
    for r in results:
        ours, theirs = (f"{1000 * r[key]['median']:.3g} ms" for key in ("seconds", "peer_seconds"))
        name = r["case"].removeprefix(f"{CASE}: ")
        print(f"| {name} | {r['rows']:,} x {r['columns']:,} | {ours} | {theirs} | {r['ratio_to_peer']:.2g} |")
