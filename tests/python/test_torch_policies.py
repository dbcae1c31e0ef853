"""entrol.torch's squashed Gaussian beside adaptive quadrature and its formulas; torch's own checks of the operators and
gradients of all kinds; what is refused."""

import math
import unittest
import warnings

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

from torch import distributions as D

from entrol.torch import Categorical, FullGaussian, Gaussian, MultiDiscrete, SquashedGaussian
from torch_policies import HIGH, KINDS, LOW, N, PATHWISE, leaves, ours, parameters, same


class Squashed(unittest.TestCase):
    def test_entropy_is_adaptive_quadrature(self):
        import mpmath

        mpmath.mp.dps = 20
        for mean, log_sigma in ((0, -5), (0, -0.5), (0, 2), (1.25, -2), (1.25, 0.5), (5, -0.5), (5, 2), (-3, 1)):
            with self.subTest(mean=mean, log_sigma=log_sigma):
                m, s = mpmath.mpf(mean), mpmath.exp(mpmath.mpf(log_sigma))
                slope = lambda z: 2 * (mpmath.log(2) - (m + s * z) - mpmath.log1p(mpmath.exp(-2 * (m + s * z))))
                lean = lambda z: -2 * mpmath.tanh(m + s * z)  # f'
                ends = sorted({-12, -4, 0, 4, 12, *[k for k in (float(-m / s),) if -12 < k < 12]})
                of = lambda f: mpmath.quad(lambda z: mpmath.npdf(z) * f(z), ends)
                expected = (
                    mpmath.log(2 * mpmath.pi * mpmath.e) / 2 + log_sigma + of(slope),
                    of(lean),
                    1 + of(lambda z: lean(z) * s * z),
                )
                made = [torch.tensor([float(x)], dtype=torch.float64, requires_grad=True) for x in (mean, log_sigma)]
                entropy = SquashedGaussian(*made).entropy()
                slopes = torch.autograd.grad(entropy, made)
                for found, want in zip((entropy, *slopes), expected):
                    self.assertAlmostEqual(found.item(), float(want), delta=1e-11)

    def test_actions_on_the_bound_are_finite(self):
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            with self.subTest(dtype):
                mean = torch.zeros(2, 1, dtype=dtype, requires_grad=True)
                action = torch.tensor([[1.0], [-1.0]], dtype=dtype, requires_grad=True)
                logprob = SquashedGaussian(mean, torch.zeros(1, dtype=dtype)).log_prob(action)
                self.assertTrue(bool(logprob.isfinite().all()))
                self.assertTrue(
                    all(bool(slope.isfinite().all()) for slope in torch.autograd.grad(logprob.sum(), (mean, action)))
                )
        edge = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
        narrow = SquashedGaussian(torch.zeros(1), torch.zeros(1))
        self.assertEqual(narrow.log_prob(torch.ones(1)).item(), narrow.log_prob(edge.reshape(1)).item())

    def test_log_prob_of_a_draw_does_not_go_back_through_atanh(self):
        """At a mean of 12 every float32 action is 1, and ln p by the formula of x is what it is."""
        torch.manual_seed(5)
        mean = torch.full((64, 1), 12.0)
        policy = SquashedGaussian(mean, torch.zeros(1))
        action, x = policy.sample_before_squash()
        self.assertTrue(bool((action == 1).sum() > 60))
        x = x.double()
        expected = (
            -((x - 12) ** 2) / 2
            - math.log(2 * math.pi) / 2
            - 2 * (math.log(2) - x - torch.nn.functional.softplus(-2 * x))
        )[:, 0]
        torch.testing.assert_close(policy.log_prob_before_squash(x.float()).double(), expected, rtol=1e-6, atol=1e-5)
        torch.manual_seed(5)
        torch.testing.assert_close(policy.rsample_and_log_prob()[1].double(), expected, rtol=1e-6, atol=1e-5)

    def test_log_prob_before_squash_has_the_gradient_of_its_formula(self):
        made = parameters(SquashedGaussian)
        x = torch.randn(4, N, dtype=torch.float64, requires_grad=True)
        squash = torch.log(1 - x.tanh() ** 2) + math.log((HIGH - LOW) / 2)
        expected = (D.Normal(made[0], made[1].exp()).log_prob(x) - squash).sum(-1)
        same(ours(SquashedGaussian, *made).log_prob_before_squash(x), expected, (*made, x))

    def test_sac_without_a_replay_of_the_round_trip(self):
        """alpha ln p(a) - Q(a): the gradients of the formula with the same noise."""
        made = first, second = parameters(SquashedGaussian)
        torch.manual_seed(6)
        action, logprob = ours(SquashedGaussian, *made).rsample_and_log_prob()
        loss = (0.2 * logprob - action.sin().sum(-1)).mean()
        torch.manual_seed(6)
        x = ours(SquashedGaussian, *made).sample_before_squash()[1]
        z = ((x - first) / second.exp()).detach()
        moved = first + second.exp() * z
        a = LOW + (HIGH - LOW) * (1 + moved.tanh()) / 2
        log_p = (
            -z * z / 2
            - second
            - math.log(2 * math.pi) / 2
            - torch.log(1 - moved.tanh() ** 2)
            - math.log((HIGH - LOW) / 2)
        ).sum(-1)
        same(loss, (0.2 * log_p - a.sin().sum(-1)).mean(), made)


