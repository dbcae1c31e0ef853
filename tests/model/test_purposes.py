"""The cases of docs/purposes.md in a short version, with the default model and text that lies here: they run, and find what they must."""
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.environ.get("ENTROL_MODEL")
GERMAN = ("Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen einander im "
          "Geist der Brüderlichkeit begegnen. Jeder hat das Recht auf Leben, Freiheit und Sicherheit der Person. ")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def pieces(path, size, n):
    """N pieces of a text, which overlap where it is short."""
    text = " ".join(read(path).split())
    return [text[i * (len(text) - size) // (n - 1):][:size].encode("latin-1", "ignore").decode("latin-1") for i in range(n)]


def write(path, text, encoding="utf-8"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding=encoding) as file:
        file.write(text)


def texts(folder):
    """A folder as scripts/cases unpacks one, of text that is at hand."""
    write(f"{folder}/lee_background.cor", "\n".join(pieces("examples/alice.txt", 400, 6)), "latin-1")
    chinese = read("examples/guxiang.txt").replace("\n", "")
    pages = {"en": pieces("LICENSE", 350, 3), "de": [GERMAN[i:] for i in (0, 9, 22)],
             "zh-cn": [chinese[i:i + 150] for i in (0, 150, 300)]}
    for language, paragraphs in pages.items():
        write(f"{folder}/usr/share/doc/debian/FAQ/a.{language}.html", "".join(f"<p>{p}</p>" for p in paragraphs))
    write(f"{folder}/usr/share/common-licenses/GPL-3", " ".join(f"Note. {s}" for s in (
        "Permission to use this program is given to everybody who keeps this notice in it.",
        "The program comes without any warranty, to the extent that the law permits this.",
        "Whoever changes the program says so in each file that was changed and gives the date.")))
    os.makedirs(f"{folder}/usr/lib")
    os.symlink(sysconfig.get_path("stdlib"), f"{folder}/usr/lib/python3")


@unittest.skipUnless(MODEL, "ENTROL_MODEL names no model")
class Cases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        texts(f"{cls.folder.name}/texts")
        subprocess.run([sys.executable, f"{ROOT}/examples/purposes/run.py", f"{cls.folder.name}/texts", f"{cls.folder.name}/work",
                        f"{cls.folder.name}/results", "--quick"], check=True)
        cls.results = {}
        for name in "noise", "defects", "learning", "labels", "forks":
            with open(f"{cls.folder.name}/results/{name}.json", encoding="utf-8") as file:
                cls.results[name] = json.load(file)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_surprisal_finds_an_error_that_entropy_cannot_know(self):
        auc = {name: found["auc"] for name, found in self.results["noise"]["auc"]["first"].items()}
        self.assertGreater(auc["surprisal"], 0.8)
        self.assertLess(auc["entropy"], auc["surprisal"] - 0.15)

    def test_garbage_and_repetition_lie_at_the_ends(self):
        mean = {group["kind"]: group["surprisal"] for group in self.results["defects"]["groups"]}
        self.assertEqual(len(mean), 10)
        self.assertEqual(min(mean, key=mean.get), "repeated")
        self.assertIn(max(mean, key=mean.get), ("garbage", "shuffled"))

    def test_every_order_finds_everything_in_the_end(self):
        for pool in "stories", "sound":
            for order, curve in self.results["learning"][pool]["curves"].items():
                self.assertEqual((curve[0], curve[-1]), (0, 1), order)

    def test_what_is_kept_and_dropped_adds_up(self):
        for result in self.results["labels"]["rules"]:
            whole = [self.results["labels"][name] for name in ("accuracy", "loss")]
            for name, all_of_it in zip(("accuracy", "loss"), whole):
                kept, dropped = result["tokens_kept"][name], result["tokens_dropped"][name]
                if None not in (kept, dropped):
                    self.assertAlmostEqual(result["kept"] * kept + (1 - result["kept"]) * dropped, all_of_it, delta=0.001)

    def test_the_sure_are_right_more_often(self):
        fifths = self.results["labels"]["fifths"]
        self.assertGreater(fifths[0]["accuracy"], fifths[4]["accuracy"] + 0.3)

    def test_every_token_is_of_one_kind(self):
        forks = self.results["forks"]
        self.assertEqual(sum(row["tokens"] for row in forks["kinds"]), forks["tokens"])
        self.assertAlmostEqual(sum(row["of_kept"] for row in forks["kinds"]), 1, places=2)


if __name__ == "__main__":
    unittest.main()
