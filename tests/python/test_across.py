"""One database, the real Popoto and this package with dialect="popoto": each works on what the other wrote."""

import datetime as dt
import json
import os
import random
import subprocess
import sys
import unittest
from decimal import Decimal

from support import FOLDER, Server

REAL = os.environ.get("POPOTO_REAL_PYTHON")


class Worker:
    def __init__(self, python, url, **environment):
        self.process = subprocess.Popen([python, os.path.join(FOLDER, "worker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, "REDIS_URL": url, "PYTHONDONTWRITEBYTECODE": "1",
                                                        **environment})

    def __call__(self, line):
        assert "\n" not in line
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise AssertionError(f"ended with {self.process.wait()} at: {line}")
        return json.loads(answer)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


VALUES = [
    {"text": "Zoë \0 ☃", "number": -(2**63), "ratio": 0.1, "flag": True, "raw": b"\0\xff", "amount": Decimal("1.50")},
    {"moment": dt.datetime(2026, 8, 1, 12, 30, 15, 123456), "day": dt.date(2026, 2, 28), "hour": dt.time(23, 59, 59, 999999)},
    {"moment": dt.datetime(2026, 8, 1, tzinfo=dt.timezone.utc), "items": [1, "a", None, [2.5, {"k": b"v"}]]},
    {"table": {"a": 1, "b": [True, None]}, "bag": {"x", 3}, "pair": (1, "two", 3.0)},
    {"text": "", "number": 0, "flag": False, "items": [], "table": {}, "bag": set(), "pair": ()},
]
NAMES = ["a", "project-a", "a:b", "x*y?[z]", "it's", "ü/{&#58;}", "^-^"]


@unittest.skipUnless(REAL, "the real Popoto is not here (POPOTO_REAL_PYTHON)")
class Across(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.real = Worker(REAL, cls.server.url(5))
        cls.ours = Worker(sys.executable, cls.server.url(5), POPOTO_DIALECT="popoto")
        cls.client = cls.server.client(5)

    @classmethod
    def tearDownClass(cls):
        cls.real.stop()
        cls.ours.stop()
        cls.client.close()
        cls.server.stop()

    def setUp(self):
        self.client("FLUSHDB")

    def both(self, line):
        """What both answer, which must be the same."""
        real, ours = self.real(line), self.ours(line)
        self.assertEqual(real, ours, line)
        self.assertFalse(isinstance(real, dict) and "raises" in real, (line, real))
        return real

    def fine(self, worker, line):
        answer = worker(line)
        self.assertFalse(isinstance(answer, dict) and "raises" in answer, (worker is self.real and "Popoto" or "ours", line, answer))
        return answer

    def turns(self):
        return ((self.real, self.ours), (self.ours, self.real))

    def test_every_type_is_read_as_it_was_written(self):
        for writer, reader in self.turns():
            for name in NAMES:
                for values in VALUES:
                    self.client("FLUSHDB")
                    self.fine(writer, f"Every.create(name={name!r}, **{values!r})".replace("datetime.", "dt."))
                    self.both(f"Every.query.get(name={name!r})")
                    self.both(f"[fields(x) for x in Every.query.filter(name={name!r})]")
                    self.assertEqual(self.fine(reader, f"Every.query.get(name={name!r}).delete()"), True)
                    self.assertEqual(self.client("KEYS", "*"), [])

    def test_what_one_saves_the_other_sees(self):
        for writer, reader in self.turns():
            self.client("FLUSHDB")
            self.fine(writer, "Product.create(sku='a-b', shop='n:1', price=1.5, stock=2, label='x')")
            self.fine(reader, "setattr_and_save(Product.query.get(sku='a-b', shop='n:1'), price=9.5, label='y')")
            self.assertEqual(self.both("rows(Product.query.filter(price__gte=9.0), 'sku', 'label', 'stock')"), {"list": [
                {"list": ["a-b", "y", "int 2"]}]})
            self.both("rows(Product.query.filter(price__lt=9.0), 'sku')")
            self.fine(writer, "setattr_and_save(Product.query.get(sku='a-b', shop='n:1'), ['stock'], stock=7)")
            self.both("rows(Product.query.filter(stock__gt=2), 'sku', 'price', 'stock', 'label')")
            self.fine(reader, "setattr_and_save(Product.query.get(sku='a-b', shop='n:1'), None, True, shop='else')")
            self.assertEqual(self.both("Product.query.count()"), "int 1")
            self.both("rows(Product.query.filter(shop='else'), 'sku', 'shop')")
            self.assertEqual(self.both("rows(Product.query.filter(shop='n:1'), 'sku')"), {"list": []})
            self.fine(writer, "Product.query.get(sku='a-b', shop='else').delete()")
            self.assertEqual(self.client("KEYS", "*"), [])

    def test_confidence_goes_back_and_forth(self):
        self.fine(self.real, "Memory.create(project='at-las', key='k')")
        memory = "Memory.query.get(project='at-las', key='k')"
        for n, signal in enumerate([1.0, 0.0, 0.9, 0.2, 0.5]):
            worker = (self.real, self.ours)[n % 2]
            self.fine(worker, f"ConfidenceField.update_confidence({memory}, 'certainty', signal={signal})")
            self.both(f"figures(ConfidenceField.get_confidence_data({memory}, 'certainty'))")
        self.both(f"Memory._meta.fields['certainty'].get_data_hash_key({memory}, 'certainty')")
        self.fine(self.ours, f"{memory}.delete()")
        self.assertEqual(self.client("KEYS", "*"), [])

    def test_unique_keys_are_unique_across_both(self):
        for writer, other in self.turns():
            self.client("FLUSHDB")
            self.fine(writer, "Memory.create(project='a', key='k')")
            self.assertIn("ModelException", other("Memory.create(project='b', key='k')")["raises"])
            self.assertEqual(self.both("Memory.query.count()"), "int 1")

    def test_keys_of_one_are_keys_of_the_other(self):
        for writer, _ in self.turns():
            self.client("FLUSHDB")
            for name in NAMES:
                self.fine(writer, f"Product.create(sku={name!r}, shop='s', price=1.0, stock=1)")
            self.both("sorted(Product.query.keys())")
            self.both("[Product(sku=n, shop='s').db_key.redis_key for n in %r]" % NAMES)
            self.both("[x.sku for x in Product.query.get_many(sorted(k.decode() for k in Product.query.keys()))]")

    def test_keys_that_are_null(self):
        for writer, reader in self.turns():
            self.client("FLUSHDB")
            self.fine(writer, "Maybe.create(name='a')")
            self.fine(writer, "Maybe.create(name='b', group='red')")
            self.both("sorted(Maybe.query.keys())")
            self.both("rows(Maybe.query.filter(group__isnull=True), 'name', 'group')")
            self.fine(reader, "Maybe.query.get(name='a', group=None).delete()")
            self.both("unordered(Maybe.query.all(), 'name', 'group')")

    def test_random_turns(self):
        seed = random.SystemRandom().randrange(10**9)
        r = random.Random(seed)
        known = {}
        print(f"  across: seed {seed}", file=sys.stderr)
        with self.subTest(seed=seed):
            for _ in range(150):
                worker = r.choice((self.real, self.ours))
                where = (r.choice(NAMES), r.choice("ns"))
                get = f"Product.query.get(sku={where[0]!r}, shop={where[1]!r})"
                price, stock, label = r.choice([0.5, 1.5, -2.0]), r.randint(-3, 3), r.choice(["x", "", None])
                what = r.random()
                if where not in known:
                    self.fine(worker, f"Product.create(sku={where[0]!r}, shop={where[1]!r}, price={price}, stock={stock}, label={label!r})")
                    known[where] = [price, stock, label]
                elif what < 0.4:
                    self.fine(worker, f"setattr_and_save({get}, price={price}, stock={stock}, label={label!r})")
                    known[where] = [price, stock, label]
                elif what < 0.6:
                    self.fine(worker, f"setattr_and_save({get}, ['stock'], stock={stock})")
                    known[where][1] = stock
                else:
                    self.fine(worker, f"{get}.delete()")
                    del known[where]
                asked = r.choice(["price__gte=0.0", "stock__lt=1", "shop='n'", f"sku={where[0]!r}", "price__gte=0.0, shop='s'",
                                  "stock__between=(-1, 1)"])
                answer = self.both(f"unordered(Product.query.filter({asked}), 'sku', 'shop', 'price', 'stock', 'label')")
                if asked == "shop='n'":
                    self.assertEqual(len(answer["list"]), sum(k[1] == "n" for k in known))
                self.assertEqual(self.both("Product.query.count()"), f"int {len(known)}")
            self.fine(self.ours, "Product.delete_all()")
            self.assertEqual(self.client("KEYS", "*"), [])


if __name__ == "__main__":
    unittest.main()
