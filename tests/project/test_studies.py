"""What the experiments of docs/training.md share: runs by arm and seed, their logs, statistics over seeds, and the page."""
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest

import prose
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

ARMS = {{"a": {{}}, "b": {arm}}}
STEPS = 3

def prepare(folder, quick):
    with open(os.path.join(folder, "prepared"), "a") as file:
        file.write("once ")

def run(run):
    if run.settings.get("fails"):
        raise ValueError("this arm fails")
    with open(os.path.join(run.folder, "checkpoint"), "w") as file:
        file.write("here")
    if "STOP" in os.environ:
        os._exit(1)
    for step in range(1 if run.quick else STEPS):
        yield {{"step": step, "x": run.seed + step / 3, "threads": os.environ["OMP_NUM_THREADS"], "none": math.nan}}

if __name__ == "__main__":
    study.main(study.Study("sums", ARMS, (1, 2), run, prepare, data=("SUMS",)))
'''


def page():
    with open(f"{ROOT}/docs/training.md", encoding="utf-8") as file:
        return file.read()


def by_seed(values, form=".2f"):
    """"A, B and C"."""
    *first, last = (f"{value:{form}}" for value in values)
    return f"{', '.join(first)} and {last}"


def ends(values, form):
    return f"{min(values):{form}} to {max(values):{form}}"


def reckoned():
    """Sentences of the page, or pieces of some, that say what stands in no table."""
    runs = {name: logs.read(f"{ROOT}/docs/training/{name}.jsonl") for name in ("grpo", "gemma", "labels", "distill")}
    arms = runs["grpo"]

    def at(run, name, step):
        return dict(zip(*run.column(name)))[step]

    def entropies(arm, step):
        return [at(run, "entropy", step) for run in arms[arm]]

    def away(arm):
        """Of the logged points of the last half, steps 204 to 400."""
        return [statistics.mean(abs(at(run, "entropy", step) - 0.4) for step in range(204, 401, 4)) for run in arms[arm]]

    def end(arm, name):
        return statistics.mean(at(run, name, step) for run in arms[arm] for step in (320, 360, 400))

    def saved(arm, name):
        return 100 * (end(arm, name) - end("none", name)) / (at(arms["none"][0], name, 0) - end("none", name))

    def of_gain(name):
        half = statistics.mean(at(run, name, 200) for run in arms["none"])
        return 100 * (half - end("none", name)) / (end("pi", name) - end("none", name))

    yield f"PI is {ends(away('pi'), '.3f')} nats off the target on average, by seed"
    yield f"TRL's adaptive mode {ends(away('trl'), '.3f')}: PI is not the better"
    yield f"on average 0.02 nats off the 0.4 asked for ({ends([*away('pi'), *away('trl')], '.3f')}, by seed)"
    yield (f"PI saves {saved('pi', 'pass8'):.0f} % and TRL's mode {saved('trl', 'pass8'):.0f} % in pass@8, and "
           f"{saved('pi', 'different'):.0f} % and {saved('trl', 'different'):.0f} % in different right answers")
    yield f"{of_gain('pass8'):.0f} % of PI's gain in pass@8 and {of_gain('different'):.0f} % of that in different answers"
    yield f"there are {ends(entropies('fixed', 148), '.1f')} at step 148 and {ends(entropies('fixed', 400), '.2f')} at the end"
    yield f"at step 400 {by_seed(at(run, 'drawn', 400) for run in arms['sac'])} of draws were right"
    yield (f"pass@8 {100 * (end('pi', 'pass8') - end('none', 'pass8')):.1f} % points higher, a quarter more different right answers; of "
           f"single draws {100 * (end('none', 'drawn') - end('pi', 'drawn')):.1f} % points fewer right. GRPO itself costs "
           f"{100 * (at(arms['none'][0], 'pass8', 0) - end('none', 'pass8')):.0f} points of pass@8")
    own = {arm: statistics.mean(100 * run.last("accuracy") for run in runs["labels"][arm]) for arm in runs["labels"]}

    def gained(data, arm, than="self none"):
        return own[f"{data} {arm}"] - own[f"{data} {than}"]

    digits, texts = ([gained(data, f"self {arm} low 50") for arm in ("class", "entropy")] for data in ("digits", "texts"))
    yield (f"the surest half of digits teaches {digits[0]:+.1f} % points when chosen within each class and {digits[1]:+.1f} when not; of "
           f"texts it is {texts[0]:+.1f} and {texts[1]:+.1f}")
    yield f"digits gain {digits[0]:.1f} % points (5.3 to 10.5), the most of all and {digits[0] - digits[1]:.1f} more than without"
    yield f"texts lose {-texts[0]:.1f} (0.3 to 2.6), {texts[1] - texts[0]:.1f} more than without"
    yield f"those by entropy all but {-gained('digits', 'active entropy', 'ceiling all'):.1f} % points of it"
    yield f"Margin is ahead of it by {rounds_ahead(runs['labels']):.1f} % points over all rounds"
    gemma = [statistics.mean(runs["gemma"][arm][0].column("entropy")[1][:8]) for arm in ("none", "pi")]
    yield "the first eight steps have {:.2f} on average, with PI {:.2f}".format(*gemma)
    kl = [dict(zip(*run.column("kl"))) for run in runs["distill"]["se-kd"]]
    yield (f"the KL was {kl[0][240]:.2f} at step 240 and {kl[0][600]:.2f} at 600 of 1,200 in one, {kl[1][120]:.2f} at 120 and "
           f"{kl[1][240]:.2f} at 240, and {kl[2][120]:.2f} at 120 and {kl[2][360]:.2f} at 360 in the others")


def rounds_ahead(arms):
    """Of the margin before the entropy, for digits, in % points."""
    margin, entropy = (statistics.mean(value for run in arms[f"digits active {name}"] for value in run.column("accuracy")[1])
                       for name in ("margin", "entropy"))
    return 100 * (margin - entropy)


def reckoned_aside(text):
    for sentence in reckoned():
        text = re.sub(r"\s+".join(map(re.escape, sentence.split())), "", text)
    return text


class Runs(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder, self.program = f"{place.name}/logs", f"{place.name}/sums.py"
        self.write({"k": 1})

    def write(self, arm, was="", now=""):
        with open(self.program, "w", encoding="utf-8") as file:
            file.write(PROGRAM.format(programs=PROGRAMS, arm=arm).replace(was, now))

    def run_program(self, *options, **environment):
        command = [sys.executable, self.program, "--folder", self.folder, *options]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SUMS": ROOT, **environment})

    def assert_refused(self, said, *options, **environment):
        """And nothing is changed."""
        before = self.names(), self.lines("a-1.jsonl")
        done = self.run_program(*options, **environment)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, f"^\\S+ was made otherwise: {said}; take another --folder, or remove this one\n$")
        self.assertEqual((self.names(), self.lines("a-1.jsonl")), before)

    def lines(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def names(self):
        return sorted(os.listdir(self.folder))

    def test_every_run_leaves_a_log_and_nothing_else(self):
        done = self.run_program()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), ["a-1.jsonl", "a-2.jsonl", "b-1.jsonl", "b-2.jsonl", "made-with.json", "prepared"])
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
        self.assertEqual(self.run_program().stderr, f"sums: no run is left to do in {self.folder}\n")

    def test_the_head_says_all_that_decides(self):
        self.run_program("--arm", "a", "--seed", "2")
        head = self.lines("a-2.jsonl")[0]
        self.assertEqual(list(head), ["arm", "seed", "settings", "quick", "threads", "data", "common", "program", "versions"])
        self.assertEqual((head["quick"], head["threads"], head["common"]), (False, 1, {"STEPS": 3}))
        self.assertEqual(head["data"], {"SUMS": os.path.basename(ROOT)})
        self.assertEqual(head["versions"]["python"], platform.python_version())
        self.assertRegex(head["program"], "^[0-9a-f]{12}$")

    def test_a_log_of_other_settings_is_none(self):
        self.run_program()
        self.write({"k": 2})
        self.assert_refused(r"settings\.k is 1 there and 2 now")
        self.write({"k": 1, "l": 0})
        self.assert_refused(r"settings\.l is not named there and 0 now")
        self.write({"k": 1}, "STEPS = 3", "STEPS = 4")
        self.assert_refused(r"common\.STEPS is 3 there and 4 now")
        self.write({"k": 1}, "run.seed + step / 3", "run.seed - step / 3")
        self.assert_refused(r'program is "\w+" there and "\w+" now')
        self.write({"k": 1})
        self.assert_refused("quick is false there and true now", "--quick")
        self.assert_refused(r'data\.SUMS is "\S+" there and "tests" now', SUMS=f"{ROOT}/tests")
        with open(f"{self.folder}/a-1.jsonl", "r+", encoding="utf-8") as file:  # as of another day
            text = file.read().replace(platform.python_version(), "2.7.18")
            file.seek(0)
            file.write(text)
        self.assert_refused(r'versions\.python is "2\.7\.18" there and "\S+" now')

    def test_what_decides_nothing_is_not_compared(self):
        """Arms and seeds stand in the log; a comment, or a docstring, stands nowhere."""
        self.run_program("--arm", "a")
        self.write({"k": 2}, "STEPS = 3", '"""Three."""\nSTEPS = 3  # three')
        done = self.run_program()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 of 2", done.stderr)

    def test_what_runs_begin_from_is_not_anothers(self):
        self.run_program("--arm", "a", "--seed", "1", "--quick")
        os.remove(f"{self.folder}/a-1.jsonl")
        done = self.run_program()
        self.assertEqual(done.returncode, 1)
        self.assertIn("made-with.json was made otherwise: quick is true there and false now", done.stderr)

    def test_a_run_that_was_interrupted_goes_on_and_says_so(self):
        one = ("--arm", "b", "--seed", "1")
        self.assertEqual(self.run_program(*one, STOP="1").returncode, 1)
        self.write({"k": 2})
        self.assertRegex(self.run_program(*one).stderr, r"/b-1/made-with\.json was made otherwise: settings\.k is 1 there and 2 now")
        self.write({"k": 1})
        self.run_program(*one)
        self.run_program("--arm", "a", "--seed", "1")
        ends = [self.lines(name)[-1] for name in ("a-1.jsonl", "b-1.jsonl")]
        self.assertEqual([list(end) for end in ends], [["seconds"], ["seconds", "resumed"]])
        runs = [logs.Log(self.lines(name)) for name in ("a-1.jsonl", "b-1.jsonl")]
        self.assertEqual([logs.minutes(runs[:1]), logs.minutes(runs)], ["0", "over 0"])

    def test_mistakes(self):
        for options, said in ((["--arm", "c"], "'c'"), (["--jobs", "0"], "--jobs: 1 or more, not 0"),
                              (["--folder", f"{self.program}/x"], f"--folder {self.program}/x: Not a directory")):
            done = self.run_program(*options)
            self.assertEqual((done.returncode, done.stdout), (2, ""), options)
            self.assertIn(said, done.stderr)
        done = self.run_program(SUMS="")
        self.assertEqual(done.returncode, 2)
        self.assertIn("error: $SUMS is to be the path of what it reads", done.stderr)

    def test_a_package_that_is_missing_is_named(self):
        self.write({}, "import study", "import study, no_such_package")
        done = self.run_program("--help")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, f"{self.program} needs no_such_package; docs/training.md says what to install\n")

    def test_a_quick_run_has_a_folder_of_its_own_that_is_emptied(self):
        options = "import sys; sys.argv = ['x', *sys.argv[1:]]; sys.path.insert(0, sys.argv.pop(1)); import study; " \
                  "study.ROOT = sys.argv.pop(1); print(study.parsed(study.Study('x', {}, (), None)).folder)"
        root = os.path.dirname(self.program)

        def folder(*words):
            done = subprocess.run([sys.executable, "-c", options, PROGRAMS, root, *words], capture_output=True, text=True)
            return done.stdout.strip()
        whole, quick = folder(), folder("--quick")
        self.assertEqual([whole, quick], [f"{root}/build/training/x", f"{root}/build/training/x-quick"])
        for place in (whole, quick, self.folder):
            os.makedirs(f"{place}/old")
        folder(), folder("--quick"), folder("--quick", "--folder", self.folder)
        self.assertEqual([os.listdir(place) for place in (whole, quick, self.folder)], [["old"], [], ["old"]])

    def test_the_logs_of_the_runs_that_are_named_are_gathered(self):
        """Of the arms and seeds of the program, not of pilots' seeds or of arms that are gone."""
        path = f"{self.folder}/all"
        self.run_program("--arm", "a", "--seed", "101")
        self.run_program("--gather", path)
        runs = logs.read(path)
        self.assertEqual({arm: [run.seed for run in of_arm] for arm, of_arm in runs.items()}, {"a": [1, 2], "b": [1, 2]})
        self.assertEqual(runs["b"][1].column("x"), ([0, 1, 2], [2, 2.3333, 2.6667]))
        self.assertEqual(runs["b"][1].column("none"), ([], []))
        self.assertEqual(runs["a"][0].last("x"), 1.6667)


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

    def test_pairs_are_of_the_same_seeds(self):
        def runs(arm, seeds):
            return [logs.Log([{"arm": arm, "seed": seed}, {"step": 1, "x": seed}, {"seconds": 1}]) for seed in seeds]
        with self.assertRaisesRegex(ValueError, r"^a has seeds \[1, 2, 3\] and b \[1, 2\]: they are no pairs$"):
            logs.difference(runs("a", (3, 1, 2)), runs("b", (1, 2)), lambda run: run.last("x"))
        with self.assertRaisesRegex(ValueError, "^1 values: an interval is for 2 to 10$"):
            logs.difference(runs("a", (1,)), runs("b", (1,)), lambda run: run.last("x"))

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
        self.assertEqual(tables.filled(page(), show.written(), show.read(self.LOGS)), page(), "scripts/train --show")

    def test_its_sentences_say_what_its_tables_say(self):
        """Section by section, but for settings, pilots, papers, and what test_what_is_reckoned_from_the_logs reckons."""
        given = {
            "# Entropy under control": {"2505.22617", "73 %"},
            "How to repeat it": {"0", "0.1", "95 %", "4.3"},
            "GRPO": {"2.5", "0.30", "0.31", "0.39", "0.62", "0.13", "0.55", "4.65"},
            "The same with Gemma": {"0.10", "0.80", "0.88", "0.2", "1.1"},
            "Labels": set(),
            "Distillation": {"95 %", "2.38", "2.57", "3.10", "3.24", "6.48"},
            "Noise": {"95 %", "5.14", "5.49", "24 %", "5.00", "5.53", "38 %", "62 %", "3 %"},
            "Agents": {"95 %", "0.55", "0.28", "0.41", "0.32"},
        }
        text = reckoned_aside(page())
        written = "".join(re.findall(r"<!-- table .*?<!-- end -->", text, re.DOTALL))
        for start, section in zip(given, re.split(r"(?m)^## ", text), strict=True):
            self.assertTrue(section.startswith(start), section[:40])
            if section.startswith("#"):  # its table of answers is prose
                section = section.replace("|", " ") + written
            self.assertEqual(prose.unfounded(section, given[start]), [], start)

    def test_what_is_reckoned_from_the_logs(self):
        text = " ".join(page().split())
        for sentence in reckoned():
            self.assertIn(sentence, text)

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
    def test_a_page_has_each_table_and_no_other(self):
        def counts(results):
            return tables.table(["n"], [[results]])
        text = "a\n<!-- table counts -->\nold\n<!-- end -->\nb\n"
        self.assertEqual(tables.filled(text, [counts], 7), text.replace("old\n", "| n |\n| --- |\n| 7 |\n"))
        for page_, functions in ((text.replace("counts", "count"), [counts]), ("a\n", [counts]), (text, []), (2 * text, [counts])):
            with self.assertRaisesRegex(ValueError, "^the page has the tables .*, and there are "):
                tables.filled(page_, functions, 7)

    def test_without_a_log_nothing_is_shown(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, f"{PROGRAMS}/show.py", folder], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no log of grpo, gemma, labels", done.stderr)


if __name__ == "__main__":
    unittest.main()
