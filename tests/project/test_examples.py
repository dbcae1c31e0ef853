"""The programs in examples/ compile without warnings and print what the formulas say; the texts are what they claim."""
import json
import math
import os
import re
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


    def test_control(self):
        """It brings the entropy to its target and keeps it there, and the restart in the middle changes nothing."""
        with open(f"{ROOT}/examples/control.c", encoding="utf-8") as file:
            source = file.read()
        without = source.replace("if (step == 300)", "if (step == 0)")
        self.assertNotEqual(without, source)
        printed = []
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("control", source), ("whole", without)):
                with open(f"{folder}/{name}.c", "w", encoding="utf-8") as file:
                    file.write(text)
                subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include", "-o", f"{folder}/{name}",
                                f"{folder}/{name}.c", f"{BUILD}/libentrol.a", "-lm", "-pthread"], check=True)
                printed.append(subprocess.run([f"{folder}/{name}"], check=True, capture_output=True, text=True).stdout)
        self.assertEqual(printed[0], printed[1])
        last = re.match(r"step 600: ([0-9.]+) of ([0-9.]+) nats", printed[0].splitlines()[-1])
        self.assertAlmostEqual(float(last.group(1)), float(last.group(2)), delta=0.01)


class Llama(unittest.TestCase):
    """examples/llama/sample.c, with the tiny model: it knows nothing, and says it fast."""
    @classmethod
    def setUpClass(cls):
        writer = f"{BUILD}/llama_write_tiny_model"
        if not os.path.exists(writer):
            raise unittest.SkipTest("this build has no llama.cpp")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.program, cls.model = f"{cls.folder.name}/sample", f"{cls.folder.name}/tiny.gguf"
        subprocess.run([writer, cls.model], check=True)
        pkg_config = subprocess.run(["pkg-config", "--cflags", "--libs", "llama"], check=True, capture_output=True, text=True)
        where = subprocess.run(["pkg-config", "--variable=libdir", "llama"], check=True, capture_output=True, text=True)
        subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include", f"-I{ROOT}/adapters/llama",
                        "-o", cls.program, f"{ROOT}/examples/llama/sample.c", f"{BUILD}/libentrol_llama.a", f"{BUILD}/libentrol.a",
                        *pkg_config.stdout.split(), f"-Wl,--disable-new-dtags,-rpath,{where.stdout.strip()}", "-lm", "-pthread"], check=True)

    def sample(self, *arguments):
        return subprocess.run([self.program, *arguments], capture_output=True, timeout=60)

    def test_sample(self):
        done, again = (self.sample(self.model, "the and") for _ in range(2))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, again.stdout)
        said = re.fullmatch(rb"(\d+) tokens, drawn at ([0-9.]+) nats on average\n", done.stderr)
        self.assertTrue(1 <= int(said.group(1)) <= 64 and 0 < float(said.group(2)) <= 2.51, done.stderr)
        self.assertNotEqual(self.sample(self.model, "the and", "greedy").stdout, done.stdout)

    def test_a_rule_that_is_none(self):
        done = self.sample(self.model, "the and", "target-entropy=2.5", "min-q=0.1")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b'rule 2, "min-q=0.1"', done.stderr)


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
