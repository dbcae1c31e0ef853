"""examples/training/labels.py: what it chooses, and a short run of both purposes and both data sets."""

import os
import tempfile
import unittest

try:
    import numpy as np
    import scipy.stats
    import sklearn  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from training_runs import quick_run  # it puts the programs on the path

import labels


class Model:
    """Says what it is told to."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def predict_log_proba(self, samples):
        return np.log(self.probabilities[samples[:, 0]])


class Choice(unittest.TestCase):
    def setUp(self):
        draw = np.random.default_rng(5)
        self.probabilities = draw.dirichlet([0.1] * 6, 101)
        self.model, self.samples = Model(self.probabilities), np.arange(101)[:, None]
        self.entropy = scipy.stats.entropy(self.probabilities, axis=-1)

    def chosen(self, by, rule, seed=1):
        return sorted(labels.chosen(self.model, self.samples, by, rule, np.random.default_rng(seed)))

    def test_by_entropy_both_ways(self):
        order = np.argsort(self.entropy)
        self.assertEqual(self.chosen("entropy", "high:7"), sorted(order[-7:]))
        self.assertEqual(self.chosen("entropy", "low:50%"), sorted(order[:51]))

    def test_by_margin(self):
        ordered = np.sort(self.probabilities, -1)
        self.assertEqual(self.chosen("margin", "low:9"), sorted(np.argsort(ordered[:, -1] - ordered[:, -2])[:9]))

    def test_fixmatch_is_a_probability(self):
        _, rule = labels.OWN["fixmatch"]
        kept = self.chosen("top_prob", rule)
        self.assertEqual(kept, list(np.flatnonzero(self.probabilities.max(-1) >= 0.95)))
        self.assertGreater(len(kept), 0)

    def test_the_surest_half_of_each_class(self):
        seen, expected = self.probabilities.argmax(-1), []
        for one in range(6):
            members = np.flatnonzero(seen == one)
            expected += list(members[np.argsort(self.entropy[members])][: (len(members) + 1) // 2])
        self.assertEqual(self.chosen("class", "low:50%"), sorted(expected))

    def test_at_random_is_drawn(self):
        first, second = self.chosen("random", "high:50%", 1), self.chosen("random", "high:50%", 2)
        self.assertEqual((len(first), len(second)), (51, 51))
        self.assertNotEqual(first, second)


class Program(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = place.name
        draw = np.random.default_rng(3)
        for i, name in enumerate(labels.TEXTS):  # each subject has ten words of its own beside ninety of all
            words = [f"word{w}" for w in range(90)] + [f"{name}{w}" for w in range(10)]
            weights = np.array([1.0] * 90 + [2.0] * 10) / 110
            texts = [" ".join(draw.choice(words, 12, p=weights)) for _ in range(150)]
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write("\n%\n".join(texts))

    def run_program(self, arm):
        return quick_run(self, "labels", f"{self.folder}/logs", arm, ENTROL_FORTUNES=self.folder)[1]

    def test_active_learning(self):
        steps = self.run_program("digits active entropy")
        self.assertEqual([line["step"] for line in steps], [20, 30, 40])
        self.assertGreater(steps[-1]["accuracy"], 0.5)  # chance is 0.1
        self.assertEqual([line["step"] for line in self.run_program("texts active margin")], [80, 120, 160])

    def test_self_training(self):
        before, after = self.run_program("texts self entropy low 50")
        self.assertAlmostEqual(after["kept"], 0.5, places=1)
        self.assertGreater(after["kept_right"], before["accuracy"])
        self.assertEqual(self.run_program("digits self none")[1]["kept"], 0)

    def test_the_ceiling(self):
        (line,) = self.run_program("digits ceiling all")
        self.assertEqual(line["step"], 1198)
        self.assertGreater(line["accuracy"], 0.9)


if __name__ == "__main__":
    unittest.main()
