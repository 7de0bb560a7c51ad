"""The package among others: threads, tasks, processes, servers that stall, types, wheels, words.

What could disturb other tests, or be disturbed by them, runs in an interpreter of its own: `program` is
given to one with REDIS_URL set, and is to end well.
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import zipfile

from support import FOLDER, ROOT, Server

MODELS = """
import asyncio, gc, os, pickle, sys, threading, time
import popoto
from popoto import *
class Episode(Model):
    project_id = KeyField(type=str)
    episode_id = AutoKeyField()
    title = Field(type=str)
    score = SortedField(type=float, partition_by=("project_id",))
    certainty = ConfidenceField(partition_by="project_id")
class Row(Model):
    name = KeyField()
    number = IntField()
    items = ListField()
"""


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        with self.server.client() as client:
            client("FLUSHALL")

    def program(self, text, url=None, timeout=60, **environment):
        done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", MODELS + textwrap.dedent(text)],
                              env={**os.environ, "REDIS_URL": url or self.server.url(), **environment},
                              capture_output=True, text=True, timeout=timeout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-4000:])
        return done.stdout


class Threads(Case):
    def test_many_threads_on_one_model(self):
        self.program("""
            wrong = []
            def work(me):
                project = f"p{me}"
                try:
                    for n in range(60):
                        it = Episode.create(project_id=project, title=f"{me}-{n}", score=float(n))
                        it.title += "!"
                        it.save()
                        ConfidenceField.update_confidence(it, "certainty", signal=1.0)
                        found = Episode.query.filter(project_id=project, score__gte=float(n))
                        assert [x.title for x in found] == [f"{me}-{n}!"], (me, n, [x.title for x in found])
                        if n % 3 == 0:
                            assert it.delete()
                    assert Episode.query.count(project_id=project) == 40
                    assert {x.project_id for x in Episode.query.filter(project_id=project)} == {project}
                except BaseException as why:
                    wrong.append(why)
            threads = [threading.Thread(target=work, args=(me,)) for me in range(12)]
            [t.start() for t in threads]; [t.join() for t in threads]
            assert not wrong, wrong
            assert Episode.query.count() == 12 * 40
            """)

    def test_one_object_in_many_threads(self):
        self.program("""
            it = Row.create(name="a", number=0, items=[])
            wrong = []
            def work(me):
                try:
                    for n in range(100):
                        it.number = me * 1000 + n
                        it.items = [me] * (n % 5)
                        it.save()
                        assert Row.query.get(name="a").name == "a"
                except BaseException as why:
                    wrong.append(why)
            threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
            [t.start() for t in threads]; [t.join() for t in threads]
            assert not wrong, wrong
            assert Row.query.count() == 1
            """)

    def test_threads_that_end_leave_no_connections(self):
        out = self.program("""
            for _ in range(50):
                threads = [threading.Thread(target=lambda: Row.query.count()) for _ in range(4)]
                [t.start() for t in threads]; [t.join() for t in threads]
            print("ready", flush=True)
            import socket
            from urllib.parse import urlsplit
            at = urlsplit(os.environ["REDIS_URL"])
            s = socket.create_connection((at.hostname, at.port)); s.sendall(b"INFO clients\\r\\n")
            print(s.recv(65536).decode())
            """)
        clients = int(re.search(r"connected_clients:(\d+)", out).group(1))
        self.assertLess(clients, 40, "of 200 threads that are gone")

    def test_one_of_many_creates(self):
        self.program("""
            class Unique(Model):
                key = UniqueKeyField()
                name = KeyField()
            made, wrong = [], []
            def work(me):
                for n in range(40):
                    try:
                        made.append((n, Row.get_or_create(name=f"r{n}", defaults={"number": me})))
                        try:
                            Unique(key=f"k{n}", name=str(me)).save()
                            made.append((f"k{n}", (None, True)))
                        except ModelException:
                            pass
                    except BaseException as why:
                        wrong.append(why)
            threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
            [t.start() for t in threads]; [t.join() for t in threads]
            assert not wrong, wrong
            for n in range(40):
                found = [it for k, it in made if k == n]
                creators = [it.number for it, created in found if created]
                assert len(found) == 8 and len(creators) == 1, (n, creators)
                assert {it.number for it, _ in found} == set(creators), n
                assert [k for k, _ in made].count(f"k{n}") == 1
            assert Row.query.count() == Unique.query.count() == 40
            """)

    def test_another_server_is_chosen_while_others_work(self):
        self.program("""
            from popoto.redis_db import set_REDIS_DB_settings
            from urllib.parse import urlsplit
            at, stop, wrong = urlsplit(os.environ["REDIS_URL"]), False, []
            def work(me):
                n = 0
                while not stop:
                    n += 1
                    try:
                        Row(name=f"{me}-{n}", number=n).save()
                        list(Row.query.filter(name=f"{me}-{n}"))
                        for row in Row.query.stream():
                            break
                    except BaseException as why:
                        wrong.append(why)
                        return
            threads = [threading.Thread(target=work, args=(me,)) for me in range(6)]
            [t.start() for t in threads]
            for n in range(150):
                set_REDIS_DB_settings(host=at.hostname, port=at.port, db=n % 3)
                time.sleep(0.002)
            stop = True
            [t.join() for t in threads]
            assert not wrong, wrong
            set_REDIS_DB_settings(host=at.hostname, port=at.port, db=0)
            assert Row.query.count() > 0
            """)

    def test_a_stream_outlives_the_choice_of_another_server(self):
        self.program("""
            from popoto.redis_db import set_REDIS_DB_settings
            from urllib.parse import urlsplit
            at = urlsplit(os.environ["REDIS_URL"])
            Row.bulk_create([Row(name=str(n), number=n) for n in range(2000)])
            stream = Row.query.stream()
            seen = {next(stream).number}
            set_REDIS_DB_settings(host=at.hostname, port=at.port, db=1)
            assert Row.query.count() == 0
            seen.update(row.number for row in stream)
            assert seen == set(range(2000)), len(seen)
            """)

    def test_one_stream_in_many_threads(self):
        self.program("""
            Row.bulk_create([Row(name=str(n), number=n) for n in range(2000)])
            stream, seen = Row.query.stream(), []
            def work():
                while True:
                    try:
                        seen.append(next(stream).number)
                    except StopIteration:
                        return
                    except ValueError:      # as a generator says that is being run
                        pass
            threads = [threading.Thread(target=work) for _ in range(6)]
            [t.start() for t in threads]; [t.join() for t in threads]
            assert set(seen) == set(range(2000)), len(seen)
            """)

    def test_calls_from_within_calls(self):
        self.program("""
            class Log(Model):
                name = KeyField()
                made = IntField(default=lambda: Row.query.count())
                at = DatetimeField(auto_now=True)
                def pre_save(self, *a, **k):
                    Row.create(name=f"from {self.name}")
                    return super().pre_save(*a, **k)
                def __del__(self):
                    Row.query.count()
            for n in range(20):
                Log.create(name=str(n))
            gc.collect()
            assert Row.query.count() == 20
            class Belief(Model):
                name = KeyField()
                group = KeyField()
                trust = ConfidenceField(partition_by="group")
            calls = []
            old = type(Model)("Belief", (Model,), {"__module__": "m", "name": KeyField(), "group": KeyField(), "trust": ConfidenceField()})
            for n in range(5):
                ConfidenceField.update_confidence(old.create(name=str(n), group="g"), "trust", signal=1.0)
            report = ConfidenceField.migrate_to_partitioned(Belief, "trust", progress=lambda *a: calls.append((a, Row.query.count())))
            assert report["migrated"] == 5, report
            for n in range(5):
                ConfidenceField.update_confidence(old.query.get(name=str(n), group="g"), "trust", signal=1.0)
            def fails(*a):
                raise KeyError("stop")
            try:
                ConfidenceField.migrate_to_partitioned(Belief, "trust", progress=fails)
            except KeyError:
                pass
            else:
                assert not calls, "progress was called before, and its exception lost now"
            assert Row.query.count() == 20
            """)

    def test_the_gil_is_released_around_every_wait(self):
        # The server stands still; a thread that counts must not.
        for call in ('Row.query.count()', 'Row.create(name="b")', 'list(Row.query.filter(name="a"))', 'Row.query.get(name="a")',
                     'it.save()', 'it.delete()', 'Row.bulk_create([Row(name="c"), Row(name="d")])',
                     'ConfidenceField.update_confidence(episode, "certainty", signal=0.5)',
                     'ConfidenceField.get_confidence(episode, "certainty")', 'popoto.redis_db.check_connection()',
                     'ConfidenceField.migrate_to_partitioned(Episode, "certainty")', 'Row.query.keys()'):
            with self.subTest(call):
                self.setUp()
                self.program(f"""
                    import popoto.redis_db, signal
                    it = Row.create(name="a", number=1)
                    episode = Episode.create(project_id="p", title="t", score=1.0)
                    server, counted, done = {self.server.process.pid}, [0], threading.Event()
                    def call():
                        try:
                            {call}
                        except Exception:
                            pass
                        done.set()
                    thread = threading.Thread(target=call)
                    os.kill(server, signal.SIGSTOP)
                    try:
                        thread.start()
                        end = time.monotonic() + 0.15
                        while time.monotonic() < end:
                            counted[0] += 1
                        waited = not done.is_set()
                    finally:
                        os.kill(server, signal.SIGCONT)
                    thread.join(20)
                    assert waited, "it did not wait for the server"
                    assert counted[0] > 1000, counted
                    """)


class Tasks(Case):
    def test_tasks_in_different_scopes_never_see_each_others_rows(self):
        self.program("""
            async def one(me):
                project = f"p{me}"
                with popoto.scope(project_id=project):
                    for n in range(8):
                        it = await Episode.async_create(title=f"{me}-{n}", score=float(n))
                        await asyncio.sleep(0)
                        rows = await Episode.query.async_filter(score__gte=0.0)
                        assert {x.project_id for x in rows} == {project}, (me, rows)
                        assert len(rows) == n + 1, (me, n, len(rows))
                        rows = Episode.query.filter(score__gte=0.0)     # not awaited: the same scope
                        assert {x.project_id for x in rows} == {project}
                        assert await Episode.query.async_count() == n + 1
                        child = asyncio.create_task(Episode.query.async_all())
                        assert {x.project_id for x in await child} == {project}
                        try:
                            await Episode.async_create(project_id=f"p{me + 1}", title="leak", score=1.0)
                        except ModelException:
                            pass
                        else:
                            raise AssertionError("wrote to another tenant")
            async def all_of_them():
                await asyncio.gather(*(one(me) for me in range(20)))
            asyncio.run(all_of_them())
            assert Episode.query.count() == 160
            """)

    def test_scopes_nest_and_end(self):
        self.program("""
            for p in "ab":
                Episode.create(project_id=p, title=p, score=1.0)
            with popoto.scope(project_id="a"):
                assert [e.title for e in Episode.query.filter(score__gte=0.0)] == ["a"]
                with popoto.scope(project_id="a"):
                    assert Episode.query.count() == 1
                try:
                    Episode.query.get(project_id="b")
                except (ModelException, QueryException):
                    pass
                else:
                    raise AssertionError("read another tenant's")
                try:
                    with popoto.scope(project_id="a"):
                        raise KeyError
                except KeyError:
                    pass
                assert Episode.query.count() == 1
                seen = []
                thread = threading.Thread(target=lambda: seen.append(Episode.query.count()))
                thread.start(); thread.join()
                assert seen == [2], seen        # a thread has a context of its own
            assert Episode.query.count() == 2
            """)

    def test_a_scope_as_a_decorator(self):
        # Also of coroutines, whose body runs later; and at once in many threads and tasks, for it is one object.
        self.program("""
            for p in "ab":
                Episode.create(project_id=p, title=p, score=1.0)
            def titles():
                return sorted(e.title for e in Episode.query.all())
            of_a = popoto.scope(project_id="a")
            @of_a
            def plain(depth=3):
                return plain(depth - 1) if depth else titles()
            @of_a
            async def later():
                await asyncio.sleep(0.001)
                return titles() + [e.title for e in await Episode.query.async_all()]
            assert plain() == ["a"] and plain.__name__ == "plain"
            assert asyncio.run(later()) == ["a", "a"]
            async def both():
                return await asyncio.gather(*(later() for _ in range(20)))
            assert asyncio.run(both()) == [["a", "a"]] * 20
            def generator():
                yield titles()
            async def agenerator():
                yield titles()
            async def coroutine():
                return titles()
            # What would run after the call, out of its scope, is refused.
            for call in (lambda: of_a(generator), lambda: of_a(agenerator), lambda: of_a(Episode), lambda: of_a(lambda: coroutine())(),
                         lambda: of_a(lambda: generator())()):
                try:
                    call()
                except TypeError:
                    continue
                raise AssertionError("not refused")
            wrong = []
            def work():
                try:
                    for _ in range(100):
                        assert plain() == ["a"]
                        with of_a:
                            assert titles() == ["a"]
                        assert titles() == ["a", "b"]
                except BaseException as why:
                    wrong.append(why)
            threads = [threading.Thread(target=work) for _ in range(6)]
            [t.start() for t in threads]; [t.join() for t in threads]
            assert not wrong, wrong
            async def one():
                with of_a:
                    await asyncio.sleep(0.001)
                    return titles()
            async def many():
                return await asyncio.gather(*(one() for _ in range(20)))
            assert asyncio.run(many()) == [["a"]] * 20
            assert titles() == ["a", "b"]
            """)

    def test_streams_in_scopes(self):
        # A stream is of the scope it was opened in, also when that is left before it is read.
        self.program("""
            Episode.bulk_create([Episode(project_id="ab"[n % 2], title=str(n), score=float(n)) for n in range(2000)])
            with popoto.scope(project_id="a"):
                assert {e.project_id for e in Episode.query.stream()} == {"a"}
                assert len(list(Episode.query.filter(score__gte=1000.0).stream())) == 500
                later, ordered = Episode.query.stream(), Episode.query.filter(score__gte=0.0).order_by("-score").stream()
            with popoto.scope(project_id="b"):
                assert [e.score for e in ordered] == [float(n) for n in range(1998, -1, -2)]
            assert sorted(int(e.title) for e in later) == list(range(0, 2000, 2))
            """)

    def test_an_object_is_of_the_scope_it_was_made_in(self):
        self.program("""
            with popoto.scope(project_id="a"):
                it, none, named = Episode(title="t", score=1.0), Episode(project_id=None, score=1.0), Episode(project_id="b", score=1.0)
                assert (it.project_id, none.project_id, named.project_id) == ("a", "a", "b")
                with popoto.scope(project_id="a"):
                    assert Episode().project_id == "a"
            with popoto.scope(project_id="b"):
                for call in (it.save, none.save, lambda: Episode.bulk_create([it])):
                    try:
                        call()
                        assert False, call
                    except popoto.ScopeError as why:
                        assert "contradicts the scope" in str(why), why
            assert Episode.query.count() == 0
            it.save()
            assert [e.project_id for e in Episode.query.all()] == ["a"]
            """)

    def test_a_stream_is_read_in_the_scopes_of_its_reader_too(self):
        self.program("""
            Episode.bulk_create([Episode(project_id="ab"[n % 2], title=str(n), score=float(n)) for n in range(20)])
            outside = Episode.query.stream()
            with popoto.scope(project_id="b"):
                assert {e.project_id for e in outside} == {"b"}
            begun = Episode.query.stream()
            next(begun)
            with popoto.scope(project_id="b"):
                try:
                    next(begun)
                    assert False
                except popoto.ScopeError as why:
                    assert "project_id" in str(why), why
            assert len(list(begun)) == 19
            with popoto.scope(project_id="a"):
                own = Episode.query.stream()
            with popoto.scope(project_id="b"):  # stays in its own, as a query does
                assert {e.project_id for e in own} == {"a"}
            """)

    def test_nothing_of_another_tenant_within_a_scope(self):
        # Every call that is given another tenant's object, key or value: refused, or answered with nothing.
        self.program("""
            class Note(Model):          # the tenant is a plain field here
                name = KeyField()
                project_id = Field(type=str)
                rank = SortedField(type=int)
                trust = ConfidenceField()
            own, other = (Episode.create(project_id=p, title=p, score=1.0) for p in "ab")
            for p in "ab":
                Note.create(name=p, project_id=p, rank=1)
            field, f = Episode._meta.fields["certainty"], Episode.query.filter
            ConfidenceField.update_confidence(other, "certainty", signal=1.0)
            refused = [
                lambda: Episode.query.get(redis_key=other.pk), lambda: Episode.query.get(other.db_key),
                lambda: Episode.query.get_many([own.pk, other.pk]), lambda: Episode.exists(other.pk),
                lambda: Episode.load(project_id="b", episode_id=other.episode_id), lambda: list(f(project_id="b")),
                lambda: list(f(project_id__in=["b"])), other.save, lambda: other.save(update_fields=["title"]), other.delete,
                lambda: Episode.bulk_update([other], title="x"), lambda: Episode.bulk_delete([other]),
                lambda: Episode.bulk_create([Episode(project_id="b", score=1.0)]), lambda: f(project_id="b").count(),
                lambda: ConfidenceField.update_confidence(other, "certainty", signal=1.0),
                lambda: ConfidenceField.get_confidence(other, "certainty"), lambda: f(project_id="b").stream(),
                lambda: ConfidenceField.get_confidence_filtered(Episode, "certainty", project_id="b"),
                lambda: field.get_data_hash_key(other, "certainty"),
                lambda: field.get_data_hash_key_from_values(Episode, "certainty", project_id="b"),
                lambda: Episode.create(project_id="b", title="x", score=1.0), lambda: Note.get_or_create(name="b", defaults={"rank": 3}),
            ]
            answered = {
                "query.get": (lambda: Episode.query.get(episode_id=other.episode_id), None),
                "keys": (lambda: [k.split(b":")[1] for k in Episode.query.keys()], [b"a"]),
                "count": (lambda: Episode.query.count(), 1),
                "values": (lambda: f().values("title").all(), [{"title": "a"}]),
                "order": (lambda: [e.title for e in Episode.query.all(order_by="-score")], ["a"]),
                "range": (lambda: [e.title for e in f(score__gte=0.0)], ["a"]),
                "filtered": (lambda: [k.split(":")[1] for k in ConfidenceField.get_confidence_filtered(Episode, "certainty")], ["a"]),
                "notes": (lambda: [n.name for n in Note.query.all()], ["a"]),
                "a note": (lambda: Note.query.get(name="b"), None),
                "notes by rank": (lambda: [n.name for n in Note.query.filter(rank__gte=0)], ["a"]),
                "delete_all": (lambda: Note.delete_all() + Episode.delete_all(), 2),
            }
            with popoto.scope(project_id="a"):
                for n, call in enumerate(refused):
                    try:
                        answer = call()
                    except (ModelException, QueryException):
                        continue
                    raise AssertionError((n, answer))
                for name, (call, expected) in answered.items():
                    answer = call()
                    assert answer == expected, (name, answer)
            assert [e.title for e in Episode.query.all()] == ["b"] and [n.name for n in Note.query.all()] == ["b"]
            assert ConfidenceField.get_confidence_data(other, "certainty")["evidence_count"] == 1
            """)

    def test_a_query_stays_in_the_scope_it_was_made_in(self):
        # It asks when it is read, and that may be after the scope, or in another one.
        self.program("""
            for p in "ab":
                Episode.create(project_id=p, title=p, score=1.0)
            of_a = popoto.scope(project_id="a")
            @of_a
            def episodes():
                return Episode.query.filter(score__gte=0.0)
            def look(query):
                return [[e.title for e in query], query.count(), len(query), [e.title for e in query.stream()], query.first().title,
                        query.last().title, [e.title for e in query.filter(score__lt=5.0)], query.values("title").all(),
                        asyncio.run(query.async_count()), bool(query), query[0]["title"]]
            only_a = [["a"], 1, 1, ["a"], "a", "a", ["a"], [{"title": "a"}], 1, True, "a"]
            assert look(episodes()) == only_a, look(episodes())
            with of_a:
                query, chained = Episode.query.filter(), Episode.query.order_by("-score").limit(5)
            assert look(query) == only_a and [e.title for e in chained] == ["a"]
            with popoto.scope(project_id="b"):
                try:
                    titles = [e.title for e in episodes()]
                except (ModelException, QueryException):
                    titles = ["a"]
                assert titles == ["a"], titles
                assert [e.title for e in Episode.query.filter()] == ["b"]
            assert Episode.query.count() == 2
            # Made outside of any, it is of the scope that it is read in.
            query = Episode.query.filter()
            with popoto.scope(project_id="b"):
                assert [e.title for e in query] == ["b"] and query.count() == 1
            assert len(query) == 2
            assert episodes().delete() == 1
            assert [e.title for e in Episode.query.all()] == ["b"]
            """)

    def test_many_tasks_at_once(self):
        self.program("""
            async def go():
                await asyncio.gather(*(Row.async_create(name=str(n), number=n) for n in range(300)))
                rows = await asyncio.gather(*(Row.query.async_get(name=str(n)) for n in range(300)))
                assert [r.number for r in rows] == list(range(300))
                ticks = 0
                async def tick():
                    nonlocal ticks
                    while True:
                        ticks += 1
                        await asyncio.sleep(0)
                ticker = asyncio.create_task(tick())
                for _ in range(20):
                    await Row.query.async_all()
                ticker.cancel()
                assert ticks >= 20, ticks
            asyncio.run(go())
            """)

    def test_a_cancelled_call_harms_no_other(self):
        self.program("""
            async def go():
                for n in range(100):
                    task = asyncio.create_task(Row.async_create(name=str(n), number=n))
                    await asyncio.sleep(0)
                    if n % 2:
                        task.cancel()
                    try:
                        await task
                    except asyncio.CancelledError:
                        pass
                for n in range(100):
                    it = await Row.query.async_get(name=str(n))
                    assert it is None or it.number == n
                    assert it is not None or n % 2
            asyncio.run(go())
            """)


OPERATIONS = {
    "create and delete": 'Row.create(name="x", number=1, items=[1, "a", {"k": [b"v", None]}]).delete()',
    "save": "it.number += 1; it.save()",
    "partial save": 'it.save(update_fields=["number"])',
    "get": 'Row.query.get(name="a")',
    "get none": 'Row.query.get(name="none")',
    "filter": 'list(Row.query.filter(name="a"))',
    "range": 'len(Episode.query.filter(project_id="p", score__gte=0.0))',
    "values": 'Row.query.filter(name="a").values("number", "items").all()',
    "count": "Row.query.count()",
    "keys": "Row.query.keys()",
    "get_many": 'Row.query.get_many([it.db_key.redis_key, "Row:none"])',
    "confidence": 'ConfidenceField.update_confidence(episode, "certainty", signal=0.5)',
    "figures": 'ConfidenceField.get_confidence_data(episode, "certainty")',
    "filtered": 'ConfidenceField.get_confidence_filtered(Belief, "trust")',
    "hash keys": 'ConfidenceField.get_data_hash_key(Episode._meta.fields["certainty"], episode, "certainty")',
    "migration": 'ConfidenceField.migrate_to_partitioned(Episode, "certainty", dry_run=True)',
    "a new object": 'Row(name="x", number=1, items=[1, 2])',
    "a bad value": 'refuse(lambda: Row(name="x", number=[]))',
    "a bad query": "refuse(lambda: list(Row.query.filter(nothing=1)))",
    "a bad signal": 'refuse(lambda: ConfidenceField.update_confidence(episode, "certainty", signal=2))',
    "a duplicate": 'refuse(lambda: Unique(key="k", name="other").save())',
    "several": 'refuse(lambda: Episode.query.get(project_id="p"))',
    "bulk": 'Row.bulk_delete(Row.bulk_create([Row(name="x"), Row(name="y")]))',
    "scope": 'refuse(scoped)',
    "a model": 'type(Model)("New", (Model,), {"__module__": "m", "name": KeyField(), "n": IntField()}).query.count()',
    "async": "loop.run_until_complete(Row.query.async_get(name='a'))",
    "stream": "streamed()",
}


class Memory(Case):
    def test_no_operation_leaks(self):
        # Each is run until caches are warm, then many times more: what is left over must not grow with them.
        # sys.getallocatedblocks counts what Python's objects take; what the extension takes from malloc shows in
        # the resident set. A debug interpreter knows every reference; it counts right if the extension was
        # compiled with its headers, which POPOTO_TEST_REFERENCES=1 says.
        out = self.program("""
            class Belief(Model):
                name = KeyField()
                trust = ConfidenceField()
            class Unique(Model):
                key = UniqueKeyField()
                name = KeyField()
            it = Row.create(name="a", number=1, items=[1, 2, 3])
            episode = Episode.create(project_id="p", title="t", score=1.0)
            Episode.create(project_id="p", title="t", score=1.0)
            for n in range(5):
                ConfidenceField.update_confidence(Belief.create(name=str(n)), "trust", signal=1.0)
            Unique.create(key="k", name="one")
            loop = asyncio.new_event_loop()
            def refuse(call):
                try:
                    call()
                except (ModelException, QueryException, ValueError, TypeError):
                    return
                raise AssertionError("not refused")
            def scoped():
                with popoto.scope(project_id="p"):
                    Episode.query.count()
                    Episode.query.count(project_id="q")
            def streamed():
                stream = getattr(Episode.query.filter(project_id="p", score__gte=0.0), "stream", None)
                if stream is not None:
                    for row in stream():
                        pass
            def resident():
                try:
                    with open("/proc/self/statm") as f:
                        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
                except OSError:     # no Linux: the most that it ever was
                    import resource
                    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            def measure():
                gc.collect()
                counted = hasattr(sys, "gettotalrefcount") and os.environ.get("POPOTO_TEST_REFERENCES")
                return sys.getallocatedblocks(), sys.gettotalrefcount() if counted else 0, resident()
            operations = %r
            bad = []
            for name, text in operations.items():
                code = compile(text, name, "exec")
                times = 150 if name == "a model" else 2000
                def run(n):
                    for _ in range(n):
                        exec(code)
                run(150)
                before = measure()
                run(times)
                after = measure()
                blocks, references, memory = (b - a for a, b in zip(before, after))
                # A leak of one block, reference or 200 bytes an operation would be several times this.
                if blocks > times / 4 or references > times / 4 or memory > max(times * 100, 400_000):
                    bad.append((name, times, blocks, references, memory))
                print(name, blocks, references, memory)
            assert not bad, bad
            """ % OPERATIONS, timeout=200)
        if os.environ.get("POPOTO_TEST_VERBOSE"):
            print(out)

    def test_a_model_that_nobody_has_any_more_is_freed(self):
        self.program("""
            import weakref
            def make():
                model = type(Model)("Gone", (Model,), {"__module__": "m", "name": KeyField(), "n": IntField()})
                it = model.create(name="a", n=1)
                rows = list(model.query.all())
                return weakref.ref(model), weakref.ref(it), weakref.ref(rows[0])
            refs = make()
            gc.collect()
            alive = [r() for r in refs]
            assert alive[1] is None and alive[2] is None, "objects outlive their last reference"
            assert alive[0] is None, "a model outlives its last reference"
            """)

    def test_objects_of_a_long_query_outlive_it(self):
        self.program("""
            Row.bulk_create([Row(name=str(n), number=n, items=[n, str(n)]) for n in range(500)])
            kept = [it for it in Row.query.all()]
            gc.collect()
            [Row.query.all() for _ in range(5)]
            assert sorted((it.number, tuple(it.items)) for it in kept) == [(n, (n, str(n))) for n in range(500)]
            """)

    def test_cycles_through_objects_are_collected(self):
        self.program("""
            import weakref
            it = Row(name="a")
            it.me = it
            ref = weakref.ref(it)
            del it
            gc.collect()
            assert ref() is None
            """)


class Objects(Case):
    def test_pickling_is_refused_or_right(self):
        self.program("""
            it = Row.create(name="a", number=1, items=[1])
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                try:
                    again = pickle.loads(pickle.dumps(it, protocol))
                except (TypeError, pickle.PicklingError):
                    continue
                assert again == it and again.items == it.items
                again.number = 2
                again.save()
                assert Row.query.get(name="a").number == 2
            """)

    def test_copies_are_independent_or_refused(self):
        self.program("""
            import copy
            it = Row.create(name="a", number=1, items=[1])
            for how in (copy.copy, copy.deepcopy):
                try:
                    again = how(it)
                except TypeError:
                    continue
                again.number = 5
                assert it.number == 1 and again.number == 5
                assert again.name == "a"
            """)

    def test_errors_carry_model_field_and_value(self):
        self.program("""
            def error(call, *kinds):
                try:
                    call()
                except kinds as why:
                    return why
                raise AssertionError("no error")
            why = error(lambda: Row.create(name="a", number=[1]), ModelException)
            assert why.model is Row and why.field == "number" and why.value == [1], vars(why)
            assert "Row" in str(why) and "number" in str(why), str(why)
            why = error(lambda: Episode.create(project_id="p", title="t"), ModelException)
            assert why.model is Episode and why.field == "score" and why.value is None, vars(why)
            why = error(lambda: list(Episode.query.filter(nothing=1)), QueryException)
            assert why.model is Episode and why.field == "nothing", vars(why)
            assert "nothing" in str(why) and "Episode" in str(why), str(why)
            why = error(lambda: list(Episode.query.filter(score__gte=0.5)), QueryException)
            assert why.model is Episode and why.field == "score" and "project_id" in str(why), (vars(why), str(why))
            why = error(lambda: list(Episode.query.filter(score__near=0.5)), QueryException)
            assert why.field == "score" and "near" in str(why), (vars(why), str(why))
            why = error(lambda: list(Episode.query.filter(project_id="p", score__gte="x")), QueryException, ModelException)
            assert why.field == "score" and why.value == "x", (vars(why), str(why))
            it = Row.create(name="a")
            it.name = "b"
            why = error(it.save, KeyMutationError)
            assert why.model is Row and why.field == "name" and why.value == "b", vars(why)
            why = error(lambda: it.save(update_fields=["nothing"]), ModelException)
            assert why.model is Row and why.field == "nothing", vars(why)
            class Unique(Model):
                key = UniqueKeyField()
                name = KeyField()
            Unique.create(key="k", name="a")
            why = error(lambda: Unique(key="k", name="b").save(), ModelException)
            assert why.model is Unique and why.field == "key" and why.value == "k", vars(why)
            with popoto.scope(project_id="p"):
                why = error(lambda: Episode.create(project_id="q", title="t", score=1.0), ModelException)
                assert why.model is Episode and why.field == "project_id" and why.value == "q", vars(why)
            why = error(lambda: ConfidenceField.update_confidence(Episode.create(project_id="p", score=1.0), "certainty",
                                                                  signal=2), ValueError)
            assert "2" in str(why), str(why)
            """)

    def test_values_that_break_naive_code(self):
        self.program("""
            class Hostile(str):
                def __str__(self): raise RuntimeError("str")
                def __eq__(self, other): raise RuntimeError("eq")
                __hash__ = str.__hash__
            class Bad:
                def __bool__(self): raise RuntimeError("bool")
                def __iter__(self): raise RuntimeError("iter")
                def __index__(self): raise RuntimeError("index")
                def __float__(self): raise RuntimeError("float")
            deep = []
            for _ in range(100_000):
                deep = [deep]
            around = []
            around.append(around)
            mine = {}
            mine["me"] = mine
            for name, value in [("items", deep), ("items", around), ("items", [mine]), ("items", [Bad()]), ("items", [object()]),
                                ("number", Bad()), ("number", 2**64), ("number", -2**63 - 1), ("name", "\\ud800"),
                                ("items", ["\\ud800"]), ("items", [2**70]), ("name", Bad()), ("items", [float]),
                                ("number", float("nan")), ("number", float("inf")), ("items", {1: 2}.keys())]:
                try:
                    Row.create(**{"name": "a", name: value})
                except (ModelException, ValueError, TypeError, OverflowError, RecursionError, RuntimeError, UnicodeError):
                    pass
                Row.query.count()
            it = Row.create(name="ok", items=[1])
            it.items = [Hostile("x")]
            try:
                it.save()
            except RuntimeError:
                pass
            del deep
            big = Row.create(name="big", items=["x" * 5_000_000])
            assert len(Row.query.get(name="big").items[0]) == 5_000_000
            """)

    def test_arguments_of_every_kind_to_every_method(self):
        # Whatever is passed: an exception or an answer, never a crash. The parts in C, too, that no program calls.
        self.program("""
            import random
            from popoto import _core, redis_db
            seed = random.SystemRandom().randrange(10**9)
            print("seed", seed, flush=True)
            r = random.Random(seed)
            class Bad:
                def __getattr__(self, name): raise KeyError(name)
                def __len__(self): return -1
                def __iter__(self): raise OSError
                __hash__ = None
            it = Row.create(name="a", number=1, items=[1])
            episode = Episode.create(project_id="p", score=1.0)
            values = [None, True, 0, -1, 2**70, 1.5, float("nan"), "", "a", "name", "\\0", "\\ud800", "x" * 10000, b"", b"\\xff", [], [1],
                      ["name"], [None], (), ("number",), {}, {"name": "a"}, {1: 2}, {"name__in": 5}, set(), object(), Bad(), int, Row, it,
                      episode, Row.query, Row._meta.fields["name"], [it], [it, episode], [it] * 3, lambda *a: None, range(3), it.db_key]
            targets = [Row, it, episode, Row.query, Row.query.filter(), Row._core_schema, Episode._core_schema, Episode._meta.fields["certainty"],
                       Row._meta, _core, ConfidenceField, redis_db, Row(name="new"), _core.Record.__new__(_core.Record) if True else None]
            never = {"close", "configure", "set_REDIS_DB_settings", "set_scopes", "mro"}
            called = 0
            for target in targets:
                for name in dir(target):
                    if name in never or name.startswith("__") and name not in ("__init__", "__eq__", "__getitem__", "__contains__", "__hash__",
                                                                                "__reduce__", "__repr__", "__len__", "__bool__", "__lt__"):
                        continue
                    try:
                        method = getattr(target, name)
                    except Exception:
                        continue
                    if not callable(method) or isinstance(method, type) and not issubclass(method, popoto.Field):
                        continue
                    for _ in range(25):
                        arguments = [r.choice(values) for _ in range(r.randint(0, 8 if name in ("query", "schema", "stream") else 4))]
                        named = {r.choice(["name", "field_name", "signal", "limit", "order_by", "values", "redis_key", "x"]): r.choice(values)
                                 for _ in range(r.choice([0, 0, 1, 2]))}
                        called += 1
                        try:
                            answer = method(*arguments, **named)
                            if hasattr(answer, "close") and type(answer).__name__ == "coroutine":
                                answer.close()
                        except Exception:
                            pass
            gc.collect()
            assert called > 3000, called
            # Other models work as ever. (Of these the parts may be those of others by now.)
            class Fresh(Model):
                name = KeyField()
                number = IntField()
            Fresh.create(name="b", number=5)
            assert Fresh.query.get(name="b").number == 5 and Fresh.query.count() == 1
            """)

    def test_values_that_change_themselves_while_they_are_stored(self):
        self.program("""
            class L(list):
                def __iter__(self):
                    table.clear(); outer.clear(); gc.collect()
                    return super().__iter__()
            for _ in range(40):
                table, outer = {}, []
                table.update({"a": L([1]), "b": "x" * 1000, "c": [object] * 0, "d": b"y" * 1000})
                outer.extend([table, L([2]), "z" * 1000, [1] * 100])
                try:
                    Row(name="a", items=outer).save()
                except (RuntimeError, ModelException):
                    pass
            class Text(str):
                def __str__(self): table.clear(); return "t"
                def encode(self, *a): table.clear(); return b"e"
                def __hash__(self): return 1
            class Model2(Model):
                name = KeyField()
                table = DictField()
                amount = DecimalField()
            import decimal
            class D(decimal.Decimal):
                def __str__(self):
                    it.__dict__.clear(); gc.collect()
                    return "1.5"
            for _ in range(30):
                it = Model2(name="a", table={})
                table = it.table
                table.update({Text("k"): Text("v"), "n": D("1"), "m": "x" * 100})
                it.amount = D("2")
                try:
                    it.save()
                except Exception:
                    pass
                try:
                    Model2.query.filter(name=Text("a")).all()
                except Exception:
                    pass
            """)

    def test_keys_whose_comparison_fails_or_runs_code(self):
        self.program("""
            class K(str):
                def __eq__(self, other): it.__dict__.clear(); gc.collect(); return False
                __hash__ = str.__hash__
                def __repr__(self): it.__dict__.clear(); gc.collect(); return "k"
            for _ in range(30):
                it = Row(name=K("a"), number=1)
                try:
                    it.save()
                    it.name = K("b")
                    it.save()
                except Exception:
                    pass
                for call in (it.delete, lambda: it == Row(name="a"), lambda: hash(it), lambda: repr(it)):
                    try:
                        call()
                    except Exception:
                        pass
            """)

    def test_a_list_that_changes_while_it_is_stored(self):
        self.program("""
            items = list(range(1000))
            stop = False
            def change():
                while not stop:
                    items.append(1); items.pop(); items.clear(); items.extend(range(1000))
            thread = threading.Thread(target=change); thread.start()
            for n in range(300):
                try:
                    Row(name="a", items=items).save()
                except (RuntimeError, ModelException):
                    pass
            stop = True
            thread.join()
            """)


class Processes(Case):
    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_fork(self):
        self.program("""
            Row.create(name="a", number=1)
            for n in range(5):
                child = os.fork()
                if child == 0:
                    try:
                        assert Row.query.get(name="a").number == 1
                        Row.create(name=f"child{n}", number=n)
                        assert Row.query.filter(name=f"child{n}")[0].number == n
                    except BaseException:
                        import traceback; traceback.print_exc()
                        os._exit(1)
                    os._exit(0)
                assert Row.query.get(name="a").number == 1      # both at once, each on its own connection
                _, status = os.waitpid(child, 0)
                assert status == 0, status
            assert Row.query.count() == 6
            """)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_a_process_pool(self):
        self.program("""
            import concurrent.futures, multiprocessing
            Row.create(name="a", number=1)
            def work(n):
                Row.create(name=str(n), number=n)
                return Row.query.get(name=str(n)).number
            with concurrent.futures.ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as pool:
                assert list(pool.map(work, range(20))) == list(range(20))
            assert Row.query.count() == 21
            """)

    def test_an_interpreter_ends_in_the_middle(self):
        for ending in ("sys.exit(0)", "pass"):
            self.program(f"""
                def forever():
                    while True:
                        try:
                            Row.query.count()
                        except Exception:
                            return
                threading.Thread(target=forever, daemon=True).start()
                query = Row.query.filter(name="a")
                list(query)
                {ending}
                """)

    def test_interrupting_a_call(self):
        # SIGINT during a wait ends the wait with KeyboardInterrupt, or when it is over.
        self.program(f"""
            import signal
            Row.create(name="a")
            server = {self.server.process.pid}
            os.kill(server, signal.SIGSTOP)
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            threading.Timer(0.4, lambda: os.kill(server, signal.SIGCONT)).start()
            try:
                Row.query.count()
                time.sleep(0.5)
            except KeyboardInterrupt:
                pass
            else:
                raise AssertionError("no KeyboardInterrupt")
            finally:
                os.kill(server, signal.SIGCONT)
            assert Row.query.count() == 1
            """)

    def test_an_interrupt_comes_before_the_outage_that_it_waited_for(self):
        # The server stays stopped until the call has given up.
        self.program(f"""
            import signal
            Row.create(name="a")
            server = {self.server.process.pid}
            os.kill(server, signal.SIGSTOP)
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                Row.query.count()
            except KeyboardInterrupt:
                pass
            except ConnectionError as why:
                raise AssertionError(why)
            else:
                raise AssertionError("answered")
            finally:
                os.kill(server, signal.SIGCONT)
            assert Row.query.count() == 1
            """)

    def test_a_server_is_lost_and_back(self):
        server = Server()
        try:
            program = MODELS + textwrap.dedent("""
                Row.create(name="a", number=1)
                print("up", flush=True)
                sys.stdin.readline()
                for call in (Row.query.count, lambda: Row.create(name="b"), lambda: list(Row.query.filter(name="a")),
                             lambda: Row.query.get(name="a")):
                    try:
                        call()
                    except ConnectionError as why:
                        assert str(why)
                    else:
                        raise AssertionError("answered without a server")
                from popoto.redis_db import check_connection
                assert check_connection() is False
                print("down", flush=True)
                sys.stdin.readline()
                assert check_connection() is True
                assert Row.query.count() == 0
                Row.create(name="c", number=3)
                assert Row.query.get(name="c").number == 3
                print("back", flush=True)
                """)
            child = subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", program], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                     env={**os.environ, "REDIS_URL": server.url()})
            try:
                steps = [(None, "up"), (server.halt, "down"), (server.start, "back")]
                for step, word in steps:
                    if step is not None:
                        step()
                        child.stdin.write("\n")
                        child.stdin.flush()
                    self.assertEqual(child.stdout.readline().strip(), word,
                                     "" if child.poll() is None else child.stderr.read())
                self.assertEqual(child.wait(20), 0)
            finally:
                if child.poll() is None:
                    child.kill()
                child.communicate()
        finally:
            server.stop()

    def test_no_server_at_all(self):
        self.program("""
            try:
                Row.query.count()
            except ConnectionError as why:
                assert "127.0.0.1" in str(why) or "1" in str(why), str(why)
            else:
                raise AssertionError
            """, url="redis://127.0.0.1:1/0")


class Additions(Case):
    """What the C library adds."""

    def test_streaming_holds_few_rows(self):
        self.program("""
            Row.bulk_create([Row(name=str(n), number=n, items=["x" * 100]) for n in range(5000)])
            seen = set()
            for row in Row.query.stream():
                seen.add(row.number)
            assert seen == set(range(5000)), len(seen)
            Episode.bulk_create([Episode(project_id="p", title=str(n), score=float(n)) for n in range(2000)])
            scores = [e.score for e in Episode.query.filter(project_id="p", score__gte=500.0).order_by("score").stream()]
            assert scores == [float(n) for n in range(500, 2000)], len(scores)
            stream = Episode.query.filter(project_id="p", score__gte=0.0).stream()
            next(iter(stream))
            del stream
            """)

    def test_strict_tenants(self):
        self.program("""
            class Note(Model):
                project = TenantField()
                name = KeyField()
                rank = SortedField(type=int)
            Note.create(project="a", name="x", rank=1)
            Note.create(project="b", name="x", rank=2)
            assert Note(project="a", name="x").db_key.redis_key == "{a}:Note:x", Note(project="a", name="x").db_key.redis_key
            assert [n.rank for n in Note.query.filter(project="a", rank__gte=0)] == [1]
            for call in (lambda: list(Note.query.all()), lambda: Note.query.count(), lambda: list(Note.query.filter(rank__gte=0)),
                         lambda: Note.create(name="y", rank=1)):
                try:
                    call()
                except (ModelException, QueryException):
                    pass
                else:
                    raise AssertionError("a call that names no tenant was answered")
            with popoto.scope(project="b"):
                assert [n.rank for n in Note.query.all()] == [2]
                assert Note.query.count() == 1
                Note.create(name="y", rank=3)
                try:
                    Note.query.filter(project="a").all()
                except (ModelException, QueryException):
                    pass
                else:
                    raise AssertionError("read another tenant's")
            assert Note.query.count(project="b") == 2 and Note.query.count(project="a") == 1
            """)
        with self.server.client() as client:
            keys = [k for k in client("KEYS", "*") if not k.startswith((b"{a}:", b"{b}:"))]
        self.assertLessEqual(len(keys), 1, keys)  # the list of tenants


class Dialects(Case):
    def test_a_database_in_the_other_dialect_is_named_as_such(self):
        # The records are read, for their fields are the same; their keys are other ones.
        self.program("""
            models = {}
            for dialect in ("popoto", "documented"):
                class Ep(Model):
                    project = KeyField()
                    alpha = KeyField()
                    title = Field()
                    class Meta:
                        pass
                    Meta.dialect = dialect
                models[dialect] = Ep
            for one, other in (("popoto", "documented"), ("documented", "popoto")):
                key = models[one].create(project="p", alpha="x-y", title="t").pk
                [it] = models[other].query.all()
                for call in (it.save, it.delete, lambda: models[other].bulk_update([it], title="x"), lambda: models[other].bulk_delete([it])):
                    try:
                        call()
                        assert False, call
                    except ModelException as why:
                        assert str(why).startswith(f"{key} was written in another dialect"), why
                        assert f"set POPOTO_DIALECT={one} in the environment" in str(why), why
                model = models[other]
                for keys in ([key, "Ep:no:no"], ["Ep:no:no", key, "Ep:none:none"]):
                    try:
                        found = model.query.get_many(keys)
                        assert found == [None] * len(keys), found  # its text is no key in that dialect
                    except QueryException as why:
                        assert "in another dialect" in str(why), why
                assert models[one].query.get(project="p", alpha="x-y").delete()
            """)


class Absent(Case):
    def test_names_say_why_they_are_absent(self):
        with open(os.path.join(ROOT, "docs", "popoto-compatibility.md"), encoding="utf-8") as file:
            text = file.read()
        text = text[text.index("## The Python package"):]
        told = set()
        for names in re.findall(r"^\| (`.*?) \| absent \|", text, re.M):
            told |= {name for name in re.findall(r"`(\w+)`", names)}
        from popoto.absent import ABSENT
        self.assertEqual(set(ABSENT), told)
        self.program("""
            from popoto.absent import ABSENT
            import popoto.fields, popoto.models
            for name, reason in ABSENT.items():
                for module in (popoto, popoto.fields, popoto.models):
                    try:
                        getattr(module, name)
                        assert False, name
                    except AttributeError as why:
                        assert name in str(why) and reason in str(why), why
            for line in ("from popoto import Q", "from popoto.models import Q", "from popoto import Field, Q"):
                try:
                    exec(line)
                    assert False, line
                except ImportError as why:
                    assert ABSENT["Q"] in str(why), why
            try:
                from popoto import nothing
            except ImportError as why:
                assert "cannot import name" in str(why), why
            """)

    def test_a_scope_of_no_models_field_is_refused(self):
        self.program("""
            try:
                with popoto.scope(projct="a"):
                    assert False
            except popoto.ScopeError as why:
                assert "'projct'" in str(why) and "project_id" in str(why), why
            assert popoto.current_scopes() == {}
            """)
        done = subprocess.run([sys.executable, "-c", "import popoto\nwith popoto.scope(any='a'): pass"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_addresses(self):
        # A wrong one names itself without its password, and where it is from; redis-py's ?db= is known.
        self.program("""
            assert popoto.redis_db.get_redis_url().endswith("/3"), popoto.redis_db.get_redis_url()
            Row.create(name="a")
            assert popoto.redis_db.get_redis_url().endswith("/3")
            """, url=self.server.url(0)[:-2] + "?db=3")
        with self.server.client(3) as client:
            self.assertEqual(client("EXISTS", "Row:a"), 1)
        for url, part in (("redis://u:secret@h:99999/0", "port"), ("redis://:secret@h/0?socket_timeout=3", "socket_timeout"),
                          ("redis://:secret@h/1?db=2", "two databases"), ("http://u:secret@h", "scheme")):
            self.program(f"""
                for call in (Row.query.count, lambda: popoto.redis_db.set_REDIS_DB_settings(redis_url={url!r}) or Row.query.count()):
                    try:
                        call()
                        assert False
                    except ValueError as why:
                        assert not isinstance(why, ConnectionError)
                        text = str(why)
                        assert {part!r} in text and "secret" not in text and "***@h" in text, text
                        if call == Row.query.count:
                            assert "from REDIS_URL" in text, text
                """, url=url)

    def test_scans_can_be_forbidden(self):
        self.program("""
            class Parcel(Model):
                number = KeyField(type=int)
                street = Field()
                class Meta:
                    allow_scan = False
            Parcel.create(number=1, street="x")
            for call in (Parcel.query.filter(street="x").all, Parcel.query.filter(street="x").count, Parcel.query.filter(street="x").stream,
                         lambda: Parcel.query.get(street="x"), lambda: Parcel.query.keys(street="x")):
                try:
                    call()
                    assert False, call
                except QueryException as why:
                    assert "Meta.allow_scan = True" in str(why), why
            assert Parcel.query.count() == 1 and Parcel.query.get(number=1).street == "x"
            assert Row._meta.allow_scan is (os.environ.get("POPOTO_ALLOW_SCAN") != "0")
            """)
        self.program("assert not Row._meta.allow_scan and not Episode._meta.allow_scan", POPOTO_ALLOW_SCAN="0")

    def test_queries_of_coroutines(self):
        self.program("""
            Row.bulk_create([Row(name=str(n), number=n) for n in range(250)])
            async def go():
                assert sorted([row.number async for row in Row.query.filter()]) == list(range(250))
                assert len([row async for row in Row.query.filter(number__gte=200).async_stream(7)]) == 50
                Episode.create(project_id="a", score=1.0); Episode.create(project_id="b", score=1.0)
                with popoto.scope(project_id="a"):
                    assert [e.project_id async for e in Episode.query.filter()] == ["a"]
            asyncio.run(go())
            assert sorted(Row.query.filter(number__lt=2).keys()) == [b"Row:0", b"Row:1"]
            """)

    def test_hooks_that_would_never_be_called_are_refused(self):
        self.program("""
            class Own(Field):
                def on_save(self, *a, **k):
                    pass
            for body in ({"f": Own()}, {"Meta": type("Meta", (), {"abstract": True})}):
                try:
                    type("Custom", (Model,), {"k": KeyField(), **body})
                    assert False
                except popoto.UnsupportedError as why:
                    assert "on_save" in str(why) or "Meta.abstract" in str(why), why
            """)

    def test_leftovers_of_popoto_are_noticed(self):
        import popoto
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(os.path.dirname(popoto.__file__), os.path.join(folder, "popoto"))
            def said():
                return subprocess.run([sys.executable, "-c", "import popoto"], capture_output=True, text=True,
                                      env={**os.environ, "PYTHONPATH": folder}).stderr
            self.assertEqual(said(), "")
            os.mkdir(os.path.join(folder, "popoto-1.10.1.dist-info"))
            self.assertIn("pip uninstall popoto", said())
            os.rmdir(os.path.join(folder, "popoto-1.10.1.dist-info"))
            open(os.path.join(folder, "popoto", "models", "q.py"), "w").close()
            self.assertIn("popoto/models/q.py", said())


class Words(unittest.TestCase):
    def test_every_public_name_has_a_docstring(self):
        import popoto
        import popoto.exceptions
        import popoto.redis_db

        without = []

        def look(name, thing):
            if not inspect.getdoc(thing):
                without.append(name)
            if inspect.isclass(thing) and thing.__module__.startswith("popoto"):
                for part, value in vars(thing).items():
                    if not part.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)
                                                     or isinstance(value, (classmethod, staticmethod))):
                        if not inspect.getdoc(getattr(thing, part)):
                            without.append(f"{name}.{part}")

        for module in (popoto, popoto.exceptions, popoto.redis_db):
            look(module.__name__, module)
            for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
                thing = getattr(module, name)
                if inspect.isclass(thing) or inspect.isroutine(thing):
                    look(f"{module.__name__}.{name}", thing)
        for query in (type(popoto.Model.query) if hasattr(popoto.Model, "query") else None,
                      sys.modules["popoto.models.query"].QueryBuilder):
            if query is not None and query is not type(None):
                look(query.__name__, query)
        self.assertEqual(without, [])

    def test_fields_say_which_options_they_take(self):
        import popoto
        for name in popoto.__all__:
            one = getattr(popoto, name)
            if not (isinstance(one, type) and issubclass(one, popoto.Field)):
                continue
            with self.subTest(name):
                options = inspect.signature(one).parameters
                self.assertTrue(options)
                self.assertEqual({p.kind for p in options.values()}, {inspect.Parameter.KEYWORD_ONLY})
                made = one(**{n: p.default for n, p in options.items()})
                plain = one()
                self.assertEqual({n: getattr(made, n) for n in options}, {n: getattr(plain, n) for n in options})

        class Own(popoto.KeyField):
            def __init__(self, size):
                super().__init__(max_length=size)

        self.assertEqual(list(inspect.signature(Own).parameters), ["size"])

    def test_all_is_what_it_says(self):
        import popoto

        for name in popoto.__all__:
            self.assertTrue(hasattr(popoto, name), name)

    def test_mypy_strict_accepts_a_program(self):
        try:
            import mypy  # noqa: F401
        except ImportError:
            self.skipTest("mypy is not here")
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(FOLDER, "typed_program.py"), folder)
            done = subprocess.run(
                [sys.executable, "-m", "mypy", "--strict", "--cache-dir",
                 os.environ.get("POPOTO_MYPY_CACHE", os.path.join(folder, "cache")), "typed_program.py"],
                cwd=folder, capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            # And what is wrong is noticed: the types are more than Any.
            with open(os.path.join(folder, "wrong.py"), "w", encoding="utf-8") as file:
                file.write("from typed_program import Episode\nx: int = Episode.query.filter(score__gte=1.0).order_by('score')\n"
                           "y: str = Episode.query.count()\nEpisode.query.fliter()\n")
            done = subprocess.run(
                [sys.executable, "-m", "mypy", "--strict", "--cache-dir",
                 os.environ.get("POPOTO_MYPY_CACHE", os.path.join(folder, "cache")), "wrong.py"],
                cwd=folder, capture_output=True, text=True, timeout=300)
            self.assertEqual(sorted(set(re.findall(r"^wrong\.py:(\d)", done.stdout, re.M))), ["2", "3", "4"], done.stdout)

    def test_the_typed_program_runs(self):
        server = Server()
        try:
            done = subprocess.run([sys.executable, os.path.join(FOLDER, "typed_program.py")],
                                  env={**os.environ, "REDIS_URL": server.url()}, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            lines = done.stdout.splitlines()
            self.assertEqual(lines[0], "RENAMED True 0.75")
            self.assertEqual(lines[1:], ["2 1", lines[2], "nothing", "True True"])
        finally:
            server.stop()


WHEEL = os.environ.get("POPOTO_WHEEL")


def interpreters():
    """The CPythons that are here, from 3.9 on: on PATH, and where pyenv keeps them."""
    found = {}
    pyenv = os.path.join(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions")
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if os.path.isdir(pyenv):
        folders += [os.path.join(pyenv, v, "bin") for v in sorted(os.listdir(pyenv))]
    for folder in folders:
        for minor in range(9, 20):
            path = os.path.join(folder, f"python3.{minor}")
            if minor not in found and os.access(path, os.X_OK):
                if subprocess.run([path, "-c", "import ssl"], capture_output=True).returncode == 0:
                    found[minor] = path
    return found


@unittest.skipUnless(WHEEL, "no wheel (POPOTO_WHEEL)")
class Wheel(unittest.TestCase):
    def test_it_is_one_for_the_stable_abi(self):
        name = os.path.basename(WHEEL)
        self.assertRegex(name, r"-cp39-abi3-\w+\.whl$")
        with zipfile.ZipFile(WHEEL) as wheel:
            names = wheel.namelist()
            core = wheel.read("popoto/_core.abi3.so")
        self.assertEqual([n for n in names if n.endswith(".so") and not n.endswith(".abi3.so")], [], names)
        self.assertIn("popoto/py.typed", names)
        self.assertNotIn(b"libjansson", core)  # which Python has no use for
        self.assertFalse([n for n in names if "tests/" in n or n.endswith((".c", ".h"))], names)

    def test_it_imports_and_works_in_every_python_that_is_here(self):
        found = interpreters()
        if len(found) < 2:
            print(f"  only one Python from 3.9 on is here: {found}", file=sys.stderr)
        server = Server()
        try:
            with tempfile.TemporaryDirectory() as folder:
                with zipfile.ZipFile(WHEEL) as wheel:
                    wheel.extractall(folder)
                for minor, path in sorted(found.items()):
                    with self.subTest(f"3.{minor}"):
                        program = MODELS + textwrap.dedent("""
                            it = Row.create(name="a", number=1, items=[1, "x", None, {"k": (1,)}])
                            assert Row.query.get(name="a").items[1] == "x"
                            assert [r.number for r in Row.query.filter(name="a")] == [1]
                            e = Episode.create(project_id="p", title="t", score=1.0)
                            assert ConfidenceField.update_confidence(e, "certainty", signal=1.0) == 0.75
                            assert len(asyncio.run(Row.query.async_all())) == 1
                            try:
                                Row.create(name="b", number=[])
                            except ModelException as why:
                                assert why.field == "number"
                            e.delete(); it.delete()
                            """)
                        done = subprocess.run([path, "-c", program], capture_output=True, text=True, timeout=60,
                                              env={**os.environ, "REDIS_URL": server.url(), "PYTHONPATH": folder,
                                                   "PYTHONDONTWRITEBYTECODE": "1"})
                        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        finally:
            server.stop()


if __name__ == "__main__":
    unittest.main()
