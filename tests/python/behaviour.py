"""What a program sees of Popoto, scenario by scenario, as lines of JSON.

    REDIS_URL=redis://127.0.0.1:PORT/DB python behaviour.py [NAME...]

It imports `popoto` and runs under whichever library that is: the real Popoto, or this package.
test_behaviour.py runs it under both and compares the lines. A scenario's name says what is tried, and
`rows` the names of docs/popoto-compatibility.md that it stands for. Each starts with an empty database.

What is printed is what a program can rely on: values with their types, exceptions by the class that a
program would catch, orders where one was asked for; not the addresses of objects, nor the wording of
messages. Keys are printed with POPOTO_TEST_KEYS=1, for the two write different ones unless they are
told to share a database.
"""

import asyncio
import datetime as dt
import inspect
import json
import logging
import os
import sys
import time
import warnings
from decimal import Decimal
from urllib.parse import urlsplit

from support import Client

import popoto
from popoto import (
    AutoKeyField,
    BooleanField,
    BytesField,
    ConfidenceField,
    DateField,
    DatetimeField,
    DecimalField,
    DictField,
    Field,
    FloatField,
    IntField,
    KeyField,
    ListField,
    Model,
    ModelException,
    QueryException,
    SetField,
    SortedField,
    StringField,
    TimeField,
    TupleField,
    UniqueKeyField,
)

logging.disable(logging.CRITICAL)

KEYS = bool(os.environ.get("POPOTO_TEST_KEYS"))
SCENARIOS = {}
LOOP = asyncio.new_event_loop()  # one for all: Popoto keeps its connection for the first it sees


def scenario(*rows):
    def register(function):
        SCENARIOS[function.__name__] = (function, rows)
        return function

    return register


# ----- Showing ---------------------------------------------------------------------------------------

CAUGHT = ("KeyMutationError", "CorruptFieldError", "ModelException", "QueryException", "TypeError", "ValueError",
          "AttributeError", "KeyError", "IndexError")


def name_of(why):
    """The classes that a program would name in its `except`: any of them catches it."""
    names = [kind.__name__ for kind in type(why).__mro__ if kind.__name__ in CAUGHT]
    return names or [type(why).__name__]


