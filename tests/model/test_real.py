"""What only a real model shows: its logits against NumPy in float64, a text against its logits, memory."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import recorded
from scoring import ENTROL, MODEL, ScoreCase, levels, np, reals, records, run, textbook
from test_compare import textbook_of

TEXT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "alice.txt")
DUMP = os.path.join(os.environ.get("BUILD", "build"), "llama_dump_logits")
N_ROWS = 64
STATISTICS = "entropy,varentropy,logsumexp,top_prob,margin,sum_p_squared,logprob,rank"


@unittest.skipUnless(MODEL, "ENTROL_MODEL names no model")
@unittest.skipUnless(os.path.exists(DUMP), "built without llama.cpp")
class RealLogits(ScoreCase):
    def setUp(self):
        super().setUp()
        self.logits, self.targets = self.path("logits.npy"), self.path("targets.npy")
        subprocess.run([DUMP, MODEL, TEXT, str(N_ROWS), self.logits, self.targets], check=True)

    def test_equals_numpy_at_every_level_and_number_of_threads(self):
        expected = textbook(np.load(self.logits), np.load(self.targets))
        for level in levels():
            lines = []
            for threads in (1, 2):
                [record] = self.score(self.logits, "--targets", self.targets, "--columns", STATISTICS, "-t", threads,
                                      environment={"ENTROL_CPU": level})
                lines.append(record)
            self.assertEqual(lines[0], lines[1], level)
            for name in STATISTICS.split(","):
                self.near(reals(lines[0][name]), expected[name], relative=1e-3 if name in ("entropy", "varentropy") else None)

    def test_a_kld_file_leaves_the_entropy_between_close_bounds(self):
        # two chunks of 32 tokens: row i of a chunk is about its token 17 + i, and so is row 17 + i of the logits
        logits, targets = np.load(self.logits), np.load(self.targets)
        chunks = np.stack([logits[32 * chunk + 17:32 * chunk + 32] for chunk in range(2)])
        path = self.write("run.kld", recorded.kld(targets.reshape(2, 32), chunks, 32))
        for chunk, record in enumerate(self.score(path)):
            truth = textbook(chunks[chunk], targets[32 * chunk + 17:32 * chunk + 32])
            lower, upper = reals(record["entropy_lower"]), reals(record["entropy_upper"])
            self.assertTrue(np.all(lower <= truth["entropy"]) and np.all(truth["entropy"] <= upper))
            self.assertLess(np.max(upper - lower), 0.05)
            self.assertTrue(np.nanmax(np.abs(reals(record["logprob"]) - truth["logprob"])) < 2e-4)
            ranks = reals(record["rank"])
            self.assertTrue(np.all((ranks == truth["rank"]) | np.isnan(ranks)))

    def test_a_text_gives_what_its_logits_give(self):
        # the same tokens in one decode of the same size: the same logits, so the same numbers to the last digit
        text = open(TEXT, encoding="utf-8").read()
        path = self.path("text.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        [scored] = self.score("-m", MODEL, "-c", N_ROWS, "-b", N_ROWS, "--columns", STATISTICS, path)
        [record] = self.score(self.logits, "--targets", self.targets, "--columns", STATISTICS)
        for name in STATISTICS.split(","):
            self.assertEqual(scored[name][:N_ROWS], record[name], name)

    def test_two_files_equal_numpy(self):
        logits, targets = np.load(self.logits)[:16], np.load(self.targets)[:16]
        noise = np.random.default_rng(1).normal(0, 0.3, logits.shape[1]).astype(np.float32)
        others = [logits / np.float32(1.3), logits + noise]
        flags = [flag for i, other in enumerate(others) for flag in ("--reference", self.npy(f"{i}.npy", other))]
        done = run("compare", self.npy("first.npy", logits), *flags, "--targets", self.npy("ids.npy", targets))
        self.assertEqual(done.returncode, 0, done.stderr)
        [record] = records(done.stdout)
        for name, expected in textbook_of(logits, others, targets).items():
            self.near(reals(record[name]), expected)

    def test_the_model_with_itself(self):
        text = self.write("text.txt", open(TEXT, encoding="utf-8").read()[:400])
        done = run("compare", "-m", MODEL, "--reference", MODEL, "-t", 1, "-c", N_ROWS, text)
        self.assertEqual(done.returncode, 0, done.stderr)
        [record] = records(done.stdout)
        for name in "kl_pq", "kl_qp", "jsd":
            self.assertEqual(set(record[name]), {0}, name)
        self.assertEqual((set(record["agree"]), record["reference_entropy"]), ({True}, record["entropy"]))

    def test_the_model_knows_a_famous_line(self):
        text = "It was the best of times, it was the worst of times.\n"
        path = self.path("famous.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        [record] = self.score("-m", MODEL, path)
        ranks = {text.encode()[start:end]: rank
                 for start, end, rank in zip(record["byte_start"], record["byte_end"], record["rank"])}
        self.assertEqual(ranks[b" worst"], 1)


@unittest.skipUnless(MODEL, "ENTROL_MODEL names no model")
class Memory(ScoreCase):
    def test_it_does_not_grow_with_the_text(self):
        text = open(TEXT, encoding="utf-8").read()

        def peak(n_times):
            path = self.path("long.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text * n_times)
            process = subprocess.Popen([ENTROL, "score", "-m", MODEL, "-c", "512", "-o", self.path("out"), path],
                                       stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            self.assertEqual(status, 0)
            return usage.ru_maxrss

        self.assertLess(peak(6), 1.05 * peak(1))  # about 300 and 1,900 tokens


if __name__ == "__main__":
    unittest.main()
