"""entrol.torch's distributions beside torch.distributions, values and gradients, and the entropy of a squashed Gaussian beside
adaptive quadrature; torch's own checks of operators and gradients."""
import math
import unittest
import warnings

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

from torch import distributions as D

import entrol
from entrol.torch import (
    Bernoulli, Beta, Categorical, FullGaussian, Gaussian, MultiDiscrete, SquashedGaussian,
)

torch.set_num_threads(2)
N, SIZES, LOW, HIGH = 3, (1, 2), -0.5, 2.0
TRIGAMMA = 1e-8  # torch.polygamma(1, x) is off by as much as 1e-9 of itself


def ours(kind, first, second, **more):
    if kind is MultiDiscrete:
        return kind(first, SIZES, **more)
    if kind in (SquashedGaussian, Beta):
        more |= {"low": LOW, "high": HIGH}
    return kind(first, **more) if second is None else kind(first, second, **more)


class Several(D.Distribution):
    """torch's categoricals side by side."""

    def __init__(self, logits):
        self.parts = [D.Categorical(logits=part) for part in logits.split(SIZES, -1)]

    def entropy(self):
        return sum(part.entropy() for part in self.parts)

    def log_prob(self, value):
        return sum(part.log_prob(x) for part, x in zip(self.parts, value.unbind(-1)))


def theirs(kind, first, second):
    """torch's distribution, and a constant that its entropy lacks (None: it has none)."""
    if kind is Categorical:
        return D.Categorical(logits=first), 0
    if kind is MultiDiscrete:
        return Several(first), 0
    if kind is Bernoulli:
        return D.Independent(D.Bernoulli(logits=first), 1), 0
    if kind is Gaussian:
        return D.Independent(D.Normal(first, second.exp()), 1), 0
    if kind is FullGaussian:
        return D.MultivariateNormal(first, scale_tril=second.tril()), 0
    if kind is SquashedGaussian:
        squash = [D.TanhTransform(cache_size=1), D.AffineTransform((LOW + HIGH) / 2, (HIGH - LOW) / 2)]
        return D.Independent(D.TransformedDistribution(D.Normal(first, second.exp()), squash), 1), None
    place = [D.AffineTransform(LOW, HIGH - LOW)]
    return D.Independent(D.TransformedDistribution(D.Beta(first.exp(), second.exp()), place), 1), None


KINDS = (Categorical, MultiDiscrete, Bernoulli, Gaussian, FullGaussian, SquashedGaussian, Beta)
PATHWISE = (Gaussian, FullGaussian, SquashedGaussian)


