"""examples/training/noise.py: a few steps of two arms, with a text that the test makes up."""

import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

try:
    import tokenizers  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.abspath(os.path.join(HERE, "..", "..", "examples", "training"))


def texts():
    """260 lines of words of a few syllables: there are 240 to learn from."""
    drawn = random.Random(5)
    words = [
        "".join(drawn.choices(("ba", "du", "ki", "lor", "men", "so", "tra"), k=drawn.randint(1, 4))) for _ in range(400)
    ]
    return [" ".join(drawn.choices(words, k=90)) for _ in range(260)]


class Noise(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.TemporaryDirectory()
        with open(os.path.join(cls.made.name, "lee_background.cor"), "w", encoding="latin-1") as file:
            file.writelines(f"{text}\n" for text in texts())
        cls.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ENTROL_TEXTS": cls.made.name,
            "OMP_NUM_THREADS": "1",
        }

    @classmethod
    def tearDownClass(cls):
        cls.made.cleanup()

    def run_arm(self, arm):
        program = os.path.join(FOLDER, "noise.py")
        command = [sys.executable, program, "--quick", "--folder", self.made.name, "--arm", arm, "--seed", "1"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.made.name, f"{arm}-1.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file][1:-1]

    def test_the_same_share_is_masked_after_the_warm_up(self):
        lines = self.run_arm("drawn-surprisal")
        self.assertEqual([line["step"] for line in lines], list(range(1, 9)))
        # int(256 * 0.15 + 0.9999) = 39 of the 256 tokens of a batch, after a fifth of the eight steps
        self.assertEqual([line["masked"] for line in lines], [0] + 7 * [0.15234])
        # 15 % of the tokens, less those that were drawn for themselves
        wrong = sum(line["wrong"] for line in lines) / len(lines)
        self.assertTrue(0.12 < wrong < 0.17, wrong)

    def test_the_oracle_masks_what_is_wrong_and_nothing_else(self):
        for line in self.run_arm("hostile-oracle"):
            self.assertEqual(line["masked"], line["wrong"])
            self.assertEqual((line["precision"], line["recall"]), (1, 1))

    def test_hostile_noise_raises_the_loss_of_what_it_is_aimed_at(self):
        code = f"""if True:
            import sys
            sys.path.insert(0, {FOLDER!r})
            import noise
            import torch
            noise.prepare({self.made.name!r}, True)
            stored = torch.load({self.made.name + "/prepared.pt"!r})
            network = noise.model(noise.N_TOKENS + 1, noise.LENGTH, 0)
            network.load_state_dict(stored["attacked"])
            clean = stored["training"][:64]
            for kind in ("drawn", "hostile"):
                labels, wrong = noise.damaged(clean, kind, 1, network)
                with torch.no_grad():
                    logits = network(torch.cat([torch.full((64, 1), noise.N_TOKENS), clean[:, :-1]], 1)).logits
                loss = torch.nn.functional.cross_entropy(logits[..., : noise.N_TOKENS][wrong], labels[wrong])
                print(loss.item(), wrong.float().mean().item())
        """
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, timeout=300
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        (drawn, _), (hostile, share) = (map(float, line.split()) for line in done.stdout.splitlines())
        self.assertGreater(hostile, drawn + 0.1)
        self.assertTrue(0.12 < share < 0.17, share)


if __name__ == "__main__":
    unittest.main()