def show(value):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, Decimal)):
        return f"{type(value).__name__} {value}"
    if isinstance(value, float):
        return f"float {value!r}"
    if isinstance(value, bytes):
        return f"bytes {value!r}"
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return f"{type(value).__name__} {value.isoformat()}"
    if isinstance(value, (set, frozenset)):
        return {type(value).__name__: sorted((show(x) for x in value), key=repr)}
    if isinstance(value, dict):
        return {type(value).__name__: [[show(k), show(v)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [show(x) for x in value]}
    if isinstance(value, Model):
        return {type(value).__name__: fields(value)}
    return f"<{type(value).__name__}>"


def fields(it):
    """An object's fields, by name; what was generated is shown by its length."""
    shown = {}
    for name, field in sorted(it._meta.fields.items()):
        value = getattr(it, name)
        auto = isinstance(field, AutoKeyField)
        shown[name] = f"generated, {len(value)}" if auto and isinstance(value, str) else show(value)
    return shown


def rows(found, *names):
    """Rows in the order they came, each as the named fields."""
    return [[show(getattr(it, n)) for n in names] if len(names) > 1 else show(getattr(it, names[0])) for it in found]


def unordered(found, *names):
    return sorted(rows(found, *names), key=repr)


def attempt(call, *arguments, **named):
    try:
        return show(call(*arguments, **named))
    except Exception as why:  # what it is called is what is looked at
        return {"raises": name_of(why)}


def key(text):
    """A key, where both libraries are to write the same ones."""
    if isinstance(text, bytes):
        text = text.decode()
    return text if KEYS else "(a key)"


def figures(data):
    return {name: show(data[name]) for name in sorted(data)}


def run(coroutine):
    return LOOP.run_until_complete(coroutine)


def setattr_and_save(it, only=None, migrate=False, **values):
    for name, value in values.items():
        setattr(it, name, value)
    it.save(update_fields=only, migrate_key=migrate)


# ----- Models -----------------------------------------------------------------------------------------


class Every(Model):
    name = KeyField()
    text = StringField()
    number = IntField()
    ratio = FloatField()
    flag = BooleanField()
    raw = BytesField()
    amount = DecimalField()
    moment = DatetimeField()
    day = DateField()
    hour = TimeField()
    items = ListField()
    table = DictField()
    bag = SetField()
    pair = TupleField()


class Plain(Model):
    name = KeyField()
    text = Field(type=str)
    number = Field(type=int)
    ratio = Field(type=float)
    flag = Field(type=bool)
    raw = Field(type=bytes)
    amount = Field(type=Decimal)
    moment = Field(type=dt.datetime)
    day = Field(type=dt.date)
    hour = Field(type=dt.time)
    items = Field(type=list)
    table = Field(type=dict)
    bag = Field(type=set)
    pair = Field(type=tuple)


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


class Belief(Model):
    name = KeyField()
    trust = ConfidenceField(initial_confidence=0.25, evidence_cap=3)


class Product(Model):
    sku = KeyField()
    shop = KeyField()
    price = SortedField(type=float)
    stock = SortedField(type=int)
    label = Field(type=str)
    note = Field(type=str)


class User(Model):
    email = KeyField()
    name = Field(type=str)
    age = IntField()


class Maybe(Model):
    name = KeyField()
    group = KeyField(null=True)


class Latest(Model):
    name = KeyField()
    rank = SortedField(type=int)

    class Meta:
        order_by = "-rank"


class Brief(Model):
    name = KeyField()

    class Meta:
        ttl = 5000


VALUES = {
    "text": "Zoë ☃ \U0001f600\n\0", "number": -(2**63), "ratio": 0.1, "flag": True, "raw": b"\0\xff",
    "amount": Decimal("1.50"), "moment": dt.datetime(2026, 8, 1, 12, 30, 15, 123456), "day": dt.date(2026, 2, 28),
    "hour": dt.time(23, 59, 59, 999999), "items": [1, "a", None, [2.5, {"k": b"v"}]],
    "table": {"a": 1, "b": [True, None], "c": {"d": "e"}}, "bag": {"x", "y", 3}, "pair": (1, "two", 3.0),
}


def shop():
    for sku, place, price, stock, label in [
            ("apple", "north", 1.5, 10, "fruit"), ("pear", "north", 2.5, 5, "fruit"),
            ("plum", "south", 3.5, 0, "fruit"), ("leek", "south", 0.5, 7, "green"),
            ("kale", "east", 2.0, 3, "green")]:
        Product.create(sku=sku, shop=place, price=price, stock=stock, label=label)


# ----- Models and their declaration -------------------------------------------------------------------


@scenario("StringField", "IntField", "FloatField", "BooleanField", "BytesField", "DecimalField", "DatetimeField",
          "DateField", "TimeField", "ListField", "DictField", "SetField", "TupleField")
def every_shorthand_keeps_its_value(client):
    Every.create(name="a", **VALUES)
    Every.create(name="b")
    return [show(Every.query.get(name=n)) for n in "ab"]


@scenario("Field", "Field(type=)")
def every_type_keeps_its_value(client):
    Plain.create(name="a", **VALUES)
    Plain.create(name="b")
    return [show(Plain.query.get(name=n)) for n in "ab"]


@scenario("Field(type=)")
def empty_values_are_no_nulls(client):
    Every.create(name="a", text="", number=0, ratio=0.0, flag=False, raw=b"", items=[], table={}, bag=set(), pair=())
    return show(Every.query.get(name="a"))


@scenario("Field(type=)")
def moments_keep_their_zones(client):
    east = dt.timezone(dt.timedelta(hours=5, minutes=30))
    shown = []
    for n, moment in enumerate([dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
                                dt.datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=east), dt.datetime(1000, 1, 1)]):
        Every.create(name=str(n), moment=moment)
        shown.append(show(Every.query.get(name=str(n)).moment))
    return shown


@scenario("Field(type=)")
def values_of_other_types_become_the_fields(client):
    return [
        attempt(lambda: Every(name="a", number="5").number),
        attempt(lambda: Every(name="a", number=5.9).number),
        attempt(lambda: Every(name="a", ratio=3).ratio),
        attempt(lambda: Every(name="a", ratio="2.5").ratio),
        attempt(lambda: Every(name="a", text=7).text),
        attempt(lambda: Every(name="a", flag=1).flag),
        attempt(lambda: Every(name="a", amount=3).amount),
        attempt(lambda: Every(name="a", amount="1.25").amount),
        attempt(lambda: Every(name="a", items=(1, 2)).items),
        attempt(lambda: Every(name="a", bag=[1, 1]).bag),
        attempt(lambda: Every(name="a", pair=[1, 2]).pair),
        attempt(lambda: Every(name=5).name),
    ]


@scenario("Field(type=)", "ModelException")
def values_that_do_not_fit_are_refused(client):
    return [
        attempt(Every, name="a", number="five"),
        attempt(Every, name="a", number=[]),
        attempt(Every, name="a", day="2026-01-01"),
        attempt(Every, name="a", moment="2026-01-01"),
        attempt(Every, name="a", raw="text"),
        attempt(Every, name="a", table=5),
        attempt(Episode, project_id="a", score="high"),
    ]


@scenario("Field(type=)", "ModelException")
def a_bad_value_that_was_set_is_refused_by_save(client):
    shown = []
    it = Every.create(name="a")
    for name, value in [("number", []), ("day", "x"), ("table", 3)]:
        setattr(it, name, value)
        shown.append(attempt(it.save))
        setattr(it, name, None)
    shown.append(show(Every.query.get(name="a")))
    return shown


@scenario("Field(type=)")
def types_that_no_field_has_are_refused(client):
    return [attempt(Field, type=complex), attempt(KeyField, type=list), attempt(SortedField, type=float, null=True)]


@scenario("Field(default=)")
def defaults_fill_in(client):
    class Defaults(Model):
        name = KeyField()
        label = Field(type=str, default="plain")
        level = IntField(default=7)
        tags = ListField(default=list)
        table = DictField(default=dict)

    new = Defaults(name="a")
    before = show(new)
    new.tags.append("one")
    new.save()
    Defaults.create(name="b", label="other", level=0, tags=["x"])
    return [before, show(Defaults.query.get(name="a")), show(Defaults.query.get(name="b")), show(Defaults(name="c").tags)]


@scenario("Field(null=)")
def fields_that_must_be_there(client):
    class Strict(Model):
        name = KeyField()
        must = Field(type=int, null=False)

    new = Strict(name="a")
    return [show(new.must), attempt(new.save), attempt(Strict.create, name="b"), Strict.query.count(),
            attempt(lambda: Strict.create(name="c", must=0).must)]


@scenario("Field(max_length=)")
def texts_that_are_too_long(client):
    class Short(Model):
        name = KeyField()
        text = Field(type=str, max_length=3)

    return [attempt(lambda: Short.create(name="a", text="abc").text), attempt(Short, name="b", text="abcd"),
            Short.query.count()]


@scenario("DatetimeField(auto_now=, auto_now_add=)", "Model.save(skip_auto_now=)")
def moments_that_set_themselves(client):
    class Stamped(Model):
        name = KeyField()
        made = DatetimeField(auto_now_add=True)
        changed = DatetimeField(auto_now=True)

    it = Stamped.create(name="a")
    made, changed = it.made, it.changed
    time.sleep(0.002)
    it.save()
    later = it.changed
    it.save(skip_auto_now=True)
    again = Stamped.query.get(name="a")
    now = dt.datetime.now(dt.timezone.utc)
    return [type(made).__name__, str(made.tzinfo), made == it.made, later > changed, it.changed == later,
            again.made == made, again.changed == later, abs((now - later).total_seconds()) < 60,
            show(Stamped(name="b").made)]


@scenario("KeyField", "KeyField(type=)")
def keys_of_every_type(client):
    shown = []
    for n, (kind, value) in enumerate([
            (str, "a:b*c?[d]-e/'f^g"), (int, -5), (float, 1.5), (bool, True), (Decimal, Decimal("1.50")),
            (dt.date, dt.date(2026, 1, 2)), (dt.datetime, dt.datetime(2026, 1, 2, 3, 4, 5))]):
        model = type(Model)(f"Key{n}", (Model,), {"__module__": __name__, "name": KeyField(),
                                                   "part": KeyField(type=kind)})
        model.create(name="x", part=value)
        found = list(model.query.filter(part=value))
        shown.append([show(model.query.get(name="x", part=value)), len(found), key(found[0].db_key.redis_key),
                      model.query.filter(part=value).count()])
    return shown


@scenario("KeyField(null=)")
def keys_that_may_be_null(client):
    first = attempt(lambda: Maybe.create(name="a").group)
    Maybe.create(name="b", group="red")
    Maybe.create(name="c", group="n")
    return [first, attempt(lambda: [show(Maybe.query.get(name="a", group=None)), unordered(Maybe.query.filter(group="red"), "name"),
            unordered(Maybe.query.filter(group__isnull=True), "name")])]


@scenario("Lookup: __isnull")
def keys_that_are_not_null(client):
    Maybe.create(name="b", group="red")
    return unordered(Maybe.query.filter(group__isnull=False), "name")


@scenario("UniqueKeyField", "ModelException")
def unique_keys_are_unique(client):
    Memory.create(project="a", key="k", content="one")
    second = Memory(project="b", key="k", content="two")
    return [attempt(second.save), Memory.query.count(), attempt(UniqueKeyField, null=True),
            attempt(UniqueKeyField, unique=False), rows(Memory.query.filter(key="k"), "project")]


@scenario("AutoKeyField", "AutoKeyField(strategy=)", "AutoKeyField(auto_uuid_length=)")
def keys_that_are_generated(client):
    class Uuid(Model):
        uid = AutoKeyField()

    class Ulid(Model):
        uid = AutoKeyField(strategy="ulid")

    class Short(Model):
        uid = AutoKeyField(auto_uuid_length=8)

    shown = []
    for model in (Uuid, Ulid, Short):
        one, two = model.create(), model.create()
        shown.append([len(one.uid), one.uid != two.uid, set(one.uid) <= set("0123456789abcdef"),
                      model.query.get(uid=one.uid) == one, model.query.count()])
    shown.append(attempt(AutoKeyField, strategy="dice"))
    given = "0123456789abcdef" * 2
    shown.append(show(Uuid.create(uid=given).uid == given))
    shown.append(attempt(Uuid, uid="short"))
    return shown


@scenario("Model", "ModelBase")
def a_model_without_a_key_gets_one(client):
    class Nameless(Model):
        text = StringField()

    one, two = Nameless.create(text="a"), Nameless.create(text="b")
    again = Nameless.query.filter(text="a")[0]
    again.text = "c"
    again.save()
    return [one == two, Nameless.query.count(), unordered(Nameless.query.all(), "text"),
            sorted(Nameless(text="x").to_dict())]


@scenario("Model", "ModelBase")
def what_a_model_may_declare(client):
    def declare(**attributes):
        return type(Model)("Declared", (Model,), {"__module__": __name__, "name": KeyField(), **attributes})

    class Methods(Model):
        name = KeyField()
        _private = "kept"

        @property
        def loud(self):
            return self.name.upper()

        def twice(self):
            return self.name * 2

        @classmethod
        def make(cls, name):
            return cls.create(name=name)

        @staticmethod
        def three():
            return 3

    it = Methods.make("ab")
    again = Methods.query.get(name="ab")
    return [it.loud, it.twice(), show(Methods.three()), it._private, again.loud,
            attempt(declare, public=5), attempt(declare, Upper=Field()), attempt(declare, limit=Field()),
            attempt(declare, order_by=Field()), attempt(declare, values=Field()),
            isinstance(Methods, type(Model)), issubclass(Methods, Model)]


@scenario("Model._meta")
def what_meta_says(client):
    meta = Episode._meta
    return [list(meta.fields), sorted(meta.key_field_names), sorted(meta.sorted_field_names), meta.model_name,
            show(Brief._meta.ttl), Latest._meta.order_by, sorted(meta.field_names), sorted(meta.auto_field_names)]


@scenario("Model")
def objects_before_they_are_saved(client):
    new = User(email="a@b.c", name="A")
    new.extra = "kept"
    return [show(new), new.extra, attempt(lambda: User().email), attempt(lambda: User(email="a").nothing),
            User.query.count()]


@scenario("Model.__eq__", "Model.__hash__", "Model.__repr__")
def equality_and_hashes_go_by_key(client):
    one, same, other = User(email="a", name="1"), User(email="a", name="2"), User(email="b", name="1")
    blank = User()
    saved = User.create(email="a")
    loaded = User.query.get(email="a")

    class Twin(Model):
        email = KeyField()

    return [one == same, one != other, one == saved == loaded, len({one, same, other, saved, loaded}),
            loaded in [saved], Twin(email="a") == one, one == "a", blank == User(), blank == blank,
            attempt(hash, blank), hash(one) == hash(loaded), one == None, repr(one).startswith("<User")]  # noqa: E711


class Preset(Model):
    name = KeyField()
    level = IntField(default=5, null=True)
    must = IntField(default=6, null=False)
    word = StringField(default="w", null=True)
    items = ListField(default=[1])
    table = DictField(default=dict)
    bag = SetField(default=None)


@scenario("Model.create", "Model.bulk_create", "Model.update_or_create", "Model.get_or_create")
def none_beside_a_default(client):
    def stored(name):
        return rows(Preset.query.filter(name=name), "level", "must", "word")

    shown = [show(Preset.create(name="a", level=None, word=None).level), stored("a"), show(Preset.create(name="b").level), stored("b")]
    Preset.bulk_create([Preset(name="c", level=None), Preset(name="d")])
    Preset.update_or_create(name="e", defaults={"level": None})
    Preset.update_or_create(name="d", defaults={"level": None, "word": None})
    Preset.get_or_create(name="f", defaults={"word": None})
    shown += [stored(name) for name in "cdef"]
    it = Preset.query.get(name="b")
    it.level = None
    it.save()
    shown += [stored("b"), attempt(Preset.create, name="g", must=None), stored("g")]
    return shown


@scenario("Model.create")
def fields_that_a_stored_record_lacks(client):
    it = Preset.create(name="a", level=1, word=None)
    it.items = it.table = None
    it.save()
    names = ("level", "must", "word", "items", "table", "bag")
    shown = [rows(Preset.query.filter(name="a"), *names)]
    client("HDEL", it.db_key.redis_key, *names)
    return shown + [rows(Preset.query.filter(name="a"), *names)]


class Called(Model):
    name = KeyField()
    day = DateField(default=lambda: dt.date(2024, 1, 2))
    raw = BytesField(default=b"x")


@scenario("Field(default=)")
def called_defaults_of_stored_records(client):
    it = Called.create(name="a")
    client("HDEL", it.db_key.redis_key, "day", "raw")
    return rows([it], "day", "raw") + rows(Called.query.filter(name="a"), "day", "raw")


@scenario("Model.db_key")
def a_key_as_a_list_of_its_parts(client):
    it = Lane(name="x:y-z", lane=9)
    parts = list(it.db_key)
    return [len(it.db_key), show(it.db_key[0]), sorted(map(str, parts)), "x:y-z" in it.db_key, it.db_key == Lane(name="x:y-z", lane=9).db_key,
            key(str(it.db_key)), str(it.db_key) == it.db_key.redis_key == it.pk]


class Lane(Model):
    name = KeyField()
    lane = KeyField(type=int)


@scenario("query.get_many", "query.get", "Model.exists")
def keys_that_are_not_the_models(client):
    one = Lane.create(name="a", lane=1)
    wrong = ["User:a@b.c", "nonsense", "Lane:1", "Lane:1:2:3", ""]
    found = Lane.query.get_many([wrong[0], one.pk, *wrong[1:4]])
    return [[show(it) for it in found], [show(Lane.query.get(redis_key=k)) for k in wrong[1:4]], Lane.exists(redis_key="nonsense"),
            [show(it) for it in Lane.query.get_many(["nonsense", one.pk], skip_none=True)]]


@scenario("Model")
def what_a_class_takes(client):
    return [str(inspect.signature(Lane)), [p.kind.name for p in inspect.signature(Every).parameters.values()]]


@scenario("Model.save")
def what_save_returns(client):
    it = Lane(name="a", lane=1)
    return [show(it.save()), show(it.save())]


@scenario("IntField")
def big_integers(client):
    return [attempt(lambda: Every.create(name="a", number=2**63).number), attempt(lambda: Every.create(name="b", number=2**63 - 1).number)]


@scenario("DictField")
def dates_within_a_dict(client):
    return attempt(lambda: Every.create(name="a", table={"day": dt.date(2024, 1, 2)}).table)


class Shared(Model):
    name = KeyField()
    items = ListField(default=[])


@scenario("Field(default=)", "ListField")
def defaults_that_are_lists(client):
    one, other = Shared(name="a"), Shared(name="b")
    one.items.append(1)
    return [show(other.items), one.items is other.items]


@scenario("query.filter")
def filtering_a_key_by_none(client):
    User.create(email="a")
    return attempt(lambda: [it.email for it in User.query.filter(email=None)])


@scenario("SortedField(type=)")
def a_sorted_field_of_text(client):
    return attempt(SortedField, type=str)


@scenario("Lookup: __in")
def a_list_lookup_of_a_text(client):
    User.create(email="a")
    return attempt(lambda: [it.email for it in User.query.filter(email__in="ada")])


@scenario("QueryBuilder.limit")
def a_limit_of_a_text(client):
    User.create(email="a")
    return [attempt(lambda: len(User.query.filter().limit(-1))), attempt(lambda: len(User.query.filter().limit("3")))]


@scenario("Meta.ttl")
def a_time_to_live_of_a_parent(client):
    class Parent(Model):
        email = KeyField()

        class Meta:
            ttl = 60

    class Child(Parent):
        name = KeyField()

    return [Parent._meta.ttl, Child._meta.ttl]


@scenario("Model.save")
def a_misspelled_argument_of_save(client):
    it = Lane(name="a", lane=1)
    return [attempt(lambda: it.save(migrate_keys=True) is not False), Lane.query.count()]


@scenario("Model.db_key", "Model.pk")
def keys_are_known_to_objects(client):
    it = Product(sku="a-b", shop="c:d", price=1.0, stock=1)
    return [type(it.db_key.redis_key).__name__, key(it.db_key.redis_key), key(str(it.db_key)), key(str(it)),
            key(it.pk), it.db_key == Product(sku="a-b", shop="c:d").db_key]


@scenario("Model.to_dict")
def objects_as_dictionaries(client):
    it = Product.create(sku="a", shop="b", price=1.5, stock=2)
    again = Product.query.get(sku="a", shop="b")
    return [show(it.to_dict()), show(again.to_dict()), show(it.to_dict(include=["sku", "price"])),
            show(it.to_dict(exclude={"sku", "price"}))]


@scenario("Model.is_valid")
def objects_tell_whether_they_fit(client):
    good, null = User(email="a", age=5), User(name="b")
    bad = User(email="a")
    bad.age = "x"

    class Must(Model):
        name = KeyField()
        must = Field(type=int, null=False)

    return [good.is_valid(), attempt(null.is_valid), Must(name="a").is_valid(), Must(name="a").is_valid(null_check=False)]


@scenario("Model.pre_save")
def a_hook_before_saving(client):
    class Hooked(Model):
        name = KeyField()
        text = StringField()

        def pre_save(self, *arguments, **named):
            self.text = (self.text or "").upper()
            return super().pre_save(*arguments, **named)

    Hooked.create(name="a", text="low")
    it = Hooked.query.get(name="a")
    it.text = "again"
    it.save()
    return rows(Hooked.query.all(), "text")


@scenario("Model")
def saving_may_be_overridden(client):
    class Loud(Model):
        name = KeyField()
        text = StringField()

        def save(self, *arguments, **named):
            self.text = (self.text or "") + "!"
            return super().save(*arguments, **named)

        def delete(self, *arguments, **named):
            calls.append(self.name)
            return super().delete(*arguments, **named)

    calls = []
    it = Loud.create(name="a", text="x")
    shown = [it.text, Loud.query.get(name="a").text]
    it.delete()
    return shown + calls


# ----- Writing ----------------------------------------------------------------------------------------


@scenario("Model.create")
def creating(client):
    it = User.create(email="a@b.c", name="A", age=3)
    return [show(it), show(User.query.get(email="a@b.c")), User.query.count(), client("DBSIZE") > 0,
            attempt(User.create, email="x", age="old"), User.query.count()]


@scenario("Model.create")
def creating_the_same_key_again(client):
    User.create(email="a", name="one")
    return [attempt(lambda: User.create(email="a", name="two").name), User.query.count()]


@scenario("Model.save")
def saving(client):
    it = User(email="a", name="one")
    it.save()
    it.name, it.age = "two", 5
    it.save()
    again = User.query.get(email="a")
    again.name = None
    again.save()
    return [show(User.query.get(email="a")), User.query.count(), bool(User(email="b").save())]


@scenario("Model.save(update_fields=)")
def saving_named_fields(client):
    it = Product.create(sku="a", shop="b", price=1.0, stock=1, label="old", note="old")
    it.price, it.label, it.note = 5.0, "new", "new"
    it.save(update_fields=["price", "label"])
    again = Product.query.get(sku="a", shop="b")
    return [show(again), len(Product.query.filter(price__gte=5.0)), len(Product.query.filter(price__lt=5.0)),
            attempt(it.save, update_fields=["nothing"]), bool(it.save(update_fields=[])),
            show(Product.query.get(sku="a", shop="b").note)]


@scenario("Model.save(migrate_key=)", "KeyMutationError")
def a_key_that_changes(client):
    it = User.create(email="a", name="A")
    it.email = "b"
    refused = attempt(it.save)
    shown = [refused, User.query.count(), show(User.query.get(email="a")), show(User.query.get(email="b"))]
    it.save(migrate_key=True)
    shown += [show(User.query.get(email="a")), show(User.query.get(email="b")), User.query.count(),
              unordered(User.query.filter(email="b"), "name"), len(User.query.filter(email="a"))]
    loaded = User.query.get(email="b")
    loaded.email = "c"
    shown += [attempt(loaded.save), unordered(User.query.all(), "email")]
    return shown


@scenario("Model.save(ignore_errors=)")
def errors_may_be_ignored(client):
    class Must(Model):
        name = KeyField()
        must = Field(type=int, null=False)

    return [bool(Must(name="a").save(ignore_errors=True)), Must.query.count()]


@scenario("Model.delete")
def deleting(client):
    it = Product.create(sku="a", shop="b", price=1.0, stock=1)
    other = Product.create(sku="c", shop="b", price=1.0, stock=1)
    first = it.delete()
    shown = [show(first), show(Product.query.get(sku="a", shop="b")), Product.query.count(),
             unordered(Product.query.filter(shop="b"), "sku"), len(Product.query.filter(price__gte=0.0)),
             show(it.delete())]
    other.delete()
    return shown + [client("DBSIZE")]


@scenario("Model.load")
def loading(client):
    User.create(email="a", name="A")
    return [show(User.load(email="a")), show(User.load(email="b")), show(User.load(db_key=User(email="a").db_key))]


@scenario("Model.exists")
def whether_it_exists(client):
    it = User.create(email="a")
    return [User.exists(email="a"), User.exists(email="b"), User.exists(it.db_key), User.exists(it.db_key.redis_key),
            User.exists(redis_key=it.db_key.redis_key)]


@scenario("Model.get_or_create", "Model.update_or_create")
def getting_or_creating(client):
    one, created = User.get_or_create(email="a", defaults={"name": "first"})
    shown = [show(one), created]
    one, created = User.get_or_create(email="a", defaults={"name": "second"})
    shown += [show(one), created]
    one, created = User.update_or_create(email="a", defaults={"name": "third"})
    shown += [show(one), created, show(User.query.get(email="a"))]
    one, created = User.update_or_create(email="b", defaults={"name": "fourth"})
    return shown + [show(one), created, User.query.count()]


@scenario("Model.bulk_create", "Model.bulk_update", "Model.bulk_delete", "Model.delete_all")
def many_at_once(client):
    made = User.bulk_create([User(email=str(n), name="n", age=n) for n in range(50)])
    shown = [type(made).__name__, len(made), User.query.count(), show(User.bulk_create([]))]
    shown += [show(User.bulk_update([u for u in made if u.age < 10], name="young")),
              len(User.query.filter(name="young")), show(User.bulk_update(User.query.filter(email="49"), name="old")),
              show(User.query.get(email="49")), show(User.bulk_update([]))]
    shown += [show(User.bulk_delete(made[:10])), User.query.count(),
              show(User.bulk_delete(User.query.filter(email__in=["20", "21"]))), User.query.count(),
              show(User.delete_all()), User.query.count(), show(User.delete_all())]
    return shown


@scenario("Meta.ttl")
def records_that_expire(client):
    it = Brief.create(name="a")
    stored = client("KEYS", "Brief:*")[0]
    first = client("TTL", stored)
    client("EXPIRE", stored, 10)
    it.save()
    return [4990 < first <= 5000, 4990 < client("TTL", stored) <= 5000]


@scenario("Model._ttl", "Model._expire_at")
def a_time_to_live_of_ones_own(client):
    def expires(change):
        it = User(email="a")
        change(it)
        it.save()
        return client("PTTL", client("KEYS", "User:a")[0]) > 0

    soon = dt.datetime.now() + dt.timedelta(hours=1)
    return [attempt(expires, lambda it: setattr(it, "_ttl", 60)), attempt(expires, lambda it: setattr(it, "_expire_at", soon)),
            attempt(lambda: bool(User(email="a", _ttl=60).save())), show(Brief(name="a")._ttl), show(User(email="a")._ttl),
            show(User(email="a")._expire_at)]


@scenario("Meta.ttl")
def an_expired_record_is_gone(client):
    class Flash(Model):
        name = KeyField()
        rank = SortedField(type=int)

    it = Flash.create(name="a", rank=1)
    Flash.create(name="b", rank=2)
    client("PEXPIRE", it.db_key.redis_key, 1)
    time.sleep(0.05)
    return [show(Flash.query.get(name="a")), unordered(Flash.query.all(), "name"),
            unordered(Flash.query.filter(rank__gte=0), "name"), unordered(Flash.query.filter(name="a"), "name")]


@scenario("Meta.order_by")
def an_order_of_the_models_own(client):
    for n in (2, 3, 1):
        Latest.create(name=str(n), rank=n)

    def declare():
        class Wrong(Model):
            name = KeyField()

            class Meta:
                order_by = "nothing"

    def declare_ttl():
        class Wrong(Model):
            name = KeyField()

            class Meta:
                ttl = -1

    return [rows(Latest.query.all(), "rank"), rows(Latest.query.filter(rank__gte=0), "rank"),
            rows(Latest.query.all(order_by="rank"), "rank"), rows(Latest.query.filter(rank__gte=2).order_by("rank"), "rank"),
            attempt(declare), attempt(declare_ttl)]


# ----- Reading ----------------------------------------------------------------------------------------


@scenario("query.get", "QueryException")
def getting_one(client):
    shop()
    it = Product.query.get(sku="pear", shop="north")
    return [show(it), show(Product.query.get(sku="pear", shop="south")), show(Product.query.get(sku="plum")),
            attempt(Product.query.get, shop="north"), show(Product.query.get(db_key=it.db_key)),
            show(Product.query.get(redis_key=it.db_key.redis_key)), show(Product.query.get(it.db_key.redis_key)),
            show(Product.query.get(label="nothing")), show(Product.query.get(price__gte=3.0))]


@scenario("query.filter", "Lookup: exact", "Lookup: __in", "Lookup: __isnull")
def filtering_by_keys(client):
    shop()
    f = Product.query.filter
    return [unordered(f(shop="north"), "sku"), unordered(f(shop="north", sku="pear"), "sku"), unordered(f(shop="none"), "sku"),
            unordered(f(shop__in=["north", "east"]), "sku"), unordered(f(shop__in=[]), "sku"),
            unordered(f(sku__in=["pear", "kale", "nothing"]), "sku"), unordered(f(shop__isnull=True), "sku"),
            unordered(f(shop__in=["north"], sku__in=["pear"]), "sku")]


@scenario("Lookup: __startswith", "Lookup: __endswith")
def filtering_by_parts_of_keys(client):
    shop()
    f = Product.query.filter
    return [unordered(f(sku__startswith="p"), "sku"), unordered(f(sku__startswith="pea"), "sku"),
            unordered(f(shop__endswith="th"), "sku"), unordered(f(shop__startswith="x"), "sku"),
            unordered(f(sku__startswith="p", shop="south"), "sku")]


@scenario("Lookup: __contains")
def filtering_by_what_keys_contain(client):
    shop()
    return unordered(Product.query.filter(sku__contains="ea"), "sku")


@scenario("SortedField", "Lookup: __gt", "Lookup: __gte", "Lookup: __lt", "Lookup: __lte", "Lookup: __between")
def filtering_by_ranges(client):
    shop()
    f = Product.query.filter
    return [rows(f(price__gte=2.0), "price"), rows(f(price__gt=2.0), "price"), rows(f(price__lt=2.0), "price"),
            rows(f(price__lte=2.0), "price"), rows(f(price__gte=1.0, price__lt=3.0), "price"), rows(f(price=2.5), "price"),
            rows(f(price__between=(1.5, 2.5)), "price"), unordered(f(price__gte=2.0, stock__gte=5), "sku"),
            unordered(f(price__gte=2.0, shop="north"), "sku"), rows(f(stock__gt=100), "sku")]


@scenario("SortedField(type=)")
def sorted_by_every_type(client):
    shown = []
    zone = dt.timezone.utc
    for n, (kind, low, high) in enumerate([
            (int, -5, 2**52), (float, -1e300, 0.1), (Decimal, Decimal("0.25"), Decimal("1.5")),
            (dt.date, dt.date(1999, 12, 31), dt.date(2026, 1, 2)),
            (dt.datetime, dt.datetime(2026, 1, 2, tzinfo=zone), dt.datetime(2026, 1, 2, 0, 0, 1, tzinfo=zone))]):
        model = type(Model)(f"Sorted{n}", (Model,), {"__module__": __name__, "name": KeyField(),
                                                      "at": SortedField(type=kind)})
        model.create(name="high", at=high)
        model.create(name="low", at=low)
        shown.append([rows(model.query.filter(at__gte=low), "name", "at"), rows(model.query.filter(at__gt=low), "name"),
                      rows(model.query.filter(at__lte=low), "name")])
    return shown


@scenario("SortedField(partition_by=)", "QueryException")
def sorted_within_a_partition(client):
    Episode.create(project_id="project-a", title="First meeting", score=0.8)
    Episode.create(project_id="project-a", title="Follow-up", score=0.6)
    Episode.create(project_id="project-b", title="Kickoff", score=0.9)
    f = Episode.query.filter
    return [rows(f(project_id="project-a", score__gte=0.5), "title"), rows(f(project_id="project-a", score__gte=0.7), "title"),
            rows(f(project_id="project-b", score__lt=1.0), "title"), attempt(lambda: len(f(score__gte=0.5))),
            attempt(SortedField, type=float, partition_by=["project_id"]),
            SortedField(type=float, partition_by="project_id").partition_by == ("project_id",)]


@scenario("SortedField(sort_by=)")
def the_older_name_of_partition_by(client):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        field = SortedField(type=float, sort_by="shop")
    return [list(field.partition_by), [c.category.__name__ for c in caught],
            attempt(SortedField, type=float, sort_by="a", partition_by="a")]


@scenario("SortedField(auto_now=, auto_now_add=)")
def scores_that_set_themselves(client):
    class Log(Model):
        name = KeyField()
        at = SortedField(type=float, auto_now_add=True)
        touched = SortedField(type=int, auto_now=True)

    it = Log.create(name="a")
    return [type(it.at).__name__, type(it.touched).__name__, abs(time.time() - it.at) < 60,
            abs(time.time() - it.touched) < 60, len(Log.query.filter(at__gte=time.time() - 60))]


@scenario("SortedField")
def a_sorted_value_must_be_there(client):
    return [attempt(Product.create, sku="a", shop="b", stock=1), Product.query.count()]


@scenario("query.filter")
def filtering_by_fields_without_an_index(client):
    shop()
    f = Product.query.filter
    return [unordered(f(label="green"), "sku"), unordered(f(label="green", shop="south"), "sku"),
            rows(f(label="fruit", price__gte=2.0), "sku"), unordered(f(note=None), "sku")]


@scenario("query.filter", "QueryException")
def filters_that_make_no_sense(client):
    shop()
    f = Product.query.filter
    return [attempt(lambda: list(f(nothing=1))), attempt(lambda: list(f(price__near=1))),
            attempt(lambda: list(f(price__startswith="f"))), attempt(lambda: Product.query.count(nothing=1)),
            attempt(lambda: list(f(shop="north").order_by("nothing"))), attempt(f, nothing=1) == "<QueryBuilder>"]


@scenario("query.filter")
def lookups_that_no_index_answers(client):
    shop()
    f = Product.query.filter
    return [attempt(lambda: unordered(f(label__startswith="f"), "sku")), attempt(lambda: unordered(f(shop__gt="north"), "sku"))]


@scenario("QueryBuilder.filter", "QueryBuilder.all", "QueryBuilder.count", "QueryBuilder.first", "QueryBuilder.last")
def chaining(client):
    shop()
    q = Product.query.filter(price__gte=1.0).filter(shop="north")
    empty = Product.query.filter(shop="none")
    return [rows(q.all(), "sku"), show(q.count()), type(q.all()).__name__, show(q.last()), show(q.first()),
            show(empty.first()), show(empty.last()), show(empty.all()), show(empty.count()),
            Product.query.filter(shop="north").limit(1).count()]


@scenario("QueryBuilder.first")
def a_query_after_first(client):
    shop()
    q = Product.query.filter(price__gte=1.0)
    return [q.first().sku, len(q)]


@scenario("QueryBuilder.limit", "QueryBuilder.order_by")
def ordering_and_limiting(client):
    shop()
    f = Product.query.filter
    some = f(price__gte=0.0)
    return [rows(f(price__gte=0.0).order_by("price"), "sku"), rows(f(price__gte=0.0).order_by("-price"), "sku"),
            rows(f(price__gte=0.0).order_by("price").limit(2), "sku"), rows(f(price__gte=1.0).order_by("-price").limit(2), "sku"),
            rows(f(price__gte=0.0).order_by("stock"), "sku"), rows(f(price__gte=0.0).order_by("-stock").limit(3), "sku"),
            rows(f(shop="north").order_by("sku"), "sku"), rows(f(label="fruit").order_by("-sku").limit(2), "sku"),
            rows(f(price__gte=0.0, order_by="-price", limit=1), "sku"), rows(f(price__gte=0.0, limit=2), "sku"),
            rows(Product.query.all(order_by="sku"), "sku"), rows(Product.query.all(order_by="-price", limit=2), "sku"),
            some.limit(2) is some, some.order_by("sku") is some, some.filter(shop="north") is some,
            rows(some, "sku"), rows(f(price__gte=0.0).limit(100), "price")]


@scenario("QueryBuilder.order_by")
def ordering_by_a_partitioned_field(client):
    for project, score in (("a", 0.5), ("b", 0.1), ("a", 0.9), ("c", 0.7)):
        Episode.create(project_id=project, title="t", score=score)
    return [rows(Episode.query.all(order_by="score"), "score"), rows(Episode.query.filter(title="t").order_by("-score"), "score"),
            rows(Episode.query.filter(project_id__in=["a", "c"]).order_by("-score").limit(2), "score"),
            rows(Episode.query.filter(project_id="a").order_by("score"), "score")]


@scenario("QueryBuilder.order_by")
def ordering_by_a_field_that_may_be_null(client):
    for email, name, age in (("a", "x", 5), ("b", None, None), ("c", "", -1), ("d", "y", 0)):
        User.create(email=email, name=name, age=age)
    return [rows(User.query.all(order_by="age"), "age"), rows(User.query.filter(email__in=list("abcd")).order_by("-age"), "age")]


@scenario("QueryBuilder.values")
def values_instead_of_objects(client):
    shop()
    f = Product.query.filter
    return [show(f(price__gte=2.0).order_by("price").values("price", "sku").all()),
            show(f(price__gte=2.0, shop="north", values=("sku", "price"), order_by="price").all()),
            show(sorted(f(shop="north").values("sku", "shop").all(), key=repr)),
            show(sorted(Product.query.all(values=("sku", "stock")), key=repr)),
            show(f(price__gte=2.0).values("sku", "note").first()["note"]),
            attempt(lambda: f(shop="north").order_by("price").values("sku").all())]


@scenario("QueryBuilder: iteration, len, [], bool, ==, in")
def a_query_is_like_a_list(client):
    shop()
    q = Product.query.filter(price__gte=2.0)
    one = Product.query.get(sku="plum", shop="south")
    return [[it.sku for it in q], len(q), q[0].sku, q[-1].sku, [it.sku for it in q[1:]], [it.sku for it in q[:1]], bool(q),
            bool(Product.query.filter(shop="none")), q == q.all(), q == Product.query.filter(price__gte=2.0), q == [],
            one in q, Product(sku="x", shop="y") in q, [it.sku for it in list(q)], attempt(lambda: q[9]),
            [it.sku for it in reversed(q[:])], [it.sku for it in sorted(q, key=lambda it: it.sku)],
            Product.query.filter(shop="none") == [], repr(q).startswith("<QueryBuilder")]


@scenario("QueryBuilder: iteration, len, [], bool, ==, in")
def a_query_asks_anew_each_time(client):
    shop()
    q = Product.query.filter(shop="north")
    before = len(q)
    Product.create(sku="new", shop="north", price=9.0, stock=1)
    return [before, len(q), q.count(), len(list(q))]


@scenario("query.all", "query.count", "query.keys", "Model.objects")
def all_of_a_model(client):
    shop()
    keys = Product.query.keys()
    return [unordered(Product.query.all(), "sku"), type(Product.query.all()).__name__, Product.query.count(),
            Product.query.count(shop="north"), Product.query.count(price__gte=2.0), type(keys).__name__,
            sorted({type(k).__name__ for k in keys}), sorted(key(k) for k in keys), User.query.count(), show(User.query.all()),
            show(User.query.keys()), Product.objects.count(), Product.query.count(label="green")]


@scenario("query.get_many")
def many_by_their_keys(client):
    shop()
    keys = [Product.query.get(sku=s).db_key.redis_key for s in ("plum", "apple")]
    missing = Product(sku="no", shop="no").db_key.redis_key
    found = Product.query.get_many([keys[0], missing, keys[1]])
    return [[show(it and it.sku) for it in found], rows(Product.query.get_many([missing] + keys, skip_none=True), "sku"),
            show(Product.query.get_many([]))]


# ----- Confidence ---------------------------------------------------------------------------------------


@scenario("ConfidenceField.update_confidence", "ConfidenceField.get_confidence", "ConfidenceField.get_confidence_data")
def confidence(client):
    it = Belief.create(name="a")
    shown = [show(it.trust), show(ConfidenceField.get_confidence(it, "trust")), figures(ConfidenceField.get_confidence_data(it, "trust"))]
    for signal in (1.0, 0.0, 0.5, 1, 0.9, 0.1):
        after = ConfidenceField.update_confidence(it, "trust", signal=signal)
        shown.append([type(after).__name__, round(after, 12), show(ConfidenceField.get_confidence(it, "trust")),
                      round(it.trust, 12)])
    shown.append(figures(ConfidenceField.get_confidence_data(it, "trust")))
    shown.append(show(ConfidenceField.get_confidence(Belief.query.get(name="a"), "trust")))
    it.delete()
    shown.append(show(ConfidenceField.get_confidence(Belief.create(name="a"), "trust")))
    return shown


@scenario("ConfidenceField.update_confidence")
def what_an_update_returns(client):
    it = Belief.create(name="a")
    for signal in (1.0, 0.0):
        after = ConfidenceField.update_confidence(it, "trust", signal=signal)
    return [after == ConfidenceField.get_confidence(it, "trust"), it.trust == after]


@scenario("ConfidenceField.update_confidence")
def confidence_that_is_refused(client):
    it = Belief.create(name="a")
    update = ConfidenceField.update_confidence
    return [attempt(update, it, "trust", signal=None), attempt(update, it, "trust", signal=1.5),
            attempt(update, it, "trust", signal=-0.1), attempt(update, it, "name", signal=0.5),
            attempt(update, Belief(name="new"), "trust", signal=0.5), attempt(ConfidenceField.get_confidence, it, "name"),
            attempt(ConfidenceField.get_confidence_data, it, "name"), show(ConfidenceField.get_confidence(it, "trust"))]


@scenario("ConfidenceField", "ConfidenceField(initial_confidence=)", "ConfidenceField(evidence_cap=)", "ConfidenceField(partition_by=)")
def confidence_that_is_misdeclared(client):
    return [attempt(ConfidenceField, initial_confidence=1.5), attempt(ConfidenceField, initial_confidence=-1),
            attempt(ConfidenceField, evidence_cap=0), attempt(ConfidenceField, evidence_cap=True),
            attempt(ConfidenceField, evidence_cap=2.5), attempt(ConfidenceField, partition_by=["a"]),
            show(ConfidenceField().initial_confidence), show(ConfidenceField(evidence_cap=3).evidence_cap),
            show(ConfidenceField(partition_by="project").partition_by), show(ConfidenceField().evidence_cap)]


@scenario("ConfidenceField.get_data_hash_key", "ConfidenceField.get_data_hash_key_from_values")
def names_of_companion_hashes(client):
    field = Memory._meta.fields["certainty"]
    it = Memory.create(project="atlas", key="f")
    other = Memory.create(project="hermes", key="g")
    by_values = field.get_data_hash_key_from_values(Memory, "certainty", project="atlas")
    plain = Belief._meta.fields["trust"]
    return [by_values, field.get_data_hash_key(it, "certainty"), field.get_data_hash_key(other, "certainty"),
            attempt(field.get_data_hash_key_from_values, Memory, "certainty"),
            plain.get_data_hash_key_from_values(Belief, "trust"), plain.get_data_hash_key(Belief(name="x"), "trust")]


@scenario("ConfidenceField(partition_by=)")
def confidence_moves_with_its_partition(client):
    class Note(Model):
        name = KeyField()
        topic = StringField()
        trust = ConfidenceField(partition_by="topic")

    it = Note.create(name="a", topic="old")
    ConfidenceField.update_confidence(it, "trust", signal=1.0)
    it.topic = "new"
    it.save()
    keys = sorted(k.decode() for k in client("KEYS", "*:data*"))
    return [keys, figures(ConfidenceField.get_confidence_data(it, "trust"))]


@scenario("ConfidenceField.get_confidence_filtered")
def confidence_by_pattern(client):
    for name in ("sky", "sea", "fire"):
        ConfidenceField.update_confidence(Belief.create(name=name), "trust", signal=1.0)
    found = ConfidenceField.get_confidence_filtered(Belief, "trust", pattern="Belief:s*")
    return [{k: figures(v) for k, v in found.items()}, sorted(ConfidenceField.get_confidence_filtered(Belief, "trust")),
            show(ConfidenceField.get_confidence_filtered(Belief, "trust", pattern="nothing")),
            attempt(ConfidenceField.get_confidence_filtered, Belief, "name")]


@scenario("ConfidenceField.get_confidence_filtered")
def confidence_by_pattern_within_partitions(client):
    for project, name in (("atlas", "a"), ("atlas", "b"), ("hermes", "c")):
        it = Memory.create(project=project, key=name)
        ConfidenceField.update_confidence(it, "certainty", signal=1.0)
    return [attempt(ConfidenceField.get_confidence_filtered, Memory, "certainty", pattern="*atlas*"),
            attempt(lambda: len(ConfidenceField.get_confidence_filtered(Memory, "certainty", pattern="Memory:atlas:*")))]


@scenario("ConfidenceField.migrate_to_partitioned")
def migrating_confidence(client):
    def memory(**options):
        return type(Model)("Migrating", (Model,), {
            "__module__": __name__, "name": KeyField(), "project": KeyField(), "trust": ConfidenceField(**options)})

    before, after = memory(), memory(partition_by="project")
    for n in range(6):
        ConfidenceField.update_confidence(before.create(name=str(n), project="ab"[n % 3 == 0]), "trust", signal=1.0)
    dry = ConfidenceField.migrate_to_partitioned(after, "trust", dry_run=True)
    report = ConfidenceField.migrate_to_partitioned(after, "trust")
    again = ConfidenceField.migrate_to_partitioned(after, "trust")
    it = after.query.get(name="0", project="b")
    return [[sorted(r["partitions"].items()) for r in (dry, report)], [sorted(r) for r in (dry, report)],
            [[show(r[k]) for k in ("total", "migrated", "errors")] for r in (dry, report)],
            [show(again[k]) for k in ("total", "migrated", "errors")], figures(ConfidenceField.get_confidence_data(it, "trust")),
            sorted(k.decode() for k in client("KEYS", "*:data*")),
            attempt(ConfidenceField.migrate_to_partitioned, before, "trust"),
            attempt(ConfidenceField.migrate_to_partitioned, after, "name")]


# ----- async ------------------------------------------------------------------------------------------


@scenario("Model.async_create", "Model.async_save", "Model.async_delete", "Model.async_load", "query.async_get",
          "query.async_filter", "query.async_all", "query.async_count", "query.async_keys", "query.async_get_many")
def the_same_asynchronously(client):
    async def all_of_it():
        await asyncio.gather(*(Product.async_create(sku=str(n), shop="ab"[n % 2], price=float(n), stock=n) for n in range(6)))
        it = await Product.query.async_get(sku="3", shop="b")
        it.label = "new"
        await it.async_save()
        await it.async_save(update_fields=["label"])
        shown = [show(await Product.async_load(sku="3", shop="b")), show(await Product.query.async_get(sku="9", shop="b")),
                 rows(await Product.query.async_filter(price__gte=3.0), "sku"),
                 rows(await Product.query.async_filter(price__gte=0.0, order_by="-price", limit=2), "sku"),
                 unordered(await Product.query.async_all(), "sku"), rows(await Product.query.async_all(order_by="sku", limit=2), "sku"),
                 await Product.query.async_count(), await Product.query.async_count(shop="a"),
                 len(await Product.query.async_keys())]
        keys = [it.db_key.redis_key, Product(sku="no", shop="no").db_key.redis_key]
        shown += [[show(x and x.sku) for x in await Product.query.async_get_many(keys)], show(await it.async_delete()),
                  show(await Product.query.async_get(sku="3", shop="b")), await Product.query.async_count()]
        try:
            await Product.query.async_get(shop="a")
        except Exception as why:
            shown.append({"raises": name_of(why)})
        return shown

    return run(all_of_it())


@scenario("Model.async_get_or_create", "Model.async_update_or_create", "Model.async_bulk_create", "Model.async_bulk_update",
          "Model.async_bulk_delete", "Model.async_delete_all")
def many_asynchronously(client):
    async def all_of_it():
        one, created = await User.async_get_or_create(email="a", defaults={"name": "first"})
        shown = [show(one), created]
        one, created = await User.async_update_or_create(email="a", defaults={"name": "second"})
        shown += [show(one), created]
        made = await User.async_bulk_create([User(email=str(n)) for n in range(9)])
        shown += [len(made), await User.query.async_count(), show(await User.async_bulk_update(made[:3], name="x")),
                  len(await User.query.async_filter(name="x")), show(await User.async_bulk_delete(made[:2])),
                  await User.query.async_count(), show(await User.async_delete_all()), await User.query.async_count()]
        return shown

    return run(all_of_it())


# ----- Connections and names ------------------------------------------------------------------------------


@scenario("redis_db.set_REDIS_DB_settings", "redis_db.check_connection", "redis_db.async_check_connection")
def another_database(client):
    from popoto.redis_db import async_check_connection, check_connection, set_REDIS_DB_settings

    here = urlsplit(os.environ["REDIS_URL"])
    number = int(here.path.strip("/") or 0)
    User.create(email="here")
    set_REDIS_DB_settings(host=here.hostname, port=here.port, db=number + 1)
    try:
        User.delete_all()
        User.create(email="there")
        shown = [unordered(User.query.all(), "email"), check_connection(), run(async_check_connection())]
        User.delete_all()
    finally:
        set_REDIS_DB_settings(host=here.hostname, port=here.port, db=number)
    shown.append(unordered(User.query.all(), "email"))
    set_REDIS_DB_settings(host="127.0.0.1", port=1)
    try:
        shown.append(check_connection())
    finally:
        set_REDIS_DB_settings(host=here.hostname, port=here.port, db=number)
    return shown + [check_connection()]


@scenario("redis_db.set_REDIS_DB_settings(redis_url=)")
def another_database_by_url(client):
    from popoto.redis_db import set_REDIS_DB_settings

    here = urlsplit(os.environ["REDIS_URL"])
    number = int(here.path.strip("/") or 0)
    User.create(email="here")
    try:
        set_REDIS_DB_settings(redis_url=f"redis://{here.hostname}:{here.port}/{number + 1}")
        return attempt(User.query.count)
    finally:
        set_REDIS_DB_settings(host=here.hostname, port=here.port, db=number)


@scenario("get_redis", "redis_db.get_REDIS_DB", "redis_db.POPOTO_REDIS_DB")
def a_client_for_commands_of_ones_own(client):
    from popoto import redis_db

    User.create(email="a")
    clients = [popoto.get_redis(), redis_db.get_REDIS_DB(), redis_db.POPOTO_REDIS_DB, popoto.POPOTO_REDIS_DB]
    return [[c.scard("$Class:User") for c in clients], len({id(c) for c in clients})]


@scenario("redis_db.OUTAGE_ERRORS")
def a_server_that_is_not_there(client):
    from popoto.redis_db import OUTAGE_ERRORS, set_REDIS_DB_settings

    here = urlsplit(os.environ["REDIS_URL"])
    set_REDIS_DB_settings(host="127.0.0.1", port=1)
    try:
        User.query.count()
        return "answered"
    except OUTAGE_ERRORS:
        return "an outage"
    finally:
        set_REDIS_DB_settings(host=here.hostname, port=here.port, db=int(here.path.strip("/") or 0))


@scenario("ModelException", "QueryException", "KeyMutationError", "CorruptFieldError")
def exceptions_and_where_they_are(client):
    import popoto.exceptions as e

    return [issubclass(popoto.KeyMutationError, ModelException), issubclass(popoto.CorruptFieldError, ModelException),
            issubclass(ModelException, Exception), issubclass(QueryException, Exception),
            issubclass(QueryException, ModelException), e.ModelException is ModelException,
            e.QueryException is QueryException, e.KeyMutationError is popoto.KeyMutationError,
            e.CorruptFieldError is popoto.CorruptFieldError]


@scenario("SkipSaveException")
def an_exception_to_name(client):
    return [issubclass(popoto.SkipSaveException, ModelException)]


@scenario("CorruptFieldError")
def a_value_that_cannot_be_read(client):
    it = User.create(email="a", name="A", age=5)
    stored = [k for k in client("KEYS", "User:*")][0]
    client("HSET", stored, "age", b"\xc1")
    again = attempt(lambda: User.query.get(email="a").name)

    def save():
        broken = User.query.get(email="a")
        broken.name = "B"
        broken.save()

    return [again, attempt(lambda: User.query.get(email="a").age), attempt(save), client("HGET", stored, "age") == b"\xc1"]


@scenario("QueryException")
def the_querys_own_exception(client):
    from popoto.models.query import QueryException as own

    return own is QueryException


@scenario("__version__", "popoto.fields.confidence_field", "popoto.fields.field", "popoto.fields.shortcuts",
          "popoto.fields.datetime_field", "popoto.models.base", "popoto.models.query", "popoto.exceptions", "popoto.redis_db")
def where_names_are_found(client):
    import importlib

    found = []
    for module, names in [
            ("popoto.fields.confidence_field", "ConfidenceField"), ("popoto.fields.field", "Field"),
            ("popoto.fields.shortcuts", "IntField KeyField SortedField AutoKeyField UniqueKeyField StringField"),
            ("popoto.fields.datetime_field", "DatetimeField"), ("popoto.models.base", "Model ModelBase"),
            ("popoto.models.query", "Query QueryBuilder QueryException"), ("popoto.exceptions", "ModelException QueryException"),
            ("popoto.redis_db", "set_REDIS_DB_settings")]:
        for name in names.split():
            found.append([module, name, hasattr(importlib.import_module(module), name)])
    return found + [isinstance(popoto.__version__, str)]


# ----- Odds and ends ------------------------------------------------------------------------------------


@scenario("Model")
def fields_of_a_parent(client):
    class Parent(Model):
        name = KeyField()

        def loud(self):
            return "loud"

    class Child(Parent):
        extra = StringField()

    return [Child(extra="x").loud(), sorted(Child._meta.fields)]


@scenario("Model")
def fields_seen_from_the_class(client):
    return [User.email is User._meta.fields["email"], type(User.age).__name__, User.age.name, User.age.type.__name__, User.age.null]


@scenario("Model")
def attributes_that_are_no_fields(client):
    it = User(email="a", nothing=1)
    it.save()
    return [show(it.nothing), attempt(lambda: User.query.get(email="a").nothing), attempt(lambda: User("a"))]


@scenario("Model.save")
def lists_that_were_changed_in_place(client):
    it = Every.create(name="a", items=[1], table={"a": 1}, bag={1})
    it.items.append(2)
    it.table["b"] = [3]
    it.bag.add(4)
    it.save()
    again = Every.query.get(name="a")
    again.items.clear()
    again.save()
    last = Every.query.get(name="a")
    return [show(last.items), show(last.table), show(last.bag), show(it.items)]


@scenario("Model.save", "Model.delete")
def saving_what_was_deleted(client):
    it = User.create(email="a", name="one")
    it.delete()
    it.save()
    return [show(User.query.get(email="a")), User.query.count()]


@scenario("Model.save")
def saving_what_another_deleted(client):
    it = User.create(email="a", name="one")
    User.query.get(email="a").delete()
    it.name = "two"
    return [attempt(lambda: bool(it.save())), User.query.count()]


@scenario("Model.save")
def the_last_save_wins(client):
    User.create(email="a", name="one", age=1)
    one, two = User.query.get(email="a"), User.query.get(email="a")
    one.name = "first"
    one.save()
    two.age = 2
    two.save()
    return show(User.query.get(email="a"))


@scenario("Model.save(migrate_key=)")
def moving_to_a_key_that_is_taken(client):
    it = User.create(email="a", name="one")
    User.create(email="b", name="two")
    it.email = "b"
    return [attempt(lambda: bool(it.save(migrate_key=True))), unordered(User.query.all(), "email", "name")]


@scenario("query.filter", "Lookup: exact")
def filters_of_other_types(client):
    class Lane(Model):
        lane = KeyField(type=int)
        at = SortedField(type=dt.datetime)
        price = SortedField(type=float)

    zone = dt.timezone.utc
    for n in (9, 10):
        Lane.create(lane=n, at=dt.datetime(2026, 1, n, tzinfo=zone), price=float(n))
    f = Lane.query.filter
    return [rows(f(lane="9"), "lane"), rows(f(lane=9), "lane"), rows(f(price__gte=10), "lane"), rows(f(price__gte=Decimal("9.5")), "lane"),
            rows(f(at__gte=dt.datetime(2026, 1, 10, tzinfo=zone)), "lane"), rows(f(at__gte=dt.datetime(2026, 1, 10)), "lane"),
            rows(f(at__lt=dt.datetime(2026, 1, 10, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))), "lane"),
            rows(f(lane__in=("9", 10)).order_by("price"), "lane")]


