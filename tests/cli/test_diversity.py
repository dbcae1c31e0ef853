"""entrol report --diversity: against slow references in Python, NLTK's BLEU, Python's gzip and tables of Student's t; and bad input."""
import collections
import gzip
import json
import math
import os
import random
import statistics
import subprocess
import tempfile
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
ORDERS = (1, 2, 3, 4)


def run(*arguments, data=b"", **more):
    """(exit code, standard output, standard error) of entrol report --diversity."""
    done = subprocess.run([ENTROL, "report", "--diversity", *map(str, arguments)], input=data, capture_output=True,
                          timeout=300, **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lines_of(items):
    return b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in items)


def measure(items, *options):
    """The object that --json prints of these lines."""
    code, out, err = run("--json", *options, data=lines_of(items))
    assert code == 0, err
    return json.loads(out)


def samples(groups):
    """A line for each sample of each prompt: lists of words."""
    return [{"prompt": str(i), "text": " ".join(words)} for i, group in enumerate(groups) for words in group]


# --- Slow references: by their papers, and all pairs ---

def grams(units, n):
    return [tuple(units[i:i + n]) for i in range(len(units) - n + 1)]


def distinct(group, n):
    all_grams = [gram for units in group for gram in grams(units, n)]
    return len(set(all_grams)) / len(all_grams) if all_grams else None


def bleu(references, units):
    """NLTK 3.10.4: sentence_bleu(references, units, smoothing_function=SmoothingFunction().method1)."""
    logs = []
    for n in ORDERS:
        counts, most = collections.Counter(grams(units, n)), collections.Counter()
        for reference in references:
            most |= collections.Counter(grams(reference, n))
        matched = sum((counts & most).values())
        if n == 1 and matched == 0:
            return 0.0
        logs.append(math.log((matched or 0.1) / max(1, sum(counts.values()))) / 4)
    closest = min((abs(len(r) - len(units)), len(r)) for r in references)[1]
    return math.exp(math.fsum(logs)) * math.exp(min(0, 1 - closest / len(units)))


def self_bleu(group):
    return statistics.fmean(bleu(group[:i] + group[i + 1:], group[i]) for i in range(len(group))) \
        if len(group) > 1 else None


def repetition(group):
    long = [grams(units, 4) for units in group if len(units) >= 4]
    return statistics.fmean(1 - len(set(g)) / len(g) for g in long) if long else None


def compression(texts):
    joined = "\n".join(texts).encode()
    return len(joined) / len(gzip.compress(joined, 9)) if joined else None


def reference_of(group, texts):
    values = {f"distinct_{n}": distinct(group, n) for n in ORDERS}
    return values | {"self_bleu": self_bleu(group), "seq_rep_4": repetition(group),
                     "compression_ratio": compression(texts)}


class Case(unittest.TestCase):
    def assert_values(self, found, expected):
        for name, value in expected.items():
            if value is None:
                self.assertIsNone(found[name], name)
            else:
                self.assertIsNotNone(found[name], name)
                self.assertAlmostEqual(found[name], value, delta=1e-12 * max(1, abs(value)), msg=name)


