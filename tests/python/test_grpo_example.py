"""examples/python/grpo.py: a few steps, and on from its checkpoint."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import matplotlib  # noqa: F401
    import trl  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "..", "examples", "python", "grpo.py")


class Example(unittest.TestCase):
    def run_example(self, *options):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, EXAMPLE, *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)

    def test_it_runs_and_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            options = ("--output", folder, "--set", "target=5.0")
            first = self.run_example("--steps", "2", *options)
            self.assertEqual(first.returncode, 0, first.stderr)
            self.assertRegex(first.stdout, r"last 2 steps: reward 0\.\d+, entropy 5\.\d+ nats")
            more = self.run_example("--steps", "3", "--resume", *options)
            self.assertEqual(more.returncode, 0, more.stderr)
            with open(os.path.join(folder, "log.jsonl"), encoding="utf-8") as file:
                log = [json.loads(line) for line in file]
            self.assertEqual([line["step"] for line in log], [1, 2, 3])
            self.assertEqual({line["controller/target"] for line in log}, {5.0})
            with open(os.path.join(folder, "checkpoint-3", "entrol_controller.txt"), encoding="utf-8") as file:
                self.assertIn("\nstep 3\n", file.read())
            with open(os.path.join(folder, "run.png"), "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

    def test_without_a_controller_with_an_objective_and_a_rule(self):
        with tempfile.TemporaryDirectory() as folder:
            options = ("--controller", "none", "--objective", "dapo", "--keep", "high:20%")
            done = self.run_example("--steps", "1", "--output", folder, *options)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_steps_in_which_the_rule_keeps_no_token_and_a_target_that_is_not_known_yet(self):
        with tempfile.TemporaryDirectory() as folder:
            options = ("--set", "target=0.6x", "--keep", "100..")
            done = self.run_example("--steps", "1", "--output", folder, *options)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_wrong_setting_is_said(self):
        done = self.run_example("--set", "target")
        self.assertEqual(done.returncode, 2)
        self.assertIn("expected NAME=VALUE, got 'target'", done.stderr)


if __name__ == "__main__":
    unittest.main()
