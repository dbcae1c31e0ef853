"""The programs in examples/ compile without warnings and print what the formulas say; the texts are what they claim."""
import json
import math
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))


def entropy(logits):
    """-sum p ln p of softmax, in double."""
    total = sum(math.exp(z - max(logits)) for z in logits)
    p = [math.exp(z - max(logits)) / total for z in logits]
    return -sum(x * math.log(x) for x in p if x > 0)


class Programs(unittest.TestCase):
    def test_entropy(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "entropy")
            subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include", "-o", program,
                            f"{ROOT}/examples/entropy.c", f"{BUILD}/libentrol.a", "-lm", "-pthread"], check=True)
            printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
        rows = [[0, 0, 0, 0], [9, 0, 0, 0], [1, 1, -1e9, -1e9]]
        expected = [f"row {i}: {entropy(row):.4f} nats, {entropy(row) / math.log(2):.4f} bits" for i, row in enumerate(rows)]
        self.assertEqual(printed, expected)


class Texts(unittest.TestCase):
    def test_every_file_has_its_source_named(self):
        listed = open(f"{ROOT}/examples/README.md", encoding="utf-8").read()
        for name in os.listdir(f"{ROOT}/examples"):
            if name != "README.md":
                self.assertIn(f"| {name} |", listed)

    def test_json_lines(self):
        for line in open(f"{ROOT}/examples/chat.jsonl", encoding="utf-8"):
            fields = json.loads(line)
            self.assertTrue("messages" in fields or {"prompt", "completion"} <= set(fields), line)


if __name__ == "__main__":
    unittest.main()
