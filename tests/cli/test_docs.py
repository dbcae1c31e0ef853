"""The examples in docs/ that show what a command prints: each is run, and prints that."""
import importlib.util
import itertools
import math
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import textwrap
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENTROL = os.path.abspath(os.environ.get("ENTROL", "build/entrol"))


def read(name):
    with open(os.path.join(ROOT, "docs", name), encoding="utf-8") as file:
        return file.read()


def examples(name):
    """(command line, what it prints) of every "    $ " in a document, in order."""
    found = re.findall(r"^    \$ (.*)\n((?:    (?!\$ ).*\n|\n(?=    (?!\$ )))*)", read(name), re.MULTILINE)
    return [(command, re.sub(r"^    ", "", output, flags=re.MULTILINE)) for command, output in found]


class Examples(unittest.TestCase):
    def check(self, name, files=()):
        """Each in turn, in one folder that has these files; what they say on standard error."""
        said = []
        with tempfile.TemporaryDirectory() as folder:
            for file in files:
                shutil.copy(file, folder)
            for command, output in examples(name):
                words = shlex.split(command)
                if words[0] == "cat":
                    with open(os.path.join(folder, words[1]), "w", encoding="utf-8") as file:
                        file.write(output)
                    continue
                with self.subTest(command=command):
                    done = subprocess.run([ENTROL, *words[1:]], cwd=folder, capture_output=True, text=True)
                    self.assertEqual(done.stdout, output, done.stderr)
                    said.append(done.stderr)
        return said

    def test_formats(self):
        self.assertGreaterEqual(len(self.check("formats.md")), 5)

    def test_control(self):
        runs = os.path.join(ROOT, "tests", "cli", "runs")
        self.assertEqual(len(self.check("control.md", [os.path.join(runs, "metrics.jsonl")])), 3)

    def test_diversity(self):
        self.assertEqual(self.check("diversity.md"), [""])

    def test_semantic(self):
        said = self.check("semantic.md")
        self.assertEqual(len(said), 4)
        summary = re.search(r"^    prompts .*\n(?:    .*\n)+", read("semantic.md"), re.MULTILINE).group(0)
        self.assertEqual(re.sub(r"^    ", "", summary, flags=re.MULTILINE), said[0])


class Control(unittest.TestCase):
    text = read("control.md")

    def test_the_table_is_what_the_plant_prints(self):
        program = os.path.join(os.environ.get("BUILD", os.path.join(ROOT, "build")), "plant")
        if not os.path.exists(program):
            self.skipTest(f"there is no {program}")
        done = subprocess.run([program], capture_output=True, text=True, check=True)
        self.assertEqual(len(done.stdout.splitlines()), 10)
        self.assertIn("\n\n" + done.stdout + "\n", self.text)

    def test_every_controller_has_a_row(self):
        listed = subprocess.run([ENTROL, "control", "--list"], capture_output=True, text=True).stdout
        rows = "".join(re.findall(r"^\|( `.*?) \|", self.text, re.MULTILINE))
        for name in re.findall(r"^\w+$", listed, re.MULTILINE):
            self.assertIn(f"`{name}`", rows)

    def test_the_python_runs(self):
        """It trains nothing: its entropies are told to the filter, which answers with what the state then holds."""
        block = re.search(r"^    import subprocess\n(?:    .*\n)+", self.text, re.MULTILINE).group(0)
        told = []
        with tempfile.TemporaryDirectory() as folder:
            script = textwrap.dedent(block).replace('["entrol"', f'["{ENTROL}"').replace("pi.state", f"{folder}/pi.state")
            scope = {"n_steps": 30, "train": lambda beta: told.append(beta) or [1.0 - 0.03 * len(told), 0.5]}
            exec(compile(script, "control.md", "exec"), scope)
            scope["controller"].stdin.close()
            scope["controller"].wait()
            scope["controller"].stdout.close()
            with open(f"{folder}/pi.state", encoding="utf-8") as file:
                state = file.read()
        self.assertEqual(told[:20], [0] * 20)
        self.assertIn("\nstep 30\n", state)
        self.assertIn(f"\nvalue {scope['beta'] if scope['beta'] else 0}\n", state)


