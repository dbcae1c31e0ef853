"""`entrol select`: expectations come from sorting in Python, and from NumPy's quantile where NumPy is installed."""
import gzip
import hashlib
import json
import math
import os
import random
import re
import struct
import subprocess
import tempfile
import unittest

try:
    import numpy
except ImportError:
    numpy = None

ENTROL = os.environ.get("ENTROL", "build/entrol")


def run(*arguments, stdin=b""):
    return subprocess.run([ENTROL, *map(str, arguments)], input=stdin, capture_output=True, timeout=300)


def as_float(value):
    """The float that a record holds for a number."""
    return struct.unpack("f", struct.pack("f", value))[0]


def quantile(values, q):
    """Linear interpolation between the values beside rank q (n - 1) (Hyndman and Fan's type 7; NumPy's default)."""
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    below = math.floor(rank)
    w = rank - below
    a, b = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return a + w * (b - a) if w < 0.5 else b - (b - a) * (1 - w)


def low_count(values, k, sign=1):
    """Which k are the least (greatest for sign -1), of equal ones the earlier: a stable sort."""
    order = sorted(range(len(values)), key=lambda i: sign * values[i])[:k]
    return [i in set(order) for i in range(len(values))]


def expected(values, rule):
    """What a rule keeps of values without gaps."""
    if rule.startswith(("low:", "high:")):
        side, amount = rule.split(":")
        if not amount.endswith("%"):
            return low_count(values, int(amount), 1 if side == "low" else -1)
        share = float(amount[:-1]) / 100
        threshold = quantile(values, share if side == "low" else 1 - share)
        return [v <= threshold if side == "low" else v >= threshold for v in values]
    low, high = rule.split("..")
    if "p" in rule:
        low = quantile(values, float(low[1:]) / 100) if low else -math.inf
        high = quantile(values, float(high[1:]) / 100) if high else math.inf
    return [(not low or v >= float(low)) and (not high or v <= float(high)) for v in values] if "p" not in rule else \
        [low <= v <= high for v in values]


RULES = ["low:80%", "high:20%", "low:0%", "high:100%", "low:33.3%", "low:7", "high:7", "low:0", "high:1000000", "..2.5",
         "2.5..", "1..2", "-1..0.5", "p5..p95", "..p50", "p25.."]


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, documents):
        """Objects, or lines as they are to stand in the file."""
        with open(self.path(name), "wb") as file:
            for document in documents:
                line = document if isinstance(document, bytes) else json.dumps(document).encode()
                file.write(line + b"\n")
        return self.path(name)

    def select(self, *arguments, stdin=b"", code=0):
        done = run("select", *arguments, stdin=stdin)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done

    def keeps(self, *arguments, stdin=b"", code=0):
        return [json.loads(line)["keep"] for line in self.select(*arguments, stdin=stdin, code=code).stdout.splitlines()]

    def refused(self, *arguments, stdin=b""):
        done = self.select(*arguments, stdin=stdin, code=2)
        self.assertEqual(done.stdout, b"")
        return done.stderr.decode()

    def corpus(self, seed=1, n_documents=9, ties=True):
        """Documents of 0 to 30 values, negative ones too, exact in a float."""
        chosen = random.Random(seed)
        number = (lambda: chosen.randrange(-40, 200) / 32) if ties else (lambda: as_float(chosen.uniform(-1, 6)))
        return [[number() for _ in range(chosen.choice([0, 1, 2, 7, 30]))] for _ in range(n_documents)]


