"""llama-perplexity's file of log-probabilities as an input of entrol score, written by an independent writer (recorded.py)
from logits whose entropy is known."""
import gzip
import json
import os
import struct
import unittest

import recorded
from scoring import ScoreCase, np, records, run, textbook

CONTEXT, VOCABULARY = 16, 777
ROWS = CONTEXT - 1 - CONTEXT // 2


class Kld(ScoreCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(11)
        self.tokens = rng.integers(0, VOCABULARY, size=(4, CONTEXT))
        spread = np.array([1, 4, 8, 14])[:, None, None]  # from all within 16 of the top to nearly all clipped
        self.logits = (rng.normal(size=(4, ROWS, VOCABULARY)) * spread).astype("f4")
        self.logits[0, 0] = 3  # equal ones have the scale 0
        self.logits[3, 1, 5] += 40  # a nearly certain one
        self.data = recorded.kld(self.tokens, self.logits, CONTEXT)
        self.file = self.write("run.kld", self.data)

    def truth(self, chunk):
        return textbook(self.logits[chunk], self.tokens[chunk, CONTEXT // 2 + 1:])

    def test_bounds_hold_the_truth(self):
        documents = self.score(self.file)
        self.assertEqual([document["id"] for document in documents], [f"{self.file}:{chunk}" for chunk in range(4)])
        for chunk, document in enumerate(documents):
            truth = self.truth(chunk)
            self.assertEqual(document["token_id"], self.tokens[chunk, CONTEXT // 2 + 1:].tolist())
            for i in range(ROWS):
                lower, upper = document["entropy_lower"][i], document["entropy_upper"][i]
                self.assertLessEqual(lower, truth["entropy"][i], (chunk, i))
                self.assertGreaterEqual(upper, truth["entropy"][i], (chunk, i))
                self.assertLess(upper - lower, 0.01, (chunk, i))
                self.assertAlmostEqual(document["top_prob"][i], truth["top_prob"][i], delta=2e-4)
                self.assertAlmostEqual(document["margin"][i], truth["margin"][i], delta=4e-4)
                if document["logprob"][i] is None:  # somewhere further than 16 below the top
                    self.assertLess(truth["logprob"][i], np.log(truth["top_prob"][i]) - 15.99)
                    self.assertIsNone(document["rank"][i])
                else:
                    self.assertAlmostEqual(document["logprob"][i], truth["logprob"][i], delta=2e-4)
                if document["rank"][i] is not None:
                    self.assertEqual(document["rank"][i], truth["rank"][i])
                p = np.exp(self.logits[chunk, i].astype("f8") - self.logits[chunk, i].max())
                tail = p[p <= np.exp(-16)].sum() / p.sum()
                self.assertAlmostEqual(document["tail_mass"][i], tail, delta=3e-4)
            self.assertNotIn("entropy", document)
            self.assertNotIn("mean_topk_logprob", document)
        self.assertIn(None, documents[3]["logprob"])
        self.assertNotIn(None, documents[1]["logprob"])
        self.assertGreater(sum(value is not None for value in documents[1]["rank"]), 0)

    def test_top(self):
        document = self.score(self.file, "--top", 5)[1]
        for i in range(ROWS):
            order = np.argsort(-self.logits[1, i], kind="stable")[:5]
            truth = textbook(self.logits[1, i])
            self.assertEqual(document["top_id"][i], order.tolist())
            logprobs = self.logits[1, i].astype("f8")[order] - truth["logsumexp"][0]
            self.assertTrue(np.allclose(document["top_logprob"][i], logprobs, atol=2e-4))
            self.assertAlmostEqual(document["mean_topk_logprob"][i], logprobs.mean(), delta=2e-4)

    def test_runs(self):
        plain = self.score(self.file)
        self.assertEqual([d["entropy_lower"] for d in self.score(self.write("run.kld.gz", gzip.compress(self.data)))],
                         [d["entropy_lower"] for d in plain])
        piped = run("score", stdin=self.data)
        self.assertEqual([d["id"] for d in records(piped.stdout)], [f"stdin:{chunk}" for chunk in range(4)])
        for threads in (1, 3):
            done = run("score", self.file, environment={"ENTROL_THREADS": str(threads)})
            self.assertEqual(records(done.stdout), plain)
        message = done.stderr.decode()
        lower, upper = (np.mean([d[c] for d in plain]) / np.log(2) for c in ("entropy_lower", "entropy_upper"))
        self.assertIn(f"mean from {lower:.4f} to {upper:.4f}  bits, by the bounds of {4 * ROWS} tokens (100.0 %)", message)
        self.assertIn(len(self.score(self.file, "--sample", "0.5", "--seed", 2)), (1, 2, 3))
        out = self.path("out.jsonl")
        self.assertEqual(run("score", self.file, "-o", out).returncode, 0)
        with open(out + ".manifest.json") as file:
            self.assertIn("bounds of H", json.load(file)["formula"])
        done = run("score", self.file, "--dry-run")
        self.assertEqual(done.stdout.decode().splitlines()[:2], ["documents   4", f"tokens      {4 * ROWS}"])
        sample = self.score(self.file, "--level", "sample")[2]
        self.assertAlmostEqual(sample["entropy_upper_mean"], np.mean(plain[2]["entropy_upper"]), delta=1e-6)
        done = run("inspect", self.file)
        self.assertEqual([line.strip() for line in done.stdout.decode().splitlines()[1:]],
                         ["kind: llama-perplexity's log-probabilities (--kl-divergence-base)", "chunks: 4 of 16 tokens",
                          "vocabulary: 777", f"rows: {4 * ROWS}"])

    def test_odd_vocabulary(self):
        """Rows end in a level that is none when the vocabulary is odd, and in a whole one when it is even."""
        for n in (1, 2, 3, 8):
            logits = np.random.default_rng(n).normal(size=(1, 1, n)).astype("f4") * 3
            path = self.write("odd.kld", recorded.kld(np.zeros((1, 3)), logits, 3))
            document, = self.score(path)
            truth = textbook(logits[0], [0])
            self.assertLessEqual(document["entropy_lower"][0], truth["entropy"][0] + 1e-12)
            self.assertGreaterEqual(document["entropy_upper"][0], truth["entropy"][0])
            self.assertLess(document["entropy_upper"][0] - document["entropy_lower"][0], 2e-3)
            self.assertAlmostEqual(document["logprob"][0], truth["logprob"][0], delta=2e-4)

    def test_flags_that_cannot_go_with_it(self):
        for flags, words in ((("--columns", "entropy"), "only the bounds"), (("--columns", "token"), "has no text"),
                             (("--columns", "mean_topk_logprob"), "needs --top N"), (("--temperature", "2"), "cannot be taken"),
                             (("--vocab-size", "777"), "have their own"), (("--targets", self.file), "has its tokens")):
            self.refused(self.file, *flags, says=(words,))
        self.assertIn(b"filter keeps lines", run("filter", self.file, "--keep", "..1").stderr)

    def test_hostile_files(self):
        header = lambda *numbers: b"_logits_" + struct.pack("<iii", *numbers)
        rows = 20 + 4 * 4 * CONTEXT  # where the first begins
        patched = lambda at, bytes_: self.data[:at] + bytes_ + self.data[at + len(bytes_):]
        for data, words in ((self.data[:-1], f"expected {len(self.data)} bytes"), (self.data[:-1], "not written to its end"),
                            (self.data + b"x", "made longer"), (b"_logits_", "found 8 bytes"),
                            (header(-1, 5, 5), "n_ctx -1"), (header(16, 0, 1), "n_vocab 0"), (header(16, 5, -7), "n_chunk -7"),
                            (header(2, 5, 1), "a context of 3"), (header(2**31 - 1, 2**31 - 1, 2**31 - 1), "more bytes than"),
                            (header(2**31 - 1, 5, 1), "bytes for 1 chunks of"),
                            (patched(rows, struct.pack("<f", float("nan"))), "chunk 0, row 0: expected a scale"),
                            (patched(rows, struct.pack("<f", -1)), "found -1"),
                            (patched(rows + 4, struct.pack("<f", 5)), "and 5"),
                            (patched(rows + 4, struct.pack("<f", -1)), "chunk 0, row 0: "),
                            (patched(rows + 4, struct.pack("<f", -90)), "chunk 0, row 0: "),
                            (patched(20 + 4 * (CONTEXT // 2 + 1), struct.pack("<i", -2)), "row 0: expected a token of 777, found -2"),
                            (patched(20 + 4 * (CONTEXT // 2 + 2), struct.pack("<i", 777)), "row 1: expected a token of 777")):
            self.refused(self.write("bad.kld", data), says=("bad.kld: ", words))


if __name__ == "__main__":
    unittest.main()
