"""behaviour.py under the real Popoto and under this package: what differs is named here, and nowhere else.

The real one lives in the environment that POPOTO_REAL_PYTHON names; without it, all but the tests of the
table are left out.
"""

import json
import os
import re
import subprocess
import sys
import unittest

from support import FOLDER, ROOT, Server

REAL = os.environ.get("POPOTO_REAL_PYTHON")
TABLE = os.path.join(ROOT, "docs", "popoto-compatibility.md")

# What is known to differ, by scenario: why. Each must differ (a difference that went away is to be
# deleted), and be told of by the same name in docs/popoto-compatibility.md.
DIFFERENT = {
    "fields_of_a_parent": "Popoto's models do not inherit fields",
    "saving_what_another_deleted": "Popoto stores it anew",
    "moving_to_a_key_that_is_taken": "Popoto overwrites the other record",
    "ordering_by_a_number_in_the_key": "with a limit, Popoto orders the texts",
    "limits_of_nothing": "Popoto takes 0 for no limit",
    "values_of_no_field": "Popoto gives empty dictionaries",
    "a_bool_in_a_number_field": "Popoto stores the bool",
    "a_time_to_live_of_ones_own": "times to live are the model's, and others refused",
    "an_init_of_ones_own": "Popoto's get() runs it, and its filter() does not",
    "enumerations_as_keys": "Popoto makes a key of the member's name",
    "filtering_by_what_keys_contain": "Popoto finds nothing",
    "keys_that_are_not_null": "Popoto finds those of one letter alone",
    "lookups_that_no_index_answers": "Popoto refuses them",
    "ordering_by_a_field_that_may_be_null": "Popoto orders null as the type's zero",
    "what_an_update_returns": "Popoto returns 14 digits of the 17 that it stores",
    "confidence_by_pattern_within_partitions": "Popoto looks into the unpartitioned hash",
    "another_database_by_url": "Popoto knows no redis_url=",
    "a_value_that_cannot_be_read": "Popoto gives the default in its place",
    "what_save_returns": "Popoto counts the fields that are new in the stored record",
    "big_integers": "Popoto stores one bit more",
    "dates_within_a_dict": "Popoto refuses them",
    "defaults_that_are_lists": "Popoto's objects share them",
    "a_list_lookup_of_a_text": "Popoto takes its letters",
    "called_defaults_of_stored_records": "Popoto calls the default for a record without the field",
    "a_sorted_field_of_text": "Popoto refuses its values, when they are saved",
    "a_limit_of_a_text": "Popoto raises a TypeError of Python's",
    "a_misspelled_argument_of_save": "Popoto takes any",
    "the_querys_own_exception": "Popoto has two classes of this name",
}

# Differences with dialect="popoto" alone, or with the default dialect alone.
DIFFERENT_AS_POPOTO = {
    "the_text_none_in_a_key": "Popoto writes null so",
}
DIFFERENT_AS_DOCUMENTED = {
    "filtering_a_key_by_none": "no key is null",
    "keys_that_may_be_null": "the documented dialect has no key for null",
    "creating_without_a_key": "the documented dialect has no key for null",
}