class Rules(Files):
    def check(self, values, *flags):
        path = self.write("in.jsonl", [{"entropy": v} for v in values])
        flat = [v for document in values for v in document]
        for rule in RULES:
            want = expected(flat, rule)
            for flag, sense in (("--keep", True), ("--mask", False)):
                with self.subTest(rule=rule, flag=flag):
                    # "=": a rule may start with a minus
                    done = run("select", f"{flag}={rule}", path, *flags)
                    got = [k for line in done.stdout.splitlines() for k in json.loads(line)["keep"]]
                    self.assertEqual(got, [k == sense for k in want])
                    n_kept = sum(got)
                    self.assertEqual(done.returncode, 0 if n_kept else 1)
                    self.assertIn(f"tokens      {len(flat)} with a value, {n_kept} kept", done.stderr.decode())

    def test_every_rule_and_its_complement(self):
        for seed in range(3):
            self.check(self.corpus(seed))
            self.check(self.corpus(seed, ties=False))

    def test_all_values_equal(self):
        self.check([[1.0] * 5, [1.0] * 6])

    def test_one_value(self):
        self.check([[2.5]])

    def test_scope_document(self):
        values = self.corpus(5)
        path = self.write("in.jsonl", [{"entropy": v} for v in values])
        for rule in RULES:
            with self.subTest(rule=rule):
                done = run("select", f"--keep={rule}", "--scope", "document", path)
                got = [json.loads(line)["keep"] for line in done.stdout.splitlines()]
                self.assertEqual(got, [expected(v, rule) if v else [] for v in values])

    @unittest.skipUnless(numpy, "NumPy is not installed")
    def test_shares_are_numpy_quantiles(self):
        values = self.corpus(11, 40, ties=False)
        flat = numpy.array([v for document in values for v in document])
        path = self.write("in.jsonl", [{"entropy": v} for v in values])
        for percent in (1, 12.5, 50, 80, 99):
            keep = [k for d in self.keeps(f"--keep=low:{percent}%", path) for k in d]
            self.assertEqual(keep, list(flat <= numpy.quantile(flat, percent / 100)))

    def test_a_document_of_no_tokens(self):
        path = self.write("in.jsonl", [{"entropy": []}])
        done = self.select("--keep", "low:80%", "--emit", "samples", path, code=1)
        self.assertEqual(done.stdout, b"")
        self.assertIn(b"0 with a value, 0 kept", done.stderr)

    def test_infinities(self):
        path = self.write("in.jsonl", [{"logprob": ["-Infinity", -1.0, -2.0, 0.0]}])
        self.assertEqual(self.keeps("--by=surprisal", "--keep=high:2", path), [[True, False, True, False]])
        self.assertEqual(self.keeps("--by=surprisal", "--keep=1..", path), [[True, True, True, False]])

    def test_many_lines(self):
        chosen = random.Random(3)
        values = [chosen.randrange(1000) / 8 for _ in range(200000)]
        lines = b"".join(b'{"entropy": [%g]}\n' % v for v in values)
        keep = [k for d in self.keeps("--keep=low:1234", stdin=lines) for k in d]
        self.assertEqual(keep, low_count(values, 1234))


class Missing(Files):
    def test_null_is_null_under_keep_and_mask(self):
        path = self.write("in.jsonl", [{"entropy": [None, 1.0, 3.0, None, 2.0]}, {"entropy": [None]}])
        self.assertEqual(self.keeps("--keep=low:1", path), [[None, True, False, None, False], [None]])
        done = self.select("--mask=low:1", path)
        self.assertEqual([json.loads(line)["keep"] for line in done.stdout.splitlines()],
                         [[None, False, True, None, True], [None]])
        self.assertIn(b"missing     3 without a value", done.stderr)
        self.assertIn(b"tokens      3 with a value, 2 kept (66.6667 %)", done.stderr)

    def test_one_nan_does_not_empty_the_mask(self):
        path = self.write("in.jsonl", [{"id": "x", "entropy": [1.0, "NaN", 2.0]}])
        done = self.select("--keep=high:50%", path)
        self.assertEqual(json.loads(done.stdout)["keep"], [False, None, True])
        self.assertIn(f"{path}:1 (x), token 1", done.stderr.decode())

    def test_only_missing_values(self):
        path = self.write("in.jsonl", [{"entropy": [None, None]}])
        self.assertEqual(self.keeps("--mask=low:50%", path, code=1), [[None, None]])


