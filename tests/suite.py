"""Runs one file of unittest cases and closes with the line of tests/harness.h: suite.py FILE [NAME...]

Every skipped test is named with its reason, every failure printed in full.
"""
import importlib.util
import os
import sys
import unittest


class Result(unittest.TextTestResult):
    """Counts tests, not sub-tests: a test with three failing sub-tests is one failed test."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.failed, self.n_passed = set(), 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.n_passed += 1

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.n_passed += 1

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.failed.add(test.id())

    def addError(self, test, error):
        super().addError(test, error)
        self.failed.add(test.id())

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.failed.add(test.id())

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.failed.add(test.id())


def main(path, names):
    name = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except unittest.SkipTest as reason:
        print(f"skipped: {name}: {reason}\n{name}: 0 passed, 0 failed, 1 skipped")
        return 0
    loader = unittest.TestLoader()
    tests = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0).run(tests)
    skipped = {test.id().replace(f"{name}.", ""): reason for test, reason in result.skipped if test.id() not in result.failed}
    for test, reason in skipped.items():
        print(f"skipped: {test}: {reason}")
    print(f"{name}: {result.n_passed} passed, {len(result.failed)} failed, {len(skipped)} skipped")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
