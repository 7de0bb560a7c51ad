"""Field: what all fields have in common, and the plain one."""

from __future__ import annotations

import copy
import inspect
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, TypeVar, Union

from .._core import KINDS
from ..exceptions import ModelException

VALID_FIELD_TYPES = {int, float, Decimal, str, bool, bytes, list, dict, set, tuple, date, datetime, time}

# Defaults of these types belong to one object each: two objects must not share a list.
_MUTABLE = (list, dict, set)


F = TypeVar("F", bound=type)


def takes(**options: Any) -> Callable[[F], F]:
    """Says which options a class of fields takes, with their defaults, to help() and inspect.signature."""

    def decorate(cls: F) -> F:
        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=options[name]) for name in options]
        setattr(cls, "__signature__", inspect.Signature(parameters))
        return cls

    return decorate


@takes(type=str, null=True, default=None, max_length=None)
class Field:
    """A value that is stored and neither part of the key nor indexed.

    `type` is one of `VALID_FIELD_TYPES`; a value of another type is converted to it, or refused. `null`
    (True unless said otherwise) allows None; `default` is what an object has that was not told better, a
    value or something to call; `max_length` is the longest text, in characters.
    """

    kind = KINDS["field"]
    type: Any = str
    key = False
    unique = False
    auto = False
    null: bool = True
    max_length: Optional[int] = None
    default: Any = None
    sorted = False
    indexed = False
    name: str = ""
    partition_by: Tuple[str, ...] = ()
    field_class_key = "$F"

    # What subclasses want otherwise.
    _type: Any = str
    _null = True
    _types = frozenset(VALID_FIELD_TYPES)

    def __init__(self, **options: Any) -> None:
        self.type = options.pop("type", self._type)
        self.null = bool(options.pop("null", self._null))
        self.max_length = options.pop("max_length", None)
        self.default = options.pop("default", None)
        self.partition_by = _names(options.pop("partition_by", ()))
        self.options = options
        if self.type not in self._types:
            raise ModelException(f"{self.type} is not a valid {type(self).__name__} type")
        for name in ("unique", "indexed"):
            if options.get(name) and not getattr(type(self), name):
                raise ModelException(f"a {type(self).__name__} cannot be {name}: there is a field for that")
        if options.get("key") and not type(self).key:
            raise ModelException(f"a {type(self).__name__} cannot be a key: use KeyField")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            setattr(cls, "__signature__", None)  # that of its own

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def format_value_pre_save(self, field_value: Any, skip_auto_now: bool = False, **kwargs: Any) -> Any:
        """The value to store in the place of this one. Subclasses may have another opinion."""
        return field_value

    def get_filter_query_params(self, field_name: str) -> "set[str]":
        """The filters that an index answers (the others look through all records)."""
        return set()

    @classmethod
    def get_special_use_field_db_key(cls, model: Any, *field_names: str) -> str:
        """What the keys of this field's index begin with."""
        return ":".join((cls.field_class_key, model._meta.model_name, *field_names))

    def _described(self, name: str, nullable: bool) -> Tuple[Any, ...]:
        """As the core is told it; see schema.c."""
        default = self.default
        how = 0 if default is None else 2 if callable(default) else 1
        if isinstance(default, _MUTABLE):
            how, default = 2, _Copy(default)
        return (
            name,
            self.kind,
            self.type,
            nullable,
            how,
            default,
            self._length(),
            ",".join(self.partition_by) or None,
            getattr(self, "initial_confidence", 0.5),
            getattr(self, "evidence_cap", 20),
            getattr(self, "strategy", "uuid4") == "ulid",
        )


    def _length(self) -> int:
        """How long text may be; -1: as it likes."""
        return -1 if self.max_length is None or self.type is not str else self.max_length

    if TYPE_CHECKING:
        # An object has the value where its class has the field; there is no descriptor that says so when
        # the program runs, because attributes are found sooner without.
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...
        def __set__(self, instance: Any, value: Any) -> None: ...


class _Copy:
    """Gives each object a copy of a default of its own."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __call__(self) -> Any:
        return copy.deepcopy(self.default)


def _names(given: Union[str, Tuple[str, ...], None]) -> Tuple[str, ...]:
    """partition_by, as a tuple of names."""
    if not given:
        return ()
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, tuple):
        raise ModelException("partition_by must be str or tuple of str field names")
    return given
