"""Every code block of the specification runs unchanged, on a server and on `embedded:` (specification.py)."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

from support import FOLDER, ROOT, Server


def bare(text):
    return "".join(text.split())


class Specification(unittest.TestCase):
    def test_the_page_is_the_one_that_the_c_library_is_tested_against(self):
        with open(os.path.join(FOLDER, "specification.txt"), encoding="utf-8") as file:
            page = file.read().split("\n", 1)[1]  # without the link "Skip to content"
        with open(os.path.join(ROOT, "docs", "specification.md"), encoding="utf-8") as file:
            quoted = []
            for line in file:
                if line.startswith("## "):
                    quoted.append(line[3:])
                elif re.match(r"\| *[0-9]+", line):
                    quoted.append(re.split(r" *[|] *", line)[2].replace("<br>", "").replace("`", ""))
        self.assertEqual(bare(page), bare("".join(quoted)))

    def play(self, url, *arguments):
        # The embedded server keeps its data in this user's folder: not in these tests'.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, os.path.join(FOLDER, "specification.py"), *arguments],
                                  env={**os.environ, "REDIS_URL": url, "XDG_DATA_HOME": folder}, capture_output=True,
                                  text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_on_a_server(self):
        here, other = Server(), Server()
        try:
            self.assertIn("13 blocks", self.play(here.url(3), "--other", other.url(0)))
        finally:
            here.stop()
            other.stop()

    def test_on_embedded(self):
        other = Server()
        try:
            self.assertIn("13 blocks", self.play("embedded:", "--other", other.url(0)))
        finally:
            other.stop()


if __name__ == "__main__":
    unittest.main()
