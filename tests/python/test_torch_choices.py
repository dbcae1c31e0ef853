"""entrol.torch's Categorical and MultiDiscrete of float32 and half types, which the kernels of rows measure: beside
torch's in float64; what is kept from one call to the next; rows without a possible choice; probs; torch's own class."""

import gc
import math
import unittest
import weakref

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

from torch import distributions as D

import entrol
from entrol.torch import Bernoulli, Beta, Categorical, MultiDiscrete, SquashedGaussian, _ops

torch.set_num_threads(2)
NONE = torch.tensor([[0.0, 1.0], [-math.inf, -math.inf], [0.0, 0.0]])


def drawn(*shape, seed=1, dtype=torch.float32):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).mul_(2)
    return values.to(dtype).requires_grad_()


def passes(call):
    """How often a call measures logits."""
    count, measure = [0], _ops.measure

    def counted(*args):
        count[0] += 1
        return measure(*args)

    _ops.measure = counted
    try:
        call()
    finally:
        _ops.measure = measure
    return count[0]


class BesideTorch(unittest.TestCase):
    def same(self, found, expected, logits, wide, tolerance):
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
        by = torch.linspace(-1, 2, found.numel()).reshape(found.shape)
        (slope,) = torch.autograd.grad((found * by).sum(), logits, retain_graph=True)
        (want,) = torch.autograd.grad((expected * by).sum(), wide, retain_graph=True)
        self.assertEqual(slope.dtype, logits.dtype)
        torch.testing.assert_close(slope.double(), want, rtol=tolerance, atol=tolerance)

    def test_both_orders_dtypes_and_masks(self):
        mask = torch.rand(5, 7, generator=torch.Generator().manual_seed(3)) < 0.7
        mask[:, 2] = True
        action = torch.full((5,), 2)
        for dtype, tolerance in ((torch.float32, 2e-6), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)):
            for legal in (None, mask, mask[0]):
                for names in (("entropy", "log_prob"), ("log_prob", "entropy")):
                    with self.subTest(dtype=dtype, names=names, mask=None if legal is None else legal.ndim):
                        logits = drawn(5, 7, dtype=dtype)
                        wide = logits.detach().double().requires_grad_()
                        held = wide if legal is None else wide.masked_fill(~legal, -1e300)
                        mine, peer = Categorical(logits, legal), D.Categorical(logits=held)
                        for name in names:
                            given = (action,) if name == "log_prob" else ()
                            found, expected = getattr(mine, name)(*given), getattr(peer, name)(*given)
                            self.same(found, expected, logits, wide, tolerance)

    def test_several_draws_and_shapes(self):
        logits = drawn(4, 1, 6)
        wide = logits.detach().double().requires_grad_()
        mine, peer = Categorical(logits), D.Categorical(logits=wide)
        draws = torch.randint(0, 6, (3, 2, 4, 1), generator=torch.Generator().manual_seed(2))
        for action in (draws, draws[0, 0], draws[0, 0].expand(4, 5), draws[0, 0, :1].expand(2, 1, 7), draws[0, 0, 0]):
            self.same(mine.log_prob(action), peer.log_prob(action), logits, wide, 2e-6)
        self.same(mine.log_prob(mine.enumerate_support()), peer.log_prob(peer.enumerate_support()), logits, wide, 2e-6)

    def test_multi_discrete_of_one_size_and_of_several(self):
        for sizes in ((3, 3), (2, 4), (6,), (1, 2, 3)):
            with self.subTest(sizes):
                logits = drawn(2, 5, 6)
                wide = logits.detach().double().requires_grad_()
                mine = MultiDiscrete(logits, sizes)
                parts = [D.Categorical(logits=part) for part in wide.split(sizes, -1)]
                for action in (mine.sample(), mine.sample((3,))):
                    self.same(
                        mine.log_prob(action),
                        sum(part.log_prob(x) for part, x in zip(parts, action.unbind(-1))),
                        logits,
                        wide,
                        2e-6,
                    )
                self.same(mine.entropy(), sum(part.entropy() for part in parts), logits, wide, 2e-6)
        mask = torch.tensor([True, False, True, True, True, False])
        masked = MultiDiscrete(drawn(5, 6), (3, 3), mask).entropy()
        alone = MultiDiscrete(drawn(5, 6).detach()[:, mask].double(), (2, 2)).entropy()
        torch.testing.assert_close(masked.double(), alone, rtol=2e-6, atol=2e-6)

    def test_divergence_in_both(self):
        for sizes, shape in ((None, (5, 7)), (None, (300, 40)), ((3, 3), (5, 6)), ((2, 4), (5, 6))):
            with self.subTest(sizes=sizes, shape=shape):
                given = [drawn(*shape, seed=seed) for seed in (1, 2)]
                wide = [x.detach().double().requires_grad_() for x in given]
                make = lambda x: Categorical(x) if sizes is None else MultiDiscrete(x, sizes)
                found = D.kl_divergence(*map(make, given))
                parts = zip(*(x.split(sizes or (shape[-1],), -1) for x in wide))
                expected = sum(D.kl_divergence(*(D.Categorical(logits=x) for x in pair)) for pair in parts)
                for x, y in zip(given, wide):
                    self.same(found, expected, x, y, 3e-6)

    def test_divergence_of_masks_and_of_torchs_class(self):
        p, q = drawn(5, 4), drawn(5, 4, seed=2)
        mask = torch.tensor([True, True, False, True])
        expected = D.kl_divergence(*(D.Categorical(logits=x.detach()[:, mask].double()) for x in (p, q)))
        found = D.kl_divergence(Categorical(p, mask), Categorical(q, mask.clone()))
        torch.testing.assert_close(found.double(), expected, rtol=2e-6, atol=2e-6)
        self.assertTrue(bool((D.kl_divergence(Categorical(p), Categorical(q, mask)) == math.inf).all()))
        torchs = [D.Categorical(logits=x) for x in (p, q)]
        expected = D.kl_divergence(*torchs)
        torch.testing.assert_close(D.kl_divergence(torchs[0], Categorical(q)), expected)
        torch.testing.assert_close(D.kl_divergence(Categorical(p), torchs[1]), expected)
        for mine, other in (
            (Beta(torch.zeros(2), torch.zeros(2)), D.Beta(torch.ones(2), torch.ones(2))),
            (Bernoulli(torch.zeros(2)), D.Bernoulli(logits=torch.zeros(2))),
        ):
            for pair in ((mine, other), (other, mine)):
                with self.assertRaisesRegex(
                    NotImplementedError,
                    r"entrol\.torch\.\w+ .*torch\.distributions|"
                    r"torch\.distributions\S+ and entrol\.torch",
                ):
                    D.kl_divergence(*pair)