class Columns(Files):
    document = {"id": 7, "text": "abc", "token_id": [3, 1, 2], "byte_start": [0, 1, 2], "byte_end": [1, 2, 3],
                "logprob": [-3.0, -1.0, None], "entropy": [0.5, 0.25, 0.75], "rank": [9, 1, 4], "top_id": [[1], [2], [3]]}

    def test_by(self):
        path = self.write("in.jsonl", [self.document])
        for by, want in {"surprisal": [True, False, None], "logprob": [False, True, None], "rank": [True, False, False],
                         "entropy": [False, False, True], "position": [False, False, True],
                         "token_id": [True, False, False]}.items():
            with self.subTest(by=by):
                self.assertEqual(self.keeps("--by", by, "--keep=high:1", path), [want])

    def test_no_such_column_lists_those_present(self):
        path = self.write("in.jsonl", [self.document])
        for by in ("varentropy", "nonsense"):
            message = self.refused("--by", by, "--keep=low:1", path)
            self.assertIn(f"{path}:1 (7): no column \"{by}\"; there are token_id, byte_start, byte_end, logprob, "
                          "entropy, rank, surprisal", message)
            self.assertEqual("--columns varentropy" in message, by == "varentropy")

    def test_a_line_without_columns(self):
        path = self.write("in.jsonl", [{"text": "not scored"}])
        self.assertIn("entrol score", self.refused("--keep=low:1", path))

    def test_a_column_that_is_missing_in_the_second_line_only(self):
        path = self.write("in.jsonl", [self.document, {"id": "b", "logprob": [-1.0]}])
        self.assertIn(f"{path}:2 (b)", self.refused("--keep=low:1", path))

    def test_lists_are_refused(self):
        path = self.write("in.jsonl", [self.document])
        self.assertIn("one number", self.refused("--by=top_id", "--keep=low:1", path))

    def test_unequal_lengths(self):
        path = self.write("in.jsonl", [{"entropy": [1.0, 2.0], "rank": [1]}])
        message = self.refused("--keep=low:1", path)
        for part in (f"{path}:1", "rank", "1", "2"):
            self.assertIn(part, message)

    def test_broken_line(self):
        path = self.write("in.jsonl", [{"entropy": [1.0]}] * 6 + [b'{"entropy": [1.0'])
        self.assertIn(f"{path}:7", self.refused("--keep=low:1", path))


class Lines(Files):
    """Every byte but keep's stays as it was."""
    odd = [b'{ "z" : 1.50 ,"entropy":[ 1e0,\t3.0 ], "text":"caf\\u00e9 \\ud83d\\ude00", "a":{"keep":[1]} }',
           b'{"keep" : [1, 0] ,"entropy":[2,0.5],"big":12345678901234567890.0}',
           b'{"entropy":[4.0, 0.0], "k\\u0065ep":[null, true]  }  ',
           b'{"entropy":[]}']

    def test_only_keep_changes(self):
        path = self.write("in.jsonl", self.odd)
        done = self.select("--keep=low:3", path)
        self.assertEqual(done.stdout.split(b"\n"), [
            b'{ "z" : 1.50 ,"entropy":[ 1e0,\t3.0 ], "text":"caf\\u00e9 \\ud83d\\ude00", "a":{"keep":[1]} , "keep": [true,false]}',
            b'{"keep" : [false,true] ,"entropy":[2,0.5],"big":12345678901234567890.0}',
            b'{"entropy":[4.0, 0.0], "k\\u0065ep":[false,true]  }  ',
            b'{"entropy":[], "keep": []}', b""])

    def test_samples_are_the_lines(self):
        path = self.write("in.jsonl", self.odd)
        done = self.select("--keep=low:1", "--emit=samples", path)
        self.assertEqual(done.stdout, self.odd[2] + b"\n")
        done = self.select("--mask=low:1", "--emit=samples", path)
        self.assertEqual(done.stdout, b"\n".join(self.odd[:3]) + b"\n")

    def test_crlf_blank_lines_and_no_last_newline(self):
        done = self.select("--level=sample", "--keep=low:2", stdin=b'\n{"entropy":[1]}\r\n \t\n{"entropy":[2]}')
        self.assertEqual(done.stdout, b'{"entropy":[1]}\r\n{"entropy":[2]}\n')

    def test_twice_is_once(self):
        first = self.select("--keep=low:3", self.write("in.jsonl", self.odd)).stdout
        self.assertEqual(self.select("--keep=low:3", stdin=first).stdout, first)


