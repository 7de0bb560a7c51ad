#!/usr/bin/env python3
"""Compares libpopoto with the real Popoto, operation by operation.

    conformance.py DRIVER [--sequences N] [--across N] [--seed SEED] [--length N] [--only PART]

DRIVER is the program of conformance.c. The parts:

  same      The same random operations with both, each on a database of its own; after each operation
            the two databases must be the same: every key, type, member and score, every byte of every
            field (sets and confidence entries decoded, for their order is arbitrary), times to live to
            the second; and every answer.
  across    On one database, now one, now the other reads, changes, moves and deletes what either wrote;
            a second database, which libpopoto alone writes, must be the same after each.
  together  Both at the same time on the same records; runs when no part is chosen.
  known     What Popoto does otherwise, each with the smallest sequence that shows it: Popoto must still
            do that, and libpopoto what is right (docs/popoto-compatibility.md).

A failure names the seed: `--only same --sequences 1 --seed SEED` plays it again. Closes with
`N passed, N failed`.
"""

import argparse
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock
from decimal import Decimal

# ----- A private server ---------------------------------------------------------------------------


class Server:
    def __init__(self):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            sys.exit("conformance: no redis-server and no valkey-server on PATH")
        self.folder = tempfile.mkdtemp(prefix="popoto-conformance-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
             "--dir", self.folder, "--logfile", os.path.join(self.folder, "log")]
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("conformance: the server does not start")

    def url(self, database):
        return f"redis://127.0.0.1:{self.port}/{database}"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# Popoto connects when it is imported: see main().
popoto = msgpack = redis = None

# ----- Values, as words of the driver and as texts to compare ---------------------------------------


class Null:
    """Stands for 'leave it out' where None is a value."""


UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def words(value):
    if value is None:
        return "n"
    if isinstance(value, bool):
        return f"b{int(value)}"
    if isinstance(value, int):
        return f"i{value}"
    if isinstance(value, float):
        return "f" + struct.pack(">d", value).hex()
    if isinstance(value, str):
        return "s" + value.encode().hex()
    if isinstance(value, bytes):
        return "x" + value.hex()
    if isinstance(value, Decimal):
        return "m" + str(value).encode().hex()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return f"t{(value.replace(tzinfo=UTC) - EPOCH) // MICROSECOND}:n"
        return f"t{(value - EPOCH) // MICROSECOND}:{int(value.utcoffset().total_seconds())}"
    if isinstance(value, date):
        return f"d{value.year}-{value.month}-{value.day}"
    if isinstance(value, clock):
        return f"c{value.hour}:{value.minute}:{value.second}:{value.microsecond}"
    if isinstance(value, dict):
        return " ".join([f"M{2 * len(value)}"] + [words(x) for pair in value.items() for x in pair])
    mark = {list: "L", tuple: "T", set: "S"}[type(value)]
    return " ".join([f"{mark}{len(value)}"] + [words(x) for x in value])


def take(stream):
    """One value from an iterator of words."""
    word = next(stream)
    mark, rest = word[0], word[1:]
    if mark == "n":
        return None
    if mark == "b":
        return rest == "1"
    if mark == "i":
        return int(rest)
    if mark == "f":
        return struct.unpack(">d", bytes.fromhex(rest))[0]
    if mark == "s":
        return bytes.fromhex(rest).decode()
    if mark == "x":
        return bytes.fromhex(rest)
    if mark == "m":
        return Decimal(bytes.fromhex(rest).decode())
    if mark == "t":
        moment, offset = rest.split(":")
        at = EPOCH + int(moment) * MICROSECOND
        if offset == "n":
            return at.replace(tzinfo=None)
        return at.astimezone(timezone(timedelta(seconds=int(offset))))
    if mark == "d":
        return date(*map(int, rest.split("-")))
    if mark == "c":
        return clock(*map(int, rest.split(":")))
    items = [take(stream) for _ in range(int(rest))]
    if mark == "M":
        return dict(zip(items[::2], items[1::2]))
    return {"L": list, "T": tuple, "S": set}[mark](items)


def canon(value):
    """A text that is the same for the same value of the same type."""
    if isinstance(value, float):
        return "f" + struct.pack(">d", value).hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return "S{" + ",".join(sorted(canon(x) for x in value)) + "}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ",".join(canon(x) for x in value) + ")"
    if isinstance(value, dict):
        return "M{" + ",".join(canon(k) + ":" + canon(v) for k, v in value.items()) + "}"
    return f"{type(value).__name__}:{value}"


# ----- Models, for both -----------------------------------------------------------------------------

TYPES = {str: "TEXT", int: "INT", float: "FLOAT", bool: "BOOL", bytes: "BYTES", datetime: "TIME", date: "DAY",
         clock: "CLOCK", Decimal: "DECIMAL", list: "LIST", dict: "MAP", set: "SET", tuple: "TUPLE"}


class F:
    """A field: what both declarations are made from."""

    def __init__(self, kind, type=str, by=(), null=False, default=None, ulid=False, initial=None, cap=0):
        self.kind, self.type, self.by, self.null, self.default = kind, type, by, null, default
        self.ulid, self.initial, self.cap = ulid, initial, cap
        self.is_key = kind in ("KEY", "AUTO_KEY", "UNIQUE_KEY")
        self.in_two = False  # one of two or more values in a companion hash's key

    def python(self):
        if self.kind == "KEY":
            return popoto.KeyField(type=self.type, null=self.null)
        if self.kind == "UNIQUE_KEY":
            return popoto.UniqueKeyField(type=self.type)
        if self.kind == "AUTO_KEY":
            return popoto.AutoKeyField(strategy="ulid" if self.ulid else "uuid4")
        if self.kind == "SORTED":
            return popoto.SortedField(type=self.type, partition_by=self.by)
        if self.kind == "CONFIDENCE":
            more = {"initial_confidence": self.initial} if self.initial is not None else {}
            if self.cap:
                more["evidence_cap"] = self.cap
            return popoto.ConfidenceField(partition_by=self.by, **more)
        return popoto.Field(type=self.type, null=self.null, default=self.default)

    def words(self, name):
        initial = {None: 0.0, 0: -1.0}.get(self.initial, self.initial)
        return " ".join([name, self.kind, TYPES[self.type], ",".join(self.by) or "-", str(int(self.null)),
                         str(int(self.ulid)), struct.pack(">d", initial).hex(), str(self.cap),
                         words(self.default)])


class M:
    def __init__(self, name, ttl=0, /, **fields):
        self.name, self.ttl, self.fields = name, ttl, fields
        self.keys = [n for n, f in fields.items() if f.is_key]
        self.partitions = {b for f in fields.values() for b in f.by}
        self.plain_partitions = {b for b in self.partitions if not fields[b].is_key}
        self.confidences = [n for n, f in fields.items() if f.kind == "CONFIDENCE"]
        for f in fields.values():
            if f.kind == "CONFIDENCE" and len(f.by) > 1:
                for b in f.by:
                    fields[b].in_two = True

    def python(self):
        attributes = {"__module__": __name__}
        attributes.update({n: f.python() for n, f in self.fields.items()})
        if self.ttl:
            attributes["Meta"] = type("Meta", (), {"ttl": self.ttl})
        self.model = type(popoto.Model)(self.name, (popoto.Model,), attributes)
        return self.model

    def words(self):
        return " ".join(["model", self.name, str(self.ttl), str(len(self.fields))]
                        + [f.words(n) for n, f in self.fields.items()])


MODELS = [
    # The specification's two.
    M("Episode", project_id=F("KEY"), episode_id=F("AUTO_KEY"), title=F("FIELD", null=True),
      score=F("SORTED", float, by=("project_id",))),
    M("Memory", key=F("UNIQUE_KEY"), project=F("KEY"), content=F("FIELD", null=True),
      certainty=F("CONFIDENCE", float, by=("project",))),
    # Every type a key can have. Declared in an order that is not the alphabet's.
    M("Keys", zone=F("KEY"), number=F("KEY", int), ratio=F("KEY", float), flag=F("KEY", bool),
      moment=F("KEY", datetime), day=F("KEY", date), amount=F("KEY", Decimal), maybe=F("KEY", null=True),
      few=F("KEY", int, null=True), note=F("FIELD", null=True)),
    # Every type a field can have, null and default, with a time to live.
    M("Values", 5000, code=F("UNIQUE_KEY", int), text=F("FIELD", null=True), number=F("FIELD", int, null=True),
      ratio=F("FIELD", float, null=True), flag=F("FIELD", bool, null=True), raw=F("FIELD", bytes, null=True),
      moment=F("FIELD", datetime, null=True), day=F("FIELD", date, null=True), hour=F("FIELD", clock, null=True),
      amount=F("FIELD", Decimal, null=True), items=F("FIELD", list, null=True), table=F("FIELD", dict, null=True),
      bag=F("FIELD", set, null=True), pair=F("FIELD", tuple, null=True), label=F("FIELD", default="plain", null=True),
      level=F("FIELD", int, default=7, null=True), share=F("FIELD", float, default=0.25, null=True),
      sure=F("FIELD", bool, default=True, null=True), must=F("FIELD", int)),
    # Every type an index can sort, partitions of one and two fields, key fields and others.
    M("Trades", market=F("KEY"), trade_id=F("AUTO_KEY", ulid=True), symbol=F("FIELD"), lot=F("FIELD", int),
      price=F("SORTED", float, by=("market", "symbol")), volume=F("SORTED", int),
      amount=F("SORTED", Decimal, by=("market",)), moment=F("SORTED", datetime, by=("symbol",)),
      day=F("SORTED", date, by=("lot",))),
    # Confidence of every shape; a partition that is no key; an initial one of 0 and a cap of 3.
    M("Beliefs", 9000, name=F("KEY"), region=F("KEY"), topic=F("FIELD"), alone=F("CONFIDENCE", float),
      local=F("CONFIDENCE", float, by=("region",), initial=0.9, cap=3),
      about=F("CONFIDENCE", float, by=("topic",), initial=0), both=F("CONFIDENCE", float, by=("region", "topic"))),
    # A partition by a number, a moment and a day.
    M("Slots", name=F("UNIQUE_KEY"), lane=F("KEY", int), since=F("KEY", datetime), until=F("KEY", date),
      weight=F("SORTED", float, by=("lane", "since")), rank=F("SORTED", int, by=("until",)),
      trust=F("CONFIDENCE", float, by=("since", "lane"))),
]
# For what is known to differ.
MORE_MODELS = [
    M("Grades", name=F("KEY"), grade=F("FIELD", Decimal), points=F("SORTED", float, by=("grade",))),
    M("Prices", name=F("KEY"), price=F("SORTED", float), price_before=F("SORTED", float)),
    M("Visits", name=F("KEY"), state=F("KEY"), at=F("SORTED", datetime, by=("state",))),
    M("Words", word=F("KEY"), note=F("FIELD", null=True)),
    M("Lanes", lane=F("KEY", int)),
    M("Maybe", name=F("KEY"), group=F("KEY", null=True)),
    M("Moments", moment=F("KEY", datetime), day=F("FIELD", date, null=True)),
]
BY_NAME = {m.name: m for m in MODELS + MORE_MODELS}

