"""entrol.policy_measure, policy_gradient and policy_sample: against textbook formulas in float64, whose differences are
the gradients' oracle, and what is refused."""

import math
import unittest

import numpy as np

import entrol

SEED = 20261129
N = 3


def categorical(first, second, action):
    p = np.exp(first - first.max())
    p /= p.sum()
    return -(p * np.log(p)).sum(), math.log(p[int(action)])


def normal(first, second, action):
    z = (action - first) / np.exp(second)
    return (0.5 * math.log(2 * math.pi * math.e) + second).sum(), (
        -z * z / 2 - second - 0.5 * math.log(2 * math.pi)
    ).sum()


def multi_discrete(first, second, action):
    parts = [categorical(first[:1], None, action[0]), categorical(first[1:], None, action[1])]
    return sum(h for h, _ in parts), sum(p for _, p in parts)


def bernoulli(first, second, action):
    parts = [categorical(np.array([0.0, logit]), None, bit) for logit, bit in zip(first, action)]
    return sum(h for h, _ in parts), sum(p for _, p in parts)


def full_gaussian(first, second, action):
    covariance = np.tril(second) @ np.tril(second).T
    apart = action - first
    ln_det = np.linalg.slogdet(covariance)[1]
    return (N * math.log(2 * math.pi * math.e) + ln_det) / 2, -(
        apart @ np.linalg.solve(covariance, apart) + ln_det + N * math.log(2 * math.pi)
    ) / 2


def squashed_gaussian(first, second, action, low=-0.5, high=2.0):
    """H by a plain sum over x, of a step so small that a periodic rule has converged."""
    x = np.arctanh(2 * (action - low) / (high - low) - 1)
    grid = np.linspace(-12, 12, 8001)
    points = first[:, None] + np.exp(second)[:, None] * grid
    slope = 2 * (math.log(2) - points - np.logaddexp(0, -2 * points))
    share = np.exp(-grid * grid / 2) / math.sqrt(2 * math.pi) * (grid[1] - grid[0])
    entropy, logprob = normal(first, second, x)
    width = N * math.log((high - low) / 2)
    return entropy + (share * slope).sum() + width, logprob - np.log(1 - np.tanh(x) ** 2).sum() - width


def digamma(x):
    """By its recurrence and its series from 10 on."""
    total = 0.0
    while x < 10:
        total -= 1 / x
        x += 1
    return total + math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6) + 1 / (240 * x**8)


def beta(first, second, action, low=-0.5, high=2.0):
    entropy = logprob = 0.0
    for a, b, place in zip(np.exp(first), np.exp(second), (action - low) / (high - low)):
        ln_b = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
        entropy += ln_b - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)
        logprob += (a - 1) * math.log(place) + (b - 1) * math.log(1 - place) - ln_b
    width = N * math.log(high - low)
    return entropy + width, logprob - width


FORMULAS = {
    "categorical": categorical,
    "multi-discrete": multi_discrete,
    "bernoulli": bernoulli,
    "gaussian": normal,
    "full-gaussian": full_gaussian,
    "squashed-gaussian": squashed_gaussian,
    "beta": beta,
}


def policy_of(kind, generator, leading=(4,), dtype=np.float64):
    first = generator.normal(size=(*leading, N)).astype(dtype)
    second = None
    if kind == "full-gaussian":
        second = np.tril(generator.normal(size=(*leading, N, N)), -1) * 0.5 + np.eye(N) * 0.8
    elif kind in ("gaussian", "squashed-gaussian", "beta"):
        second = generator.normal(size=(*leading, N)) * 0.5
    more = {"low": -0.5, "high": 2.0} if kind in ("squashed-gaussian", "beta") else {}
    if kind == "multi-discrete":
        more["sizes"] = (1, 2)
    return entrol.Policy(kind, first, None if second is None else second.astype(dtype), **more)


def with_arrays(policy, first, second):
    return entrol.Policy(policy.kind, first, second, sizes=policy.sizes, low=policy.low, high=policy.high)