class Inputs(Files):
    def setUp(self):
        super().setUp()
        self.values = self.corpus(8, 12)
        self.path_in = self.write("in.jsonl", [{"entropy": v} for v in self.values])
        with open(self.path_in, "rb") as file:
            self.bytes = file.read()
        self.want = self.select("--keep=low:60%", self.path_in).stdout

    def test_pipe_is_read_twice(self):
        for arguments in ([], ["-"]):
            self.assertEqual(self.select("--keep=low:60%", *arguments, stdin=self.bytes).stdout, self.want)

    def test_gzip(self):
        with gzip.open(self.path("in.jsonl.gz"), "wb") as file:
            file.write(self.bytes)
        self.assertEqual(self.select("--keep=low:60%", self.path("in.jsonl.gz")).stdout, self.want)
        with open(self.path("in.jsonl.gz"), "rb") as file:
            self.assertEqual(self.select("--keep=low:60%", stdin=file.read()).stdout, self.want)

    def test_several_files_are_one_corpus(self):
        lines = self.bytes.splitlines()
        parts = [self.write("a.jsonl", lines[:5]), self.write("b.jsonl", lines[5:])]
        self.assertEqual(self.select("--keep=low:60%", *parts).stdout, self.want)

    def test_more_files_than_may_be_open(self):
        lines = [{"entropy": [float(i)]} for i in range(300)]
        parts = [self.write(f"part{i}.jsonl", [line]) for i, line in enumerate(lines)]
        limited = ["bash", "-c", 'ulimit -n 64; exec "$0" "$@"', ENTROL, "select", "--level=sample", "--keep=high:2", *parts]
        done = subprocess.run(limited, capture_output=True)
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], lines[-2:], done.stderr)

    def test_a_directory(self):
        self.assertIn("directory", self.refused("--keep=low:1", self.path_in, self.folder))

    def test_threads_and_levels_do_not_matter(self):
        environment = dict(os.environ, ENTROL_CPU="scalar", ENTROL_THREADS="3")
        done = subprocess.run([ENTROL, "select", "--keep=low:60%", self.path_in], env=environment, capture_output=True)
        self.assertEqual(done.stdout, self.want)

    def test_no_such_file(self):
        self.assertIn("nowhere.jsonl", self.refused("--keep=low:1", self.path("nowhere.jsonl")))

    def test_output_is_not_the_input(self):
        self.refused("--keep=low:1", self.path_in, "-o", self.path_in)
        with open(self.path_in, "rb") as file:
            self.assertEqual(file.read(), self.bytes)

    def test_an_error_leaves_the_earlier_output(self):
        out = self.write("out.jsonl", [b"earlier"])
        bad = self.write("bad.jsonl", [{"entropy": [1.0]}, b"broken"])
        for scope in ("corpus", "document"):
            self.refused("--keep=low:1", "--scope", scope, bad, "-o", out)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"earlier\n")
        self.assertEqual(sorted(os.listdir(self.folder)), ["bad.jsonl", "in.jsonl", "out.jsonl"])

    def test_closed_pipe(self):
        many = self.write("many.jsonl", [{"entropy": [1.0] * 1000}] * 500)
        process = subprocess.Popen([ENTROL, "select", "--keep=low:1", many], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        self.assertIn(b"closed", process.stderr.read())
        process.stderr.close()
        self.assertEqual(process.wait(), 2)

    def test_memory_is_that_of_the_column(self):
        """64 MB of lines, 2 million values of a column: 6 bytes a value, not the lines."""
        line = json.dumps({"text": "x" * 30000, "entropy": [0.5] * 1000}).encode()
        path = self.write("wide.jsonl", [line] * 2000)
        with open(os.devnull, "w") as nothing:
            process = subprocess.Popen([ENTROL, "select", "--keep=low:50%", path], stdout=nothing, stderr=nothing)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertGreater(os.path.getsize(path), 64e6)
        if "asan" not in ENTROL and "tsan" not in ENTROL:
            self.assertLess(usage.ru_maxrss, 40000)  # KiB


class Emit(Files):
    def setUp(self):
        super().setUp()
        self.documents = [
            {"id": "a", "text": "one two café", "token_id": [11, 12, 13, 14, 15], "byte_start": [0, 3, 4, 7, 11],
             "byte_end": [3, 4, 7, 11, 13], "entropy": [1.0, 2.0, 5.0, 2.5, None]},
            {"text": "x", "token_id": [9], "byte_start": [0], "byte_end": [1], "entropy": [1.0]},
            {"id": 3, "text": "no", "token_id": [7, 8], "byte_start": [0, 1], "byte_end": [1, 2], "entropy": [9.0, 9.0]},
        ]
        self.path_in = self.write("in.jsonl", self.documents)

    def emitted(self, form, *arguments):
        return [json.loads(line) for line in self.select("--emit", form, *arguments, self.path_in).stdout.splitlines()]

    def test_labels(self):
        done = self.select("--keep=..3", "--emit=labels", self.path_in)
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()],
                         [{"input_ids": [11, 12, 13, 14, 15], "attention_mask": [1] * 5,
                           "labels": [11, 12, -100, 14, -100]}])
        # A lone first token is never learnt from, and nothing is kept of the third.
        self.assertIn(b"left out    2 of the documents", done.stderr)

    def test_trl(self):
        self.assertEqual(self.emitted("trl", "--mask=..3"),
                         [{"input_ids": [11, 12, 13, 14, 15], "completion_mask": [0, 0, 1, 0, 0],
                           "assistant_masks": [0, 0, 1, 0, 0]},
                          {"input_ids": [7, 8], "completion_mask": [1, 1], "assistant_masks": [1, 1]}])

    def test_spans_merge_neighbours(self):
        self.assertEqual(self.emitted("spans", "--keep=..3"),
                         [{"id": "a", "spans": [{"start": 0, "end": 4}, {"start": 7, "end": 11}]},
                          {"id": "document 2", "spans": [{"start": 0, "end": 1}]}, {"id": 3, "spans": []}])

    def test_spans_are_bytes(self):
        text = self.documents[0]["text"].encode()
        span = self.emitted("spans", "--keep=2.5..2.5")[0]["spans"][0]
        self.assertEqual(text[span["start"]:span["end"]], " caf".encode())

    def test_spans_with_a_gap_and_an_empty_token(self):
        path = self.write("gap.jsonl", [{"byte_start": [0, 2, 2, 4, 4], "byte_end": [2, 2, 4, 4, 6],
                                         "entropy": [1.0, 9.0, 1.0, 1.0, 9.0]},
                                        {"byte_start": [0, 5, None], "byte_end": [2, 6, None], "entropy": [1.0, 1.0, 1.0]}])
        done = self.select("--keep=..3", "--emit=spans", path)
        self.assertEqual([json.loads(line)["spans"] for line in done.stdout.splitlines()],
                         [[{"start": 0, "end": 4}], [{"start": 0, "end": 2}, {"start": 5, "end": 6}]])

    def test_needed_columns(self):
        path = self.write("bare.jsonl", [{"entropy": [1.0]}])
        for form, column in (("spans", "byte_start"), ("labels", "token_id"), ("trl", "token_id")):
            self.assertIn(column, self.refused("--keep=low:1", "--emit", form, path))
        path = self.write("hole.jsonl", [{"id": "h", "token_id": [1, None], "entropy": [1.0, 2.0]}])
        self.assertIn("token 1 has no token_id", self.refused("--keep=low:1", "--emit=labels", path))

    def test_context_stands_before_the_tokens(self):
        line = {"id": "c", "text": "ask:yes.end", "token_id": [21, 22, 23], "byte_start": [4, 7, 8], "byte_end": [7, 8, 11],
                "entropy": [1.0, 9.0, 1.0], "context_ids": [[0, [2, 5, 6]], [2, [7]], [3, [1]]]}
        path = self.write("context.jsonl", [line])
        done = self.select("--keep=..3", "--emit=labels", path)
        self.assertEqual(json.loads(done.stdout),
                         {"input_ids": [2, 5, 6, 21, 22, 7, 23, 1], "attention_mask": [1] * 8,
                          "labels": [-100, -100, -100, 21, -100, -100, 23, -100]})
        done = self.select("--keep=..3", "--emit=trl", path)
        self.assertEqual(json.loads(done.stdout)["assistant_masks"], [0, 0, 0, 1, 0, 0, 1, 0])

    def test_a_first_token_with_context_is_learnt(self):
        path = self.write("context.jsonl", [{"token_id": [5], "entropy": [1.0], "context_ids": [[0, [2]]]}])
        self.assertEqual(json.loads(self.select("--keep=low:1", "--emit=labels", path).stdout)["labels"], [-100, 5])

    def test_context_that_is_lost_is_an_error(self):
        for start, end in (([4, 7], [7, 11]), ([0, 7], [4, 11])):
            path = self.write("lost.jsonl", [{"text": "ask:yes.end", "token_id": [1, 2], "byte_start": start,
                                              "byte_end": end, "entropy": [1.0, 1.0]}])
            for form in ("labels", "trl"):
                self.assertIn("--emit spans", self.refused("--keep=low:2", "--emit", form, path))
            self.select("--keep=low:2", "--emit=spans", path)

    def test_broken_context(self):
        for context in ("x", [[0]], [[0, 1]], [[0, ["a"]]], [[2, [1]]], [[1, [1]], [0, [1]]], [[-1, [1]]], [[0, [1], 2]],
                        {"0": [1]}, None):
            path = self.write("broken.jsonl", [{"token_id": [1], "entropy": [1.0], "context_ids": context}])
            with self.subTest(context=context):
                self.assertIn("context_ids", self.refused("--keep=low:1", "--emit=labels", path))


