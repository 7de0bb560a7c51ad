"""random_operations.py in both dialects."""

import os
import subprocess
import sys
import unittest

from support import FOLDER, Server


class Random(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def play(self, database, dialect):
        environment = {**os.environ, "REDIS_URL": self.server.url(database)}
        environment.pop("POPOTO_DIALECT", None)
        if dialect:
            environment["POPOTO_DIALECT"] = dialect
        done = subprocess.run([sys.executable, os.path.join(FOLDER, "random_operations.py")], env=environment,
                              capture_output=True, text=True, timeout=120)
        print(f"  {dialect or 'documented'}: {done.stdout.splitlines()[0] if done.stdout else ''}", file=sys.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-4000:])
        with self.server.client(database) as client:
            self.assertEqual(client("KEYS", "*"), [], "what deletion left")

    def test_in_the_documented_dialect(self):
        self.play(1, None)

    def test_as_popoto(self):
        self.play(2, "popoto")


if __name__ == "__main__":
    unittest.main()
