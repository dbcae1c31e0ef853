"""What the experiments of docs/training.md share: runs by arm and seed, their logs, statistics over seeds, and the page."""
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest

from pictures import python_that_draws

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = os.path.join(ROOT, "examples", "training")
sys.path[:0] = [PROGRAMS, os.path.join(ROOT, "examples")]
import logs  # noqa: E402
import show  # noqa: E402
import study  # noqa: E402
import tables  # noqa: E402

PROGRAM = '''
import math, os, sys
sys.path.insert(0, {programs!r})
import study

def prepare(folder, quick):
    with open(os.path.join(folder, "prepared"), "a") as file:
        file.write("once ")

def run(run):
    if run.settings.get("fails"):
        raise ValueError("this arm fails")
    with open(os.path.join(run.folder, "checkpoint"), "w") as file:
        file.write("here")
    for step in range(1 if run.quick else 3):
        yield {{"step": step, "x": run.seed + step / 3, "threads": os.environ["OMP_NUM_THREADS"], "none": math.nan}}

if __name__ == "__main__":
    study.main(study.Study("sums", {{"a": {{}}, "b": {arm}}}, (1, 2), run, prepare))
'''


def page():
    with open(f"{ROOT}/docs/training.md", encoding="utf-8") as file:
        return file.read()


class Runs(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder, self.program = f"{place.name}/logs", f"{place.name}/sums.py"
        self.write({"k": 1})

    def write(self, arm):
        with open(self.program, "w", encoding="utf-8") as file:
            file.write(PROGRAM.format(programs=PROGRAMS, arm=arm))

    def run_program(self, *options):
        return subprocess.run([sys.executable, self.program, "--folder", self.folder, *options], capture_output=True, text=True)

    def lines(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def names(self):
        return sorted(os.listdir(self.folder))

    def test_every_run_leaves_a_log_and_nothing_else(self):
        done = self.run_program()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), ["a-1.jsonl", "a-2.jsonl", "b-1.jsonl", "b-2.jsonl", "prepared"])
        head, *steps, last = self.lines("b-2.jsonl")
        self.assertEqual((head["arm"], head["seed"], head["settings"]), ("b", 2, {"k": 1}))
        self.assertEqual([line["x"] for line in steps], [2, 2.3333, 2.6667])
        self.assertEqual({(line["threads"], line["none"]) for line in steps}, {("1", None)})
        self.assertGreater(last["seconds"], 0)
        self.assertIn("4 of 4", done.stderr)

    def test_what_is_there_is_not_run_again(self):
        self.run_program("--arm", "a", "--seed", "1")
        before = self.lines("a-1.jsonl")
        done = self.run_program()
        self.assertIn("3 of 3", done.stderr)
        self.assertEqual(self.lines("a-1.jsonl"), before)

    def test_quick_is_one_seed_of_each_arm(self):
        self.run_program("--quick")
        self.assertEqual(self.names(), ["a-1.jsonl", "b-1.jsonl", "prepared"])
        self.assertEqual(len(self.lines("a-1.jsonl")), 3)

    def test_a_run_that_fails_leaves_no_log_and_says_where_to_look(self):
        self.write({"fails": 1})
        done = self.run_program("--jobs", "1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"sums: b, seed 1 failed; \S+b-1\.jsonl\.said says why\n$")
        self.assertNotIn("b-1.jsonl", self.names())
        with open(os.path.join(self.folder, "b-1.jsonl.said"), encoding="utf-8") as file:
            self.assertIn("this arm fails", file.read())

    def test_wrong_arms_are_refused(self):
        done = self.run_program("--arm", "c")
        self.assertEqual(done.returncode, 2)
        self.assertIn("'c'", done.stderr)

    def test_logs_are_gathered_whole(self):
        self.run_program("--arm", "b")
        self.run_program("--arm", "a", "--seed", "2")
        path = f"{self.folder}/all"
        logs.gather(self.folder, path)
        runs = logs.read(path)
        self.assertEqual({arm: [run.seed for run in of_arm] for arm, of_arm in runs.items()}, {"b": [1, 2], "a": [2]})
        self.assertEqual(runs["b"][1].column("x"), ([0, 1, 2], [2, 2.3333, 2.6667]))
        self.assertEqual(runs["b"][1].column("none"), ([], []))
        self.assertEqual(runs["a"][0].last("x"), 2.6667)


class Statistics(unittest.TestCase):
    def test_student(self):
        """The sleep data of Student (1908): the second drug gives 1.58 hours more, 95 % from 0.70 to 2.46."""
        first = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
        second = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)

        def runs(values):
            return [logs.Log([{"arm": "", "seed": i}, {"step": 1, "x": x}, {"seconds": 1}]) for i, x in enumerate(values)]
        mean, half = logs.difference(runs(second), runs(first)[::-1], lambda run: run.last("x"))
        self.assertAlmostEqual(mean, 1.58, places=2)
        self.assertAlmostEqual(mean - half, 0.7001142, places=5)
        self.assertAlmostEqual(mean + half, 2.4598858, places=5)

    def test_quantiles(self):
        """The density of Student's t, integrated by Simpson's rule, leaves 2.5 % beyond each."""
        for n, t in logs.T.items():
            c = math.gamma((n + 1) / 2) / math.gamma(n / 2) / math.sqrt(n * math.pi)
            x = [t * i / 1000 for i in range(1001)]
            f = [c * (1 + v * v / n) ** (-(n + 1) / 2) for v in x]
            area = t / 3000 * (f[0] + f[-1] + 4 * sum(f[1:-1:2]) + 2 * sum(f[2:-1:2]))
            self.assertAlmostEqual(area, 0.475, places=5)

    def test_spread(self):
        self.assertEqual(logs.spread([2, 4, 4, 4, 5, 5, 7, 9])[0], 5)
        self.assertAlmostEqual(logs.spread([2, 4, 4, 4, 5, 5, 7, 9])[1], math.sqrt(32 / 7))
        self.assertEqual(logs.spread([3]), (3, 0))