class MoreThanABlock(Files):
    """More values than are held in memory at once: they go through a temporary file, and nothing changes by it."""

    @unittest.skipIf(numpy is None, "NumPy is not installed")
    @unittest.skipIf(os.environ.get("ENTROL_QUICK"), "a million values")
    def test_tokens_over_blocks(self):
        chosen = numpy.random.default_rng(7)
        values = numpy.round(chosen.exponential(size=1_300_000), 3).astype(numpy.float32)
        cuts = numpy.sort(chosen.integers(0, len(values), 60))
        parts = numpy.split(values, cuts)
        path = self.write("large.jsonl", [{"id": i, "entropy": [round(float(v), 3) for v in part]} for i, part in enumerate(parts)])
        order = numpy.argsort(values, kind="stable")
        for rule, keep in (("high:20%", values >= numpy.quantile(values.astype(float), 0.8)),
                           ("low:700001", numpy.isin(numpy.arange(len(values)), order[:700001]))):
            done = self.select(f"--keep={rule}", path)
            found = [json.loads(line)["keep"] for line in done.stdout.splitlines()]
            self.assertEqual([len(f) for f in found], [len(p) for p in parts])
            self.assertTrue(numpy.array_equal(numpy.concatenate([numpy.array(f, dtype=bool) for f in found]), keep), rule)
            rest = [json.loads(line)["keep"] for line in self.select(f"--mask={rule}", path).stdout.splitlines()]
            self.assertEqual(sum(map(sum, rest)), len(values) - int(keep.sum()))


