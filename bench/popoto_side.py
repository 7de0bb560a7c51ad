"""Popoto 1.10.1, the other rival, or our own Python package: told line by line what to do.

Both packages are called popoto, and this script is run by two interpreters of one version, each of which
has one of them. Arguments: the server's socket, the number of a database, and the dialect that our package
is to write. Each line on the standard input is an operation and how often to do it; each answer is one
line. Every operation is done in the fastest way that we found in Popoto's sources for the same result,
model instances, which is also how a user of our package would write it:

  create_one    Episode.create
  create_many   Episode.bulk_create
  save_one      instance.save(update_fields=["score"])
  load_one      Episode.query.get(redis_key=...), by the key
  query         Episode.query.filter, which fetches by one pipeline (get_many, given keys, is no faster)
  query_read    the same, and every field of every instance is read: Popoto decodes it only then
  confidence    ConfidenceField.update_confidence, alone and queued on a pipeline
"""

import os
import sys

socket, database, dialect = sys.argv[1:4]
os.environ["REDIS_URL"] = f"unix://{socket}?db={database}"
os.environ["POPOTO_DIALECT"] = dialect

from importlib.metadata import PackageNotFoundError, version

from popoto import AutoKeyField, Field, KeyField, Model, SortedField, StringField, UniqueKeyField
from popoto.fields.confidence_field import ConfidenceField


class Episode(Model):
    project_id = KeyField(type=str)
    episode_id = AutoKeyField()
    title = Field(type=str)
    score = SortedField(type=float, partition_by=("project_id",))


class Memory(Model):
    project = KeyField(type=str)
    key = UniqueKeyField()
    content = StringField()
    certainty = ConfidenceField(initial_confidence=0.5, partition_by="project")


def title(i):
    return f"Episode {i:06d}: what was said"


def score(i):
    return (i * 7919 % 10000) / 10000.0


class Side:
    def __init__(self):
        self.at = 0
        self.rows = []
        self.memories = []

    def package(self):
        for name in "popoto", "libpopoto":
            try:
                return f"{name}-{version(name)}"
            except PackageNotFoundError:
                pass

    def interpreter(self):
        return sys.version

    def flush(self):
        self.at = 0  # the benchmark emptied the database

    def create_one(self, count, project):
        for i in range(self.at, self.at + count):
            Episode.create(project_id=project, title=title(i), score=score(i))
        self.at += count

    def create_many(self, count, project):
        Episode.bulk_create(
            [
                Episode(project_id=project, title=title(i), score=score(i))
                for i in range(self.at, self.at + count)
            ]
        )
        self.at += count

    def prepare_rows(self, project):
        self.rows = list(Episode.query.filter(project_id=project))
        self.keys = [row.db_key.redis_key for row in self.rows]
        self.at = 0

    def save_one(self, count):
        for i in range(self.at, self.at + count):
            row = self.rows[i % len(self.rows)]
            row.score = score(i + 1)
            row.save(update_fields=["score"])
        self.at += count

    def load_one(self, count):
        for i in range(self.at, self.at + count):
            if Episode.query.get(redis_key=self.keys[i % len(self.keys)]) is None:
                raise LookupError("a record is gone")
        self.at += count

    def lowest(self, count, project):
        """The score from which on `count` of the project's records lie."""
        return "%.4f" % sorted(row.score for row in Episode.query.filter(project_id=project))[-count]

    def query(self, count, project, low):
        for _ in range(count):
            rows = list(Episode.query.filter(project_id=project, score__gte=low))
        # What came, in figures: how many, the scores, the letters of the titles.
        return "%d %.4f %d" % (
            len(rows),
            sum(row.score for row in rows),
            sum(sum(row.title.encode()) for row in rows),
        )

    def query_read(self, count, project, low):
        for _ in range(count):
            for row in Episode.query.filter(project_id=project, score__gte=low):
                row.project_id, row.episode_id, row.title, row.score

    def query_values(self, count, project, low):
        names = ("project_id", "episode_id", "title", "score")
        for _ in range(count):
            list(Episode.query.filter(project_id=project, score__gte=low, values=names))

    def prepare_memories(self, count, project):
        self.memories = [
            Memory.create(project=project, key=f"fact{i:06d}", content="The sky is blue")
            for i in range(count)
        ]
        self.at = 0

    def confidence_one(self, count):
        after = 0.0
        for i in range(self.at, self.at + count):
            memory = self.memories[i % len(self.memories)]
            after += ConfidenceField.update_confidence(memory, "certainty", signal=0.9)
        self.at += count
        return "%.12f" % after

    def confidence_many(self, count):
        from popoto.redis_db import POPOTO_REDIS_DB as redis

        pipeline = redis.pipeline(transaction=False)
        for i in range(count):
            memory = self.memories[i % len(self.memories)]
            ConfidenceField.update_confidence(memory, "certainty", signal=0.9, pipeline=pipeline)
        pipeline.execute()


def number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


side = Side()
for line in sys.stdin:
    name, *arguments = line.split()
    try:
        answer = getattr(side, name)(*map(number, arguments)) or "ok"
    except Exception as problem:  # the benchmark tells it and ends
        answer = f"error {type(problem).__name__} {problem}"
    print(answer.replace("\n", " ")[:200], flush=True)