@scenario("QueryBuilder.order_by")
def ordering_by_a_number_in_the_key(client):
    class Lane(Model):
        lane = KeyField(type=int)

    for n in (9, 10, 100):
        Lane.create(lane=n)
    return [rows(Lane.query.all(order_by="lane"), "lane"), rows(Lane.query.filter().order_by("lane").limit(1), "lane"),
            rows(Lane.query.filter().order_by("-lane").limit(1), "lane")]


@scenario("QueryBuilder.limit")
def limits_of_nothing(client):
    shop()
    f = Product.query.filter
    return [len(f(shop="north").limit(0).all()), len(f(price__gte=0.0).limit(0).all()), len(Product.query.all(limit=0)),
            f(shop="north").limit(1).first().shop]


@scenario("QueryBuilder.values")
def values_as_a_list(client):
    shop()
    return [attempt(lambda: list(Product.query.filter(shop="north", values=["sku"]))), attempt(lambda: Product.query.all(values=["sku"]))]


@scenario("QueryBuilder.values")
def values_of_no_field(client):
    shop()
    return attempt(lambda: Product.query.filter(shop="east").values("nothing").all())


@scenario("ConfidenceField")
def confidence_that_is_given(client):
    it = Belief.create(name="a", trust=0.9)
    shown = [show(it.trust), show(ConfidenceField.get_confidence(it, "trust")), show(Belief.query.get(name="a").trust)]
    it.trust = 0.1
    it.save()
    shown += [show(ConfidenceField.get_confidence(it, "trust")), show(Belief.query.get(name="a").trust)]
    ConfidenceField.update_confidence(it, "trust", signal=1.0)
    return shown + [show(it.trust), show(ConfidenceField.get_confidence(it, "trust"))]


