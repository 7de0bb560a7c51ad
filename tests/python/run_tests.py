"""Runs the tests of this directory, or those that are named, and closes with `N passed, N failed`.

A test with several parts (subTest) counts as one for each that fails, and one when all pass.
"""

import sys
import time
import unittest


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.passed, self.slow = 0, []

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.slow.append((time.monotonic() - self.began, test.id()))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[1:]) if len(sys.argv) > 1 else loader.discover(".")
    runner = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0)
    result = runner.run(suite)
    for test, why in result.skipped:
        print(f"skip  {test}: {why}")
    for seconds, name in sorted(result.slow, reverse=True)[:5]:
        print(f"      {seconds:6.1f} s  {name}")
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    if result.passed + failed + len(result.skipped) == 0:
        failed = 1
    print(f"{result.passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
