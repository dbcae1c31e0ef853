"""bench/sampling.py on a few rows of the model: Entrol's rules leave what transformers' and the formulas in float64
do."""

import json
import os
import subprocess
import sys
import unittest

try:
    import transformers  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
MODEL = os.environ.get("ENTROL_MODEL")
N_ROWS = 40
COUNTS = {"transformers": 18, "llama.cpp": 8, "formulas": 13, "target entropy": 10}


@unittest.skipUnless(MODEL, "ENTROL_MODEL names no model")
@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "llama_dump_logits")), "built without llama.cpp")
class Rows(unittest.TestCase):
    def run_bench(self, *arguments):
        command = [sys.executable, "-W", "ignore", f"{ROOT}/bench/sampling.py", MODEL, "--build", BUILD, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=600)

    def test_all_are_the_same_or_explained(self):
        done = self.run_bench("--rows", str(N_ROWS))
        results = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        by_case = {}
        for result in results:
            by_case.setdefault(result["case"], []).append(result)
            self.assertEqual((result["rows"], result["unexplained"]), (N_ROWS, 0), result)
        self.assertEqual({case: len(lines) for case, lines in by_case.items()}, COUNTS)
        for result in by_case["transformers"] + by_case["formulas"]:
            self.assertEqual(result["same"] + result["ties"] + result["border"], N_ROWS)
            self.assertGreaterEqual(result["same"], 0.9 * N_ROWS, result)
            self.assertLess(result["max_dp"], 1e-6, result)
        for result in by_case["llama.cpp"]:
            self.assertEqual(result["same"] + result["as_formulas"], N_ROWS)
            self.assertLess(result["other_mass"], 0.01, result)
            self.assertLess(result["max_dp"], 1e-3 if result["peer"] == "temp_ext" else 1e-4, result)
        for result in by_case["target entropy"]:
            self.assertLess(result["max_error_nats"], 1e-3)
            self.assertLessEqual(result["max_passes"], 8)

    def test_too_short_a_text(self):
        done = self.run_bench("--rows", "500", os.path.join(ROOT, "examples", "alice.txt"))
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, "error: the texts, of [0-9]+ characters, are too short for 500 rows")


if __name__ == "__main__":
    unittest.main()
