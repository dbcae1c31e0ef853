"""entrol.Sampler: what it draws and says of it, on rows made here. Expected values: the formulas of
bench/sampling_formulas.py in float64, and their distribution q. bench/sampling.py, which test_bench_sampling.py runs,
is for a model's rows and for transformers."""

import copy
import os
import pickle
import subprocess
import sys
import unittest

import entrol
import numpy as np
import textbook

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench"))
import sampling_formulas as formulas  # noqa: E402

try:
    import torch
except ImportError:
    torch = None
try:
    from scipy import stats
except ImportError:
    stats = None

CHAIN = ("temperature=1.2", "target-entropy=1.8,min=0.2,max=3", "min-p=0.02")
#: Every rule, some with other values than it has by itself; the registry has no others.
CHAINS = [
    (),
    ("greedy",),
    ("temperature=0.3",),
    ("temperature=0",),
    ("dynamic-temperature=1,range=0.8",),
    ("dynamic_temperature=0.5,range=1,exponent=3",),
    ("edt",),
    ("edt=2,theta=0.3,base=0.5",),
    ("target-entropy=1.5",),
    ("target-entropy=0.3,min=0.01,max=100",),
    ("typical=0.5",),
    ("eta=2e-2",),
    ("epsilon=0.02",),
    ("top-h",),
    ("top-h=0.8,reading=paper",),
    ("top-h=0.6,reading=transformers",),
    ("p-less",),
    ("entropix",),
    ("entropix=0.3,high-entropy=1.2,low-varentropy=1.2,high-varentropy=2.5,unit=nats,thinking=9",),
    ("top-k=7",),
    ("top-p=0.8",),
    ("min-p=0.1",),
    ("top-n-sigma=1.5",),
    ("top-k=30", "dynamic-temperature=1,range=0.5", "typical=0.9", "min-p=0.05"),
    ("epsilon=1e-3", "edt=1,theta=0.4", "top-p=0.9", "temperature=2"),
    CHAIN,
]


