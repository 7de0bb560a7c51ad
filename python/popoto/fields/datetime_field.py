"""DatetimeField: a moment, which can keep the time by itself."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from .field import Field, takes


@takes(null=True, default=None, auto_now=False, auto_now_add=False)
class DatetimeField(Field):
    """A `datetime`, with or without an offset. `auto_now` is set at each save, `auto_now_add` at the first."""

    field_class_key = "$DatetimeF"
    _type = datetime

    def __init__(self, *args: Any, **options: Any) -> None:
        self.auto_now_add = bool(options.pop("auto_now_add", False))
        self.auto_now = bool(options.pop("auto_now", False))
        options["type"] = datetime
        super().__init__(**options)

    def format_value_pre_save(self, field_value: Any, skip_auto_now: bool = False, **kwargs: Any) -> Any:
        """The moment of the save, for fields that keep it."""
        if (self.auto_now_add and not field_value) or (self.auto_now and not skip_auto_now):
            return datetime.now(timezone.utc)
        return field_value
