"""The package's core on arrays of tokens: quantiles and rules, weights, advantages, losses and controllers. Expected
values: NumPy, textbook formulas in float64 (textbook.py), the reference vectors of TRL's tests."""

import math
import pickle
import unittest

import entrol
import numpy as np
import textbook

try:
    import torch
except ImportError:
    torch = None

NUMPY_METHODS = (
    "linear", "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen",
    "weibull", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
)  # fmt: skip


def values_of(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Quantiles(unittest.TestCase):
    def test_every_method_of_numpy(self):
        at = np.linspace(0, 1, 37)
        for n in (1, 2, 5, 10, 1001):
            values = np.round(values_of(n, n), 1)  # with ties
            for method in NUMPY_METHODS:
                with self.subTest(method=method, n=n):
                    expected = np.quantile(values.astype(np.float64), at, method=method)
                    np.testing.assert_allclose(entrol.quantile(values, at, method=method), expected, rtol=1e-14)

    @unittest.skipIf(torch is None, "torch is not there")
    def test_methods_of_torch(self):
        values = values_of(1, 1001)
        for q in (0.0, 0.2, 0.8, 0.999, 1.0):
            expected = torch.quantile(torch.from_numpy(values), q).item()
            self.assertIn(expected, [entrol.quantile(values, q, method=m) for m in ("torch", "torch_f32_rank")])

    def test_what_counts_and_nan(self):
        values = np.array([1, math.nan, 3, 10], np.float32)
        self.assertEqual(entrol.quantile(values, 0.5, valid=[1, 0, 1, 1]), 3.0)
        self.assertEqual(entrol.quantile(values, 0.5, nan="ignore"), 3.0)
        self.assertTrue(math.isnan(entrol.quantile(values, 0.5, nan="propagate")))
        with self.assertRaises(entrol.DataError) as caught:
            entrol.quantile(values, 0.5)
        self.assertEqual(caught.exception.diagnosis.first_row, 1)
        self.assertTrue(math.isnan(entrol.quantile([], 0.5)))
        self.assertEqual(entrol.quantile(values, [[0.0], [1.0]], nan="ignore").tolist(), [[1.0], [10.0]])


class Rules(unittest.TestCase):
    def check(self, rule, expected, values):
        found = entrol.select(values, rule)
        np.testing.assert_array_equal(found.keep, expected, rule)
        self.assertEqual((found.n_valid, found.n_kept), (values.size, int(np.sum(expected))), rule)

    def test_rules(self):
        values = values_of(2, 20, 50)
        exact = values.astype(np.float64)
        order = np.argsort(values, axis=None, kind="stable")
        of_least = np.isin(np.arange(1000), order[:300]).reshape(values.shape)
        of_greatest = np.isin(np.arange(1000), order[-int(1000 * 0.2 + 0.9999) :]).reshape(values.shape)
        self.check("low:80%", exact <= np.quantile(exact, 0.8), values)
        self.check("high:20%", exact >= np.quantile(exact, 0.8), values)
        self.check("low:300", of_least, values)
        self.check("high:=20%", of_greatest, values)
        self.check("..0.5", values <= np.float32(0.5), values)
        self.check("-1..0.5", (values >= -1) & (values <= np.float32(0.5)), values)
        self.check("p5..p95", (exact >= np.quantile(exact, 0.05)) & (exact <= np.quantile(exact, 0.95)), values)

    def test_of_equal_values_the_earlier(self):
        keep = entrol.select([1.0, 1.0, 1.0, 0.0], "high:2").keep
        self.assertEqual(keep.tolist(), [True, True, False, False])
        drawn = [entrol.select(np.ones(50), "high:10", tie_seed=seed).keep for seed in (1, 1, 2)]
        self.assertTrue((drawn[0] == drawn[1]).all() and not (drawn[0] == drawn[2]).all())
        self.assertEqual([int(keep.sum()) for keep in drawn], [10] * 3)

    def test_pieces_that_are_none(self):
        values = np.arange(1000, dtype=np.float32)

        class Shrinking:
            n = 0

            def __iter__(self):
                self.n += 1
                yield values[: 1000 // self.n], None

        for error, pieces in (
            (TypeError, 5),
            (TypeError, iter([(values, None)])),
            (TypeError, [values]),
            (TypeError, [values[:2]]),
            (entrol.SystemCallError, Shrinking()),
        ):
            with self.assertRaisesRegex(error, "^pieces: expected"):
                entrol.Bounds(pieces, "high:30%")

    def test_a_rule_that_cannot_be_read(self):
        for rule in ("low:120%", "low", "", "3..1x", "\ud800", "low:8\0", None, 5):
            with self.assertRaisesRegex((ValueError, TypeError), "^rule: "):
                entrol.select([1.0], rule)

    def test_high_entropy_mask_of_trl(self):
        """The vectors of TRL's test_grpo_trainer."""
        first = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.7, 0.8, 0.9, 1.0, 1.1, 1.2]])
        mask = np.ones((2, 6))
        mask[1, 4:] = 0
        for threshold, kept in (
            (0.8, [(1, 2), (1, 3)]),
            (0.5, [(0, 5), (1, 0), (1, 1), (1, 2), (1, 3)]),
            (0.0, [tuple(map(int, at)) for at in np.argwhere(mask)]),
            (1.0, [(1, 3)]),
        ):
            found = entrol.high_entropy_mask(first, mask, threshold)
            self.assertEqual([tuple(map(int, at)) for at in np.argwhere(found.keep)], kept)
        self.assertEqual(entrol.high_entropy_mask(first, np.zeros((2, 6)), 0.5).n_kept, 0)
        second = np.array([[0.1, 0.2, 0.3, 1.4, 0.5, 0.14], [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]])
        mask = np.arange(6) < np.array([[4], [4]])
        found = entrol.high_entropy_mask(second, mask, 0.8)
        self.assertEqual(np.argwhere(found.keep).tolist(), [[0, 3], [1, 3]])

    def test_weights(self):
        values = values_of(3, 4, 25)
        exact = values.astype(np.float64)
        low, high = np.quantile(exact, [0.1, 0.9])
        for text, expected in (
            ("sigmoid", 1 / (1 + np.exp(-exact))),
            ("rise:-1..0.5", np.clip((exact + 1) / 1.5, 0, 1)),
            ("fall:-1..0.5", 1 - np.clip((exact + 1) / 1.5, 0, 1)),
            ("rise:p10..p90", np.clip((exact - low) / (high - low), 0, 1)),
        ):
            np.testing.assert_allclose(entrol.weight(values, text), expected, atol=2e-7, err_msg=text)
        for text in ("rise:1..1", "sigmoid ", "", None):
            with self.assertRaisesRegex((ValueError, TypeError), "^weighting: "):
                entrol.weight(values, text)

    def test_flexmatch(self):
        """arXiv 2110.08263, equations 7 and 10: the unsure samples are a class more."""
        sure = np.array([30, 10, 0])
        for n, greatest in ((50, 30), (200, 160)):
            b = sure / greatest
            np.testing.assert_allclose(entrol.flexmatch_thresholds(sure, n, 0.9), 0.9 * b / (2 - b), rtol=1e-14)
        for name, arguments in (("n_sure", (sure, 39)), ("cutoff", (sure, 50, 0.0)), ("n_samples", (sure, -1))):
            with self.assertRaisesRegex(ValueError, f"^{name}\\b"):
                entrol.flexmatch_thresholds(*arguments)

    def test_recipes_parse(self):
        for name, recipe in entrol.recipes().items():
            self.assertEqual(recipe.name, name)
            if not recipe.rule.startswith("flexmatch:"):
                entrol.rule_parse(recipe.rule)


