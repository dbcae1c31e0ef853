"""`entrol filter`: against score, then the textbook in Python, then the lines picked by hand."""
import gzip
import json
import math
import os
import signal
import subprocess
import tempfile
import time
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
MODEL = os.environ.get("ENTROL_MODEL", "")

LINES = [b'{"text": "The cat sat on the mat, and the dog sat on the rug."}',
         b'{ "z":1.50, "text":"xq zzv 9#k~ wq\\u00e9 jjp" ,"id" : 7}',
         b'{"text": "One two three four five six seven eight nine ten eleven twelve."}',
         b'',
         b'{"prompt": "The capital of France is", "completion": " Paris."}',
         b'{"text": "We hold these truths to be self-evident, that all men are created equal."}  ']
DOCUMENTS = [line for line in LINES if line]


def run(*arguments, stdin=b""):
    return subprocess.run([ENTROL, *map(str, arguments)], input=stdin, capture_output=True, timeout=300)


def quantile(values, q):
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def statistics(record):
    entropy = [h for h in record["entropy"] if h is not None]
    surprisal = [-l for l in record["logprob"] if l is not None]
    return {"entropy_mean": math.fsum(entropy) / len(entropy), "entropy_median": quantile(entropy, 0.5),
            "entropy_p90": quantile(entropy, 0.9), "entropy_max": max(entropy),
            "surprisal_mean": math.fsum(surprisal) / len(surprisal),
            "perplexity": math.exp(math.fsum(surprisal) / len(surprisal))}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def filter(self, *arguments, stdin=b"", code=0):
        done = run("filter", *arguments, stdin=stdin)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done

    def refused(self, *arguments, stdin=b""):
        done = self.filter(*arguments, stdin=stdin, code=2)
        self.assertEqual(done.stdout, b"")
        return done.stderr.decode()


class WithoutAModel(Case):
    def test_records_are_not_scored_again(self):
        lines = [b'{"id":1,"entropy":[1.0, 3.0],"logprob":[-1,-1]}', b'{"id":2,  "entropy":[null]}', b'{"id":3,"entropy":[1.5]}']
        path = self.write("in.jsonl", b"\n".join(lines))
        self.assertEqual(self.filter("--keep=low:1", path).stdout, lines[2] + b"\n")
        self.assertEqual(self.filter("--mask=low:1", "-", stdin=b"\n".join(lines)).stdout, lines[0] + b"\n")
        self.assertEqual(self.filter("--by=id", "--keep=high:1", path).stdout, lines[2] + b"\n")
        self.assertEqual(self.filter("--keep=5..", path, code=1).stdout, b"")

    def test_statistics_of_score_are_records(self):
        lines = b'{"id":1,"n_tokens":2,"entropy_mean":1.0,"perplexity":9}\n{"id":2,"n_tokens":1,"entropy_mean":2.0,"perplexity":3}\n'
        self.assertEqual(self.filter("--by=perplexity", "--keep=low:1", stdin=lines).stdout, lines.splitlines(True)[1])

    def test_what_cannot_be_filtered(self):
        self.assertIn("score logits", self.refused("--keep=low:1", self.write("x.npy", b"\x93NUMPY")))
        self.assertIn("score logits", self.refused("--keep=low:1", stdin=gzip.compress(b"\x93NUMPY")))
        self.assertIn("nowhere", self.refused("--keep=low:1", self.path("nowhere")))
        self.assertIn("directory", self.refused("--keep=low:1", self.folder))
        self.assertIn("perplexity", self.refused("--by=n_words", "--keep=low:1", self.write("a.txt", b"a text")))
        self.assertIn("separately", self.refused("--keep=low:1", self.write("r.jsonl", b'{"entropy":[1.0]}'),
                                                 self.write("t.jsonl", b'{"text":"a"}')))

    def test_flags(self):
        self.assertIn("--keep RULE, --mask RULE", self.refused(self.write("a.txt", b"a text")))
        self.assertIn("^", self.refused("--keep=lowest", self.write("a.txt", b"a text")))
        self.assertIn("chooses tokens, not samples", self.refused("--for=noise", self.write("a.txt", b"a text")))
        self.assertIn("--scope group:class", self.refused("--recipe=flexmatch", self.write("a.txt", b"a text")))
        # without llama.cpp in the build, that is what is said first
        self.assertRegex(self.refused("--keep=low:1", "-m", self.path("nowhere.gguf"), self.write("a.txt", b"a text")),
                         "nowhere.gguf|built without llama.cpp")


