"""Fields that make a record's key: KeyField, UniqueKeyField, AutoKeyField, TenantField."""

from __future__ import annotations

import secrets
import uuid
from datetime import date, datetime
from decimal import Decimal
from time import time as now
from typing import Any

from .._core import KINDS
from ..exceptions import ModelException, UnsupportedError
from .field import Field, takes

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@takes(type=str, null=True, default=None, max_length=None)
class KeyField(Field):
    """Part of the key, and indexed: records are found by it without looking at others.

    In the documented dialect it cannot be None; with `dialect = "popoto"` it can, as in Popoto.
    """

    kind = KINDS["key"]
    key = True
    field_class_key = "$KeyF"
    _types = frozenset({int, float, Decimal, str, bool, bytes, date, datetime})

    def __init__(self, *args: Any, **options: Any) -> None:
        options.pop("key", None)
        if options.pop("unique", False) and not type(self).unique:
            raise UnsupportedError("KeyField(unique=True) is written UniqueKeyField() here")
        super().__init__(**options)

    def get_filter_query_params(self, field_name: str) -> "set[str]":
        """Exact values, lists of them, None and the ends of text."""
        lookups = ("isnull", "contains", "startswith", "endswith", "in")
        return {field_name, *(f"{field_name}__{lookup}" for lookup in lookups)}


@takes(type=str, default=None, max_length=None)
class UniqueKeyField(KeyField):
    """Part of the key, and of no two records the same."""

    kind = KINDS["unique_key"]
    unique = True
    field_class_key = "$UniqueKeyF"
    _null = False

    def __init__(self, *args: Any, **options: Any) -> None:
        if options.pop("unique", True) is False:
            raise ModelException("you may not set unique=False on this field type")
        if options.get("null") is True:
            raise ModelException("you may not set null=True on this field type")
        super().__init__(**options)


@takes(strategy="uuid4", auto_uuid_length=32)
class AutoKeyField(UniqueKeyField):
    """A key that generates itself: a random `uuid4` (32 hex digits) or a `ulid`, which sorts by time.

    An object has it from the start, as Popoto's do; one that is stored before anybody looked gets it from
    the C library, which then knows that no other record can have it.
    """

    kind = KINDS["auto_key"]
    auto = True
    field_class_key = "$AutoKeyF"
    _types = frozenset({str})

    def __init__(self, *args: Any, **options: Any) -> None:
        self.strategy = options.pop("strategy", "uuid4")
        self.auto_uuid_length = options.pop("auto_uuid_length", 32)
        options.pop("auto", None)
        if self.strategy == "ksuid":
            raise UnsupportedError('AutoKeyField(strategy="ksuid") is not there: use "ulid", which sorts too')
        if self.strategy not in ("uuid4", "ulid"):
            raise ValueError(f"Invalid strategy '{self.strategy}'. Valid strategies are: uuid4, ulid")
        if not 1 <= self.auto_uuid_length <= 32:
            raise ModelException("auto_uuid_length is 1 to 32")
        super().__init__(**options)
        if self.strategy == "uuid4" and self.auto_uuid_length != 32:
            self.default = self.get_new_auto_key_value  # the library makes whole ones

    def _length(self) -> int:
        return 26 if self.strategy == "ulid" else int(self.auto_uuid_length)

    def get_new_auto_key_value(self) -> str:
        """A fresh key."""
        if self.strategy == "ulid":
            number = int(now() * 1000) << 80 | secrets.randbits(80)
            return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))
        return uuid.uuid4().hex[: self.auto_uuid_length]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        # Only reached where the object has no value yet: its own dictionary comes first.
        if instance is None:
            return self
        value = instance.__dict__[self.name] = self.get_new_auto_key_value()
        return value


@takes(type=str, max_length=None)
class TenantField(Field):
    """Owns the record: every key of the model begins with its value in braces. See docs/python.md.

    A call that names no tenant, by the object, a filter or `popoto.scope`, is refused.
    """

    kind = KINDS["tenant"]
    key = True
    field_class_key = "$TenantF"
    _null = False
    _types = frozenset({str, bytes, int})

    def __init__(self, *args: Any, **options: Any) -> None:
        options.pop("key", None)
        super().__init__(**options)

    def get_filter_query_params(self, field_name: str) -> "set[str]":
        """Exact values."""
        return {field_name}
