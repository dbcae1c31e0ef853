"""Records that are read in one pass: the command does the same with ordinary lines, which are, and with unusual ones,
which are not; and its memory does not grow with what it reads."""
import json
import os
import random
import subprocess
import tempfile
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
BUILD = os.environ.get("BUILD", "build")
STREAM = f"{BUILD}/stream_records"

ODD = b'{"\\u006fdd": [{}], '  # a name with an escape: such a line is read by the parser of JSON


def corpus(seed, n_documents=30, bounds=False):
    chosen = random.Random(seed)
    documents = []
    for i in range(n_documents):
        n = chosen.choice([0, 1, 3, 40, 200])
        text = "".join(chosen.choice("ab \n\"é\u4e2d\U0001f600") for _ in range(n))
        ends = [len(text[:j].encode()) for j in range(n + 1)]
        real = lambda: chosen.choice([None, "NaN", 1.5e-9, round(chosen.uniform(0, 5), 7), chosen.random() * 9, 3])
        document = {"id": f"d{i}", "text": text, "language": chosen.choice(["en", "de"]), "score": chosen.random(),
                    "context_ids": [[0, [2]]],
                    "token_id": [chosen.randrange(200000) for _ in range(n)], "byte_start": ends[:-1], "byte_end": ends[1:],
                    "logprob": [-abs(chosen.gauss(0, 3)) for _ in range(n)], "rank": [None] * n, "token": list(text)}
        if bounds:
            lower = [chosen.uniform(0, 3) for _ in range(n)]
            document.update(entropy_lower=lower, entropy_upper=[x + chosen.random() for x in lower])
        else:
            document["entropy"] = [real() for _ in range(n)]
        if chosen.random() < 0.2:
            document["keep"] = [True] * n
        documents.append(document)
    return documents


MODES = [
    ["--keep=low:50%"], ["--keep=high:20%", "--by=surprisal"], ["--mask=low:10", "--by=surprisal_excess"],
    ["--keep=..100", "--by=position"], ["--keep=low:30%", "--scope=document"], ["--keep=low:30%", "--scope=group:language"],
    ["--keep=low:30%", "--scope=group:token"], ["--keep=..9", "--unique=language"], ["--keep=..9", "--unique=token_id"],
    ["--keep=low:50%", "--emit=samples"], ["--keep=low:50%", "--emit=spans"], ["--keep=low:50%", "--emit=labels"],
    ["--keep=low:50%", "--emit=trl", "--scope=document"], ["--keep=low:50%", "--explain"],
    ["--keep=low:50%", "--weight=fall:p10..p90"], ["--keep=low:50%", "--weight=sigmoid", "--emit=labels"],
    ["--keep=low:50%", "--nan=error"], ["--keep=low:50%", "--by=varentropy"], ["--keep=low:50%", "--by=kl_pq"],
    ["--keep=low:50%", "--preview"], ["--level=sample", "--keep=low:5", "--by=surprisal_median"],
    ["--level=sample", "--keep=low:5", "--by=perplexity"], ["--level=sample", "--keep=low:5", "--by=score"],
    ["--level=sample", "--keep=low:5", "--by=margin_mean"], ["--level=sample", "--keep=low:5", "--by=nothing"],
    ["--level=sample", "--keep=low:5", "--by=score", "--emit=labels"], ["--level=sample", "--keep=low:5", "--by=ifd"],
    ["--level=sample", "--keep=low:5", "--by=score", "--explain"],
]


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = lambda name: os.path.join(folder.name, name)

    def write(self, name, lines):
        with open(self.path(name), "wb") as file:
            file.writelines(line + b"\n" for line in lines)
        return self.path(name)


