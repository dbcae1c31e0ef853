"""tests/run.py and tests/suite.py count right: a runner that swallows a failure would hide every other."""
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import run  # noqa: E402


class Suite(unittest.TestCase):
    def closing(self, code):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "test_it.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write("import unittest\n" + textwrap.dedent(code))
            done = subprocess.run([sys.executable, f"{ROOT}/tests/suite.py", path], capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()

    def test_counts_tests_not_subtests(self):
        status, lines = self.closing("""
            class A(unittest.TestCase):
                def test_ok(self): pass
                def test_bad(self): self.fail("on purpose")
                def test_subtests(self):
                    for i in range(3):
                        with self.subTest(i=i): self.assertLess(i, 1)
                @unittest.skip("a reason")
                def test_skipped(self): pass""")
        self.assertEqual((status, lines[-1]), (1, "test_it: 1 passed, 2 failed, 1 skipped"))
        self.assertIn("skipped: A.test_skipped: a reason", lines)

    def test_a_class_that_cannot_be_set_up_has_failed(self):
        status, lines = self.closing("""
            class A(unittest.TestCase):
                @classmethod
                def setUpClass(cls): raise OSError("on purpose")
                def test_ok(self): pass""")
        self.assertEqual((status, lines[-1]), (1, "test_it: 0 passed, 1 failed, 0 skipped"))

    def test_a_module_that_skips_itself(self):
        status, lines = self.closing("raise unittest.SkipTest('no browser')")
        self.assertEqual((status, lines), (0, ["skipped: test_it: no browser", "test_it: 0 passed, 0 failed, 1 skipped"]))


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.old, run.LOGS = run.LOGS, folder.name
        self.addCleanup(lambda: setattr(run, "LOGS", self.old))
        self.total = run.Total()
        self.stage = run.Stage("here", self.total)

    def shell(self, script, method="run"):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            getattr(self.stage, method)("suite", ["sh", "-c", script])
            self.stage.finish()
        return self.total.passed, self.total.failed, self.total.skipped, said.getvalue()

    def test_adds_up(self):
        passed, failed, skipped, _ = self.shell("echo skipped: avx512: not here; echo 'a: 3 passed, 0 failed, 1 skipped'")
        self.assertEqual((passed, failed, skipped), (3, 0, ["here/suite: avx512: not here"]))

    def test_failures_are_shown(self):
        passed, failed, _, said = self.shell("echo 'x is 1, expected 2'; echo 'a: 3 passed, 2 failed, 0 skipped'; exit 1")
        self.assertEqual((passed, failed), (3, 2))
        self.assertIn("x is 1, expected 2", said)

    def test_a_crash_after_the_closing_line_fails(self):
        self.assertEqual(self.shell("echo 'a: 3 passed, 0 failed, 0 skipped'; kill -SEGV $$")[1], 1)

    def test_no_closing_line_fails(self):
        self.assertEqual(self.shell("true")[:2], (0, 1))

    def test_a_program_that_is_not_there_fails(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.stage.run("suite", ["/no/such/program"])
            self.stage.finish()
        self.assertEqual(self.total.failed, 1)

    def test_a_check_passes_fails_or_is_skipped(self):
        self.assertEqual(self.shell("true", "check")[:2], (1, 0))
        self.assertEqual(self.shell("false", "check")[:2], (1, 1))
        self.assertEqual(self.shell("echo no such tool; exit 77", "check")[:3], (1, 1, ["here/suite: no such tool"]))

    def test_results_come_in_order(self):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.stage.check("slow", ["sleep", "0.2"])
            self.stage.check("quick", ["false"])
            self.assertEqual(self.stage.finish(), [True, False])
        self.assertLess(said.getvalue().index("slow"), said.getvalue().index("quick"))
        self.assertEqual([failure[:2] for failure in self.total.failures], [("here/quick", 1)])
        self.assertEqual(self.stage.finish(), [])

    def test_the_end_says_it_again(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.shell("echo 'x is 1, expected 2'; echo 'a: 3 passed, 2 failed, 0 skipped'; exit 1")
        self.total.add(2, 0, ["here/b: test_x: why", "here/b: A.test_y: why", "there/b: test_x: why", "level: why"])
        with contextlib.redirect_stdout(io.StringIO()) as said:
            run.close(self.total, 1)
        lines = said.getvalue().splitlines()
        self.assertEqual(lines[-1], "5 passed, 2 failed")
        self.assertTrue(lines[-2].endswith("4 skipped"))
        self.assertEqual(lines[:5], ["skipped:", "    why", "        here/b: test_x, test_y", "        there/b: test_x", "        level"])
        self.assertEqual(lines[5:7], ["failed: here/suite (2)", "    | x is 1, expected 2"])


if __name__ == "__main__":
    unittest.main()
