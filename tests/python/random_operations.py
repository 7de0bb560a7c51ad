"""Random operations on a model, beside a dictionary that says what must come of them.

    REDIS_URL=... [POPOTO_DIALECT=popoto] python random_operations.py [--seed N] [--sequences N] [--length N]

Starts from an empty database. Prints the seed of each sequence that fails; `--seed N --sequences 1` plays it
again.
"""

import argparse
import random
import sys

from popoto import ConfidenceField, Field, IntField, KeyField, KeyMutationError, ModelException
from popoto import Model, SortedField


class Thing(Model):
    group = KeyField()
    name = KeyField()
    rank = SortedField(type=int, partition_by="group")
    price = SortedField(type=float)
    label = Field(type=str)
    size = IntField(default=7)
    trust = ConfidenceField(partition_by="group", evidence_cap=4)


GROUPS = ["a", "b", "at-las", "a:b", "*", "[a]", "/", "ü"]
NAMES = ["x", "y", "z", "x:y", "?", "project-a", "{x}", "a'b"]
LABELS = ["", "one", "two", "☃", "a\0b", None]
FIELDS = ("group", "name", "rank", "price", "label", "size")


class Row:
    """What a stored record is to be."""

    def __init__(self, **values):
        self.__dict__.update(values)
        self.trust, self.evidence, self.plus, self.minus = 0.5, 0, 0, 0

    def figures(self):
        return {"confidence": self.trust, "evidence_count": self.evidence, "corroborations": self.plus,
                "contradictions": self.minus}

    def signal(self, s):
        n = min(self.evidence + 1, 4)
        self.trust = min(1.0, max(0.0, self.trust + (s - self.trust) / (n + 1)))
        self.evidence += 1
        if s >= 0.5:
            self.plus += 1
        else:
            self.minus += 1


