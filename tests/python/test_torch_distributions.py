"""entrol.torch's distributions beside torch.distributions: values, gradients, shapes, draws and dtypes."""

import math
import unittest

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

from torch import distributions as D

import entrol
from entrol.torch import Bernoulli, Beta, Categorical, FullGaussian, Gaussian, MultiDiscrete, SquashedGaussian
from torch_policies import HIGH, KINDS, LOW, N, PATHWISE, TRIGAMMA, leaves, ours, parameters, same, theirs


class BesideTorch(unittest.TestCase):
    def test_entropy_and_log_prob(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                made = parameters(kind, (2, 3))
                mine, (peer, constant) = ours(kind, *made), theirs(kind, *made)
                self.assertEqual((mine.batch_shape, mine.entropy().shape), (torch.Size((2, 3)), torch.Size((2, 3))))
                if constant is not None:
                    same(mine.entropy(), peer.entropy(), made)
                elif kind is Beta:
                    width = N * math.log(HIGH - LOW)
                    same(
                        mine.entropy(),
                        D.Beta(made[0].exp(), made[1].exp()).entropy().sum(-1) + width,
                        made,
                        of_slopes=TRIGAMMA,
                    )
                torch.manual_seed(3)
                action = mine.sample()
                same(mine.log_prob(action), peer.log_prob(action), made, 1e-9 if kind is SquashedGaussian else 1e-11)

    def test_divergence_in_both(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                p, q = parameters(kind), parameters(kind, seed=2)
                found = D.kl_divergence(ours(kind, *p), ours(kind, *q))
                if kind is MultiDiscrete:
                    expected = sum(map(D.kl_divergence, theirs(kind, *p)[0].parts, theirs(kind, *q)[0].parts))
                elif kind in (SquashedGaussian, Beta):  # a change of variables leaves it as it is
                    of = (
                        (lambda a, b: D.Normal(a, b.exp()))
                        if kind is SquashedGaussian
                        else (lambda a, b: D.Beta(a.exp(), b.exp()))
                    )
                    expected = D.kl_divergence(of(*p), of(*q)).sum(-1)
                else:
                    expected = D.kl_divergence(theirs(kind, *p)[0], theirs(kind, *q)[0])
                of_slopes = TRIGAMMA if kind is Beta else None
                same(found, expected, p, of_slopes=of_slopes)
                same(found, expected, q, of_slopes=of_slopes)
        p, q = parameters(Gaussian, (5, 1)), parameters(Gaussian, (4,), seed=2)
        self.assertEqual(D.kl_divergence(ours(Gaussian, *p), ours(Gaussian, *q)).shape, (5, 4))

    def test_log_prob_by_the_action(self):
        for kind in (*PATHWISE, Beta):
            with self.subTest(kind.__name__):
                made = [x.detach() for x in parameters(kind)]
                action = ours(kind, *made).sample().requires_grad_()
                (slope,) = torch.autograd.grad(ours(kind, *made).log_prob(action).sum(), action)
                (expected,) = torch.autograd.grad(theirs(kind, *made)[0].log_prob(action).sum(), action)
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
                    noise = torch.linalg.solve_triangular(
                        second.detach().tril(), (x - first.detach())[..., None], upper=False
                    )
                    moved = first + (second.tril() @ noise)[..., 0]
                else:
                    moved = first + second.exp() * ((x - first) / second.exp()).detach()
                if kind is SquashedGaussian:
                    moved = LOW + (HIGH - LOW) * (1 + moved.tanh()) / 2
                same(action, moved, made, 1e-8)
                expected = theirs(kind, *made)[0].log_prob(moved)
                same(logprob, expected, made, 1e-7)
                same(ours(kind, *made).log_prob(ours(kind, *made).rsample() * 0 + moved), expected, made, 1e-7)

    def test_means_and_modes(self):
        for kind in (Bernoulli, Gaussian, FullGaussian, Beta):
            with self.subTest(kind.__name__):
                made = [None if x is None else x.detach() for x in parameters(kind)]
                mine, peer = ours(kind, *made), theirs(kind, *made)[0]
                mean, variance = (
                    (
                        LOW + (HIGH - LOW) * peer.base_dist.base_dist.mean,
                        (HIGH - LOW) ** 2 * peer.base_dist.base_dist.variance,
                    )
                    if kind is Beta
                    else (peer.mean, peer.variance)
                )
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
                self.assertEqual(
                    (wide.batch_shape, wide.event_shape, wide.sample().shape), ((7, 2, 4), event, (7, 2, 4, *event))
                )
                self.assertEqual(wide.entropy()[3, :, 2].tolist(), mine.entropy()[:, 0].tolist())
                action = mine.sample((3,))
                torch.testing.assert_close(wide.log_prob(action[0]), mine.log_prob(action[0]).expand(7, 2, 4))
                self.assertTrue(bool(mine.support.check(action).all()))
                self.assertEqual(mine.has_rsample, kind in PATHWISE)
                self.assertEqual(mine.log_prob(action).shape, (3, 2, 1))
        self.assertEqual(
            Categorical(torch.zeros(2, 4)).enumerate_support().tolist(),
            D.Categorical(logits=torch.zeros(2, 4)).enumerate_support().tolist(),
        )

    def test_a_sigma_for_all_rows(self):
        for kind in (Gaussian, SquashedGaussian, FullGaussian, Beta):
            with self.subTest(kind.__name__):
                first, second = parameters(kind)
                shared = second[0].detach().requires_grad_()
                mine, peer = ours(kind, first, shared), theirs(kind, first, shared.expand_as(second))[0]
                action = mine.sample()
                same(mine.log_prob(action), peer.log_prob(action), (first, shared), 1e-9)
                if kind is not Beta:
                    (slope,) = torch.autograd.grad(mine.rsample((2,)).sum(), shared)
                    self.assertEqual(slope.shape, shared.shape)


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
    def test_defaults_of_the_process_change_nothing(self):
        for kind in KINDS:
            with self.subTest(kind.__name__):
                results, before = [], torch.get_default_dtype()
                for dtype, device in ((torch.float32, "cpu"), (torch.float64, "cpu"), (torch.float32, "meta")):
                    made = parameters(kind, dtype=torch.float32)
                    torch.manual_seed(3)
                    try:
                        torch.set_default_dtype(dtype)
                        torch.set_default_device(device)
                        mine = ours(kind, *made, validate_args=False)
                        action = mine.sample()
                        loss = (mine.entropy() + mine.log_prob(action)).sum()
                        if kind in PATHWISE:
                            loss = loss + mine.rsample_and_log_prob()[1].sum()
                        loss.backward()
                    finally:
                        torch.set_default_dtype(before)
                        torch.set_default_device(None)
                    results.append([action, mine.deterministic(), loss, *(x.grad for x in leaves(made))])
                for other in results[1:]:
                    self.assertTrue(all(map(torch.equal, results[0], other)))

    def test_results_have_the_parameters(self):
        for kind in KINDS:
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                with self.subTest(kind=kind.__name__, dtype=dtype):
                    made = parameters(kind, dtype=dtype)
                    wide = [None if x is None else x.detach().double() for x in made]
                    mine = ours(kind, *made)
                    entropy = mine.entropy()
                    self.assertEqual(entropy.dtype, dtype)
                    of_float32 = 5e-7 if kind in (Categorical, MultiDiscrete) and dtype == torch.float32 else 0
                    torch.testing.assert_close(
                        entropy, ours(kind, *wide).entropy().to(dtype), rtol=of_float32, atol=of_float32
                    )
                    slopes = torch.autograd.grad(entropy.sum() + mine.log_prob(mine.sample()).sum(), leaves(made))
                    self.assertTrue(all(slope.dtype == dtype and bool(slope.isfinite().all()) for slope in slopes))

    def test_another_device_goes_through_the_cpu(self):
        """The meta device stands in: what is on no CPU is refused by the library's own reader, and not read as
        memory."""
        with self.assertRaises((ValueError, NotImplementedError)):
            entrol.policy_measure(entrol.Policy("categorical", torch.zeros(2, 3, device="meta")))
        if not torch.cuda.is_available():
            self.skipTest("no CUDA")
        made = [x.detach().cuda().requires_grad_() for x in parameters(SquashedGaussian)]
        action, logprob = ours(SquashedGaussian, *made).rsample_and_log_prob()
        self.assertEqual((action.device, logprob.device), (made[0].device,) * 2)
        torch.autograd.grad(logprob.sum() + action.sum(), made)


if __name__ == "__main__":
    unittest.main()
