"""entrol inspect and version: what files are, with NumPy and gzip as the writers where they exist."""
import gzip
import io
import json
import os
import struct
import subprocess
import tempfile
import unittest

try:
    import numpy
except ImportError:
    numpy = None

ENTROL = os.environ.get("ENTROL", "build/entrol")
MODEL = os.environ.get("ENTROL_MODEL")


def run(*arguments, data=b"", env=None):
    done = subprocess.run([ENTROL, *arguments], input=data, capture_output=True, timeout=120, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def safetensors(**tensors):
    """name=(dtype, shape, bytes), as the format's README describes it."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Inspect(unittest.TestCase):
    def inspect(self, data):
        """The lines that inspect prints about these bytes: from a file, and the same from a pipe and compressed."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            code, out, err = run("inspect", file.name)
            self.assertEqual((code, err), (0, ""))
            lines = out.splitlines()
            self.assertEqual(lines[0], file.name)
        for piped in (data, gzip.compress(data)):
            code, out, err = run("inspect", "-", data=piped)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual(out.splitlines(), ["standard input"] + lines[1:])
        return [line.strip() for line in lines[1:]]

    def refuse(self, data, message):
        code, out, err = run("inspect", "-", data=data)
        self.assertEqual((code, out), (2, ""))
        self.assertIn(message, err)

    def test_records(self):
        lines = self.inspect(b'{"text": "abc", "byte_start": [0, 1], "byte_end": [1, 3], "entropy": [1, 2.5]}\n'
                             b'{"entropy": [null, "NaN", 4], "keep": [true, false, true]}\n')
        self.assertEqual(lines[:4], ["kind: token records, JSON Lines", "documents: 2", "tokens: 5", "bytes of text: 3"])
        columns = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[5:]}
        self.assertEqual(columns["entropy"], "1 to 4, mean 2.5, 1 missing, 1 NaN or infinite")
        self.assertEqual(columns["keep"], "2 of 3, in 1 of the documents")
        self.assertEqual(columns["byte_end"], "1 to 3, mean 2, in 1 of the documents")
        self.refuse(b'{"entropy": [1]}\n{"entropy": [1}\n', "standard input:2: broken JSON at column 15")

    def test_statistics_of_documents(self):
        line = b'{"id": 1, "text": "abc", "n_tokens": 2, "entropy_mean": 1.5}\n'
        self.assertEqual(self.inspect(2 * line),
                         ["kind: statistics of documents, JSON Lines", "documents: 2", "tokens: 4", "bytes of text: 6"])

    def test_other_lines(self):
        self.assertEqual(self.inspect(b'{"input_ids": [1, 2], "labels": [1, -100]}\n{"input_ids": [3], "labels": [3]}\n'),
                         ["kind: JSON Lines, neither texts nor token records", "documents: 2", "fields: input_ids, labels"])
        self.refuse(b'{"a": 1}\n{"a": 1\n', "standard input:2: broken JSON")

    def test_texts(self):
        self.assertEqual(self.inspect("one\ntwo \u4e16".encode()), ["kind: plain text: one document", "lines: 2", "bytes of text: 11"])
        lines = self.inspect(b'{"prompt": "ab", "completion": "c"}\n{"text": "de"}\n'
                             b'{"messages": [{"role": "user", "content": "hi"}]}\n')
        self.assertEqual(lines, ["kind: texts, JSON Lines", "documents: 3", "conversations: 1", "with a prompt: 1",
                                 "bytes of text: 7"])
        self.refuse(b"", "found an empty file")
        self.refuse(b"ab\0", "found a NUL (0x00) at byte 3")
        self.refuse(b'{"text": "a"}\n{"texts": "a"}\n', "standard input:2: expected a field \"text\"")

    def test_safetensors(self):
        lines = self.inspect(safetensors(logits=("F16", [2, 3, 5], bytes(60)), ids=("I64", [6], bytes(48))))
        self.assertEqual(lines, ["kind: .safetensors arrays", "arrays: 2", "logits: f16 (2, 3, 5)", "as logits: 6 rows of 5",
                                 "ids: i64 (6)"])
        self.refuse(struct.pack("<Q", 1 << 60) + b"{}", "a safetensors header of 1152921504606846976 bytes")
        self.refuse(safetensors(x=("F32", [2], bytes(8)))[:-1], "lie outside of the 7 bytes of data")

    @unittest.skipIf(numpy is None, "NumPy is the peer")
    def test_numpy(self):
        for dtype, name in (("<f4", "f32"), ("<f2", "f16"), ("<f8", "f64"), ("<i4", "i32"), ("<i8", "i64"), ("<u2", "u16")):
            for shape in ((7,), (2, 3), (2, 3, 4)):
                file = io.BytesIO()
                numpy.save(file, numpy.zeros(shape, dtype))
                lines = self.inspect(file.getvalue())
                self.assertEqual(lines[:2], ["kind: .npy array", f"array: {name} ({', '.join(map(str, shape))})"])
        for version in ((1, 0), (2, 0), (3, 0)):
            file = io.BytesIO()
            numpy.lib.format.write_array(file, numpy.zeros((2, 3), "<f4"), version)
            self.assertEqual(self.inspect(file.getvalue())[1], "array: f32 (2, 3)")
        file = io.BytesIO()
        numpy.save(file, numpy.asfortranarray(numpy.zeros((2, 3))))
        self.refuse(file.getvalue(), "numpy.ascontiguousarray(array)")
        file = io.BytesIO()
        numpy.save(file, numpy.zeros((2, 3), ">f4"))
        self.refuse(file.getvalue(), "found descr '>f4'")

    def test_manifest(self):
        lines = self.inspect(b'{\n  "entrol": "0.1.0",\n  "command": ["entrol", "score"],\n  "unit": "nat"\n}\n')
        self.assertEqual(lines, ["kind: manifest of a result", "entrol: \"0.1.0\"", "command: [\"entrol\", \"score\"]",
                                 "unit: \"nat\""])

    def test_gguf(self):
        pair = lambda key, kind, value: struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value
        string = lambda text: struct.pack("<Q", len(text)) + text
        pairs = [pair(b"general.name", 8, string(b"evil\x1b[31m")), pair(b"ok", 7, b"\1"), pair(b"n", 10, struct.pack("<Q", 1 << 63)),
                 pair(b"tokens", 9, struct.pack("<IQ", 4, 3) + bytes(12))]
        tensor = string(b"w") + struct.pack("<IQQIQ", 2, 3, 5, 0, 0)
        data = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor
        self.assertEqual(self.inspect(data), ["kind: GGUF model, version 3", "tensors: 1", "parameters: 15", "metadata: 4 pairs",
                                              "general.name: evil\\x1b[31m", "ok: true", f"n: {1 << 63}", "tokens: array of 3 u32"])
        for n in (5, 20, 40, len(data) - 1):
            self.refuse(data[:n], "the GGUF file ends inside its header")
        self.refuse(b"GGUF" + struct.pack("<IQQ", 9, 1, 1), "expected GGUF version 2 or 3, found 9")
        self.refuse(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "broken GGUF header")

    @unittest.skipUnless(MODEL, "needs ENTROL_MODEL")
    def test_model(self):
        code, out, err = run("inspect", MODEL)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("kind: GGUF model", out)
        self.assertIn("general.architecture: ", out)

    def test_other_files_go_on_after_a_bad_one(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"text")
            file.flush()
            code, out, err = run("inspect", "/nonexistent", file.name)
        self.assertEqual(code, 2)
        self.assertIn("/nonexistent: No such file", err)
        self.assertIn("kind: plain text", out)


class Version(unittest.TestCase):
    def test_kernels_follow_the_environment(self):
        code, out, err = run("version", env={"ENTROL_CPU": "scalar", "ENTROL_THREADS": "3"})
        self.assertEqual((code, err), (0, ""))
        self.assertIn("kernels: scalar (here: scalar", out)
        self.assertIn("threads: 3\n", out)
        self.assertEqual(run("--version"), (0, out.splitlines()[0] + "\n", ""))

    def test_a_level_that_does_not_exist_is_an_error(self):
        code, out, err = run("version", env={"ENTROL_THREADS": "many"})
        self.assertEqual((code, err), (2, "entrol: ENTROL_THREADS=many: expected a number of threads, from 1 to 1024\n"))
        code, out, err = run("version", env={"ENTROL_CPU": "sse9"})
        self.assertEqual((code, out), (2, ""))
        self.assertIn("ENTROL_CPU", err)


if __name__ == "__main__":
    unittest.main()
