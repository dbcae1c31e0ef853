"""The benchmark's programs run, and print what scripts/bench says they do. No timing is judged."""
import json
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", f"{ROOT}/build")


def lines_of(*command):
    done = subprocess.run(command, capture_output=True, check=True, timeout=300, cwd=ROOT)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Programs(unittest.TestCase):
    def check(self, result, ratio):
        for name in "case", "dtype", "cpu", "limit":
            self.assertIsInstance(result[name], str)
        for name in "rows", "columns", "threads":
            self.assertGreater(result[name], 0)
        for name in "seconds", ratio:
            spread = result[name]
            self.assertTrue(0 < spread["min"] <= spread["median"] <= spread["max"], result)

    def test_plant(self):
        """Its table is docs/control.md's (tests/cli/test_docs.py); a trace has every controller at every step."""
        def trace(*arguments):
            return subprocess.run([f"{BUILD}/plant", *arguments], capture_output=True, text=True, timeout=300)

        rows = trace("--trace", "late").stdout.splitlines()
        self.assertEqual(rows[0], "plant,controller,step,entropy,target,coefficient")
        self.assertEqual(len(rows), 1 + 14 * 2400)
        self.assertTrue(all(float(row.split(",")[3]) >= 0 for row in rows[1:]))
        self.assertEqual(trace("--trace", "fast").returncode, 2)
        self.assertEqual(trace("--quick").returncode, 2)

    def test_rows_of_logits(self):
        for threads in "1", "2":
            results = lines_of(f"{BUILD}/bench_measure", "--quick", "--threads", threads, "--filter", "cached")
            self.assertEqual([r["limit"] for r in results], ["read bandwidth", "memcpy"])
            for result in results:
                self.assertEqual(result["threads"], int(threads))
                self.check(result, "ratio_to_limit")

    def test_every_row_of_a_vocabulary_has_a_roofline(self):
        for result in lines_of(f"{BUILD}/bench_measure", "--quick", "--filter", "one row"):
            self.check(result, "ratio_to_roofline")

    def test_the_kernels_alone(self):
        results = lines_of(f"{BUILD}/bench_kernels", "--quick")
        self.assertEqual([r["case"] for r in results], ["kernels", "kernels and gradient"])
        for result in results:
            self.check(result, "ratio_to_limit")

    def test_quantiles(self):
        results = lines_of(f"{BUILD}/bench_order", "--quick", "--threads", "2")
        self.assertEqual(len(results), 3)
        for result in results:
            self.check(result, "ratio_to_limit")

    def test_beside_ggml(self):
        program = f"{BUILD}/bench_ggml"
        if not os.path.exists(program):
            self.skipTest("this build has no llama.cpp")
        [result] = lines_of(program, "--quick")
        self.assertEqual((result["peer"], result["columns"]), ("ggml's softmax", 131072))
        self.assertTrue(0 < result["ratio_to_peer"]["min"] <= result["ratio_to_peer"]["max"])

    def test_sampling(self):
        """With the tiny model."""
        program, writer = f"{BUILD}/bench_sample", f"{BUILD}/llama_write_tiny_model"
        if not os.path.exists(program) or not os.path.exists(writer):
            self.skipTest("this build has no llama.cpp")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([writer, f"{folder}/tiny.gguf"], check=True)
            model, peer, *results = lines_of(program, f"{folder}/tiny.gguf", "examples/alice.txt", "--quick", "--threads", "2")
            refused = subprocess.run([program, f"{folder}/none.gguf", "examples/alice.txt"], capture_output=True)
        self.assertEqual(refused.returncode, 2)
        self.assertEqual([model["case"], peer["case"]], ["the model's decode of a token", "llama.cpp's default chain"])
        self.assertEqual(len(results), 12)
        self.assertEqual(sum("as a llama_sampler" in r["case"] for r in results), 6)
        for result in results:
            self.assertEqual((result["peer"], result["threads"], result["rows"]), ("llama.cpp's default chain", 2, 4))
            self.assertTrue(0 < result["ratio_to_peer"]["min"] <= result["ratio_to_peer"]["max"])
            self.assertGreater(result["share_of_decode"], 0)

    def test_the_output_layer(self):
        program = f"{BUILD}/bench_output"
        if not os.path.exists(program):
            self.skipTest("this build has no BLAS")
        memory, *results = lines_of(program, "--rows", "64", "--depth", "32", "--columns", "2048", "--repeats", "2")
        self.assertIn("memory", json.dumps(memory))
        self.assertGreaterEqual(len(results), 2)
        for result in results:
            self.check(result, "ratio_to_limit")

    def test_the_script_says_what_it_does(self):
        done = subprocess.run(["scripts/bench", "--help"], capture_output=True, cwd=ROOT, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("--quick", done.stdout)
        done = subprocess.run(["scripts/bench", "--quack"], capture_output=True, cwd=ROOT, text=True)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("--quack", done.stderr)


if __name__ == "__main__":
    unittest.main()
