"""examples/training/grpo.py: its task, an interrupted run, what its controller commands, its forecast, its tables."""

import contextlib
import itertools
import math
import os
import shutil
import tempfile
import unittest
import unittest.mock
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import matplotlib  # noqa: F401
    import torch
    import trl  # noqa: F401
    from transformers import logging
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from training_runs import quick_run  # it puts the programs on the path

import countdown
import grpo
import logs
import study
from shown import grpo as shown

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.simplefilter("ignore")
torch.set_num_threads(1)


def values(numbers):
    """All values of expressions of these numbers, each once, by products first and no parser."""
    found = set()
    for order in itertools.permutations(numbers):
        for signs in itertools.product("+-*", repeat=len(order) - 1):
            terms = [order[0]]
            for sign, number in zip(signs, order[1:]):
                if sign == "*":
                    terms[-1] *= number
                else:
                    terms.append(number if sign == "+" else -number)
            found.add(sum(terms))
    return found


class Task(unittest.TestCase):
    def test_what_is_right(self):
        answers = {
            "3 * 5 + 7": 1,
            "7 + 5 * 3": 1,
            "3 * 5": 0,  # a number is missing
            "3 * 5 + 7 + 1 - 1": 0,  # there are too many
            "3 + 5 + 7": 0,  # it is not 22
            "3 * 5 + 7 +": 0,
            "3 * 5 + 7 ": 0,
            "22": 0,
            "": 0,
            "exit ( )": 0,
        }
        given = ["3 5 7 = 22"] * len(answers)
        self.assertEqual(countdown.right(prompts=given, completions=list(answers)), list(answers.values()))

    def test_problems_can_be_solved_and_none_is_on_both_sides(self):
        sides = [dict(itertools.islice(countdown.problems(5, held_out), 400)) for held_out in (False, True)]
        for problem, answer in {**sides[0], **sides[1]}.items():
            numbers, value = problem.split(" = ")
            self.assertIn(int(value), values([int(number) for number in numbers.split()]), problem)
            self.assertEqual(countdown.right([problem], [answer]), [1.0], (problem, answer))
        self.assertEqual(sides[0].keys() & sides[1].keys(), set())
        held_out = countdown.different(grpo.N_HELD_OUT)
        self.assertEqual(len(set(held_out)), grpo.N_HELD_OUT)
        self.assertEqual(set(held_out) & sides[0].keys(), set())

    def test_a_text_is_a_token_for_each_word(self):
        [ids] = countdown.TOKENIZER(["3 5 7 = 22 3 * 5 + 7 <end>"]).input_ids
        self.assertEqual(len(ids), 5 + countdown.LENGTH)
        self.assertEqual(countdown.TOKENIZER.decode(ids, skip_special_tokens=True), "3 5 7 = 22 3 * 5 + 7")


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.holder.cleanup)
        cls.folder = cls.holder.name
        countdown.demonstrate(cls.folder, quick=True)

    def run_one(self, name, settings):
        place = os.path.join(self.folder, name)
        os.makedirs(place, exist_ok=True)
        with contextlib.redirect_stdout(None):
            return list(grpo.run(study.Run("an arm", 7, settings, place, quick=True)))

    def test_interrupted_and_resumed_it_gives_the_same_log(self):
        """And each coefficient is that of the law of pi, of the entropies of the log."""
        settings = {
            "controller": {"name": "pi", "target": 3.0, "kp": 0.1, "ki": 0.01, "min": -1.0},
            "config": {"logging_steps": 1},
        }
        whole = self.run_one("whole", settings)

        class Interrupted(grpo.HeldOut):
            def on_step_end(self, args, state, control, **given):
                if state.global_step == 11:
                    raise KeyboardInterrupt
                super().on_step_end(args, state, control, **given)

        with unittest.mock.patch.object(grpo, "HeldOut", Interrupted), self.assertRaises(KeyboardInterrupt):
            self.run_one("parts", settings)
        self.assertIn("entrol_controller.txt", os.listdir(os.path.join(self.folder, "parts", "checkpoint-8")))
        self.assertEqual(self.run_one("parts", settings), whole)

        steps = [line for line in whole if "entropy" in line]
        self.assertEqual([line["step"] for line in steps], list(range(1, 17)))
        errors = [3.0 - line["entropy"] for line in steps]
        for i, line in enumerate(steps):
            wanted = 0.1 * errors[i] + 0.01 * sum(errors[: i + 1])
            self.assertAlmostEqual(line["coefficient"], wanted, delta=1e-4, msg=line)
        tried = [line for line in whole if "pass8" in line]
        self.assertEqual([line["step"] for line in tried], [0, 8, 16])
        for line in tried:
            self.assertLessEqual(line["drawn"], line["pass8"])
            self.assertLessEqual(line["pass8"], line["different"])

    def test_the_program(self):
        """A quick run of the mask's arm leaves one log with all there is to show."""
        place = os.path.join(self.folder, "program")
        shutil.copytree(countdown.model_path(self.folder), countdown.model_path(place))
        first, lines, last = quick_run(self, "grpo", place, "mask")
        self.assertEqual(sorted(os.listdir(place)), ["made-with.json", "mask-1.jsonl", "model"])
        self.assertEqual((first["settings"], first["common"]["TARGET"]), ({"keep": "8020"}, grpo.TARGET))
        self.assertEqual([line["step"] for line in lines], [0, 4, 8, 12, 16, 16])
        for line in lines[1:-1]:
            self.assertTrue(0 < line["entropy"] < math.log(len(countdown.WORDS)), line)
            self.assertTrue(0 <= line["reward"] <= 1, line)
        self.assertGreater(lines[-2]["reward"], 0)
        self.assertTrue({"low", "reward", "high", "came"} <= lines[-1]["forecast"].keys())
        self.assertGreater(last["seconds"], 0)