class Samples(Files):
    def setUp(self):
        super().setUp()
        chosen = random.Random(4)
        self.documents = []
        for i in range(30):
            n = chosen.randrange(1, 40)
            self.documents.append({"id": i, "logprob": [as_float(-chosen.expovariate(0.5)) for _ in range(n)],
                                   "entropy": [as_float(chosen.expovariate(1)) for _ in range(n)], "n": chosen.randrange(9)})
        self.path_in = self.write("in.jsonl", self.documents)

    def statistics(self, document):
        entropy, surprisal = document["entropy"], [-l for l in document["logprob"]]
        windows = [math.fsum(surprisal[i:i + 4]) / min(4, len(surprisal)) for i in range(max(1, len(surprisal) - 3))]
        top = sorted(entropy)[-math.ceil(len(entropy) * 0.1):]
        return {"entropy_min": min(entropy), "entropy_percentile:37.5": quantile(entropy, 0.375),
                "entropy_top:10": math.fsum(top) / len(top), "entropy_top": max(entropy),
                "entropy_window_max": math.fsum(entropy) / len(entropy), "surprisal_window_max:4": max(windows),
                "surprisal_window_min:4": min(windows), "entropy_above:0.75": sum(e > 0.75 for e in entropy) / len(entropy),
                "entropy_mean": math.fsum(entropy) / len(entropy), "entropy_median": quantile(entropy, 0.5),
                "entropy_p90": quantile(entropy, 0.9), "entropy_max": max(entropy),
                "surprisal_mean": math.fsum(surprisal) / len(surprisal),
                "perplexity": math.exp(math.fsum(surprisal) / len(surprisal)), "n": document["n"]}

    def test_whole_lines_by_every_statistic(self):
        with open(self.path_in, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        for i, by in enumerate(self.statistics(self.documents[0])):
            values = [self.statistics(d)[by] for d in self.documents]
            rule, form = ("low:9", "high:9")[i % 2], ("records", "samples")[i // 2 % 2]
            with self.subTest(by=by, rule=rule, form=form):
                done = self.select("--level=sample", "--by", by, f"--keep={rule}", "--emit", form, self.path_in)
                keep = low_count(values, 9, 1 if rule == "low:9" else -1)
                self.assertEqual(done.stdout, b"".join(line for line, k in zip(lines, keep) if k))
                rest = self.select("--level=sample", "--by", by, f"--mask={rule}", self.path_in)
                self.assertEqual(rest.stdout, b"".join(line for line, k in zip(lines, keep) if not k))

    def test_statistics_that_do_not_exist(self):
        for by in ("entropy_percentile", "entropy_percentile:101", "entropy_percentile:", "entropy_top:x", "entropy_window_max:0",
                   "entropy_above:nan", "entropy_mean:3", "entropy_", "rank_mean"):
            self.assertIn("entropy_percentile:P", self.refused("--level=sample", "--by", by, "--keep=low:5", self.path_in))

    def test_the_mean_is_the_default(self):
        for by in ("entropy", "entropy_mean"):
            self.assertEqual(self.select("--level=sample", "--keep=low:50%", "--by", by, self.path_in).stdout,
                             self.select("--level=sample", "--keep=low:50%", self.path_in).stdout)
        self.assertEqual(self.select("--level=sample", "--keep=low:5", "--by=surprisal", self.path_in).stdout,
                         self.select("--level=sample", "--keep=low:5", "--by=surprisal_mean", self.path_in).stdout)

    def test_statistics_that_score_wrote(self):
        """score --level sample leaves no columns, but fields of these names."""
        scored = self.write("scored.jsonl", [{"id": d["id"], **self.statistics(d)} for d in self.documents])
        for by in self.statistics(self.documents[0]):
            ids = [[json.loads(line)["id"] for line in self.select("--level=sample", "--by", by, "--keep=p10..p60",
                                                                   path).stdout.splitlines()]
                   for path in (self.path_in, scored)]
            self.assertEqual(*ids)

    def test_both_sides(self):
        values = [self.statistics(d)["entropy_mean"] for d in self.documents]
        kept = [json.loads(line)["id"] for line in self.select("--level=sample", "--keep=p5..p95",
                                                               self.path_in).stdout.splitlines()]
        self.assertEqual(kept, [i for i, k in enumerate(expected([as_float(v) for v in values], "p5..p95")) if k])

    def test_missing_statistics(self):
        path = self.write("gaps.jsonl", [{"id": 0, "entropy": [None, 2.0]}, {"id": 1, "entropy": [None]},
                                         {"id": 2, "entropy": []}, {"id": 3, "entropy_mean": None},
                                         {"id": 4, "entropy": [1.0, "NaN"]}, {"id": 5, "entropy_mean": 1}])
        done = self.select("--level=sample", "--mask=low:1", path)
        self.assertEqual([json.loads(line)["id"] for line in done.stdout.splitlines()], [0])
        self.assertIn(b"documents   2 with a value, 1 kept", done.stderr)
        self.assertIn(b"missing     3 without", done.stderr)
        self.assertIn(f"{path}:5 (4)", done.stderr.decode())

    def test_an_impossible_token_makes_perplexity_infinite(self):
        path = self.write("inf.jsonl", [{"id": 0, "logprob": ["-Infinity", -1.0]}, {"id": 1, "logprob": [-500.0]}])
        done = self.select("--level=sample", "--by=perplexity", "--keep=high:1", path)
        self.assertEqual(json.loads(done.stdout)["id"], 0)

    def test_other_forms_of_kept_documents(self):
        path = self.write("forms.jsonl", [{"id": i, "token_id": [1, 2], "byte_start": [0, 3], "byte_end": [3, 5],
                                           "entropy": [float(i), 1.0]} for i in range(3)])
        for form, want in (("labels", {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [1, 2]}),
                           ("trl", {"input_ids": [1, 2], "completion_mask": [1, 1], "assistant_masks": [1, 1]}),
                           ("spans", {"id": 0, "spans": [{"start": 0, "end": 5}]})):
            done = self.select("--level=sample", "--keep=low:1", "--emit", form, path)
            self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], [want])

    def test_no_such_number(self):
        message = self.refused("--level=sample", "--by=quality", "--keep=low:1", self.path_in)
        for name in ("entropy_mean", "perplexity", "n"):
            self.assertIn(name, message)
        self.assertIn("number", self.refused("--level=sample", "--by=id", "--keep=low:1",
                                             self.write("text.jsonl", [{"id": "a", "entropy": [1.0]}])))

    def test_flags_that_do_not_go_together(self):
        self.assertIn("--level sample", self.refused("--by=entropy_mean", "--keep=low:1", self.path_in))
        self.assertIn("--scope document", self.refused("--level=sample", "--scope=document", "--keep=low:1", self.path_in))