def rows_of(formula, policy, actions):
    """(entropy, logprob) of each row by a formula."""
    n_rows = policy.first.size // N
    first = policy.first.reshape(n_rows, N)
    second = (
        [None] * n_rows
        if policy.second is None
        else policy.second.reshape(n_rows, *policy.second.shape[policy.first.ndim - 1 :])
    )
    action = actions.reshape(n_rows, *actions.shape[policy.first.ndim - 1 :])
    return np.array([formula(first[i], second[i], action[i]) for i in range(n_rows)])


class Values(unittest.TestCase):
    def test_every_kind_is_its_formula(self):
        generator = np.random.default_rng(SEED)
        for kind, formula in FORMULAS.items():
            with self.subTest(kind):
                policy = policy_of(kind, generator, (2, 3))
                actions = entrol.policy_sample(policy, seed=5).actions
                expected = rows_of(formula, policy, actions)
                found = entrol.policy_measure(policy, actions)
                self.assertEqual((found.entropy.dtype, found.entropy.shape), (np.float64, (2, 3)))
                self.assertFalse(found.diagnosis)
                np.testing.assert_allclose(found.entropy.ravel(), expected[:, 0], rtol=1e-10, atol=1e-10)
                np.testing.assert_allclose(found.logprob.ravel(), expected[:, 1], rtol=1e-10, atol=1e-10)

    def test_divergences_are_means_of_the_difference_of_logarithms(self):
        generator = np.random.default_rng(SEED)
        p, q = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
        found = entrol.policy_measure(
            entrol.Policy("categorical", np.log(p)), reference=entrol.Policy("categorical", np.log(q))
        )
        self.assertAlmostEqual(float(found.kl_pq), float((p * np.log(p / q)).sum()), delta=1e-15)
        self.assertAlmostEqual(float(found.kl_qp), float((q * np.log(q / p)).sum()), delta=1e-15)
        self.assertIsNone(found.logprob)
        first, other = policy_of("gaussian", generator), policy_of("gaussian", generator)
        ratio = first.second - other.second
        expected = (
            (np.exp(2 * ratio) - 1 - 2 * ratio) / 2 + ((first.first - other.first) / np.exp(other.second)) ** 2 / 2
        ).sum(-1)
        np.testing.assert_allclose(
            entrol.policy_measure(first, reference=other, want="kl_pq").kl_pq, expected, rtol=1e-12
        )

    def test_what_is_masked_does_not_happen(self):
        logits, mask = (
            np.array([[3.0, 1.0, 2.0], [0.0, 0.0, 5.0]]),
            np.array([[True, False, True], [True, True, False]]),
        )
        policy = entrol.Policy("categorical", logits, mask=mask)
        found = entrol.policy_measure(policy, np.array([1, 0]))
        self.assertEqual(found.logprob[0], -math.inf)
        self.assertAlmostEqual(found.entropy[1], math.log(2), delta=1e-15)
        drawn = np.array([entrol.policy_sample(policy, seed=s).actions for s in range(200)])
        self.assertEqual({*drawn[:, 0].tolist()}, {0.0, 2.0})
        self.assertEqual({*drawn[:, 1].tolist()}, {0.0, 1.0})
        only = entrol.Policy("multi-discrete", logits, sizes=[1, 2], mask=np.array([1, 0, 1], np.uint8))
        self.assertEqual(entrol.policy_measure(only).entropy.tolist(), [0.0, 0.0])

    def test_ln_sigma_is_clipped(self):
        policy = entrol.Policy(
            "gaussian", np.zeros((2, 1)), np.array([[-30.0], [5.0]]), log_sigma_low=-20.0, log_sigma_high=2.0
        )
        self.assertEqual(
            entrol.policy_measure(policy).entropy.tolist(),
            entrol.policy_measure(
                entrol.Policy("gaussian", np.zeros((2, 1)), np.array([[-20.0], [2.0]]))
            ).entropy.tolist(),
        )
        self.assertEqual(entrol.policy_gradient(policy, entropy=1.0)[1].tolist(), [[0.0], [0.0]])

    def test_x_before_the_squash_is_exact_where_the_action_is_a_bound(self):
        policy = entrol.Policy("squashed-gaussian", np.array([[25.0]]), np.array([[0.0]]))
        drawn = entrol.policy_sample(policy, seed=1)
        self.assertEqual(drawn.actions.item(), 1.0)
        x = drawn.before.item()
        expected = (
            -((x - 25) ** 2) / 2 - math.log(2 * math.pi) / 2 - 2 * (math.log(2) - x - math.log1p(math.exp(-2 * x)))
        )
        found = entrol.policy_measure(policy, drawn.before, actions_are_before_squash=True).logprob.item()
        self.assertAlmostEqual(found, expected, delta=1e-12)
        self.assertTrue(math.isfinite(entrol.policy_measure(policy, drawn.actions).logprob.item()))

    def test_dlpack_and_dtypes(self):
        try:
            import torch
        except ImportError:
            self.skipTest("no torch")
        generator = np.random.default_rng(SEED)
        policy = policy_of("gaussian", generator, dtype=np.float32)
        actions = entrol.policy_sample(policy, seed=2).actions
        expected = entrol.policy_measure(policy, actions)
        tensors = entrol.Policy("gaussian", torch.from_numpy(policy.first), torch.from_numpy(policy.second))
        self.assertEqual(
            entrol.policy_measure(tensors, torch.from_numpy(actions)).logprob.tolist(), expected.logprob.tolist()
        )
        half = torch.from_numpy(policy.first).bfloat16()
        found = entrol.policy_measure(entrol.Policy("categorical", half)).entropy
        self.assertEqual(
            found.tolist(), entrol.policy_measure(entrol.Policy("categorical", half.double().numpy())).entropy.tolist()
        )
        columns = entrol.Policy("gaussian", np.asfortranarray(policy.first), policy.second[:, ::-1][:, ::-1])
        self.assertEqual(entrol.policy_measure(columns).entropy.tolist(), expected.entropy.tolist())

    def test_empty_and_single(self):
        self.assertEqual(entrol.policy_measure(entrol.Policy("categorical", np.zeros((0, 4)))).entropy.shape, (0,))
        self.assertEqual(entrol.policy_measure(entrol.Policy("gaussian", np.zeros(2), np.zeros(2))).entropy.shape, ())


