"""SortedField: numbers, moments and days, by which records are found in ranges and in order."""

from __future__ import annotations

import warnings
from datetime import date, datetime
from decimal import Decimal
from time import time as now
from typing import Any

from .._core import KINDS
from ..exceptions import ModelException
from .field import Field, takes


@takes(type=float, default=None, partition_by=(), auto_now=False, auto_now_add=False)
class SortedField(Field):
    """Indexed by value. With `partition_by`, one index for each value of the fields that it names."""

    kind = KINDS["sorted"]
    sorted = True
    field_class_key = "$SortedF"
    _type = float
    _null = False
    _types = frozenset({int, float, Decimal, datetime, date})

    def __init__(self, *args: Any, **options: Any) -> None:
        if "sort_by" in options:
            if "partition_by" in options:
                raise ModelException("Cannot specify both 'sort_by' and 'partition_by'.")
            warnings.warn("sort_by is deprecated, use partition_by instead", DeprecationWarning, stacklevel=2)
            options["partition_by"] = options.pop("sort_by")
        self.auto_now_add = bool(options.pop("auto_now_add", False))
        self.auto_now = bool(options.pop("auto_now", False))
        options.pop("sorted", None)
        if options.get("null", False) is not False:
            raise ModelException("SortedField cannot be null")
        super().__init__(**options)

    def format_value_pre_save(self, field_value: Any, skip_auto_now: bool = False, **kwargs: Any) -> Any:
        """The time, for fields that keep it."""
        if self.type in (int, float) and (
            (self.auto_now and not skip_auto_now) or (self.auto_now_add and not field_value)
        ):
            return int(now()) if self.type is int else now()
        return field_value

    def get_filter_query_params(self, field_name: str) -> "set[str]":
        """Exact values and ranges."""
        return {field_name, *(f"{field_name}__{lookup}" for lookup in ("gt", "gte", "lt", "lte", "between", "in"))}
