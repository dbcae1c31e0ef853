"""examples/training/agents.py: a short run of both tasks; controllers act, and the entropy is the policy's."""

import math
import tempfile
import unittest

try:
    import stable_baselines3  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from training_runs import quick_run  # it puts the programs on the path

import agents
import study


class Program(unittest.TestCase):
    def run_program(self, arm):
        with tempfile.TemporaryDirectory() as folder:
            _, (*steps, played), _ = quick_run(self, "agents", folder, arm)
        self.assertEqual(set(played), {"step", "played"})
        return steps, played

    def test_three_actions(self):
        steps, played = self.run_program("acrobot sac")
        self.assertAlmostEqual(steps[0]["entropy"], math.log(3), delta=0.05)  # PPO begins near the uniform policy
        self.assertEqual({line["target"] for line in steps}, {float(f"{0.5 * math.log(3):.5g}")})
        self.assertLess(steps[-1]["coefficient"], 0.01 * math.exp(-0.05))  # above the target: two steps down at least
        self.assertTrue(-500 <= played["played"] <= -1)

    def test_a_fixed_coefficient_stays(self):
        steps, _ = self.run_program("acrobot fixed 0.1")
        self.assertEqual({(line["coefficient"], line["target"]) for line in steps}, {(0.1, None)})

    def test_a_torque(self):
        steps, played = self.run_program("pendulum pi")  # 1,000 steps, of which SAC does nothing in the first 500
        self.assertEqual([line["step"] for line in steps], [501, 601, 701, 801, 901])
        self.assertEqual({line["target"] for line in steps}, {-1.0})
        self.assertLess(steps[0]["entropy"], math.log(2))  # of a number between -1 and 1
        self.assertLess(steps[-1]["entropy"], steps[0]["entropy"])  # while the coefficient is 0
        self.assertTrue(-2000 < played["played"] < 0)

    def test_pi_follows_its_law_with_the_gains_of_its_arm(self):
        arm = agents.ARMS["acrobot pi"]
        settings = {**arm, "controller": {**arm["controller"], "target": "1max"}}  # never reached: the bonus is never 0
        *steps, _ = agents.run(study.Run("acrobot pi", 1, settings, "", True))
        self.assertEqual([line["step"] for line in steps], [1024, 2048, 3072, 4096, 5120, 6144])
        errors = [math.log(3) - line["entropy"] for line in steps]
        for i, line in enumerate(steps):
            self.assertAlmostEqual(line["coefficient"] / (0.3 * errors[i] + 0.03 * sum(errors[: i + 1])), 1, places=6)


if __name__ == "__main__":
    unittest.main()