class Keeping(unittest.TestCase):
    def test_one_pass_for_both(self):
        action = torch.zeros(5, dtype=torch.int64)
        for logits in (drawn(5, 7), drawn(5, 7).detach()):
            for order in (("entropy", "log_prob"), ("log_prob", "entropy"), ("entropy", "entropy", "log_prob")):
                made = Categorical(logits)
                asked = lambda: [getattr(made, name)(*[action] * (name == "log_prob")) for name in order]
                self.assertEqual(passes(asked), 1, order)

    def test_a_backward_pass_is_survived(self):
        logits, action = drawn(5, 7), torch.zeros(5, dtype=torch.int64)
        made = Categorical(logits)
        slopes = []
        for _ in range(2):
            for of in (lambda: made.log_prob(action), made.entropy):
                slopes.append(torch.autograd.grad(of().sum(), logits)[0])
        torch.testing.assert_close(slopes[0], slopes[2])
        torch.testing.assert_close(slopes[1], slopes[3])

    def test_gradient_mode_and_writing_to_the_logits_are_seen(self):
        logits, action = drawn(5, 7), torch.zeros(5, dtype=torch.int64)
        made = Categorical(logits)
        with torch.no_grad():
            made.log_prob(action)
            self.assertFalse(made.entropy().requires_grad)
        self.assertTrue(made.entropy().requires_grad)
        with torch.no_grad():
            logits.zero_()
        torch.testing.assert_close(made.entropy(), torch.full((5,), math.log(7)))
        torch.testing.assert_close(made.log_prob(action), torch.full((5,), -math.log(7)))
        with torch.inference_mode():
            frozen = torch.zeros(5, 7)
            made = Categorical(frozen)
            made.entropy()
            frozen[:, 1:] = -math.inf
            self.assertEqual(made.entropy().tolist(), [0.0] * 5)

    def test_nothing_is_held(self):
        logits = drawn(5, 7)
        made = Categorical(logits)
        loss = made.log_prob(torch.zeros(5, dtype=torch.int64)).sum() + made.entropy().sum()
        gone = weakref.ref(made)
        gc.disable()
        try:
            del made
            self.assertIsNone(gone())
        finally:
            gc.enable()
        loss.backward()

    def test_compiled(self):
        torch._dynamo.reset()
        logits, action = drawn(5, 7), torch.zeros(5, dtype=torch.int64)

        def loss(x):
            made = Categorical(x)
            return (made.log_prob(action) + made.entropy() + D.kl_divergence(made, Categorical(x * 2))).sum()

        found, expected = torch.compile(loss, fullgraph=True, backend="aot_eager")(logits), loss(logits)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(*(torch.autograd.grad(x, logits)[0] for x in (found, expected)))

    def test_operators(self):
        p, q, index = drawn(4, 7), drawn(4, 7, seed=2), torch.tensor([[0], [3], [6], [2]])
        mask = torch.tensor([True] * 6 + [False])
        state = torch.ops.entrol.measure(p.detach(), None, mask, None, 1.0, 1, True, False, True)[2]
        torch.library.opcheck(torch.ops.entrol.logprob_again, (p, index, mask, state))
        torch.library.opcheck(torch.ops.entrol.measure, (p, index, mask, None, 1.0, 1, True, False, True))
        torch.library.opcheck(torch.ops.entrol.kl_pq, (p, q, mask))
        torch.library.opcheck(torch.ops.entrol.kl_pq_backward, (torch.ones(4), p.detach(), q.detach(), None, True))