class Shown(unittest.TestCase):
    def test_a_forecast_of_a_run_that_follows_the_law(self):
        entropies = [1 - 0.02 * i for i in range(50)]
        rows = [{"step": i, "entropy": h, "reward": 0.8 - 0.2 * math.exp(h)} for i, h in enumerate(entropies)]
        found = grpo.forecast(rows)
        self.assertAlmostEqual(found["a"], 0.2, delta=1e-6)
        self.assertAlmostEqual(found["ceiling"], 0.6, delta=1e-6)
        mean = sum(entropies[-5:]) / 5
        self.assertAlmostEqual(found["entropy"], mean, delta=1e-12)
        self.assertAlmostEqual(found["reward"], 0.8 - 0.2 * math.exp(mean), delta=1e-6)
        self.assertAlmostEqual(found["came"], found["reward"], delta=1e-3)  # a mean of the law, not the law of a mean

    def test_tables(self):
        """Of three seeds whose differences are 0.1, 0.2 and 0.3: t of two degrees of freedom is 4.303, so that the
        half of the interval is 4.303 x 0.1 / sqrt(3) = 0.248."""

        def run(arm, seed, height):
            lines = [{"arm": arm, "seed": seed, "settings": {"controller": {"target": 0.4}}}]
            for step in range(11):
                tried = dict.fromkeys(shown.TRIED, height)
                lines.append({"step": step, "entropy": 0.4 + height, "reward": height, "coefficient": 0.01} | tried)
            law = {"reward": 0.5, "low": 0.4, "high": 0.6, "came": 0.3 + height, "first": 0.1, "a": 1.0}
            return logs.Log([*lines, {"step": 10, "forecast": law}, {"seconds": 1}])

        runs = {"none": [run("none", seed, 0.0) for seed in (1, 2, 3)]}
        runs["pi"] = [run("pi", seed, seed / 10) for seed in (1, 2, 3)]
        self.assertIn("| Entrol's PI | +0.200 (-0.048 to +0.448) |", shown.grpo_differences(runs))
        self.assertIn("0.200 ± 0.100 | +0.200 (-0.048 to +0.448) | 0.010 ± 0.000 |", shown.grpo_entropy(runs))
        self.assertIn("| Entrol's PI | 0.200 ± 0.100 |", shown.grpo_end(runs))
        self.assertIn(
            "| Entrol's PI | 3 of 3 | 0.500 ± 0.000 | 0.500 ± 0.100 | 3 of 3 | 0.20 |", shown.grpo_forecast(runs)
        )
        for picture in shown.PICTURES:
            picture(runs)


if __name__ == "__main__":
    unittest.main()