def rows_of(n=20, n_columns=300, seed=0):
    """Rows as different as those of a model: some nearly certain, some flat, some columns impossible."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, n_columns)) * rng.uniform(0.5, 4, (n, 1))
    rows[::4, ::5] = -np.inf
    return rows.astype(np.float32)


def q_of(row, rules):
    """q at the temperature that Entrol found."""
    return np.exp(formulas.log_softmax(formulas.chain(row, rules, entrol.Sampler(*rules).draw(row).temperature)))


def drawn_of(rules, context=None):
    """Fifty tokens of each of three long rows."""
    return entrol.Sampler(*rules, seed=7, context=context).draw(rows_of(3, 70_001, 5), 50).token


class Rules(unittest.TestCase):
    def test_the_registry_as_a_table(self):
        rules = entrol.sampling_rules()
        self.assertEqual(rules["min_p"].parameters["p"].initial, 0.05)
        self.assertIn("min_p", repr(rules))
        self.assertIn('"top_h=VALUE" sets alpha', repr(rules["top_h"]))
        self.assertNotIn("parameters:", repr(rules["p_less"]))
        for name, rule in rules.items():
            self.assertTrue(rule.says, name)

    def test_every_rule_has_a_formula_here(self):
        tested = {rule.partition("=")[0].partition(",")[0].replace("-", "_") for rules in CHAINS for rule in rules}
        self.assertEqual(tested, set(entrol.sampling_rules()))

    def test_what_they_leave(self):
        for rules in CHAINS:
            sampler = entrol.Sampler(*rules)
            for i, row in enumerate(rows_of()):
                with self.subTest(rules=rules, row=i):
                    drawn = sampler.draw(row)
                    state = formulas.chain(row, rules, drawn.temperature)
                    expected, found = formulas.log_softmax(state), sampler.logprobs(row)
                    np.testing.assert_array_equal(np.flatnonzero(found > -np.inf), np.flatnonzero(expected > -np.inf))
                    kept = expected > -np.inf
                    np.testing.assert_allclose(found[kept], expected[kept], rtol=2e-6, atol=2e-6)
                    before = textbook.log_softmax(row)
                    said = {
                        "temperature": state.temperature,
                        "n_candidates": kept.sum(),
                        "entropy": textbook.entropy(before),
                        "varentropy": textbook.varentropy(before),
                        "sampled_entropy": formulas.entropy(expected),
                        "logprob": before[drawn.token],
                        "sampled_logprob": expected[drawn.token],
                    }
                    for name, value in said.items():
                        np.testing.assert_allclose(getattr(drawn, name), value, rtol=2e-6, atol=2e-6, err_msg=name)

    def test_defaults_are_the_formulas(self):
        """What is not set is what the paper, or the library whose definition it is, has."""
        for name, rule in entrol.sampling_rules().items():
            function = formulas.RULES[name]
            names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
            expected = dict(zip(names, function.__defaults__ or ()))
            expected.pop("found", None)
            self.assertEqual({key: one.initial for key, one in rule.parameters.items()}, expected, name)

    def test_ties_go_to_the_lower_column(self):
        row = np.zeros(8, np.float32)
        row[[2, 5]] = 1
        for rule, expected in {
            "greedy": [2],
            "top-k=1": [2],
            "top-k=4": [0, 1, 2, 5],
            "top-p=0.6": [0, 1, 2, 5],
        }.items():
            found = entrol.Sampler(rule).logprobs(row)
            self.assertEqual(np.flatnonzero(found > -np.inf).tolist(), expected, rule)

    def test_a_target_is_reached_or_the_bound_is(self):
        """Within 1e-3 nats and 8 passes, also of rows whose entropy rises all at once."""
        heavy = np.random.default_rng(1).standard_cauchy
        for rows in (rows_of(100), heavy((100, 300)), heavy((20, 40_000))):
            for low, high in ((0.1, 2.0), (0.01, 100.0)):
                states = [formulas.start(row.astype(np.float32)) for row in rows]
                least, most = ([formulas.entropy(formulas.log_softmax(one, t)) for one in states] for t in (low, high))
                for target in (0.5, 1, 2, 2.5, 4):
                    drawn = entrol.Sampler(f"target-entropy={target},min={low},max={high}").draw(rows)
                    np.testing.assert_allclose(drawn.sampled_entropy, np.clip(target, least, most), atol=1e-3)
                    self.assertLessEqual(drawn.n_passes.max(), 8)
                    self.assertEqual(drawn.n_passes.max() > 0, rows.shape[1] == 40_000)


class Draws(unittest.TestCase):
    def test_frequencies_follow_q(self):
        """Of 200,000 streams, of 20,000 places of a text, and of pairs of places."""
        row, n = rows_of(1, 40, 3)[0], 200_000
        q = q_of(row, CHAIN)
        sampler = entrol.Sampler(*CHAIN, seed=1)
        self.check(np.bincount(sampler.draw(np.broadcast_to(row, (n, row.size))).token, minlength=row.size), q)
        places = []
        for _ in range(20_000):
            places.append(sampler.draw(row).token)
            sampler.accept(places[-1])
        self.check(np.bincount(places, minlength=row.size), q)
        first, second = np.array(places[:-1:2]), np.array(places[1::2])
        kept = np.flatnonzero(q > 0.05)
        pairs = np.array([[((first == a) & (second == b)).sum() for b in kept] for a in kept])
        self.check(pairs.ravel(), np.outer(q[kept], q[kept]).ravel(), len(first))

    def check(self, counts, q, n=None):
        """Pearson's chi-square, of what is expected five times or more and all the rest together."""
        if stats is None:
            self.skipTest("SciPy is not there")
        n = n or counts.sum()
        often = n * q >= 5
        self.assertGreater(often.sum(), 3)
        self.assertEqual(counts[q == 0].sum(), 0)
        observed, expected = counts[often].tolist(), (n * q[often]).tolist()
        rest = n - sum(expected)
        if rest > 1e-6 * n:
            observed, expected = [*observed, n - sum(observed)], [*expected, rest]
        self.assertGreater(stats.chisquare(observed, expected, sum_check=False).pvalue, 1e-4)

    def test_several_without_replacement(self):
        row, n = rows_of(1, 12, 4)[0], 50_000
        logs = formulas.log_softmax(formulas.start(row))
        q = np.exp(logs)
        sampler = entrol.Sampler(seed=2)
        drawn = sampler.draw(np.broadcast_to(row, (n, row.size)), 3)
        self.assertEqual((drawn.token.shape, drawn.entropy.shape), ((n, 3), (n,)))
        self.assertTrue((np.sort(drawn.token, 1)[:, 1:] != np.sort(drawn.token, 1)[:, :-1]).all())
        np.testing.assert_array_equal(drawn.token[:100, 0], sampler.draw(np.broadcast_to(row, (100, row.size))).token)
        np.testing.assert_allclose(drawn.sampled_logprob, logs[drawn.token], rtol=2e-6, atol=2e-6)
        second = (np.outer(q, q) / (1 - q[:, None]))[~np.eye(q.size, dtype=bool)].reshape(q.size, -1)
        others = np.array([[j for j in range(q.size) if j != i] for i in range(q.size)])
        counts = np.array(
            [np.bincount(drawn.token[drawn.token[:, 0] == i, 1], minlength=q.size) for i in range(q.size)]
        )
        self.check(np.take_along_axis(counts, others, 1).ravel(), second.ravel())

    def test_more_than_there_are(self):
        drawn = entrol.Sampler("top-k=2").draw(rows_of()[0], 4)
        self.assertEqual((drawn.token >= 0).tolist(), [True, True, False, False])
        self.assertTrue(np.isnan(drawn.sampled_logprob[2:]).all())

    def test_the_same_at_every_level_and_number_of_threads(self):
        found = {}
        for cpu in ("scalar", "avx2", "avx512", "neon"):
            for threads in (1, 2):
                try:
                    context = entrol.Context(threads, cpu)
                except entrol.UnsupportedError:
                    continue
                found[cpu, threads] = [drawn_of(rules, context).tolist() for rules in CHAINS]
        self.assertGreaterEqual(len(found), 2)
        for key, tokens in found.items():
            self.assertEqual(tokens, found["scalar", 1], key)
        self.assertEqual(self.of_another_process(ENTROL_CPU="scalar", ENTROL_THREADS="2"), found["scalar", 1][-1])

    def of_another_process(self, **environment):
        """The last chain's tokens."""
        code = "import test_sample as t; print(t.drawn_of(t.CHAIN).tolist())"
        paths = [os.path.dirname(entrol.__path__[0]), HERE, *sys.path]
        own = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
        self.assertEqual(done.returncode, 0, done.stderr)
        return eval(done.stdout)