# ----- Nasty values ---------------------------------------------------------------------------------

TEXTS = ["a", "b", "c", "at-las", "a:b", "*", "-", "{x}", "/", "\U0001f600", "", "x" * 300, "line\nbreak",
         "{&#58;}", "/{&#58;}", "a/b:c*[d]^e?'f-", "\\", "\\*", "nul\0l", " ", "\u00fcber", "%s%n", "[a-z]", "?",
         "//", ":", "::", "data", "a b", "\r\n", "^", "none"]
INTS = [0, 1, -1, 7, 42, 127, 128, 255, 256, 65535, 2**31, -(2**31) - 1, 2**53, -(2**53), 2**63 - 1, -(2**63)]
FLOATS = [0.0, 1.5, 0.1, 1e22, 1e16, 1e15, 1e-7, 1e-5, -2.5, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.125,
          float("inf"), float("-inf")]
DECIMALS = ["1.50", "1.5", "0", "-0", "1E+3", "0.000001", "1E-7", "123456789012345678901234567890.5", "-7", "0.0"]
# As SORTED, Popoto sends a decimal through a float: see sorted_decimal_loses_digits.
SORTED_DECIMALS = ["1.5", "0.25", "-7.0", "0.1", "1234567.125", "3.0"]


def some_time(r):
    offset = r.choice([None, 0, 0, 7200, -19800, 3600 * 14, 19815, -45])
    at = datetime(r.choice([1000, 1969, 1970, 2020, 2026, 9999]), r.randint(2, 11), r.randint(1, 28), r.randint(0, 23),
                  r.randint(0, 59), r.randint(0, 59), r.choice([0, 1, 500000, 999999, r.randint(0, 999999)]))
    if offset is None:
        return at
    return at.replace(tzinfo=UTC if offset == 0 else timezone(timedelta(seconds=offset)))


def some_plain(r, depth=0):
    kind = r.randint(0, 7 if depth < 2 else 5)
    if kind == 0:
        return r.choice(TEXTS)
    if kind == 1:
        return r.choice(INTS)
    if kind == 2:
        return r.choice(FLOATS)
    if kind == 3:
        return r.choice([True, False])
    if kind == 4:
        return None
    if kind == 5:
        return r.choice([b"", b"\0\xff", b"bytes"])
    if kind == 6:
        return [some_plain(r, depth + 1) for _ in range(r.randint(0, 4))]
    return {r.choice(TEXTS): some_plain(r, depth + 1) for _ in range(r.randint(0, 3))}


def some(r, field):
    """A value of the field's type, nasty on purpose; few of them, so that they meet."""
    t = field.type
    if field.null and r.random() < 0.25:
        return None
    if t is str:
        texts = TEXTS[:14] if field.is_key or field.kind != "FIELD" else TEXTS
        value = r.choice(texts if r.random() < 0.7 else TEXTS)
        return value.replace(":", ";") if field.in_two else value
    if t is int:
        value = r.choice(INTS[:5] if r.random() < 0.5 else INTS)
        return max(1 - 2**53, min(2**53 - 1, value)) if field.kind == "SORTED" else value
    if t is float:
        if field.kind == "CONFIDENCE":
            return r.choice([0.25, 1.0, 0.75, 0.0])
        return r.choice(FLOATS + ([-0.0, float("nan")] if field.kind == "FIELD" else []))
    if t is bool:
        return r.choice([True, False])
    if t is bytes:
        return r.choice([b"", b"\0", b"bytes", bytes(range(256)), b"\xff" * 300])
    if t is datetime:
        return some_time(r)
    if t is date:
        return date(r.choice([1000, 1970, 2020, 9999]), r.randint(1, 12), r.randint(1, 28))
    if t is clock:
        return clock(r.randint(0, 23), r.randint(0, 59), r.randint(0, 59), r.choice([0, 1, 120000, 999999]))
    if t is Decimal:
        return Decimal(r.choice(SORTED_DECIMALS if field.kind == "SORTED" else DECIMALS))
    if t is list:
        return [some_plain(r) for _ in range(r.choice([0, 1, 3, 20]))]
    if t is tuple:
        return tuple(some_plain(r) for _ in range(r.choice([0, 1, 3])))
    if t is set:
        return set(r.sample(["a", "b", "", "\u00fc", 1, 2, -7, 2.5, None], r.randint(0, 5)))
    return {r.choice(TEXTS): some_plain(r) for _ in range(r.choice([0, 1, 3, 20]))}


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def some_id(r, field):
    if field.ulid:
        return "".join(r.choice(CROCKFORD) for _ in range(26))
    return "".join(r.choice("0123456789abcdef") for _ in range(32))


def some_values(r, m):
    values = {}
    for name, field in m.fields.items():
        if field.kind == "AUTO_KEY":
            values[name] = some_id(r, field)
        elif field.kind == "CONFIDENCE":
            if r.random() < 0.2:
                values[name] = some(r, field)
        elif field.default is not None:
            # Popoto's None is a null here, libpopoto's null the default: leave it out, or give it one.
            if r.random() < 0.5:
                values[name] = some(r, F("FIELD", field.type))
        else:
            values[name] = some(r, field)
    return values


# ----- The two, behind one face -----------------------------------------------------------------------


class Broken(Exception):
    pass


class Popoto:
    """The real one, on database 0."""

    name = "Popoto"

    def create(self, m, values):
        try:
            it = m.model(**values)
            it.save()
            return "ok", it
        except popoto.ModelException as why:
            return ("duplicate" if "nique" in str(why) else f"error {why}"), None

    def load(self, m, keys):
        it = m.model.query.get(**keys)
        return ("ok", it) if it is not None else ("not found", None)

    def find(self, m, keys):
        found = list(m.model.query.filter(**keys))
        return ("ok", found[0]) if len(found) == 1 else (f"{len(found)} found", None)

    def migrate(self, m, field):
        report = popoto.ConfidenceField.migrate_to_partitioned(m.model, field)
        return report["total"], report["migrated"], len(report["errors"])

    def put(self, m, it, changes):
        for name, value in changes.items():
            setattr(it, name, value)

    def save(self, m, it):
        try:
            it.save(migrate_key=True)
            return "ok"
        except popoto.ModelException as why:
            return "duplicate" if "nique" in str(why) else f"error {why}"

    def only(self, m, it, names):
        it.save(update_fields=list(names))
        return "ok"

    def delete(self, m, it):
        return "ok" if it.delete() else "not found"

    def update(self, m, it, field, signal):
        popoto.ConfidenceField.update_confidence(it, field, signal=signal)
        return self.figures(m, it, field)

    def figures(self, m, it, field):
        data = popoto.ConfidenceField.get_confidence_data(it, field)
        return figures(data)

    def values(self, m, it):
        return [it.db_key.redis_key] + [canon(getattr(it, n)) for n in m.fields]

    def query(self, m, filters, order=None, limit=None):
        more = {k: v for k, v in (("order_by", order), ("limit", limit)) if v}
        return [self.values(m, it) for it in m.model.query.filter(**filters, **more)]

    def count(self, m, filters):
        return m.model.query.count(**filters)

    def key(self, m, it):
        return it.db_key.redis_key

    def hash(self, m, it, field):
        return m.model._meta.fields[field].get_data_hash_key(it, field)

    def hashof(self, m, field, values):
        return m.model._meta.fields[field].get_data_hash_key_from_values(m.model, field, **values)

    def scan(self, m, field, pattern):
        found = popoto.ConfidenceField.get_confidence_filtered(m.model, field, pattern=pattern)
        return {k: figures(v) for k, v in found.items()}

    def forget(self, m, it):
        pass


def figures(data):
    return (canon(float(data["confidence"])), int(data["evidence_count"]), int(data["corroborations"]),
            int(data["contradictions"]))


def mirrored(figures):
    """What Popoto leaves of a confidence in the object's attribute."""
    return float("%.14g" % struct.unpack(">d", bytes.fromhex(figures[0][1:]))[0])


STATUS = {"POPOTO_OK": "ok", "POPOTO_NOT_FOUND": "not found", "POPOTO_DUPLICATE": "duplicate",
          "POPOTO_EXISTS": "exists"}


