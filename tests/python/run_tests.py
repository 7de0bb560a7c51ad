"""Runs the tests of this directory, or those that are named, and closes with `N passed, N failed`.

All of them are run class by class, each in an interpreter of its own and as many at a time as there are
processors and one, for tests wait for servers most of the time. A test with several parts (subTest) counts
as one for each that fails, and one when all pass.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import time
import unittest

LIMIT = 240  # seconds that a class may take


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.passed = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        print(f"ran   {time.monotonic() - self.began:6.1f} s  {test.id()}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def here(names):
    """Runs them in this process: passed and failed."""
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0).run(suite)
    for test, why in result.skipped:
        print(f"skip  {test}: {why}")
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    if result.passed + failed + len(result.skipped) == 0:
        failed = 1
    return result.passed, failed


def classes():
    """Every class of tests, as module.Class; a module that cannot be imported by its name alone."""
    found = []

    def look(suite):
        for test in suite:
            if isinstance(test, unittest.TestSuite):
                look(test)
            else:
                name = test.id() if "_FailedTest" in test.id() else test.id().rpartition(".")[0]
                name = name.replace("unittest.loader._FailedTest.", "")
                if name not in found:
                    found.append(name)

    look(unittest.defaultTestLoader.discover("."))
    return found


def apart(name):
    """Runs a class in an interpreter of its own: its output, passed and failed."""
    command = [sys.executable, os.path.abspath(__file__), name]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
        text, count = done.stdout, re.search(r"^(\d+) passed, (\d+) failed\Z", done.stdout.rstrip(), re.M)
        if count is not None and (done.returncode == 0 or int(count.group(2))):
            return text[: count.start()], int(count.group(1)), int(count.group(2))
        return f"{text}{name} ended with {done.returncode}\n", 0, 1
    except subprocess.TimeoutExpired as late:
        return f"{late.stdout or ''}{name} was stopped after {LIMIT} s\n", 0, 1


def main():
    passed = failed = 0
    if len(sys.argv) > 1:
        passed, failed = here(sys.argv[1:])
    else:
        slow = []
        with concurrent.futures.ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
            for name, (text, good, bad) in zip(names := classes(), pool.map(apart, names)):
                print(f"{'FAIL' if bad else 'ok':4}  {name}: {good} passed, {bad} failed")
                slow += re.findall(r"^ran +([\d.]+) s  (.*)$", text, re.M)
                lines = [line for line in text.splitlines() if not line.startswith("ran ")]
                if bad:
                    print("\n".join(lines))
                else:
                    print("\n".join(line for line in lines if line.startswith(("skip", "  "))), end="\n" if any(
                        line.startswith(("skip", "  ")) for line in lines) else "")
                passed, failed = passed + good, failed + bad
        for seconds, name in sorted(slow, key=lambda one: -float(one[0]))[:5]:
            print(f"      {seconds:>6} s  {name}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
