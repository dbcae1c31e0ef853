"""The programs of examples/ that learn: networks' gradients are those of finite differences, what they train learns, and
docs/training-rl.md says what its results say."""
import ctypes
import glob
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from pictures import python_that_draws
from training import BUILD, MODELS, NO_MUJOCO, PLACE, RL, ROOT, compiled

sys.path.insert(0, RL)
import arms  # noqa: E402
import page  # noqa: E402
import results  # noqa: E402
import run  # noqa: E402
import tables  # noqa: E402

TRAIN = os.path.join(BUILD, "rl_train")


class Parameters(ctypes.Structure):
    _fields_ = [("n", ctypes.c_size_t)] + [(name, ctypes.POINTER(ctypes.c_float)) for name in ("values", "gradient", "mean", "square")]


class Network(ctypes.Structure):
    _fields_ = [("n_layers", ctypes.c_size_t), ("sizes", ctypes.c_size_t * 5), ("capacity", ctypes.c_size_t), ("learnt", Parameters),
                ("input", ctypes.c_void_p), ("activations", ctypes.c_void_p * 4), ("deltas", ctypes.c_void_p * 4)]


@unittest.skipUnless(os.path.exists(TRAIN), "built without OpenBLAS")
class Networks(unittest.TestCase):
    SIZES, ROWS = (5, 7, 6, 3), 4

    def setUp(self):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "openblas"], check=True, capture_output=True, text=True).stdout.split()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.library = ctypes.CDLL(compiled(self.folder.name, "network.so", "-shared", "-fPIC", f"{RL}/network.c", *flags, "-lm"))
        self.net, self.random = Network(), ctypes.c_uint64(3)
        sizes = (ctypes.c_size_t * 4)(*self.SIZES)
        self.assertEqual(self.library.network_create(ctypes.byref(self.net), ctypes.c_size_t(3), sizes, ctypes.c_float(0.5),
                                                     ctypes.c_size_t(self.ROWS), ctypes.byref(self.random)), 0)
        self.library.network_forward.restype = ctypes.POINTER(ctypes.c_float)
        n = self.net.learnt.n
        self.values, self.gradient = (np.ctypeslib.as_array(p, (n,)) for p in (self.net.learnt.values, self.net.learnt.gradient))
        self.draw = np.random.default_rng(2)

    def layers(self, values):
        """Weights and biases, by the order that network.h names."""
        found, at = [], 0
        for n_in, n_out in zip(self.SIZES, self.SIZES[1:]):
            found.append((values[at:at + n_in * n_out].reshape(n_out, n_in), values[at + n_in * n_out:at + (n_in + 1) * n_out]))
            at += (n_in + 1) * n_out
        self.assertEqual(at, len(values))
        return found

    def outputs(self, values, x):
        """In double, by the textbook."""
        for i, (weights, biases) in enumerate(self.layers(values)):
            x = x @ weights.T + biases
            x = np.tanh(x) if i < 2 else x
        return x

    def test_the_first_weights_are_orthogonal(self):
        for i, (weights, biases) in enumerate(self.layers(self.values)):
            gain = 0.5 if i == 2 else math.sqrt(2)
            gram = weights @ weights.T if weights.shape[0] <= weights.shape[1] else weights.T @ weights
            np.testing.assert_allclose(gram, gain ** 2 * np.eye(len(gram)), atol=1e-5)
            self.assertEqual(np.abs(biases).max(), 0)

    def test_passes(self):
        """Outputs as the textbook's, and the gradient as the finite differences of it, in double."""
        self.values += 0.1 * self.draw.normal(size=len(self.values)).astype(np.float32)
        x = self.draw.normal(size=(self.ROWS, self.SIZES[0])).astype(np.float32)
        d = self.draw.normal(size=(self.ROWS, self.SIZES[-1])).astype(np.float32)
        pointer = ctypes.POINTER(ctypes.c_float)
        out = self.library.network_forward(ctypes.byref(self.net), x.ctypes.data_as(pointer), ctypes.c_size_t(self.ROWS))
        values = self.values.astype(float)
        np.testing.assert_allclose(np.ctypeslib.as_array(out, d.shape), self.outputs(values, x), atol=2e-6)
        self.library.network_backward(ctypes.byref(self.net), d.ctypes.data_as(pointer), ctypes.c_size_t(self.ROWS))
        expected, step = np.zeros(len(values)), 1e-5
        for i in range(len(values)):
            ends = []
            for sign in (1, -1):
                moved = values.copy()
                moved[i] += sign * step
                ends.append((self.outputs(moved, x) * d).sum())
            expected[i] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(self.gradient, expected, atol=1e-5 * np.abs(expected).max())

    def test_adam(self):
        """Two steps, by the formulas of the paper, with the norm of the gradient cut."""
        groups = (ctypes.POINTER(Parameters) * 1)(ctypes.pointer(self.net.learnt))
        value, mean, square = self.values.astype(float), 0.0, 0.0
        for step in (1, 2):
            g = self.draw.normal(size=len(value))
            self.gradient[:] = g
            g *= 0.5 / np.linalg.norm(g)
            mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
            value -= 0.01 * mean / (1 - 0.9 ** step) / (np.sqrt(square / (1 - 0.999 ** step)) + 1e-5)
            self.library.adam_step(groups, ctypes.c_size_t(1), ctypes.c_double(0.01), ctypes.c_double(1e-5), ctypes.c_double(0.5),
                                   ctypes.c_size_t(step))
            np.testing.assert_allclose(self.values, value, atol=2e-6)
            self.assertEqual(np.abs(self.gradient).max(), 0)