@scenario("Model.save(migrate_key=)", "ConfidenceField")
def confidence_moves_with_its_record(client):
    it = Belief.create(name="a")
    ConfidenceField.update_confidence(it, "trust", signal=1.0)
    it.name = "b"
    it.save(migrate_key=True)
    return [show(ConfidenceField.get_confidence(it, "trust")), sorted(ConfidenceField.get_confidence_filtered(Belief, "trust"))]


@scenario("Model.create")
def creating_without_a_key(client):
    return [attempt(lambda: User.create(name="x").email), User.query.count(), attempt(lambda: Product.create(sku="a", price=1.0, stock=1).shop)]


@scenario("Field(type=)")
def texts_of_every_kind(client):
    texts = ["", " ", "\0", "\ud7ff", "\U0001f600", "a" * 2000, "{&#58;}", ":", "*", "\r\n", "'\""]
    for n, text in enumerate(texts):
        Every.create(name=text or "empty", text=text, number=n)
    return [[Every.query.get(name=t or "empty").text == t for t in texts], Every.query.count(),
            [len(Every.query.filter(name=t or "empty")) for t in texts]]


@scenario("KeyField")
def the_text_none_in_a_key(client):
    return [attempt(lambda: Maybe.create(name="a", group="None").group), Maybe.query.count()]


