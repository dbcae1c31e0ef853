"""An output layer to test, and what autograd makes of its whole logits in float64."""

import math
import unittest

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest("torch is not there") from error

torch.set_num_threads(1)  # suites run side by side; test_torch_product.py has more
N_COLUMNS, DEPTH = 2100, 48  # more than two tiles of columns


def layer(dtype=torch.float32, leading=(3, 5), seed=0):
    """hidden, weight, bias, index, and derivatives by logprob and entropy."""
    rng = torch.Generator().manual_seed(seed)
    hidden = torch.randn(*leading, DEPTH, generator=rng).to(dtype).requires_grad_()
    weight = (torch.randn(N_COLUMNS, DEPTH, generator=rng) / 3).to(dtype).requires_grad_()
    bias = torch.randn(N_COLUMNS, generator=rng).to(dtype).requires_grad_()
    index = torch.randint(0, N_COLUMNS, leading, generator=rng)
    by_logprob, by_entropy = torch.randn(2, *leading, generator=rng)
    return hidden, weight, bias, index, by_logprob, by_entropy


def textbook(hidden, weight, bias, index, temperature=1.0, soft_cap=None, logit_scale=1.0):
    """Whole logits in float64, by autograd alone."""
    z = hidden.double() @ weight.double().T
    z = (z if bias is None else z + bias.double()) * logit_scale
    z = (soft_cap * torch.tanh(z / soft_cap) if soft_cap else z) / temperature
    log_p = torch.log_softmax(z, -1)
    terms = torch.where(log_p == -math.inf, 0, log_p.exp() * torch.where(log_p == -math.inf, 0, log_p))
    return log_p.gather(-1, index[..., None])[..., 0], -terms.sum(-1)


def gradients(results, records, inputs):
    loss = sum((result * record).sum() for result, record in zip(results, records))
    return torch.autograd.grad(loss, inputs)


class Case(unittest.TestCase):
    def close(self, found, expected, tolerance, text=""):
        self.assertEqual(found.shape, expected.shape)
        if not found.numel():
            return
        scale = max(1.0, expected.abs().max().item())
        worst = (found.double() - expected.double()).abs().max().item()
        self.assertLessEqual(worst, tolerance * scale, text)
