"""What the tests of `entrol score` share: running the command, writing logits files, and the textbook in float64."""
import json
import os
import struct
import subprocess
import tempfile
import unittest

try:
    import numpy as np
except ImportError:
    raise unittest.SkipTest("numpy is not installed") from None

ENTROL = os.environ.get("ENTROL", "build/entrol")
MODEL = os.environ.get("ENTROL_MODEL", "")


def run(*arguments, stdin=b"", environment=None, **more):
    """Runs entrol; stdin is bytes, or an open file."""
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run([ENTROL, *map(str, arguments)], capture_output=True, timeout=300,
                          env=dict(os.environ, **(environment or {})), **given, **more)


def have_llama():
    return b"llama.cpp: not in this build" not in run("version").stdout


def records(output):
    return [json.loads(line) for line in output.splitlines()]


def reals(column):
    """A column as float64: "NaN" and its like are numbers again, null is NaN too."""
    return np.array([np.nan if value is None else float(value) for value in column])


def levels():
    """The instruction-set levels that this machine can run."""
    probe = lambda level: run("entropy", "--probs", "0.5,0.5", environment={"ENTROL_CPU": level}).returncode == 0
    return [level for level in ("scalar", "avx2", "avx512", "neon") if probe(level)]


def write_safetensors(path, **tensors):
    """Each tensor is a NumPy array, or a pair (dtype name, array of its bits)."""
    header, data, names = {}, b"", {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32"}
    for name, tensor in tensors.items():
        dtype, array = tensor if isinstance(tensor, tuple) else (names[tensor.dtype.name], tensor)
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += np.ascontiguousarray(array).tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def textbook(logits, targets=None, temperature=1.0, order=2.0):
    """Every statistic of every row, by its formula, in float64."""
    z = np.atleast_2d(np.asarray(logits, dtype=np.float64)) / temperature
    top = z.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = z - top
        others = np.exp(shifted)
        np.put_along_axis(others, z.argmax(axis=1)[:, None], 0, axis=1)
        log_total = np.log1p(others.sum(axis=1, keepdims=True))  # near a certain event, log would lose the digits
        logp = shifted - log_total
        p = np.exp(logp)
        h = -np.where(p > 0, p * np.where(p > 0, logp, 0), 0).sum(axis=1)
        deviation = np.where(p > 0, logp + h[:, None], 0)
        ordered = np.sort(p, axis=1)
        second = ordered[:, -2] if z.shape[1] > 1 else np.zeros(len(z))
        result = {
            "entropy": h,
            "varentropy": (p * deviation**2).sum(axis=1),
            "logsumexp": (top + log_total)[:, 0],
            "top_prob": ordered[:, -1],
            "margin": ordered[:, -1] - second,
            "sum_p_squared": (p**2).sum(axis=1),
            "renyi": h if order == 1 else np.log((p**order).sum(axis=1)) / (1 - order),
        }
    if targets is not None:
        rows = np.arange(len(z))
        result["logprob"] = logp[rows, targets]
        result["rank"] = 1 + (z > z[rows, targets][:, None]).sum(axis=1)
    return result


class ScoreCase(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="entrol-score-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def npy(self, name, array):
        np.save(self.path(name), array)
        return self.path(name)

    def score(self, *arguments, **more):
        """The records of a run that must succeed."""
        done = run("score", *arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return records(done.stdout)

    def refused(self, *arguments, says=(), **more):
        """A run that must end with 2 and a message that holds every word."""
        done = run("score", *arguments, **more)
        message = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, 2, message)
        for words in says:
            self.assertIn(words, message)
        return message

    def near(self, actual, expected, relative_to_one=2e-6, relative=None):
        """Within the contract: an error of 2e-6 times the greater of 1 and the value."""
        actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
        bound = relative_to_one * np.maximum(1, np.abs(expected))
        if relative is not None:
            # 1e-20: what rounding leaves of an exact 0 in the peer
            bound = np.minimum(bound, np.where(np.abs(expected) < relative, relative * np.abs(expected) + 1e-20, bound))
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        with np.errstate(invalid="ignore"):
            error = np.where(same, 0, np.abs(actual - expected) / np.where(bound > 0, bound, np.inf))
            error = np.where(~same & (bound == 0), np.inf, error)
        worst = int(np.nanargmax(np.where(np.isnan(error), np.inf, error))) if error.size else 0
        self.assertTrue(np.all(error <= 1), f"row {worst}: {actual.flat[worst]!r}, expected {expected.flat[worst]!r}"
                        if error.size else "")
