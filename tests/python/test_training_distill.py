"""examples/training/distill.py: what its rules keep, what a teacher teaches, and a few steps of each arm, from a teacher that
the test makes up."""

import os
import tempfile
import types
import unittest
import unittest.mock

try:
    import numpy as np
    import torch
    import transformers
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from training_runs import quick_run  # it puts the programs on the path

import distill
import study

N_TRAINING, N_TEST, LENGTH, N_COLUMNS = 16, 4, 64, 12
rng = np.random.default_rng(5)


def teacher():
    """ln p of each token, of rows from sure to unsure, and their entropies, in float64."""
    scale = rng.uniform(0.1, 6, size=(N_TRAINING + N_TEST, LENGTH, 1))
    logits = scale * rng.normal(size=(N_TRAINING + N_TEST, LENGTH, N_COLUMNS))
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return logprobs, -(np.exp(logprobs) * logprobs).sum(-1)


class Rules(unittest.TestCase):
    def test_what_each_arm_keeps(self):
        """Of 0 to 9: a fifth is the two highest, and from the median, 4.5, to the highest the weight falls from 1 to 0."""
        values = np.arange(10, dtype=np.float32)[::-1].copy()
        high = values >= 8
        expected = dict.fromkeys(("mask-high", "random-mask"), ~high)
        expected |= dict.fromkeys(("keep-high", "se-kd", "random-keep", "random-step"), high)
        expected["fall"] = np.clip((9 - values) / 4.5, 0, 1)
        for arm, wanted in expected.items():
            np.testing.assert_allclose(distill.weights_of(distill.ARMS[arm], values), wanted, atol=1e-6, err_msg=arm)
        self.assertEqual(expected.keys(), distill.ARMS.keys() - {"all"})


class Teacher:
    """Says of a token what its row of a table says, by the token before it alone; it has 11 tokens."""

    config = types.SimpleNamespace(bos_token_id=10)

    def __init__(self):
        self.table = torch.from_numpy(np.random.default_rng(2).normal(size=(11, 11)).astype(np.float32) * 2)

    def eval(self):
        return self

    def model(self, ids):
        return types.SimpleNamespace(last_hidden_state=self.table[ids])

    def lm_head(self, hidden):
        return hidden.clone()

    def says(self, piece):
        """p of each token of a piece, in float64."""
        p = np.exp(self.table.numpy().astype(float)[[10, *piece[:-1]]])
        return p / p.sum(-1, keepdims=True)


class Prepared(unittest.TestCase):
    def test_columns(self):
        tokens = np.array([[7, 7, 3], [3, 9, 7], [5, 3, 0]])
        with unittest.mock.patch.object(distill, "N_COLUMNS", 3):
            frequent, columns = distill.columns_of(tokens)
        self.assertEqual(frequent.tolist(), [3, 7])
        self.assertEqual(columns.tolist(), [[1, 1, 0], [0, 2, 1], [2, 0, 2]])

    def test_a_teacher_is_written_down(self):
        teacher, ids, frequent = Teacher(), np.array([[1, 4, 4, 2], [9, 0, 10, 3]]), np.array([1, 4, 9])
        logprobs = np.empty((2, 4, 4), np.float16)
        entropy = distill.teach(teacher, ids, frequent, logprobs)
        for i, piece in enumerate(ids):
            p = teacher.says(piece)
            others = p.sum(-1) - p[:, frequent].sum(-1)
            np.testing.assert_allclose(
                logprobs[i], np.log(np.column_stack([p[:, frequent], others])), rtol=1e-3, atol=1e-3
            )
            np.testing.assert_allclose(entropy[i], -(p * np.log(p)).sum(-1), rtol=1e-5)

    def test_all_is_there_once(self):
        """Of 242 texts, two are to test with. A text of 130 tokens is two pieces."""
        texts = [f"{i}" for i in range(242)]
        tokens = {text: np.random.default_rng(i).integers(10, size=130).tolist() for i, text in enumerate(texts)}

        def tokenizer(text, add_special_tokens):
            return {"input_ids": tokens[text]}

        teacher, from_file = Teacher(), "from_pretrained"
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(os.environ, ENTROL_MODEL="some/model"):
            with (
                unittest.mock.patch.object(transformers.AutoTokenizer, from_file, return_value=tokenizer),
                unittest.mock.patch.object(transformers.AutoModelForCausalLM, from_file, return_value=teacher) as read,
                unittest.mock.patch.object(distill, "stories", return_value=texts),
                unittest.mock.patch.object(distill, "N_COLUMNS", 6),
            ):
                distill.prepare(folder, True)
                distill.prepare(folder, True)
            self.assertEqual(read.call_count, 1)
            stored = np.load(os.path.join(folder, "labels.npz"))
            logprobs, entropy = (np.load(os.path.join(folder, f"{name}.npy")) for name in ("logprobs", "entropy"))
        self.assertEqual((int(stored["n_training"]), stored["labels"].shape), (16, (20, 64)))
        self.assertEqual((logprobs.shape, entropy.shape), ((20, 64, 6), (20, 64)))
        np.testing.assert_allclose(np.exp(logprobs.astype(float)).sum(-1), 1, atol=5e-3)
        last = teacher.says(tokens["241"][64:128])
        np.testing.assert_allclose(entropy[-1], -(last * np.log(last)).sum(-1), rtol=1e-5)