class Checks(unittest.TestCase):
    def test_gradcheck(self):
        for kind in KINDS:
            made = leaves(parameters(kind, (2,)))
            build = lambda *x: ours(kind, x[0], x[1] if len(x) > 1 else None, validate_args=False)
            action, other = build(*made).sample(), build(*(x.detach() for x in leaves(parameters(kind, (2,), seed=2))))
            calls = {
                "entropy": lambda *x: build(*x).entropy(),
                "log_prob": lambda *x: build(*x).log_prob(action),
                "kl": lambda *x: D.kl_divergence(build(*x), other),
                "kl reversed": lambda *x: D.kl_divergence(other, build(*x)),
            }
            if kind in PATHWISE:

                def drawn(*x):
                    torch.manual_seed(9)
                    return build(*x).rsample_and_log_prob()

                calls["rsample"] = drawn
            for name, call in calls.items():
                with self.subTest(kind=kind.__name__, of=name):
                    self.assertTrue(torch.autograd.gradcheck(call, made))

    def test_opcheck(self):
        for kind in KINDS:
            first, second = parameters(kind, (2,))
            mine = ours(kind, first, second)
            shape, action = mine._shape, mine.sample()
            seed, nothing = torch.zeros(1, dtype=torch.int64), (None, None, None)
            with self.subTest(kind.__name__), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.library.opcheck(
                    torch.ops.entrol.policy_measure, ("entropy", *shape, first, second, None, None, False, *nothing)
                )
                torch.library.opcheck(
                    torch.ops.entrol.policy_measure, ("logprob", *shape, first, second, None, action, False, *nothing)
                )
                torch.library.opcheck(
                    torch.ops.entrol.policy_measure,
                    ("kl_pq", *shape, first, second, None, None, False, first, second, None),
                )
                detached = [None if x is None else x.detach() for x in (first, second)]
                by = torch.ones(2, dtype=torch.float64)
                torch.library.opcheck(
                    torch.ops.entrol.policy_gradient,
                    (*shape, *detached, None, action, False, *nothing, by, by, None, None, None, False),
                )
                is_pathwise = kind in PATHWISE
                drawn = (first, second) if is_pathwise else detached
                torch.library.opcheck(torch.ops.entrol.policy_sample, (*shape, *drawn, None, seed, False, is_pathwise))

    def test_compile_in_one_graph(self):
        def loss(policy):
            value = policy.entropy().sum() + policy.log_prob(policy.sample()).sum() * 0
            return value + (policy.rsample_and_log_prob()[1].sum() * 0 if policy.has_rsample else 0)

        for kind in KINDS:
            with self.subTest(kind.__name__):
                torch._dynamo.reset()
                made = parameters(kind)
                call = torch.compile(lambda *x: loss(ours(kind, *x)), fullgraph=True, backend="aot_eager")
                found = call(*made)
                expected = ours(kind, *made).entropy().sum()
                self.assertEqual(found.item(), expected.item())
                slopes = torch.autograd.grad(found, leaves(made))
                for slope, want in zip(slopes, torch.autograd.grad(expected, leaves(made), allow_unused=True)):
                    torch.testing.assert_close(slope, torch.zeros_like(slope) if want is None else want)

    def test_there_is_no_second_derivative(self):
        made = parameters(Gaussian)
        (slope,) = torch.autograd.grad(
            ours(Gaussian, *made).log_prob(torch.zeros(N, dtype=torch.float64)).sum(), made[0], create_graph=True
        )
        with self.assertRaisesRegex(RuntimeError, "policy_gradient"):
            slope.sum().backward()

    def test_forward_mode_is_refused(self):
        ok = torch.zeros(2, 3)
        gaussian = Gaussian(ok, ok)
        for name, call in (
            ("logits", lambda x: Categorical(x).entropy()),
            ("log_sigma", lambda x: Gaussian(ok, x).entropy()),
            ("value", gaussian.log_prob),
        ):
            with self.subTest(name), self.assertRaisesRegex(NotImplementedError, f"^{name}: "):
                torch.func.jvp(call, (ok,), (torch.ones(2, 3),))
            with torch.autograd.forward_ad.dual_level():
                dual = torch.autograd.forward_ad.make_dual(ok, torch.ones(2, 3))
                with self.assertRaisesRegex(NotImplementedError, f"^{name}: "):
                    call(dual)

    def test_arguments(self):
        ok, zeros = torch.zeros(2, 3), torch.zeros(2, 3)
        cases = [
            ("logits", lambda: Categorical(torch.tensor(1.0))),
            ("^logits", lambda: Categorical(torch.zeros(2, 0))),
            ("^mean", lambda: Gaussian(torch.zeros(2, 0), torch.zeros(2, 0))),
            ("logits", lambda: Categorical(torch.tensor([math.nan, 0.0]))),
            ("mask", lambda: Categorical(ok, torch.ones(2, dtype=torch.bool))),
            ("sizes", lambda: MultiDiscrete(ok, (1, 1))),
            ("log_sigma", lambda: Gaussian(ok, torch.zeros(2))),
            ("scale_tril", lambda: FullGaussian(ok, torch.zeros(2, 3))),
            ("scale_tril", lambda: FullGaussian(ok, torch.ones(3, 3))),
            ("log_sigma", lambda: SquashedGaussian(ok, torch.full((3,), math.nan))),
            ("low", lambda: SquashedGaussian(ok, zeros, 1.0, 1.0).entropy()),
            ("support", lambda: Categorical(ok).log_prob(torch.tensor([3, 0]))),
            ("support", lambda: SquashedGaussian(ok, zeros).log_prob(ok + 2)),
            ("value", lambda: Gaussian(ok, zeros).log_prob(torch.zeros(2))),
            ("value", lambda: Gaussian(ok, zeros, validate_args=False).log_prob(torch.tensor(1.0))),
            ("value", lambda: Gaussian(ok, zeros, validate_args=False).log_prob(torch.zeros(5, 3))),
            ("log_sigma", lambda: Gaussian(ok, torch.zeros(5, 3))),
            ("kl_divergence", lambda: D.kl_divergence(SquashedGaussian(ok, zeros), SquashedGaussian(ok, zeros, 0, 1))),
        ]
        for name, call in cases:
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                call()
        of_types = [
            ("logits", lambda: Categorical(torch.zeros(2, 3, dtype=torch.int64))),
            ("logits", lambda: Categorical([0.0])),
            ("mask", lambda: Categorical(ok, [True] * 3)),
            ("sizes", lambda: MultiDiscrete(ok, (1.5, 1.5))),
            ("log_sigma", lambda: Gaussian(ok, 0.5)),
            ("high", lambda: SquashedGaussian(ok, zeros, high="1")),
            ("value", lambda: Gaussian(ok, zeros).log_prob(0.5)),
        ]
        for name, call in of_types:
            with self.subTest(name), self.assertRaisesRegex(TypeError, f"^{name}: "):
                call()


if __name__ == "__main__":
    unittest.main()
