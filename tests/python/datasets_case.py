"""What the tests of data sets share: the command, a tiny model, and records as the command writes them."""

import json
import os
import subprocess
import tempfile
import unittest


try:
    import numpy as np
    import pyarrow as pa
except ImportError as error:
    raise unittest.SkipTest(f"{error.name} is not installed") from None

ENTROL = os.environ.get("ENTROL", "build/entrol")
BUILD = os.environ.get("BUILD", "build")
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
os.environ["ENTROL"] = os.path.abspath(ENTROL)  # what the package runs
os.environ.setdefault("ENTROL_THREADS", "1")
TEXTS = ["The river froze before the first snow.", "雪はまだ降らない。", "a", "", "x = 1\n\ty = 2\n"]


def run(*arguments, stdin=b""):
    return subprocess.run([ENTROL, *map(str, arguments)], input=stdin, capture_output=True, timeout=300)


def lines_of(documents):
    return "".join(json.dumps(document) + "\n" for document in documents).encode()


def records(output):
    return [json.loads(line) for line in output.splitlines()]


def reals(values):
    """A column of records as float32, NaN for null."""
    return np.array([np.nan if value is None else float(value) for value in values], np.float32)


class DatasetsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="entrol-datasets-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.model = os.path.join(cls.folder.name, "tiny.gguf")
        try:
            subprocess.run([os.path.join(BUILD, "llama_write_tiny_model"), cls.model], check=True)
        except FileNotFoundError:
            raise unittest.SkipTest("this build has no llama_write_tiny_model") from None

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def command(self, documents, *flags):
        """What the command writes for the documents."""
        done = run("score", "-m", self.model, *flags, "-", stdin=lines_of(documents))
        self.assertEqual(done.returncode, 0, done.stderr)
        return records(done.stdout)

    def check_column(self, column, expected):
        """An Arrow column of lists against the arrays of records: every bit, and null where null is."""
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        self.assertEqual(len(column), len(expected))
        for got, values in zip(column, expected):
            self.assertEqual(got.is_valid, values is not None)
            if values is not None:
                inner = got.values
                self.assertEqual(inner.is_valid().to_pylist(), [value is not None for value in values])
                if pa.types.is_floating(inner.type):
                    np.testing.assert_array_equal(inner.to_numpy(zero_copy_only=False), reals(values))
                else:
                    self.assertEqual(inner.to_pylist(), values)
