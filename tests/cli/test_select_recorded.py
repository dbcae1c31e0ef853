"""`entrol select LOG --vocab-size N` gives what `entrol score LOG --vocab-size N` and `entrol select` of its records give,
which test_recorded.py and test_select.py judge."""
import gzip
import json
import os
import shutil
import subprocess
import unittest

import recorded
from scoring import run
from test_ranks import HAS_MPI, said, together
from test_recorded import VOCABULARY, RecordedCase, places_of

RULES = (
    ("--keep", "high:20%", "--undecided", "drop"),
    ("--keep", "low:50%", "--undecided", "keep", "--scope", "document", "--tie-seed", 5),
    ("--by", "entropy_lower", "--keep", "p10..p90"),
    ("--by", "logprob", "--mask", "high:7", "--emit", "spans"),
    ("--level", "sample", "--by", "surprisal", "--keep", "high:2", "--emit", "samples"),
    ("--keep", "high:30%", "--explain"),
    ("--by", "logprob", "--keep", "high:20%", "--weight", "sigmoid"),
)


class SelectCase(RecordedCase):
    def answers(self, n=4):
        """Of each, two choices."""
        made = []
        for i in range(n):
            places, _ = places_of(self.rng, 6, 3)
            made.append(dict(recorded.openai_chat(places, places[:3]), id=f"a{i}", source=i % 2))
        return made

    def score_to(self, name, log, *flags):
        path = self.path(name)
        done = run("score", log, *flags, "-o", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def same(self, files, flags, vocabulary=("--vocab-size", VOCABULARY), **more):
        """Both ways, file by file. Only logs of the files are scored."""
        made = [self.score_to(f"scored-{i}.jsonl", file, *vocabulary) if is_log else file
                for i, (file, is_log) in enumerate(files)]
        direct = run("select", *(file for file, _ in files), *vocabulary, *flags, **more)
        steps = run("select", *made, *flags)
        self.assertEqual(direct.stdout, steps.stdout, flags)
        self.assertEqual(direct.returncode, steps.returncode, direct.stderr)
        return direct


class Equal(SelectCase):
    def test_every_format(self):
        for format, (write, _) in recorded.FORMATS.items():
            answers = [write(places_of(self.rng, 12, 4)[0]) for _ in range(3)]
            path = self.lines(*answers)
            for flags in RULES:
                with self.subTest(format=format, flags=flags):
                    done = self.same([(path, True)], flags)
                    self.assertIn(done.returncode, (0, 1), done.stderr)
                    self.assertIn(b"with a value", done.stderr)

    def test_choices_are_documents(self):
        """Ties are drawn by the number of the record, and the records have the ids that score gives them."""
        path = self.lines(*self.answers())
        for flags in RULES:
            self.same([(path, True)], flags)
        done = self.same([(path, True)], ("--by", "logprob", "--keep", "high:50%"))
        ids = [json.loads(line)["id"] for line in done.stdout.splitlines()]
        self.assertEqual(ids, ["a0", "a0:1", "a1", "a1:1", "a2", "a2:1", "a3", "a3:1"])

    def test_forms_of_input(self):
        """Packed, one JSON document, blank lines, a file without an id; each summary says the same."""
        answers = [recorded.tgi(places_of(self.rng, 5, 2)[0]) for _ in range(3)]
        lines = "".join(json.dumps(answer) + "\n\n" for answer in answers).encode()
        forms = {"blank.jsonl": lines, "log.jsonl.gz": gzip.compress(lines), "mark.jsonl": b"\xef\xbb\xbf" + lines,
                 "array.json": json.dumps(answers, indent=1).encode(), "tight.json": json.dumps(answers).encode(),
                 "object.json": json.dumps(answers[0], indent=1).encode()}
        for name, data in forms.items():
            with self.subTest(name):
                path = self.write(name, data)
                for flags in RULES[:3]:
                    self.same([(path, True)], flags)

    def test_standard_input(self):
        data = "".join(json.dumps(answer) + "\n" for answer in self.answers()).encode()
        scored = self.write("scored.jsonl", run("score", "--vocab-size", VOCABULARY, stdin=data).stdout)
        for flags in RULES:
            direct = run("select", "--vocab-size", VOCABULARY, *flags, stdin=data)
            self.assertEqual(direct.stdout, run("select", scored, *flags).stdout)

    def test_several_files(self):
        """Logs between files of records, of which some once were logs, and of a batch: those are records."""
        batch = self.lines(*[dict(recorded.openai_batch(places_of(self.rng, 6, 3)[0])) for _ in range(2)], name="batch.jsonl")
        records = self.score_to("records.jsonl", batch, "--vocab-size", VOCABULARY)
        one, two = (self.lines(*self.answers(), name=name) for name in ("one.jsonl", "two.jsonl"))
        files = [(one, True), (records, False), (two, True), (batch, True)]
        for flags in RULES + (("--keep", "high:3", "--scope", "group:source"),):
            self.same(files[:1] + files[2:3] if "group:source" in flags else files, flags)

    def test_columns_to_a_container(self):
        path = self.lines(*self.answers())
        scored = self.score_to("scored.jsonl", path, "--vocab-size", VOCABULARY)
        outputs = [self.path("direct.safetensors"), self.path("steps.safetensors")]
        run("select", path, "--vocab-size", VOCABULARY, "--keep", "high:50%", "-o", outputs[0])
        run("select", scored, "--keep", "high:50%", "-o", outputs[1])
        with open(outputs[0], "rb") as a, open(outputs[1], "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_references(self):
        """A log as the reference, of records or of a log; also through a pipe."""
        path, answers = self.path("log.jsonl"), self.answers()
        self.lines(*answers)
        for answer in answers:
            for choice in answer["choices"]:
                for token in choice["logprobs"]["content"]:
                    token["logprob"] -= 0.25
                    for top in token["top_logprobs"]:
                        top["logprob"] -= 0.25
        other = self.lines(*answers, name="other.jsonl")
        scored, scored_other = self.score_to("a.jsonl", path), self.score_to("b.jsonl", other)
        flags = ("--by", "excess_loss", "--keep", "high:30%")
        wanted = run("select", scored, "--reference", scored_other, *flags)
        self.assertEqual(wanted.returncode, 0, wanted.stderr)
        for file, reference in ((path, other), (scored, other), (path, scored_other)):
            self.assertEqual(run("select", file, "--reference", reference, *flags).stdout, wanted.stdout)
        with open(other, "rb") as file:
            piped = run("select", path, "--reference", "/dev/stdin", *flags, stdin=file.read())
        self.assertEqual(piped.stdout, wanted.stdout, piped.stderr)


class Flags(SelectCase):
    def test_unknown_vocabulary(self):
        """It works, and the summary says once what would help."""
        path = self.lines(*self.answers())
        done = self.same([(path, True)], RULES[0], vocabulary=())
        self.assertEqual(done.stderr.count(b"--vocab-size N"), 1, done.stderr)
        self.assertIn(b"infinite    36 of the upper bounds", done.stderr)  # 4 answers of 6 + 3 tokens
        self.assertNotIn(b"--vocab-size", self.same([(path, True)], RULES[0]).stderr)

    def test_refused_without_logs(self):
        records = self.score_to("records.jsonl", self.lines(*self.answers()))
        done = run("select", records, "--vocab-size", VOCABULARY, "--keep", "high:20%")
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"--vocab-size is for recorded log-probabilities", done.stderr)
        for number in ("0", "-3", "many"):
            done = run("select", self.path("log.jsonl"), "--vocab-size", number, "--keep", "high:20%")
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(b"--vocab-size", done.stderr)

    def test_manifest(self):
        path, out = self.lines(*self.answers()), self.path("out.jsonl")
        self.assertEqual(run("select", path, "--vocab-size", VOCABULARY, "--by", "logprob", "--keep", "high:20%", "-o", out).returncode, 0)
        with open(out + ".manifest.json") as file:
            manifest = json.load(file)
        self.assertEqual(manifest["vocab_size"], VOCABULARY)
        self.assertEqual([item["path"] for item in manifest["inputs"]], [path])
        self.assertEqual(manifest["counts"]["documents"], 8)

    def test_many_files_need_few_descriptors(self):
        paths = [self.lines(answer, name=f"{i}.jsonl") for i, answer in enumerate(self.answers(60))]
        done = subprocess.run(["sh", "-c", 'ulimit -n 32; exec "$0" "$@"', os.environ.get("ENTROL", "build/entrol"), "select",
                               *paths, "--by", "logprob", "--keep", "high:20%"], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 120)


class Errors(SelectCase):
    def both(self, path, *vocabulary):
        """score's error, to the letter, and nothing written."""
        score = run("score", path, *vocabulary)
        out = self.path("out.jsonl")
        done = run("select", path, *vocabulary, "--keep", "high:20%", "-o", out)
        self.assertEqual((done.returncode, score.returncode), (2, 2), done.stderr)
        self.assertEqual(done.stderr, score.stderr)
        self.assertFalse(os.path.exists(out) or os.path.exists(out + ".part"))
        return done.stderr.decode()

    def test_bad_logs(self):
        places, _ = places_of(self.rng, 5, 3)
        good, sums, text = (recorded.openai_chat(places) for _ in range(3))
        for entry in sums["choices"][0]["logprobs"]["content"][2]["top_logprobs"]:
            entry["logprob"] = -0.1
        text["choices"][0]["logprobs"]["content"][1]["logprob"] = "high"
        self.assertIn(":2: choice 0, token 2: ", self.both(self.lines(good, sums)))
        self.assertIn(":3: choice 0, token 1: ", self.both(self.lines(good, good, text)))
        self.assertIn("vocabulary of 2", self.both(self.lines(recorded.llama_server(places)), "--vocab-size", 2))
        self.both(self.write("cut.jsonl", (json.dumps(good) + "\n" + json.dumps(good)[:-9]).encode()))
        self.both(self.write("cut.json", json.dumps([good, good], indent=1)[:-30].encode()))
        self.assertIn("element 1 of the array", self.both(self.write("mixed.json", json.dumps([good, 3]).encode())))
        failed = {"custom_id": "b", "response": None, "error": {"message": "too long"}}
        self.assertIn("too long", self.both(self.lines(recorded.openai_batch(places), failed)))

    def test_messages_name_the_log(self):
        """What select finds in the records is said of the line that they come from."""
        answers = self.answers(2)
        path = self.lines(*answers)
        done = run("select", path, "--by", "rank", "--keep", "high:50%", "--scope", "group:nothing")
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{path}:1".encode(), done.stderr)
        del answers[1]["source"]
        done = run("select", self.lines(*answers), "--by", "logprob", "--keep", "high:50%", "--scope", "group:source")
        self.assertIn(f"{path}:2 ".encode(), done.stderr)

    def test_a_text_in_a_log(self):
        places, _ = places_of(self.rng, 5, 3)
        path = self.lines(recorded.openai_chat(places), {"text": "a"})
        done = run("select", path, "--keep", "high:20%")
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"log.jsonl:2: expected recorded log-probabilities, as in the lines before", done.stderr)

    def test_other_json(self):
        """What is no log is read as records, as ever."""
        for data in (b'[{"a": 1}]', b'{\n "a": 1\n}\n', b'{"a": 1}\n', b'{"a": ', b"", b"text"):
            done = run("select", self.write("x.jsonl", data), "--keep", "high:20%")
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertNotIn(b"--plain", done.stderr)
            self.assertIn(b"x.jsonl", done.stderr)


