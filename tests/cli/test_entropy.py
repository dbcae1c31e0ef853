"""entrol entropy: against the textbook formula, and what it says about bad input."""
import collections
import gzip
import math
import os
import random
import shutil
import subprocess
import tempfile
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


def run(*arguments, data=b"", env=None):
    """(exit code, standard output, standard error) of entrol."""
    done = subprocess.run([ENTROL, *arguments], input=data, capture_output=True, timeout=60, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def shannon(counts):
    """The textbook formula, in bits."""
    total = sum(counts)
    return math.fsum(-n / total * math.log2(n / total) for n in counts if n)


class Entropy(unittest.TestCase):
    def check(self, expected, *arguments, unit="bits", data=b""):
        code, out, err = run("entropy", *arguments, data=data)
        self.assertEqual((code, err), (0, ""))
        number, found_unit = out.split()
        self.assertEqual(found_unit, unit)
        self.assertTrue(out.endswith("\n"))
        # Ten digits are printed.
        self.assertTrue(math.isclose(float(number), expected, rel_tol=1e-9, abs_tol=1e-15), (number, expected))

    def refuse(self, message, *arguments, data=b""):
        code, out, err = run("entropy", *arguments, data=data)
        self.assertEqual((code, out), (2, ""))
        self.assertIn(message, err)
        self.assertTrue(err.startswith("entrol: ") and err.count("\n") == 1, err)

    def test_probabilities(self):
        self.check(shannon([0.2, 0.3, 0.5]), "--probs", "0.2,0.3,0.5")
        self.check(math.log2(3), "--probs", "1/3, 1/3 1/3")
        self.check(1, "--probs", "-", data=b"0.5\n0.5\n")
        self.check(shannon([9, 1]) * math.log(2), "--probs", "0.9,.1", "--unit", "nats", unit="nats")
        self.check(shannon([9, 1]) * math.log10(2), "--probs=0.9,1e-1", "--unit=bans", unit="bans")

    def test_a_certain_event_is_exactly_0(self):
        for probabilities in ("1", "0,1,0", "1,0"):
            self.assertEqual(run("entropy", "--probs", probabilities), (0, "0 bits\n", ""))
        self.assertEqual(run("entropy", "--log-probs", "0,-inf"), (0, "0 bits\n", ""))

    def test_log_probabilities(self):
        p = [0.7, 0.2, 0.1]
        self.check(shannon(p), "--log-probs", ",".join(repr(math.log(x)) for x in p))

    def test_probabilities_refused(self):
        self.refuse("sum to 1 (within 1e-06), found a sum of 0.9", "--probs", "0.4,0.5")
        self.refuse("probabilities from 0 to 1, found -0.5 as number 2", "--probs", "0.5,-0.5,1")
        self.refuse("expected a number as number 2, found \"x\"", "--probs", "1,x")
        self.refuse("expected a number as number 2, found nothing", "--probs", "0.5,,0.5")
        self.refuse("found nothing", "--probs", "")
        self.refuse("found \"nan\"", "--probs", "nan,1")
        self.refuse("log-probabilities", "--log-probs", "0.5")
        self.refuse("expected a number from 0 to 0.5", "--tolerance", "2", "--probs", "1")
        self.check(shannon([0.4, 0.5]) * 0.9 - 0.9 * math.log2(0.9), "--probs", "0.4,0.5", "--tolerance", "0.2")

    def test_counts(self):
        self.check(shannon([12, 7, 1]), "--counts", "12,7,1")
        self.check(shannon([3, 0, 5]), "--counts", "3 0 5")
        self.check(1, "--counts", "9000000000000000000,9000000000000000000")
        self.refuse("expected a whole number as number 2, found \"1.5\"", "--counts", "1,1.5")
        self.refuse("found \"-1\"", "--counts", "-1")
        self.refuse("expected a count above 0", "--counts", "0,0")
        self.refuse("too large", "--counts", "18446744073709551615,1")

    def test_estimators(self):
        counts, n = [3, 1, 1, 1, 0, 0], 6
        self.check(shannon(counts), "--counts", "3,1,1,1,0,0", "--estimator", "plug-in")
        self.check(shannon(counts) + 3 / (2 * n) / math.log(2), "--counts", "3,1,1,1,0,0", "--estimator", "miller-madow")
        covered = [0.5 * c / n for c in counts if c]  # three of six were seen once
        self.check(-sum(p * math.log2(p) / (1 - (1 - p) ** n) for p in covered),
                   "--counts", "3,1,1,1,0,0", "--estimator", "chao-shen")
        shrink = (1 - 12 / 36) / (5 * (12 / 36 - 1 / 6))
        self.check(shannon([shrink / 6 + (1 - shrink) * c / n for c in counts]),
                   "--counts", "3,1,1,1,0,0", "--estimator", "james-stein")
        # Of one observation NSB knows nothing, and says half of the greatest entropy.
        self.check(math.log2(10) / 2, "--counts", "1,0,0,0,0,0,0,0,0,0", "--estimator", "nsb")
        self.refuse("--estimator", "--counts", "1,2", "--estimator", "bayes")
        self.refuse("--estimator is for counts", "--probs", "0.5,0.5", "--estimator", "nsb")

    def test_an_unseen_byte_is_an_outcome(self):
        code, out, _ = run("entropy", "-", "--estimator", "james-stein", data=b"aab")
        listed = run("entropy", "--counts", ",".join(["2", "1"] + ["0"] * 254), "--estimator", "james-stein")[1]
        self.assertEqual((code, out), (0, listed))

    @unittest.skipUnless(shutil.which("ent"), "the program ent is not installed")
    def test_bytes_as_ent_has_them(self):
        for data in b"mississippi", bytes(range(256)) * 3 + b"more of some", random.Random(5).randbytes(5000):
            theirs = subprocess.run(["ent", "-t"], input=data, capture_output=True, check=True).stdout.split(b"\n")[1].split(b",")[2]
            ours = run("entropy", "-", data=data)[1].split()[0]
            self.assertEqual(f"{float(ours):.6f}", f"{float(theirs):.6f}")

    def test_gaussian(self):
        # Cover and Thomas, theorem 8.4.1: a dimension has 1/2 log(2 pi e sigma^2).
        expected = sum(0.5 * math.log2(2 * math.pi * math.e * s * s) for s in (0.5, 2))
        self.check(expected, "--gaussian-sigma", "0.5,2")
        self.check(0.5 * math.log(2 * math.pi * math.e * 1e-4), "--gaussian-sigma", "0.01", "--unit", "nats", unit="nats")
        self.refuse("standard deviations from 0, found -1 as number 2", "--gaussian-sigma", "1,-1")

    def test_verbose(self):
        code, out, _ = run("entropy", "--counts", "1,1,2", "-v")
        lines = dict(line.split(": ", 1) for line in out.splitlines())
        self.assertEqual(code, 0)
        self.assertEqual(lines["entropy"], "1.5 bits")
        self.assertEqual(lines["maximum"], "1.584962501 bits (3 outcomes)")
        self.assertAlmostEqual(float(lines["ratio"]), 1.5 / math.log2(3), 9)
        self.assertIn("maximum: none", run("entropy", "--gaussian-sigma", "1", "-v")[1])

    def test_files(self):
        for name in ("alice.txt", "guxiang.txt"):
            path = os.path.join(EXAMPLES, name)
            with open(path, "rb") as file:
                data = file.read()
            text = data.decode()
            self.check(shannon(collections.Counter(data).values()), path)
            self.check(shannon(collections.Counter(data).values()), "-", data=gzip.compress(data))
            self.check(shannon(collections.Counter(text).values()), "--of", "characters", path)
            self.check(shannon(collections.Counter(text.split()).values()), "--of", "words", path)

    def test_words_over_the_chunks_that_are_read(self):
        random.seed(5)
        space = [" ", "\n", "\t", "\u3000", "\u00a0", "\u2003"]
        word = lambda: "".join(random.choice("abc\u4e16\U0001f600") for _ in range(random.randint(1, 3)))
        text = "".join(word() + random.choice(space) * random.randint(1, 2) for _ in range(60000))
        for kind, symbols in (("words", text.split()), ("characters", text)):
            self.check(shannon(collections.Counter(symbols).values()), "--of", kind, "-", data=text.encode())

    def test_several_files_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("a", "b")]
            for path, data in zip(paths, (b"ab", b"aaaa")):
                with open(path, "wb") as file:
                    file.write(data)
            self.assertEqual(run("entropy", *paths), (0, f"1 bits  {paths[0]}\n0 bits  {paths[1]}\n", ""))

    def test_files_refused(self):
        self.refuse("expected bytes, found none", "/dev/null")
        self.refuse("expected words, found none", "--of", "words", "-", data=b" \n")
        self.refuse("standard input:1: expected UTF-8 text, found an invalid byte (0xff) at byte 3 of the file", "--of", "characters", "-",
                    data=b"ab\xff")
        self.refuse("standard input:3: expected UTF-8 text", "--of", "words", "-", data=b"a\n\r\n" + b"\xe4b\n")
        self.refuse("invalid byte (0xe4) at byte 70001", "--of", "words", "-", data=b"a" * 70000 + b"\xe4\xb8")
        self.refuse("No such file", "/nonexistent")
        self.refuse("found a directory", "/")
        self.refuse("one of --probs", "--probs", "1", "/dev/null")
        self.refuse("one of --probs")
        self.refuse("expected one of bytes|words|characters", "--of", "letters", "-")


if __name__ == "__main__":
    unittest.main()
