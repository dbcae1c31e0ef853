"""examples/training/gemma.py: its questions and reward, and a few steps of a tiny model that is read from a GGUF file."""

import contextlib
import os
import re
import tempfile
import unittest
import unittest.mock

try:
    import gguf  # noqa: F401
    import torch
    import trl  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from training_runs import quick_run  # it puts the programs on the path

import gemma
import study

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(os.environ.get("BUILD", os.path.join(HERE, "..", "..", "build")), "tiny.gguf")


class Questions(unittest.TestCase):
    def test_none_is_in_both_parts(self):
        train, held_out = gemma.questions()
        self.assertEqual((len(train), len(held_out), len({*train, *held_out})), (240, 60, 300))

    def test_the_twins_that_the_page_tells_of(self):
        """b + a or b * a of a held-out question, among those to learn from."""
        train, held_out = ([question.splitlines()[-1].split()[:3] for question in part] for part in gemma.questions())
        twins = [[b, sign, a] in train for a, sign, b in held_out if sign in "+*" and a != b]
        with open(os.path.join(HERE, "..", "..", "docs", "training.md"), encoding="utf-8") as file:
            self.assertIn(
                f"not always another task: {sum(twins)} of them have their twin", " ".join(file.read().split())
            )

    def test_the_reward_is_for_the_number_alone(self):
        asked = "3 + 4 = 7\n6 * 2 = 12\n3 - 9 ="
        said = {" -6": 1, "-6\n7 + 1 = 8": 1, " -6 or so": 0, " 6": 0, " -60": 0, "": 0, "\n-6": 0}
        self.assertEqual(gemma.right([asked] * len(said), list(said)), list(map(float, said.values())))


@unittest.skipUnless(os.path.exists(TINY), "there is no tiny.gguf in the build folder")
class Program(unittest.TestCase):
    def test_an_answer_ends_with_its_line_and_the_embedding_stays(self):
        model, tokenizer = gemma.loaded(TINY)
        self.assertEqual(tokenizer.convert_tokens_to_ids(tokenizer.eos_token), model.generation_config.eos_token_id)
        self.assertEqual(tokenizer.decode([model.generation_config.eos_token_id]), "\n")
        learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
        self.assertGreater(len(learning), 5)
        self.assertFalse([name for name in learning if "embed" in name])
        self.assertTrue(all(weight.dtype == torch.float32 for weight in model.parameters()))

    def test_the_program(self):
        with tempfile.TemporaryDirectory() as folder:
            head, steps, _ = quick_run(self, "gemma", folder, "pi", ENTROL_MODEL=TINY)
        self.assertTrue(re.fullmatch(r"\d+\.\d+.*", head["versions"]["trl"]))
        learnt = [line for line in steps if "entropy" in line]
        self.assertEqual([line["step"] for line in learnt], [1, 2, 3, 4])
        self.assertEqual(sum("greedy" in line for line in steps), 2)

    def test_pi_acts_in_the_loop(self):
        """An unlearnt model is too unsure: where a penalty is allowed its law gives one, with the gains of its arm."""
        settings = {"controller": {**gemma.ARMS["pi"]["controller"], "min": -10.0}}
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(os.environ, ENTROL_MODEL=TINY):
            with contextlib.redirect_stdout(None):
                learnt = [line for line in gemma.run(study.Run("pi", 1, settings, folder, True)) if "entropy" in line]
        errors = [0.9 - line["entropy"] for line in learnt]
        self.assertEqual(len(errors), 4)
        self.assertLess(max(errors), 0)
        for i, line in enumerate(learnt):
            self.assertAlmostEqual(line["coefficient"], 0.2 * errors[i] + 0.02 * sum(errors[: i + 1]), delta=1e-4)


if __name__ == "__main__":
    unittest.main()
