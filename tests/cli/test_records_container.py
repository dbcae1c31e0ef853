"""Records in a .safetensors container: the same to every command as JSON Lines, laid out as docs/formats.md says."""
import gzip
import json
import math
import os
import resource
import struct
import subprocess
import tempfile
import textwrap
import unittest

try:
    import numpy
except ImportError:
    numpy = None

ENTROL = os.environ.get("ENTROL", "build/entrol")
MODEL = os.environ.get("ENTROL_MODEL", "")
SIZES = {"F32": 4, "I32": 4, "I64": 8, "U8": 1}
CODES = {"F32": "f", "I32": "i", "I64": "q", "U8": "B"}

# Everything that a line of records can hold. "n" is there to choose all documents by.
CORPUS = [
    {"id": "a", "text": "héllo 世界 🎉", "token": ["hé", "llo", " 世界 🎉"], "token_id": [1, 70000, 3], "byte_start": [0, 3, 6],
     "byte_end": [3, 6, 18], "entropy": [None, 2.5, "NaN"], "logprob": ["-Infinity", -0.1, "Infinity"], "rank": [1, None, 3],
     "top_id": [[1, 2], [3, None], [5, 6]], "top_token": [["é", ""], ["x", None], ["\"\n", "y"]],
     "top_logprob": [[-0.5, -1], [-0.25, None], ["-Infinity", -3]], "keep": [True, False, None], "weight": [0.5, 1, 0],
     "n": 1, "meta": {"b": [1, 2.5, None, "ü"], "a": {}}},
    {"n": 2, "text": "", "id": 7, "entropy": [], "token_id": [], "rank": [], "top_id": [], "logprob": []},
    {"n": 3, "id": "wide", "token_id": [1 << 40, -5], "entropy": [1e-30, 3.4e38], "logprob": [-0.0, -1e-45],
     "top_id": [[1, 2, 3, 4], [5, 6, 7, 8]], "text": None, "rank": 5, "token": "a field, no column"},
    {"n": 4, "entropy": [0.125, 6], "logprob": [-1, -2], "text": "no id: é", "top_id": [[], []], "keep": [True, True]},
    {"n": 5, "id": None, "text": 12, "varentropy": [0.5, None, 2], "entropy": [1, 2, 3], "logprob": [-1, -1, -1]},
]


def run(*arguments, data=b"", env=None, **more):
    given = {"stdin": data} if hasattr(data, "read") else {"input": data}
    return subprocess.run([ENTROL, *map(str, arguments)], capture_output=True, timeout=300,
                          env={**os.environ, **(env or {})}, **given, **more)


def lines(documents):
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


def parse(output):
    return [json.loads(line) for line in output.splitlines()]


def read(data):
    """A reader of safetensors by the format's own README: {name: (dtype, shape, values)}, and the metadata."""
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        n_values = math.prod(entry["shape"])
        assert end - start == n_values * SIZES[entry["dtype"]], name
        values = struct.unpack(f"<{n_values}{CODES[entry['dtype']]}", data[8 + n + start:8 + n + end])
        tensors[name] = (entry["dtype"], entry["shape"], list(values))
    return tensors, metadata


def write(tensors, metadata=None, pad=True):
    """The opposite, for files that entrol would not write; values may be bytes."""
    header = {} if metadata is False else {"__metadata__": metadata or {"format": "entrol-records-1"}}
    data = b""
    for name, (dtype, shape, values) in tensors.items():
        content = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{CODES[dtype]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 if pad else 0)
    return struct.pack("<Q", len(text)) + text + data


