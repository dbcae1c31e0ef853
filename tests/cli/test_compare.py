"""entrol compare: two models over the same texts, and files of logits, against the formulas in float64."""
import gzip
import hashlib
import json
import math
import os
import re
import signal
import subprocess
import time
import unittest

from scoring import ENTROL, ScoreCase, have_llama, np, reals, records, run, textbook, write_safetensors

BUILD = os.environ.get("BUILD", "build")
SEED = 20251126
NATS = 1 / math.log(2)
TEXT = ("The cat and the dog and a hat on the stone; then another one, and then the end of that. " * 4).strip()


def log_softmax(logits, temperature=1.0):
    z = np.asarray(logits, dtype=np.float64) / temperature
    top = z.max(axis=-1, keepdims=True)
    return z - top - np.log(np.exp(z - top).sum(axis=-1, keepdims=True))


def entropy_of(p):
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=-1)


def divergence(logp, logq):
    """KL(p||q) of every row; infinite where a column is possible in p alone."""
    with np.errstate(invalid="ignore"):
        terms = np.where(np.exp(logp) > 0, np.exp(logp) * (logp - logq), 0)
    return terms.sum(axis=-1)


def textbook_of(first, others, targets=None, temperature=1.0):
    """The columns of compare, by their formulas: the divergences are those from the first of the others."""
    logs = [log_softmax(rows, temperature) for rows in (first, *others)]
    p, q = np.exp(logs[0]), np.exp(logs[1])
    mean, with_first = sum(map(np.exp, logs)) / len(logs), (p + q) / 2
    with np.errstate(divide="ignore"):
        log_middle = np.log(with_first)
    result = {
        "reference_entropy": entropy_of(q),
        "kl_pq": divergence(logs[0], logs[1]),
        "kl_qp": divergence(logs[1], logs[0]),
        "jsd": (divergence(logs[0], log_middle) + divergence(logs[1], log_middle)) / 2,
        "agree": logs[0].argmax(axis=-1) == logs[1].argmax(axis=-1),
        "mean_entropy": entropy_of(mean),
        "bald": entropy_of(mean) - np.mean([entropy_of(np.exp(each)) for each in logs], axis=0),
    }
    result.update({name: value for name, value in textbook(first, targets, temperature).items()
                   if name in ("entropy", "logprob", "rank")})
    if targets is not None:
        result["reference_logprob"] = logs[1][np.arange(len(q)), targets]
    return result


