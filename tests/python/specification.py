"""Plays the specification: every Python block of specification.txt, in order, unchanged, in one namespace.

    REDIS_URL=redis://127.0.0.1:PORT/DB python specification.py [--other redis://127.0.0.1:PORT/0] [--show]

An empty database is chosen by REDIS_URL, which may be `embedded:`. What the page's comments claim is
asserted; what a block needs and the page does not make, such as the records that a migration is to find, is
made before it (`before`), and what a block has done is looked at after it (`after`).

Only the last block's host, `tenant-a-host`, is nobody's: --other names the server that stands in for it, and
that one address is replaced in the block's text. Without --other the block is left out.

With --show, the blocks and what they print are shown.
"""

import argparse
import ast
import contextlib
import io
import os
import re
import textwrap

from support import FOLDER, Client

# The blocks that the page has, by their first lines: one that is missed, or found in the prose, is noticed.
FIRST_LINES = [
    "from popoto import Model, KeyField, AutoKeyField, Field, SortedField",
    "# Project A's episodes",
    "class Episode(Model):",
    "# Uses the partition-scoped sorted set — no cross-project data",
    "from contextvars import ContextVar",
    "# In middleware or request setup",
    "from popoto import Model, KeyField, UniqueKeyField, StringField",
    'memory = Memory.create(project="atlas", key="fact1", content="The sky is blue")',
    "# Preview what would happen",
    'field = Memory._options.fields["certainty"]',
    'memory_a = Memory.query.get(project="atlas", key="fact1")',
    "# Match members by Redis key pattern",
    "from popoto.redis_db import set_REDIS_DB_settings",
]


def is_program(lines):
    """Do these lines parse, as more than a word that happens to be a name?"""
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError):
        return False
    return not any(isinstance(s, ast.Expr) and isinstance(s.value, (ast.Name, ast.Constant)) for s in tree.body)