def npy(shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}f", *values)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="entrol-container-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def ok(self, *arguments, **more):
        done = run(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def refused(self, *arguments, says, **more):
        done = run(*arguments, **more)
        self.assertEqual(done.returncode, 2, done.stderr.decode())
        for words in [says] if isinstance(says, str) else says:
            self.assertIn(words, done.stderr.decode())

    def copy(self, source, target=None, **more):
        """All documents as they are, into a file or to standard output."""
        to = ["-o", target] if target else []
        return self.ok("select", "--level", "sample", "--by", "n", "--keep", "p0..p100", source, *to, **more)

    def container(self, documents, name="records.safetensors"):
        self.copy(self.file("source.jsonl", lines(documents)), self.path(name))
        return self.path(name)


class RoundTrip(Case):
    def test_everything_that_a_line_holds_comes_back(self):
        self.assertEqual(parse(self.copy(self.container(CORPUS))), CORPUS)

    def test_container_to_container_is_the_same_file(self):
        first = self.container(CORPUS)
        self.copy(first, self.path("second.safetensors"))
        self.assertEqual(self.content("records.safetensors"), self.content("second.safetensors"))

    def test_any_order_of_documents(self):
        """A column, a missing value, a wider list or another field may come first in any document."""
        for first in range(len(CORPUS)):
            documents = CORPUS[first:] + CORPUS[:first]
            for chosen in (documents, documents[::-1], documents[:1], documents + documents):
                with self.subTest(first=first, n=len(chosen)):
                    self.assertEqual(parse(self.copy(self.container(chosen))), chosen)

    def test_pipes_and_compression(self):
        path = self.container(CORPUS)
        packed = gzip.compress(self.content("records.safetensors"))
        expected = self.copy(path)
        self.assertEqual(self.ok("inspect", "-", data=packed).splitlines()[1:], self.ok("inspect", path).splitlines()[1:])
        self.assertEqual(self.copy("-", data=self.content("records.safetensors")), expected)
        self.assertEqual(self.copy("-", data=packed), expected)
        self.assertEqual(self.copy(self.file("r.gz", packed)), expected)
        with open(path, "rb") as file:
            self.assertEqual(self.copy("-", data=file), expected)

    def test_several_files_of_both_kinds(self):
        flat, source = self.container(CORPUS), self.path("source.jsonl")
        done = self.ok("select", "--level", "sample", "--by", "n", "--keep", "p0..p100", source, flat)
        self.assertEqual(parse(done), CORPUS + CORPUS)

    def test_no_documents_and_no_tokens(self):
        done = run("select", "--level", "sample", "--keep", "2..", self.file("low.jsonl", b'{"entropy": [1]}'), "-o",
                   self.path("none.safetensors"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(read(self.content("none.safetensors"))[0], {"document_offset": ("I64", [1], [0])})
        self.assertIn("documents: 0", self.ok("inspect", self.path("none.safetensors")).decode())
        empty = [{"n": 1, "id": "x", "entropy": [], "top_id": []}]
        self.assertEqual(parse(self.copy(self.container(empty))), empty)
        fields = [{"n": 1, "entropy_mean": 2.5, "n_tokens": 3}, {"n": 2, "entropy_mean": "NaN", "n_tokens": 0}]
        self.assertEqual(parse(self.copy(self.container(fields))), fields)


class Layout(Case):
    def test_tensors(self):
        self.container(CORPUS)
        tensors, metadata = read(self.content("records.safetensors"))
        version = self.ok("version").decode().split()[1]
        self.assertEqual(metadata, {"format": "entrol-records-1", "unit": "nat", "entrol": version})
        nan = tensors["entropy"][2]
        self.assertTrue(math.isnan(nan[0]) and math.isnan(nan[2]))
        expected = {
            "document_offset": ("I64", [6], [0, 3, 3, 5, 7, 10]),
            "entropy.valid": ("U8", [10], [0] + [1] * 9),  # a NaN is a value
            "rank": ("I32", [10], [1, 0, 3] + [0] * 7),
            "rank.valid": ("U8", [10], [1, 0, 1] + [0] * 7),
            "rank.present": ("U8", [5], [1, 1, 0, 0, 0]),
            "token_id": ("I64", [10], [1, 70000, 3, 1 << 40, -5] + [0] * 5),
            "keep": ("U8", [10], [1, 0, 0, 0, 0, 1, 1, 0, 0, 0]),
            "keep.valid": ("U8", [10], [1, 1, 0, 0, 0, 1, 1, 0, 0, 0]),
            "keep.present": ("U8", [5], [1, 0, 0, 1, 0]),
            "top_id": ("I32", [10, 4], [1, 2, 0, 0, 3, 0, 0, 0, 5, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8] + [0] * 20),
            "top_id.valid": ("U8", [10, 4], [1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0] + [1] * 8 + [0] * 20),
            "byte_end": ("I32", [10], [3, 6, 18] + [0] * 7),
            "token_offset": ("I64", [11], [0, 3, 6] + [18] * 8),
            "token": ("U8", [18], list("héllo 世界 🎉".encode())),
            "id_offset": ("I64", [6], [0, 1, 1, 5, 5, 5]),
            "id": ("U8", [5], list(b"awide")),
            "id.valid": ("U8", [5], [1, 0, 1, 0, 0]),
            "text.valid": ("U8", [5], [1, 1, 0, 1, 0]),
        }
        for name, tensor in expected.items():
            with self.subTest(name):
                self.assertEqual(tensors[name], tensor)
        widths = tensors["top_id.width"]
        self.assertEqual((widths[0], widths[1], [widths[2][i] for i in (0, 2, 3)]), ("I64", [5], [2, 4, 0]))
        self.assertEqual([math.inf, -math.inf], [tensors["logprob"][2][2], tensors["logprob"][2][0]])
        offset, content = tensors["fields_offset"][2], bytes(tensors["fields"][2])
        self.assertEqual(json.loads(content[offset[0]:offset[1]]), {"n": 1, "meta": {"b": [1, 2.5, None, "ü"], "a": {}}})
        self.assertNotIn("fields.valid", tensors)

    def test_a_tensor_that_says_nothing_is_not_there(self):
        self.copy(self.container(CORPUS), self.path("all.safetensors"))
        plain = [{"id": "a", "text": "xy", "token_id": [5, 6], "entropy": [1, 2], "top_id": [[1, 2], [3, 4]]}]
        self.ok("select", "--keep", "..9", self.file("p.jsonl", lines(plain)), "-o", self.path("p.safetensors"))
        self.assertEqual(read(self.content("p.safetensors"))[0], {
            "document_offset": ("I64", [2], [0, 2]), "id_offset": ("I64", [2], [0, 1]), "id": ("U8", [1], list(b"a")),
            "text_offset": ("I64", [2], [0, 2]), "text": ("U8", [2], list(b"xy")), "token_id": ("I32", [2], [5, 6]),
            "entropy": ("F32", [2], [1, 2]), "top_id": ("I32", [2, 2], [1, 2, 3, 4]), "keep": ("U8", [2], [1, 1])})

    def test_every_tensor_is_aligned(self):
        self.container(CORPUS)
        data = self.content("records.safetensors")
        n = struct.unpack("<Q", data[:8])[0]
        self.assertEqual(n % 8, 0)
        for name, entry in json.loads(data[8:8 + n]).items():
            if name != "__metadata__":
                self.assertEqual((8 + n + entry["data_offsets"][0]) % SIZES[entry["dtype"]], 0, name)

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_numpy_maps_it(self):
        self.container(CORPUS)
        data = self.content("records.safetensors")
        n = struct.unpack("<Q", data[:8])[0]
        entry = json.loads(data[8:8 + n])["top_id"]
        mapped = numpy.memmap(self.path("records.safetensors"), numpy.int32, "r", 8 + n + entry["data_offsets"][0],
                              tuple(entry["shape"]))
        self.assertEqual(mapped[3:5].tolist(), CORPUS[2]["top_id"])

    @unittest.skipUnless(numpy, "numpy is not installed")
    def test_the_example_of_the_documents(self):
        documents = [{"id": "a", "entropy": [1, 2.5]}, {"id": "b", "entropy": [0.25]}]
        self.ok("select", "--level", "sample", "--keep", "p0..p100", self.file("records.jsonl", lines(documents)),
                "-o", self.path("records.safetensors"))
        with open(os.path.join(os.path.dirname(__file__), "../../docs/formats.md"), encoding="utf-8") as page:
            example = page.read().split("    import json, numpy, struct\n")[1].split("\n\n")[0]
        code = "import json, numpy, struct\n" + textwrap.dedent(example)
        names = {}
        exec(code.replace("records.safetensors", self.path("records.safetensors")), names)
        self.assertEqual(names["entropy"].tolist(), [1, 2.5, 0.25])

    def test_unaligned_tensors_are_read(self):
        tensors = {"keep": ("U8", [3], [1, 0, 1]), "document_offset": ("I64", [2], [0, 3]),
                   "entropy": ("F32", [3], [1, 2, 3]), "token_id": ("I64", [3], [1, 2, 3])}
        path = self.file("u.safetensors", write(tensors, pad=False))
        self.assertEqual(parse(self.ok("select", "--keep", "2..", path)),
                         [{"token_id": [1, 2, 3], "entropy": [1, 2, 3], "keep": [False, True, True]}])


class SameToEveryCommand(Case):
    """The two files have one name, in two folders, so that what is printed about them can be compared."""

    def setUp(self):
        super().setUp()
        self.documents = [dict(document, id=f"d{i}") for i, document in enumerate(CORPUS * 3)]
        self.file("lines/r", lines(self.documents))
        self.file("flat/x", b"")
        self.copy(self.path("lines/r"), self.path("flat/r.safetensors"))
        os.rename(self.path("flat/r.safetensors"), self.path("flat/r"))

    def both(self, *arguments):
        done = [run(*arguments, "r", cwd=self.path(folder)) for folder in ("lines", "flat")]
        self.assertIn(done[0].returncode, (0, 1), done[0].stderr.decode())
        self.assertEqual(done[0].returncode, done[1].returncode, done[1].stderr.decode())
        self.assertEqual(done[0].stderr, done[1].stderr)
        return done[0].stdout, done[1].stdout

    def test_select(self):
        for arguments in (["--keep", "low:50%"], ["--mask", "high:3", "--scope", "document"], ["--keep", "0.5..", "--by", "surprisal"],
                          ["--keep", "low:4", "--emit", "samples"], ["--level", "sample", "--keep", "high:2"],
                          ["--level", "sample", "--by", "n", "--keep", "..3"], ["--by", "position", "--keep", "..1"],
                          ["--level", "sample", "--by", "n", "--keep", "4..5", "--emit", "records"]):
            with self.subTest(arguments):
                from_lines, from_flat = self.both("select", *arguments)
                self.assertEqual(parse(from_lines), parse(from_flat))

    def test_select_for_trainers_and_spans(self):
        self.file("lines/r", lines([dict(self.documents[0], context_ids=[[0, [2]], [3, [9]]])]))
        self.copy(self.path("lines/r"), self.path("flat/r.safetensors"))
        os.rename(self.path("flat/r.safetensors"), self.path("flat/r"))
        for emit in ("labels", "trl", "spans"):
            from_lines, from_flat = self.both("select", "--by", "logprob", "--keep", "..9", "--emit", emit)
            self.assertEqual(from_lines, from_flat)
            self.assertTrue(from_lines)

    def test_filter(self):
        from_lines, from_flat = self.both("filter", "--by", "n", "--keep", "..3")
        self.assertEqual(parse(from_lines), parse(from_flat))

    def test_show(self):
        for arguments in ([], ["--by", "surprisal", "--top", "3"], ["--doc", "d3"], ["--color", "always"], ["-n", "2"]):
            with self.subTest(arguments):
                from_lines, from_flat = self.both("show", *arguments)
                self.assertEqual(from_lines, from_flat)
                self.assertTrue(from_lines)

    def test_report(self):
        from_lines, from_flat = self.both("report")
        self.assertEqual(from_lines, from_flat)

    def test_inspect(self):
        from_lines, from_flat = self.both("inspect")
        self.assertEqual(from_lines.replace(b"records, JSON Lines", b"records, safetensors"), from_flat)

    def test_messages_name_the_document(self):
        for folder in ("lines", "flat"):
            self.refused("select", "--by", "varentropy", "--keep", "..1", "r", cwd=self.path(folder),
                         says="r:1 (d0): no column \"varentropy\"")


class Score(Case):
    def logits(self):
        values = [math.sin(i * 1.7) * 3 for i in range(2 * 4 * 6)]
        values[13] = math.nan
        return self.file("x.npy", npy((2, 4, 6), values))

    def test_logits(self):
        arguments = ["score", self.logits(), "--columns", "entropy,varentropy,logsumexp,renyi", "--top", "8"]
        self.ok(*arguments, "-o", self.path("a.safetensors"))
        expected = parse(self.ok(*arguments))
        self.assertEqual(parse(self.ok("select", "--by", "position", "--keep", "0..", self.path("a.safetensors"))),
                         [dict(document, keep=[True] * 4) for document in expected])
        tensors = read(self.content("a.safetensors"))[0]
        for name in ("entropy", "varentropy", "logsumexp", "renyi"):
            flat = [float(value) for document in expected for value in document[name]]
            for stored, written in zip(tensors[name][2], flat):  # the decimals of JSON read back as the same float
                self.assertTrue(math.isnan(stored) and math.isnan(written) or stored == struct.unpack("f", struct.pack("f", written))[0])
        self.assertEqual(tensors["top_id"][1], [8, 8])
        with open(self.path("a.safetensors.manifest.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["counts"]["tokens"], 8)

    def test_statistics_of_samples(self):
        arguments = ["score", self.logits(), "--level", "sample"]
        self.ok(*arguments, "-o", self.path("a.safetensors"))
        self.assertEqual(parse(self.ok("select", "--level", "sample", "--by", "n_tokens", "--keep", "0..", self.path("a.safetensors"))),
                         parse(self.ok(*arguments)))

    @unittest.skipUnless(MODEL, "ENTROL_MODEL names no model")
    def test_texts(self):
        source = self.file("t.jsonl", lines([{"text": "Hello 世界 🎉, wörld", "meta": [1]}, {"prompt": "One, two,", "completion": " three"}]))
        arguments = ["score", source, "-m", MODEL, "-c", "64", "-t", "1", "--columns", "all", "--top", "3"]
        expected = parse(self.ok(*arguments))
        self.ok(*arguments, "-o", self.path("a.safetensors"))
        actual = parse(self.ok("select", "--by", "position", "--keep", "0..", self.path("a.safetensors")))
        self.assertEqual(actual, [dict(document, keep=[True] * len(document["token_id"])) for document in expected])
        self.assertTrue(any("context_ids" in document for document in actual))

    def test_what_cannot_be_is_refused(self):
        records = self.container(CORPUS)
        self.refused("score", self.logits(), "--resume", "-o", self.path("a.safetensors"), says=["--resume", ".safetensors"])
        self.refused("score", records, says="expected logits, found token records")
        for emit in ("labels", "trl", "spans"):
            self.refused("select", "--keep", "..1", "--emit", emit, records, "-o", self.path("a.safetensors"), says=emit)
        self.refused("filter", "--keep", "low:1", self.file("t.txt", b"text"), "-o", self.path("a.safetensors"), says="text")
        self.refused("select", "--keep", "..1", "-o", records, records, says="being read")
        self.assertFalse(os.path.exists(self.path("a.safetensors")))

    def test_dry_run_knows_the_container(self):
        def size(*arguments):
            return self.ok("score", self.logits(), "--dry-run", *arguments).split(b"output")[1]
        self.assertNotEqual(size(), size("-o", self.path("a.safetensors")))
        self.assertFalse(os.path.exists(self.path("a.safetensors")))


class Writing(Case):
    def test_whole_or_not_at_all(self):
        path = self.container(CORPUS)
        before = self.content("records.safetensors")
        broken = self.file("broken.jsonl", lines(CORPUS[:3]) + b'{"n": 9, "entropy": [1, ]}\n')
        self.refused("select", "--level", "sample", "--by", "n", "--keep", "..9", broken, "-o", path, says="broken.jsonl:4")
        self.refused("select", "--scope", "document", "--keep", "..9", broken, "-o", path, says="broken.jsonl:4")
        self.assertEqual(self.content("records.safetensors"), before)
        self.assertFalse(os.path.exists(path + ".part"))

    def test_no_room_for_temporary_files(self):
        self.refused("select", "--keep", "..9", self.file("a.jsonl", lines(CORPUS)), "-o", self.path("a.safetensors"),
                     says="TMPDIR", env={"TMPDIR": self.path("nowhere")})
        self.assertEqual(os.listdir(self.folder), ["a.jsonl"])

    @unittest.skipIf({"ASAN_OPTIONS", "TSAN_OPTIONS"} & set(os.environ), "a sanitizer keeps what is freed")
    def test_memory_does_not_grow_with_the_documents(self):
        document = {"id": "x", "text": "y" * 200000, "entropy": [0.5] * 5000, "top_id": [[1, 2, 3]] * 5000}
        source = self.file("m.jsonl", lines([document]) * 300)  # 60 MB of texts, 24 MB of columns
        limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (24 << 20, 24 << 20))
        self.ok("select", "--scope", "document", "--keep", "..9", source, "-o", self.path("m.safetensors"), preexec_fn=limit)
        self.assertEqual(os.path.getsize(self.path("m.safetensors")) // 1000000, 85)

    def test_a_limit_on_its_size_is_an_error(self):
        source = self.file("big.jsonl", lines([{"id": "x", "entropy": [0.5] * 20000}]) * 4)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        self.refused("select", "--keep", "..9", source, "-o", self.path("big.safetensors"), says="cannot write",
                     preexec_fn=limit, restore_signals=False)  # the signal for it stays ignored, as Python has it
        self.assertEqual(os.listdir(self.folder), ["big.jsonl"])


class Hostile(Case):
    """Files that lie: each is refused with a message that names the file and the tensor."""

    BASE = {"document_offset": ("I64", [3], [0, 2, 3]), "entropy": ("F32", [3], [1, 2, 3]), "token_id": ("I32", [3], [1, 2, 3]),
            "top_id": ("I32", [3, 2], [1, 2, 3, 4, 5, 6]), "keep": ("U8", [3], [0, 1, 1]),
            "token_offset": ("I64", [4], [0, 1, 2, 3]), "token": ("U8", [3], list(b"abc")),
            "text_offset": ("I64", [3], [0, 2, 3]), "text": ("U8", [3], list(b"abc")),
            "fields_offset": ("I64", [3], [0, 0, 8]), "fields": ("U8", [8], list(b'{"n": 1}')),
            "byte_start": ("I32", [3], [0, 1, 0]), "byte_end": ("I32", [3], [1, 2, 1])}

    def refuse(self, data, *says):
        path = self.file("h.safetensors", data)
        for command in (["inspect"], ["show"], ["report"], ["select", "--by", "position", "--keep", "0.."]):
            with self.subTest(command=command[0]):
                self.refused(*command, path, says=["h.safetensors", *says])

    def change(self, *says, **changes):
        tensors = {**self.BASE, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
        self.refuse(write({name: tensor for name, tensor in tensors.items() if tensor}), *says)

    def test_the_base_is_right(self):
        self.ok("inspect", self.file("h.safetensors", write(self.BASE)))

    def test_offsets(self):
        for offsets, n in (([0, 4, 3], 3), ([1, 2, 3], 3), ([0, -1, 3], 3), ([0, 2, 1 << 60], 3), ([0, 2, -1], 3), ([0, 3, 2], 2)):
            self.change("document_offset" if n == 3 else "tensor", document_offset=("I64", [3], offsets))
        for name, n in (("text", 3), ("token", 4), ("fields", 3)):
            for offsets in ([0, 99, 3], [0, -5, 3], [1, 1, 3], [0, 1, 99], [0, 1, 2]):
                offsets = offsets[:1] + offsets[1:2] * (n - 2) + offsets[2:]
                if name == "fields" and offsets[-1] == 3:
                    offsets[-1] = 8
                self.change(f"{name}_offset", **{f"{name}_offset": ("I64", [n], offsets)})
        self.change("document_offset", document_offset=("I64", [0], []))
        self.change("document_offset", document_offset=("I32", [3], [0, 2, 3]))
        self.change("document_offset", document_offset=None)

    def test_shapes_and_types(self):
        self.change("entropy", "(3)", "(2)", entropy=("F32", [2], [1, 2]))
        self.change("entropy", entropy=("F32", [3, 1], [1, 2, 3]))
        self.change("entropy", "F32", "I32", entropy=("I32", [3], [1, 2, 3]))
        self.change("token_id", "I32 or I64", token_id=("F32", [3], [1, 2, 3]))
        self.change("top_id", top_id=("I32", [6], [1, 2, 3, 4, 5, 6]))
        self.change("top_id", "256", top_id=("I32", [3, 0], []))
        self.change("top_id", "256", top_id=("I32", [3, 300], [0] * 900))
        self.change("token_offset", token_offset=("I64", [5], [0, 1, 2, 3, 3]))
        self.change("token_offset", token_offset=None)
        self.change("token", token=None)
        self.change("entropy.valid", entropy__valid=("U8", [2], [1, 1]))
        self.change("rank.valid", rank__valid=("U8", [3], [1, 1, 1]))
        self.change("keep.present", keep__present=("U8", [3], [1, 1, 1]))
        self.change("top_id.width", top_id__width=("I64", [3], [2, 2, 2]))

    def test_values(self):
        self.change("keep", "2", keep=("U8", [3], [0, 2, 1]))
        self.change("entropy.valid", entropy__valid=("U8", [3], [1, 1, 7]))
        self.change("keep.present", keep__present=("U8", [2], [1, 3]))
        for width in (3, -1, 1 << 62):
            self.change("top_id.width", top_id__width=("I64", [2], [2, width]))
        self.change("UTF-8", text=("U8", [3], [97, 0xFF, 97]))
        self.change("UTF-8", token=("U8", [3], [0xC3, 0xA9, 97]))  # a character cut in two
        self.change("NUL", text=("U8", [3], [97, 0, 97]))
        self.change("broken JSON", fields=("U8", [8], list(b'{"n": 1,')))
        self.change("JSON object", fields=("U8", [8], list(b"[1,2,34]")))
        self.change("not in order", byte_end=("I32", [3], [1, 0, 1]))
        self.change("but the text has", byte_end=("I32", [3], [1, 3, 1]))

    def test_names_and_formats(self):
        self.change("entropies", entropies=("F32", [3], [1, 2, 3]))
        self.change("fields.valid", fields__valid=("U8", [2], [1, 1]))
        self.change("entropy_offset", entropy_offset=("I64", [4], [0, 1, 2, 3]))
        self.refuse(write(self.BASE, {"format": "entrol-records-2"}), "later version")
        lie = write({"document_offset": ("I64", [2], [0, 50])})
        self.refuse(lie, "no columns")
        for metadata in (False, {"format": "pt"}):
            path = self.file("h.safetensors", write(self.BASE, metadata))
            for command in (["show"], ["report"], ["select", "--keep", "0.."]):
                self.refused(*command, path, says="expected token records, found arrays")

    def test_truncated(self):
        self.container(CORPUS)
        data = self.content("records.safetensors")
        n = struct.unpack("<Q", data[:8])[0]
        for size in (9, 50, 8 + n - 1, 8 + n, 8 + n + 100, len(data) - 1):
            self.refuse(data[:size], "")
        self.refuse(data + b"\0", "")
        self.refuse(struct.pack("<Q", 1 << 60) + data[8:], "header")

    def test_every_byte_changed(self):
        """Nothing worse than a message comes of it."""
        data = write(self.BASE)
        for at in range(0, len(data), 11):
            for value in (0x00, 0xFF, data[at] ^ 1):
                path = self.file("h.safetensors", data[:at] + bytes([value]) + data[at + 1:])
                done = run("inspect", path)
                self.assertIn(done.returncode, (0, 2), (at, value, done.stderr))


if __name__ == "__main__":
    unittest.main()
