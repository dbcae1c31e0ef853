"""entrol score on what it cannot read or cannot write: a message that names the place, exit 2, and nothing lost."""
import ctypes
import gzip
import json
import os
import resource
import signal
import stat
import struct
import subprocess
import unittest

from scoring import ENTROL, MODEL, ScoreCase, have_llama, np, records, run


LIBC = ctypes.CDLL(None)  # before any fork


def obey_file_modes():
    """For preexec_fn: root gives up reading what a file's mode forbids, and stays the owner of its folders."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of <linux/capability.h>
        LIBC.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: they are gone after exec; other users have none to drop


def npy_header(text, version=(1, 0), length=None):
    body = text.encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(body) if length is None else length)
    return b"\x93NUMPY" + bytes(version) + size + body


class Logits(ScoreCase):
    GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"

    def test_npy_files_that_are_wrong(self):
        data = b"\0" * 24
        cases = {
            "empty": b"",
            "magic": b"\x93NUMPX" + b"\1\0" * 20,
            "torn-header": npy_header(self.GOOD)[:30],
            "huge-header": npy_header(self.GOOD, (2, 0), 2**32 - 1) + data,
            "version": npy_header(self.GOOD, (9, 0)) + data,
            "no-header": npy_header("") + data,
            "words": npy_header("hello there\n") + data,
            "short": npy_header(self.GOOD) + data[:-1],
            "long": npy_header(self.GOOD) + data + b"\0",
            "dtype": npy_header(self.GOOD.replace("<f4", "<c8")) + data * 2,
            "big-endian": npy_header(self.GOOD.replace("<f4", ">f4")) + data,
            "integers": npy_header(self.GOOD.replace("<f4", "<i4")) + data,
            "object": npy_header(self.GOOD.replace("<f4", "|O")) + data,
            "fortran": npy_header(self.GOOD.replace("False", "True")) + data,
            "scalar": npy_header(self.GOOD.replace("(2, 3)", "()")) + data[:4],
            "overflow": npy_header(self.GOOD.replace("(2, 3)", f"({2**40}, {2**40})")) + data,
            "negative": npy_header(self.GOOD.replace("(2, 3)", "(-2, -3)")) + data,
        }
        for name, content in cases.items():
            with self.subTest(name):
                self.refused(self.write(f"{name}.npy", content), says=[f"{name}.npy"])

    def test_safetensors_files_that_are_wrong(self):
        def made(header, data=b"\0" * 24, length=None):
            text = header if isinstance(header, bytes) else json.dumps(header).encode()
            return struct.pack("<Q", len(text) if length is None else length) + text + data

        good = {"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
        tensor = lambda **more: {"x": dict(good["x"], **more)}
        cases = {
            "empty": b"",
            "short": b"\1\2\3",
            "huge-header": made(good, length=2**60),
            "longer-header": made(good, length=10_000),
            "words": made(b"no JSON at all"),
            "list": made([1, 2]),
            "deep": made(b"[" * 100_000),
            "none": made({}, b""),
            "dtype": made(tensor(dtype="F31")),
            "shape": made(tensor(shape=[2, 4])),
            "beyond": made(tensor(data_offsets=[0, 28], shape=[1, 7])),
            "backwards": made(tensor(data_offsets=[24, 0])),
            "overflow": made(tensor(shape=[2**40, 2**40])),
            "negative": made(tensor(shape=[-2, -3])),
            "no-offsets": made({"x": {"dtype": "F32", "shape": [2, 3]}}),
            "only-integers": made(tensor(dtype="I32")),
        }
        for name, content in cases.items():
            with self.subTest(name):
                self.refused(self.write(f"{name}.safetensors", content), says=[f"{name}.safetensors"])

    def test_a_pipe_with_logits_that_are_wrong(self):
        data = open(self.npy("x.npy", np.zeros((2, 3))), "rb").read()
        self.refused("-", stdin=data[:-1], says=["standard input", "bytes"])


@unittest.skipUnless(have_llama(), "this build has no llama.cpp")
class Texts(ScoreCase):
    """Wrong before a model is needed: the model here is a file of one byte."""

    def refused(self, *arguments, **more):
        return super().refused(*arguments, "-m", self.write("m.gguf", "x"), **more)

    def test_files_that_cannot_be_read(self):
        self.refused(self.folder, says=[self.folder, "directory"])
        self.refused(self.path("none.txt"), says=["none.txt", "No such file"])
        self.refused(self.write("empty.txt", ""), says=["empty.txt", "empty"])

    def test_a_file_without_permission(self):
        path = self.write("secret.txt", "x")
        os.chmod(path, 0)
        if subprocess.run(["cat", path], capture_output=True, preexec_fn=obey_file_modes).returncode == 0:
            self.skipTest("this user may read everything")
        self.refused(path, says=["secret.txt", "ermission"], preexec_fn=obey_file_modes)

    def test_bytes_that_are_no_text(self):
        self.refused(self.write("a.txt", b"fine until \xff here"), says=["a.txt", "UTF-8"])
        self.refused(self.write("b.txt", b"fine until \x00 here"), says=["b.txt", "NUL"])
        self.refused(self.write("c.jsonl", b'{"text": "x\xc3("}\n'), says=["c.jsonl", "1"])
        self.refused(self.write("d.jsonl", b'{"text": "a\\u0000b"}\n'), says=["d.jsonl", "1"])
        self.refused(self.write("e.jsonl", b'{"text": "\\ud800"}\n'), says=["e.jsonl", "1"])
        self.refused(self.write("f.jsonl", b'{\n "text": "x"\n}\n'), says=["f.jsonl:1", "jq -c"])
        self.refused(self.write("h.jsonl", b'# comment\n{"text": "x"}\n'), says=["h.jsonl:1", "broken JSON"])
        self.refused(self.write("i.jsonl", b'[1, 2]\n{"text": "x"}\n'), says=["i.jsonl:1", "an array"])
        self.refused(self.write("g.jsonl", b'{"messages": []}\n'), says=["g.jsonl:1", "an empty array"])

    def test_lines_that_are_wrong(self):
        cases = {"broken": '{"text": "x"', "missing": '{"title": "x"}', "number": '{"text": 7}', "array": '{"text": ["x"]}',
                 "half": '{"prompt": "x"}', "messages": '{"messages": "x"}', "deep": '{"text": "x", "a": ' + "[" * 100_000}
        for name, line in cases.items():
            with self.subTest(name):
                self.refused(self.write(f"{name}.jsonl", line + "\n"), says=[f"{name}.jsonl", "1"])
        self.refused(self.write("field.jsonl", '{"text": "x"}\n'), "--field", "body", says=["field.jsonl", "body"])

    def test_a_line_of_100_megabytes(self):
        path = self.path("long.jsonl")
        with open(path, "wb") as file:
            file.write(b'{"text": "')
            for _ in range(100):
                file.write(b"x" * (1 << 20))
            file.write(b'"}\n')
        self.refused(path, says=["long.jsonl", "1"])

    def test_packed_files_that_are_wrong(self):
        whole = gzip.compress(b'{"text": "x"}\n' * 1000)
        self.refused(self.write("torn.jsonl.gz", whole[:-20]), says=["torn.jsonl.gz"])
        bomb = gzip.compress(b"\0" * (1 << 28), 9)
        self.refused(self.write("bomb.txt.gz", bomb), says=["bomb.txt.gz"])

    def test_the_output_is_no_input(self):
        path = self.write("a.txt", "Hello.")
        self.refused(path, "-o", path, says=["a.txt"])
        self.assertEqual(open(path).read(), "Hello.")
        os.link(path, self.path("other-name"))
        self.refused(path, "-o", self.path("other-name"), says=["other-name"])


class WhatIsNoRecord(ScoreCase):
    """What is made of records says what to do with a text."""

    def test_texts_and_statistics(self):
        text = self.write("a.txt", "The cat sleeps.\n")
        line = self.write("a.jsonl", '{"text": "The cat sleeps."}\n')
        statistics = self.write("s.jsonl", '{"id": 1, "n_tokens": 3, "entropy_mean": 1.5}\n')
        for command in ["show"], ["select", "--keep", "low:1"], ["report", "-o", self.path("report.html")]:
            for path, words in (text, "entrol score makes them"), (line, "entrol score makes"), (statistics, "--level sample"):
                done = run(*command, path)
                self.assertEqual(done.returncode, 2)
                self.assertIn(words, done.stderr.decode())
                self.assertIn(os.path.basename(path) + ":1", done.stderr.decode())


@unittest.skipUnless(have_llama(), "this build has no llama.cpp")
class Models(ScoreCase):
    def refused(self, *arguments, **more):
        return super().refused(self.write("a.txt", "Hello."), *arguments, **more)

    def test_models_that_are_none(self):
        self.refused("-m", self.path("none.gguf"), says=["none.gguf", "No such file"])
        self.refused("-m", self.folder, says=[self.folder, "directory"])
        for name, content in {"empty": b"", "words": b"hello " * 1000, "magic": b"GGUF", "version": b"GGUF" + b"\xff" * 64,
                              "counts": b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60), "zeros": bytes(4096)}.items():
            with self.subTest(name):
                self.refused("-m", self.write(f"{name}.gguf", content), says=[f"{name}.gguf"])

    @unittest.skipUnless(MODEL, "ENTROL_MODEL is not set")
    def test_a_truncated_model(self):
        with open(MODEL, "rb") as file:
            head = file.read(min(32 << 20, os.path.getsize(MODEL) * 3 // 4))
        self.refused("-m", self.write("torn.gguf", head), says=["torn.gguf"])
        self.refused("-m", self.write("torn.gguf", head[:5000]), says=["torn.gguf"])

    def test_without_a_model(self):
        message = self.refused(environment={"ENTROL_CACHE": self.folder, "HOME": self.folder})
        for words in ("-m", "scripts/demo", self.folder):
            self.assertIn(words, message)


class WithoutLlama(ScoreCase):
    @unittest.skipIf(have_llama(), "this build has llama.cpp")
    def test_texts_are_refused(self):
        self.refused(self.write("a.txt", "Hello."), says=["without llama.cpp"])


class Outputs(ScoreCase):
    def logits(self):
        return self.npy("x.npy", np.random.default_rng(1).normal(0, 1, (200, 50, 40)).astype(np.float32))

    def test_the_name_of_a_directory(self):
        self.refused(self.logits(), "-o", self.path("out/"), says=["out/", "directory"])

    def test_a_full_disk_under_standard_output(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([ENTROL, "score", self.logits()], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"No space left", done.stderr)

    def test_a_full_disk_leaves_earlier_output_whole(self):
        out = self.write("out", "what was there\n")

        def no_large_files():  # the nearest to a full disk that needs no privilege
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

        logits = self.logits()
        done = run("score", logits, "-o", out, preexec_fn=no_large_files)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(b"out", done.stderr)
        self.assertEqual(open(out).read(), "what was there\n")
        self.assertNotIn("out.manifest.json", os.listdir(self.folder))
        # with room again, whatever was kept can be gone on with
        self.assertEqual(run("score", logits, "-o", out, "--resume").returncode, 0)
        self.assertEqual(open(out, "rb").read(), run("score", logits).stdout)

    def test_a_full_disk_at_the_last_byte_keeps_what_can_be_resumed(self):
        logits, out = self.npy("x.npy", np.zeros((3, 200, 8), dtype=np.float32)), self.path("out")
        done = run("score", logits, "-o", out,  # less than what is buffered: nothing is written before the end
                   preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                       resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))))
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"--resume", done.stderr)
        self.assertTrue(os.path.exists(out + ".part"))
        self.assertEqual(run("score", logits, "-o", out, "--resume").returncode, 0)
        self.assertEqual(open(out, "rb").read(), run("score", logits).stdout)

    def test_a_manifest_that_cannot_be_written(self):
        out = self.path("out")
        os.mkdir(out + ".manifest.json")
        message = self.refused(self.logits(), "-o", out, says=["out.manifest.json", "out itself is whole"])
        self.assertNotIn("--resume", message)
        self.assertEqual(open(out, "rb").read(), run("score", self.logits()).stdout)
        self.assertEqual(sorted(os.listdir(self.folder)), ["out", "out.manifest.json", "x.npy"])

    def test_a_closed_pipe(self):
        process = subprocess.Popen([ENTROL, "score", self.logits()], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(10)
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(), 2)
        self.assertIn(b"closed", message)

    def test_places_that_cannot_be_written(self):
        self.refused(self.logits(), "-o", self.folder, says=["directory"])
        self.refused(self.logits(), "-o", "", says=['""', "name of a file"])
        self.refused(self.logits(), "-o", self.path("none/out"), says=["none/out"])
        self.refused(self.logits(), "-o", os.path.join(self.logits(), "out"), says=["x.npy/out"])

    def test_an_output_that_is_an_input(self):
        path = self.logits()
        before = open(path, "rb").read()
        self.refused(path, "-o", path, says=["x.npy"])
        self.assertEqual(open(path, "rb").read(), before)

    def test_a_stream_as_output_has_nothing_beside_it(self):
        before = sorted(os.listdir("/dev"))
        self.assertEqual(run("score", self.logits(), "-o", "/dev/null").returncode, 0)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertEqual(sorted(os.listdir("/dev")), before)
        done = run("score", self.logits(), "-o", "/dev/stdout")
        self.assertEqual(len(records(done.stdout)), 200)

    def test_a_link_as_output_leads_to_its_file(self):
        real = self.write("real", "old\n")
        os.symlink(real, self.path("link"))
        self.assertEqual(run("score", self.logits(), "-o", self.path("link")).returncode, 0)
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertEqual(len(records(open(real, "rb").read())), 200)
        self.assertFalse([name for name in os.listdir(self.folder) if ".part" in name])

    def test_a_link_to_a_file_that_is_not_there_yet(self):
        os.mkdir(self.path("folder"))
        os.symlink(self.path("folder/middle"), self.path("link"))
        os.symlink("real", self.path("folder/middle"))
        self.assertEqual(run("score", self.logits(), "-o", self.path("link")).returncode, 0)
        self.assertTrue(os.path.islink(self.path("link")) and os.path.islink(self.path("folder/middle")))
        self.assertEqual(len(records(open(self.path("folder/real"), "rb").read())), 200)
        os.symlink("circle", self.path("circle"))
        self.refused(self.logits(), "-o", self.path("circle"), says=["circle", "symbolic links"])
        self.assertTrue(os.path.islink(self.path("circle")))


class Flags(ScoreCase):
    def test_flags_that_are_wrong(self):
        path = self.npy("x.npy", np.zeros((2, 3), dtype=np.float32))
        for flags, words in ((["--temperature", "0"], "temperature"), (["--temperature", "x"], "temperature"),
                             (["--top", "0"], "top"), (["--top", "1000"], "top"), (["--level", "word"], "level"),
                             (["-c", "-5"], "ctx"), (["--nonsense"], "nonsense"), (["--unit", "bans"], "unit"),
                             (["-fa", "perhaps"], "flash-attn"), (["--compat", "other"], "compat")):
            with self.subTest(flags):
                self.refused(path, *flags, says=[words])

    def test_flags_that_contradict(self):
        for command in (["score"], ["filter", "--keep", "low:1"]):
            done = run(*command, "--plain", "--field", "text", self.write("a.txt", "Hello."))
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"--field does not go with --plain", done.stderr)

    def test_help(self):
        done = run("score", "--help")
        self.assertEqual(done.returncode, 0)
        for words in (b"--min-context", b"--resume", b"-ngl", b"-ub"):
            self.assertIn(words, done.stdout)


if __name__ == "__main__":
    unittest.main()
