"""bench/python.py runs, and its table can be made. No timing is judged."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import torch  # noqa: F401
    import trl  # noqa: F401
except ImportError as error:
    raise unittest.SkipTest(f"no peers: {error}")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*arguments):
    command = [sys.executable, "-W", "ignore", f"{ROOT}/bench/python.py", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


class Bench(unittest.TestCase):
    def test_quick(self):
        printed = run("--quick", "--threads", "1", "--filter", "tensors, gradient")
        results = [json.loads(line) for line in printed.splitlines()]
        for dtype in ("float32", "bfloat16"):
            limit, *peers = (result for result in results if result["dtype"] == dtype)
            self.assertEqual((limit["case"], limit["limit"]), ("tensors, gradient", "memcpy"))
            by_name = {result["peer"]: result for result in peers}
            self.assertEqual(len(by_name), 4)
            for name in ("TRL entropy_from_logits and selective_log_softmax", "torch.compile of the formula"):
                self.assertGreater(by_name[name]["ratio_to_peer"]["median"], 0)
                self.assertLess(by_name[name]["results_differ_by"], 1e-4 if dtype == "float32" else 0.2)
            self.assertEqual(by_name["Entrol, in place"]["results_differ_by"], 0)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write('{"command": "x"}\n' + printed)
            file.flush()
            rows = run("--table", file.name).splitlines()
        self.assertEqual(len(rows), 2 + 2 * 6)
        self.assertEqual({row.count("|") for row in rows}, {7})

    def test_policies(self):
        printed = run("--quick", "--threads", "1", "--filter", "policies")
        results = [json.loads(line) for line in printed.splitlines()]
        self.assertEqual(len(results), 8)
        self.assertTrue(all(result["ratio_to_peer"] > 0 for result in results))
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(printed)
            file.flush()
            rows = run("--table", file.name).splitlines()
        self.assertEqual((len(rows), {row.count("|") for row in rows}), (2 + 8, {6}))


if __name__ == "__main__":
    unittest.main()