def run_json(*words, fails=False):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300)
    if fails:
        return done
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{words}: {done.returncode} {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


class OneFile(unittest.TestCase):
    """examples/ppo.c; tests/amalgamate.sh builds it with the one file that it speaks of."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.program = compiled(cls.folder.name, "ppo", f"-I{ROOT}/include/entrol", f"{ROOT}/examples/ppo.c", f"{BUILD}/libentrol.a",
                               "-lm", "-pthread")

    def test_it_balances_the_pole(self):
        """The most that an episode can return is 500; at the beginning it is about 20."""
        for words in (["seed=1"], ["seed=2"], ["pi", "target=0.5max", "seed=3"]):
            log = [line for line in run_json(self.program, *words) if "return" in line]
            self.assertLess(log[0]["return"], 60)
            self.assertGreater(np.mean([line["return"] for line in log[-10:]]), 450, words)

    def test_a_controller_holds_the_entropy(self):
        log = run_json(self.program, "skywork", "target=0.7max")
        late = [line["entropy"] for line in log[-30:]]
        self.assertAlmostEqual(np.mean(late), 0.7 * math.log(2), delta=0.05)

    def test_same_seed_same_run(self):
        first, again, other = (run_json(self.program, f"seed={seed}", "steps=4096") for seed in (4, 4, 5))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_mistakes(self):
        for words, said in ((["pj"], "pj"), (["pi", "taget=1"], "taget"), (["pi", "target"], "target"), (["pi", "target=x"], "target"),
                            (["steps=abc"], "steps"), (["steps="], "steps"), (["steps=0"], "steps"), (["steps=4294967297"], "steps"),
                            (["seed=x"], "seed"), (["seed=-1"], "seed"), (["seed=18446744073709551616"], "seed"),
                            (["entropic"], "sample weights"), (["aepo"], "temperature"), (["adaptive_kl"], "KL coefficient"),
                            (["aer"], "by prompt"), (["pi"] + ["target=0.5max"] * 17, "too many")):
            done = run_json(self.program, *words, fails=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn(said, done.stderr)
        shown = run_json(self.program, "--help", fails=True)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertIn("seed=", shown.stdout)

    def test_the_run_that_is_shown(self):
        """examples/run.jsonl holds its target; another compiler's run may differ from it in the last digits and what grows from them."""
        log = results.read(f"{ROOT}/examples/run.jsonl")
        again = run_json(self.program, "skywork", "target=0.5max")
        self.assertEqual([sorted(line.keys() - {"return"}) for line in log], [sorted(line.keys() - {"return"}) for line in again])
        for run in (log, again):
            self.assertAlmostEqual(np.mean([line["entropy"] for line in run[-30:]]), 0.5 * math.log(2), delta=0.02)

    def test_gains_as_the_page_chooses_them(self):
        """docs/control.md: kp = 2 and ki = 0.1 let an error of a tenth stand, and the defaults a greater one."""
        def error(*words):
            return 0.5 * math.log(2) - np.mean([line["entropy"] for line in run_json(self.program, "pi", "target=0.5max", *words)[-30:]])
        self.assertLess(abs(error("kp=2", "ki=0.1")), 0.03)
        self.assertGreater(error(), 0.03)


@unittest.skipUnless(os.path.exists(TRAIN), "built without OpenBLAS")
class Trainer(unittest.TestCase):
    def test_it_learns(self):
        """A small deep sea is solved with a bonus; the greatest bonus keeps the policy uniform."""
        solved = run_json(TRAIN, "deep-sea", "--size", 6, "--steps", 60000, "--learning-rate", 0.001, "--normalise-advantages", 0,
                          "--set", "initial=0.01")
        self.assertAlmostEqual(solved[-2]["return"], 0.99, delta=0.02)
        uniform = run_json(TRAIN, "deep-sea", "--size", 6, "--steps", 20480, "--normalise-advantages", 0, "--set", "initial=3")
        self.assertGreater(uniform[-2]["entropy"], 0.99 * math.log(2))
        self.assertEqual((uniform[0]["controller"], uniform[0]["settings"]), ("constant", {"initial": "3"}))
        self.assertTrue(uniform[-1]["done"])

    def test_a_log_is_the_same_again(self):
        words = [TRAIN, "river-swim", "--steps", 4096, "--controller", "pi", "--set", "target=0.9max", "--seed"]
        self.assertEqual(run_json(*words, 1)[1:-1], run_json(*words, 1)[1:-1])
        self.assertNotEqual(run_json(*words, 1)[1:-1], run_json(*words, 2)[1:-1])

    @unittest.skipUnless(PLACE, NO_MUJOCO)
    def test_mujoco(self):
        for name, dimensions in (("hopper", 3), ("half-cheetah", 6)):
            log = run_json(TRAIN, name, "--models", MODELS, "--steps", 8192, "--controller", "skywork", "--set", "target=0.9x")
            self.assertEqual([line["step"] for line in log[1:-1]], [2048, 4096, 6144, 8192])
            self.assertAlmostEqual(log[1]["entropy"], dimensions * 0.5 * math.log(2 * math.pi * math.e), places=4)  # sigma is 1
            self.assertLess(abs(log[-2]["kl"]), 0.05)

    def test_mistakes(self):
        for words, said in ((["deep-see"], "deep-see"), (["deep-sea", "--sise", 3], "--sise"), (["deep-sea", "--size"], "--size"),
                            (["deep-sea", "--size", 1], "--size"), (["deep-sea", "--gamma", "x"], "--gamma"), (["deep-sea", "--set", "a"], "a"),
                            (["deep-sea", "--set", "a=1"], "settings"), (["deep-sea", "--controller", "pj"], "name"),
                            (["deep-sea", "--minibatches", 5], "--minibatches")):
            done = run_json(TRAIN, *words, fails=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn(said, done.stderr)
        self.assertIn("--controller", run_json(TRAIN, "--help", fails=True).stdout)

    def test_runs_are_gathered(self):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, f"{RL}/run.py", TRAIN, PLACE, f"{folder}/work", f"{folder}/results", "--quick", "--only", "river-swim"]
            first, again = (subprocess.run(words, check=True, capture_output=True, text=True) for _ in range(2))
            self.assertEqual((first.stderr.count("\n"), again.stderr), (2 * len(arms.arms("river-swim")), ""))  # made once
            found = results.read(f"{folder}/results")
            pi = results.of(found, "river-swim", "PI")[0]
            log = results.read(glob.glob(f"{folder}/work/river-swim-*-1-*pi*")[0])
        self.assertEqual(len(found), 2 * len(arms.arms("river-swim")))
        self.assertAlmostEqual(pi["target"], 0.5 * math.log(2), places=3)
        late = [line for line in log if line.get("step", 0) > 0.8 * 10240]
        self.assertAlmostEqual(pi["return"], sum(line["return"] * line["episodes"] for line in late) / sum(line["episodes"] for line in late),
                               places=4)

    def test_the_target_is_entrols(self):
        log = [{"entropy": 4.0}] * 10 + [{"entropy": 2.0}] * 30
        self.assertAlmostEqual(run.target_of({"target": "0.7x"}, log), 0.7 * 3)
        self.assertIsNone(run.target_of({"initial": 1}, log))


class Page(unittest.TestCase):
    RESULTS = f"{ROOT}/docs/results/training-rl.jsonl"

    @classmethod
    def setUpClass(cls):
        with open(f"{ROOT}/docs/training-rl.md", encoding="utf-8") as file:
            cls.text = file.read()

    def test_its_tables_are_those_of_the_results(self):
        self.assertEqual(tables.filled(self.text, page.TABLES, results.read(self.RESULTS)), self.text, "run examples/rl/page.py")
        self.assertEqual(sorted(re.findall(r"<!-- table (\w+) -->", self.text)), sorted(table.__name__ for table in page.TABLES))

    def test_every_run_is_there(self):
        found = {(r["environment"], r["arm"], r["seed"]) for r in results.read(self.RESULTS)}
        named = {(environment, arm, seed) for environment in arms.ENVIRONMENTS for arm in arms.arms(environment)
                 for seed in arms.seeds(environment, arm)}
        named |= {(environment, "CleanRL", seed) for environment in arms.GYMNASIUM for seed in arms.seeds(environment, "CleanRL")}
        self.assertEqual(found ^ named, set())

    def test_its_pictures_can_be_drawn(self):
        python = python_that_draws()
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([python, f"{RL}/draw.py", self.RESULTS, folder], check=True, capture_output=True)
            drawn = sorted(os.listdir(folder))
        self.assertEqual(drawn, sorted(os.path.basename(path) for path in glob.glob(f"{ROOT}/docs/images/training-*.png")))
        self.assertEqual(drawn, sorted(re.findall(r"\(images/(training-\w+\.png)\)", self.text)))

    def test_the_script_says_what_it_does(self):
        done = subprocess.run(["scripts/train", "--help"], capture_output=True, cwd=ROOT, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("--quick", done.stdout)
        for wrong in (["--quack"], ["--quick", "--write"], ["--no-peer", "--write"], ["-o"], ["--show", "-o", "x"], ["--show", "--no-peer"]):
            done = subprocess.run(["scripts/train", *wrong], capture_output=True, cwd=ROOT, text=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(wrong[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
