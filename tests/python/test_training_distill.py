"""examples/training/distill.py: a few steps of two arms, from a teacher that the test makes up."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "..", "..", "examples", "training", "distill.py")
N_TRAINING, N_TEST, LENGTH, N_COLUMNS = 16, 4, 64, 12
rng = np.random.default_rng(5)


def teacher():
    """ln p of each token, of rows from sure to unsure, and their entropies, in float64."""
    scale = rng.uniform(0.1, 6, size=(N_TRAINING + N_TEST, LENGTH, 1))
    logits = scale * rng.normal(size=(N_TRAINING + N_TEST, LENGTH, N_COLUMNS))
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return logprobs, -(np.exp(logprobs) * logprobs).sum(-1)


class Distill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.logprobs, cls.entropy = teacher()
        cls.labels = rng.integers(N_COLUMNS, size=cls.entropy.shape)

    def run_arm(self, folder, arm):
        np.save(os.path.join(folder, "logprobs.npy"), self.logprobs.astype(np.float16))
        np.save(os.path.join(folder, "entropy.npy"), self.entropy.astype(np.float32))
        np.savez(os.path.join(folder, "labels.npz"), labels=self.labels, n_training=N_TRAINING)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, PROGRAM, "--quick", "--folder", folder, "--arm", arm, "--seed", "1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(folder, f"{arm}-1.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_the_teachers_highest_fifth_is_masked(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = self.run_arm(folder, "mask-high")
        self.assertEqual([line["step"] for line in lines[1:-1]], list(range(9)))
        # four batches of four pieces are all of them: the rule leaves four fifths, and the first batches are a round
        self.assertAlmostEqual(sum(line["share"] for line in lines[2:6]) / 4, 0.8, delta=0.002)
        # a student that knows nothing yet is nearly uniform over its columns: KL = ln n - H, and the loss is ln n
        first, test = lines[1], self.entropy[N_TRAINING:]
        high = test >= np.quantile(test, 0.8)
        self.assertAlmostEqual(first["loss"], np.log(N_COLUMNS), delta=0.2)
        self.assertAlmostEqual(first["kl"], np.log(N_COLUMNS) - test.mean(), delta=0.2)
        self.assertAlmostEqual(first["kl_high"], np.log(N_COLUMNS) - test[high].mean(), delta=0.2)
        self.assertAlmostEqual(first["kl_low"], np.log(N_COLUMNS) - test[~high].mean(), delta=0.2)

    def test_se_kd_keeps_a_fifth_of_each_piece(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = self.run_arm(folder, "se-kd")
        # of 64 values the 0.8 quantile lies between the 51st and the 52nd: 13 are beyond it
        self.assertEqual({line["share"] for line in lines[2:-1]}, {0.20312})
        self.assertEqual(lines[0]["settings"]["keep"], "high:20%")


if __name__ == "__main__":
    unittest.main()
