"""A field for each type, by name; and the fields of keys and orders, where Popoto has them."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from typing import Any

from ..exceptions import UnsupportedError
from .datetime_field import DatetimeField
from .field import Field, takes
from .key_field import AutoKeyField, KeyField, TenantField, UniqueKeyField
from .sorted_field import SortedField

__all__ = [
    "AutoKeyField",
    "BooleanField",
    "BytesField",
    "DateField",
    "DatetimeField",
    "DecimalField",
    "DictField",
    "FloatField",
    "IntField",
    "KeyField",
    "ListField",
    "SetField",
    "SortedField",
    "StringField",
    "TenantField",
    "TimeField",
    "TupleField",
    "UniqueKeyField",
]


@takes(null=True, default=None)
class _Typed(Field):
    """A plain field whose type is in its name."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["type"] = self._type
        super().__init__(**options)


class IntField(_Typed):
    """A whole number, of 64 bits."""

    _type = int


class FloatField(_Typed):
    """A number."""

    _type = float


class DecimalField(_Typed):
    """A `Decimal`, exact."""

    _type = Decimal


@takes(null=True, default=None, max_length=None)
class StringField(_Typed):
    """Text."""

    _type = str


class BooleanField(_Typed):
    """True or False."""

    _type = bool


class BytesField(_Typed):
    """Bytes."""

    _type = bytes


@takes(null=True, default=None)
class ListField(_Typed):
    """A list of anything that can be stored."""

    _type = list

    def __init__(self, *args: Any, **options: Any) -> None:
        if options.get("max_length") is not None:
            raise UnsupportedError("ListField(max_length=...), Popoto's capped list, is not there")
        super().__init__(**options)


class DictField(_Typed):
    """A dictionary of anything that can be stored."""

    _type = dict


class SetField(_Typed):
    """A set."""

    _type = set


class TupleField(_Typed):
    """A tuple."""

    _type = tuple


class DateField(_Typed):
    """A day."""

    _type = date


class TimeField(_Typed):
    """A time of day, without an offset."""

    _type = time
