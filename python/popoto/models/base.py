"""Model, and the metaclass that turns a class body into a model."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import os
from functools import cached_property
from typing import Any, ClassVar, Dict, Iterable, List, Optional, Set, Tuple, Type, TypeVar, Union

from .. import _core
from ..exceptions import KeyMutationError, ModelException, RecordExistsError, DuplicateError, UnsupportedError
from ..fields.field import Field
from ..fields.key_field import AutoKeyField
from ..scopes import field_names_of_all
from .db_key import DB_key
from .query import Query

__all__ = ["Model", "ModelBase", "ModelOptions"]

M = TypeVar("M", bound="Model")

_DIALECTS = {"documented": 0, "popoto": 1}
#: By which a field of Popoto's keeps an index in Redis.
_HOOKS = ("on_save", "on_delete", "is_valid", "filter_query", "pre_save_validate", "export_state", "import_state")
_RESERVED_NAMES = ("limit", "order_by", "values")


class ModelOptions:
    """What is known of a model: `Model._options` (which Popoto calls `_meta`; both are there)."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.db_class_key = DB_key(model_name)
        self.db_class_set_key = DB_key("$Class", model_name)
        self.explicit_fields: Dict[str, Field] = {}
        self.hidden_fields: Dict[str, Field] = {}
        self.filter_query_params_by_field: Dict[str, Set[str]] = {}
        self.key_field_names: Set[str] = set()
        self.auto_field_names: Set[str] = set()
        self.sorted_field_names: Set[str] = set()
        self.parents: List[type] = []
        self.meta: Any = None
        self.abstract = False
        self.order_by: Optional[str] = None
        self.ttl: Optional[int] = None
        self.dialect = "documented"
        self.allow_scan = True

    @property
    def fields(self) -> Dict[str, Field]:
        """Every field by its name."""
        return {**self.explicit_fields, **self.hidden_fields}

    @property
    def field_names(self) -> List[str]:
        """Their names."""
        return list(self.fields)

    @property
    def db_key_length(self) -> int:
        """How many segments a record's key has."""
        return 1 + len(self.key_field_names)

    @cached_property
    def key_parts(self) -> List[str]:
        """What a key is made of, in its order: names of fields, and "" for the model's own."""
        names = [name for name in self.fields if name in self.key_field_names]
        tenants = [name for name in names if self.fields[name].kind == _core.KINDS["tenant"]]
        others = [name for name in names if name not in tenants]
        return [*tenants, "", *(sorted(others) if self.dialect == "popoto" else others)]

    def add_field(self, name: str, field: Field) -> None:
        """One more field."""
        if not name[0] == "_" and not name[0].islower():
            raise ModelException(f"{name} field name must start with a lowercase letter.")
        if name in _RESERVED_NAMES:
            raise ModelException(f"{name} is a reserved field name: a query's own argument has it")
        for hook in _HOOKS:
            if hasattr(type(field), hook):
                raise UnsupportedError(
                    f"{type(field).__name__}.{hook} of {self.model_name}.{name} would never be called: indexes are "
                    "the library's, written in one step with the record. format_value_pre_save is called before a save"
                )
        (self.hidden_fields if name.startswith("_") else self.explicit_fields)[name] = field
        field.name = name
        self.filter_query_params_by_field[name] = field.get_filter_query_params(name)
        for names, is_one in (
            (self.key_field_names, field.key),
            (self.auto_field_names, field.auto),
            (self.sorted_field_names, field.sorted),
        ):
            (names.add if is_one else names.discard)(name)

    def _take_meta(self, meta: Any) -> None:
        """The class body's `class Meta`."""
        self.meta = meta
        self.abstract = bool(getattr(meta, "abstract", False))
        self.order_by = getattr(meta, "order_by", None)
        self.ttl = getattr(meta, "ttl", None)
        self.dialect = getattr(meta, "dialect", None) or os.environ.get("POPOTO_DIALECT") or "documented"
        self.allow_scan = bool(getattr(meta, "allow_scan", os.environ.get("POPOTO_ALLOW_SCAN") != "0"))
        name = self.model_name
        if self.order_by and self.order_by.lstrip("-") not in self.fields:
            raise ModelException(
                f"Meta.order_by references '{self.order_by.lstrip('-')}' but this field does not exist on {name}"
            )
        if self.ttl is not None and (not isinstance(self.ttl, int) or self.ttl <= 0):
            raise ModelException(f"Meta.ttl must be a positive integer (seconds), got {self.ttl}")
        if self.dialect not in _DIALECTS:
            raise ModelException(f'Meta.dialect is "documented" or "popoto", got {self.dialect!r}')
        if self.abstract:
            raise UnsupportedError(
                f"Meta.abstract of {name}: leave it out. Every model's fields are inherited by its children here"
            )
        for option in ("indexes", "unique_together", "backend"):
            if getattr(meta, option, None) not in (None, (), [], "redis"):
                raise UnsupportedError(f"Meta.{option} of {name}: libpopoto has no such thing")

    def _described(self) -> Tuple[Any, ...]:
        """Every field as the core is told it."""
        fields = self.fields
        partitions = {by for field in fields.values() for by in field.partition_by}
        nullable_kinds = {_core.KINDS["field"]} | ({_core.KINDS["key"]} if self.dialect == "popoto" else set())
        return tuple(
            field._described(name, field.null and field.kind in nullable_kinds and name not in partitions)
            for name, field in fields.items()
        )