class Advantages(unittest.TestCase):
    def test_gae(self):
        rng = np.random.default_rng(4)
        rewards, values, final = (values_of(seed, 40, 3) for seed in (5, 6, 7))
        last, ends = values_of(8, 3), rng.choice(3, (40, 3), p=(0.8, 0.1, 0.1))
        expected = textbook.gae(*(x.astype(np.float64) for x in (rewards, values, last)), ends, final, 0.97, 0.9)
        found, returns = entrol.advantage_gae(
            rewards, values, last, ends=ends, final_values=final, gamma=0.97, lambda_=0.9
        )
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(returns, expected + values, rtol=1e-6, atol=1e-6)

    def test_groups(self):
        rewards = values_of(9, 6, 8)
        rewards[2] = 1
        exact = rewards.astype(np.float64)
        over_mean = exact - exact.mean(-1, keepdims=True)
        scales = {"group": exact.std(-1, ddof=1, keepdims=True) + 1e-4, "batch": exact.std(ddof=1) + 1e-4, "none": 1}
        for scale, below in scales.items():
            found, diagnosis = entrol.advantage_group(rewards, scale=scale)
            np.testing.assert_allclose(found, over_mean / below, rtol=1e-5, atol=1e-6)
            self.assertEqual((diagnosis.n_bad, diagnosis.first_row), (1, 16))
        others = (exact.sum(-1, keepdims=True) - exact) / 7
        np.testing.assert_allclose(entrol.advantage_leave_one_out(rewards), exact - others, rtol=1e-5, atol=1e-6)
        flat, _ = entrol.advantage_group(rewards.ravel(), [0, 3, 24, 48], scale="none")
        np.testing.assert_allclose(flat[3:24], rewards.ravel()[3:24] - exact.ravel()[3:24].mean(), atol=1e-6)

    def test_groups_stay_inside_the_rewards(self):
        for starts in ([], [0], [0, 5], [0, 3], [1, 4], [0, 3, 2, 4], [0, 2**40, 4], [-1, 4], [0.0, 4.0]):
            for call in (entrol.advantage_group, entrol.advantage_leave_one_out):
                with self.assertRaisesRegex((ValueError, TypeError), "^group_starts: "):
                    call(values_of(10, 4), starts)

    def test_whitening(self):
        values, mask = values_of(11, 5, 20), np.random.default_rng(12).random((5, 20)) < 0.7
        kept = values[mask].astype(np.float64)
        expected = np.where(mask, (values - kept.mean()) / (kept.std(ddof=1) + 1e-8), 0)
        np.testing.assert_allclose(entrol.advantage_whiten(values, mask), expected, rtol=1e-5, atol=1e-6)

    def test_kl(self):
        """Schulman, Approximating KL divergence."""
        p, q = values_of(13, 3, 30), values_of(14, 3, 30)
        d = p.astype(np.float64) - q
        for name, kl, slope in (
            ("k1", d, np.ones_like(d)),
            ("k2", d * d / 2, d),
            ("k3", np.exp(-d) - 1 + d, 1 - np.exp(-d)),
        ):
            found = entrol.kl_estimate(p, q, name)
            np.testing.assert_allclose(found[0], kl, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found[1], slope, rtol=1e-5, atol=1e-6)