class Page(unittest.TestCase):
    LOGS = f"{ROOT}/docs/training"

    def test_its_tables_are_those_of_the_logs(self):
        self.assertEqual(show.filled(page(), self.LOGS), page(), "scripts/train --show")
        named = sorted(function.__name__ for name in show.found(self.LOGS) for function in show.shown(name).TABLES)
        self.assertEqual(sorted(re.findall(r"<!-- table (\w+) -->", page())), named)

    def test_every_log_is_of_an_experiment(self):
        self.assertEqual(sorted(show.found(self.LOGS)), sorted(n[:-6] for n in os.listdir(self.LOGS) if n.endswith(".jsonl")))
        for name in show.found(self.LOGS):
            self.assertLess(os.path.getsize(f"{self.LOGS}/{name}.jsonl"), 400_000)

    def test_every_picture_can_be_drawn_and_is_shown(self):
        python = python_that_draws()
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([python, f"{PROGRAMS}/show.py", self.LOGS, folder], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            drawn = sorted(os.listdir(folder))
        self.assertEqual(drawn, sorted(name for name in os.listdir(self.LOGS) if name.endswith(".png")))
        self.assertEqual(drawn, sorted(re.findall(r"\(training/([\w-]+\.png)\)", page())))


class Tables(unittest.TestCase):
    def test_a_table_of_another_name_is_left_as_it_is(self):
        def counts(results):
            return tables.table(["n"], [[results]])
        text = "a\n<!-- table counts -->\nold\n<!-- end -->\nb\n<!-- table other -->\nkept\n<!-- end -->\n"
        expected = text.replace("old\n", "| n |\n| --- |\n| 7 |\n")
        self.assertEqual(tables.filled(text, [counts], 7), expected)


if __name__ == "__main__":
    unittest.main()
