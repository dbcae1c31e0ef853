"""docs/purposes.md says what its results say, and the programs of examples/purposes measure what they claim."""
import glob
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

import prose
from pictures import python_that_draws

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.join(ROOT, "examples", "purposes")
sys.path.insert(0, PROGRAMS)
try:
    import numpy as np

    import damage
    import forks
    import labels
    import learning
    import measures
    import page
    import tables
except ImportError as missing:
    raise unittest.SkipTest(str(missing))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


class Page(unittest.TestCase):
    text = read("docs/purposes.md")

    def test_its_tables_are_those_of_the_results(self):
        self.assertEqual(tables.filled(self.text, page.TABLES, page.read(f"{ROOT}/docs/results")), self.text, "run examples/purposes/page.py")
        self.assertEqual(sorted(re.findall(r"<!-- table (\w+) -->", self.text)), sorted(f.__name__ for f in page.TABLES))

    def test_its_sentences_say_what_its_tables_say(self):
        """Every share and every number with a point, but for those that are settings or the paper's."""
        given = {"0.5", "0.95", "95 %", "3 %", "25 %", "0.01", "20 %", "80 %", "0.672", "2506.01939", "1 %"}
        self.assertEqual(prose.unfounded(self.text, given), [])

    def test_each_purpose_has_its_section(self):
        sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL))
        self.assertEqual(len(sections), 6)
        for name, section in sections.items():
            with self.subTest(section=name):
                self.assertRegex(section, r"(?m)^    entrol select ")
                self.assertIn("<!-- table ", section)
                self.assertIn("**Where entropy does not help:**", section)

    def test_its_pictures_can_be_drawn(self):
        python = python_that_draws()
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([python, f"{PROGRAMS}/draw.py", f"{ROOT}/docs/results", folder], check=True, capture_output=True)
            drawn = sorted(os.listdir(folder))
        self.assertEqual(drawn, sorted(os.path.basename(path) for path in glob.glob(f"{ROOT}/docs/images/purpose-*.png")))
        self.assertEqual(drawn, sorted(re.findall(r"\(images/(purpose-\w+\.png)\)", self.text)))

    def test_the_script_says_what_it_does(self):
        done = subprocess.run(["scripts/cases", "--help"], capture_output=True, cwd=ROOT, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("--quick", done.stdout)
        for wrong in (["--quack"], ["--quick", "--write"]):
            done = subprocess.run(["scripts/cases", *wrong], capture_output=True, cwd=ROOT, text=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(wrong[0], done.stderr)


class Measures(unittest.TestCase):
    """Against the definitions, pair by pair, with ties and weights."""

    def setUp(self):
        draw = random.Random(5)
        self.score = np.array([draw.randrange(12) for _ in range(80)], float)
        self.positive = np.array([draw.random() < 0.4 for _ in range(80)])
        self.weight = np.array([float(draw.randrange(4)) for _ in range(80)])

    def test_auc(self):
        won = total = 0
        for s, w in zip(self.score[self.positive], self.weight[self.positive]):
            for t, v in zip(self.score[~self.positive], self.weight[~self.positive]):
                won += w * v * (1 if s > t else 0.5 if s == t else 0)
                total += w * v
        self.assertAlmostEqual(measures.Ranking(self.score, self.positive).auc(self.weight), won / total)

    def test_the_curve_has_the_area(self):
        ranking = measures.Ranking(self.score, self.positive)
        x, y = ranking.roc(100000)
        area = sum((b - a) * (c + d) / 2 for a, b, c, d in zip(x, x[1:], y, y[1:]))
        self.assertAlmostEqual(area, ranking.auc(), places=9)
        self.assertEqual((x[0], y[0], x[-1], y[-1]), (0, 0, 1, 1))

    def test_aurc(self):
        right = [True, True, False, True, False]  # the surest first
        risks = [0, 0, 1 / 3, 1 / 4, 2 / 5]
        self.assertAlmostEqual(measures.Ranking([5, 4, 3, 2, 1], right).aurc(), sum(risks) / 5)
        self.assertAlmostEqual(labels.best(np.array(right)), (1 / 4 + 2 / 5) / 5)  # its risks: 0, 0, 0, 1/4, 2/5

    def test_a_weight_is_a_repetition(self):
        times = self.weight.astype(int)
        repeated = measures.Ranking(np.repeat(self.score, times), np.repeat(self.positive, times))
        ranking = measures.Ranking(self.score, self.positive)
        for name in "auc", "aurc":
            self.assertAlmostEqual(getattr(ranking, name)(self.weight), getattr(repeated, name)())

    def test_groups_are_drawn_whole(self):
        group = np.repeat(np.arange(6), 5)
        for number, weight in zip(range(20), measures.resamples(group)):
            self.assertEqual(weight.sum(), 30, number)
            self.assertTrue((weight.reshape(6, 5) == weight[::5, None]).all())

    def test_interval(self):
        """Of a mean of 400 values: 1.96 standard errors on either side, within a tenth."""
        values = np.random.default_rng(1).normal(size=400)
        low, high = measures.interval(lambda weight: weight @ values / weight.sum(), np.arange(400))
        self.assertAlmostEqual((high - low) / 2, 1.96 * values.std() / math.sqrt(400), delta=0.01)

    def test_budget(self):
        tokens, errors = np.array([10, 30, 60]), np.array([6, 2, 2])
        found = learning.curve(np.array([0, 2, 1]), tokens, errors)
        at = {round(100 * b): x for b, x in zip(learning.BUDGETS, found)}
        self.assertAlmostEqual(at[10], 0.6)
        self.assertAlmostEqual(at[40], 0.7)  # half of the second document
        self.assertAlmostEqual(at[100], 1)


class Damage(unittest.TestCase):
    text = "The old keeper of the lighthouse walked along the narrow shore “again” before every single morning began. " * 3

    def test_the_places_are_where_the_errors_are(self):
        wrong, places = damage.with_typing_errors(self.text, 0.2, random.Random(1))
        self.assertEqual(len(places), round(0.2 * len(self.text.split())))
        rest, done, pieces = wrong.encode(), 0, []
        for start, end, kind in places:
            pieces.append(rest[done:start].decode())
            bad = rest[start:end].decode()
            self.assertRegex(bad, r"^[A-Za-z]+$")
            self.assertNotIn(bad, self.text.split())
            self.assertIn(kind, ("swap", "drop", "insert", "neighbour"))
            done = end
        pattern = "[A-Za-z]{4,}".join(map(re.escape, [*pieces, rest[done:].decode()]))
        self.assertRegex(self.text, f"^{pattern}$")  # all else is as it was

    def test_neighbours(self):
        self.assertEqual(set(damage.neighbours("g")), set("fhtyvb"))
        self.assertEqual(set(damage.neighbours("q")), set("wa"))

    def test_words_stay_the_same_words(self):
        for change in damage.shuffled, damage.swapped:
            changed = change(self.text, random.Random(2))
            self.assertEqual(sorted(changed.split()), sorted(self.text.split()))
            self.assertNotEqual(changed.split(), self.text.split())


class Kinds(unittest.TestCase):
    def test_of_tokens(self):
        for token, before, is_whole, kind in ((" the", "of", True, "function word"), (" the", "of", False, "other word, or its start"),
                                              (" Ian", " Mr", True, "capitalised word, or its start"), ("ton", " skele", True, "inside a word"),
                                              ("7", " ", True, "digits"), (" ", " in", True, "white space alone"),
                                              ('."', " end", True, "punctuation and other marks"), ("The", "", True, "function word")):
            self.assertEqual(forks.kind(token, before, is_whole), kind, token)


class Results(unittest.TestCase):
    def test_they_are_of_the_default_model(self):
        [sha256] = re.findall(r"^model_sha256=(\w+)", read("scripts/setup.sh"), re.MULTILINE)
        for path in sorted(glob.glob(f"{ROOT}/docs/results/*.json")):
            with open(path, encoding="utf-8") as file:
                for scored in json.load(file).get("made_with", {}).values():
                    self.assertEqual((scored["model_sha256"], scored["counts"]["bad_rows"]), (sha256, 0), path)


if __name__ == "__main__":
    unittest.main()
