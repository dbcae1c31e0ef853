"""entrol control: a filter that answers at once, against the laws written again; its state across kills; bad input."""
import fcntl
import json
import math
import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
NAMES = ["constant", "piecewise", "linear", "cosine", "exponential", "polynomial", "sac", "skywork", "pi", "entropic", "box", "aer",
         "aepo", "adaptive_kl"]


def run(*arguments, data=""):
    """(exit code, standard output, standard error) of entrol control."""
    done = subprocess.run([ENTROL, "control", *arguments], input=data, capture_output=True, timeout=60, text=True)
    return done.returncode, done.stdout, done.stderr


def entropies(n, seed=1):
    """Falling, wandering, with a dip below a tenth of the first ones."""
    random.seed(seed)
    return [abs(2 * math.exp(-i / 15) + 0.3 * math.sin(i / 7) + 0.05 * random.gauss(0, 1)) for i in range(n)]


class Filter:
    """A running filter: a two-way pipe, as a training script has one."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([ENTROL, "control", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)

    def read(self):
        return self.process.stdout.readline()

    def ask(self, line):
        self.process.stdin.write(f"{line}\n")
        return self.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


class Laws(unittest.TestCase):
    def test_skywork_as_in_trl(self):
        """trl/trainer/grpo_trainer.py: the coefficient after the update applies while the entropy is at most the target."""
        values, coefficient, expected = entropies(120), 0.0, []
        for entropy in values:
            coefficient = min(coefficient + 0.005, 0.1) if entropy <= 0.4 else max(coefficient - 0.005, 0)
            expected.append(coefficient if entropy <= 0.4 else 0)
        code, out, _ = run("skywork", "--target", "0.4", "--max", "0.1", "--collapse", "none", data="".join(f"{v!r}\n" for v in values))
        self.assertEqual(code, 0)
        self.assertEqual([float(line) for line in out.split()], expected)

    def test_sac_as_in_torch(self):
        """tests/cli/runs/make.py: the losses of Stable-Baselines3 and CleanRL under torch.optim.Adam."""
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "runs", "sac.json"), encoding="utf-8") as file:
            torch = json.load(file)
        for loss in ("log_alpha", "alpha"):
            code, out, _ = run("sac", "--loss", loss, "--target", repr(torch["target"]), "--rate", repr(torch["rate"]),
                               data="".join(f"{v!r}\n" for v in torch["entropies"]))
            self.assertEqual(code, 0)
            for answer, alpha in zip(out.split(), torch[loss], strict=True):
                self.assertAlmostEqual(float(answer), alpha, 13)

    def test_a_sum_and_a_count(self):
        one = run("pi", "--target", "1", data="0.25\n0.5\n")[1]
        self.assertEqual(run("pi", "--target", "1", data="0.25 1\n  2\t4 \r\n")[1], one)
        for answer, e, total in zip(one.split(), (0.75, 0.5), (0.75, 1.25), strict=True):
            self.assertAlmostEqual(float(answer), 0.05 * e + 0.0005 * total, 15)

    def test_json(self):
        code, out, err = run("entropic", "--target", "0.5", "--json", "--begin", data="0.25\n")
        self.assertEqual((code, err), (0, ""))
        first, second = map(json.loads, out.splitlines())
        self.assertEqual(first, {"step": 0, "coefficient": 0, "positive_weight": 1, "negative_weight": 1, "entropy": None, "target": 0.5,
                                 "error": None, "alarms": [], "limited": False, "held": False})
        self.assertAlmostEqual(second["coefficient"], 0.2525, 15)
        self.assertEqual(second["positive_weight"], 1 - second["coefficient"])
        self.assertEqual(second["error"], 0.25)
        self.assertEqual(json.loads(run("aepo", "--target", "1", "--json", data="2\n")[1])["temperature"], 0.8)
        self.assertEqual(json.loads(run("adaptive_kl", "--json", data="3\n")[1])["kl"], 3)

    def test_first_line(self):
        self.assertEqual(run("linear", "--initial", "0.02", "--steps", "2", "--begin", data="1\n1\n1\n")[1], "0.02\n0.01\n0.0\n0.0\n")

    def test_targets(self):
        self.assertEqual(json.loads(run("pi", "--target", "0.7max", "--actions", "9", "--json", data="1\n")[1])["target"], 0.7 * math.log(9))
        self.assertEqual(json.loads(run("pi", "--target", "0.7max", "--max-entropy", "2", "--json", data="1\n")[1])["target"], 1.4)
        answers = [json.loads(line) for line in run("pi", "--json", data="3\n" * 25)[1].splitlines()]
        self.assertEqual([a["target"] for a in answers], [None] * 19 + [0.4 * 3] * 6)
        self.assertEqual([a["held"] for a in answers], [True] * 19 + [False] * 6)

    def test_a_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("1\n0.5\n")
            file.flush()
            self.assertEqual(run("pi", "--target", "0.8", file.name)[1], run("pi", "--target", "0.8", data="1\n0.5\n")[1])

    def test_nothing_in_nothing_out(self):
        self.assertEqual(run("pi"), (0, "", ""))


class Pipe(unittest.TestCase):
    def test_answers_each_line_at_once(self):
        """Of a line that is shorter than any magic number of a packed file, too."""
        for name in NAMES:
            with self.subTest(name=name):
                filter = Filter(name)
                for _ in range(30):
                    self.assertRegex(filter.ask("2"), r"^[0-9.e-]+\n$")
                self.assertEqual(filter.close(), 0)

    def test_a_line_that_comes_in_pieces(self):
        filter = Filter("constant")
        filter.process.stdin.write("0.")
        filter.process.stdin.flush()
        time.sleep(0.05)
        self.assertEqual(filter.ask("5"), "0.01\n")
        filter.close()

    def test_begin_speaks_first(self):
        filter = Filter("constant", "--begin", "--initial", "0.5")
        self.assertEqual(filter.read(), "0.5\n")
        filter.close()

    def test_costs_little(self):
        """A round trip through two pipes and Python: mostly the scheduler's. Measured 10 us; judged at a hundred times that."""
        filter = Filter("pi", "--target", "1")
        filter.ask("1")
        begin = time.perf_counter()
        for _ in range(2000):
            filter.ask("0.5")
        each = (time.perf_counter() - begin) / 2000
        filter.close()
        print(f"    a round trip takes {each * 1e6:.0f} us")
        self.assertLess(each, 1e-3)

    def test_a_reader_that_goes_away(self):
        process = subprocess.Popen([ENTROL, "control", "constant"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.close()
        _, err = process.communicate("1\n" * 10, timeout=30)
        self.assertEqual(process.returncode, 2)
        self.assertIn("its reader has closed it", err)


class State(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "state")

    def test_killed_at_any_step_it_goes_on(self):
        values = entropies(45)
        for name in NAMES:
            with self.subTest(name=name):
                whole = run(name, data="".join(f"{v!r}\n" for v in values))[1].splitlines(keepends=True)
                answers = []
                if os.path.exists(self.path):
                    os.remove(self.path)
                random.seed(name)
                while len(answers) < len(values):
                    filter = Filter(name, "--state", self.path)
                    for _ in range(random.randrange(1, 9)):
                        if len(answers) < len(values):
                            answers.append(filter.ask(repr(values[len(answers)])))
                    filter.kill()
                self.assertEqual(answers, whole)

    def test_ended_it_goes_on(self):
        whole = run("sac", data="1\n0.5\n0.25\n")[1]
        self.assertEqual(run("sac", "--state", self.path, data="1\n0.5\n")[1] + run("sac", "--state", self.path, data="0.25\n")[1], whole)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["state"])

    def test_one_process_at_a_time(self):
        filter = Filter("pi", "--state", self.path)
        filter.ask("1")
        code, out, err = run("pi", "--state", self.path, data="1\n")
        self.assertEqual((code, out, err), (2, "", f"entrol: cannot write {self.path}: another process is writing it\n"))
        filter.close()
        self.assertEqual(run("pi", "--state", self.path, data="1\n")[0], 0)

    def test_it_is_read_when_no_other_can_write_it(self):
        """What it holds meanwhile does not matter."""
        with open(self.path, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("to be written")
            file.flush()
            code, out, err = run("pi", "--state", self.path, data="1\n")
        self.assertEqual((code, out, err), (2, "", f"entrol: cannot write {self.path}: another process is writing it\n"))

    def test_of_many_that_begin_one_goes_on(self):
        """The others are refused, and never write beside it."""
        for _ in range(10):
            filters = [Filter("pi", "--state", self.path, "--begin") for _ in range(8)]
            began = [filter for filter in filters if filter.read() != ""]
            for filter in began:
                filter.ask("1")
            self.assertLessEqual(len(began), 1)
            self.assertEqual(sorted(filter.close() for filter in filters), [0] * len(began) + [2] * (8 - len(began)))
            if os.path.exists(self.path):
                os.remove(self.path)

    def test_what_is_no_plain_file(self):
        os.mkfifo(self.path)
        for path in ("-", "/dev/null", os.path.dirname(self.path), self.path):
            self.assertEqual(run("pi", "--state", path, data="1\n"), (2, "", f"entrol: cannot write {path}: expected a plain file\n"))

    def test_it_is_written_before_the_answer(self):
        filter = Filter("pi", "--state", self.path)
        for step in range(1, 30):
            filter.ask("0.5")
            with open(self.path, encoding="utf-8") as file:
                self.assertIn(f"\nstep {step}\n", file.read())
        filter.close()

    def test_a_shorter_state_leaves_nothing_behind(self):
        """0.1 + 0.2 has more digits than what comes after it; and a run that was killed before it cut the file."""
        run("pi", "--state", self.path, "--target", "5", data="0.30000000000000004\n")
        run("pi", "--state", self.path, "--target", "5", data="1\n")
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text.endswith("\nend\n"))
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n" * 7)
        self.assertEqual(run("pi", "--state", self.path, "--target", "5", data="1\n")[0], 0)
        with open(self.path, encoding="utf-8") as file:
            self.assertTrue(file.read().endswith("\nend\n"))

    def test_a_refused_line_leaves_it(self):
        for bad in ("nan", "inf", "-inf", "1e400", "3 0", "3 -1", "3 1.5", "1 2 3", "a", "", "1,5", "0x1p3", "1 nan"):
            with self.subTest(line=bad):
                run("pi", "--state", self.path, data="1\n")
                with open(self.path, encoding="utf-8") as file:
                    before = file.read()
                code, out, err = run("pi", "--state", self.path, data=f"2\n{bad}\n3\n")
                self.assertEqual(code, 2)
                self.assertEqual(len(out.splitlines()), 1)  # of the line before it, and none behind it
                self.assertRegex(err, r"^entrol: standard input:2: expected (an entropy, or a sum and a count|a count from 1 to 2\^53), found ")
                with open(self.path, encoding="utf-8") as file:
                    after = file.read()
                self.assertIn("step 2\n", after)
                os.remove(self.path)
                run("pi", "--state", self.path, data="1\n2\n")
                with open(self.path, encoding="utf-8") as file:
                    self.assertEqual(after, file.read())
                self.assertNotEqual(before, after)
                os.remove(self.path)

    def test_other_settings(self):
        run("pi", "--state", self.path, data="1\n")
        for arguments, line in ((["pi", "--kp", "0.1"], 12), (["aer"], 2), (["pi", "--target", "1"], 9), (["pi", "--actions", "4"], 14)):
            code, out, err = run(*arguments, "--state", self.path, data="1\n")
            self.assertEqual((code, out), (2, ""))
            self.assertIn(f"{self.path}:{line}: expected ", err)
        code, _, err = run("pi", "--kp", "0.1", "--state", self.path, data="1\n")
        self.assertIn('expected the setting "set kp 0.1", found "set kp 0.05"', err)

    def test_hostile_states(self):
        run("sac", "--state", self.path, data="1\n2\n")
        with open(self.path, "rb") as file:
            whole = file.read()
        random.seed(3)
        hostile = [b"", b"\0" * 100, whole[:-1], whole + b"end\n", whole.replace(b"step 2", b"step 1e300"), b"x" * 100000]
        for _ in range(60):
            broken = bytearray(whole)
            broken[random.randrange(len(broken))] ^= 1 << random.randrange(8)
            hostile.append(bytes(broken))
        for text in hostile:
            with open(self.path, "wb") as file:
                file.write(text)
            code, out, err = run("sac", "--state", self.path, data="1\n")
            if code == 0:  # a digit of a number that may be so
                self.assertRegex(out, r"^[0-9.e-]+\n$")
                continue
            self.assertEqual((code, out), (2, ""))
            self.assertRegex(err, r"^entrol: .*/state:\d+: .*\n$")
            with open(self.path, "rb") as file:
                self.assertEqual(file.read(), text)

    def test_a_state_that_cannot_be_written(self):
        code, out, err = run("pi", "--state", os.path.join(self.path, "none"), data="1\n")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("cannot write", err)
        code, out, err = run("pi", "--state", os.path.dirname(self.path), data="1\n")
        self.assertEqual((code, out), (2, ""))


class Alarms(unittest.TestCase):
    def test_each_is_said_once(self):
        data = "1\n" * 20 + "0.05\n0.04\n0.11\n0.6\n3\n"
        code, out, err = run("constant", data=data)
        self.assertEqual((code, len(out.splitlines())), (0, 25))
        self.assertEqual(err, "entrol: warning: standard input:21: collapse: the mean entropy is 0.05 nats\n"
                              "entrol: standard input:24: the collapse is over: the mean entropy is 0.6 nats\n"
                              "entrol: warning: standard input:25: explosion: the mean entropy is 3 nats\n")
        answers = [json.loads(line) for line in run("constant", "--json", data=data)[1].splitlines()]
        self.assertEqual([a["alarms"] for a in answers[20:]], [["collapse"]] * 3 + [[]] + [["explosion"]])

    def test_thresholds(self):
        self.assertEqual(run("constant", "--collapse", "none", data="1\n" * 20 + "0.05\n")[2], "")
        self.assertIn("collapse", run("constant", "--collapse", "0.5", data="1\n0.4\n")[2])


class Limits(unittest.TestCase):
    def test_a_default_that_the_limits_leave_out(self):
        self.assertEqual(run("pi", "--min", "0.001", "--target", "1", "--begin", data="2\n"), (0, "0.001\n0.001\n", ""))
        self.assertEqual(run("sac", "--max", "0.5", "--begin")[1], "0.5\n")

    def test_a_hundred_steps_at_a_limit(self):
        """Said once; a least coefficient of 0 is where a controller rests."""
        text = "the coefficient has been at --{} {} for 100 steps: the target may be out of reach\n"
        pi = ["pi", "--target", "5", "--kp", "10"]
        self.assertEqual(run(*pi, data="1\n" * 99)[2], "")
        for n in (100, 400):
            self.assertEqual(run(*pi, data="1\n" * n)[2], "entrol: warning: standard input:100: " + text.format("max", 1))
        self.assertEqual(run(*pi, data=("1\n" * 99 + "5\n") * 3)[2], "")
        self.assertEqual(run(*pi, data="1\n" * 50 + "6\n" + "1\n" * 100)[2], "entrol: warning: standard input:151: " + text.format("max", 1))
        self.assertEqual(run(*pi, "--max", "0.25", data="1\n" * 100)[2], "entrol: warning: standard input:100: " + text.format("max", 0.25))
        for low in (["pi"], ["skywork"]):
            self.assertEqual(run(*low, "--target", "1", data="2\n" * 300)[2], "")
        self.assertEqual(run("pi", "--min", "0.1", "--target", "1", data="2\n" * 300)[2],
                         "entrol: warning: standard input:100: " + text.format("min", 0.1))
        self.assertEqual(run("pi", "--target", "5", "--kp", "10", "--slew", "1e-9", data="1\n" * 300)[2], "")
        self.assertEqual(run("linear", "--max", "0.001", data="1\n" * 300)[2], "")


class Usage(unittest.TestCase):
    def refuse(self, message, *arguments, data="1\n"):
        code, out, err = run(*arguments, data=data)
        self.assertEqual((code, out), (2, ""))
        self.assertIn(message, err)
        self.assertEqual(err.count("\n"), 1, err)

    def test_refused(self):
        self.refuse("expected the name of a controller")
        self.refuse('unknown controller "skywrk"; did you mean "skywork"?', "skywrk")
        self.refuse('unknown controller "qqqqqqq"; "entrol control --list" lists them', "qqqqqqq")
        self.refuse("--delta is of skywork, not of pi", "pi", "--delta", "1")
        self.refuse('--kp: expected a number from 0 to 1000000, found "x"', "pi", "--kp", "x")
        self.refuse('--loss: expected one of log_alpha|alpha, found "both"', "sac", "--loss", "both")
        self.refuse('found "0.7max"', "pi", "--target", "0.7max")
        self.refuse('--min: expected at most max, which is 1 by default, found "2"\n', "pi", "--min", "2")
        self.refuse('--max: expected at least min, which is 0 by default, found "-1"\n', "pi", "--max", "-1")
        self.refuse('--min: expected at most max, which is 3, found "4"\n', "pi", "--min", "4", "--max", "3")
        self.refuse('--min: expected a number from -1000000 to 1000000, found "1e7"\n', "pi", "--min", "1e7")
        self.refuse('--initial: expected a number from min, which is 0 by default, to max, which is 1 by default, found "2"\n',
                    "pi", "--initial", "2")
        self.refuse('--initial: expected a number from min, which is 0.5, to max, which is 1 by default, found "0"\n',
                    "pi", "--initial", "0", "--min", "0.5")
        self.refuse('--initial: expected a number from -1000000 to 1000000, found "x"\n', "pi", "--initial", "x")
        self.refuse('--target: expected at most the greatest entropy, 2.197 nats, found "3"\n', "pi", "--actions", "9", "--target", "3")
        self.refuse('--target: expected at most the greatest entropy, 2 nats, found "1.1max"\n', "pi", "--max-entropy", "2",
                    "--target", "1.1max")
        self.refuse('--high: expected more than target, which is 0.7x, found 0.6x, its default\n', "box", "--target", "0.7x")
        self.refuse('--high: expected more than target, which is 0.4x by default, found "0.4x"\n', "box", "--high", "0.4x")
        self.refuse('--high: expected nats as 0.3, ', "box", "--high", "much")
        self.refuse("--points: expected step:coefficient", "piecewise", "--points", "5:1,4:2")
        self.refuse("--actions: expected", "pi", "--actions", "1")
        self.refuse("expected NAME and at most one FILE", "pi", "a", "b")
        self.refuse("none.txt", "pi", "none.txt")

    def test_what_a_line_holds_is_shown(self):
        """Bytes that a terminal does not show, too: a NUL, the mark of UTF-8 that some editors begin a file with, others."""
        for line, shown in (("0.3\0", r"0.3\x00"), ("\0", r"\x00"), ("0.3 4\0", r"0.3 4\x00"), ("\ufeff0.3", r"\xef\xbb\xbf0.3"),
                            ("0.3\x01", r"0.3\x01"), ("\x1b[31m", r"\x1b[31m"), ("a" * 70, "a" * 60)):
            self.refuse(f'standard input:1: expected an entropy, or a sum and a count, found "{shown}"\n', "pi", data=line + "\n")
        self.refuse('found "3 0\\x0b"', "pi", data="3 0\v\n")

    def test_lines_that_end_as_on_windows(self):
        self.assertEqual(run("pi", "--target", "1", data="0.25\r\n2 4\r\n"), run("pi", "--target", "1", data="0.25\n2 4\n"))

    def test_a_count_of_tokens_is_no_batch(self):
        """TRL's AdaptiveKLController.update(KL, 256) of a KL of 9 for a target of 6, whatever count is beside it."""
        expected = 0.2 * (1 + 0.2 * 256 / 10000)
        for line in ("9", "2304 256", "900000 100000"):
            self.assertAlmostEqual(float(run("adaptive_kl", data=line + "\n")[1]), expected, 15)
        self.assertAlmostEqual(float(run("adaptive_kl", "--batch", "512", data="9 1\n")[1]), 0.2 * (1 + 0.2 * 512 / 10000), 15)
        self.refuse("--batch: expected a whole number from 1", "adaptive_kl", "--batch", "0")

    def test_greatest_entropies_that_contradict(self):
        self.refuse("--max-entropy: expected ln of --actions, which is 2.19722, found 2.2; give one of them\n", "pi", "--actions", "9",
                    "--max-entropy", "2.2")
        self.assertEqual(run("pi", "--actions", "9", "--max-entropy", "2.1972", data="1\n")[0], 0)

    def test_a_share_of_entropies_below_0(self):
        self.refuse("standard input:1: the entropy is below 0, and a share of the first observations is no target then: give one in nats",
                    "pi", data="-1\n")
        self.assertEqual(run("pi", "--target", "-6", data="-7\n")[0], 0)

    def test_list(self):
        code, out, _ = run("--list")
        self.assertEqual((code, [line for line in out.splitlines() if line and line[0] != " "]), (0, NAMES))
        self.assertIn("  delta = 0.005: the step; TRL; Skywork-OR1 has 1e-4 with a max of 5e-3\n", out)

    def test_help_of_one(self):
        code, out, _ = run("skywork", "--help")
        self.assertEqual(code, 0)
        self.assertIn("--delta", out)
        self.assertNotIn("--kp", out)
        words = " ".join(out.split())
        self.assertIn("Default: 0.005. Source: TRL; Skywork-OR1 has 1e-4", words)

    def test_help_has_every_parameter(self):
        """Each default of --list is in --help."""
        words = " ".join(run("--help")[1].split())
        kind = None
        for line in run("--list")[1].splitlines():
            if line and line[0] != " ":
                kind = line
                self.assertIn(f" {kind}, ", words)
            elif " = " in line and not line.startswith(("  law", "  drives", "  source")):
                name, default = line.strip().split(": ", 1)[0].split(" = ")
                self.assertIn("--" + name.replace("_", "-"), words)
                self.assertIn(default, words)


if __name__ == "__main__":
    unittest.main()