class Flags(Files):
    def test_bad_rules_show_where(self):
        for rule, at in (("low:8x%", 5), ("lo:80%", 0), ("low:101%", 4), ("1..0", 3), ("p5..95", 4), ("high:-3%", 5),
                         ("..", 2), ("", 0), ("1...2", 3), ("low:10 ", 6)):
            with self.subTest(rule=rule):
                for flag in ("--keep", "--mask"):
                    message = self.refused(f"{flag}={rule}", stdin=b"").split("\n")
                    self.assertIn("low:80%", message[0])
                    self.assertEqual(message[1], f"    {rule}")
                    self.assertEqual(message[2].index("^"), 4 + at)

    def test_a_rule_that_would_move_the_cursor(self):
        message = run("select", b"--keep=low:\x1b[2J".decode()).stderr
        self.assertNotIn(b"\x1b", message)

    def test_hints(self):
        self.assertIn("percent", self.refused("--keep=low:0.8"))
        self.assertIn("empty", self.refused("--keep="))

    def test_keep_or_mask(self):
        self.assertIn("--keep RULE, --mask RULE", self.refused())
        self.assertIn("exclude each other", self.refused("--keep=low:1", "--mask=low:1"))

    def test_units(self):
        path = self.write("in.jsonl", [{"entropy": [1.0, 2.0, 4.0], "rank": [1, 2, 3]}])
        self.assertIn(f"at most {2 / math.log(2):.6g} bits (2 nats)".encode(), self.select("--keep=low:50%", path).stderr)
        self.assertIn(b"at most 2 nats\n", self.select("--keep=low:50%", "--unit=nats", path).stderr)
        self.assertIn(b"at most 2\n", self.select("--keep=low:50%", "--by=rank", path).stderr)

    def test_ties(self):
        path = self.write("in.jsonl", [{"entropy": [1.0, 2.0, 2.0, 2.0, 4.0]}])
        done = self.select("--keep=low:50%", path)
        self.assertIn(b"4 kept (80 %)", done.stderr)
        self.assertIn(b"ties        3 equal", done.stderr)

    def test_thresholds_of_documents(self):
        path = self.write("in.jsonl", [{"entropy": [1.0]}, {"entropy": [3.0]}, {"entropy": []}])
        self.assertIn(b"at most 1 to 3 nats, document by document",
                      self.select("--keep=low:50%", "--unit=nats", "--scope=document", path).stderr)


