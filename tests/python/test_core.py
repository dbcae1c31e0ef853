"""The package's core: what is measured of rows, their gradients and comparisons. Expected values:
textbook formulas in float64 (textbook.py), NumPy, torch."""

import math
import os
import unittest

import entrol
import numpy as np
import textbook

try:
    import torch
except ImportError:
    torch = None

SHAPE = (3, 5, 4099)


def logits_of(seed=0, shape=SHAPE, scale=3.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def numpy_gemm(operands):
    c, a, b = entrol.gemm_arrays(operands)
    c[...] = c + a @ b if operands.add else a @ b


class Rows(unittest.TestCase):
    def test_statistics(self):
        logits, rng = logits_of(), np.random.default_rng(1)
        targets = rng.integers(0, SHAPE[-1], SHAPE[:-1])
        record = entrol.measure_rows(
            logits,
            targets,
            want=set(entrol._measure.STATISTICS) - {"support"},
            temperature=0.7,
            n_top=4,
            renyi_order=3.0,
            support=("top_k", 20),
        )
        log_p = textbook.log_softmax(logits, 0.7)
        p, ordered = np.exp(log_p), np.sort(log_p, -1)[..., ::-1]
        chosen = np.take_along_axis(log_p, targets[..., None], -1)
        of_support = textbook.log_softmax(ordered[..., :20])
        z = logits.astype(np.float64) / 0.7
        expected = {
            "entropy": textbook.entropy(log_p),
            "logsumexp": z.max(-1) + np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1)),
            "logprob": chosen[..., 0],
            "varentropy": textbook.varentropy(log_p),
            "top_prob": p.max(-1),
            "margin": np.exp(ordered[..., 0]) - np.exp(ordered[..., 1]),
            "sum_p_squared": (p * p).sum(-1),
            "renyi": np.log((p**3).sum(-1)) / (1 - 3),
            "support_entropy": textbook.entropy(of_support),
            "top_logprob": ordered[..., :4],
        }
        for name, value in expected.items():
            with self.subTest(name):
                found = getattr(record, name)
                self.assertEqual(found.dtype, np.float32)
                np.testing.assert_allclose(found, value, rtol=4e-6, atol=4e-6)
        np.testing.assert_array_equal(record.rank, 1 + (log_p > chosen).sum(-1))
        np.testing.assert_array_equal(record.top_id, np.argsort(-logits, -1, kind="stable")[..., :4])
        self.assertFalse(record.diagnosis)

    def test_gradient(self):
        logits, rng = logits_of(2), np.random.default_rng(3)
        mask = rng.random(SHAPE) < 0.7
        targets = mask.argmax(-1)
        by_entropy, by_logprob = rng.normal(size=(2, *SHAPE[:-1])).astype(np.float32)
        settings = {"temperature": 1.3, "mask": mask, "targets": targets}
        state = entrol.measure_rows(logits, want=("state", "logprob"), **settings).state
        found, diagnosis = entrol.gradient_rows(logits, state, logprob=by_logprob, entropy=by_entropy, **settings)
        log_p = textbook.log_softmax(logits, 1.3, mask)
        expected = textbook.gradient(log_p, by_entropy, by_logprob, targets, 1.3)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        self.assertTrue((found[~mask] == 0).all())
        self.assertFalse(diagnosis)
        sum_, _ = entrol.gradient_rows(logits, state, entropy=1.0, out=found.copy(), add=True, **settings)
        np.testing.assert_allclose(
            sum_, expected + textbook.gradient(log_p, np.ones(SHAPE[:-1]), 0.0, targets, 1.3), atol=4e-6
        )
        own = logits.copy()
        entrol.gradient_rows(own, state, logprob=by_logprob, entropy=by_entropy, out=own, **settings)
        np.testing.assert_array_equal(own, found)

    def test_a_gradient_by_log_probabilities_needs_targets(self):
        logits = logits_of(shape=(2, 4))
        with self.assertRaisesRegex(ValueError, "^targets: logprob needs them"):
            entrol.gradient_rows(logits, entrol.measure_rows(logits, want="state").state, logprob=1.0)

    def test_gradient_refuses_overlapping_results(self):
        memory = logits_of(4, (9, 8))
        state = entrol.measure_rows(memory[:8], want="state").state
        with self.assertRaisesRegex(ValueError, "^out: "):
            entrol.gradient_rows(memory[:8], state, entropy=1.0, out=memory[1:])
        for out in ([[0.0] * 8] * 8, np.zeros((8, 8), ">f4"), "text"):
            with self.assertRaisesRegex(TypeError, "^out: "):
                entrol.gradient_rows(memory[:8], state, entropy=1.0, out=out)

    def test_varentropy_and_support_gradients(self):
        """Central differences of the textbook's float64."""
        logits, support = logits_of(5, (2, 7), 1.0).astype(np.float64), ("top_k", 3)
        record = entrol.measure_rows(
            logits, want=("state", "support", "varentropy", "support_entropy"), support=support
        )
        found, _ = entrol.gradient_rows(
            logits, record.state, varentropy=2.0, support_entropy=0.5, support=record.support
        )

        def loss(z):
            top = np.sort(z, -1)[..., ::-1][..., :3]
            return (
                2 * textbook.varentropy(textbook.log_softmax(z)) + 0.5 * textbook.entropy(textbook.log_softmax(top))
            ).sum()

        for at in np.ndindex(*logits.shape):
            step = np.zeros_like(logits)
            step[at] = 1e-5
            expected = (loss(logits + step) - loss(logits - step)) / 2e-5
            self.assertAlmostEqual(found[at], expected, delta=2e-6)

    def test_compare(self):
        p, q = logits_of(6), logits_of(7)
        found = entrol.compare_rows(p, q, temperature=2.0)
        log_p, log_q = textbook.log_softmax(p, 2.0), textbook.log_softmax(q, 2.0)
        log_m = textbook.mean_log(log_p, log_q)
        expected = {
            "kl_pq": textbook.kl(log_p, log_q),
            "kl_qp": textbook.kl(log_q, log_p),
            "jsd": (textbook.kl(log_p, log_m) + textbook.kl(log_q, log_m)) / 2,
            "mean_entropy": textbook.entropy(log_m),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-5, err_msg=name)
        p[0, 0, 0], q[0, 0, 0] = 0, -math.inf
        self.assertEqual(entrol.compare_rows(p, q).kl_pq[0, 0], math.inf)

    def test_mixture(self):
        several = [logits_of(seed) for seed in range(8, 12)]
        mean_entropy, information, diagnosis = entrol.mixture_rows(several)
        log_ps = [textbook.log_softmax(logits) for logits in several]
        expected = textbook.entropy(textbook.mean_log(*log_ps))
        np.testing.assert_allclose(mean_entropy, expected, rtol=2e-6)
        inside = expected - np.mean([textbook.entropy(log_p) for log_p in log_ps], 0)
        np.testing.assert_allclose(information, inside, rtol=2e-5)
        self.assertFalse(diagnosis)

    def test_distributions(self):
        p = np.exp(textbook.log_softmax(logits_of(12, (4, 50))))
        found, diagnosis = entrol.entropy_of_distributions(p)
        np.testing.assert_allclose(found, -(p * np.log(p)).sum(-1), rtol=1e-12)
        found, _ = entrol.entropy_of_distributions(np.log(p), scale="log_probabilities")
        np.testing.assert_allclose(found, -(p * np.log(p)).sum(-1), rtol=1e-12)
        found, diagnosis = entrol.entropy_of_distributions([[0.5, 0.4], [1.0, 0.0]])
        self.assertTrue(math.isnan(found[0]) and found[1] == 0)
        self.assertEqual((diagnosis.n_bad, diagnosis.first_row, diagnosis.code.name), (1, 0, "SUM"))

    def test_counts(self):
        """Miller and Madow, 1955; Chao and Shen, 2003; others: test_estimators.c."""
        counts = np.array([10, 1, 0, 5, 1, 3])
        n, seen = counts.sum(), counts[counts > 0]
        p = seen / n
        plug_in = -(p * np.log(p)).sum()
        coverage = 1 - (seen == 1).sum() / n
        chao_shen = -(coverage * p * np.log(coverage * p) / (1 - (1 - coverage * p) ** n)).sum()
        self.assertAlmostEqual(entrol.entropy_of_counts(counts), plug_in, 12)
        self.assertAlmostEqual(entrol.entropy_of_counts(counts, "miller-madow"), plug_in + 4 / (2 * n), 12)
        self.assertAlmostEqual(entrol.entropy_of_counts(counts, "chao-shen"), chao_shen, 12)
        self.assertTrue(math.isnan(entrol.entropy_of_counts([])))
        for wrong in ([-1, 2], [0.5], "abc", None):
            with self.assertRaisesRegex((ValueError, TypeError), "^counts: "):
                entrol.entropy_of_counts(wrong)

    def test_bounds(self):
        """The true entropy lies between them, and of all V columns they are equal."""
        log_p = textbook.log_softmax(logits_of(13, (6, 40)))
        ordered, true = np.sort(log_p, -1)[..., ::-1], textbook.entropy(log_p)
        found = entrol.entropy_bounds(ordered[..., :5], n_columns=40)
        self.assertTrue((found.lower <= true).all() and (true <= found.upper).all())
        p = np.exp(ordered[..., :5])
        rest = 1 - p.sum(-1)
        np.testing.assert_allclose(found.tail_mass, rest, atol=1e-6)
        np.testing.assert_allclose(found.mean_logprob, ordered[..., :5].mean(-1), rtol=1e-6)
        upper = -(p * np.log(p)).sum(-1) - rest * np.log(rest / 35)
        np.testing.assert_allclose(found.upper, upper, rtol=1e-4)
        whole = entrol.entropy_bounds(log_p, n_columns=40)
        np.testing.assert_allclose(whole.lower, true, rtol=1e-4)
        np.testing.assert_allclose(whole.upper, true, rtol=1e-4)

    def test_trouble_stays_in_its_row(self):
        logits = logits_of(14, (4, 100))
        logits[1, 7], logits[2] = math.nan, -math.inf
        record = entrol.measure_rows(logits, [0, 0, 0, 100], want=("entropy", "logprob"))
        self.assertEqual(np.isnan(record.entropy).tolist(), [False, True, True, False])
        self.assertEqual(np.isnan(record.logprob).tolist(), [False, True, True, True])
        told = record.diagnosis
        self.assertEqual((told.n_bad, told.first_row, told.first_column), (3, 1, 7))