@scenario("IntField")
def a_bool_in_a_number_field(client):
    Every.create(name="a", number=True)
    return show(Every.query.get(name="a").number)


@scenario("Field(type=)")
def numbers_at_the_edges(client):
    shown = []
    for n, (number, ratio) in enumerate([(2**63 - 1, 1e308), (-(2**63), 5e-324), (0, -0.0), (1, float("inf"))]):
        shown.append(attempt(lambda: fields(Every.create(name=str(n), number=number, ratio=ratio))["number"]))
        shown.append(attempt(lambda: [Every.query.get(name=str(n)).number, Every.query.get(name=str(n)).ratio]))
    return shown


@scenario("QueryBuilder.order_by", "SortedField(partition_by=)")
def ordering_by_a_partitioned_day(client):
    class Visit(Model):
        name = KeyField()
        place = KeyField()
        day = SortedField(type=dt.date, partition_by="place")

    for n, place in enumerate("aba"):
        Visit.create(name=str(n), place=place, day=dt.date(2026, 1, 9 - n))
    return [rows(Visit.query.all(order_by="day"), "name"), rows(Visit.query.filter(name__in=["0", "2"]).order_by("-day").limit(1), "name")]


@scenario("Model")
def an_init_of_ones_own(client):
    calls = []

    class Own(Model):
        name = KeyField()
        text = StringField()

        def __init__(self, name=None, **others):
            calls.append(name)
            super().__init__(name=name, **others)
            self.made = True

    it = Own("a", text="x")
    it.save()
    again = Own.query.get(name="a")
    return [it.made, show(again), attempt(lambda: again.made), Own.create(name="b").made]