class Semantic(unittest.TestCase):
    """The figures of semantic.md, in another way."""
    text = read("semantic.md")
    program = os.path.join(ROOT, "bench", "semantic.py")

    def test_figures(self):
        entropy = lambda *shares: -sum(p * math.log(p) for p in shares)
        figures = [float(n) for n in re.findall(r'"semantic_entropy(?:_rao)?": ([0-9.]+)', self.text)]
        expected = [0, entropy(0.4, 0.4, 0.2), 0, entropy(2 / 3, 1 / 3), entropy(0.9, 0.1)]
        for figure, value in itertools.zip_longest(figures, expected):
            self.assertAlmostEqual(figure, value, 4)  # its log-probabilities have four digits

    def test_the_table_is_what_the_program_prints(self):
        done = subprocess.run([self.program, ENTROL], capture_output=True, text=True, check=True)
        self.assertEqual(len(done.stdout.splitlines()), 10)
        self.assertIn("\n\n" + done.stdout + "\n", self.text)

    def test_the_program_has_every_way_of_drawing(self):
        """Each of the 3^5 sequences of five answers, and its plug-in estimate."""
        spec = importlib.util.spec_from_file_location("semantic", self.program)
        program = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(program)
        shares, bias, square = [0.5, 0.3, 0.2], 0, 0
        truth = -sum(p * math.log(p) for p in shares)
        for drawn in itertools.product(range(3), repeat=5):
            counts = [drawn.count(i) for i in range(3)]
            error = -sum(c / 5 * math.log(c / 5) for c in counts if c) - truth
            bias += math.prod(shares[i] for i in drawn) * error
            square += math.prod(shares[i] for i in drawn) * error**2
        found = program.errors(ENTROL, shares, 5)
        self.assertEqual(list(found), [*program.ESTIMATORS, "james-stein, K known", "nsb, K known"])
        self.assertAlmostEqual(found["plug-in"][0], bias, 12)
        self.assertAlmostEqual(found["plug-in"][1], math.sqrt(square), 12)


class Rules(unittest.TestCase):
    """The picture: a line of values, and for each rule what it keeps of them."""
    picture = re.findall(r"^    ([a-z0-9:%.]+) +((?:[#.] +){12})", read("rules.md"), re.MULTILINE)
    values = re.search(r"^    values +(.*)$", read("rules.md"), re.MULTILINE).group(1).split()

    def test_the_picture_is_what_select_does(self):
        line = ('{"entropy": [%s]}\n' % ", ".join(self.values)).encode()
        self.assertEqual(len(self.picture), 10)
        for rule, marks in self.picture:
            with self.subTest(rule=rule):
                done = subprocess.run([ENTROL, "select", "--keep", rule], input=line, capture_output=True)
                want = ["true" if mark == "#" else "false" for mark in marks.split()]
                self.assertEqual(done.stdout, line[:-2] + b', "keep": [%s]}\n' % ",".join(want).encode())

    def test_the_table_of_recipes_is_the_registry(self):
        """Every row is what --help says of the recipe, and no recipe is without a row."""
        said = " ".join(subprocess.run([ENTROL, "select", "--help"], capture_output=True, text=True).stdout.split())
        rows = re.findall(r"^\| [a-z-]* *\| `(.+?)` \| `(.+?)` \| (.+?) \| (.+?) \|$", read("rules.md"), re.MULTILINE)
        for name, rule, says, source in rows:
            self.assertIn(f"{name}: {rule}; {says} ({source})", said)
        self.assertEqual(len(rows), len(re.findall(r" [a-z0-9-]+: (?:--level sample |--scope \S+ )*--by ", said)))

    def test_the_bad_rule_is_answered_so(self):
        text = re.search(r'^    (entrol: --keep "(.*?)".*\n(?:    .*\n)+)', read("rules.md"), re.MULTILINE)
        done = subprocess.run([ENTROL, "select", "--keep", text.group(2)], capture_output=True, text=True)
        self.assertEqual(done.stderr, re.sub(r"^    ", "", text.group(1), flags=re.MULTILINE))


if __name__ == "__main__":
    unittest.main()