def run(python, url, *, keys, dialect=None):
    """The scenarios' results by name, and their rows."""
    environment = {**os.environ, "REDIS_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("POPOTO_TEST_KEYS", None)
    environment.pop("POPOTO_DIALECT", None)
    if keys:
        environment["POPOTO_TEST_KEYS"] = "1"
    if dialect:
        environment["POPOTO_DIALECT"] = dialect
    done = subprocess.run([python, os.path.join(FOLDER, "behaviour.py")], env=environment, capture_output=True, text=True,
                          timeout=120)
    if done.returncode:
        raise AssertionError(f"behaviour.py under {python} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["result"] for line in lines}, {line["name"]: line["rows"] for line in lines}


def same(real, ours):
    """Equal, but that an exception may be caught by more names than Popoto's."""
    if isinstance(real, dict) and isinstance(ours, dict):
        if set(real) == set(ours) == {"raises"}:
            return real["raises"][0] in ours["raises"]
        return list(real) == list(ours) and all(same(real[k], ours[k]) for k in real)
    if isinstance(real, list) and isinstance(ours, list):
        return len(real) == len(ours) and all(map(same, real, ours))
    return type(real) is type(ours) and real == ours


def table():
    """The rows of the table of names: name, "there" and so on."""
    with open(TABLE, encoding="utf-8") as file:
        text = file.read()
    text = text[text.index("## The Python package"):]
    found = {}
    for line in re.findall(r"^\| (`.*?) \| (there|different|absent) \|", text, re.M):
        for name in re.findall(r"`([^`]+)`", line[0]):
            assert name not in found, f"{name} is in the table twice"
            found[name] = line[1]
    return found, text


class Names(unittest.TestCase):
    """The table is complete."""

    def test_every_public_name_of_popoto_is_in_the_table(self):
        if not REAL:
            self.skipTest("the real Popoto is not here")
        program = """
import inspect, json, popoto, popoto.redis_db as r, popoto.models.query as q
def public(c, base=()):
    return [n for n in dir(c) if not n.startswith("_") and not any(hasattr(b, n) for b in base) and callable(getattr(c, n))
            or isinstance(inspect.getattr_static(c, n), property) and not n.startswith("_")]
names = list(popoto.__all__)
names += ["Model." + n for n in public(popoto.Model)] + ["query." + n for n in public(q.Query)]
names += ["QueryBuilder." + n for n in public(q.QueryBuilder)]
names += ["ConfidenceField." + n for n in public(popoto.ConfidenceField) if n in vars(popoto.ConfidenceField)]
names += ["SortedField." + n for n in public(popoto.SortedField)] + ["Field." + n for n in public(popoto.Field)]
names += ["redis_db." + n for n, v in vars(r).items() if not n.startswith("_") and getattr(v, "__module__", r.__name__) == r.__name__
          and callable(v)]
print(json.dumps(names))
"""
        names = json.loads(subprocess.run([REAL, "-c", program], capture_output=True, text=True, check=True, timeout=60,
                                          env={**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0"}).stdout)
        known, _ = table()
        # What every kind of field inherits, or has of its own of what Field has.
        inherited = {n.split(".")[1] for n in names if n.startswith("Field.")} | {"sort_by", "type"}
        # Facts of a declaration, and helpers of the hooks.
        inside = {"format_value_pre_save", "get_filter_query_params", "type"}
        missing = []
        for name in names:
            owner, _, method = name.rpartition(".")
            if owner.endswith("Field") and (method in inside or owner != "Field" and method in inherited):
                continue
            if name not in known:
                missing.append(name)
        self.assertEqual(missing, [])

    def test_every_row_that_is_not_absent_has_a_scenario_and_the_reverse(self):
        with open(os.path.join(FOLDER, "behaviour.py"), encoding="utf-8") as file:
            text = file.read()
        covered = set()
        for arguments in re.findall(r"^@scenario\((.*?)\)\ndef ", text, re.M | re.S):
            covered |= set(re.findall(r'"([^"]+)"', arguments))
        known, _ = table()
        there = {name for name, word in known.items() if word != "absent"} - {"Model.query"}
        self.assertEqual(sorted(there - covered), [], "without a scenario")
        self.assertEqual(sorted(covered - there), [], "not in the table")

    def test_every_difference_is_documented_by_name(self):
        _, text = table()
        text = text[text.index("### What differs"):]
        documented = set(re.findall(r"^\| `([a-z_0-9]+)` \|", text, re.M))
        self.assertEqual(documented, {*DIFFERENT, *DIFFERENT_AS_POPOTO, *DIFFERENT_AS_DOCUMENTED})

    def test_what_is_absent_is_not_there_and_the_rest_is(self):
        import popoto

        known, _ = table()
        for name, word in known.items():
            if re.fullmatch(r"\w+", name):
                self.assertEqual(hasattr(popoto, name), word != "absent", name)


@unittest.skipUnless(REAL, "the real Popoto is not here (POPOTO_REAL_PYTHON)")
class Behaviour(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def compare(self, known, keys, dialect):
        real, _ = run(REAL, self.server.url(2), keys=keys)
        ours, _ = run(sys.executable, self.server.url(4), keys=keys, dialect=dialect)
        self.assertEqual(list(real), list(ours))
        for name in real:
            with self.subTest(name):
                self.assertFalse(isinstance(real[name], dict) and "failed" in real[name], real[name])
                if name not in known:
                    self.assertFalse(isinstance(ours[name], dict) and "failed" in ours[name], ours[name])
                if name in known:
                    self.assertFalse(same(real[name], ours[name]),
                                     f"does not differ any more: {known[name]}; {json.dumps(ours[name])}")
                else:
                    self.assertTrue(same(real[name], ours[name]),
                                    f"\n  Popoto: {json.dumps(real[name])}\n  ours:   {json.dumps(ours[name])}")

    def test_in_the_documented_dialect(self):
        self.compare({**DIFFERENT, **DIFFERENT_AS_DOCUMENTED}, keys=False, dialect=None)

    def test_as_popoto(self):
        self.compare({**DIFFERENT, **DIFFERENT_AS_POPOTO}, keys=True, dialect="popoto")


if __name__ == "__main__":
    unittest.main()