@unittest.skipUnless(HAS_MPI, "this build has no MPI")
@unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
class Ranks(SelectCase):
    def test_ranks(self):
        names = ("one.jsonl", "two.jsonl", "three.jsonl")
        files = [self.lines(*self.answers(3 + i), name=name) for i, name in enumerate(names)]
        for vocabulary, rules in ((("--vocab-size", VOCABULARY), RULES), ((), RULES[:1])):
            for flags in rules:
                alone = self.same([(file, True) for file in files], flags, vocabulary=vocabulary)
                for n in (1, 2, 3):
                    done = together(n, "select", *files, *vocabulary, *flags)
                    self.assertEqual((done.stdout, done.returncode, said(done)), (alone.stdout, alone.returncode, said(alone)))

    def test_refused(self):
        """What one rank finds ends all; where only one of them has a log, --vocab-size is fine."""
        log = self.lines(*self.answers())
        records = self.score_to("records.jsonl", log)
        flags = ("--keep", "high:20%", "--vocab-size", VOCABULARY)
        self.assertEqual(together(2, "select", log, records, *flags).stdout, run("select", log, records, *flags).stdout)
        done = together(2, "select", records, records, *flags)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertEqual(sum("--vocab-size is for" in line for line in said(done)), 1, said(done))
        bad = self.write("bad.jsonl", (json.dumps(self.answers(1)[0]) + "\n{\n").encode())
        done = together(2, "select", log, bad, *flags)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn("bad.jsonl:2", said(done)[0])


if __name__ == "__main__":
    unittest.main()