class Ours:
    """libpopoto, by its driver."""

    name = "libpopoto"

    def __init__(self, driver, url):
        self.process = subprocess.Popen([driver, url, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.next_slot, self.free = 0, []
        first = self.process.stdout.readline().decode().split()
        if first != ["POPOTO_OK"]:
            raise Broken(f"the driver does not start: {first}")
        for m in MODELS + MORE_MODELS:
            self.call(m.words(), must=True)

    def stop(self):
        self.process.stdin.close()
        return self.process.wait()

    def call(self, line, must=False):
        """The status, the words of the answer, and the sentence of a failure."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().rstrip("\n").split(" ")
        if answer == [""]:
            raise Broken(f"the driver ended at: {line}")
        self.status = answer[0]
        self.why = "" if answer[0] == "POPOTO_OK" else bytes.fromhex(answer[1]).decode(errors="replace")
        if must and answer[0] != "POPOTO_OK":
            raise Broken(f"{line}: {answer[0]}, {self.why}")
        return STATUS.get(answer[0], answer[0] + ": " + self.why), answer[1:]

    def slot(self):
        if self.free:
            return self.free.pop()
        self.next_slot += 1
        return self.next_slot - 1

    def put(self, m, slot, changes):
        pairs = " ".join(f"{n} {words(v)}" for n, v in changes.items())
        self.call(f"put {slot} {len(changes)} {pairs}", must=True)

    def create(self, m, values, call="create"):
        slot = self.slot()
        self.call(f"new {slot} {m.name}", must=True)
        self.put(m, slot, values)
        status, _ = self.call(f"{call} {slot}")
        if status != "ok":
            self.forget(m, slot)
            return status, None
        # Popoto's object has the defaults in it when it was created; ours, when it is loaded.
        missing = {n: f.default for n, f in m.fields.items() if f.default is not None and n not in values}
        missing.update({n: (f.initial if f.initial is not None else 0.5) for n, f in m.fields.items()
                        if f.kind == "CONFIDENCE" and n not in values})
        if missing:
            self.put(m, slot, missing)
        return status, slot

    def load(self, m, keys):
        slot = self.slot()
        pairs = " ".join(f"{n} {words(v)}" for n, v in keys.items())
        status, _ = self.call(f"load {slot} {m.name} {len(keys)} {pairs}")
        if status != "ok":
            self.free.append(slot)
            return status, None
        return status, slot

    def find(self, m, keys):
        slot = self.slot()
        status, _ = self.call(f"get {slot} {m.name} 1 {self.filters(keys)}")
        if status != "ok":
            self.free.append(slot)
            return status, None
        return status, slot

    def migrate(self, m, field):
        _, rest = self.call(f"migrate {m.name} {field} 0", must=True)
        return tuple(map(int, rest))

    def save(self, m, slot):
        return self.call(f"save {slot}")[0]

    def only(self, m, slot, names):
        return self.call(f"only {slot} {','.join(names)}")[0]

    def delete(self, m, slot):
        return self.call(f"delete {slot}")[0]

    def update(self, m, slot, field, signal):
        status, rest = self.call(f"update {slot} {field} {struct.pack('>d', signal).hex()}")
        if status != "ok":
            return status
        after = self.figures_of(rest)
        # Popoto sets the object's attribute, and rounds it: see update_rounds_the_attribute.
        self.put(m, slot, {field: mirrored(after)})
        return after

    def figures_of(self, rest):
        return ("f" + rest[0], int(rest[1]), int(rest[2]), int(rest[3]))

    def figures(self, m, slot, field):
        status, rest = self.call(f"figures {slot} {field}")
        return self.figures_of(rest) if status == "ok" else status

    def query(self, m, filters, order=None, limit=None, scan=1):
        status, rest = self.call(f"query {m.name} {order or '-'} {limit or 0} 0 {scan} {self.filters(filters)}")
        if status != "ok":
            return status
        stream = iter(rest)
        count = int(next(stream))
        return [[bytes.fromhex(next(stream)).decode()] + [canon(take(stream)) for _ in m.fields]
                for _ in range(count)]

    def filters(self, filters):
        return " ".join([str(len(filters))] + [f"{n} {words(v)}" for n, v in filters.items()])

    def count(self, m, filters, scan=1):
        status, rest = self.call(f"count {m.name} {scan} {self.filters(filters)}")
        return int(rest[0]) if status == "ok" else status

    def text(self, line):
        status, rest = self.call(line)
        return bytes.fromhex(rest[0]).decode() if status == "ok" else status

    def key(self, m, slot):
        return self.text(f"key {slot}")

    def hash(self, m, slot, field):
        return self.text(f"hash {slot} {field}")

    def hashof(self, m, field, values):
        return self.text(f"hashof {m.name} {field} {self.filters(values)}")

    def scan(self, m, field, pattern, where=None):
        status, rest = self.call(f"scan {m.name} {field} {pattern.encode().hex()} {self.filters(where or {})}")
        if status != "ok":
            return status
        found = {}
        for i in range(int(rest[0])):
            part = rest[1 + 5 * i:6 + 5 * i]
            found[bytes.fromhex(part[0]).decode()] = self.figures_of(part[1:])
        return found

    def forget(self, m, slot):
        if slot is not None:
            self.call(f"free {slot}", must=True)
            self.free.append(slot)


# ----- Comparing two databases ------------------------------------------------------------------------

# The keys in which databases ARGV[1] and ARGV[2] differ; what is the same stays on the server.
COMPARE = """
local function content(key, kind)
  local out = {kind}
  if kind == 'hash' then
    local all, names, by = redis.call('HGETALL', key), {}, {}
    for i = 1, #all, 2 do
      names[#names + 1] = all[i]
      by[all[i]] = all[i + 1]
    end
    table.sort(names)
    local companion = string.sub(key, 1, 12) == '$ConfidencF:'
    for _, name in ipairs(names) do
      local bytes = by[name]
      if companion then
        local e = cmsgpack.unpack(bytes)
        bytes = string.format('%.17g %d %d %d', e.confidence, e.evidence_count, e.corroborations,
                              e.contradictions)
      end
      out[#out + 1] = #name .. ' ' .. name .. #bytes .. ' ' .. bytes
    end
  elseif kind == 'set' then
    local all = redis.call('SMEMBERS', key)
    table.sort(all)
    for _, member in ipairs(all) do out[#out + 1] = #member .. ' ' .. member end
  elseif kind == 'zset' then
    for _, part in ipairs(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')) do
      out[#out + 1] = #part .. ' ' .. part
    end
  end
  return table.concat(out, '|')
end
local function read(database)
  redis.call('SELECT', database)
  local all = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    all[key] = {content(key, redis.call('TYPE', key).ok), redis.call('PTTL', key)}
  end
  return all
end
local a, b, different = read(ARGV[1]), read(ARGV[2]), {}
for key, it in pairs(a) do
  local other = b[key]
  if not other or it[1] ~= other[1] or math.abs(it[2] - other[2]) > 1500
      or (it[2] < 0) ~= (other[2] < 0) then
    different[#different + 1] = key
  end
end
for key in pairs(b) do
  if not a[key] then different[#different + 1] = key end
end
return different
"""


class Databases:
    def __init__(self, server):
        self.at = [redis.Redis("127.0.0.1", server.port, db=n) for n in (0, 1)]
        self.compare = self.at[0].register_script(COMPARE)

    def empty(self):
        self.at[0].flushall()

    def dump(self, database, key):
        c = self.at[database]
        kind = c.type(key).decode()
        if kind == "hash":
            return kind, c.hgetall(key)
        if kind == "set":
            return kind, sorted(c.smembers(key))
        if kind == "zset":
            return kind, c.zrange(key, 0, -1, withscores=True)
        return (kind,)

    def all(self, database=0):
        return {k.decode(): self.dump(database, k) for k in self.at[database].keys("*")}

    def same_but_for_sets(self, key):
        """Sets have no order, so neither have their stored bytes."""
        a, b = self.dump(0, key), self.dump(1, key)
        if a[0] != "hash" or b[0] != "hash" or set(a[1]) != set(b[1]):
            return False
        return all(a[1][n] == b[1][n] or unordered(a[1][n]) == unordered(b[1][n]) for n in a[1])

    def differences(self):
        keys = self.compare(args=[0, 1])
        return [(k, self.dump(0, k), self.dump(1, k)) for k in keys if not self.same_but_for_sets(k)]


def unordered(packed):
    value = msgpack.unpackb(packed, strict_map_key=False)
    if isinstance(value, dict) and "__set__" in value:
        return sorted(canon(x) for x in value["as_encodable"])
    return packed


def expected_indexes(databases, database=0):
    """What must be there besides the records, told by the records alone."""
    from popoto.models.canonical_key import canonical_key_str as text
    from popoto.models.db_key import DB_key
    from popoto.models.encoding import decode_popoto_model_hashmap
    from popoto.fields.sorted_field_mixin import SortedFieldMixin

    expected = {}
    client = databases.at[database]
    for raw in client.keys("*"):
        name = raw.decode().split(":")[0]
        if name not in BY_NAME:
            continue
        m, key = BY_NAME[name], raw.decode()
        it = decode_popoto_model_hashmap(m.model, client.hgetall(raw), source_redis_key=key)
        own = ":".join([name] + [DB_key.clean(text(getattr(it, n))) for n in sorted(m.keys)])
        if own != key:
            raise Broken(f"{key} holds the fields of {own}")
        expected.setdefault(f"$Class:{name}", set()).add(key)
        for n, f in m.fields.items():
            if f.kind in ("KEY", "UNIQUE_KEY"):
                kind = "$KeyF" if f.kind == "KEY" else "$UniqueKeyF"
                expected.setdefault(f"{kind}:{name}:{n}:{DB_key.clean(text(getattr(it, n)))}", set()).add(key)
            elif f.kind == "SORTED":
                at = ":".join([f"$SortF:{name}:{n}"] + [DB_key.clean(text(getattr(it, b))) for b in f.by])
                score = float(SortedFieldMixin.convert_to_numeric(m.model._meta.fields[n], getattr(it, n)))
                expected.setdefault(at, {})[key] = score
            elif f.kind == "CONFIDENCE":
                at = ":".join([f"$ConfidencF:{name}:{n}:data"] + [text(getattr(it, b)) for b in f.by])
                expected.setdefault(at, set()).add(key)
    return expected


def wrong_indexes(databases, database=0):
    expected, found, client = expected_indexes(databases, database), {}, databases.at[database]
    for raw in client.keys("$*"):
        key = raw.decode()
        kind = client.type(raw).decode()
        if kind == "set":
            found[key] = {x.decode() for x in client.smembers(raw)}
        elif kind == "zset":
            found[key] = {x.decode(): s for x, s in client.zrange(raw, 0, -1, withscores=True)}
        else:
            found[key] = {x.decode() for x in client.hkeys(raw)}
    return [(k, expected.get(k), found.get(k)) for k in expected.keys() | found.keys()
            if expected.get(k) != found.get(k)]


# ----- Random sequences -------------------------------------------------------------------------------


def clean(text):
    from popoto.models.db_key import DB_key
    return DB_key.clean(text)


def glob_safe(text):
    """Popoto's startswith and endswith take these for parts of a pattern: see text_lookups_are_patterns."""
    return text and not set(text) & set("*?[]^\\'-/:{}")


class Sequence:
    """One random sequence: what lives, and the next operation."""

    def __init__(self, seed, length, sides, reference, databases, across):
        self.r = random.Random(seed)
        self.length, self.sides, self.reference = length, sides, reference
        self.databases, self.across = databases, across
        self.models = self.r.sample(MODELS, self.r.randint(1, 3))
        self.live = []  # [model, current key values, one handle a side]
        self.trail = []

    # What every record is known by: the canonical texts of its key fields.
    def identity(self, m, values):
        from popoto.models.canonical_key import canonical_key_str
        return (m.name,) + tuple(canonical_key_str(values[k]) for k in sorted(m.keys))

    def taken(self, m, values, but=None):
        mine = self.identity(m, values)
        for one in self.live:
            if one is but or one["m"] is not m:
                continue
            if self.identity(m, one["stored"]) == mine:
                return "exists"
        for one in self.live:
            if one is but or one["m"] is not m:
                continue
            for n, f in m.fields.items():
                if f.kind == "UNIQUE_KEY" and canon(one["stored"][n]) == canon(values[n]):
                    return "duplicate"
        return None

    def note(self, text):
        self.trail.append(re.sub(r"(.)\1{20,}", r"\1...", text)[:1500])

    def agree(self, what, answers):
        first = answers[0]
        for other in answers[1:]:
            if other != first:
                raise Broken(f"{what}: " + " / ".join(repr(a)[:1500] for a in answers))
        return first

    def run(self):
        for _ in range(self.length):
            m = self.r.choice(self.models)
            mine = [one for one in self.live if one["m"] is m]
            step = self.r.choices(
                ["create", "replace", "exists", "save", "only", "key", "partition", "delete", "update", "read",
                 "reload", "migrate"],
                [6 if len(mine) < 8 else 1, 1, 1, 4, 3, 3, 3, 2, 5 if m.confidences else 0, 8, 2,
                 1 if m.confidences else 0])[0]
            if step not in ("create", "read") and not mine:
                step = "create"
            getattr(self, step)(m, self.r.choice(mine) if mine else None)
            found = self.databases.differences()
            if found:
                raise Broken("\n    ".join(["the databases differ:"] + [f"{k}\n      {a}\n      {b}"
                                                                        for k, a, b in found[:4]]))
        wrong = wrong_indexes(self.databases)  # and so those of the other, which is the same
        if wrong:
            raise Broken("\n    ".join(["wrong indexes:"] + [f"{w}" for w in wrong[:4]]))
        self.expire()

    def expire(self):
        """At the end some records are gone as if their time had come, with their index entries left: no
        answer may have them. What each then clears up differs, and is not compared."""
        gone = self.r.sample(self.live, len(self.live) // 3)
        for one in gone:
            key = ":".join([one["m"].name] + [clean(text) for text in self.identity(one["m"], one["stored"])[1:]])
            if [client.delete(key) for client in self.databases.at] != [1, 1]:
                raise Broken(f"{key} is not there")
            self.note(f"expire {key}")
        for one in gone[:4]:
            for _ in range(3):
                self.read(one["m"], one, count=False)

    # The sides of one write: both; or one of the two and the reference, each with an object just loaded.
    def writers(self, one):
        if not self.across:
            return list(zip(self.sides, one["handles"]))
        side = self.r.choice(self.sides)
        self.note(f"  by {side.name}")
        keys = {k: one["stored"][k] for k in one["m"].keys}
        loaded = []
        for it in (side, self.reference):
            status, handle = it.load(one["m"], keys)
            if status != "ok":
                raise Broken(f"{it.name} does not find {keys}: {status}")
            loaded.append((it, handle))
        return loaded

    def release(self, m, pairs):
        if self.across:
            for side, handle in pairs:
                side.forget(m, handle)

    def make(self, m, values, expected):
        if self.across:
            sides = [self.r.choice(self.sides), self.reference]
        else:
            sides = self.sides
        self.note(f"create {m.name} {values}" + (f" by {sides[0].name}" if self.across else ""))
        answers = [side.create(m, values) for side in sides]
        status = self.agree("create", [a[0] for a in answers])
        if status != (expected or "ok"):
            raise Broken(f"create: {status}, not {expected}")
        if status == "ok":
            known = dict(values)
            for n, f in m.fields.items():
                if n not in known:
                    known[n] = f.default if f.kind != "CONFIDENCE" else 0.5 if f.initial is None else f.initial
            handles = [a[1] for a in answers]
            if self.across:
                self.release(m, zip(sides, handles))
            self.live.append({"m": m, "values": known, "stored": dict(known), "handles": handles})

    def create(self, m, one):
        values = some_values(self.r, m)
        expected = self.taken(m, values)
        if expected == "exists":
            return  # see create_overwrites
        self.make(m, values, expected)

    # An object that never was saved takes the place of a record.
    def replace(self, m, one):
        if m.plain_partitions or one is None or self.across:
            return  # see replacing_leaves_the_old_partition
        values = some_values(self.r, m)
        values.update({k: one["stored"][k] for k in m.keys})
        self.note(f"replace {m.name} {values}")
        answers = [self.sides[0].create(m, values), self.sides[1].create(m, values, call="save")]
        self.agree("replace", [a[0] for a in answers])
        for side, handle in zip(self.sides, one["handles"]):
            side.forget(m, handle)
        known = dict(values)
        for n, f in m.fields.items():
            if n not in known:
                known[n] = f.default if f.kind != "CONFIDENCE" else 0.5 if f.initial is None else f.initial
        one.update(values=known, stored=dict(known), handles=[a[1] for a in answers])

    # libpopoto alone refuses to create what is there.
    def exists(self, m, one):
        values = some_values(self.r, m)
        values.update({k: one["stored"][k] for k in m.keys})
        self.note(f"create once more {m.name} {values}")
        status, _ = (self.reference or self.sides[1]).create(m, values)
        if status != "exists":
            raise Broken(f"create of what exists: {status}")

    def change(self, m, one, names):
        changes = {n: some(self.r, m.fields[n]) for n in names}
        return changes

    def write(self, m, one, changes, call, *arguments):
        pairs = self.writers(one)
        for side, handle in pairs:
            side.put(m, handle, changes)
        status = self.agree(call, [getattr(side, call)(m, handle, *arguments) for side, handle in pairs])
        if not self.across:
            one["values"].update(changes)
        self.release(m, pairs)
        return status

    def save(self, m, one):
        names = [n for n, f in m.fields.items() if not f.is_key and n not in m.partitions]
        changes = self.change(m, one, self.r.sample(names, self.r.randint(0, len(names))))
        self.note(f"save {m.name} {one['stored']} with {changes}")
        if self.write(m, one, changes, "save") != "ok":
            raise Broken("save failed")
        one["stored"].update(one["values"] if not self.across else changes)

    def only(self, m, one):
        names = [n for n, f in m.fields.items() if not f.is_key and n not in m.partitions]
        changed = self.r.sample(names, self.r.randint(1, len(names)))
        named = self.r.sample(changed, self.r.randint(1, len(changed)))
        changes = self.change(m, one, changed)
        self.note(f"save only {named} of {m.name} {one['stored']} with {changes}")
        if self.write(m, one, changes, "only", named) != "ok":
            raise Broken("save of some fields failed")
        one["stored"].update({n: changes[n] for n in named})

    def key(self, m, one):
        names = [k for k in m.keys if m.fields[k].kind != "AUTO_KEY"]
        changed = self.r.sample(names, self.r.randint(1, len(names)))
        # See a_unique_key_is_its_own_duplicate.
        changed = sorted(set(changed) | {k for k in names if m.fields[k].kind == "UNIQUE_KEY"})
        changes = self.change(m, one, changed)
        after = dict(one["stored"], **changes)
        if self.taken(m, after, but=one) == "exists" or any(
            m.fields[k].kind == "UNIQUE_KEY" and canon(changes[k]) == canon(one["stored"][k]) for k in changed
        ):
            return  # see moving_overwrites
        if any(after[b] == one["stored"][b] and canon(after[b]) != canon(one["stored"][b]) for b in m.partitions):
            return  # see equal_values_of_different_texts
        expected = self.taken(m, after, but=one)
        self.note(f"move {m.name} {one['stored']} with {changes}")
        status = self.write(m, one, changes, "save")
        if status != (expected or "ok"):
            raise Broken(f"move: {status}, not {expected}")
        if status == "ok":
            one["stored"].update(one["values"] if not self.across else changes)
        elif not self.across:
            back = {k: one["stored"][k] for k in changes}
            for side, handle in zip(self.sides, one["handles"]):
                side.put(m, handle, back)
            one["values"].update(back)

    def partition(self, m, one):
        if not m.plain_partitions:
            return
        names = sorted(m.plain_partitions)
        changes = self.change(m, one, self.r.sample(names, self.r.randint(1, len(names))))
        if not self.across and len(one["handles"]) == 2 and self.r.random() < 0.3:
            others = [k for k in m.keys if m.fields[k].kind == "KEY"]
            moved = self.change(m, one, others[:1])
            if self.taken(m, dict(one["stored"], **moved), but=one) is None:
                changes.update(moved)
        self.note(f"to another partition {m.name} {one['stored']} with {changes}")
        if self.write(m, one, changes, "save") != "ok":
            raise Broken("save failed")
        one["stored"].update(one["values"] if not self.across else changes)

    def delete(self, m, one):
        self.note(f"delete {m.name} {one['stored']}")
        if self.write(m, one, {}, "delete") != "ok":
            raise Broken("delete failed")
        if not self.across:
            for side, handle in zip(self.sides, one["handles"]):
                side.forget(m, handle)
        self.live.remove(one)

    def update(self, m, one):
        field, signal = self.r.choice(m.confidences), self.r.choice([0.0, 1.0, 0.5, 0.4999, self.r.random()])
        self.note(f"update {field} of {m.name} {one['stored']} with {signal}")
        pairs = self.writers(one)
        after = self.agree("update", [side.update(m, handle, field, signal) for side, handle in pairs])
        self.release(m, pairs)
        if not self.across:
            one["values"][field] = mirrored(after)

    # The handles anew, from what is stored.
    def reload(self, m, one):
        if self.across:
            return self.read(m, one)
        keys = {k: one["stored"][k] for k in m.keys}
        # By a filter Popoto gets an object that knows less: see a_filtered_object_forgets_its_partition.
        filtered = not m.plain_partitions and None not in keys.values() and self.r.random() < 0.5
        self.note(f"{'find' if filtered else 'reload'} {m.name} {keys}")
        answers = [side.find(m, keys) if filtered else side.load(m, keys) for side in self.sides]
        self.agree("load", [a[0] for a in answers])
        for side, handle in zip(self.sides, one["handles"]):
            side.forget(m, handle)
        one["handles"] = [a[1] for a in answers]
        one["values"] = dict(one["stored"])

    # All entries back to where they were before there were partitions, and then migrated.
    def migrate(self, m, one):
        fields = [n for n in m.confidences if m.fields[n].by]
        if not fields:
            return
        field = self.r.choice(fields)
        plain = f"$ConfidencF:{m.name}:{field}:data"
        self.note(f"migrate {m.name}.{field}")
        for client in self.databases.at:
            for key in client.keys(plain + ":*"):
                client.hset(plain, mapping=client.hgetall(key))
                client.delete(key)
        if self.across:
            sides = [self.r.choice(self.sides), self.reference]
        else:
            sides = self.sides
        total, moved, errors = self.agree("migrate", [side.migrate(m, field) for side in sides])
        if errors or moved != total:
            raise Broken(f"migrate: {moved} of {total} moved")

    # ----- Reads

    def condition(self, m, one):
        """A filter that both can answer alike, or None."""
        r = self.r
        n, f = r.choice(list(m.fields.items()))
        value = one["stored"][n] if one is not None and r.random() < 0.7 else some(r, f) if f.kind != "AUTO_KEY" \
            else some_id(r, f)
        if f.kind == "KEY" or f.kind == "UNIQUE_KEY":
            lookup = r.choice(["", "", "__in", "__startswith", "__endswith", "__isnull"])
            if lookup == "__isnull":
                return {n + lookup: True} if f.null else None
            if value is None:
                return None
            if lookup == "__in":
                other = some(r, F("KEY", f.type))
                return {n + lookup: [value, other]}
            if lookup and (f.type is not str or not glob_safe(value[:1] if lookup == "__startswith" else value[-1:])
                           or f.null):
                return None
            if lookup == "__startswith":
                value = value[:1]
            elif lookup:
                value = value[-1:]
            return {n + lookup: value}
        if f.kind == "AUTO_KEY":
            return {n: value}
        if f.kind == "SORTED":
            filters = {}
            for b in f.by:
                filters[b] = one["stored"][b] if one is not None and r.random() < 0.8 else some(r, m.fields[b])
            if value is None:
                return None
            lookup = r.choice(["", "__gt", "__gte", "__lt", "__lte", "__between", "__gte+__lt"])
            other = some(r, f)
            if lookup == "__between":
                filters[n + lookup] = sorted([value, other], key=lambda x: canon_order(x))
            elif "+" in lookup:
                filters[n + "__gte"], filters[n + "__lt"] = value, other
            else:
                filters[n + lookup] = value
            return filters
        # Of moments, one with an offset and one without are never equal in Python; a NaN not even to itself.
        if f.kind == "FIELD" and f.type in (str, int, bool, date, Decimal, float, bytes, clock) and value == value:
            return {n: value}
        return None

    def read(self, m, one, count=True):
        sides = self.sides
        if count and one is not None and self.r.random() < 0.3:
            return self.look(m, one)
        filters = {}
        for _ in range(self.r.choice([0, 1, 1, 1, 2])):
            more = self.condition(m, one)
            if more and not set(more) & set(filters) and not any(
                    k.split("__")[0] in {x.split("__")[0] for x in filters} for k in more):
                filters.update(more)
        order = limit = None
        if self.r.random() < 0.4:
            order = self.r.choice([n for n, f in m.fields.items() if f.kind == "SORTED" and all(
                b in filters for b in f.by)] or [None])
            if order is not None:
                order = self.r.choice(["", "-"]) + order
                limit = self.r.choice([None, 1, 2, 5])
        self.note(f"query {m.name} {filters} order {order} limit {limit}")
        answers = [side.query(m, filters, order, limit) for side in sides]
        if isinstance(answers[1], str):
            raise Broken(f"query {filters}: {answers[1]}")
        if order is None:
            self.agree(f"query {filters}", [sorted(a) for a in answers])
        else:
            at = 1 + list(m.fields).index(order.lstrip("-"))
            self.agree("order", [[row[at] for row in a] for a in answers])
            if limit is None:
                self.agree(f"query {filters}", [sorted(a) for a in answers])
        if count:
            self.agree(f"count {filters}", [side.count(m, filters) for side in sides])

    def look(self, m, one):
        self.note(f"look at {m.name} {one['stored']}")
        keys = {k: one["stored"][k] for k in m.keys}
        answers = [side.load(m, keys) for side in self.sides]
        self.agree("load", [a[0] for a in answers])
        handles = [a[1] for a in answers]
        self.agree("key", [s.key(m, h) for s, h in zip(self.sides, handles)])
        for n in m.confidences:
            f = m.fields[n]
            self.agree(f"figures of {n}", [s.figures(m, h, n) for s, h in zip(self.sides, handles)])
            self.agree(f"hash of {n}", [s.hash(m, h, n) for s, h in zip(self.sides, handles)])
            if f.by:
                where = {b: one["stored"][b] for b in f.by}
                self.agree(f"hash of {where}", [s.hashof(m, n, where) for s in self.sides])
            else:
                pattern = self.r.choice(["*", m.name + ":a*", "*:b", "*[ab]*"])
                self.agree(f"scan {n}", [s.scan(m, n, pattern) for s in self.sides])
        for s, h in zip(self.sides, handles):
            s.forget(m, h)


def canon_order(value):
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)) - EPOCH
    return value


def run_sequences(first, count, length, sides, reference, databases, across):
    failures = 0
    for seed in range(first, first + count):
        databases.empty()
        it = Sequence(f"{'across' if across else 'same'} {seed}", length, sides, reference, databases, across)
        try:
            it.run()
        except Exception as why:  # whatever it is, the seed is wanted
            failures += 1
            import traceback
            print(f"FAIL  {'across' if across else 'same'}, --seed {seed}")
            for line in it.trail[-6:]:
                print(f"      {line}")
            print(f"      {type(why).__name__}: {why}"[:4000])
            if not isinstance(why, Broken):
                print("      " + "      ".join(traceback.format_exc().splitlines(True)[-5:]))
            if failures >= 5:
                print("      (and no more are tried)")
                return failures, seed - first + 1
        for one in it.live:
            if not across:
                for side, handle in zip(sides, one["handles"]):
                    side.forget(one["m"], handle)
    return failures, count


def run_together(driver, server, databases, rounds=150):
    """Popoto and two of ours at the same time, on the same records: no signal is lost, no index is wrong."""
    databases.empty()
    m = BY_NAME["Memory"]
    keys = [{"key": f"k{i}", "project": f"p{i % 2}"} for i in range(4)]
    for values in keys:
        m.model.create(**values)

    def play(side, seed, failures):
        try:
            r = random.Random(seed)
            for i in range(rounds):
                _, it = side.load(m, r.choice(keys))
                after = side.update(m, it, "certainty", r.random())
                if isinstance(after, str):
                    raise Broken(after)
                own = {"key": f"own {seed} {i}", "project": f"p{i % 2}"}
                status, one = side.create(m, own)
                if status == "ok" and i % 3 == 0:
                    status = side.delete(m, one)
                if status != "ok":
                    raise Broken(status)
                side.forget(m, it)
                side.forget(m, one)
        except Exception as why:
            failures.append(f"{side.name}: {type(why).__name__}: {why}")

    sides = [Popoto(), Ours(driver, server.url(0)), Ours(driver, server.url(0))]
    failures = []
    threads = [threading.Thread(target=play, args=(side, n, failures)) for n, side in enumerate(sides)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for side in sides[1:]:
        if side.stop() != 0:
            failures.append("the driver ended with an error of its own")
    counts = [sides[0].figures(m, m.model.query.get(**k), "certainty")[1] for k in keys]
    if sum(counts) != len(sides) * rounds:
        failures.append(f"{sum(counts)} signals of {len(sides) * rounds} are there")
    failures += [f"wrong index: {w}" for w in wrong_indexes(databases)]
    for failure in failures[:5]:
        print(f"FAIL  together: {failure}")
    return 1 if failures else 0


# ----- What is known to differ --------------------------------------------------------------------------

KNOWN = []


def known(run):
    KNOWN.append(run)
    return run


class Bench:
    """What a known difference is shown with; both write to database 0."""

    def __init__(self, ours, databases):
        self.ours, self.databases, self.c = ours, databases, databases.at[0]

    def fresh(self):
        self.databases.empty()

    def members(self, key):
        kind, content = (self.databases.dump(0, key) + ((),))[:2]
        names = [x[0] for x in content] if kind == "zset" else list(content)
        return sorted(x.decode() for x in names)

    def entry(self, key, member):
        raw = self.c.hget(key, member)
        return None if raw is None else msgpack.unpackb(raw)

    def wrong(self):
        return sorted(k for k, _, _ in wrong_indexes(self.databases))

    def made(self, model, /, **values):
        status, slot = self.ours.create(BY_NAME[model], values)
        check(status == "ok", f"libpopoto: create of {values}: {status}")
        return slot

    def names(self, name, filters, field, **more):
        m = BY_NAME[name]
        rows = self.ours.query(m, filters, **more)
        check(not isinstance(rows, str), f"libpopoto: query {filters}: {rows}")
        at = 1 + list(m.fields).index(field)
        return [row[at].split(":", 1)[1] for row in rows]


def check(holds, what):
    if not holds:
        raise Broken(what)


def raises(kind, run):
    try:
        run()
    except kind:
        return True
    return False


@known
def partitions_that_share_a_hash(b):
    """Several partition values stand unescaped in a companion hash's key."""
    Beliefs = BY_NAME["Beliefs"].model
    one = Beliefs.create(name="x", region="a:b", topic="c")
    two = Beliefs.create(name="y", region="a", topic="b:c")
    field = Beliefs._meta.fields["both"]
    check(field.get_data_hash_key(one, "both") == field.get_data_hash_key(two, "both"), "Popoto: they differ")
    check(b.members("$ConfidencF:Beliefs:both:data:a:b:c") == ["Beliefs:x:a{&#58;}b", "Beliefs:y:a"],
          "Popoto: both tenants in one hash")
    m = BY_NAME["Beliefs"]
    check(b.ours.hashof(m, "both", {"region": "a", "topic": "b:c"}).startswith("POPOTO_BAD_VALUE"), "ours: key")
    check(b.ours.scan(m, "both", "*", {"region": "a:b", "topic": "c"}).startswith("POPOTO_BAD_VALUE"), "ours: scan")
    check(b.names("Beliefs", {"region": "a:b"}, "name") == ["x"], "ours: such a record can be read")
    _, slot = b.ours.load(m, {"name": "x", "region": "a:b"})
    check(b.ours.delete(m, slot) == "ok", "ours: and deleted")
    b.fresh()
    check(b.ours.create(m, {"name": "x", "region": "a:b", "topic": "c"})[0].startswith("POPOTO_BAD_VALUE"),
          "ours: it is refused")
    check(b.c.dbsize() == 0, "ours: and nothing written")
    # One value alone is told from every other by itself, whatever is in it.
    slot = b.made("Memory", key="k", project="a:b")
    check(b.ours.hash(BY_NAME["Memory"], slot, "certainty") == "$ConfidencF:Memory:certainty:data:a:b", "ours: one")


@known
def a_unique_key_is_its_own_duplicate(b):
    """A record with a UNIQUE_KEY cannot be moved by another key field: it is in its own way."""
    m = BY_NAME["Memory"]
    it = m.model.create(key="k", project="a")
    it.project = "b"
    check(raises(popoto.ModelException, lambda: it.save(migrate_key=True)), "Popoto: it moves")
    b.fresh()
    slot = b.made("Memory", key="k", project="a")
    b.ours.update(m, slot, "certainty", 1.0)
    b.ours.put(m, slot, {"project": "b"})
    check(b.ours.save(m, slot) == "ok" and b.wrong() == [], "ours: it does not move")
    check(b.ours.figures(m, slot, "certainty")[1] == 1, "ours: without its figures")


@known
def a_filtered_object_forgets_its_partition(b):
    """An object from filter() knows the saved values of key fields alone: when a partition field that is
    no key changes, the old index entry stays, and the confidence starts anew."""
    m = BY_NAME["Beliefs"]
    it = m.model.create(name="x", region="r", topic="old")
    popoto.ConfidenceField.update_confidence(it, "about", signal=1.0)
    it = list(m.model.query.filter(name="x"))[0]
    it.topic = "new"
    it.save()
    check(b.entry("$ConfidencF:Beliefs:about:data:old", "Beliefs:x:r") is not None, "Popoto: the old entry went")
    check(b.entry("$ConfidencF:Beliefs:about:data:new", "Beliefs:x:r")["evidence_count"] == 0, "Popoto: it moved")
    b.fresh()
    t = BY_NAME["Trades"]
    values = dict(market="m", trade_id="A" * 26, symbol="old", lot=1, price=1.0, volume=1, amount=Decimal("1.5"),
                  moment=datetime(2020, 1, 1), day=date(2020, 1, 1))
    t.model.create(**values)
    it = list(t.model.query.filter(market="m"))[0]
    it.symbol = "new"
    it.save()
    check(b.wrong() == ["$SortF:Trades:moment:old", "$SortF:Trades:price:m:old"], "Popoto: no index is wrong")
    b.fresh()
    slot = b.made("Beliefs", name="x", region="r", topic="old")
    b.ours.update(m, slot, "about", 1.0)
    b.ours.call("get 4000 Beliefs 0 1 name " + words("x"), must=True)
    b.ours.put(m, 4000, {"topic": "new"})
    check(b.ours.save(m, 4000) == "ok" and b.wrong() == [], "ours: an index is wrong")
    check(b.entry("$ConfidencF:Beliefs:about:data:new", "Beliefs:x:r")["evidence_count"] == 1, "ours: figures lost")


def trade(**changes):
    values = dict(market="m", trade_id="A" * 26, symbol="old", lot=1, price=1.0, volume=1, amount=Decimal("1.5"),
                  moment=datetime(2020, 1, 1), day=date(2020, 1, 1))
    values.update(changes)
    return values


@known
def a_partial_save_of_a_partition(b):
    """update_fields naming a partition field stores it and leaves every index in the old partition."""
    t = BY_NAME["Trades"]
    it = t.model.create(**trade())
    it.symbol = "new"
    it.save(update_fields=["symbol"])
    check(len(b.wrong()) == 4, "Popoto: the indexes are right")
    b.fresh()
    slot = b.made("Trades", **trade())
    b.ours.put(t, slot, {"symbol": "new"})
    check(b.ours.only(t, slot, ["symbol"]) == "ok" and b.wrong() == [], "ours: an index is wrong")


@known
def a_partial_save_beside_a_changed_partition(b):
    """update_fields naming a sorted field, while its partition field was changed in memory and is not
    named: the entry goes to a partition that the stored record is not in."""
    t = BY_NAME["Trades"]
    it = t.model.create(**trade())
    it.symbol, it.price = "new", 2.0
    it.save(update_fields=["price"])
    check(b.wrong() == ["$SortF:Trades:price:m:new", "$SortF:Trades:price:m:old"], "Popoto: the index is right")
    b.fresh()
    slot = b.made("Trades", **trade())
    b.ours.put(t, slot, {"symbol": "new", "price": 2.0})
    check(b.ours.only(t, slot, ["price"]) == "ok" and b.wrong() == [], "ours: an index is wrong")


@known
def a_partial_save_with_a_changed_key(b):
    """update_fields and a changed key: the record keeps the named fields alone, and leaves the other
    fields' indexes."""
    m = BY_NAME["Episode"]
    it = m.model.create(project_id="a", episode_id="0" * 32, title="t", score=1.0)
    it.project_id, it.title = "b", "new"
    it.save(update_fields=["title"], migrate_key=True)
    check(b.c.hkeys("Episode:" + "0" * 32 + ":b") == [b"title"], "Popoto: the other fields are there")
    b.fresh()
    slot = b.made("Episode", project_id="a", episode_id="0" * 32, title="t", score=1.0)
    b.ours.put(m, slot, {"project_id": "b", "title": "new"})
    check(b.ours.only(m, slot, ["title"]) == "ok" and b.wrong() == [], "ours: an index is wrong")
    check(len(b.c.hkeys("Episode:" + "0" * 32 + ":b")) == 4, "ours: fields are gone")


@known
def a_partial_save_of_a_new_object(b):
    """update_fields on an object that never was saved: a hash without its key's fields that is in no index
    and no class set."""
    m = BY_NAME["Words"]
    m.model(word="w", note="n").save(update_fields=["note"])
    check(b.c.keys("*") == [b"Words:w"] and b.c.hkeys("Words:w") == [b"note"], "Popoto: it is all there")
    b.fresh()
    b.ours.call("new 4000 Words", must=True)
    b.ours.put(m, 4000, {"word": "w", "note": "n"})
    check(b.ours.only(m, 4000, ["note"]) == "ok" and b.wrong() == [], "ours: an index is wrong")
    check(b.names("Words", {"word": "w"}, "note") == ["n"], "ours: it is not found")


@known
def create_overwrites(b):
    """create() of a key that is taken replaces the record in silence."""
    m = BY_NAME["Words"]
    m.model.create(word="w", note="first")
    m.model.create(word="w", note="second")
    check(m.model.query.get(word="w").note == "second", "Popoto: it is refused")
    b.fresh()
    b.made("Words", word="w", note="first")
    check(b.ours.create(m, {"word": "w", "note": "second"})[0] == "exists", "ours: it is not refused")


@known
def replacing_leaves_the_old_partition(b):
    """A new object saved over a record leaves the index entries of that record's partitions."""
    t = BY_NAME["Trades"]
    t.model.create(**trade())
    t.model(**trade(symbol="new")).save()
    check(b.wrong() == ["$SortF:Trades:moment:old", "$SortF:Trades:price:m:old"], "Popoto: no index is wrong")
    b.fresh()
    b.made("Trades", **trade())
    check(b.ours.create(t, trade(symbol="new"), call="save")[0] == "ok" and b.wrong() == [], "ours: one is wrong")


@known
def moving_overwrites(b):
    """A key changed to one that is taken destroys the record there."""
    m = BY_NAME["Words"]
    m.model.create(word="a", note="first")
    it = m.model.create(word="b", note="second")
    it.word = "a"
    it.save(migrate_key=True)
    check(m.model.query.get(word="a").note == "second" and m.model.query.count() == 1, "Popoto: it is refused")
    b.fresh()
    b.made("Words", word="a", note="first")
    slot = b.made("Words", word="b", note="second")
    b.ours.put(m, slot, {"word": "a"})
    check(b.ours.save(m, slot) == "exists" and b.ours.count(m, {}) == 2, "ours: it is not refused")


@known
def saving_resurrects(b):
    """save() of an object whose record was deleted meanwhile brings it back."""
    m = BY_NAME["Words"]
    it = m.model.create(word="w")
    m.model.query.get(word="w").delete()
    it.save()
    check(m.model.query.count() == 1, "Popoto: it stays deleted")
    b.fresh()
    slot = b.made("Words", word="w")
    _, other = b.ours.load(m, {"word": "w"})
    b.ours.delete(m, other)
    check(b.ours.save(m, slot) == "not found" and b.c.dbsize() == 0, "ours: it comes back")


@known
def a_stale_object_leaves_an_entry(b):
    """Two objects of one record, both loaded in partition old; each moves it: the first one's new partition
    keeps its entry, for the second only knows the old one."""
    m = BY_NAME["Grades"]
    m.model.create(name="x", grade=Decimal("1"), points=5.0)
    one, two = m.model.query.get(name="x"), m.model.query.get(name="x")
    one.grade, two.grade = Decimal("2"), Decimal("3")
    one.save()
    two.save()
    check(b.wrong() == ["$SortF:Grades:points:2"], "Popoto: no index is wrong")
    b.fresh()
    b.made("Grades", name="x", grade=Decimal("1"), points=5.0)
    (_, one), (_, two) = b.ours.load(m, {"name": "x"}), b.ours.load(m, {"name": "x"})
    b.ours.put(m, one, {"grade": Decimal("2")})
    b.ours.put(m, two, {"grade": Decimal("3")})
    check(b.ours.save(m, one) == "ok" and b.ours.save(m, two) == "ok" and b.wrong() == [], "ours: one is wrong")


@known
def equal_values_of_different_texts(b):
    """1.0 and 1.00 are equal and name two partitions; a change from one to the other moves nothing."""
    m = BY_NAME["Grades"]
    it = m.model.create(name="x", grade=Decimal("1.0"), points=5.0)
    it.grade = Decimal("1.00")
    it.save()
    check(b.wrong() == ["$SortF:Grades:points:1.0"], "Popoto: no index is wrong")
    b.fresh()
    slot = b.made("Grades", name="x", grade=Decimal("1.0"), points=5.0)
    b.ours.put(m, slot, {"grade": Decimal("1.00")})
    check(b.ours.save(m, slot) == "ok" and b.wrong() == [], "ours: one is wrong")


@known
def unique_values_in_a_race(b):
    """Uniqueness is looked up before the write, not with it: who looks before the other writes gets it, too."""
    m = BY_NAME["Memory"]
    pipes = [b.c.pipeline(), b.c.pipeline()]
    for pipe, project in zip(pipes, "ab"):
        m.model(key="k", project=project).save(pipeline=pipe)
    for pipe in pipes:
        pipe.execute()
    check(b.members("$UniqueKeyF:Memory:key:k") == ["Memory:k:a", "Memory:k:b"], "Popoto: one is refused")
    b.fresh()
    b.made("Memory", key="k", project="a")
    check(b.ours.create(m, {"key": "k", "project": "b"})[0] == "duplicate", "ours: it is not refused")


@known
def an_expired_record_keeps_its_unique_value(b):
    """The unique value of a record that expired stays taken."""
    m = BY_NAME["Memory"]
    m.model.create(key="k", project="a")
    b.c.delete("Memory:k:a")  # as if its time had come
    check(raises(popoto.ModelException, lambda: m.model.create(key="k", project="b")), "Popoto: it is free")
    b.fresh()
    b.made("Memory", key="k", project="a")
    b.c.delete("Memory:k:a")
    b.made("Memory", key="k", project="b")
    check(b.members("$UniqueKeyF:Memory:key:k") == ["Memory:k:b"], "ours: the old one is still there")


@known
def an_expired_record_leaves_its_figures(b):
    """A record created anew under the key of one that expired has that one's confidence."""
    m = BY_NAME["Beliefs"]
    values = {"name": "x", "region": "r", "topic": "t"}
    popoto.ConfidenceField.update_confidence(m.model.create(**values), "alone", signal=1.0)
    b.c.delete("Beliefs:x:r")
    it = m.model.create(**values)
    check(popoto.ConfidenceField.get_confidence_data(it, "alone")["evidence_count"] == 1, "Popoto: it starts anew")
    b.fresh()
    b.ours.update(m, b.made("Beliefs", **values), "alone", 1.0)
    b.c.delete("Beliefs:x:r")
    check(b.ours.figures(m, b.made("Beliefs", **values), "alone")[1] == 0, "ours: it has the old figures")


@known
def migration_drops_entries(b):
    """migrate_to_partitioned deletes the old hash with the entries it could not place, and overwrites what
    was gathered in the partition since."""
    m = BY_NAME["Memory"]

    def prepare():
        b.fresh()
        it = m.model.create(key="k", project="a")
        popoto.ConfidenceField.update_confidence(it, "certainty", signal=1.0)
        figures = {"confidence": 0.25, "evidence_count": 1, "corroborations": 0, "contradictions": 1}
        for member in ("Memory:k:a", "Memory:gone:a"):
            b.c.hset("$ConfidencF:Memory:certainty:data", member, msgpack.packb(figures))

    prepare()
    popoto.ConfidenceField.migrate_to_partitioned(m.model, "certainty")
    check(not b.c.exists("$ConfidencF:Memory:certainty:data"), "Popoto: the entry is still there")
    check(b.entry("$ConfidencF:Memory:certainty:data:a", "Memory:k:a")["corroborations"] == 0, "Popoto: it is merged")
    prepare()
    _, answer = b.ours.call("migrate Memory certainty 0", must=True)
    check(answer == ["2", "1", "1"], f"ours: {answer}")
    check(b.members("$ConfidencF:Memory:certainty:data") == ["Memory:gone:a"], "ours: the entry is gone")
    entry = b.entry("$ConfidencF:Memory:certainty:data:a", "Memory:k:a")
    check(entry["evidence_count"] == 2 and entry["corroborations"] == 1 and entry["contradictions"] == 1,
          f"ours: not merged: {entry}")


@known
def an_update_beside_a_changed_partition(b):
    """update_confidence of an object whose partition field was changed and not saved: a second entry, in a
    partition that the record is not in."""
    m = BY_NAME["Beliefs"]
    it = m.model.create(name="x", region="r", topic="old")
    it.topic = "new"
    popoto.ConfidenceField.update_confidence(it, "about", signal=1.0)
    check(b.wrong() == ["$ConfidencF:Beliefs:about:data:new"], "Popoto: no index is wrong")
    b.fresh()
    slot = b.made("Beliefs", name="x", region="r", topic="old")
    b.ours.put(m, slot, {"topic": "new"})
    check(b.ours.update(m, slot, "about", 1.0)[1] == 1 and b.wrong() == [], "ours: one is wrong")


@known
def a_scan_does_not_know_partitions(b):
    """get_confidence_filtered reads the unpartitioned hash, which of a partitioned field is empty."""
    m = BY_NAME["Memory"]
    m.model.create(key="k", project="a")
    check(popoto.ConfidenceField.get_confidence_filtered(m.model, "certainty") == {}, "Popoto: it finds something")
    check(list(b.ours.scan(m, "certainty", "*", {"project": "a"})) == ["Memory:k:a"], "ours: it finds nothing")


@known
def update_rounds_the_attribute(b):
    """update_confidence leaves the new confidence rounded to 14 digits in the object, and the next save
    stores that in the record; the entry has all digits. libpopoto reports all of them, in `after`."""
    m = BY_NAME["Memory"]
    it = m.model.create(key="k", project="a")
    after = popoto.ConfidenceField.update_confidence(it, "certainty", signal=0.1)
    after = popoto.ConfidenceField.update_confidence(it, "certainty", signal=0.1)
    exact = b.entry("$ConfidencF:Memory:certainty:data:a", "Memory:k:a")["confidence"]
    check(it.certainty == after == float("%.14g" % exact) != exact, "Popoto: it is exact")
    _, slot = b.ours.load(m, {"key": "k", "project": "a"})
    check(b.ours.figures(m, slot, "certainty")[0] == canon(exact), "ours: it is not")


@known
def sorted_decimals_lose_digits(b):
    """A SORTED decimal is stored by way of a float."""
    t = BY_NAME["Trades"]
    amount = Decimal("1234567890.12345678901234567890")
    it = t.model.create(**trade(amount=amount))
    check(it.amount != amount and "1234567890.1234567" in str(it.amount), "Popoto: it is exact")
    b.fresh()
    b.made("Trades", **trade(amount=amount))
    check(t.model.query.get(market="m", trade_id="A" * 26).amount == amount, "ours: it is not")
    check(b.wrong() == [], "ours: an index is wrong")


@known
def not_null_finds_one_letter_keys(b):
    """__isnull=False looks for the pattern [^None]: one character that is none of these four."""
    m = BY_NAME["Maybe"]
    for name, group in (("one", "x"), ("two", "long"), ("three", "N"), ("four", None)):
        m.model.create(name=name, group=group)
    found = sorted(it.name for it in m.model.query.filter(group__isnull=False))
    check(found == ["one"], f"Popoto: {found}")
    check(sorted(b.names("Maybe", {"group__isnull": False}, "name")) == ["one", "three", "two"], "ours")


@known
def contains_finds_nothing(b):
    """__contains of a key field is offered and finds nothing, ever."""
    m = BY_NAME["Words"]
    m.model.create(word="abc")
    check(list(m.model.query.filter(word__contains="b")) == [], "Popoto: it finds something")
    check(b.names("Words", {"word__contains": "b"}, "word") == ["abc"], "ours: it finds nothing")


@known
def text_lookups_are_patterns(b):
    """__startswith and __endswith of a key field do not escape for the server's patterns, and see the
    escapes of keys: the } of {&#58;}, which stands for a colon."""
    m = BY_NAME["Words"]
    for word in ("a?", "a/b", "[x", "\\y"):
        m.model.create(word=word)
    found = {start: sorted(it.word for it in m.model.query.filter(word__startswith=start))
             for start in ("a?", "[x", "\\y")}
    check(found == {"a?": ["a/b", "a?"], "[x": [], "\\y": []}, f"Popoto: {found}")
    for start in found:
        check(b.names("Words", {"word__startswith": start}, "word") == [start], f"ours: {start}")
    m.model.create(word="a:")
    check([it.word for it in m.model.query.filter(word__endswith="}")] == ["a:"], "Popoto: it is not found")
    check(b.names("Words", {"word__endswith": "}"}, "word") == [], "ours: it is found")


@known
def a_generated_key_is_a_pattern(b):
    """A filter on an AUTO_KEY is a pattern: "*" finds every record, other tenants' too."""
    m = BY_NAME["Episode"]
    for project in "ab":
        m.model.create(project_id=project, title="t", score=1.0)
    check(m.model.query.count(episode_id="*") == 2, "Popoto: it finds none")
    check(b.ours.count(m, {"episode_id": "*"}) == 0, "ours: it finds some")


@known
def order_by_a_key_is_that_of_its_text(b):
    """With a limit, order_by a key field cuts in the order of the keys' texts: 10 comes before 9."""
    m = BY_NAME["Lanes"]
    for lane in (9, 10):
        m.model.create(lane=lane)
    check([it.lane for it in m.model.query.filter(order_by="lane", limit=1)] == [10], "Popoto: it is 9")
    check(b.names("Lanes", {}, "lane", order="lane", limit=1) == ["9"], "ours: it is 10")


@known
def count_has_the_dead(b):
    """count() has the records in it that expired and were not cleaned up yet."""
    m = BY_NAME["Beliefs"]
    for name in "xy":
        m.model.create(name=name, region="r", topic="t")
    b.c.delete("Beliefs:x:r")
    check(m.model.query.count(region="r") == 2 and m.model.query.count() == 2, "Popoto: it is left out")
    check(b.ours.count(m, {"region": "r"}) == 1, "ours: it is counted")


@known
def a_range_takes_another_fields_bounds(b):
    """A sorted field whose name is within another one's takes that one's bounds; a partition's value, too."""
    m = BY_NAME["Prices"]
    m.model.create(name="x", price=2.0, price_before=9.0)
    check(list(m.model.query.filter(price__gte=1.0, price_before__gte=5.0)) == [], "Popoto: it is found")
    check(b.names("Prices", {"price__gte": 1.0, "price_before__gte": 5.0}, "name") == ["x"], "ours: it is not")
    b.fresh()
    v = BY_NAME["Visits"]
    v.model.create(name="x", state="on", at=datetime(2020, 1, 1))
    check(raises(AttributeError, lambda: list(v.model.query.filter(state="on", at__gte=datetime(2019, 1, 1)))),
          "Popoto: it works")
    check(b.names("Visits", {"state": "on", "at__gte": datetime(2019, 1, 1)}, "name") == ["x"], "ours: it does not")


@known
def null_is_the_text_none(b):
    """A key field that is null and one that is "None" are one key: the later record replaces the other."""
    m = BY_NAME["Maybe"]
    m.model.create(name="x", group=None)
    m.model.create(name="x", group="None")
    check(m.model.query.count() == 1, "Popoto: they are two")
    b.fresh()
    b.made("Maybe", name="x", group=None)
    b.made("Maybe", name="y", group="g")
    for filters in ({"group": None}, {"group__isnull": True}, {"group": None, "name": "x"}):
        check(b.names("Maybe", filters, "name", scan=0) == ["x"], "ours: no index has the null")
        check(b.ours.count(m, filters, scan=0) == 1, "ours: it is not counted")
    check(b.ours.create(m, {"name": "x", "group": "None"})[0].startswith("POPOTO_BAD_VALUE"), "ours: it is taken")


@known
def early_years_lose_their_zeros(b):
    """Years before 1000 are written without their zeros: a day of such a year is read as another one, and
    the keys of moments differ."""
    m = BY_NAME["Moments"]
    m.model.create(moment=datetime(999, 1, 2), day=date(999, 1, 2))
    raw = msgpack.unpackb(b.c.hget(b.c.keys("Moments:*")[0], "day"))
    check(raw["as_encodable"] == "9990102", f"Popoto: {raw}")
    check(b"Moments:999/-01" in b.c.keys("Moments:*")[0], "Popoto: its key")
    again = list(m.model.query.all())[0]
    check(again.day == date(9990, 10, 2), f"Popoto: it reads {again.day}")
    b.fresh()
    b.made("Moments", moment=datetime(999, 1, 2), day=date(999, 1, 2))
    check(b"Moments:0999/-01" in b.c.keys("Moments:*")[0], "ours: its key")
    check(list(m.model.query.all())[0].day == date(999, 1, 2), "ours: Popoto cannot read it")


@known
def a_nan_writes_half_a_record(b):
    """A SORTED field that is not a number: the record is stored, its index is not, and save() raises."""
    m = BY_NAME["Prices"]
    check(raises(redis.ResponseError, lambda: m.model.create(name="x", price=float("nan"), price_before=1.0)),
          "Popoto: it raises nothing")
    check(b.c.exists("Prices:x") == 1 and not b.c.exists("$SortF:Prices:price"), "Popoto: nothing is there")
    b.fresh()
    status, _ = b.ours.create(m, {"name": "x", "price": float("nan"), "price_before": 1.0})
    check(status.startswith("POPOTO_BAD_VALUE") and b.c.dbsize() == 0, f"ours: {status}")


@known
def a_partial_save_checks_nothing(b):
    """update_fields stores what the field does not allow: a text in a number's field, null where null=False."""
    m = BY_NAME["Values"]
    it = m.model.create(code=1, must=1)
    it.must = None
    it.save(update_fields=["must"])
    check(m.model.query.get(code=1).must is None, "Popoto: it is refused")
    it.number = "seven"
    it.save(update_fields=["number"])
    check(msgpack.unpackb(b.c.hget("Values:1", "number")) == "seven", "Popoto: it is refused")
    check(b.ours.load(m, {"code": 1})[0].startswith("POPOTO_CORRUPT"), "ours: it is read as a number")
    b.fresh()
    slot = b.made("Values", code=1, must=1)
    b.ours.put(m, slot, {"must": None})
    check(b.ours.only(m, slot, ["must"]).startswith("POPOTO_BAD_VALUE"), "ours: it is stored")


@known
def big_integers(b):
    """No fault: Popoto's integers go up to 2^64 - 1, those of a C program to 2^63 - 1; and a sorted index
    keeps numbers from 2^53 on apart no longer, so libpopoto refuses them there."""
    m = BY_NAME["Values"]
    m.model.create(code=1, must=2**63)
    check(b.ours.load(m, {"code": 1})[0].startswith("POPOTO_CORRUPT"), "ours: it is read")
    b.fresh()
    t = BY_NAME["Trades"]
    for i in range(2):
        t.model.create(**trade(trade_id=f"{i:026}", volume=2**53 + i))
    check(t.model.query.count(volume=2**53) == 2, "Popoto: they are two values")
    b.fresh()
    check(b.ours.create(t, trade(volume=2**53))[0].startswith("POPOTO_BAD_VALUE"), "ours: it is stored")


@known
def a_bool_in_a_number_field(b):
    """No fault of the data: Python's True is an int, and is stored as a bool in an int's field; to libpopoto
    such a record does not fit its model."""
    m = BY_NAME["Values"]
    m.model.create(code=1, must=True)
    check(b.c.hget("Values:1", "must") == b"\xc3", "Popoto: it is a number")
    check(b.ours.load(m, {"code": 1})[0].startswith("POPOTO_CORRUPT"), "ours: it is read")


@known
def a_time_of_day_with_an_offset(b):
    """No fault of the data: Python's times of day can have an offset, which popoto_clock has no place for."""
    m = BY_NAME["Values"]
    m.model.create(code=1, must=1, hour=clock(1, 2, 3, tzinfo=UTC))
    check(m.model.query.get(code=1).hour.tzinfo is not None, "Popoto: it has none")
    check(b.ours.load(m, {"code": 1})[0].startswith("POPOTO_CORRUPT"), "ours: it is read")


@known
def none_beside_a_default(b):
    """No fault: an explicit None is stored as null by Popoto; to libpopoto a null in a new object means that
    the default is wanted. Saving it again stores the null."""
    m = BY_NAME["Values"]
    m.model.create(code=1, must=1, level=None)
    check(m.model.query.get(code=1).level is None, "Popoto: it is the default")
    b.fresh()
    slot = b.made("Values", code=1, must=1, level=None)
    check(b.names("Values", {"code": 1}, "level") == ["7"], "ours: it is null")
    b.ours.put(m, slot, {"level": None})
    check(b.ours.save(m, slot) == "ok", "ours: it cannot be null")
    check(m.model.query.get(code=1).level is None, "ours: it stays the default")


def run_known(ours, databases):
    bench, failures = Bench(ours, databases), 0
    for run in KNOWN:
        databases.empty()
        try:
            run(bench)
        except Exception as why:
            failures += 1
            print(f"FAIL  known, {run.__name__}: {type(why).__name__}: {why}")
    return len(KNOWN) - failures, failures


def main():
    global popoto, msgpack, redis
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("driver")
    arguments.add_argument("--sequences", type=int, default=300)
    arguments.add_argument("--across", type=int, help="as many sequences across (else as many as --sequences)")
    arguments.add_argument("--seed", type=int, default=1, help="of the first sequence")
    arguments.add_argument("--length", type=int, default=30)
    arguments.add_argument("--only", choices=["same", "across", "known"])
    options = arguments.parse_args()
    server = Server()
    passed = failed = 0
    try:
        os.environ["REDIS_URL"] = server.url(0)
        import logging
        import msgpack as m_, popoto as p_, redis as r_
        popoto, msgpack, redis = p_, m_, r_
        popoto.ConfidenceField  # what an older Popoto lacks shows here
        logging.disable(logging.CRITICAL)
        for m in MODELS + MORE_MODELS:
            m.python()
        databases = Databases(server)
        sides = [Popoto(), Ours(options.driver, server.url(1))]
        here = Ours(options.driver, server.url(0))
        start = time.monotonic()
        if options.only in (None, "known"):
            ok, bad = run_known(here, databases)
            passed, failed = passed + ok, failed + bad
            print(f"known differences: {ok} of {ok + bad} as described ({time.monotonic() - start:.1f} s)")
        for across, name in ((False, "same"), (True, "across")):
            if options.only not in (None, name):
                continue
            start = time.monotonic()
            count = options.across if across and options.across is not None else options.sequences
            bad, tried = run_sequences(options.seed, count, options.length,
                                       [sides[0], here] if across else sides, sides[1] if across else None,
                                       databases, across)
            passed, failed = passed + tried - bad, failed + bad
            print(f"{name}: {tried - bad} of {tried} sequences agree ({time.monotonic() - start:.1f} s)")
        if options.only is None:
            start = time.monotonic()
            bad = run_together(options.driver, server, databases)
            passed, failed = passed + 1 - bad, failed + bad
            print(f"together: {'they do not agree' if bad else 'ok'} ({time.monotonic() - start:.1f} s)")
        for it in (sides[1], here):
            if it.stop() != 0:
                failed += 1
                print("FAIL  the driver ended with an error of its own")
    finally:
        server.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
