"""examples/training/noise.py: what each rule masks, and a few steps of each, with a text that the test makes up."""

import os
import random
import tempfile
import unittest
import unittest.mock

try:
    import tokenizers  # noqa: F401
    import torch
    import transformers  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from training_runs import quick_run  # it puts the programs on the path

import noise
import study


def texts():
    """260 lines of words of a few syllables: there are 240 to learn from."""
    drawn = random.Random(5)
    words = [
        "".join(drawn.choices(("ba", "du", "ki", "lor", "men", "so", "tra"), k=drawn.randint(1, 4))) for _ in range(400)
    ]
    return [" ".join(drawn.choices(words, k=90)) for _ in range(260)]


class Rules(unittest.TestCase):
    def test_each_masks_the_highest_of_its_own_numbers(self):
        """20 tokens, of which 15 % are 3; each of the four numbers has its highest elsewhere."""
        surprisal, entropy, random_ = (torch.zeros(2, 10) for _ in range(3))
        surprisal[0, :6] = torch.tensor([9.0, 8, 7, 6, 5, 4])
        entropy[0, :6] = torch.tensor([8.9, 7.9, 6.9, 0, 0, 0])  # the first three are surprising, as was to be expected
        entropy[1, :3] = torch.tensor([9.0, 9.5, 10])
        random_[1, 7:] = 0.9
        expected = {
            "surprisal": (0, [0, 1, 2]),
            "excess": (0, [3, 4, 5]),
            "entropy": (1, [0, 1, 2]),
            "random": (1, [7, 8, 9]),
        }
        for rule, (row, columns) in expected.items():
            wanted = torch.zeros(2, 10, dtype=torch.bool)
            wanted[row, columns] = True
            self.assertTrue(torch.equal(noise.mask_of(rule, -surprisal, entropy, random_), wanted), rule)


class Noise(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(made.cleanup)
        cls.folder = made.name
        with open(os.path.join(cls.folder, "lee_background.cor"), "w", encoding="latin-1") as file:
            file.writelines(f"{text}\n" for text in texts())
        with unittest.mock.patch.dict(os.environ, ENTROL_TEXTS=cls.folder):
            noise.prepare(cls.folder, True)

    def run_arm(self, arm):
        return quick_run(self, "noise", self.folder, arm, ENTROL_TEXTS=self.folder)[1]

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

    def test_every_rule_is_the_one_of_its_arm(self):
        """The programs' runs of the other rules: the same steps until the warm-up is over, and then masks of their own."""
        losses = {}
        for rule in ("none", "random", "entropy", "surprisal", "excess"):
            run = study.Run("", 1, noise.ARMS[f"drawn-{rule}"], os.path.join(self.folder, "a run"), True)
            with unittest.mock.patch.object(noise, "mask_of", side_effect=noise.mask_of) as asked:
                lines = list(noise.learn(run))
            self.assertEqual([call.args[0] for call in asked.mock_calls], [] if rule == "none" else 7 * [rule])
            self.assertEqual([line["masked"] for line in lines], [0] + 7 * [0 if rule == "none" else 39 / 256])
            losses[rule] = [line["loss"].item() for line in lines]
        self.assertEqual(len({found[0] for found in losses.values()}), 1)
        del losses["excess"]  # a model of eight steps is everywhere about as unsure: the order is that of the surprisal
        self.assertEqual(len({found[-1] for found in losses.values()}), len(losses))

    def test_hostile_noise_raises_the_loss_of_what_it_is_aimed_at(self):
        stored = torch.load(os.path.join(self.folder, "prepared.pt"))
        network = noise.model(noise.N_TOKENS + 1, noise.LENGTH, 0)
        network.load_state_dict(stored["attacked"])
        clean, losses = stored["training"][:64], []
        for kind in ("drawn", "hostile"):
            labels, wrong = noise.damaged(clean, kind, 1, network)
            with torch.no_grad():
                logits = network(torch.cat([torch.full((64, 1), noise.N_TOKENS), clean[:, :-1]], 1)).logits
            losses.append(torch.nn.functional.cross_entropy(logits[..., : noise.N_TOKENS][wrong], labels[wrong]).item())
            share = wrong.float().mean().item()
            self.assertTrue(0.12 < share < 0.17, share)
        self.assertGreater(losses[1], losses[0] + 0.1)


if __name__ == "__main__":
    unittest.main()