class CompareCase(ScoreCase):
    def compare(self, *arguments, **more):
        """The records and the summary of a run that must succeed."""
        done = run("compare", *arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return records(done.stdout), done.stderr.decode()

    def refused(self, *arguments, says=(), **more):
        done = run("compare", *arguments, **more)
        message = done.stderr.decode(errors="replace")
        self.assertEqual((done.returncode, done.stdout), (2, b""), message)
        for words in says:
            self.assertIn(words, message)
        return message

    def check(self, record, expected, tolerance=2e-6):
        for name, values in expected.items():
            if name not in record:
                continue
            if name in ("agree", "rank"):
                self.assertEqual(record[name], values.tolist(), name)
            else:
                self.near(reals(record[name]), values, tolerance)


class Logits(CompareCase):
    def pair(self, rows=40, columns=300, apart=0.5, dtype=np.float32):
        generator = np.random.default_rng(SEED)
        first = generator.normal(0, 3, (rows, columns)).astype(dtype)
        second = (first + generator.normal(0, apart, first.shape)).astype(dtype)
        gumbel = -np.log(-np.log(generator.random(first.shape)))
        return first, second, (first + gumbel).argmax(axis=1)  # drawn from the first

    def test_every_column(self):
        for dtype in np.float32, np.float64, np.float16:
            first, second, targets = self.pair(dtype=dtype)
            paths = [self.npy(name, array) for name, array in (("p.npy", first), ("q.npy", second), ("t.npy", targets))]
            for temperature in 1, 0.5, 3:
                [record], _ = self.compare(paths[0], "--reference", paths[1], "--targets", paths[2], "--columns", "all",
                                           "--temperature", temperature)
                expected = textbook_of(first, [second], targets, temperature)
                self.assertLessEqual(set(expected), set(record))
                self.check(record, expected)

    def test_the_default_columns(self):
        first, second, targets = self.pair()
        p, q, t = self.npy("p.npy", first), self.npy("q.npy", second), self.npy("t.npy", targets)
        of_score = ["id", "token_id", "logprob", "entropy", "rank"]
        added = ["reference_logprob", "reference_entropy", "kl_pq", "kl_qp", "jsd", "agree"]
        [record], _ = self.compare(p, "--reference", q, "--targets", t)
        self.assertEqual(list(record), of_score + added)
        [record], _ = self.compare(p, "--reference", q, "--reference", p, "--targets", t)
        self.assertEqual(list(record), of_score + added + ["mean_entropy", "bald"])
        [record], _ = self.compare(p, "--reference", q)
        self.assertEqual(list(record), ["id", "entropy", *added[1:]])
        [scored] = self.score(p, "--targets", t)
        self.assertEqual({name: scored[name] for name in of_score},
                         {name: self.compare(p, "--reference", q, "--targets", t)[0][0][name] for name in of_score})

    def test_the_most_probable_tokens(self):
        first, second, _ = self.pair()
        p, q = self.npy("p.npy", first), self.npy("q.npy", second)
        [record], _ = self.compare(p, "--reference", q, "--top", 2)
        [plain], _ = self.compare(p, "--reference", q)
        self.assertEqual(record["top_id"], np.argsort(-first, axis=1)[:, :2].tolist())
        self.assertEqual({name: record[name] for name in plain}, plain)

    def test_close_rows_keep_their_digits(self):
        generator = np.random.default_rng(SEED)
        first = generator.normal(0, 3, (30, 500))
        second = first + generator.normal(0, 1e-6, first.shape)
        p, q = self.npy("p.npy", first), self.npy("q.npy", second)
        [record], _ = self.compare(p, "--reference", q)
        # to the second order: half of the variance of the difference under p
        probability = np.exp(log_softmax(first))
        change = second - first
        change -= (probability * change).sum(axis=1, keepdims=True)
        expected = (probability * change**2).sum(axis=1) / 2
        np.testing.assert_allclose(reals(record["kl_pq"]), expected, rtol=2e-5)
        np.testing.assert_allclose(reals(record["jsd"]), expected / 4, rtol=2e-5)

    def test_a_file_with_itself(self):
        for dtype in np.float32, np.float64:
            p = self.npy("p.npy", self.pair(dtype=dtype)[0])
            [record], summary = self.compare(p, "--reference", p, "--columns", "all")
            for name in "kl_pq", "kl_qp", "jsd", "bald":
                self.assertEqual(record[name], [0] * 40, name)
            self.assertEqual(record["agree"], [True] * 40)
            self.near(record["mean_entropy"], record["entropy"])
            self.assertIn("agreement   100.00 % of tokens", summary)

    def test_several_references(self):
        first, second, targets = self.pair()
        others = [second, *(second + np.random.default_rng(i).normal(0, 2, second.shape) for i in range(3))]
        paths = [self.npy(f"{i}.npy", array) for i, array in enumerate((first, *others))]
        flags = [flag for path in paths[1:] for flag in ("--reference", path)]
        [record], summary = self.compare(paths[0], *flags, "--targets", self.npy("t.npy", targets))
        expected = textbook_of(first, others, targets)
        self.check(record, expected)
        self.assertIn(f"BALD        {expected['bald'].mean() * NATS:.6f} +/- ", summary)
        self.assertIn(f"mean of all {expected['mean_entropy'].mean() * NATS:.6f} +/- ", summary)
        [record], _ = self.compare(paths[0], *flags, "--columns", "bald")
        self.assertEqual(list(record), ["id", "bald"])
        self.check(record, expected)

    def test_of_two_bald_is_the_jensen_shannon_divergence(self):
        first, second, _ = self.pair()
        [record], _ = self.compare(self.npy("p.npy", first), "--reference", self.npy("q.npy", second), "--columns",
                                   "jsd,mean_entropy,bald")
        self.assertEqual(record["bald"], record["jsd"])
        self.check(record, textbook_of(first, [second]))

    def test_columns_that_are_possible_in_one(self):
        first, second, _ = self.pair(rows=4, columns=6)
        first[0, 2] = second[1, 3] = first[2, 1] = second[2, 1] = -np.inf
        p, q = self.npy("p.npy", first), self.npy("q.npy", second)
        [record], summary = self.compare(p, "--reference", q)
        self.check(record, textbook_of(first, [second]))
        self.assertEqual((record["kl_qp"][0], record["kl_pq"][1]), ("Infinity", "Infinity"))
        self.assertIn("KL(m||r)    infinite at 1 of 4 tokens; the mean of the others ", summary)

    def test_rows_in_trouble(self):
        first, second, targets = self.pair(rows=6)
        first[1, 7] = np.nan
        second[3] = -np.inf
        first[4, 2] = second[4, 1] = np.inf
        p, q, t = self.npy("p.npy", first), self.npy("q.npy", second), self.npy("t.npy", targets)
        [record], summary = self.compare(p, "--reference", q, "--targets", t, "--columns", "all")
        for name in "kl_pq", "kl_qp", "jsd", "mean_entropy", "bald":
            self.assertEqual([value == "NaN" for value in record[name]], [False, True, False, True, True, False], name)
        self.assertEqual([value is None for value in record["agree"]], [False, True, False, True, True, False])
        self.assertEqual([value == "NaN" for value in record["entropy"]], [False, True, False, False, True, False])
        self.assertEqual([value == "NaN" for value in record["reference_logprob"]], [False, False, False, True, True, False])
        good = [0, 2, 5]
        self.check({name: [values[i] for i in good] for name, values in record.items() if isinstance(values, list)},
                   textbook_of(first[good], [second[good]], targets[good]))
        self.assertIn(f"bad rows    2; the first: {p}, row 1, column 7: ", summary)
        self.assertIn(f"bad rows    2 of {q}; the first: {p}, row 3: ", summary)
        [sample], _ = self.compare(p, "--reference", q, "--level", "sample")
        self.assertEqual((sample["kl_pq_mean"], sample["entropy_mean"]), ("NaN", "NaN"))

    def test_a_third_file_in_trouble(self):
        first, second, _ = self.pair(rows=3)
        third = second.copy()
        third[2, 5] = np.nan
        p, q, r = (self.npy(name, array) for name, array in (("p.npy", first), ("q.npy", second), ("r.npy", third)))
        [record], summary = self.compare(p, "--reference", q, "--reference", r)
        self.assertEqual((record["bald"][2], "NaN" in record["bald"][:2], "NaN" in record["kl_pq"]), ("NaN", False, False))
        self.assertIn(f"bad rows    1 of {r}; the first: {p}, row 2, column 5: ", summary)

    def test_statistics_of_documents(self):
        first, second, targets = (array.reshape(4, 10, *array.shape[1:]) for array in self.pair())
        p, q, t = self.npy("p.npy", first), self.npy("q.npy", second), self.npy("t.npy", targets)
        tokens, summary = self.compare(p, "--reference", q, "--targets", t)
        samples, of_samples = self.compare(p, "--reference", q, "--targets", t, "--level", "sample")
        self.assertEqual(re.sub(r"\(.*?/s\)", "", summary), re.sub(r"\(.*?/s\)", "", of_samples))
        for record, sample in zip(tokens, samples):
            self.assertEqual(list(sample), ["id", "n_tokens", "entropy_mean", "reference_entropy_mean", "kl_pq_mean", "kl_qp_mean",
                                            "jsd_mean", "agree_share", "surprisal_mean", "reference_surprisal_mean"])
            self.assertEqual(sample["n_tokens"], 10)
            self.assertEqual(sample["agree_share"], np.mean(record["agree"]))
            for name in "entropy", "reference_entropy", "kl_pq", "kl_qp", "jsd":
                self.near(sample[f"{name}_mean"], reals(record[name]).mean())
            for name in "", "reference_":
                self.near(sample[f"{name}surprisal_mean"], -reals(record[f"{name}logprob"]).mean())
        samples, _ = self.compare(p, "--reference", q, "--reference", p, "--level", "sample")
        self.assertEqual(list(samples[0])[-2:], ["mean_entropy_mean", "bald_mean"])

    def test_the_summary_and_the_manifest(self):
        first, second, targets = self.pair()
        p, q, t, out = self.npy("p.npy", first), self.npy("q.npy", second), self.npy("t.npy", targets), self.path("out")
        _, summary = self.compare(p, "--reference", q, "--targets", t, "-o", out)
        expected = textbook_of(first, [second], targets)
        for label, path, prefix in ("model", p, ""), ("reference", q, "reference_"):
            h, surprisal = expected[f"{prefix}entropy"].mean(), -expected[f"{prefix}logprob"].mean()
            self.assertIn(f"{label:12}{path}: entropy {h * NATS:.4f} bits, perplexity {math.exp(surprisal):.4f}", summary)
        with open(out + ".manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        for label, name in ("KL(m||r)", "kl_pq"), ("KL(r||m)", "kl_qp"), ("JSD", "jsd"):
            mean, error = expected[name].mean(), expected[name].std(ddof=1) / math.sqrt(40)
            self.assertIn(f"{label:12}{mean * NATS:.6f} +/- {error * NATS:.6f} bits\n", summary)
            self.near([manifest["comparison"][f"{name}_mean"], manifest["comparison"][f"{name}_mean_error"]], [mean, error])
        better = (expected["logprob"] > expected["reference_logprob"]).mean()
        self.assertIn(f"agreement   {100 * expected['agree'].mean():.2f} % of tokens", summary)
        self.assertIn(f"better      {100 * better:.2f} % of tokens", summary)
        self.assertEqual((manifest["comparison"]["agree_share"], manifest["comparison"]["better_share"]),
                         (expected["agree"].mean(), better))
        self.assertEqual((manifest["command"][0], manifest["references"]), ("compare", [{"path": q, "bad_rows": 0}]))
        self.assertEqual(sorted(os.listdir(self.folder)), ["out", "out.manifest.json", "p.npy", "q.npy", "t.npy"])
        _, summary = self.compare(p, "--reference", q, "--unit", "nats")
        self.assertIn(f"KL(m||r)    {expected['kl_pq'].mean():.6f} +/- ", summary)

    def test_shapes_that_differ(self):
        first, second, _ = self.pair(rows=6, columns=8)
        p = self.npy("p.npy", first)
        for other, found in (second[:5], "5 rows of 8 columns"), (second[:, :7], "6 rows of 7 columns"), \
                (np.stack([second, second]), "2 matrices of 6 rows of 8 columns"):
            q = self.npy("q.npy", other)
            self.refused(p, "--reference", q, says=[p, q, "6 rows of 8 columns", found])
            self.refused(q, "--reference", p, says=[p, q, "6 rows of 8 columns", found])

    def test_arrays_of_a_name(self):
        first, second, _ = self.pair(rows=6, columns=8)
        p, q, r = self.path("p.safetensors"), self.path("q.safetensors"), self.path("r.safetensors")
        write_safetensors(p, a=first[:2], b=first[2:])
        write_safetensors(q, b=second[2:], a=second[:2])
        write_safetensors(r, a=second[:2])
        both, _ = self.compare(p, "--reference", q)
        self.assertEqual([record["id"] for record in both], [f"{p}:a", f"{p}:b"])
        for record, rows in zip(both, (slice(0, 2), slice(2, 6))):
            self.check(record, textbook_of(first[rows], [second[rows]]))
        self.refused(p, "--reference", r, says=["2 arrays", "has 1"])
        write_safetensors(r, a=second[:2], c=second[2:])
        self.refused(p, "--reference", r, says=[r, 'no array "b"'])
        write_safetensors(r, other=second[:2])
        write_safetensors(p, one=first[:2])
        [record], _ = self.compare(p, "--reference", r)  # the only ones
        self.check(record, textbook_of(first[:2], [second[:2]]))

    def test_bfloat16_beside_float32(self):
        first, second, _ = self.pair(rows=5, columns=64)
        halves = (first.view(np.uint32) >> 16).astype(np.uint16)
        write_safetensors(self.path("p.safetensors"), x=("BF16", halves))
        [record], _ = self.compare(self.path("p.safetensors"), "--reference", self.npy("q.npy", second))
        self.check(record, textbook_of((halves.astype(np.uint32) << 16).view(np.float32), [second]))

    def test_more_rows_than_a_block(self):
        generator = np.random.default_rng(SEED)
        row, change = generator.normal(0, 3, 1 << 19).astype(np.float16), generator.normal(0, 1, 1 << 19).astype(np.float16)
        first = np.tile(row, (70, 1))  # 73 MB: blocks are of 64 MiB
        second = first.copy()
        second[66] += change
        [record], _ = self.compare(self.npy("p.npy", first), "--reference", self.npy("q.npy", second))
        self.assertEqual([value == 0 for value in record["kl_pq"]], [i != 66 for i in range(70)])
        self.near(record["kl_pq"][66:67], textbook_of(row[None], [second[66:67]])["kl_pq"])

    def test_threads_change_nothing(self):
        first, second, _ = self.pair(rows=3, columns=70000)
        p, q = self.npy("p.npy", first), self.npy("q.npy", second)
        self.assertEqual(*(self.compare(p, "--reference", q, "--reference", p, "-t", t)[0] for t in (1, 2)))

    def test_standard_input_and_packed_files(self):
        first, second, _ = self.pair(rows=3, columns=8)
        p, q = self.npy("p.npy", first), self.npy("q.npy", second)
        [plain], _ = self.compare(p, "--reference", q)
        with open(p, "rb") as file:
            [piped], _ = self.compare("-", "--reference", q, stdin=file.read())
        with open(q, "rb") as file, gzip.open(self.path("q.npy.gz"), "wb") as packed:
            packed.write(file.read())
        [unpacked], _ = self.compare(p, "--reference", self.path("q.npy.gz"))
        self.assertEqual((piped["kl_pq"], unpacked["kl_pq"]), (plain["kl_pq"], plain["kl_pq"]))
        self.refused(p, "--reference", "-", says=["--reference -"])

    def test_what_becomes_of_the_records(self):
        first, second, targets = self.pair()
        p, q, t = self.npy("p.npy", first), self.npy("q.npy", second), self.npy("t.npy", targets)
        [record], _ = self.compare(p, "--reference", q, "--targets", t)
        for name in "out.jsonl", "out.safetensors":
            path = self.path(name)
            self.compare(p, "--reference", q, "--targets", t, "-o", path)
            done = run("select", path, "--by", "kl_pq", "--keep", "high:25%")
            self.assertEqual(done.returncode, 0, done.stderr)
            [kept] = records(done.stdout)
            self.assertEqual({key: kept[key] for key in record}, record)
            divergences = reals(record["kl_pq"])
            self.assertEqual(kept["keep"], (divergences >= np.quantile(divergences, 0.75)).tolist())
            self.assertIn(b"agree", run("inspect", path).stdout)

    def test_columns_that_cannot_be_had(self):
        first, second, _ = self.pair(rows=2)
        p, q = self.npy("p.npy", first), self.npy("q.npy", second)
        self.refused(p, "--reference", q, "--columns", "kl", says=["compare can write", "kl_pq", "bald"])
        self.refused(p, "--reference", q, "--columns", "reference_logprob", says=["--targets"])
        done = run("score", p, "--columns", "kl_pq")
        self.assertIn(b'"kl_pq" is not a column that score can write', done.stderr)
        self.assertEqual(run("score", p, "--columns", "all").stdout.count(b"kl_pq"), 0)
        done = run("select", "-", "--by", "jsd", "--keep", "high:1", stdin=run("score", p).stdout)
        self.assertIn(b"entrol compare writes it", done.stderr)


class Refusals(CompareCase):
    def test_records_are_no_distributions(self):
        p = self.npy("p.npy", np.random.default_rng(SEED).normal(0, 1, (3, 8)).astype(np.float32))
        says = ["holds token records, not distributions: give models (-m, --reference) and texts, or logits"]
        for name, flags in (("r.jsonl", []), ("r.safetensors", []), ("s.jsonl", ["--level", "sample"])):
            path = self.path(name)
            self.assertEqual(run("score", p, *flags, "-o", path).returncode, 0)
            self.refused(p, "--reference", path, says=[path, *says])
            self.refused(path, "--reference", p, says=[path, *says])
        with open(self.path("r.jsonl"), "rb") as file, gzip.open(self.path("r.jsonl.gz"), "wb") as packed:
            packed.write(file.read())
        self.refused(p, "--reference", self.path("r.jsonl.gz"), says=says)

    def test_references_that_do_not_go_together(self):
        p = self.npy("p.npy", np.zeros((2, 4), dtype=np.float32))
        text = self.write("a.txt", "the cat")
        model = self.write("fake.gguf", b"GGUF" + b"\0" * 60)
        self.refused(p, says=["compare needs --reference FILE"])
        self.refused(p, "--reference", text, says=[text, "expected a model (GGUF) or logits"])
        self.refused(p, "--reference", self.path("none"), says=["none", "No such file"])
        self.refused(p, "--reference", p, "--reference", model, says=["one is a model and the other logits"])
        self.refused(p, p, "--reference", p, says=["one file of logits"])
        self.refused(text, "--reference", p, says=[p, "one file of logits"])
        self.refused(p, "--reference", model, says=[p, model, "a model goes with texts"])
        self.refused(p, *["--reference", p] * 16, says=["at most 15", "found 16"])

    def test_what_score_has_and_compare_has_not(self):
        p, out = self.npy("p.npy", np.zeros((2, 4), dtype=np.float32)), self.path("out")
        for flag in ["--resume"], ["--pack", 2], ["--compat", "llama-perplexity"], ["--dry-run"], ["--sample", "1%"]:
            self.refused(p, "--reference", p, "-o", out, *flag, says=[f"unknown option {flag[0]}"])
        self.assertEqual(os.listdir(self.folder), ["p.npy"])


@unittest.skipUnless(have_llama() and os.path.exists(f"{BUILD}/llama_write_tiny_model"), "this build has no llama.cpp")
class Models(CompareCase):
    """Two tiny models: the second has other weights, the third nearly the first's."""

    def model(self, name, *flags):
        path = self.path(name)
        subprocess.run([f"{BUILD}/llama_write_tiny_model", path, *map(str, flags)], check=True)
        return path

    def models(self):
        return self.model("a.gguf"), self.model("b.gguf", "--seed", 7), self.model("c.gguf", "--noise", 0.02)

    def lines(self, name, documents):
        return self.write(name, "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents))

    def score_with(self, model, *arguments):
        return self.score("-m", model, "-t", 1, *arguments)

    def compare_with(self, first, others, *arguments, **more):
        references = [flag for other in others for flag in ("--reference", other)]
        return self.compare("-m", first, *references, "-t", 1, *arguments, **more)

    def test_logits_by_another_way(self):
        n, path, (a, b, c) = 120, self.write("a.txt", TEXT), self.models()
        logits = []
        for model in a, b, c:
            out, targets = self.path("logits.npy"), self.path("targets.npy")
            subprocess.run([f"{BUILD}/llama_dump_logits", model, path, str(n), out, targets], check=True)
            logits.append(np.load(out))
        [record], _ = self.compare_with(a, [b, c], path, "-b", n)
        expected = textbook_of(logits[0], logits[1:], np.load(targets))
        self.assertEqual(record["token_id"][:n], np.load(targets).tolist())
        for name in expected:
            self.check({name: record[name][:n]}, expected, 1e-5)
        [record], _ = self.compare_with(a, [c], path, "-b", n)
        self.check({name: record[name][:n] for name in ("kl_pq", "jsd", "agree")}, textbook_of(logits[0], logits[2:]), 1e-5)
        self.assertGreater(sum(record["agree"]), n / 2)

    def test_each_model_has_the_numbers_of_score(self):
        a, b, _ = self.models()
        documents = [{"id": 1, "text": TEXT}, {"prompt": "The cat", "completion": " and the hat"}, {"text": ""}, {"text": "é 中"}]
        path = self.lines("a.jsonl", documents)
        for flags in [], ["-c", 64], ["-c", 64, "--min-context", 40, "-b", 16], ["--temperature", 2]:
            together, _ = self.compare_with(a, [b], path, *flags)
            ours, theirs = (self.score_with(model, path, *flags) for model in (a, b))
            for record, first, second in zip(together, ours, theirs, strict=True):
                self.assertEqual({name: record[name] for name in first}, first)
                self.assertEqual((record["reference_entropy"], record["reference_logprob"]),
                                 (second["entropy"], second["logprob"]))
                self.assertTrue(all(value > 0 for value in record["kl_pq"]))

    def test_a_model_with_itself(self):
        a, path = self.model("a.gguf"), self.write("a.txt", TEXT)
        [record], summary = self.compare_with(a, [a], path, "-c", 64, "--columns", "all")
        n = len(record["entropy"])
        for name in "kl_pq", "kl_qp", "jsd", "bald":
            self.assertEqual(record[name], [0] * n, name)
        self.assertEqual((record["agree"], record["reference_logprob"]), ([True] * n, record["logprob"]))
        for line in "KL(m||r)    0.000000 +/- 0.000000 bits", "agreement   100.00 % of tokens", "better      0.00 % of tokens":
            self.assertIn(line, summary)

    def test_vocabularies_that_differ(self):
        a, text, out = self.model("a.gguf"), self.write("a.txt", TEXT), self.path("out")
        more, other, start = self.model("m.gguf", "--more-tokens"), self.model("o.gguf", "--other-token"), self.model("n.gguf", "--no-bos")
        for model, says in (more, ["291", "292", "tokens"]), (other, ["token 278 is ", '"and"', '"und"']), \
                (start, ["with token 1", "with none"]):
            for pair in (a, model), (model, a):
                self.refused("-m", pair[0], "--reference", pair[1], text, "-o", out, says=[a, model, *says])
        self.assertFalse(os.path.exists(out) or os.path.exists(out + ".part"))

    def test_without_a_bos_the_first_token_has_no_distribution(self):
        models = [self.model(f"{seed}.gguf", "--no-bos", "--seed", seed) for seed in (1, 2, 3)]
        [record], _ = self.compare_with(models[0], models[1:], self.write("a.txt", TEXT))
        for name in "entropy", "reference_entropy", "reference_logprob", "kl_pq", "kl_qp", "jsd", "agree", "mean_entropy", "bald":
            self.assertEqual([value is None for value in record[name]], [True] + [False] * (len(record["entropy"]) - 1), name)

    def test_a_model_in_trouble(self):
        a, bad = self.model("a.gguf"), self.model("bad.gguf", "--seed", 3, "--nan")  # its "w" is NaN
        path = self.lines("a.jsonl", [{"text": "the hat was one"}, {"text": "the hat"}])
        (first, second), summary = self.compare_with(a, [bad], path, "--columns", "all")
        at = first["token"].index("w") + 1
        n = len(first["token"])
        for name in "reference_entropy", "kl_pq", "jsd", "bald":
            self.assertEqual([value == "NaN" for value in first[name]], [i >= at for i in range(n)], name)
            self.assertNotIn("NaN", second[name])
        self.assertNotIn("NaN", first["entropy"])
        self.assertIn(f"bad rows    {n - at} of {bad}; the first: {path}:1, token {at}, column ", summary)
        self.compare_with(bad, [a], path)

    def test_prompts_and_conversations(self):
        a, b, _ = self.models()
        text = "The cat and the hat"
        [whole], _ = self.compare_with(a, [b], self.lines("a.jsonl", [{"text": text}]))
        [part], _ = self.compare_with(a, [b], self.lines("b.jsonl", [{"prompt": text[:7], "completion": text[7:]}]))
        n = len(part["kl_pq"])
        self.assertEqual((part["kl_pq"], part["agree"]), (whole["kl_pq"][-n:], whole["agree"][-n:]))
        messages = [{"role": "user", "content": "the hat"}, {"role": "assistant", "content": "an end"},
                    {"role": "user", "content": "and that"}]
        path = self.lines("c.jsonl", [{"messages": messages}])
        flags = ["--chat-template", "gemma", "--score-role", "user"]
        [record], summary = self.compare_with(a, [b], path, *flags)
        [scored] = self.score_with(b, path, *flags)
        self.assertEqual(record["reference_logprob"], scored["logprob"])
        self.assertIn(f"tokens      {len(scored['logprob'])} ", summary)
        self.assertIn(f"agreement   {100 * np.mean(record['agree']):.2f} %", summary)

    def test_several_files_and_standard_input(self):
        a, b, _ = self.models()
        paths = [self.write(f"{i}.txt", text) for i, text in enumerate(("the hat", "an end", "that one"))]
        found, _ = self.compare_with(a, [b], *paths)
        self.assertEqual([record["id"] for record in found], paths)
        [record], _ = self.compare_with(a, [b], stdin=b'{"id": 5, "text": "the hat"}\n')
        self.assertEqual((record["id"], record["kl_pq"]), (5, found[0]["kl_pq"]))
        logits = self.npy("x.npy", np.zeros((2, 4), dtype=np.float32))
        self.refused("-m", a, "--reference", b, *paths, logits, says=[logits, b, "a model goes with texts"])

    def test_records_among_the_texts(self):
        a, b, _ = self.models()
        text, out = self.write("a.txt", "the hat"), self.path("r.jsonl")
        self.score_with(a, text, "-o", out)
        says = ["holds token records, not distributions"]
        self.refused("-m", a, "--reference", b, text, out, says=[out, *says])
        with open(out, "rb") as file:
            self.refused("-m", a, "--reference", b, "-", stdin=file.read(), says=["stdin:1", *says])
        late = self.write("late.jsonl", '{"text": "the hat"}\n' + open(out, encoding="utf-8").read())
        done = run("compare", "-m", a, "--reference", b, late, "-o", self.path("out"))
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{late}:2 holds token records", done.stderr.decode())
        self.assertFalse(any(name.startswith("out") for name in os.listdir(self.folder)))
        self.compare_with(a, [b], self.lines("fine.jsonl", [{"text": "the hat", "weight": [1], "n_tokens": 3}]))

    def test_recorded_log_probabilities_are_no_distributions(self):
        line = {"choices": [{"text": "a", "logprobs": {"tokens": ["a"], "token_logprobs": [-0.5], "text_offset": [0],
                                                       "top_logprobs": [{"a": -0.5, "b": -1.5}]}}]}
        path = self.write("log.jsonl", json.dumps(line) + "\n")
        self.refused("-m", self.model("a.gguf"), "--reference", self.model("b.gguf", "--seed", "2"), path,
                     says=["log.jsonl:1", "recorded log-probabilities"])

    def test_bad_lines(self):
        a, b, _ = self.models()
        path, out = self.write("a.jsonl", '{"text": "the hat"}\n{broken\n{"text": "an end"}\n'), self.path("out")
        message = self.refused("-m", a, "--reference", b, path, "-o", out, says=[f"{path}:2"])
        self.assertNotIn("--resume", message)
        self.assertFalse(any(name.startswith("out") for name in os.listdir(self.folder)))
        found, summary = self.compare_with(a, [b], path, "--skip-bad")
        self.assertEqual([record["id"] for record in found], [f"{path}:1", f"{path}:3"])
        self.assertIn("skipped     1 bad line\n", summary)

    def test_the_manifest(self):
        a, b, c = self.models()
        out = self.path("out")
        self.compare_with(a, [b, c], self.write("a.txt", TEXT), "-o", out, "-c", 64)
        with open(out + ".manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        hashes = [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in (a, b, c)]
        self.assertEqual((manifest["model"], manifest["model_sha256"]), (a, hashes[0]))
        self.assertEqual([(each["path"], each["sha256"]) for each in manifest["references"]], [(b, hashes[1]), (c, hashes[2])])
        self.assertEqual((manifest["context"], manifest["min_context"], manifest["counts"]["documents"]), (64, 32, 1))
        self.assertIn("kl_pq", manifest["columns"])
        [record] = records(open(out, "rb").read())
        self.near(manifest["comparison"]["bald_mean"], reals(record["bald"]).mean())

    def test_a_stop_leaves_nothing(self):
        a, b, _ = self.models()
        path = self.lines("a.jsonl", [{"text": TEXT}] * 4000)
        process = subprocess.Popen([ENTROL, "compare", "-m", a, "--reference", b, "-t", "1", path, "-o", self.path("out")],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and not os.path.exists(self.path("out.part")):
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1].decode()
        self.assertEqual(process.returncode, 130, message)
        self.assertRegex(message, r"stopped after \d+ documents")
        self.assertNotIn("--resume", message)
        self.assertFalse(any(name.startswith("out") for name in os.listdir(self.folder)))

    def test_more_context_than_a_window_has(self):
        a, b, _ = self.models()
        self.refused("-m", a, "--reference", b, self.write("a.txt", TEXT), "-c", 64, "--min-context", 63, says=["--min-context", "62"])


if __name__ == "__main__":
    unittest.main()
