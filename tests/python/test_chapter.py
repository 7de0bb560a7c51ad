"""docs/python.md: its blocks run in order, in one program, and print what stands under them."""

import os
import re
import subprocess
import sys
import unittest

from support import ROOT, Server

CHAPTER = os.path.join(ROOT, "docs", "python.md")
MARK = "-- end of block --"


def pairs():
    """(code, output) of each block of Python, in order."""
    with open(CHAPTER, encoding="utf-8") as file:
        found = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", file.read(), re.M | re.S)
    return [(code, output) for code, output in found]


class Chapter(unittest.TestCase):
    def test_every_block_prints_what_stands_under_it(self):
        blocks = pairs()
        self.assertGreater(len(blocks), 7)
        self.assertTrue(all(output for _, output in blocks), "a block without its output")
        server = Server()
        try:
            program = "".join(f"{code}\nprint({MARK!r})\n" for code, _ in blocks)
            environment = {**os.environ, "REDIS_URL": server.url()}
            environment.pop("POPOTO_DIALECT", None)
            done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True,
                                  timeout=120)
        finally:
            server.stop()
        printed = done.stdout.split(MARK + "\n")
        for (code, output), got in zip(blocks, printed):
            self.assertEqual(got, output, code)
        self.assertEqual(done.returncode, 0, done.stderr[-4000:])


if __name__ == "__main__":
    unittest.main()
