"""docs/chains.md says what its results say, and examples/chains measures what it claims."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

from pictures import python_that_draws
from prose import unfounded

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.join(ROOT, "examples", "chains")
sys.path.insert(0, PROGRAMS)
try:
    import numpy as np

    import draw
    import tables
except ImportError as missing:
    raise unittest.SkipTest(str(missing))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


class Page(unittest.TestCase):
    text = read("docs/chains.md")

    def test_its_tables_are_those_of_the_results(self):
        self.assertEqual(tables.filled(self.text, draw.TABLES, draw.read(f"{ROOT}/docs/results")), self.text, "run scripts/chains --write")

    def test_its_sentences_say_what_its_tables_say(self):
        self.assertEqual(unfounded(self.text, {"95 %"}), [])

    def test_its_picture_can_be_drawn(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([python_that_draws(), f"{PROGRAMS}/draw.py", f"{ROOT}/docs/results", folder], check=True, capture_output=True)
            self.assertEqual(os.listdir(folder), ["chains.png"])
        self.assertIn("(images/chains.png)", self.text)
        self.assertTrue(os.path.exists(f"{ROOT}/docs/images/chains.png"))


class Gain(unittest.TestCase):
    """Beside plain temperature at the same diversity."""

    @staticmethod
    def point(self_bleu, logprob):
        return {"of_prompts": {"self_bleu": self_bleu, "logprob": logprob}}

    def setUp(self):
        self.base = [self.point([0.8, 0.6], [-1, -2]), self.point([0.2, 0.4], [-3, -4])]  # (0.3, -1.5) and (0.7, -3.5)

    def test_it_is_the_distance_to_the_line(self):
        self.assertAlmostEqual(draw.gain(self.point([0.5, 0.5], [-2, -2]), self.base, np.arange(2)), 0.5)

    def test_it_is_nothing_beyond_the_ends(self):
        self.assertTrue(np.isnan(draw.gain(self.point([0.1, 0.1], [-2, -2]), self.base, np.arange(2))))
        self.assertIsNone(draw.gained(self.point([0.1, 0.1], [-2, -2]), self.base))

    def test_its_interval_is_of_prompts_drawn_again(self):
        """Where every prompt has the same distance, there is no doubt."""
        random = np.random.default_rng(3)
        where, base = random.uniform(0.4, 0.6, 40), random.normal(-2, 0.3, 40)
        curve = [self.point(list(where + d), list(base + 2 * d)) for d in (-0.2, 0.2)]
        gain, low, high = draw.gained(self.point(list(where), list(base + 0.25)), curve)
        for number in gain, low, high:
            self.assertAlmostEqual(number, 0.25)
        doubtful = draw.gained(self.point(list(where), list(base + 0.25 + random.normal(0, 0.5, 40))), curve)
        self.assertTrue(doubtful[1] < doubtful[0] - 0.05 and doubtful[0] + 0.05 < doubtful[2])


class Script(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run(["scripts/chains", *arguments], capture_output=True, cwd=ROOT, text=True)

    def test_help(self):
        done = self.run_it("--help")
        self.assertEqual(done.returncode, 0)
        for option in "--quick", "--write", "-o FOLDER":
            self.assertIn(option, done.stdout)

    def test_what_is_wrong_is_told(self):
        for wrong in (["--quik"], ["--quick", "--write"], ["-o"]):
            with self.subTest(wrong=wrong):
                done = self.run_it(*wrong)
                self.assertNotEqual(done.returncode, 0)
                self.assertTrue(re.search(r"no option --quik|too little|needs a folder", done.stderr), done.stderr)


if __name__ == "__main__":
    unittest.main()