class Output(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = np.random.default_rng(20)
        cls.hidden, cls.weight = rng.normal(size=(2, 9, 70)), rng.normal(size=(3001, 70)) / 4
        cls.hidden, cls.weight = cls.hidden.astype(np.float32), cls.weight.astype(np.float32)
        cls.bias, cls.targets = rng.normal(size=3001).astype(np.float32), rng.integers(0, 3001, (2, 9))
        cls.context = entrol.Context(threads=2, gemm=numpy_gemm)

    def expected(self, soft_cap=None):
        z = self.hidden.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias
        return z, textbook.log_softmax(soft_cap * np.tanh(z / soft_cap) if soft_cap else z, 0.8)

    def measured(self, **settings):
        return entrol.measure_output(
            self.hidden,
            self.weight,
            self.targets,
            bias=self.bias,
            want=("entropy", "logprob", "state"),
            temperature=0.8,
            context=self.context,
            **settings,
        )

    def test_values_and_gradients(self):
        for soft_cap in (None, 5.0):
            record, (z, log_p) = self.measured(soft_cap=soft_cap), self.expected(soft_cap)
            np.testing.assert_allclose(record.entropy, textbook.entropy(log_p), rtol=1e-5)
            chosen = np.take_along_axis(log_p, self.targets[..., None], -1)[..., 0]
            np.testing.assert_allclose(record.logprob, chosen, rtol=1e-5, atol=1e-5)
            found = entrol.gradient_output(
                self.hidden,
                self.weight,
                record.state,
                logprob=-1.0,
                entropy=0.5,
                targets=self.targets,
                bias=self.bias,
                soft_cap=soft_cap,
                temperature=0.8,
                context=self.context,
            )
            ones = np.ones((2, 9))
            d = textbook.gradient(log_p, 0.5 * ones, -ones, self.targets, 0.8)
            d = d * (1 - np.tanh(z / soft_cap) ** 2) if soft_cap else d
            np.testing.assert_allclose(found.hidden, d @ self.weight, atol=2e-5)
            np.testing.assert_allclose(found.weight, np.einsum("bnv,bnd->vd", d, self.hidden), atol=2e-5)
            np.testing.assert_allclose(found.bias, d.sum((0, 1)), atol=2e-5)

    def test_only_what_is_wanted(self):
        state = self.measured().state
        found = entrol.gradient_output(
            self.hidden,
            self.weight,
            state,
            entropy=1.0,
            want="bias",
            bias=self.bias,
            temperature=0.8,
            context=self.context,
        )
        self.assertIsNone(found.hidden)
        self.assertIsNone(found.weight)
        self.assertEqual(found.bias.shape, (3001,))

    def test_errors(self):
        h, w = self.hidden, self.weight
        with self.assertRaisesRegex(entrol.UnsupportedError, "^context: .*gemm"):
            entrol.measure_output(h, w)
        for error, name, arguments, settings in (
            (ValueError, "weight", (h, w[:, :69]), {}),
            (ValueError, "weight", (h, w[0]), {}),
            (TypeError, "hidden", (h.astype(np.float64), w), {}),
            (TypeError, "weight", (h, w.astype(np.int32)), {}),
            (ValueError, "bias", (h, w), {"bias": self.bias[1:]}),
            (ValueError, "targets", (h, w, self.targets[0]), {"want": "logprob"}),
            (ValueError, "want", (h, w), {"want": "support_entropy", "n_top": 3}),
            (ValueError, "soft_cap", (h, w), {"soft_cap": -1.0}),
            (ValueError, "mask", (h, w), {"mask": np.ones(5)}),
            (ValueError, "temperature", (h, w), {"temperature": 0}),
        ):
            with self.subTest(name=name, settings=settings), self.assertRaisesRegex(error, f"^{name}\\b"):
                entrol.measure_output(*arguments, context=self.context, **settings)

    def test_a_product_that_fails_is_raised(self):
        def fails(_operands):
            raise ZeroDivisionError("of the product")

        context = entrol.Context(threads=2, gemm=fails)
        with self.assertRaisesRegex(ZeroDivisionError, "of the product"):
            entrol.measure_output(self.hidden, self.weight, context=context)


class Documents(unittest.TestCase):
    def test_the_example_runs(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(f"{root}/docs/python.md", encoding="utf-8") as file:
            section = file.read().split("\n## Arrays\n")[1].split("\n## ")[0]
        names = {}
        exec("\n".join(line[4:] for line in section.split("\n") if line.startswith("    ")), names)
        np.testing.assert_allclose(names["record"].entropy, np.full(7, math.log(50_000)), rtol=1e-6)


if __name__ == "__main__":
    unittest.main()
