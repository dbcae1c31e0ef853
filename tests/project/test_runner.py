"""tests/run.py and tests/suite.py count right: a runner that swallows a failure would hide every other."""
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
import unittest.mock

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


class Stage(unittest.TestCase):
    """One that keeps its logs elsewhere."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.old, run.LOGS = run.LOGS, folder.name
        self.addCleanup(lambda: setattr(run, "LOGS", self.old))
        self.total = run.Total()
        self.stage = run.Stage("here", self.total)


class Runner(Stage):
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

    def test_the_stages_that_would_run_are_listed(self):
        def listed(*arguments):
            done = subprocess.run([sys.executable, f"{ROOT}/tests/run.py", "--list", *arguments], capture_output=True, text=True)
            return done.returncode, done.stdout.split()

        self.assertEqual(listed(), (0, [stage.__name__.removeprefix("stage_") for stage in run.STAGES]))
        self.assertIn("python", listed()[1])
        self.assertEqual(listed("--quick"), (0, list(run.QUICK)))
        self.assertNotIn("python", run.QUICK)
        self.assertEqual(listed("--only", "python,fuzz"), (0, ["python", "fuzz"]))
        self.assertEqual(listed("--only", "pyhton"), (2, []))


class Package(Stage):
    """The stage of the Python package, on a package and a test that are not Entrol's."""

    SETUP = "setup_python_package() { mkdir -p build/python && echo 'HERE = 1' >build/python/thing.py; }\n"
    TEST = """
        import os, sys, unittest
        import peer, thing
        class A(unittest.TestCase):
            def test_environment(self):
                self.assertEqual((peer.HERE, thing.HERE), (2, 1))
                self.assertEqual(os.environ["ENTROL"], os.path.abspath("build/python/entrol/bin/entrol"))
                self.assertFalse(os.environ["ENTROL_LIBRARY"])
                self.assertEqual(os.environ["HF_HUB_OFFLINE"], "1")"""

    def setUp(self):
        """A tree of its own."""
        super().setUp()
        tree = tempfile.TemporaryDirectory()
        self.addCleanup(tree.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(tree.name)
        for folder in ("scripts", "tests/python", "peers"):
            os.makedirs(folder)
        os.symlink(f"{ROOT}/tests/suite.py", "tests/suite.py")
        self.write("peers/peer.py", "HERE = 2\n")
        self.write("python", f'#!/bin/sh\necho here >>asked\nexec {sys.executable} "$@"\n')
        os.chmod("python", 0o755)

    def write(self, path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def run_stage(self, setup=SETUP, test=TEST, **environment):
        """What it came to, and whether the peers' Python was asked."""
        self.write("scripts/setup.sh", setup)
        self.write("tests/python/test_it.py", textwrap.dedent(test))
        peers = {"ENTROL_PEERS": os.path.abspath("peers"), "ENTROL_PEERS_PYTHON": os.path.abspath("python")}
        with unittest.mock.patch.dict(os.environ, {**peers, "ENTROL_LIBRARY": "/no/such.so", **environment}):
            with contextlib.redirect_stdout(io.StringIO()):
                run.stage_python(self.stage)
                self.stage.finish()
        return self.total.passed, self.total.failed, self.total.skipped, os.path.exists("asked")

    def test_what_is_installed_is_tested(self):
        self.assertEqual(self.run_stage(), (2, 0, [], True), self.total.failures)  # the installing is one, too

    def test_a_failing_test_has_failed(self):
        self.assertEqual(self.run_stage(test=self.TEST.replace("(2, 1)", "(2, 2)")), (1, 1, [], True))

    def test_a_package_that_cannot_be_installed_has_failed(self):
        self.assertEqual(self.run_stage(setup="setup_python_package() { return 2; }\n"), (0, 1, [], False))

    def test_without_the_peers_it_is_skipped_by_name(self):
        reason = "here/package: PyTorch and the other peers are pinned for Python 3.11 on x86-64"
        self.assertEqual(self.run_stage(ENTROL_PEERS=""), (0, 0, [reason], False))


if __name__ == "__main__":
    unittest.main()
