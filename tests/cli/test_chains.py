"""examples/chains in its short version, with a tiny model and text that lies here."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = f"{ROOT}/examples/chains/run.py"
try:
    import numpy  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(str(missing))


@unittest.skipUnless(os.environ.get("ENTROL_MODEL"), "ENTROL_MODEL names no model")
class Chains(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        with open(f"{ROOT}/examples/alice.txt", encoding="utf-8") as file:
            words = file.read().encode("latin-1", "ignore").decode("latin-1").split()
        with open(f"{cls.folder.name}/lee_background.cor", "w", encoding="latin-1") as file:
            file.writelines(" ".join(words[i:i + 80]) + "\n" for i in range(0, 320, 40))
        cls.result = cls.run_it()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def run_it(cls):
        folder = cls.folder.name
        subprocess.run([sys.executable, PROGRAM, folder, f"{folder}/work", f"{folder}/results", "--quick"], check=True)
        with open(f"{folder}/results/chains.json", encoding="utf-8") as file:
            return json.load(file)

    def test_every_chain_has_its_points(self):
        chains = {point["chain"] for point in self.result["chains"]}
        self.assertEqual(len(chains), 13)
        for point in self.result["chains"]:
            with self.subTest(chain=point["chain"], setting=point["setting"]):
                self.assertEqual([len(of) for of in point["of_prompts"].values()], [4, 4])
                self.assertLessEqual(point["tokens"], 4 * 2 * 16)
                self.assertLess(point["logprob"]["mean"], 0)

    def test_greedy_samples_are_the_same(self):
        greedy = next(point for point in self.result["chains"] if point["chain"] == "greedy")
        self.assertAlmostEqual(greedy["self_bleu"]["mean"], 1, places=3)
        self.assertEqual(greedy["semantic_entropy"]["mean"], 0)
        self.assertEqual(greedy["sampled_entropy"]["mean"], 0)

    def test_what_was_made_is_not_made_again(self):
        work = f"{self.folder.name}/work"
        before = {name: os.stat(f"{work}/{name}").st_mtime_ns for name in os.listdir(work) if len(name) == 22}
        self.assertEqual(self.run_it(), self.result)
        self.assertEqual({name: os.stat(f"{work}/{name}").st_mtime_ns for name in before}, before)


if __name__ == "__main__":
    unittest.main()