def parameters(kind, leading=(4,), dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    first, second = normal(*leading, N), None
    if kind is FullGaussian:
        second = normal(*leading, N, N).tril(-1) * 0.5 + torch.diag_embed((normal(*leading, N) * 0.5).exp())
    elif kind in (Gaussian, SquashedGaussian, Beta):
        second = normal(*leading, N) * 0.5
    return tuple(None if x is None else x.to(dtype).requires_grad_() for x in (first, second))


def leaves(parameters):
    return [x for x in parameters if x is not None]


class BesideTorch(unittest.TestCase):
    def same(self, found, expected, parameters, tolerance=1e-11, of_slopes=None):
        torch.testing.assert_close(found, expected.detach(), rtol=tolerance, atol=tolerance, check_dtype=False)
        by = torch.linspace(-1, 2, found.numel(), dtype=found.dtype).reshape(found.shape)
        slopes = torch.autograd.grad((found * by).sum(), leaves(parameters), retain_graph=True, allow_unused=True)
        wanted = torch.autograd.grad((expected * by).sum(), leaves(parameters), retain_graph=True, allow_unused=True)
        for x, slope, want in zip(leaves(parameters), slopes, wanted):
            want = torch.zeros_like(x) if want is None else want
            torch.testing.assert_close(slope, want, rtol=of_slopes or tolerance, atol=of_slopes or tolerance)

    def test_entropy_and_log_prob(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                made = parameters(kind, (2, 3))
                mine, (peer, constant) = ours(kind, *made), theirs(kind, *made)
                self.assertEqual((mine.batch_shape, mine.entropy().shape), (torch.Size((2, 3)), torch.Size((2, 3))))
                if constant is not None:
                    self.same(mine.entropy(), peer.entropy(), made)
                elif kind is Beta:
                    width = N * math.log(HIGH - LOW)
                    self.same(mine.entropy(), D.Beta(made[0].exp(), made[1].exp()).entropy().sum(-1) + width, made, of_slopes=TRIGAMMA)
                torch.manual_seed(3)
                action = mine.sample()
                self.same(mine.log_prob(action), peer.log_prob(action), made, 1e-9 if kind is SquashedGaussian else 1e-11)

    def test_divergence_in_both(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                p, q = parameters(kind), parameters(kind, seed=2)
                found = D.kl_divergence(ours(kind, *p), ours(kind, *q))
                if kind is MultiDiscrete:
                    expected = sum(map(D.kl_divergence, theirs(kind, *p)[0].parts, theirs(kind, *q)[0].parts))
                elif kind in (SquashedGaussian, Beta):  # a change of variables leaves it as it is
                    of = (lambda a, b: D.Normal(a, b.exp())) if kind is SquashedGaussian else (lambda a, b: D.Beta(a.exp(), b.exp()))
                    expected = D.kl_divergence(of(*p), of(*q)).sum(-1)
                else:
                    expected = D.kl_divergence(theirs(kind, *p)[0], theirs(kind, *q)[0])
                of_slopes = TRIGAMMA if kind is Beta else None
                self.same(found, expected, p, of_slopes=of_slopes)
                self.same(found, expected, q, of_slopes=of_slopes)
        p, q = parameters(Gaussian, (5, 1)), parameters(Gaussian, (4,), seed=2)
        self.assertEqual(D.kl_divergence(ours(Gaussian, *p), ours(Gaussian, *q)).shape, (5, 4))

    def test_log_prob_by_the_action(self):
        for kind in (*PATHWISE, Beta):
            with self.subTest(kind.__name__):
                made = [x.detach() for x in parameters(kind)]
                action = ours(kind, *made).sample().requires_grad_()
                slope, = torch.autograd.grad(ours(kind, *made).log_prob(action).sum(), action)
                expected, = torch.autograd.grad(theirs(kind, *made)[0].log_prob(action).sum(), action)
                torch.testing.assert_close(slope, expected, rtol=1e-8, atol=1e-8)

    def test_rsample_is_the_path(self):
        """torch's distribution moved to the same noise: its rsample with the noise that gives the same action."""
        for kind in PATHWISE:
            with self.subTest(kind.__name__):
                made = first, second = parameters(kind)
                torch.manual_seed(4)
                action, logprob = ours(kind, *made).rsample_and_log_prob()
                torch.manual_seed(4)
                self.assertEqual(ours(kind, *made).rsample().tolist(), action.tolist())
                x = action.detach()
                if kind is SquashedGaussian:
                    x = (2 * (x - LOW) / (HIGH - LOW) - 1).atanh()
                if kind is FullGaussian:
                    noise = torch.linalg.solve_triangular(second.detach().tril(), (x - first.detach())[..., None], upper=False)
                    moved = first + (second.tril() @ noise)[..., 0]
                else:
                    moved = first + second.exp() * ((x - first) / second.exp()).detach()
                if kind is SquashedGaussian:
                    moved = LOW + (HIGH - LOW) * (1 + moved.tanh()) / 2
                self.same(action, moved, made, 1e-8)
                expected = theirs(kind, *made)[0].log_prob(moved)
                self.same(logprob, expected, made, 1e-7)
                self.same(ours(kind, *made).log_prob(ours(kind, *made).rsample() * 0 + moved), expected, made, 1e-7)

    def test_means_and_modes(self):
        for kind in (Bernoulli, Gaussian, FullGaussian, Beta):
            with self.subTest(kind.__name__):
                made = [None if x is None else x.detach() for x in parameters(kind)]
                mine, peer = ours(kind, *made), theirs(kind, *made)[0]
                mean, variance = (LOW + (HIGH - LOW) * peer.base_dist.base_dist.mean, (HIGH - LOW) ** 2 * peer.base_dist.base_dist.variance) \
                    if kind is Beta else (peer.mean, peer.variance)
                torch.testing.assert_close(mine.mean, mean)
                torch.testing.assert_close(mine.variance, variance)
        logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 1.0, 5.0]])
        self.assertEqual(Categorical(logits).mode.tolist(), D.Categorical(logits=logits).mode.tolist())
        self.assertEqual(MultiDiscrete(logits, (1, 2)).mode.tolist(), [[0, 0], [0, 1]])
        self.assertEqual(Categorical(logits, torch.tensor([True, False, True])).mode.tolist(), [2, 0])
        torch.testing.assert_close(SquashedGaussian(logits, torch.zeros(3)).deterministic(), logits.tanh())

    def test_shapes_support_and_expand_are_torchs(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                made = [None if x is None else x.detach() for x in parameters(kind, (2, 1))]
                mine, peer = ours(kind, *made), theirs(kind, *made)[0]
                event = torch.Size((2,)) if kind is MultiDiscrete else peer.event_shape
                self.assertEqual((mine.event_shape, mine.sample((5, 6)).shape), (event, (5, 6, 2, 1, *event)))
                wide = mine.expand((7, 2, 4))
                self.assertIs(type(wide), kind)
                self.assertEqual((wide.batch_shape, wide.event_shape, wide.sample().shape), ((7, 2, 4), event, (7, 2, 4, *event)))
                self.assertEqual(wide.entropy()[3, :, 2].tolist(), mine.entropy()[:, 0].tolist())
                action = mine.sample((3,))
                torch.testing.assert_close(wide.log_prob(action[0]), mine.log_prob(action[0]).expand(7, 2, 4))
                self.assertTrue(bool(mine.support.check(action).all()))
                self.assertEqual(mine.has_rsample, kind in PATHWISE)
                self.assertEqual(mine.log_prob(action).shape, (3, 2, 1))
        self.assertEqual(Categorical(torch.zeros(2, 4)).enumerate_support().tolist(), D.Categorical(logits=torch.zeros(2, 4)).enumerate_support().tolist())

    def test_a_sigma_for_all_rows(self):
        for kind in (Gaussian, SquashedGaussian, FullGaussian, Beta):
            with self.subTest(kind.__name__):
                first, second = parameters(kind)
                shared = second[0].detach().requires_grad_()
                mine, peer = ours(kind, first, shared), theirs(kind, first, shared.expand_as(second))[0]
                action = mine.sample()
                self.same(mine.log_prob(action), peer.log_prob(action), (first, shared), 1e-9)
                if kind is not Beta:
                    slope, = torch.autograd.grad(mine.rsample((2,)).sum(), shared)
                    self.assertEqual(slope.shape, shared.shape)


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
                expected = (mpmath.log(2 * mpmath.pi * mpmath.e) / 2 + log_sigma + of(slope), of(lean), 1 + of(lambda z: lean(z) * s * z))
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
                self.assertTrue(all(bool(slope.isfinite().all()) for slope in torch.autograd.grad(logprob.sum(), (mean, action))))
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
        expected = (-((x - 12) ** 2) / 2 - math.log(2 * math.pi) / 2 - 2 * (math.log(2) - x - torch.nn.functional.softplus(-2 * x)))[:, 0]
        torch.testing.assert_close(policy.log_prob_before_squash(x.float()).double(), expected, rtol=1e-6, atol=1e-5)
        torch.manual_seed(5)
        torch.testing.assert_close(policy.rsample_and_log_prob()[1].double(), expected, rtol=1e-6, atol=1e-5)

    def test_log_prob_before_squash_has_the_gradient_of_its_formula(self):
        made = parameters(SquashedGaussian)
        x = torch.randn(4, N, dtype=torch.float64, requires_grad=True)
        squash = torch.log(1 - x.tanh() ** 2) + math.log((HIGH - LOW) / 2)
        expected = (D.Normal(made[0], made[1].exp()).log_prob(x) - squash).sum(-1)
        BesideTorch.same(self, ours(SquashedGaussian, *made).log_prob_before_squash(x), expected, (*made, x))

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
        log_p = (-z * z / 2 - second - math.log(2 * math.pi) / 2 - torch.log(1 - moved.tanh() ** 2) - math.log((HIGH - LOW) / 2)).sum(-1)
        BesideTorch.same(self, loss, (0.2 * log_p - a.sin().sum(-1)).mean(), made)


class Draws(unittest.TestCase):
    def test_manual_seed_repeats_and_the_next_draw_differs(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                mine = ours(kind, *parameters(kind, (64,)))
                torch.manual_seed(7)
                first, second = mine.sample(), mine.sample()
                torch.manual_seed(7)
                self.assertEqual(first.tolist(), mine.sample().tolist())
                self.assertNotEqual(first.tolist(), second.tolist())
                self.assertFalse(first.requires_grad)
                self.assertEqual(first.dtype, torch.int64 if kind in (Categorical, MultiDiscrete) else torch.float64)

    def test_they_have_the_distribution(self):
        torch.manual_seed(8)
        n = 40000
        policy = Categorical(torch.tensor([1.0, 2.0, 0.0, -math.inf]))
        counts = torch.bincount(policy.sample((n,)), minlength=4)
        self.assertEqual(counts[3], 0)
        apart = (counts / n - policy.probs).abs() / (policy.probs * (1 - policy.probs) / n).sqrt().clamp(min=1e-9)
        self.assertLess(apart.max().item(), 5)
        for kind in (Gaussian, Beta, SquashedGaussian, FullGaussian, Bernoulli):
            with self.subTest(kind.__name__):
                mine = ours(kind, *(None if x is None else x.detach() for x in parameters(kind, ())))
                seen = -mine.log_prob(mine.sample((n,)))
                self.assertLess(abs(seen.mean() - mine.entropy()) / (seen.std() / math.sqrt(n)), 5)

    def test_without_a_possible_choice(self):
        with self.assertRaisesRegex(entrol.DataError, "row 1"):
            Categorical(torch.tensor([[0.0, 0.0], [-math.inf, -math.inf]])).sample()


class Dtypes(unittest.TestCase):
    def test_results_have_the_parameters(self):
        for kind in KINDS:
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                with self.subTest(kind=kind.__name__, dtype=dtype):
                    made = parameters(kind, dtype=dtype)
                    wide = [None if x is None else x.detach().double() for x in made]
                    mine = ours(kind, *made)
                    entropy = mine.entropy()
                    self.assertEqual(entropy.dtype, dtype)
                    torch.testing.assert_close(entropy, ours(kind, *wide).entropy().to(dtype), rtol=0, atol=0)
                    slopes = torch.autograd.grad(entropy.sum() + mine.log_prob(mine.sample()).sum(), leaves(made))
                    self.assertTrue(all(slope.dtype == dtype and bool(slope.isfinite().all()) for slope in slopes))

    def test_another_device_goes_through_the_cpu(self):
        """The meta device stands in: what is on no CPU is refused by the library's own reader, and not read as memory."""
        with self.assertRaises((ValueError, NotImplementedError)):
            entrol.policy_measure(entrol.Policy("categorical", torch.zeros(2, 3, device="meta")))
        if not torch.cuda.is_available():
            self.skipTest("no CUDA")
        made = [x.detach().cuda().requires_grad_() for x in parameters(SquashedGaussian)]
        action, logprob = ours(SquashedGaussian, *made).rsample_and_log_prob()
        self.assertEqual((action.device, logprob.device), (made[0].device,) * 2)
        torch.autograd.grad(logprob.sum() + action.sum(), made)


class Checks(unittest.TestCase):
    def test_gradcheck(self):
        for kind in KINDS:
            made = leaves(parameters(kind, (2,)))
            build = lambda *x: ours(kind, x[0], x[1] if len(x) > 1 else None, validate_args=False)
            action, other = build(*made).sample(), build(*(x.detach() for x in leaves(parameters(kind, (2,), seed=2))))
            calls = {"entropy": lambda *x: build(*x).entropy(), "log_prob": lambda *x: build(*x).log_prob(action),
                     "kl": lambda *x: D.kl_divergence(build(*x), other), "kl reversed": lambda *x: D.kl_divergence(other, build(*x))}
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
                torch.library.opcheck(torch.ops.entrol.policy_measure, ("entropy", *shape, first, second, None, None, False, *nothing))
                torch.library.opcheck(torch.ops.entrol.policy_measure, ("logprob", *shape, first, second, None, action, False, *nothing))
                torch.library.opcheck(torch.ops.entrol.policy_measure, ("kl_pq", *shape, first, second, None, None, False, first, second, None))
                detached = [None if x is None else x.detach() for x in (first, second)]
                by = torch.ones(2, dtype=torch.float64)
                torch.library.opcheck(torch.ops.entrol.policy_gradient,
                                      (*shape, *detached, None, action, False, *nothing, by, by, None, None, None, False))
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
        slope, = torch.autograd.grad(ours(Gaussian, *made).log_prob(torch.zeros(N, dtype=torch.float64)).sum(), made[0], create_graph=True)
        with self.assertRaisesRegex(RuntimeError, "policy_gradient"):
            slope.sum().backward()

    def test_arguments(self):
        ok, zeros = torch.zeros(2, 3), torch.zeros(2, 3)
        cases = [
            ("logits", lambda: Categorical(torch.tensor(1.0))),
            ("logits", lambda: Categorical(torch.zeros(2, 3, dtype=torch.int64))),
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
            ("kl_divergence", lambda: D.kl_divergence(SquashedGaussian(ok, zeros), SquashedGaussian(ok, zeros, 0, 1))),
        ]
        for name, call in cases:
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                call()


if __name__ == "__main__":
    unittest.main()