class Places(unittest.TestCase):
    def text(self, sampler, n=30, row=rows_of(1, 200, 6)[0]):
        tokens = []
        for _ in range(n):
            tokens.append(sampler.draw(row).token)
            sampler.accept(tokens[-1])
        return tokens

    def test_a_draw_moves_nothing_and_accept_does(self):
        sampler, row = entrol.Sampler(*CHAIN), rows_of()[0]
        self.assertEqual(len({sampler.draw(row).token for _ in range(5)}), 1)
        self.assertGreater(len(set(self.text(sampler))), 1)

    def test_seeds_streams_and_resets(self):
        sampler = entrol.Sampler(*CHAIN, seed=3, stream=8)
        tokens = self.text(sampler)
        self.assertNotEqual(tokens, self.text(sampler))
        sampler.reset()
        self.assertEqual(tokens, self.text(sampler))
        self.assertEqual(tokens, self.text(entrol.Sampler(*CHAIN, seed=3, stream=8)))
        self.assertNotEqual(tokens, self.text(entrol.Sampler(*CHAIN, seed=4, stream=8)))
        self.assertNotEqual(tokens, self.text(entrol.Sampler(*CHAIN, seed=3, stream=9)))
        sampler.reset()
        sampler.stream = 9
        self.assertEqual(self.text(sampler), self.text(entrol.Sampler(*CHAIN, seed=3, stream=9)))

    def test_rows_have_streams_of_their_own(self):
        rows = rows_of()
        drawn = entrol.Sampler(*CHAIN, stream=(1 << 64) - 2).draw(rows.reshape(4, 5, -1))
        self.assertEqual((drawn.token.shape, drawn.token.dtype), ((4, 5), np.int32))
        for i, row in enumerate(rows):
            alone = entrol.Sampler(*CHAIN, stream=((1 << 64) - 2 + i) % (1 << 64)).draw(row)
            self.assertEqual((drawn.token.flat[i], drawn.entropy.flat[i]), (alone.token, alone.entropy))

    def test_clones_and_copies(self):
        sampler = entrol.Sampler(*CHAIN, seed=5)
        self.text(sampler, 3)
        other = sampler.clone(stream=12)
        self.assertEqual((other.stream, sampler.stream), (12, 0))
        made = [sampler.clone(), copy.copy(sampler), copy.deepcopy(sampler)]
        expected = self.text(sampler)
        self.assertEqual([self.text(one) for one in made], [expected] * 3)
        self.assertNotEqual(self.text(other), expected)
        with self.assertRaisesRegex(TypeError, "cannot be pickled"):
            pickle.dumps(sampler)
        self.assertEqual(repr(entrol.Sampler("top-k=3", seed=1)), "Sampler('top-k=3', seed=1, stream=0)")

    def test_parameters_are_set(self):
        row, sampler = rows_of(1, 300, 7)[0], entrol.Sampler("top-k=50", "target-entropy=1,max=50", "top-h")
        sampler.set(1, "target", 2.5)
        sampler.set("top-h", "reading", "transformers")
        sampler.set("top_h", "alpha", 0.9)
        expected = entrol.Sampler("top-k=50", "target-entropy=2.5,max=50", "top-h=0.9,reading=transformers")
        np.testing.assert_array_equal(sampler.logprobs(row), expected.logprobs(row))