class Objectives(unittest.TestCase):
    def tokens(self):
        rng = np.random.default_rng(15)
        names = ("logprob", "old_logprob", "advantage", "entropy", "value", "target_return")
        tokens = {name: rng.normal(size=(4, 25)).astype(np.float32) for name in names}
        tokens["old_logprob"] = tokens["logprob"] + tokens["old_logprob"] * np.float32(0.3)
        return tokens, rng.random((4, 25)) < 0.8

    def test_ppo(self):
        tokens, mask = self.tokens()
        found = entrol.objective_compute(
            "ppo", mask=mask, clip_low=0.1, clip_high=0.25, entropy_coefficient=0.02, value_coefficient=0.7, **tokens
        )
        exact = {name: array.astype(np.float64) for name, array in tokens.items()}
        policy, slope = textbook.ppo(exact["logprob"], exact["old_logprob"], exact["advantage"], mask, 0.1, 0.25)
        error = np.where(mask, exact["value"] - exact["target_return"], 0)
        n = mask.sum()
        loss = policy + 0.7 * (error**2).sum() / n - 0.02 * exact["entropy"][mask].mean()
        self.assertAlmostEqual(found.loss, loss, 6)
        self.assertAlmostEqual(found.diagnostics["entropy"], exact["entropy"][mask].mean(), 6)
        self.assertEqual(found.diagnostics["n_tokens"], n)
        expected = {"logprob": slope, "entropy": np.where(mask, -0.02 / n, 0), "value": 0.7 * 2 * error / n}
        for name, gradient in expected.items():
            np.testing.assert_allclose(found.gradients[name], gradient, atol=1e-7, err_msg=name)

    def test_every_objective_computes(self):
        tokens, mask = self.tokens()
        more = {"reference_logprob": tokens["logprob"], "old_entropy": tokens["entropy"], "old_value": tokens["value"]}
        needed = {"dr_grpo": {"length": 25}, "siren": {"entropy_target": 0.5}}  # what has no default
        for name, row in entrol.objectives().items():
            given = {**tokens, **more, "support_entropy": tokens["entropy"]}
            settings = needed.get(name, {})
            for setting in settings:
                with self.assertRaisesRegex(ValueError, f"^{setting}: expected a number from"):
                    entrol.objective_compute(name, mask=mask, **given)
            given.update(settings)
            found = entrol.objective_compute(name, mask=mask, **given)
            self.assertTrue(math.isfinite(found.loss), name)
            self.assertTrue(all(np.isfinite(g).all() for g in found.gradients.values()), name)
            self.assertEqual(row.needs, entrol.objective_needs(name, **settings), name)

    def test_errors(self):
        tokens, mask = self.tokens()
        logprob = tokens["logprob"]
        for error, name, objective, given in (
            (ValueError, "name", "ppp", {"logprob": logprob}),
            (TypeError, "name", None, {"logprob": logprob}),
            (ValueError, "advantage", "reinforce", {"logprob": logprob}),
            (ValueError, "logprob", "reinforce", {"logprob": None}),
            (ValueError, "advantage", "reinforce", {"logprob": logprob, "advantage": logprob[0]}),
            (ValueError, "clip_low", "ppo", {**tokens, "clip_low": -1}),
            (TypeError, "clip_low", "ppo", {**tokens, "clip_low": None}),
            (ValueError, "aggregation", "ppo", {**tokens, "aggregation": "mean"}),
            (ValueError, "seed", "ppo", {**tokens, "seed": -1}),
            (TypeError, "seed", "ppo", {**tokens, "seed": 1.5}),
            (ValueError, "sequence_starts", "grpo", {**tokens, "sequence_starts": [0, 200]}),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(error, f"^{name}\\b"):
                entrol.objective_compute(objective, **given)
        with self.assertRaisesRegex(TypeError, "^clip: ppo has no such array or parameter; did you mean clip_low"):
            entrol.objective_compute("ppo", clip=0.2, **tokens)


class Trouble(unittest.TestCase):
    def test_it_names_the_array(self):
        good, bad = np.zeros(4, np.float32), np.array([0, 0, math.nan, 0], np.float32)
        two = good.reshape(2, 2)
        for name, call in (
            ("advantage", lambda: entrol.objective_compute("reinforce", logprob=good, advantage=bad)),
            ("logprob", lambda: entrol.objective_compute("reinforce", logprob=bad, advantage=good)),
            ("reference_logprob", lambda: entrol.kl_estimate(good, bad)),
            ("values", lambda: entrol.advantage_gae(two, bad.reshape(2, 2), [0, 0])),
            ("rewards", lambda: entrol.advantage_group(bad, [0, 4])),
            ("rewards", lambda: entrol.advantage_leave_one_out(bad, [0, 4])),
            ("advantages", lambda: entrol.advantage_whiten(bad)),
            ("entropies", lambda: entrol.Controller("pi").observe_tokens(bad)),
            ("sum", lambda: entrol.Controller("pi").observe(math.nan)),
            ("rewards", lambda: entrol.fit_ceiling([0, 1, 2, 3], bad)),
            ("values", lambda: entrol.quantile(bad, 0.5)),
            ("values", lambda: entrol.select(bad, "high:1")),
            ("entropies", lambda: entrol.high_entropy_mask(bad)),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(entrol.DataError, f"^{name}: NaN at "):
                call()

    def test_it_comes_out_of_another_process(self):
        with self.assertRaises(entrol.DataError) as caught:
            entrol.quantile([0.0, math.nan], 0.5)
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertIs(type(again), entrol.DataError)
        self.assertEqual((str(again), again.diagnosis.first_row), (str(caught.exception), 1))


class Controllers(unittest.TestCase):
    ENTROPIES = (1.1, 0.9, 0.38, 0.31, 0.36, 0.45)

    def test_pi(self):
        """beta = kp e + ki sum e, e = target - H; the sum stands still while beta is at a limit."""
        for target in (0.4, np.float64(0.4), np.float32(0.5), "0.4"):
            controller, total = entrol.Controller("pi", target=target), 0.0
            for entropy in self.ENTROPIES:
                error = float(target) - entropy
                wanted = 0.05 * error + 0.0005 * (total + error)
                total += error if 0 <= wanted <= 1 else 0
                self.assertAlmostEqual(controller.observe(entropy).coefficient, min(max(wanted, 0), 1), 12)

    def test_skywork(self):
        """c + delta while H <= target, else c - delta; 0 above the target (arXiv 2505.22312)."""
        controller, c = entrol.Controller("skywork", target=0.4), 0.0
        delta = controller.kind.parameters["delta"].initial
        for entropy in self.ENTROPIES:
            c = max(0.0, c + (delta if entropy <= 0.4 else -delta))
            self.assertAlmostEqual(controller.observe(entropy).coefficient, c if entropy <= 0.4 else 0.0, 12)

    def test_tokens_and_state(self):
        rng = np.random.default_rng(16)
        first, second = (entrol.Controller("pi", target=0.9) for _ in range(2))
        for _ in range(3):
            entropies, mask = rng.random((4, 10)).astype(np.float32), rng.random((4, 10)) < 0.5
            found = first.observe_tokens(entropies, mask)
            self.assertAlmostEqual(found.entropy, entropies[mask].astype(np.float64).mean(), 12)
            second.observe(float(entropies[mask].astype(np.float64).sum()), int(mask.sum()))
            self.assertAlmostEqual(first.coefficient, second.coefficient, 14)
        third = entrol.Controller("pi", target=0.9)
        third.restore(first.save())
        self.assertEqual(third.command, first.command)

    def test_every_controller_is_made(self):
        for name, kind in entrol.controllers().items():
            target = {"target": 0.5} if "target" in kind.parameters else {}
            settings = {
                key: {"hot": 1.2, "cold": 0.9, "high": 1.0}.get(key, parameter.high)
                for key, parameter in kind.parameters.items()
                if isinstance(parameter.initial, float) and math.isnan(parameter.initial)
            }
            try:
                entrol.Controller(name, **target, **{k: min(v, 1e3) for k, v in settings.items()}).observe(0.5)
            except entrol.ArgumentError as error:  # what has no default is named
                self.assertIn(error.argument, kind.parameters, name)

    def test_errors(self):
        make = entrol.Controller
        for error, name, call in (
            (ValueError, "name", lambda: make("pid")),
            (TypeError, "name", lambda: make(None)),
            (ValueError, "kp", lambda: make("pi", kp=-1)),
            (TypeError, "kp", lambda: make("pi", kp=[1, 2])),
            (ValueError, "kp", lambda: make("pi", kp=np.zeros(2))),
            (ValueError, "target", lambda: make("pi", target="0.5maxx")),
            (TypeError, "max_entropy", lambda: make("pi", max_entropy="a")),
            (ValueError, "n_actions", lambda: make("pi", n_actions=-1)),
            (TypeError, "context", lambda: make("pi", context="a")),
            (TypeError, "sum", lambda: make("pi").observe("a")),
            (ValueError, "count", lambda: make("pi").observe(1.0, -1)),
            (TypeError, "count", lambda: make("pi").observe(1.0, 1.5)),
            (TypeError, "entropies", lambda: make("pi").observe_tokens("a")),
            (ValueError, "mask", lambda: make("pi").observe_tokens([0.5], [1, 1])),
            (TypeError, "text", lambda: make("pi").restore(b"x")),
            (ValueError, "text", lambda: make("pi").restore("x")),
            (ValueError, "accuracy", lambda: make("aer").coefficient_of(1.5)),
        ):
            with self.subTest(name=name), self.assertRaisesRegex(error, f"^{name}\\b"):
                call()
        with self.assertRaises(entrol.DataError):
            make("pi").observe(math.nan)

    def test_ceiling(self):
        """Pairs of the law R = b - a exp(H) itself, with a deviation that the fit gives back."""
        entropies = np.linspace(1.5, 0.1, 60)
        noise = np.random.default_rng(17).normal(size=60) * 0.01
        found = entrol.fit_ceiling(entropies, 0.9 - 0.2 * np.exp(entropies) + noise, forecast_at=[0.0, 1.0])
        self.assertAlmostEqual(found.a, 0.2, delta=0.01)
        self.assertAlmostEqual(found.b, 0.9, delta=0.02)
        self.assertTrue(found.low < 0.7 < found.high)
        self.assertAlmostEqual(found.deviation, 0.01, delta=0.003)
        np.testing.assert_allclose(found.forecasts[:, 1], found.b - found.a * np.exp([0.0, 1.0]), rtol=1e-6)
        for name, arguments, given in (
            ("rewards", (entropies, [1.0, 2.0]), {}),
            ("confidence", (entropies, entropies), {"confidence": 2}),
        ):
            with self.assertRaisesRegex(ValueError, f"^{name}\\b"):
                entrol.fit_ceiling(*arguments, **given)
        with self.assertRaises(entrol.DataError):
            entrol.fit_ceiling([1.0, 2.0], [1.0, 2.0])


if __name__ == "__main__":
    unittest.main()