@unittest.skipUnless(MODEL, "needs ENTROL_MODEL")
class Texts(Case):
    @classmethod
    def setUpClass(cls):
        scored = subprocess.run([ENTROL, "score", "-m", MODEL], input=b"\n".join(LINES), capture_output=True, check=True)
        cls.records = [json.loads(line) for line in scored.stdout.splitlines()]

    def texts(self, *arguments, **more):
        return self.filter("-m", MODEL, *arguments, **more)

    def test_kept_lines_are_those_of_score_and_the_textbook(self):
        path = self.write("in.jsonl", b"\n".join(LINES) + b"\n")
        for by, flag in (("entropy_p90", "--keep"), ("perplexity", "--mask")):
            values = [statistics(record)[by] for record in self.records]
            order = sorted(range(len(values)), key=values.__getitem__)
            chosen = order[:2] if flag == "--keep" else order[2:]
            with self.subTest(by=by, flag=flag):
                done = self.texts("--by", by, flag, "low:2", path)
                self.assertEqual(done.stdout, b"".join(DOCUMENTS[i] + b"\n" for i in sorted(chosen)))
                self.assertIn(f"lines       5 with a value, {len(chosen)} kept".encode(), done.stderr)

    def test_a_packed_pipe_and_several_files(self):
        values = [statistics(record)["entropy_mean"] for record in self.records]
        chosen = sorted(sorted(range(len(values)), key=values.__getitem__)[-2:])
        want = b"".join(DOCUMENTS[i] + b"\n" for i in chosen)
        self.assertEqual(self.texts("--keep=high:2", stdin=gzip.compress(b"\n".join(LINES))).stdout, want)
        parts = [self.write("a.jsonl.gz", gzip.compress(b"\n".join(LINES[:2]))), self.write("b.jsonl", b"\n".join(LINES[2:]))]
        self.assertEqual(self.texts("--keep=high:2", *parts).stdout, want)

    def test_plain_files_are_samples(self):
        good = self.write("good text.txt", b"The cat sat on the mat, and the dog sat on the rug.\n\nAnd so on.\n")
        noise = self.write("noise.txt", b"xq zzv 9#k~ wq jjp")
        self.assertEqual(self.texts("--keep=low:1", "--by=perplexity", noise, good).stdout, good.encode() + b"\n")
        self.assertEqual(self.texts("--mask=low:1", "--by=perplexity", good, noise).stdout, noise.encode() + b"\n")
        self.assertIn("separately", self.refused("-m", MODEL, "--keep=low:1", good, self.write("a.jsonl", LINES[0])))

    def test_a_bad_line(self):
        path = self.write("in.jsonl", b"\n".join([*LINES[:2], b'{"text": broken', *LINES[2:]]))
        self.assertIn(f"{path}:3", self.refused("-m", MODEL, "--keep=low:9", path))
        done = self.texts("--skip-bad", "--keep=low:9", path)
        self.assertEqual(done.stdout.splitlines(), DOCUMENTS)
        self.assertIn(b"skipped     1 bad line\n", done.stderr)

    def test_a_line_that_is_too_long(self):
        path = self.write("in.jsonl", b"\n".join([LINES[0], b'{"text": "%s"}' % (b"a" * (64 << 20)), *LINES[1:]]))
        self.assertIn(f"{path}:2: the line is longer than 64 MiB", self.refused("-m", MODEL, "--keep=low:9", path))
        for done in (self.texts("--skip-bad", "--keep=low:9", path),
                     self.texts("--skip-bad", "--keep=low:9", stdin=open(path, "rb").read())):
            self.assertEqual(done.stdout.splitlines(), DOCUMENTS)
            self.assertIn(b"skipped     1 bad", done.stderr)

    def test_output_and_manifest(self):
        path, out = self.write("in.jsonl", b"\n".join(LINES)), self.path("out.jsonl")
        self.texts("--keep=p10..p90", path, "-o", out)
        with open(out + ".manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertEqual((manifest["keep"], manifest["by"], manifest["level"]), ("p10..p90", "entropy_mean", "sample"))
        self.assertEqual(manifest["counts"]["valid"], 5)
        values = [statistics(record)["entropy_mean"] for record in self.records]
        low, high = quantile(values, 0.1), quantile(values, 0.9)
        with open(out, "rb") as file:
            self.assertEqual(file.read().splitlines(), [d for d, v in zip(DOCUMENTS, values) if low <= v <= high])
        self.assertAlmostEqual(manifest["threshold"]["low"], low, places=5)
        self.assertEqual(manifest["score"]["model"], MODEL)
        self.assertRegex(manifest["score"]["model_sha256"], "^[0-9a-f]{64}$")
        subprocess.run([ENTROL, "score", "-m", MODEL, path, "-o", self.path("scored")], capture_output=True, check=True)
        with open(self.path("scored.manifest.json"), encoding="utf-8") as file:
            scored = json.load(file)
        for name in ("context", "batch", "micro_batch", "min_context", "llama_cpp", "model_description", "starts_with_bos"):
            self.assertEqual(manifest["score"][name], scored[name], name)
        self.assertEqual(manifest["inputs"][0]["path"], path)

    def test_an_empty_file(self):
        self.assertIn("empty", self.refused("-m", MODEL, "--keep=low:1", self.write("in.jsonl", b"")))

    def test_interrupted_writes_nothing(self):
        path, out = self.write("in.jsonl", b"\n".join(LINES * 20000)), self.write("out.jsonl", b"earlier")
        process = subprocess.Popen([ENTROL, "filter", "-m", MODEL, "--keep=low:1", path, "-o", out], stderr=subprocess.PIPE)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        self.assertIn(b"nothing was written", process.stderr.read())
        process.stderr.close()
        self.assertEqual(process.wait(), 128 + signal.SIGINT)
        self.assertEqual(sorted(os.listdir(self.folder)), ["in.jsonl", "out.jsonl"])
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"earlier")


if __name__ == "__main__":
    unittest.main()