class Gradients(unittest.TestCase):
    def test_every_kind_by_differences_of_its_formula(self):
        generator, step = np.random.default_rng(SEED), 1e-5
        for kind, formula in FORMULAS.items():
            policy = policy_of(kind, generator)
            actions = entrol.policy_sample(policy, seed=6).actions
            by = generator.normal(size=(2, 4))
            first, second, told = entrol.policy_gradient(policy, actions, entropy=by[0], logprob=by[1])
            self.assertFalse(told)
            for name, array, found in (("first", policy.first, first), ("second", policy.second, second)):
                if array is None:
                    self.assertIsNone(found)
                    continue
                with self.subTest(kind=kind, of=name):
                    expected = np.zeros_like(array)
                    for place in np.ndindex(array.shape):
                        sides = []
                        for sign in (1, -1):
                            moved = array.copy()
                            moved[place] += sign * step
                            arrays = (moved, policy.second) if name == "first" else (policy.first, moved)
                            values = rows_of(formula, with_arrays(policy, *arrays), actions)
                            sides.append((values * by.T).sum())
                        expected[place] = (sides[0] - sides[1]) / (2 * step)
                    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=2e-7)

    def test_float64_derivatives_keep_their_digits(self):
        """The library takes them as float32; dH/d ln sigma is 1."""
        by = np.array([1 / 3, 1e-3 / 7])
        policy = entrol.Policy("gaussian", np.zeros((2, 1)), np.zeros((2, 1)))
        np.testing.assert_allclose(entrol.policy_gradient(policy, entropy=by)[1][:, 0], by, rtol=1e-14)

    def test_a_second_for_all_rows_is_an_exact_sum(self):
        generator = np.random.default_rng(SEED)
        first, shared = generator.normal(size=(50, N)), generator.normal(size=N)
        actions, by = generator.normal(size=(50, N)), generator.normal(size=50).astype(np.float32)
        found = entrol.policy_gradient(entrol.Policy("gaussian", first, shared), actions, logprob=by)[1]
        each = entrol.policy_gradient(entrol.Policy("gaussian", first, np.tile(shared, (50, 1))), actions, logprob=by)[
            1
        ]
        self.assertEqual(found.shape, (N,))
        np.testing.assert_allclose(found, [math.fsum(column) for column in each.T], rtol=1e-14)
        order = generator.permutation(50)
        again = entrol.policy_gradient(
            entrol.Policy("gaussian", first[order], shared), actions[order], logprob=by[order]
        )[1]
        self.assertEqual(found.tolist(), again.tolist())

    def test_pathwise(self):
        """a = mu + sigma z: dL/dmu = dL/da, dL/d ln sigma = dL/da sigma z; ln p(a) then is -ln sigma and a constant."""
        generator = np.random.default_rng(SEED)
        policy = policy_of("gaussian", generator)
        actions = entrol.policy_sample(policy, seed=8).actions
        d_action = generator.normal(size=actions.shape)
        first, second, _ = entrol.policy_gradient(policy, actions, d_action=d_action, logprob=0.5, is_pathwise=True)
        np.testing.assert_allclose(first, d_action, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(second, d_action * (actions - policy.first) - 0.5, rtol=1e-12, atol=1e-12)

    def test_where_it_goes(self):
        policy = entrol.Policy("gaussian", np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32))
        out = np.full((2, 2), 7, np.float32)
        first, second, _ = entrol.policy_gradient(policy, entropy=1.0, out_second=out)
        self.assertIs(second, out)
        self.assertEqual(out.tolist(), [[1, 1], [1, 1]])
        self.assertEqual((first.dtype, first.tolist()), (np.float64, [[0, 0], [0, 0]]))