class Sequence:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.rows = {}
        self.done = []

    def some(self):
        return {"rank": self.r.randint(-5, 5), "price": self.r.choice([0.0, 1.5, -2.25, 1e9, 0.1]),
                "label": self.r.choice(LABELS)}

    def a_key(self, known=True):
        if known and self.rows and self.r.random() < 0.8:
            return self.r.choice(sorted(self.rows))
        return self.r.choice(GROUPS), self.r.choice(NAMES)

    def load(self, key):
        it = Thing.query.get(group=key[0], name=key[1])
        assert (it is not None) == (key in self.rows), (key, it)
        return it

    def check(self, it, key):
        row = self.rows[key]
        for name in FIELDS:
            assert getattr(it, name) == getattr(row, name), (key, name, getattr(it, name), getattr(row, name))

    # The operations.

    def create(self):
        key = self.a_key(known=False)
        values = self.some()
        if self.r.random() < 0.3:
            values["size"] = self.r.randint(-3, 3)
        if key in self.rows:
            return  # whether that replaces is told elsewhere
        it = Thing.create(group=key[0], name=key[1], **values)
        self.rows[key] = Row(group=key[0], name=key[1], **{"size": 7, **values})
        self.check(it, key)

    def save(self):
        key = self.a_key()
        it = self.load(key)
        if it is None:
            return
        for name, value in self.some().items():
            if self.r.random() < 0.5:
                setattr(it, name, value)
                setattr(self.rows[key], name, value)
        it.save()

    def partial(self):
        key = self.a_key()
        it = self.load(key)
        if it is None:
            return
        values = self.some()
        names = self.r.sample(sorted(values), self.r.randint(1, 3))
        for name, value in values.items():
            setattr(it, name, value)
        it.save(update_fields=names)
        for name in names:
            setattr(self.rows[key], name, values[name])

    def move(self):
        key, to = self.a_key(), self.a_key(known=False)
        it = self.load(key)
        if it is None or to == key:
            return
        it.group, it.name = to
        try:
            it.save()
        except KeyMutationError:
            pass
        else:
            raise AssertionError("a key changed without being asked to")
        if to in self.rows:
            return
        it.save(migrate_key=True)
        row = self.rows.pop(key)
        row.group, row.name = to
        self.rows[to] = row

    def delete(self):
        key = self.a_key()
        it = self.load(key)
        if it is None:
            return
        assert it.delete() is True
        del self.rows[key]
        assert not it.delete()

    def confidence(self):
        key = self.a_key()
        it = self.load(key)
        if it is None:
            return
        s = self.r.choice([0.0, 1.0, 0.5, 0.25, 0.9, self.r.random()])
        self.rows[key].signal(s)
        after = ConfidenceField.update_confidence(it, "trust", signal=s)
        assert abs(after - self.rows[key].trust) < 1e-9, (after, self.rows[key].trust)
        figures = ConfidenceField.get_confidence_data(it, "trust")
        for name, value in self.rows[key].figures().items():
            assert abs(figures[name] - value) < 1e-9, (name, figures, value)

    def query(self):
        r = self.r
        where, tests = {}, []

        def add(name, value, test):
            where[name] = value
            tests.append(test)

        if r.random() < 0.6:
            g = r.choice(GROUPS)
            add("group", g, lambda x: x.group == g)
            if r.random() < 0.5:
                low = r.randint(-5, 5)
                add(*r.choice([("rank__gte", low, lambda x: x.rank >= low), ("rank__gt", low, lambda x: x.rank > low),
                               ("rank__lt", low, lambda x: x.rank < low), ("rank__lte", low, lambda x: x.rank <= low),
                               ("rank", low, lambda x: x.rank == low)]))
        elif r.random() < 0.5:
            some = r.sample(GROUPS, 3)
            add("group__in", some, lambda x: x.group in some)
        if r.random() < 0.3:
            end = r.choice(["x", "p", "?", "{", "a'"])
            add("name__startswith", end, lambda x: x.name.startswith(end))
        if r.random() < 0.4:
            price = r.choice([0.0, 1.5, 0.1])
            add(*r.choice([("price__gte", price, lambda x: x.price >= price), ("price__lt", price, lambda x: x.price < price),
                           ("price__between", (price, 1e6), lambda x: price <= x.price <= 1e6)]))
        if r.random() < 0.2:
            label = r.choice(["one", "two", ""])
            add("label", label, lambda x: x.label == label)
        expected = {key for key, row in self.rows.items() if all(test(row) for test in tests)}
        self.done.append(("query", where))
        query = Thing.query.filter(**where)
        found = list(query)
        assert len(found) == len(expected), (where, [(x.group, x.name) for x in found], expected)
        for it in found:
            assert (it.group, it.name) in expected, (where, it)
            self.check(it, (it.group, it.name))
        assert query.count() == len(expected), (where, query.count(), len(expected))
        order = r.choice(["price", "-price", "name", "-rank", "size"])
        limit = r.choice([1, 2, 3, 100])
        name = order.lstrip("-")
        ordered = sorted((getattr(self.rows[key], name) for key in expected), reverse=order[0] == "-")[:limit]
        got = [getattr(x, name) for x in Thing.query.filter(**where).order_by(order).limit(limit)]
        assert got == ordered, (where, order, limit, got, ordered)
        values = Thing.query.filter(**where).values("name", "price").all()
        assert sorted((v["name"], v["price"]) for v in values) == sorted((self.rows[k].name, self.rows[k].price) for k in expected)

    def everything(self):
        assert Thing.query.count() == len(self.rows) == len(Thing.query.keys())
        for it in Thing.query.all():
            key = (it.group, it.name)
            assert key in self.rows, key
            self.check(it, key)
            figures = ConfidenceField.get_confidence_data(it, "trust")
            for name, value in self.rows[key].figures().items():
                assert abs(figures[name] - value) < 1e-9, (key, name, figures, value)

    def refused(self):
        key = self.a_key()
        it = self.load(key)
        if it is None:
            return
        it.rank = "no number"
        try:
            it.save()
        except (ModelException, ValueError):
            return
        raise AssertionError("a text was stored as a number")

    def run(self, length):
        calls = [self.create] * 5 + [self.save] * 2 + [self.partial] * 2 + [self.query] * 6
        calls += [self.move, self.delete, self.confidence, self.confidence, self.refused, self.everything]
        for _ in range(length):
            call = self.r.choice(calls)
            self.done.append(call.__name__)
            call()
        self.everything()
        Thing.delete_all()
        assert Thing.query.count() == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--length", type=int, default=60)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    print(f"seed {seed}, {options.sequences} sequences of {options.length} operations")
    for n in range(options.sequences):
        sequence = Sequence(seed + n)
        try:
            sequence.run(options.length)
        except Exception as why:
            print(f"FAILED with --seed {seed + n} --sequences 1 --length {options.length}, at {sequence.done[-3:]}: "
                  f"{type(why).__name__}: {why}")
            Thing.delete_all()
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