class TestNgrams(Case):
    def check(self, groups):
        found = measure(samples(groups), "--of", "words")
        for prompt, group in zip(found["of_prompts"], groups):
            self.assertEqual(prompt["samples"], len(group))
            self.assert_values(prompt, reference_of(group, [" ".join(words) for words in group]))
        everything = [words for group in groups for words in group]
        self.assert_values(found["together"], reference_of(everything, [" ".join(words) for words in everything]))

    def test_random_samples(self):
        """Few words, so that much is repeated; lengths from 0; one sample to many."""
        draw = random.Random(1)
        for _ in range(30):
            words = [f"w{i}" for i in range(draw.choice([1, 2, 5, 40, 300]))]
            longest = draw.choice([3, 8, 60])
            self.check([[draw.choices(words, k=draw.randint(0, longest)) for _ in range(draw.randint(1, 9))]
                        for _ in range(draw.randint(1, 6))])

    def test_more_ngrams_than_two_bytes_number(self):
        """70,000 words, each between two of the same: of all n-grams there are more than 2^16, and each comes twice."""
        text = [word for i in range(70000) for word in (f"{i:x}", "-")]
        self.check([[text, text]])

    def test_edges(self):
        self.check([[[]], [[], []], [["a"]], [["a"], ["a"]], [["a"], ["b"]], [["a"] * 9, ["a"] * 4],
                    [["a", "b", "c", "d"], ["a", "b", "c", "d"], ["d", "c", "b", "a"], ["x"], ["a", "b"]]])

    def test_bleu_is_that_of_nltk(self):
        """What NLTK 3.10.4 said of each with the others as references."""
        group = ["It is a guide to action which ensures that the military always obeys the commands of the party",
                 "It is to insure the troops forever hearing the activity guidebook that party direct",
                 "It is a guide to action that ensures that the military will forever heed Party commands",
                 "the the the the", "guide"]
        nltk = [0.43739533726502366, 0.03703131191121491, 0.4792365811426396, 0.10573712634405641, 0.008853531856477262]
        found = measure([{"prompt": 0, "text": text} for text in group], "--of", "words")
        self.assertAlmostEqual(found["together"]["self_bleu"], statistics.fmean(nltk), delta=1e-12)
        words = [text.split() for text in group]
        for i, value in enumerate(nltk):
            self.assertAlmostEqual(bleu(words[:i] + words[i + 1:], words[i]), value, delta=1e-12)

    def test_by_hand(self):
        """Li et al.: 5 different of 6 words, 4 of 5 pairs. Welleck et al.: of a b a b a b, 2 different of 3."""
        found = measure([{"prompt": 0, "text": "the cat sat on the mat"}])["together"]
        self.assert_values(found, {"distinct_1": 5 / 6, "distinct_2": 1, "seq_rep_4": 0, "self_bleu": None})
        self.assert_values(measure([{"prompt": 0, "text": "a b a b a b"}])["together"],
                           {"distinct_1": 2 / 6, "distinct_2": 2 / 5, "seq_rep_4": 1 / 3})

    def test_words_are_split_at_the_white_space_of_unicode(self):
        found = measure([{"prompt": 0, "text": "\u3000a\u00a0b\tb\u2028c "}])
        self.assertEqual((found["units"], found["together"]["distinct_1"]), (4, 0.75))

    def test_tokens_where_there_are_some(self):
        lines = [{"prompt": 0, "text": "one two", "token_id": [5, 5, 7]}, {"prompt": 0, "text": "three", "token_id": [4294967295]}]
        self.assertEqual((measure(lines)["of"], measure(lines)["units"]), ("tokens", 4))
        self.assertEqual(measure(lines)["together"]["distinct_1"], 0.75)
        self.assertEqual((measure(lines, "--of", "words")["of"], measure(lines, "--of", "words")["units"]), ("words", 3))