class Draws(unittest.TestCase):
    def test_rows_follow_from_the_seed_and_their_number(self):
        generator = np.random.default_rng(SEED)
        for kind in FORMULAS:
            with self.subTest(kind):
                policy = policy_of(kind, generator, (40,))
                whole = entrol.policy_sample(policy, seed=3, context=entrol.Context(threads=3)).actions
                second = None if policy.second is None else policy.second[15:]
                part = entrol.policy_sample(
                    with_arrays(policy, policy.first[15:], second), seed=3, first_row=15
                ).actions
                self.assertEqual(whole[15:].tolist(), part.tolist())
                self.assertNotEqual(whole.tolist(), entrol.policy_sample(policy, seed=4).actions.tolist())

    def test_deterministic(self):
        cases = [
            (entrol.Policy("categorical", np.array([[1.0, 3.0, 3.0]])), [1.0]),
            (entrol.Policy("bernoulli", np.array([[1.0, 0.0, -1.0]])), [[1.0, 0.0, 0.0]]),
            (entrol.Policy("gaussian", np.array([[1.5]]), np.zeros(1)), [[1.5]]),
            (
                entrol.Policy("squashed-gaussian", np.array([[0.5]]), np.zeros(1), low=0, high=4),
                [[2 + 2 * math.tanh(0.5)]],
            ),
            (entrol.Policy("beta", np.log([[2.0]]), np.log([[6.0]]), low=0, high=1), [[0.25]]),
        ]
        for policy, expected in cases:
            with self.subTest(policy.kind):
                np.testing.assert_allclose(
                    entrol.policy_sample(policy, is_deterministic=True).actions, expected, rtol=1e-14
                )

    def test_they_go_where_they_are_told(self):
        policy = entrol.Policy("squashed-gaussian", np.zeros((3, 2)), np.zeros(2))
        actions, before = np.empty((3, 2), np.float32), np.empty((3, 2), np.float32)
        drawn = entrol.policy_sample(policy, seed=9, out=actions, before=before)
        self.assertIs(drawn.actions, actions)
        expected = entrol.policy_sample(policy, seed=9)
        self.assertEqual(actions.tolist(), expected.actions.astype(np.float32).tolist())
        self.assertEqual(before.tolist(), expected.before.astype(np.float32).tolist())


if __name__ == "__main__":
    unittest.main()