class Distill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.logprobs, cls.entropy = teacher()
        cls.labels = rng.integers(N_COLUMNS, size=cls.entropy.shape)

    def store(self, folder):
        np.save(os.path.join(folder, "logprobs.npy"), self.logprobs.astype(np.float16))
        np.save(os.path.join(folder, "entropy.npy"), self.entropy.astype(np.float32))
        np.savez(os.path.join(folder, "labels.npz"), labels=self.labels, n_training=N_TRAINING)

    def run_arm(self, folder, arm):
        self.store(folder)
        return quick_run(self, "distill", folder, arm, ENTROL_MODEL=folder, ENTROL_TEXTS=folder)

    def test_the_teachers_highest_fifth_is_masked(self):
        with tempfile.TemporaryDirectory() as folder:
            _, lines, _ = self.run_arm(folder, "mask-high")
        self.assertEqual([line["step"] for line in lines], list(range(9)))
        # four batches of four pieces are all of them: the rule leaves four fifths, and the first batches are a round
        self.assertAlmostEqual(sum(line["share"] for line in lines[1:5]) / 4, 0.8, delta=0.002)
        # a student that knows nothing yet is nearly uniform over its columns: KL = ln n - H, and the loss is ln n
        first, test = lines[0], self.entropy[N_TRAINING:]
        high = test >= np.quantile(test, 0.8)
        self.assertAlmostEqual(first["loss"], np.log(N_COLUMNS), delta=0.2)
        self.assertAlmostEqual(first["kl"], np.log(N_COLUMNS) - test.mean(), delta=0.2)
        self.assertAlmostEqual(first["kl_high"], np.log(N_COLUMNS) - test[high].mean(), delta=0.2)
        self.assertAlmostEqual(first["kl_low"], np.log(N_COLUMNS) - test[~high].mean(), delta=0.2)

    def test_se_kd_keeps_a_fifth_of_each_piece(self):
        with tempfile.TemporaryDirectory() as folder:
            head, lines, _ = self.run_arm(folder, "se-kd")
        # of 64 values the 0.8 quantile lies between the 51st and the 52nd: 13 are beyond it
        self.assertEqual({line["share"] for line in lines[1:]}, {0.20312})
        self.assertEqual(head["settings"]["keep"], "high:20%")

    def test_the_other_arms(self):
        """Their shares of a round of four steps, which is all of the text; drawn anew, of each step."""
        n, entropy = N_TRAINING * LENGTH, self.entropy[:N_TRAINING]
        middle, highest = np.quantile(entropy, 0.5), entropy.max()
        fall = np.clip((highest - entropy) / (highest - middle), 0, 1).mean()
        kept = np.ceil(0.2 * n) / n
        shares = {"all": 1, "fall": fall, "keep-high": kept, "random-mask": 1 - kept, "random-keep": kept}
        with tempfile.TemporaryDirectory() as folder:
            self.store(folder)
            for arm in [*shares, "random-step"]:
                run = study.Run(arm, 1, distill.ARMS[arm], os.path.join(folder, "a run"), True)
                _, *lines = distill.distill(run)
                found = [line["share"] for line in lines]
                if arm == "random-step":
                    np.testing.assert_allclose(found, 0.2, atol=1 / 256)
                else:
                    self.assertAlmostEqual(sum(found[:4]) / 4, shares[arm], delta=1e-3, msg=arm)
                if arm == "keep-high":
                    self.assertGreater(max(found) - min(found), 0.01)  # chosen once, of the whole text


if __name__ == "__main__":
    unittest.main()