class Manifest(Files):
    def manifest(self, *arguments, code=0):
        self.select(*arguments, "-o", self.path("out.jsonl"), code=code)
        with open(self.path("out.jsonl.manifest.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_members(self):
        path = self.write("in.jsonl", [{"entropy": [None, 1.0, 2.0, 2.0, "NaN", 4.0]}, {"entropy": [9.0]}])
        self.write("in.jsonl.manifest.json", [{"model_sha256": "abc"}])
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        manifest = self.manifest("--mask", "high:2", path)
        self.assertEqual(manifest["mask"], "high:2")
        self.assertEqual({k: manifest[k] for k in ("by", "level", "scope", "emit", "unit")},
                         {"by": "entropy", "level": "token", "scope": "corpus", "emit": "records", "unit": "nat"})
        self.assertEqual(manifest["threshold"], {"low": 4.0, "high": None, "from": "the last value within the count"})
        self.assertEqual(manifest["counts"], {"documents": 2, "documents_kept": 1, "valid": 5, "kept": 3, "ties": 1,
                                              "missing": 1, "nan": 1, "duplicates": 0, "undecided": 0, "untrained": 0})
        self.assertEqual(manifest["inputs"], [{"path": path, "sha256": digest, "manifest": {"model_sha256": "abc"}}])

    def test_command_is_whole(self):
        path = self.write("in.jsonl", [{"entropy": [1.0]}])
        manifest = self.manifest(path, "--keep", "low:1", "--scope=corpus")
        self.assertEqual(manifest["command"], ["select", "--keep", "low:1", "--scope=corpus", "-o", self.path("out.jsonl"),
                                               path])

    def test_a_name_that_is_not_utf8(self):
        path = self.write("caf\udce9.jsonl", [{"entropy": [1.0]}])
        manifest, shown = self.manifest(path, "--keep", "low:1"), path.replace("\udce9", "\ufffd")
        self.assertEqual(manifest["inputs"][0]["path"], shown)
        self.assertEqual(manifest["command"], ["select", "--keep", "low:1", "-o", self.path("out.jsonl"), shown])

    def test_nothing_selected_is_written_and_said(self):
        path = self.write("in.jsonl", [{"entropy": [1.0]}])
        self.assertEqual(self.manifest("--keep", "5..", path, code=1)["counts"]["kept"], 0)
        with open(self.path("out.jsonl"), "rb") as file:
            self.assertEqual(json.loads(file.read())["keep"], [False])


if __name__ == "__main__":
    unittest.main()