@scenario("Field(type=)")
def subclasses_of_types(client):
    import collections
    import enum

    class Colour(str, enum.Enum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    Point = collections.namedtuple("Point", "x y")

    class Day(dt.date):
        pass

    shown = []
    for name, value in [("text", Colour.RED), ("number", Level.HIGH), ("table", collections.OrderedDict(a=1)),
                        ("table", collections.defaultdict(int, b=2)), ("pair", Point(1, 2)), ("bag", frozenset({1})),
                        ("day", Day(2026, 1, 2)), ("day", dt.datetime(2026, 1, 2, 3)), ("items", [Colour.RED]),
                        ("raw", bytearray(b"x")), ("raw", memoryview(b"x"))]:
        client("FLUSHDB")

        def store():
            Every.create(name="a", **{name: value})
            return getattr(Every.query.get(name="a"), name)

        shown.append([name, attempt(store)])
    return shown


@scenario("KeyField(type=)")
def enumerations_as_keys(client):
    import enum

    class Colour(str, enum.Enum):
        RED = "red"

    User.create(email=Colour.RED)
    return [len(User.query.filter(email="red")), len(User.query.filter(email=Colour.RED)), attempt(lambda: User.query.get(email="red").email)]


@scenario("SortedField")
def sorted_values_that_change(client):
    it = Product.create(sku="a", shop="s", price=1.0, stock=1)
    shown = []
    for price in (5.0, -1.0, 5.0):
        it.price = price
        it.save()
        shown.append([len(Product.query.filter(price=price)), len(Product.query.filter(price__lt=0)), Product.query.count(price__gt=4)])
    it.price = None
    return shown + [attempt(it.save), rows(Product.query.all(), "price")]


@scenario("Model.bulk_create")
def many_with_one_that_is_wrong(client):
    class Must(Model):
        name = KeyField()
        must = Field(type=int, null=False)

    made = [Must(name="a", must=1), Must(name="b"), Must(name="c", must=3)]
    first = attempt(lambda: len(Must.bulk_create(made)))
    return [first, attempt(lambda: len(User.bulk_create(iter([User(email="x")])))), attempt(lambda: len(User.bulk_create([User(email=str(n)) for n in range(25)], batch_size=10))),
            User.query.count()]


@scenario("Meta.order_by")
def an_order_and_a_chain(client):
    for n in (2, 3, 1):
        Latest.create(name=str(n), rank=n)
    return [Latest.query.filter(rank__gte=0).first().rank, Latest.query.filter(rank__gte=0).last().rank,
            rows(Latest.query.filter(name__in=["1", "2"]), "rank"), rows(Latest.query.all(limit=2), "rank"),
            rows(Latest.query.filter(rank__lt=3).limit(1), "rank")]


# ----- Running ------------------------------------------------------------------------------------------


def main():
    here = urlsplit(os.environ["REDIS_URL"])
    client = Client(here.port, int(here.path.strip("/") or 0))
    client("CONFIG", "SET", "save", "")
    for name, (function, covered) in SCENARIOS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        client("FLUSHDB")
        try:
            result = function(client)
        except Exception as why:  # one that fails is one that differs
            at = why.__traceback__
            while at.tb_next is not None and at.tb_next.tb_frame.f_code.co_filename == __file__:
                at = at.tb_next
            result = {"failed": f"{type(why).__name__}: {why}", "at": f"line {at.tb_lineno}"}
        print(json.dumps({"name": name, "rows": covered, "result": result}), flush=True)


if __name__ == "__main__":
    main()