class TestPrompts(Case):
    def test_lines_in_any_order_are_samples_of_their_prompt(self):
        groups = [[["a", "b"], ["a", "c"]], [["x"], ["y"]]]
        lines = samples(groups)
        mixed = measure([lines[0], lines[2], lines[3], lines[1]])
        self.assertEqual([p["prompt"] for p in mixed["of_prompts"]], ["0", "1"])
        self.assertEqual(mixed["of_prompts"], measure(lines)["of_prompts"])

    def test_group_and_the_default(self):
        lines = [{"id": i, "prompt": i // 2, "prompt_id": 0, "topic": i % 2, "text": "a"} for i in range(4)]
        self.assertEqual((measure(lines)["group"], measure(lines)["prompts"]), ("prompt_id", 1))
        found = measure(lines, "--group", "topic")
        self.assertEqual((found["group"], [p["prompt"] for p in found["of_prompts"]]), ("topic", [0, 1]))
        for line in lines:
            del line["prompt_id"]
        self.assertEqual(measure(lines)["prompts"], 2)
        self.assertEqual(measure(lines, "--group", "id")["prompts"], 4)

    def test_arrays_of_texts(self):
        """A line is a prompt; an array of log-probabilities beside its samples is not of tokens."""
        groups = [[["a", "b"], ["a", "c"]], [["x"], ["y"], ["y"]]]
        found = measure([{"id": i, "answers": [" ".join(words) for words in group], "logprob": [-1.0] * len(group)}
                         for i, group in enumerate(groups)])
        self.assertEqual([p["samples"] for p in found["of_prompts"]], [2, 3])
        self.assertIsNone(found["together"]["logprob"])
        for prompt, group in zip(found["of_prompts"], groups):
            self.assert_values(prompt, reference_of(group, [" ".join(words) for words in group]))

    def test_semantic_entropy_is_that_of_entropy_answers(self):
        lines = [{"prompt": "p", "text": text, "meaning": label} for text, label in
                 [("Paris", 1), ("paris.", 1), ("It's Paris", 1), ("London", 2), ("Rome", 2)]] + \
                [{"prompt": "q", "text": "yes", "meaning": 1}, {"prompt": "q", "text": "Yes!", "meaning": 2}]
        for options in [], ["--label", "meaning"]:
            done = subprocess.run([ENTROL, "entropy", "--answers", *options], input=lines_of(lines), capture_output=True)
            theirs = [json.loads(line)["semantic_entropy"] for line in done.stdout.splitlines()]
            found = measure(lines, *options)
            self.assertEqual([p["semantic_entropy"] for p in found["of_prompts"]], theirs)
            self.assertAlmostEqual(found["mean_over_prompts"]["semantic_entropy"]["mean"], statistics.fmean(theirs))
            self.assertIsNone(found["together"]["semantic_entropy"])
        self.assertAlmostEqual(theirs[0], -0.6 * math.log(0.6) - 0.4 * math.log(0.4))

    def test_a_prompt_with_one_sample_has_no_self_bleu(self):
        lines = samples([[["a", "b"]], [["a"], ["a"]]])
        found = measure(lines)
        self.assertEqual([p["self_bleu"] is None for p in found["of_prompts"]], [True, False])
        self.assertEqual([p["semantic_entropy"] is None for p in found["of_prompts"]], [True, False])
        self.assertEqual(found["mean_over_prompts"]["self_bleu"]["n"], 1)
        code, _, err = run(data=lines_of(lines))
        self.assertEqual((code, err), (0, "entrol: standard input: self-BLEU and semantic entropy are of the 1 of 2 "
                                          "prompts that have two samples or more\n"))
        code, out, err = run(data=lines_of(lines[:1]))
        self.assertEqual((code, err), (0, "entrol: standard input: no prompt has two samples, which self-BLEU and "
                                          "semantic entropy need; --group FIELD joins lines\n"))
        self.assertNotIn("self-BLEU  ", out.split("logprobs lower")[1])


class TestMeans(Case):
    def interval(self, values):
        """Of prompts that have these distinct-1: their numbers of words are 1000, of which so many are different."""
        found = measure([{"prompt": i, "text": " ".join(f"w{min(j, value - 1)}" for j in range(1000))}
                         for i, value in enumerate(values)])
        return found["mean_over_prompts"]["distinct_1"]

    def test_interval_is_students(self):
        """t of 0.975 with n - 1 degrees of freedom: tables, as in Abramowitz and Stegun, 26.10."""
        draw = random.Random(3)
        for n, t in (2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (6, 2.571), (11, 2.228), (31, 2.042), (121, 1.980):
            counts = [draw.randint(1, 1000) for _ in range(n)]
            values = [c / 1000 for c in counts]
            mean, half = statistics.fmean(values), t * statistics.stdev(values) / math.sqrt(n)
            found = self.interval(counts)
            self.assertEqual(found["n"], n)
            self.assertAlmostEqual(found["mean"], mean, delta=1e-12)
            self.assertAlmostEqual((found["high"] - mean) / half, 1, delta=3e-4)
            self.assertAlmostEqual((mean - found["low"]) / half, 1, delta=3e-4)

    def test_one_prompt_has_no_interval(self):
        self.assertEqual(self.interval([500]), {"mean": 0.5, "low": None, "high": None, "n": 1})

    def test_columns(self):
        """Over the tokens that have a value: of a prompt, of all; the mean over prompts is one of means."""
        lines = [{"prompt": 0, "text": "a", "logprob": [-1, -2], "entropy": [1, None]},
                 {"prompt": 0, "text": "b", "logprob": [-4], "entropy": [2], "sampled_entropy": [0.5]},
                 {"prompt": 1, "text": "c", "logprob": [-8.5], "entropy": [4], "reference_logprob": [-0.5]}]
        found = measure(lines)
        self.assert_values(found["of_prompts"][0], {"logprob": -7 / 3, "entropy": 1.5, "perplexity": math.exp(7 / 3),
                                                   "sampled_entropy": 0.5,
                                                   "reference_logprob": None})
        self.assert_values(found["together"], {"logprob": -15.5 / 4, "entropy": 7 / 3, "perplexity": math.exp(15.5 / 4),
                                               "reference_logprob": -0.5})
        self.assertAlmostEqual(found["mean_over_prompts"]["logprob"]["mean"], (-7 / 3 - 8.5) / 2)

    def test_special_values(self):
        lines = [{"prompt": 0, "text": "a", "logprob": [-1, "NaN"]}, {"prompt": 1, "text": "a", "logprob": ["-Infinity"]}]
        code, out, err = run("--json", data=lines_of(lines))
        found = json.loads(out)
        self.assertEqual([p["logprob"] for p in found["of_prompts"]], [-1, "-Infinity"])
        self.assertEqual(found["together"]["perplexity"], "Infinity")
        self.assertIn("warning: standard input: 1 values that are NaN have been left out", err)


class TestReference(Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, items):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as out:
            out.write(lines_of(items))
        return path

    def test_other_tokens_and_a_prompt_before_the_text(self):
        """It counts instead of the samples' own reference_logprob."""
        a = self.file("a", [{"id": 1, "prompt": "p", "text": "one two", "token_id": [1, 2],
                             "reference_logprob": [-50, -50]},
                            {"id": 2, "prompt": "p", "text": "three", "token_id": [3]}])
        b = self.file("b", [{"id": 1, "text": "p one two", "logprob": [-1, -2, -3]}, {"id": 2, "text": "three", "logprob": [-6]}])
        code, out, err = run("--json", a, a, "--reference", b, "--reference", b)
        self.assertEqual((code, err), (0, ""))
        for line in out.splitlines():
            self.assertEqual(json.loads(line)["together"]["reference_logprob"], -3)
            self.assertIsNone(json.loads(line)["together"]["logprob"])

    def test_another_document(self):
        one, two = {"id": 1, "prompt": "p", "text": "one"}, {"id": 2, "prompt": "p", "text": "two"}
        scored = [dict(line, logprob=[-1]) for line in (one, two)]
        a = self.file("a", [one, two])
        for lines, message in (
                (scored[:1], "a:2 (2): --reference has no document for it: it ends after 1"),
                (scored + scored[:1], ":3 (1): --reference has more documents"),
                (scored[::-1], "differ: their ids are not the same"),
                ([dict(line, text="other") for line in scored], "a:1 (1): --reference: expected records of this sample, "
                                                                "found another text"),
                ([one, two], "b:1 (1): --reference: expected a column \"logprob\", found none")):
            code, out, err = run(a, "--reference", self.file("b", lines))
            self.assertEqual((code, out), (2, ""))
            self.assertIn(message, err)


class TestOutput(Case):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "a.jsonl")
        with open(self.path, "wb") as out:
            out.write(lines_of([{"prompt": i // 2, "text": f"a b {i} c", "entropy": [i + 1.0], "logprob": [-1.0]}
                                for i in range(6)]))

    def test_a_row_for_each_file(self):
        code, out, err = run("a.jsonl", "a.jsonl", "--unit", "nats", cwd=self.folder.name)
        self.assertEqual((code, err), (0, ""))
        rows = [line.split() for line in out.splitlines() if line.startswith("a.jsonl")]
        self.assertEqual(rows[0::2], rows[1::2])
        self.assertEqual([line.split() for line in out.splitlines() if line.startswith("file")][:3],
                         [["file", "prompts", "samples", "words"], ["file"] + [f"distinct-{n}" for n in ORDERS],
                          ["file", "self-BLEU", "compression", "seq-rep-4"]])
        self.assertEqual(rows[0], ["a.jsonl", "3", "6", "24"])
        self.assertIn("3.500", out)  # the mean of 1.5, 3.5 and 5.5
        self.assertIn("±4.968", out)  # 4.303 times 2 / sqrt(3)
        widths = {len(line) for line in out.splitlines() if line.startswith(("file  ", "a.jsonl")) and "dist" in line}
        self.assertEqual(len(widths), 1)

    def test_units(self):
        _, bits, _ = run(self.path)
        self.assertIn(f"{3.5 / math.log(2):.3f}", bits)
        self.assertIn("entropies and logprobs in bits", bits)
        self.assertEqual(run("--json", self.path)[1], run("--json", self.path, "--unit", "nats")[1])

    def test_output_file(self):
        target = os.path.join(self.folder.name, "out")
        self.assertEqual(run(self.path, "-o", target), (0, "", ""))
        with open(target, encoding="utf-8") as file:
            self.assertEqual(file.read(), run(self.path)[1])
        code, _, err = run(self.path, "-o", self.path)
        self.assertEqual(code, 2)
        self.assertEqual(run(self.path, "-o", "/dev/full")[0], 2)

    def test_packed_and_containers(self):
        """gzip; the same as .safetensors."""
        plain = json.loads(run("--json", self.path)[1])
        with open(self.path, "rb") as file:
            packed = self.path + ".gz"
            gzip.open(packed, "wb").write(file.read())
        flat = os.path.join(self.folder.name, "a.safetensors")
        subprocess.run([ENTROL, "select", "--level", "sample", "--keep", "p0..p100", self.path, "-o", flat], check=True,
                       capture_output=True)
        for path in packed, flat:
            self.assertEqual(json.loads(run("--json", path)[1]), plain | {"file": path})


class TestBadInput(unittest.TestCase):
    def check(self, lines, message, *options):
        code, out, err = run(*options, data=lines if isinstance(lines, bytes) else lines_of(lines))
        self.assertEqual((code, out), (2, ""))
        self.assertIn(message, err)

    def test_messages(self):
        self.check(b"", "standard input: expected token records, found none")
        self.check(b"text\n", "standard input:1: expected token records")
        self.check([{"id": 1, "entropy": [1]}], "standard input:1: expected an array \"answers\", or one answer's")
        self.check([{"text": "a"}], "standard input:1: expected a field \"prompt_id\", \"prompt\" or \"id\"")
        self.check([{"id": 1, "text": "a"}, {"text": "a"}], "standard input:2: field \"id\"")
        self.check([{"id": 1, "text": 5}], "standard input:1: expected a string")
        self.check([{"id": 1, "answers": ["a", "b"]}, {"id": 1, "text": "a"}],
                   "standard input:2: expected an array of answers, as in line 1 of standard input, found one answer")
        self.check([{"id": 1, "text": "a"}], "expected a column \"token_id\", found none", "--of", "tokens")
        self.check([{"id": 1, "text": "a", "token_id": [1]}, {"id": 1, "text": "a"}],
                   "standard input:2: expected a column \"token_id\", as the first line has, found none")
        self.check([{"id": 1, "text": "a", "token_id": [1, None]}],
                   "standard input:1: column \"token_id\", token 1: expected a token's number, found null")
        self.check([{"id": 1, "text": "a", "token_id": [-1]}], "token 0: expected a token's number, found another number")
        self.check([{"id": 1, "text": "a"}], "field \"m\": expected a string or a number", "--label", "m")

    def test_options(self):
        self.check(b"", "--title is for the page", "--title", "x")
        self.check(b"", "no-such-file", "no-such-file")
        done = subprocess.run([ENTROL, "report", "--json"], capture_output=True, input=b"")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"expected --diversity with --json", done.stderr)


if __name__ == "__main__":
    unittest.main()