class Same(Files):
    def results(self, arguments, lines):
        path = self.write("in.jsonl", lines)
        done = subprocess.run([ENTROL, "select", *arguments, path], capture_output=True, timeout=300)
        return done.returncode, done.stdout.replace(ODD, b"{"), done.stderr

    def check(self, modes, documents):
        for separators in ((",", ":"), (", ", ": ")):
            lines = [json.dumps(document, separators=separators, ensure_ascii=separators[0] == ",").encode()
                     for document in documents]
            odd = [ODD + line[1:] for line in lines]
            for arguments in modes:
                with self.subTest(arguments=arguments, separators=separators):
                    self.assertEqual(self.results(arguments, lines), self.results(arguments, odd))

    def test_every_mode(self):
        self.check(MODES, corpus(1))

    def test_bounds(self):
        self.check(MODES + [["--keep=low:50%", "--undecided=error"], ["--keep=low:50%", "--undecided=keep"]],
                   corpus(2, bounds=True))

    def test_two_models(self):
        documents = corpus(3)
        reference = self.write("reference.jsonl", [json.dumps(d).encode() for d in documents])
        modes = [["--reference", reference, "--keep=high:50%", *more] for more in
                 (["--by=excess_loss"], ["--by=reference_entropy"], ["--by=entropy", "--emit=trl"], ["--by=varentropy"],
                  ["--level=sample", "--by=ifd"])]
        self.check(modes, documents)
        documents[5]["token_id"].append(1)
        self.check(modes[:1], documents)

    def test_some_documents_lack_what_is_wanted(self):
        for name in ("entropy", "logprob", "byte_end", "token_id", "text", "id"):
            documents = corpus(4)
            for document in documents[7::9]:
                del document[name]
            self.check(MODES, documents)

    def test_damaged_lines(self):
        """The message is the parser's, whatever is wanted."""
        line = json.dumps(next(document for document in corpus(5) if len(document["rank"]) == 40)).encode()
        for bad in (line[:-1], line[:300], line.replace(b'"token_id": [', b'"token_id": [1, '), line.replace(b"null", b"nul", 1),
                    line.replace(b'"byte_end": [', b'"byte_end": [-1, '), line.replace(b'"rank"', b'"id"')):
            messages = {self.results(arguments, [line, bad]) for arguments in (MODES[0], MODES[1], MODES[10])}
            self.assertEqual(len(messages), 1)
            code, output, message = messages.pop()
            self.assertEqual((code, output), (2, b""))
            self.assertIn(b"in.jsonl:2: ", message)


@unittest.skipUnless(os.path.exists(STREAM), "this build has no stream_records")
class Memory(Files):
    """With a sanitizer there is no stream_records."""

    def peak(self, *arguments, stdin=None):
        process = subprocess.Popen([ENTROL, "select", *arguments], stdin=stdin, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss  # KiB

    def test_of_a_stream(self):
        """300 MB with 7 million tokens: a block of values, whatever comes."""
        with subprocess.Popen([STREAM, "300M"], stdout=subprocess.PIPE) as stream:
            self.assertLess(self.peak("--keep=high:20%", stdin=stream.stdout), 50000)
        self.assertEqual(stream.returncode, 0)

    def test_of_a_container(self):
        """133 MB that are mapped, and given back as they are read."""
        path = self.path("x.safetensors")
        with subprocess.Popen([STREAM, "200M"], stdout=subprocess.PIPE) as stream:
            self.assertLess(self.peak("--keep=high:20%", "-o", path, stdin=stream.stdout), 50000)
        self.assertGreater(os.path.getsize(path), 130e6)
        self.assertLess(self.peak("--keep=high:20%", path), 100000)
        self.assertLess(self.peak("--keep=high:20%", path, "-o", self.path("y.safetensors")), 100000)

    def test_the_stream_is_what_score_writes(self):
        done = subprocess.run([STREAM, "100K", "7"], capture_output=True, check=True)
        self.assertEqual(done.stdout, subprocess.run([STREAM, "100K", "7"], capture_output=True).stdout)
        self.assertGreaterEqual(len(done.stdout), 100000)
        for line in done.stdout.splitlines():
            document = json.loads(line)
            columns = ["token_id", "byte_start", "byte_end", "logprob", "entropy", "rank"]
            self.assertEqual(list(document), ["id", "text", "context_ids", *columns])
            self.assertEqual({len(document[name]) for name in columns}, {len(document["rank"])})
            self.assertEqual(document["byte_start"], [0, *document["byte_end"][:-1]])
            self.assertEqual(document["byte_end"][-1], len(document["text"].encode()))
            self.assertTrue(all(0 <= x <= 8 for x in document["entropy"]) and all(-12 <= x <= 0 for x in document["logprob"]))


if __name__ == "__main__":
    unittest.main()
