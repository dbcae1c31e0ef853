"""entrol.datasets: columns of logits measured in every kind of batch, against NumPy."""

import pickle
import unittest

from datasets_case import np, pa

from entrol.datasets import score_logits

try:
    import pandas as pd
except ImportError:
    pd = None


def textbook(logits):
    """Entropy and ln p, in float64."""
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -(np.exp(logp) * logp).sum(axis=-1), logp


class Logits(unittest.TestCase):
    def setUp(self):
        self.rows = np.random.default_rng(7).normal(0, 3, (12, 9)).astype(np.float32)
        self.targets = np.arange(12) % 9
        entropy, logp = textbook(self.rows)
        self.entropy, self.logprob = entropy, logp[np.arange(12), self.targets]

    def check(self, got, expected):
        np.testing.assert_allclose(np.asarray(got, np.float64), expected, rtol=1e-5)

    def test_a_row_for_each_row(self):
        scorer = score_logits("logits", targets="label", columns=("entropy", "logprob", "rank"))
        kinds = [
            pa.table({"logits": self.rows.tolist(), "label": self.targets}),
            pa.table(
                {"logits": pa.FixedSizeListArray.from_arrays(pa.array(self.rows.ravel()), 9), "label": self.targets}
            ),
            pa.table({"logits": pa.array([row.astype(np.float16) for row in self.rows]), "label": self.targets}),
            {"logits": self.rows, "label": self.targets},
            {"logits": self.rows.tolist(), "label": self.targets.tolist()},
        ]
        for batch in kinds:
            made = pickle.loads(pickle.dumps(scorer))(batch)
            tolerance = (
                {"rtol": 3e-2} if getattr(made, "schema", None) and "halffloat" in str(made.schema) else {"rtol": 1e-5}
            )
            np.testing.assert_allclose(np.asarray(made["entropy"], np.float64), self.entropy, **tolerance)
            np.testing.assert_allclose(np.asarray(made["logprob"], np.float64), self.logprob, **tolerance)

    def test_a_row_for_each_token(self):
        documents = [self.rows[:5], None, self.rows[5:6], self.rows[6:]]
        targets = [self.targets[:5].tolist(), None, [int(self.targets[5])], self.targets[6:].tolist()]
        lists = [None if rows is None else rows.tolist() for rows in documents]
        scorer = score_logits(targets="ids", columns=("entropy", "logprob"))
        batches = [
            pa.table({"logits": pa.array(lists, pa.list_(pa.list_(pa.float32()))), "ids": targets}),
            pa.table({"logits": pa.array(lists, pa.list_(pa.list_(pa.float32(), 9))), "ids": targets}).slice(0),
            {"logits": lists, "ids": targets},
        ]
        if pd is not None:
            batches.append(batches[0].to_pandas())
        for batch in batches:
            made = scorer(batch)
            made = {
                name: list(made[name].to_pylist() if isinstance(made, pa.Table) else made[name])
                for name in ("entropy", "logprob")
            }
            self.assertIsNone(made["entropy"][1])
            self.check(np.concatenate([made["entropy"][i] for i in (0, 2, 3)]), self.entropy)
            self.check(np.concatenate([made["logprob"][i] for i in (0, 2, 3)]), self.logprob)
        empty = scorer(batches[0].slice(1, 1))
        self.assertEqual(empty.schema.field("entropy").type, pa.list_(pa.float32()))

    def test_settings_and_special_values(self):
        made = score_logits(columns="entropy", temperature=2)(
            pa.table({"logits": [[0.0, -np.inf, 2.0], [1.0, 1.0, 1.0]]})
        )
        self.check(made["entropy"], [textbook([0, 1])[0], np.log(3)])
        made = score_logits(columns="support_entropy", support=("top_k", 2))({"logits": np.log([[0.5, 0.25, 0.25]])})
        self.assertEqual(made["support_entropy"].dtype, np.float32)

    def test_refused(self):
        for words, given in [
            ("columns: no column 'x'", {"columns": "x"}),
            ("targets: rank needs them", {"columns": "rank"}),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                score_logits(**given)
        with self.assertRaisesRegex(ValueError, "logits = 'z': no such column"):
            score_logits("z")({"logits": [[1.0]]})
        with self.assertRaisesRegex(TypeError, "logits = 'logits': expected lists of numbers, got double"):
            score_logits()(pa.table({"logits": [1.0]}))
        with self.assertRaisesRegex(ValueError, "rows of one length"):
            score_logits()(pa.table({"logits": [[[1.0], [1.0, 2.0]]]}))
        with self.assertRaisesRegex(TypeError, "row 1 of the batch: logits"):
            score_logits()({"logits": [[1.0], ["a"]]})


if __name__ == "__main__":
    unittest.main()