class ModelBase(type):
    """The metaclass of models: collects the fields, and gives the class its schema and its queries."""

    _meta: ModelOptions
    _options: ModelOptions
    query: Any

    def __new__(mcs, name: str, bases: Tuple[type, ...], attrs: Dict[str, Any], **kwargs: Any) -> Any:
        parents = [base for base in bases if isinstance(base, ModelBase)]
        if not parents:
            return super().__new__(mcs, name, bases, attrs, **kwargs)
        meta = attrs.pop("Meta", None)
        options = ModelOptions(name)
        options.parents = list(parents)
        for parent in reversed(parents):
            for field_name, field in getattr(parent, "_meta", ModelOptions("")).explicit_fields.items():
                options.add_field(field_name, field)
        for attribute, value in attrs.items():
            if isinstance(value, Field):
                options.add_field(attribute, value)
            elif not (
                attribute.startswith("_") or callable(value) or hasattr(value, "__func__") or hasattr(value, "__set__")
            ):
                raise ModelException(
                    f"public model attributes must inherit from class Field. Try using a private var (eg. _{attribute})"
                )
        if not options.key_field_names:
            attrs["_auto_key"] = AutoKeyField()
            options.add_field("_auto_key", attrs["_auto_key"])
        options._take_meta(meta)
        cls: Any = super().__new__(mcs, name, bases, attrs, **kwargs)
        options.meta = meta or getattr(cls, "Meta", None)
        cls._meta = cls._options = options
        cls._core_schema = _core.schema(
            name, options._described(), options.ttl or 0, _DIALECTS[options.dialect]
        )
        cls._core_schema.bind(cls, _hooks(options))
        cls._core_plain = cls.save is Model.save and cls.pre_save is Model.pre_save
        cls.objects = cls.query = Query(cls)
        field_names_of_all.update(options.fields)
        return cls

    @property
    def __signature__(cls) -> inspect.Signature:
        """What a call of the class takes; see inspect.signature."""
        own: Any = cls.__init__  # type: ignore[misc]
        if own is not _core.Record.__init__:
            every = list(inspect.signature(own).parameters.values())
            return inspect.Signature(every[1:])
        return inspect.Signature([inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


def _hooks(options: ModelOptions) -> Tuple[Any, ...]:
    """The fields that want to change their values before a save."""
    return tuple(
        (name, field.format_value_pre_save)
        for name, field in options.fields.items()
        if type(field).format_value_pre_save is not Field.format_value_pre_save
        and (getattr(field, "auto_now", True) or getattr(field, "auto_now_add", True))
    )


class Model(_core.Record, metaclass=ModelBase):
    """An object that has a record in Redis. A class of it names its fields:

        class Episode(Model):
            project_id = KeyField(type=str)
            episode_id = AutoKeyField()
            title = Field(type=str)
            score = SortedField(type=float, partition_by="project_id")

    `class Meta` in it can have `order_by` (of queries without one), `ttl` (seconds until a record expires
    after each save), and `dialect`: "documented" writes the keys that Popoto's manual prints,
    "popoto" those that Popoto writes, so that both can use one database. POPOTO_DIALECT in the environment
    is the dialect of models that name none. With `allow_scan = False` (POPOTO_ALLOW_SCAN=0 for models that say
    nothing) a query that no index answers is refused, in the place of looking at every record.
    """

    query: ClassVar[Query[Any]]
    objects: ClassVar[Query[Any]]
    _meta: ClassVar[ModelOptions]
    _options: ClassVar[ModelOptions]
    _core_schema: ClassVar[_core.Schema] = None  # type: ignore[assignment]
    _core_plain: ClassVar[bool] = True

    # -- What it is

    def __repr__(self) -> str:
        return f"<{type(self).__name__} Popoto object at {self._key_or_reason()}>"

    def __str__(self) -> str:
        return self._key_or_reason()

    def _key_or_reason(self) -> str:
        try:
            return self.pk
        except Exception as reason:
            return f"({reason})"

    @property
    def db_key(self) -> DB_key:
        """The key that its record has, or would have."""
        for name in self._meta.auto_field_names:
            getattr(self, name)  # there from now on
        text = self._core_key()
        return DB_key([getattr(self, name) if name else self._meta.model_name for name in self._meta.key_parts], text=text)

    @property
    def pk(self) -> str:
        """The same as text."""
        for name in self._meta.auto_field_names:
            getattr(self, name)
        return self._core_key()

    @property
    def _redis_key(self) -> Optional[str]:
        return self.pk if self._core_is_stored() else None

    @property
    def _saved_field_values(self) -> Dict[str, Any]:
        return self._core_saved_keys()

    @property
    def _is_persisted(self) -> bool:
        return self._core_is_stored()

    @property
    def _ttl(self) -> Optional[int]:
        return self._meta.ttl

    @_ttl.setter
    def _ttl(self, seconds: Optional[int]) -> None:
        self._refuse_time_to_live("_ttl", seconds != self._meta.ttl)

    @property
    def _expire_at(self) -> None:
        return None

    @_expire_at.setter
    def _expire_at(self, moment: Any) -> None:
        self._refuse_time_to_live("_expire_at", moment is not None)

    def _refuse_time_to_live(self, name: str, differs: bool) -> None:
        """A record that was to expire and does not is worse than an error."""
        if differs:
            raise UnsupportedError(
                f"{type(self).__name__}.{name} of one object is not there: the time to live is the model's, Meta.ttl"
            )

    def to_dict(
        self,
        include: Optional[Iterable[str]] = None,
        exclude: Optional[Iterable[str]] = None,
        relationships: bool = False,
        max_depth: Optional[int] = None,
    ) -> Dict[str, Any]:
        """Its fields by name, all or those that are named."""
        wanted = set(self._meta.explicit_fields if include is None else include) - set(exclude or ())
        return {name: getattr(self, name) for name in self._meta.explicit_fields if name in wanted}

    def is_valid(self, null_check: bool = True) -> bool:
        """Whether every field has a value that it can hold (and one that must have any, has one)."""
        for name, field in self._meta.fields.items():
            value = getattr(self, name, None)
            if value is None:
                if null_check and not field.null:
                    return False
                continue
            try:
                taken = value if isinstance(value, field.type) else field.type(value)
            except (TypeError, ValueError, ArithmeticError):
                return False
            if taken is not value:
                setattr(self, name, taken)
            if field.max_length is not None and isinstance(taken, str) and len(taken) > field.max_length:
                return False
        return True

    def __reduce__(self) -> Any:
        attributes = dict(self.__dict__)
        return _restored, (type(self), attributes, self._core_state())

    # -- Writing

    def save(
        self,
        pipeline: Any = None,
        ignore_errors: bool = False,
        skip_auto_now: bool = False,
        update_fields: Optional[List[str]] = None,
        migrate_key: bool = False,
        if_unchanged: bool = False,
        **kwargs: Any,
    ) -> Union[bool, int]:
        """Store it, in one step with its indexes: an object that was loaded or saved before replaces its
        record, a new one is created or replaces what has its key.

        `update_fields` names the fields to store; `migrate_key=True` moves the record where a key field was
        changed, which is a KeyMutationError otherwise; `ignore_errors=True` returns False in the place of
        ModelException; `if_unchanged=True` (not in Popoto) raises RecordChangedError where somebody else
        changed the record meanwhile.
        """
        if pipeline is not None:
            raise UnsupportedError("save(pipeline=...) is not there: bulk_create and its like do many at once")
        if kwargs and type(self).pre_save is Model.pre_save:
            name = next(iter(kwargs))
            known = difflib.get_close_matches(name, ("ignore_errors", "skip_auto_now", "update_fields", "migrate_key", "if_unchanged"), 1)
            hint = f": did you mean {known[0]}?" if known else ""
            raise TypeError(f"{type(self).__name__}.save() got an unexpected keyword argument {name!r}{hint}")
        if update_fields is not None:
            if len(update_fields) == 0:
                return 0
            for name in update_fields:
                if name not in self._meta.filter_query_params_by_field:
                    raise _about(ModelException(f"Unknown field '{name}' in update_fields"), type(self), name)
        try:
            if not self._core_plain and not self.pre_save(
                None, ignore_errors=ignore_errors, skip_auto_now=skip_auto_now, update_fields=update_fields, **kwargs
            ):
                return False
            return self._core_save(update_fields, migrate_key, skip_auto_now, if_unchanged)
        except ModelException as problem:
            if not ignore_errors or isinstance(problem, KeyMutationError):
                raise
            return False

    def pre_save(
        self,
        pipeline: Any = None,
        ignore_errors: bool = False,
        skip_auto_now: bool = False,
        update_fields: Optional[List[str]] = None,
        **kwargs: Any,
    ) -> bool:
        """Called by save() before anything else. A class of its own may change the object here, or return
        False to leave out the save."""
        return True

    @classmethod
    def create(cls: Type[M], pipeline: Any = None, **values: Any) -> M:
        """Make one and store it, in the place of another with its key: see get_or_create."""
        if pipeline is not None:
            raise UnsupportedError("create(pipeline=...) is not there: bulk_create does many at once")
        instance = cls(**values)
        if cls._core_plain:
            instance._core_save(None, False, False, False)
        else:
            instance.save()
        return instance

    def delete(self, pipeline: Any = None, *args: Any, **kwargs: Any) -> bool:
        """Remove its record with all that belongs to it. False where there was none."""
        if pipeline is not None:
            raise UnsupportedError("delete(pipeline=...) is not there: bulk_delete does many at once")
        return self._core_delete()

    @classmethod
    def get_or_create(cls: Type[M], defaults: Optional[Dict[str, Any]] = None, **lookup: Any) -> Tuple[M, bool]:
        """(the record, False), or (a new one, True)."""
        found = cls.query.get(**lookup)
        if found is not None:
            return found, False
        instance = cls(**{**lookup, **(defaults or {})})
        instance._core_must_be_new()
        try:
            instance.save()
            return instance, True
        except (RecordExistsError, DuplicateError):
            found = cls.query.get(**lookup)
            if found is None:
                raise
            return found, False

    @classmethod
    def update_or_create(cls: Type[M], defaults: Optional[Dict[str, Any]] = None, **lookup: Any) -> Tuple[M, bool]:
        """The same, and the found one is changed to have these values."""
        instance, created = cls.get_or_create(defaults, **lookup)
        if not created:
            for name, value in (defaults or {}).items():
                setattr(instance, name, value)
            instance.save()
        return instance, created

    # -- Reading

    @classmethod
    def load(cls: Type[M], db_key: Any = None, **values: Any) -> Optional[M]:
        """The record with this key, or with these values in its key fields; None where there is none."""
        return cls.query.get(db_key=db_key) if db_key else cls.query.get(**values)

    @classmethod
    def exists(cls, db_key: Any = None, redis_key: Optional[str] = None, **values: Any) -> bool:
        """Whether there is such a record."""
        return cls.query.get(redis_key=redis_key or db_key or cls(**values).pk) is not None

    # -- Many at once

    @classmethod
    def bulk_create(cls: Type[M], instances: Iterable[M], batch_size: int = 1000) -> List[M]:
        """Store many objects, `batch_size` of them in one exchange with the server. Each is one step by
        itself; all that can be are stored, and the first that cannot is then reported."""
        every = list(instances)
        for batch in _batches(every, batch_size):
            if cls._core_plain:
                cls._core_schema.save_many(batch)
            else:
                for one in batch:
                    one.save()
        return every

    @classmethod
    def bulk_update(cls, queryset_or_instances: Any, batch_size: int = 1000, **updates: Any) -> int:
        """Set these fields of many objects, and store them."""
        if not updates:
            return 0
        done = 0
        for batch in _batches(_listed(queryset_or_instances), batch_size):
            for one in batch:
                for name, value in updates.items():
                    setattr(one, name, value)
            done += cls._core_schema.save_many(batch)
        return done

    @classmethod
    def bulk_delete(cls, queryset_or_instances: Any, batch_size: int = 1000) -> int:
        """Delete many; how many there were."""
        return sum(
            cls._core_schema.delete_many(batch) for batch in _batches(_listed(queryset_or_instances), batch_size)
        )

    @classmethod
    def delete_all(cls, batch_size: int = 1000) -> int:
        """Delete every record of the model."""
        return cls.bulk_delete(cls.query.all(), batch_size)

    # -- Not in Popoto

    @classmethod
    def tenants(cls) -> List[Any]:
        """Every tenant that has records of this model, which has a TenantField. For operators."""
        return cls._core_schema.tenants()

    @classmethod
    def check_model(cls) -> None:
        """Raise ModelException where the fields contradict each other. The first use does, too."""
        cls._core_schema.check()

    # -- For coroutines: the same on worker threads, in the same context

    async def async_save(self, pipeline: Any = None, **options: Any) -> Union[bool, int]:
        """save(), on a worker thread."""
        return await asyncio.to_thread(self.save, pipeline, **options)

    async def async_delete(self, pipeline: Any = None, *args: Any, **kwargs: Any) -> bool:
        """delete(), on a worker thread."""
        return await asyncio.to_thread(self.delete, pipeline)

    @classmethod
    async def async_create(cls: Type[M], pipeline: Any = None, **values: Any) -> M:
        """create(), on a worker thread."""
        return await asyncio.to_thread(cls.create, pipeline, **values)

    @classmethod
    async def async_load(cls: Type[M], db_key: Any = None, **values: Any) -> Optional[M]:
        """load(), on a worker thread."""
        return await asyncio.to_thread(cls.load, db_key, **values)

    @classmethod
    async def async_get_or_create(
        cls: Type[M], defaults: Optional[Dict[str, Any]] = None, **lookup: Any
    ) -> Tuple[M, bool]:
        """get_or_create(), on a worker thread."""
        return await asyncio.to_thread(cls.get_or_create, defaults, **lookup)

    @classmethod
    async def async_update_or_create(
        cls: Type[M], defaults: Optional[Dict[str, Any]] = None, **lookup: Any
    ) -> Tuple[M, bool]:
        """update_or_create(), on a worker thread."""
        return await asyncio.to_thread(cls.update_or_create, defaults, **lookup)

    @classmethod
    async def async_bulk_create(cls: Type[M], instances: Iterable[M], batch_size: int = 1000) -> List[M]:
        """bulk_create(), on a worker thread."""
        return await asyncio.to_thread(cls.bulk_create, instances, batch_size)

    @classmethod
    async def async_bulk_update(cls, queryset_or_instances: Any, batch_size: int = 1000, **updates: Any) -> int:
        """bulk_update(), on a worker thread."""
        return await asyncio.to_thread(cls.bulk_update, queryset_or_instances, batch_size, **updates)

    @classmethod
    async def async_bulk_delete(cls, queryset_or_instances: Any, batch_size: int = 1000) -> int:
        """bulk_delete(), on a worker thread."""
        return await asyncio.to_thread(cls.bulk_delete, queryset_or_instances, batch_size)

    @classmethod
    async def async_delete_all(cls, batch_size: int = 1000) -> int:
        """delete_all(), on a worker thread."""
        return await asyncio.to_thread(cls.delete_all, batch_size)


def _about(problem: ModelException, model: type, field: str) -> ModelException:
    """The exception, with what it is about."""
    problem.model, problem.field = model, field
    return problem


def _batches(every: List[Any], size: int) -> Iterable[List[Any]]:
    return (every[at : at + size] for at in range(0, len(every), max(1, size)))


def _listed(given: Any) -> List[Any]:
    return list(given) if hasattr(given, "__iter__") else [given]


def _restored(cls: Type[M], attributes: Dict[str, Any], state: Any) -> M:
    """An object from a pickle."""
    instance = cls.__new__(cls)
    instance.__dict__.update(attributes)
    if state is not None:
        instance._core_restore(state)
    return instance
