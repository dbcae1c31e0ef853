"""Makes tests/policy_peers.h: what torch.distributions says of policies, for tests/test_policy_peers.c.

    bench/policy_peers.py > tests/policy_peers.h

torch in f64, its gradients by autograd. Numbers that are drawn: SplitMix64 and statistics.NormalDist.inv_cdf (AS 241 again, by the C
library's log), written down here a second time.
"""
import math
import statistics

import torch
from torch import distributions as D

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261128)
N = 3  # columns of first
SIZES = (1, 2)
MASK = (1 << 64) - 1


def categorical(first, second, low, high):
    return D.Categorical(logits=first)


def multi_discrete(first, second, low, high):
    return [D.Categorical(logits=part) for part in first.split(SIZES)]


def bernoulli(first, second, low, high):
    return D.Independent(D.Bernoulli(logits=first), 1)


def gaussian(first, second, low, high):
    return D.Independent(D.Normal(first, second.exp()), 1)


def full_gaussian(first, second, low, high):
    return D.MultivariateNormal(first, scale_tril=second.reshape(N, N).tril())


def squashed_gaussian(first, second, low, high):
    squash = [D.TanhTransform(cache_size=1), D.AffineTransform((low + high) / 2, (high - low) / 2)]
    return D.Independent(D.TransformedDistribution(D.Normal(first, second.exp()), squash), 1)


def beta(first, second, low, high):
    place = [D.AffineTransform(low, high - low)]
    return D.Independent(D.TransformedDistribution(D.Beta(first.exp(), second.exp()), place), 1)


KINDS = (categorical, multi_discrete, bernoulli, gaussian, full_gaussian, squashed_gaussian, beta)


def entropy(make, p):
    """None where torch has none; a Beta's is that on [0, 1] and the logarithm of the width."""
    first, second, low, high = p
    if make is multi_discrete:
        return sum(part.entropy() for part in make(*p))
    if make is beta:
        return D.Beta(first.exp(), second.exp()).entropy().sum() + N * math.log(high - low)
    return None if make is squashed_gaussian else make(*p).entropy()


def logprob(make, p, action):
    if make is multi_discrete:
        return sum(part.log_prob(a) for part, a in zip(make(*p), action))
    if make is categorical:
        action = action.squeeze(0)
    return make(*p).log_prob(action)


def divergence(make, p, q):
    """A change of variables leaves it as it is."""
    if make is multi_discrete:
        return sum(D.kl_divergence(a, b) for a, b in zip(make(*p), make(*q)))
    if make is squashed_gaussian:
        return divergence(gaussian, p, q)
    if make is beta:
        of_p, of_q = (D.Independent(D.Beta(first.exp(), second.exp()), 1) for first, second, _, _ in (p, q))
        return D.kl_divergence(of_p, of_q)
    return D.kl_divergence(make(*p), make(*q))


def random_parameters(make):
    first, second = torch.randn(N), torch.randn(N) * 0.5
    if make is full_gaussian:
        factor = torch.randn(N, N).tril(-1) * 0.5 + torch.diag((torch.randn(N) * 0.5).exp())
        second = factor.reshape(-1)
    return first, second


def random_action(make, p):
    made = make(*p)
    if make is multi_discrete:
        return torch.stack([part.sample() for part in made])
    return made.sample().reshape(-1)


def numbers(values):
    return "{" + ", ".join(f"{v:.17g}" for v in (values.tolist() if isinstance(values, torch.Tensor) else values)) + "}"


def gradient(value, p):
    """By first and second, 0 where there is no dependence."""
    if value is None:
        return [0.0] * N, [0.0] * N
    found = torch.autograd.grad(value, p[:2], allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, p[:2])]


def case(index, make):
    low, high = ((-1.0, 1.0), (-0.5, 2.0))[index % 2]
    p, q = ((*(x.requires_grad_() for x in random_parameters(make)), low, high) for _ in range(2))
    action = random_action(make, p).detach()
    results = [entropy(make, p), logprob(make, p, action), divergence(make, p, q), divergence(make, q, p)]
    gradients = [gradient(result, p) for result in results]
    values = ["NAN" if result is None else f"{result.item():.17g}" for result in results]
    fields = [f"ENTROL_POLICY_{make.__name__.upper()}", f"{low}", f"{high}", *(numbers(x) for x in (*p[:2], *q[:2], action))]
    fields.append("{" + ", ".join(values) + "}")
    fields.append("{" + ", ".join(numbers(first) for first, _ in gradients) + "}")
    fields.append("{" + ", ".join(numbers(second) for _, second in gradients) + "}")
    return "    {" + ",\n     ".join(fields) + "},"


def random_bits(seed, counter):
    z = (seed + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def normal_numbers(seed, row, n):
    key = random_bits(seed, row)
    uniform = [(2 * (random_bits(key, i) >> 12) + 1) * 2.0**-53 for i in range(n)]
    return [statistics.NormalDist().inv_cdf(u) for u in uniform]


print(f"""/* Made by bench/policy_peers.py with torch {torch.__version__.split("+")[0]}: results and gradients of torch.distributions. */
#ifndef POLICY_PEERS_H
#define POLICY_PEERS_H

#include <entrol/policy.h>

#include <math.h>

enum {{ N_PEER_COLUMNS = {N}, N_PEER_RESULTS = 4, N_PEER_ROWS = 4, N_PEER_NUMBERS = 5 }};

/* Results: entropy (NaN: torch has none), logprob, KL(p||q), KL(q||p); and their gradients by p's parameters. */
typedef struct peer_case {{
    entrol_policy_kind kind;
    double low, high;
    double first[N_PEER_COLUMNS], second[N_PEER_COLUMNS * N_PEER_COLUMNS];
    double q_first[N_PEER_COLUMNS], q_second[N_PEER_COLUMNS * N_PEER_COLUMNS];
    double action[N_PEER_COLUMNS];
    double results[N_PEER_RESULTS];
    double d_first[N_PEER_RESULTS][N_PEER_COLUMNS], d_second[N_PEER_RESULTS][N_PEER_COLUMNS * N_PEER_COLUMNS];
}} peer_case;

static const size_t peer_sizes[2] = {{{SIZES[0]}, {SIZES[1]}}};

/* clang-format off */
static const peer_case peer_cases[] = {{""")
for kind in KINDS:
    for number in range(4):
        print(case(number, kind))
print("""};

/* Standard normal numbers of seed 2026, rows 0 to 3. */
static const double peer_normal_numbers[N_PEER_ROWS][N_PEER_NUMBERS] = {""")
for row_number in range(4):
    print("    " + numbers(normal_numbers(2026, row_number, 5)) + ",")
print("""};
/* clang-format on */

#endif""")