def blocks():
    """The page's Python, each block as long as it parses. The page has no fences, so the parser decides."""
    with open(os.path.join(FOLDER, "specification.txt"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    found, start = [], 0
    while start < len(lines):
        end = 0
        if lines[start].strip():
            for upto in range(start + 1, min(start + 60, len(lines)) + 1):
                if is_program(lines[start:upto]):
                    end = upto
        if end:
            found.append("\n".join(lines[start:end]).rstrip("\n"))
            start = end
        else:
            start += 1
    assert [b.splitlines()[0] for b in found] == FIRST_LINES, [b.splitlines()[0] for b in found]
    return found


def claims(block):
    """What the comments say is printed: `# => ...`, and a report on a line of its own after print(report)."""
    said = []
    for line in block.splitlines():
        if match := re.search(r"# => (.*)$", line):
            said.append(match.group(1).strip('"'))
        elif match := re.match(r"# (\{'total'.*\})$", line):
            said.append(match.group(1))
    return said


class Play:
    def __init__(self, client, other_url):
        self.client, self.other_url = client, other_url
        self.names = {"__name__": "specification"}

    def keys(self, pattern):
        """The keys that match, where there is a server to ask beside the library."""
        return None if self.client is None else sorted(k.decode() for k in self.client("KEYS", pattern))

    def no_keys(self, pattern):
        assert self.keys(pattern) in (None, []), self.keys(pattern)

    def unpartitioned(self, name, **fields):
        """A model of the same name, as it was before partition_by was added."""
        import popoto
        return type(popoto.Model)(name, (popoto.Model,), {"__module__": "specification", **fields})

    def old_memory(self):
        import popoto
        return self.unpartitioned("Memory", project=popoto.KeyField(type=str), key=popoto.UniqueKeyField(),
                                  content=popoto.StringField(), certainty=popoto.ConfidenceField(initial_confidence=0.5))

    # What a block needs, and what it has done, by its number from 1.

    def after_2(self):
        titles = sorted(e.title for e in self.names["results"])
        assert titles == ["First meeting", "Follow-up"], titles
        if self.client is not None:
            assert len(self.keys("Episode:project-a:*")) == 2 and len(self.keys("Episode:project-b:*")) == 1
            assert self.client("SCARD", "$KeyF:Episode:project_id:project-a") == 2
            assert self.client("SCARD", "$Class:Episode") == 3

    def before_4(self):
        # The page's third block is a new model: what the second wrote is in none of its partitions.
        episode = self.names["Episode"]
        episode.create(project_id="project-a", title="Planning", score=0.8)
        episode.create(project_id="project-a", title="Chat", score=0.6)
        episode.create(project_id="project-b", title="Kickoff", score=0.9)

    def after_4(self):
        assert [e.title for e in self.names["top_episodes"]] == ["Planning"]
        if self.client is not None:
            assert self.client("ZCARD", "$SortedF:Episode:score:project-a") == 2
            assert self.client("ZCARD", "$SortedF:Episode:score:project-b") == 1

    def after_6(self):
        names = self.names
        assert names["current_project_id"]() == "project-a"
        new = names["new_episode"]
        assert (new.project_id, new.title, new.score) == ("project-a", "New episode", 0.75), new
        assert {e.title for e in names["episodes"]} == {"Planning", "Chat", "New episode"}  # asked now, after create
        assert len(names["Episode"].query.filter(project_id="project-b", score__gte=0.0)) == 1
        # Each context has its own: a copy that chooses another project does not change this one.
        import contextvars
        contextvars.copy_context().run(names["set_current_project"], "project-b")
        assert names["current_project_id"]() == "project-a"

    def after_8(self):
        assert abs(self.names["confidence"] - 0.7) < 1e-12, self.names["confidence"]
        if self.client is not None:
            assert self.keys("$ConfidencF:*") == ["$ConfidencF:Memory:certainty:data:atlas"], self.keys("$ConfidencF:*")
            assert self.client("HLEN", "$ConfidencF:Memory:certainty:data:atlas") == 1

    def before_9(self):
        old = self.old_memory()
        confidence = self.names["ConfidenceField"]
        made = old.bulk_create([old(project="atlas" if n < 800 else "hermes", key=f"old{n}", content="old")
                                for n in range(1200)])
        for memory in made:
            confidence.update_confidence(memory, "certainty", signal=1.0)
        if self.client is not None:
            assert self.client("HLEN", "$ConfidencF:Memory:certainty:data") == 1200

    def after_9(self):
        report = self.names["report"]
        assert report == {"total": 1200, "migrated": 1200, "errors": [], "partitions": {"atlas": 800, "hermes": 400}}, report
        confidence, memory = self.names["ConfidenceField"], self.names["Memory"]
        for key, project in (("old0", "atlas"), ("old1199", "hermes")):
            figures = confidence.get_confidence_data(memory.query.get(project=project, key=key), "certainty")
            assert figures == {"confidence": 0.75, "evidence_count": 1, "corroborations": 1, "contradictions": 0}, figures
        if self.client is not None:
            assert self.client("EXISTS", "$ConfidencF:Memory:certainty:data") == 0
            assert self.client("HLEN", "$ConfidencF:Memory:certainty:data:atlas") == 801
            assert self.client("HLEN", "$ConfidencF:Memory:certainty:data:hermes") == 400

    def before_11(self):
        self.names["Memory"].create(project="hermes", key="fact2", content="The sea is deep")

    def after_11(self):
        assert self.names["key_a"] == self.names["atlas_key"] and self.names["key_b"] == self.names["hermes_key"]

    def after_12(self):
        # The Memory that the page has by now is partitioned; the pattern says by what.
        results = self.names["results"]
        assert len(results) == 801 and all(key.startswith("Memory:atlas:") for key in results), len(results)
        for figures in results.values():
            assert sorted(figures) == ["confidence", "contradictions", "corroborations", "evidence_count"], figures
        # "If partitioning is not appropriate for your use case": the same with a Memory without it.
        self.partitioned = self.names["Memory"]
        self.before_12_unpartitioned()
        exec(blocks()[11], self.names)
        self.after_12_unpartitioned()

    def before_12_unpartitioned(self):
        old = self.names["Memory"] = self.old_memory()
        for key, project in (("fact1", "atlas"), ("old0", "atlas"), ("fact2", "hermes")):
            self.names["ConfidenceField"].update_confidence(old.query.get(project=project, key=key), "certainty", signal=1.0)

    def after_12_unpartitioned(self):
        results = self.names["results"]
        assert sorted(results) == ["Memory:atlas:fact1", "Memory:atlas:old0"], results
        self.names["Memory"] = self.partitioned

    def after_13(self):
        episode = self.names["Episode"]
        with Client(int(self.other_url.split(":")[2].split("/")[0])) as other:
            assert episode.query.count() == 0 and other("DBSIZE") == 0
            episode.create(project_id="project-a", title="Elsewhere", score=0.5)
            assert other("SCARD", "$Class:Episode") == 1
        if self.client is not None:
            assert self.client("SCARD", "$Class:Episode") == 7

    def play(self, show):
        count = 0
        for number, block in enumerate(blocks(), 1):
            if "tenant-a-host" in block:
                if self.other_url is None:
                    continue
                # The one address that is nobody's; all else is as on the page.
                assert block.count("redis://tenant-a-host:6379/0") == 1
                block = block.replace("redis://tenant-a-host:6379/0", self.other_url)
            getattr(self, f"before_{number}", lambda: None)()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block, f"<block {number} of the specification>", "exec"), self.names)
            said = printed.getvalue()
            if show:
                print(f"--- {number}\n" + textwrap.indent(block, "    ") + "\n" + said, end="")
            assert said.splitlines() == claims(block), f"block {number} prints {said!r}, the page says {claims(block)}"
            getattr(self, f"after_{number}", lambda: None)()
            count += 1
        return count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--other")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    url = os.environ["REDIS_URL"]
    client = None
    if match := re.match(r"redis://127\.0\.0\.1:(\d+)/(\d+)$", url):
        client = Client(int(match.group(1)), int(match.group(2)))
    count = Play(client, options.other).play(options.show)
    print(f"{count} blocks of the specification ran, and did what they say")


if __name__ == "__main__":
    main()