class InTrouble(unittest.TestCase):
    def test_a_row_without_a_possible_choice(self):
        """As in torch.distributions and include/entrol/policy.h, and unlike functions of logits: NaN, in its row."""
        masked = torch.tensor([[True, True], [False, False], [True, True]])
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            for values, mask in ((NONE, None), (torch.zeros(3, 2), masked)):
                for first in ("entropy", "log_prob"):
                    with self.subTest(dtype=dtype, mask=mask is not None, first=first):
                        logits = values.to(dtype).requires_grad_()
                        made = Categorical(logits, mask)
                        action = torch.zeros(3, dtype=torch.int64)
                        if first == "entropy":
                            entropy, logprob = made.entropy(), made.log_prob(action)
                        else:
                            logprob, entropy = made.log_prob(action), made.entropy()
                        (slope,) = torch.autograd.grad((entropy + logprob).sum(), logits)
                        for found in (entropy, logprob, slope[:, 0]):
                            self.assertEqual(found.isnan().tolist(), [False, True, False])
                        with self.assertRaisesRegex(entrol.DataError, "row 1"):
                            made.sample()
                        kl = D.kl_divergence(made, Categorical(torch.zeros(3, 2, dtype=dtype), mask))
                        self.assertEqual(kl.isnan().tolist(), [False, True, False])
        both = MultiDiscrete(torch.cat((NONE, torch.zeros(3, 2)), -1), (2, 2)).entropy()
        self.assertEqual(both.isnan().tolist(), [False, True, False])

    def test_an_impossible_action(self):
        made = Categorical(drawn(2, 3), torch.tensor([True, True, False]))
        for _ in range(2):  # the second by what the first has kept
            logprob = made.log_prob(torch.tensor([2, 0]))
            self.assertEqual((logprob == -math.inf).tolist(), [True, False])

    def test_what_is_no_choice_is_refused(self):
        for make in (
            lambda **more: Categorical(torch.zeros(2, 3), **{"validate_args": True} | more),
            lambda **more: MultiDiscrete(torch.zeros(2, 6), (3, 3), **{"validate_args": True} | more),
            lambda **more: MultiDiscrete(torch.zeros(2, 5), (3, 2), **{"validate_args": True} | more),
        ):
            shape = (2, *make().event_shape)
            for bad in (3, -1):
                action = torch.full(shape, bad)
                with self.assertRaisesRegex(ValueError, "value.*support"):
                    make().log_prob(action)
                with self.assertRaisesRegex(IndexError, "value"):
                    make(validate_args=False).log_prob(action)
            with self.assertRaisesRegex(ValueError, "support"):
                make().log_prob(torch.full(shape, 0.5))
            self.assertEqual(make().log_prob(torch.zeros(shape)).dtype, torch.float32)

    def test_bounds_are_refused_when_it_is_made(self):
        for low, high in ((1, -1), (1, 1), (-math.inf, 1), (0, math.nan)):
            for kind in (SquashedGaussian, Beta):
                with self.subTest(kind=kind.__name__, low=low, high=high), self.assertRaisesRegex(ValueError, "^low: "):
                    kind(torch.zeros(3), torch.zeros(3), low, high)


class Probabilities(unittest.TestCase):
    def test_probs_are_torchs(self):
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
            probs = torch.tensor([[1.0, 2.0, 5.0], [0.1, 0.1, 0.1]], dtype=dtype, requires_grad=True)
            mine, peer, action = Categorical(probs=probs), D.Categorical(probs=probs), torch.tensor([2, 0])
            torch.testing.assert_close(mine.probs, peer.probs)
            for found, expected in (
                (mine.entropy(), peer.entropy()),
                (mine.log_prob(action), peer.log_prob(action)),
            ):
                torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
                slopes = [torch.autograd.grad(x.sum(), probs, retain_graph=True)[0] for x in (found, expected)]
                torch.testing.assert_close(*slopes, rtol=10 * tolerance, atol=10 * tolerance)

    def test_zero_is_impossible(self):
        probs = torch.tensor([0.5, 0.5, 0.0], requires_grad=True)
        made = Categorical(probs=probs)
        self.assertEqual(made.log_prob(torch.tensor(2)).item(), -math.inf)
        self.assertAlmostEqual(made.entropy().item(), math.log(2), delta=1e-6)
        (slope,) = torch.autograd.grad(made.entropy(), probs)
        torch.testing.assert_close(slope, torch.zeros(3), rtol=0, atol=1e-6)

    def test_refused(self):
        for probs in ([0.5, -0.1], [math.nan, 1.0], [math.inf, 1.0]):
            with self.assertRaisesRegex(ValueError, "^probs: "):
                Categorical(probs=torch.tensor(probs), validate_args=True)
        with self.assertRaisesRegex(TypeError, "^probs: "):
            Categorical(probs=[0.5, 0.5])
        for given in ({}, {"logits": torch.zeros(2), "probs": torch.ones(2)}):
            with self.assertRaisesRegex(ValueError, "^logits: "):
                Categorical(**given)


if __name__ == "__main__":
    unittest.main()