class Arrays(unittest.TestCase):
    def test_what_columns_stand_for(self):
        row = rows_of()[1]
        names = np.arange(row.size) * 3 + 5
        plain, named = (entrol.Sampler(seed=1).draw(row, 4, tokens=tokens) for tokens in (None, names))
        self.assertTrue((named.token % 3 == 2).all())
        np.testing.assert_array_equal(np.sort(named.token), np.sort(names[(named.token - 5) // 3]))
        self.assertEqual(plain.entropy, named.entropy)

    @unittest.skipIf(torch is None, "torch is not there")
    def test_dtypes_and_layouts(self):
        """What is read of an array is its values: a float32 copy of them leaves the same."""
        base, sampler = torch.from_numpy(rows_of(6, 60, 8)), entrol.Sampler(*CHAIN)
        read_only = base.numpy().copy()
        read_only.flags.writeable = False
        views = [base.to(kind) for kind in (torch.float64, torch.float16, torch.bfloat16)]
        views += [base[::2], base[:, ::3], base.T, base[:1].expand(4, 60), base[2], read_only, base.tolist()]
        for view in views:
            values = np.asarray(view.float() if isinstance(view, torch.Tensor) else view, np.float32)
            copied = np.ascontiguousarray(values)
            found = sampler.logprobs(view)
            self.assertEqual(found.shape, copied.shape)
            np.testing.assert_array_equal(found, sampler.logprobs(copied))
            np.testing.assert_array_equal(sampler.draw(view).token, sampler.draw(copied).token)

    def test_rows_in_trouble(self):
        rows = rows_of(5)
        rows[1, 7], rows[3, 9], rows[4] = np.nan, np.inf, -np.inf
        sampler = entrol.Sampler(*CHAIN)
        drawn, logprobs = sampler.draw(rows, 2), sampler.logprobs(rows)
        self.assertEqual((drawn.token < 0).all(1).tolist(), [False, True, False, True, True])
        self.assertEqual(np.isnan(drawn.entropy).tolist(), [False, True, False, True, True])
        self.assertEqual(np.isnan(logprobs).all(1).tolist(), [False, True, False, True, True])
        told = drawn.diagnosis
        self.assertEqual((told.n_bad, told.first_row, told.first_column, told.reason), (3, 1, 7, "NaN"))
        self.assertFalse(sampler.draw(rows[0]).diagnosis)

    def test_no_rows(self):
        sampler = entrol.Sampler()
        self.assertEqual(sampler.draw(np.zeros((0, 5))).token.shape, (0,))
        self.assertEqual(sampler.logprobs(np.zeros((0, 5))).shape, (0, 5))


class Refused(unittest.TestCase):
    def test_rules(self):
        cases = {
            ("min-p=2",): r"^rules\[0\] = 'min-p=2': at character 7: p = '2': expected a number from 0 to 1",
            ("greedy", "minp=0.1"): r"^rules\[1\] = 'minp=0.1': at character 1: no rule 'minp'; did you mean min_p\? ",
            ("top-h=0.4,raeding=paper",): r"at character 11: top_h has no parameter 'raeding'; it has alpha, reading",
            ("top-h=0.4,reading=no",): r"at character 19: reading = 'no': expected one of paper, transformers",
            ("top-k=x",): r"at character 7: k = 'x': expected a whole number from 1",
            ("p-less=3",): r"p_less has no parameters",
            ("top-h=0.4,reading=",): r"at character 19: reading = '': expected one of paper, transformers",
            ("top-h,alpha",): r"at character 12: expected PARAMETER=VALUE",
            ("",): r"^rules\[0\] = '': at character 1: no rule ''; there are greedy, ",
        }
        for rules, words in cases.items():
            with self.subTest(rules=rules), self.assertRaisesRegex(entrol.ArgumentError, words) as caught:
                entrol.Sampler(*rules)
            self.assertEqual(caught.exception.argument, "rules")
        with self.assertRaisesRegex(TypeError, r"^rules\[0\]: expected a string, got float"):
            entrol.Sampler(0.5)

    def test_arguments(self):
        sampler, row = entrol.Sampler("min-p=0.1", "top-k=3", "top-k=5"), rows_of()[0]
        for call, words in {
            lambda: entrol.Sampler(seed=-1): "^seed: expected a whole number from 0",
            lambda: entrol.Sampler(stream=1 << 64): "^stream: expected a whole number from 0",
            lambda: sampler.draw(row, 0): "^n: expected a whole number from 1 to 256, got 0",
            lambda: sampler.draw(row, 257): "^n: expected a whole number from 1 to 256, got 257",
            lambda: sampler.draw(row, 10**12): "^n: expected a whole number from 1 to 256, got 1000000000000",
            lambda: sampler.draw(
                row, tokens=row.size - np.arange(row.size)
            ): "^tokens: expected numbers that rise from 0",
            lambda: sampler.draw(1.0): "^logits: expected rows",
            lambda: sampler.draw(row, tokens=[1, 2]): r"^tokens: expected the shape \(300,\)",
            lambda: sampler.accept(-1): "^token: expected a whole number from 0",
            lambda: sampler.set(0, "p", 2): "^value = 2: p of min_p: expected a number from 0 to 1",
            lambda: sampler.set(0, "q", 2): "^min_p has no parameter 'q'; it has p",
            lambda: sampler.set(3, "k", 2): "^rule: expected a whole number from 0 to 2, got 3",
            lambda: sampler.set(
                "top-k", "k", 2
            ): "^rule: expected the name of one rule of min_p, top_k, top_k, or an index",
        }.items():
            with self.subTest(words=words), self.assertRaisesRegex(ValueError, words):
                call()


if __name__ == "__main__":
    unittest.main()
