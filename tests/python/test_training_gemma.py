"""examples/training/gemma.py: its questions and reward, and a few steps of a tiny model that is read from a GGUF file."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import gguf  # noqa: F401
    import torch
    import trl  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "..", "..", "examples", "training")
TINY = os.path.join(os.environ.get("BUILD", os.path.join(HERE, "..", "..", "build")), "tiny.gguf")
sys.path.insert(0, PROGRAMS)
import gemma  # noqa: E402


class Questions(unittest.TestCase):
    def test_none_is_in_both_parts(self):
        train, held_out = gemma.questions()
        self.assertEqual((len(train), len(held_out), len({*train, *held_out})), (240, 60, 300))

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

    def test_pi_acts_in_the_loop(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ENTROL_MODEL": TINY}
            command = [
                sys.executable,
                f"{PROGRAMS}/gemma.py",
                "--quick",
                "--folder",
                folder,
                "--arm",
                "pi",
                "--seed",
                "1",
            ]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(f"{folder}/pi-1.jsonl", encoding="utf-8") as file:
                head, *steps, _ = map(json.loads, file)
        self.assertTrue(re.fullmatch(r"\d+\.\d+.*", head["versions"]["trl"]))
        learnt = [line for line in steps if "entropy" in line]
        self.assertEqual([line["step"] for line in learnt], [1, 2, 3, 4])
        self.assertTrue(all(line["entropy"] > gemma.TARGET for line in learnt))  # an unlearnt model is unsure
        self.assertEqual({line["coefficient"] for line in learnt}, {0.0})  # and so PI gives no bonus
        self.assertEqual(sum("greedy" in line for line in steps), 2)


if __name__ == "__main__":
    unittest.main()
