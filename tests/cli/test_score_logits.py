"""entrol score on logits files. The peer is NumPy in float64."""
import fcntl
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
import unittest

from scoring import ENTROL, ScoreCase, levels, np, reals, records, run, textbook, write_safetensors

SEED = 20250611
STATISTICS = "entropy,varentropy,logsumexp,top_prob,margin,sum_p_squared,renyi"


def rows_of_many_kinds(n_columns, generator):
    """Rows that break kernels: flat, peaked, shifted, two-level, with impossible columns, far below zero."""
    normal = generator.normal(0, 2.5, (4, n_columns))
    peaked = generator.normal(0, 1, (1, n_columns))
    peaked[0, generator.integers(n_columns)] = 40
    two_level = np.stack([np.full(n_columns, -gap) for gap in (1.0, 6.1, 12.0)])
    two_level[:, 0] = 0
    holes = generator.normal(0, 3, (2, n_columns))
    holes[:, 1::2] = -np.inf
    certain = np.full((1, n_columns), -np.inf)
    certain[0, n_columns // 2] = 3
    rising = np.linspace(-20, 20, n_columns)[None]
    return np.concatenate([normal, normal[:1] + 1000, np.zeros((1, n_columns)), peaked, two_level, holes, certain, rising,
                           -rising, np.full((1, n_columns), -200.0)]).astype(np.float32)


class Statistics(ScoreCase):
    def test_equals_numpy_at_every_level(self):
        generator = np.random.default_rng(SEED)
        for level in levels():
            for n_columns in (1, 2, 3, 7, 17, 64, 1001, 65537):
                with self.subTest(level=level, n_columns=n_columns):
                    logits = rows_of_many_kinds(n_columns, generator)
                    # possible columns, since the rank among equal impossible ones says little
                    targets = np.array([generator.choice(np.flatnonzero(np.isfinite(row))) for row in logits])
                    [record] = self.score(self.npy("x.npy", logits), "--targets", self.npy("y.npy", targets),
                                          "--columns", STATISTICS + ",logprob,rank", environment={"ENTROL_CPU": level})
                    for name, expected in textbook(logits, targets).items():
                        # margin is a difference of two rounded probabilities
                        self.near(reals(record[name]), expected,
                                  relative=1e-3 if name in ("entropy", "varentropy") else None)

    def test_a_peaked_row_is_right_to_a_thousandth(self):
        logits = np.random.default_rng(SEED).normal(0, 1, (8, 131072)).astype(np.float32)
        logits[np.arange(8), np.arange(8) * 16000] = 40
        for level in levels():
            [record] = self.score(self.npy("x.npy", logits), environment={"ENTROL_CPU": level})
            expected = textbook(logits)["entropy"]
            self.assertLess(expected.max(), 1e-9)
            self.assertLess(np.max(np.abs(reals(record["entropy"]) / expected - 1)), 1e-3, level)

    def test_every_element_type(self):
        logits = np.random.default_rng(SEED).normal(0, 4, (9, 1003)).astype(np.float32)
        cut = logits.view(np.uint32) >> 16 << 16  # bf16 is the upper half of an f32
        write_safetensors(self.path("bf16.safetensors"), x=("BF16", (cut >> 16).astype(np.uint16)))
        cases = [(self.npy("f16.npy", logits.astype(np.float16)), logits.astype(np.float16)),
                 (self.npy("f32.npy", logits), logits),
                 (self.npy("f64.npy", logits.astype(np.float64)), logits),
                 (self.path("bf16.safetensors"), cut.view(np.float32))]
        for path, values in cases:
            with self.subTest(path=os.path.basename(path)):
                [record] = self.score(path)
                self.near(reals(record["entropy"]), textbook(values)["entropy"])

    def test_temperature_divides_the_logits(self):
        logits = np.random.default_rng(SEED).normal(0, 4, (5, 999)).astype(np.float32)
        for temperature in (0.25, 0.7, 3.0):
            [record] = self.score(self.npy("x.npy", logits), "--columns", STATISTICS, "--temperature", temperature)
            for name, expected in textbook(logits, temperature=temperature).items():
                self.near(reals(record[name]), expected)

    def test_renyi_orders(self):
        logits = np.random.default_rng(SEED).normal(0, 2, (5, 999)).astype(np.float32)
        for order in (0.5, 1, 3):
            [record] = self.score(self.npy("x.npy", logits), "--renyi", order)
            self.near(reals(record["renyi"]), textbook(logits, order=order)["renyi"])
        [record] = self.score(self.npy("x.npy", logits), "--renyi", 0)
        self.near(reals(record["renyi"]), np.full(5, np.log(999)))
        [record] = self.score(self.npy("x.npy", logits), "--renyi", "inf")
        self.near(reals(record["renyi"]), -np.log(textbook(logits)["top_prob"]))
        for order in ("-1", "1e-9", "1e7", "nan"):  # the bounds of entrol_measure_rows
            self.refused(self.path("x.npy"), "--renyi", order, says=["--renyi", "expected"])

    def test_the_most_probable(self):
        logits = np.random.default_rng(SEED).normal(0, 3, (6, 501)).astype(np.float32)
        [record] = self.score(self.npy("x.npy", logits), "--top", 5, "--columns", "tail_mass,mean_topk_logprob")
        best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
        self.assertEqual(record["top_id"], best.tolist())
        logp = logits.astype(np.float64) - textbook(logits)["logsumexp"][:, None]
        expected = np.take_along_axis(logp, best, axis=1)
        self.near(np.array(record["top_logprob"]), expected)
        self.near(record["tail_mass"], 1 - np.exp(expected).sum(axis=1))
        self.near(record["mean_topk_logprob"], expected.mean(axis=1))
        self.assertNotIn("top_token", record)

    def test_more_than_there_are_is_null(self):
        [record] = self.score(self.npy("x.npy", np.array([[1, -np.inf, 0]], dtype=np.float32)), "--top", 4)
        self.assertEqual(record["top_id"], [[0, 2, None, None]])
        self.assertEqual(record["top_logprob"][0][2:], [None, None])

    def test_the_same_bytes_for_any_number_of_threads(self):
        logits = rows_of_many_kinds(5003, np.random.default_rng(SEED))
        path = self.npy("x.npy", np.tile(logits, (40, 1)))
        for more in (["--columns", "all", "--top", "3"], ["--level", "sample"]):
            one = run("score", path, "-t", 1, *more)
            two = run("score", path, "-t", 2, *more)
            self.assertEqual((one.returncode, two.returncode), (0, 0), one.stderr)
            self.assertEqual(one.stdout, two.stdout)


class Trouble(ScoreCase):
    def test_bad_rows_are_marked_counted_and_named(self):
        logits = np.zeros((7, 11), dtype=np.float32)
        logits[2, 5], logits[4, 3] = np.nan, np.inf
        logits[5] = -np.inf
        done = run("score", self.npy("x.npy", logits), "--columns", "entropy,top_prob")
        self.assertEqual(done.returncode, 0)
        [record] = records(done.stdout)
        for name in ("entropy", "top_prob"):
            self.assertEqual([i for i, value in enumerate(record[name]) if value == "NaN"], [2, 4, 5])
        message = done.stderr.decode()
        self.assertIn("bad rows    3", message)
        self.assertIn("x.npy, row 2, column 5", message)

    def test_a_bad_row_in_a_later_block_has_its_own_number(self):
        logits = np.zeros((3000, 16384), dtype=np.float32)  # 192 MiB: several blocks
        logits[2900, 7] = np.nan
        done = run("score", self.npy("x.npy", logits))
        self.assertIn("row 2900, column 7", done.stderr.decode())
        [record] = records(done.stdout)
        self.assertEqual([i for i, value in enumerate(record["entropy"]) if value == "NaN"], [2900])

    def test_an_impossible_target(self):
        logits = np.array([[0, -np.inf, 0], [0, 0, 0]], dtype=np.float32)
        done = run("score", self.npy("x.npy", logits), "--targets", self.npy("y.npy", np.array([1, 2])))
        [record] = records(done.stdout)
        self.assertEqual(record["logprob"][0], "-Infinity")
        self.assertIn("infinite", done.stderr.decode())

    def test_a_target_that_is_no_column(self):
        logits = np.zeros((4, 3), dtype=np.float32)
        done = run("score", self.npy("x.npy", logits), "--targets", self.npy("y.npy", np.array([0, 3, -1, 2])))
        [record] = records(done.stdout)
        self.assertEqual([record["logprob"][1], record["logprob"][2]], ["NaN", "NaN"])
        self.assertEqual([record["rank"][1], record["rank"][2]], [None, None])
        self.near(reals(record["entropy"]), np.full(4, np.log(3)))
        self.assertIn("row 1", done.stderr.decode())

    def test_targets_that_do_not_fit(self):
        x = self.npy("x.npy", np.zeros((4, 3), dtype=np.float32))
        self.refused(x, "--targets", self.npy("y.npy", np.zeros(3, dtype=np.int64)), says=["y.npy"])
        self.refused(x, "--targets", self.npy("z.npy", np.zeros(4)), says=["z.npy", "found f64"])
        self.refused(x, "--targets", self.path("none.npy"), says=["none.npy"])
        self.refused(x, x, "--targets", self.npy("y.npy", np.zeros(4, dtype=np.int64)), says=["--targets"])

    def test_packed_logits_that_are_torn(self):
        self.refused(self.write("x.npy.gz", b"\x1f\x8b"), says=["x.npy.gz", "expected .npy or .safetensors"])
        packed = gzip.compress(open(self.npy("x.npy", np.random.default_rng(SEED).normal(0, 1, (999, 99))), "rb").read())
        self.refused(self.write("x.npy.gz", packed[:-9]), says=["x.npy.gz", "ends too early"])

    def test_columns_that_cannot_be_had(self):
        x = self.npy("x.npy", np.zeros((4, 3), dtype=np.float32))
        self.refused(x, "--columns", "logprob", says=["logprob", "--targets"])
        self.refused(x, "--columns", "token", says=["token", "no text"])
        self.refused(x, "--columns", "entropy,nonsense", says=["nonsense", "varentropy"])
        self.refused(x, "--columns", "keep", says=["keep"])
        self.refused(x, "--columns", "top_id", says=["--top"])
        self.refused(x, "--columns", "", says=["--columns"])

    def test_levels_that_do_not_exist(self):
        x = self.npy("x.npy", np.zeros((4, 3), dtype=np.float32))
        self.refused(x, says=["ENTROL_CPU"], environment={"ENTROL_CPU": "abacus"})


class Documents(ScoreCase):
    def test_one_document_a_matrix(self):
        logits = np.random.default_rng(SEED).normal(0, 1, (2, 3, 5, 17)).astype(np.float32)
        found = self.score(self.npy("x.npy", logits))
        self.assertEqual([record["id"] for record in found], [f"{self.path('x.npy')}:{i}" for i in range(6)])
        for record, matrix in zip(found, logits.reshape(6, 5, 17)):
            self.near(record["entropy"], textbook(matrix)["entropy"])

    def test_one_row(self):
        [record] = self.score(self.npy("x.npy", np.zeros(8, dtype=np.float32)))
        self.near(record["entropy"], [np.log(8)])
        self.assertEqual(record["id"], self.path("x.npy"))

    def test_no_rows(self):
        self.refused(self.npy("x.npy", np.zeros((0, 8), dtype=np.float32)), says=["x.npy", "(0, 8)"])

    def test_several_files_and_tensors(self):
        generator = np.random.default_rng(SEED)
        a, b, c = (generator.normal(0, 1, (n, 5)).astype(np.float32) for n in (2, 3, 4))
        write_safetensors(self.path("two.safetensors"), first=a, second=b, ids=np.zeros(3, dtype=np.int64))
        found = self.score(self.path("two.safetensors"), self.npy("c.npy", c))
        self.assertEqual([os.path.basename(record["id"]) for record in found],
                         ["two.safetensors:first", "two.safetensors:second", "c.npy"])
        for record, matrix in zip(found, (a, b, c)):
            self.near(record["entropy"], textbook(matrix)["entropy"])

    def test_targets_from_a_tensor_by_name(self):
        logits = np.random.default_rng(SEED).normal(0, 1, (2, 3, 5)).astype(np.float32)
        write_safetensors(self.path("y.safetensors"), other=np.zeros(6, dtype=np.int32),
                          chosen=np.array([0, 1, 2, 3, 4, 0], dtype=np.int32))
        found = self.score(self.npy("x.npy", logits), "--targets", self.path("y.safetensors") + ":chosen")
        self.assertEqual([record["token_id"] for record in found], [[0, 1, 2], [3, 4, 0]])
        for record, matrix in zip(found, logits):
            expected = textbook(matrix, np.array(record["token_id"]))
            self.near(record["logprob"], expected["logprob"])
            self.assertEqual(record["rank"], expected["rank"].tolist())

    def test_standard_input_that_is_a_file(self):
        logits = np.random.default_rng(SEED).normal(0, 1, (3, 5)).astype(np.float32)
        with open(self.npy("x.npy", logits), "rb") as file:  # it is mapped, with nowhere to unpack it to
            [record] = self.score("-", stdin=file, environment={"TMPDIR": "/nonexistent"})
        self.near(record["entropy"], textbook(logits)["entropy"])
        self.assertEqual(record["id"], "stdin")

    def test_packed_and_through_pipes(self):
        logits = np.random.default_rng(SEED).normal(0, 1, (2, 3, 500)).astype(np.float32)
        path = self.npy("x.npy", logits)
        write_safetensors(self.path("x.safetensors"), x=logits)
        write_safetensors(self.path("y"), y=np.arange(6))
        expected = self.score(path, "--targets", self.path("y"))
        targets = self.write("y.gz", gzip.compress(open(self.path("y"), "rb").read()))
        for name in "x.npy", "x.safetensors":
            plain = open(self.path(name), "rb").read()
            for pack in bytes, gzip.compress:
                packed = self.write("packed", pack(plain))
                reader, writer = os.pipe()
                feeder = threading.Thread(target=self.feed, args=(writer, pack(plain)))
                feeder.start()
                cases = [self.score(packed, "--targets", targets), self.score("-", "--targets", targets, stdin=pack(plain)),
                         self.score(f"/dev/fd/{reader}", "--targets", targets, pass_fds=[reader])]
                feeder.join()
                os.close(reader)
                for found in cases:
                    for one, other in zip(found, expected, strict=True):
                        self.assertEqual(dict(one, id=""), dict(other, id=""))
                dry = run("score", "-", "--dry-run", stdin=pack(plain))
                self.assertIn(b"documents   2\ntokens      6\n", dry.stdout, dry.stderr)

    @staticmethod
    def feed(descriptor, content):
        with open(descriptor, "wb") as pipe:
            pipe.write(content)

    def test_standard_input_twice(self):
        self.refused("-", "-", stdin=open(self.npy("x.npy", np.zeros((2, 3))), "rb").read(), says=["standard input", "twice"])

    def test_the_default_columns(self):
        logits = np.zeros((2, 5), dtype=np.float32)
        [record] = self.score(self.npy("x.npy", logits))
        self.assertEqual(list(record), ["id", "entropy"])
        [record] = self.score(self.npy("x.npy", logits), "--targets", self.npy("y.npy", np.array([1, 2])))
        self.assertEqual(list(record), ["id", "token_id", "logprob", "entropy", "rank"])

    def test_statistics_of_documents(self):
        logits = np.random.default_rng(SEED).normal(0, 3, (4, 21, 50)).astype(np.float32)
        targets = np.random.default_rng(1).integers(0, 50, 84)
        found = self.score(self.npy("x.npy", logits), "--level", "sample", "--targets", self.npy("y.npy", targets))
        for record, matrix, ids in zip(found, logits, targets.reshape(4, 21)):
            expected = textbook(matrix, ids)
            h, surprisal = expected["entropy"], -expected["logprob"].mean()
            self.assertEqual(record["n_tokens"], 21)
            self.near([record[f"entropy_{name}"] for name in ("mean", "median", "max", "p90")],
                      [h.mean(), np.median(h), h.max(), np.quantile(h, 0.9)])
            self.near([record["surprisal_mean"]], [surprisal])
            self.near([record["perplexity"]], [np.exp(surprisal)], 1e-5)
            self.assertNotIn("entropy", record)

    def test_statistics_of_a_document_with_a_bad_row_are_nan(self):
        logits = np.zeros((2, 3, 4), dtype=np.float32)
        logits[0, 1, 2] = np.nan
        bad, good = self.score(self.npy("x.npy", logits), "--level", "sample")
        self.assertEqual([bad[f"entropy_{name}"] for name in ("mean", "median", "max", "p90")], ["NaN"] * 4)
        self.near([good["entropy_mean"]], [np.log(4)])

    def test_the_summary_does_not_steer_the_terminal(self):
        done = run("score", self.npy("esc\x1b[31m.npy", np.full((1, 3), np.nan, dtype=np.float32)))
        self.assertIn(b"/esc\\x1b[31m.npy, row 0, column 0: NaN\n", done.stderr)

    def test_the_summary(self):
        logits = np.random.default_rng(SEED).normal(0, 3, (3, 33, 70)).astype(np.float32)
        targets = np.random.default_rng(1).integers(0, 70, 99)
        arguments = [self.npy("x.npy", logits), "--targets", self.npy("y.npy", targets)]
        expected = textbook(logits.reshape(99, 70), targets)
        for unit, scale in (("bits", np.log(2)), ("nats", 1)):
            lines = run("score", *arguments, "--unit", unit).stderr.decode().splitlines()
            summary = {line.split()[0]: line.split()[1:] for line in lines}
            self.assertEqual((summary["documents"][0], summary["tokens"][0]), ("3", "99"))
            h = expected["entropy"] / scale
            self.near([float(summary["entropy"][i]) for i in (1, 3, 5)],
                      [h.mean(), np.median(h), np.quantile(h, 0.95)], 1e-4)
            self.assertEqual(summary["entropy"][6], unit)
            self.near([float(summary["perplexity"][0])], [np.exp(-expected["logprob"].mean())], 1e-4)


class Runs(ScoreCase):
    def big(self, *shape):
        return self.npy("x.npy", np.random.default_rng(SEED).normal(0, 2, shape or (400, 40, 300)).astype(np.float32))

    def test_a_manifest_beside_the_output(self):
        logits = np.zeros((3, 7), dtype=np.float32)
        logits[1, 1] = np.nan
        run("score", self.npy("x.npy", logits), "-o", self.path("out.jsonl"), "--temperature", "0.5", "--renyi", "inf")
        with open(self.path("out.jsonl.manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual(manifest["unit"], "nat")
        self.assertEqual((manifest["temperature"], manifest["renyi_order"]), (0.5, "Infinity"))
        self.assertEqual(manifest["inputs"], [self.path("x.npy")])
        self.assertEqual(manifest["counts"], {"documents": 1, "tokens": 3, "bad_rows": 1, "skipped_lines": 0})
        self.assertIn("formula", manifest)
        self.assertEqual(sorted(os.listdir(self.folder)), ["out.jsonl", "out.jsonl.manifest.json", "x.npy"])

    def test_a_name_that_is_not_utf8(self):
        path = self.npy("caf\udce9.npy", np.zeros((1, 7), dtype=np.float32))  # the byte e9, as Python has it
        shown = path.replace("\udce9", "\ufffd")
        self.assertEqual([record["id"] for record in self.score(path)], [shown])
        dry = run("score", path, "--dry-run")
        run("score", path, "-o", self.path("out.jsonl"))
        size = os.path.getsize(self.path("out.jsonl"))
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertIn(f"output      about {size} bytes\n", dry.stdout.decode())
        with open(self.path("out.jsonl.manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual((manifest["inputs"], manifest["command"][-1]), ([shown], shown))

    def test_a_share_depends_on_seed_and_number_only(self):
        path = self.big()
        ids = lambda *more: [record["id"] for record in self.score(path, "--level", "sample", *more)]
        everything, tenth = ids(), ids("--sample", "10%")
        self.assertEqual(tenth, ids("--sample", "0.1", "-t", "1"))
        self.assertTrue(20 <= len(tenth) <= 65, len(tenth))  # 40 expected, 4 standard deviations
        self.assertEqual([name for name in everything if name in set(tenth)], tenth)
        self.assertNotEqual(tenth, ids("--sample", "10%", "--seed", "1"))
        self.assertLessEqual(set(tenth), set(ids("--sample", "20%")))
        for wrong in ("0", "101%", "-1", "x", "5%%", "nan"):
            self.refused(path, "--sample", wrong, says=["--sample"])

    def test_dry_run(self):
        done = run("score", self.big(), "--dry-run", "-o", self.path("out"))
        self.assertEqual(done.returncode, 0, done.stderr)
        text = done.stdout.decode()
        for words in ("documents   400", "tokens      16000", "time", "output"):
            self.assertIn(words, text)
        self.assertEqual(os.listdir(self.folder), ["x.npy"])

    def test_dry_run_with_targets(self):
        x, y = self.npy("x.npy", np.zeros((50, 20), dtype=np.float32)), self.npy("y.npy", np.zeros(50, dtype=np.int64))
        done = run("score", x, "--targets", y, "--columns", "logprob", "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"rows/s", done.stdout)

    def test_killed_and_resumed_gives_the_same_bytes(self):
        path, out = self.big(), self.path("out")
        arguments = [ENTROL, "score", path, "--columns", "all", "--renyi", "3", "-o", out]
        contents = lambda: {name: open(self.path(name), "rb").read() for name in os.listdir(self.folder) if name != "x.npy"}
        start = time.monotonic()
        subprocess.run(arguments, check=True, capture_output=True)
        whole = time.monotonic() - start
        expected = contents()
        generator = random.Random(SEED)
        n_resumed = 0
        for _ in range(6):
            for name in expected:
                os.remove(self.path(name))
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(0, whole))
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_resumed += os.path.exists(out + ".part")
            subprocess.run([*arguments, "--resume"], check=True, capture_output=True)
            self.assertEqual(contents(), expected)
        self.assertGreater(n_resumed, 0)

    def interrupted(self, out):
        """A .part file with its journal, as a kill -9 leaves them."""
        process = subprocess.Popen([ENTROL, "score", self.big(20000, 40, 16), "-o", out], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (os.path.exists(out + ".part") and os.path.getsize(out + ".part") > 1 << 21):
            time.sleep(0.001)
        process.kill()
        process.wait()
        if not os.path.exists(out + ".part"):
            self.skipTest("the run ended before it could be interrupted")

    def test_a_torn_line_and_a_torn_journal_are_dropped(self):
        out = self.path("out")
        self.interrupted(out)
        with open(out + ".part", "ab") as file:
            file.write(b'{"id":"torn","entr')
        size = os.path.getsize(out + ".part.state")
        os.truncate(out + ".part.state", size - 5)
        self.assertEqual(run("score", self.path("x.npy"), "-o", out, "--resume").returncode, 0)
        resumed = open(out, "rb").read()
        self.assertEqual(run("score", self.path("x.npy"), "-o", out).returncode, 0)
        self.assertEqual(resumed, open(out, "rb").read())

    def test_the_summary_of_a_resumed_run_is_that_of_the_whole(self):
        out = self.path("out")
        self.interrupted(out)
        numbers = lambda done: [line for line in done.stderr.decode().splitlines() if not line.startswith("tokens")]
        resumed = run("score", self.path("x.npy"), "-o", out, "--resume")
        first, *rest = numbers(resumed)
        n_resumed = int(re.fullmatch(r"documents   20000  \((\d+) of them were done before\)", first)[1])
        self.assertTrue(0 < n_resumed < 20000, n_resumed)
        self.assertEqual(["documents   20000", *rest], numbers(run("score", self.path("x.npy"), "-o", out)))

    def test_a_run_that_is_interrupted_is_not_lost(self):
        out = self.path("out")
        self.interrupted(out)
        before = [open(out + ending, "rb").read() for ending in (".part", ".part.state")]
        self.refused(self.path("x.npy"), "-o", out, says=["out.part", "--resume", "remove"])
        self.refused(self.path("x.npy"), "-o", out, "--pack", "2", says=["out.part", "--resume"])
        self.assertEqual([open(out + ending, "rb").read() for ending in (".part", ".part.state")], before)
        os.remove(out + ".part")
        self.assertEqual(run("score", self.path("x.npy"), "-o", out, "--pack", "2").returncode, 0)
        self.assertEqual(sorted(os.listdir(self.folder)), ["out", "out.manifest.json", "x.npy"])

    def test_an_input_that_has_become_shorter(self):
        out = self.path("out")
        self.interrupted(out)
        self.npy("x.npy", np.zeros((20000, 40, 16), dtype=np.float32)[:3])
        with open(out + ".part", "ab") as file:
            file.write(b'{"id":"torn","entr')
        part = open(out + ".part", "rb").read()
        message = self.refused(self.path("x.npy"), "-o", out, "--resume", says=["changed"])
        self.assertNotIn("goes on from there", message)
        self.assertEqual(open(out + ".part", "rb").read(), part)

    def test_a_damaged_journal(self):
        out = self.path("out")
        self.interrupted(out)
        for content in b"", b"garbage\n":
            with open(out + ".part.state", "wb") as file:
                file.write(content)
            self.refused(self.path("x.npy"), "-o", out, "--resume", says=["out.part.state is damaged", "remove it"])

    def test_while_another_process_writes(self):
        out = self.path("out")
        self.interrupted(out)
        before = open(out + ".part.state", "rb").read()
        with open(out + ".part", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            message = self.refused(self.path("x.npy"), "-o", out, "--resume", says=["another process is writing it"])
        self.assertNotIn("goes on from there", message)
        self.assertEqual(open(out + ".part.state", "rb").read(), before)

    def test_nothing_to_go_on_with(self):
        out, x = self.path("out"), self.npy("x.npy", np.arange(24, dtype=np.float32).reshape(4, 6))
        self.assertEqual(run("score", x, "-o", out, "--resume").returncode, 0)
        entries = lambda: {name: (os.stat(self.path(name)).st_ino, open(self.path(name), "rb").read())
                           for name in os.listdir(self.folder)}
        before = entries()
        done = run("score", x, "-o", out, "--resume")
        self.assertEqual((done.returncode, entries()), (0, before), done.stderr)
        self.assertIn("nothing is left to do", done.stderr.decode())
        for flags in (["--temperature", "2"], ["--columns", "margin"], ["--sample", "0.5", "--seed", "3"], []):
            if not flags:  # a newer input
                self.npy("x.npy", np.ones((4, 6), dtype=np.float32))
            done = run("score", x, "-o", out, "--resume", *flags)
            self.assertIn("documents ", done.stderr.decode(), flags)
            self.assertIn("out is there, and no interrupted run to go on with: it is made anew", done.stderr.decode())
            self.assertNotEqual(entries()["out"], before["out"])
            before = entries()
        self.npy("x.npy", np.ones((5, 6), dtype=np.float32))  # of another size, and with an older date
        os.utime(x, (1, 1))
        run("score", x, "-o", out, "--resume")
        self.assertEqual(len(records(open(out, "rb").read())[0]["entropy"]), 5)

    def test_named_pipes_each_in_its_turn(self):
        pipes = [self.path(f"{i}.npy") for i in range(3)]
        for pipe in pipes:
            os.mkfifo(pipe)
        x = np.random.default_rng(SEED).normal(0, 1, (3, 5, 8)).astype(np.float32)
        def write_one_after_another():
            for pipe, matrix in zip(pipes, x):
                content = io.BytesIO()
                np.save(content, matrix)
                with open(pipe, "wb") as file:
                    file.write(content.getvalue())
        writer = threading.Thread(target=write_one_after_another, daemon=True)
        writer.start()
        done = subprocess.run([ENTROL, "score", *pipes], capture_output=True, timeout=60)
        writer.join(60)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = [records(run("score", self.npy("x.npy", matrix)).stdout)[0]["entropy"] for matrix in x]
        self.assertEqual([record["entropy"] for record in records(done.stdout)], expected)

    def test_other_settings_are_named(self):
        out = self.path("out")
        self.interrupted(out)
        part = open(out + ".part", "rb").read()
        self.refused(self.path("x.npy"), "-o", out, "--resume", "--temperature", "2", says=["temperature"])
        self.refused(self.path("x.npy"), "-o", out, "--resume", "--columns", "margin", says=["columns"])
        self.assertEqual(open(out + ".part", "rb").read(), part)
        self.refused(self.path("x.npy"), "--resume", says=["--resume", "-o"])

    def test_another_input_is_noticed(self):
        out = self.path("out")
        self.interrupted(out)
        self.npy("x.npy", np.zeros((20000, 41, 16), dtype=np.float32))
        self.refused(self.path("x.npy"), "-o", out, "--resume", says=["x.npy:0", "changed"])

    def test_interrupted_by_hand(self):
        out = self.path("out")
        process = subprocess.Popen([ENTROL, "score", self.big(20000, 40, 16), "-o", out], stderr=subprocess.PIPE)
        while process.poll() is None and not (os.path.exists(out + ".part") and os.path.getsize(out + ".part") > 1 << 21):
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1].decode()
        if process.returncode == 0:
            self.skipTest("the run ended before it could be interrupted")
        self.assertEqual(process.returncode, 130)
        self.assertIn("--resume", message)
        self.assertEqual(run("score", self.path("x.npy"), "-o", out, "--resume").returncode, 0)

    @unittest.skipIf("ENTROL_SANITIZED" in os.environ, "a sanitizer keeps memory of its own for every page")
    def test_memory_does_not_grow_with_the_file(self):
        def peak(n_rows):
            path = self.npy("x.npy", np.zeros((n_rows, 16384), dtype=np.float32))
            process = subprocess.Popen([ENTROL, "score", path, "-o", self.path("out")], stderr=subprocess.DEVNULL)
            return os.wait4(process.pid, 0)[2].ru_maxrss

        small, large = peak(2000), peak(12000)  # 125 and 750 MiB
        self.assertLess(large, 1.05 * small)


if __name__ == "__main__":
    unittest.main()
