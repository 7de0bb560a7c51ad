"""Query and QueryBuilder: what `Model.query` is, and the list-like thing that `filter` gives."""

from __future__ import annotations

import asyncio
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, AsyncIterator, Callable, Dict, Generic, Iterable, Iterator, List, Optional, Tuple, Type, TypeVar

from .._core import Schema
from ..exceptions import QueryException, ScopeError
from ..scopes import _scopes
from .db_key import text_of

__all__ = ["Query", "QueryBuilder", "QueryException"]

M = TypeVar("M")
R = TypeVar("R")

_NO_LIMIT = -1
_RESERVED = ("limit", "order_by", "values")


class QueryBuilder(Generic[M]):
    """A query that behaves like the list of its results.

    It asks the server when it is iterated, measured, indexed or compared, each time anew, as Popoto's does;
    keep `list(query)` to look at the same results twice. `filter` makes another query; the other methods
    change this one and return it. One that is made in a scope stays in it, wherever it is asked.
    """

    def __init__(self, query: "Query[M]", filters: Dict[str, Any]) -> None:
        self._query = query
        self._filters = filters
        self._limit_value: Optional[int] = None
        self._offset_value = 0
        self._order_by_value: Optional[str] = None
        self._values_tuple: Optional[Tuple[str, ...]] = None
        self._all_tenants = False
        self._parked: Optional[Tuple[Any, List[Any]]] = None
        self._scopes = _scopes.get()

    # -- Shaping it

    def filter(self, *args: Any, **filters: Any) -> "QueryBuilder[M]":
        """A narrower query: all of these must hold, too."""
        _refuse_expressions(args)
        options = {name: filters.pop(name) for name in _RESERVED if name in filters}
        new = QueryBuilder(self._query, {**self._filters, **filters})
        new._limit_value = options.get("limit", self._limit_value)
        new._order_by_value = options.get("order_by", self._order_by_value)
        new._values_tuple = options.get("values", self._values_tuple)
        new._offset_value = self._offset_value
        new._all_tenants = self._all_tenants
        if self._scopes and self._scopes is not new._scopes:
            new._scopes = new._scopes + self._scopes
        return new

    def limit(self, n: int) -> "QueryBuilder[M]":
        """At most so many results."""
        self._limit_value = _whole("limit", n)
        self._parked = None
        return self

    def offset(self, n: int) -> "QueryBuilder[M]":
        """Leave out so many first. Not in Popoto."""
        self._offset_value = _whole("offset", n) or 0
        self._parked = None
        return self

    def order_by(self, field: str) -> "QueryBuilder[M]":
        """In the order of a field; of "-field", the highest first."""
        self._order_by_value = field
        self._parked = None
        return self

    def values(self, *fields: str) -> "QueryBuilder[Dict[str, Any]]":
        """Dictionaries of these fields in the place of objects."""
        self._values_tuple = fields
        self._parked = None
        return self  # type: ignore[return-value]

    def all_tenants(self) -> "QueryBuilder[M]":
        """Of a model with a TenantField: the records of all tenants, for operators. Not in Popoto."""
        self._all_tenants = True
        self._parked = None
        return self

    # -- Asking

    def all(self) -> List[M]:
        """The results, as a list."""
        return self._within(self._all)

    def _within(self, call: Callable[[], R]) -> R:
        """What it gives in the scopes that this query was made in, which those of now are around."""
        now, all_of_them = _scopes.get(), self._scopes_of_now()
        if all_of_them is now:
            return call()
        token = _scopes.set(all_of_them)
        try:
            return call()
        finally:
            _scopes.reset(token)

    def _scopes_of_now(self) -> "Tuple[Tuple[str, Any], ...]":
        own, now = self._scopes, _scopes.get()
        return now if own is now or not own else now + own

    def _all(self) -> List[M]:
        limit = _whole("limit", self._limit_value)
        if limit is not None and limit <= 0:
            return []
        values = self._values_tuple
        if values is not None and not isinstance(values, tuple):
            raise QueryException("values takes a tuple. eg. query.filter(values=('name',))")
        order = self._order()
        if order is not None and values and order.lstrip("-") not in values:
            raise QueryException("field must be included in values=(fieldnames) in order to use order_by")
        return self._ask(order, limit, values or None)

    def _ask(self, order: Optional[str], limit: Optional[int], values: Optional[Tuple[str, ...]]) -> List[Any]:
        here = order is not None and self._is_sorted_here(order.lstrip("-"))
        rows: List[Any] = self._query._schema.query(
            self._filters,
            None if here else order,
            _NO_LIMIT if here or limit is None else limit,
            0 if here else self._offset_value,
            self._all_tenants,
            self._query.options.allow_scan,
            values,
        )
        if here and order is not None:
            name = order.lstrip("-")
            get: Callable[[Any], Any] = itemgetter(name) if values else attrgetter(name)
            rows.sort(key=lambda row: (get(row) is not None, get(row)), reverse=order.startswith("-"))
            rows = rows[self._offset_value :]
            rows = rows if limit is None else rows[:limit]
        return rows

    def _is_sorted_here(self, name: str) -> bool:
        """Whether no index gives this order: that of a partitioned field is of one partition alone."""
        field = self._query.options.fields.get(name)
        return field is not None and any(
            by not in self._filters and by not in dict(_scopes.get()) for by in field.partition_by
        )

    def stream(self) -> Iterator[M]:
        """The results one by one, with bounded memory, however many there are. Not in Popoto.

        In no order, or in that of a SortedField whose index answers the query.
        """
        if self._values_tuple:
            raise QueryException("a stream has objects: leave out values()")
        limit = _whole("limit", self._limit_value)
        if limit is not None and limit <= 0:
            return iter(())
        return _Stream(
            self,
            lambda: self._query._schema.stream(
                self._filters,
                self._order_by_value,
                _NO_LIMIT if limit is None else limit,
                self._offset_value,
                self._all_tenants,
                self._query.options.allow_scan,
            ),
        )

    iterator = stream

    async def async_stream(self, batch_size: int = 100) -> AsyncIterator[M]:
        """stream(), for `async for`: so many at a time on a worker thread. Not in Popoto."""
        rows = await asyncio.to_thread(self.stream)
        while True:
            batch = await asyncio.to_thread(lambda: list(islice(rows, batch_size)))
            for one in batch:
                yield one
            if len(batch) < batch_size:
                return

    def __aiter__(self) -> AsyncIterator[M]:
        return self.async_stream()

    def keys(self) -> List[bytes]:
        """The keys of all that match, whatever limit() says. Not in Popoto."""
        return self._within(
            lambda: self._query._schema.keys(self._filters, None, _NO_LIMIT, 0, self._all_tenants, self._query.options.allow_scan)
        )

    def count(self) -> int:
        """How many records match, whatever limit() says."""
        return self._within(
            lambda: self._query._schema.count(self._filters, None, _NO_LIMIT, 0, self._all_tenants, self._query.options.allow_scan)
        )

    def first(self) -> Optional[M]:
        """The first result, or None."""
        found = self.limit(1).all()
        return found[0] if found else None

    def last(self) -> Optional[M]:
        """The last result, or None."""
        found = self.all()
        return found[-1] if found else None

    def delete(self) -> int:
        """Delete all results; how many there were. Not in Popoto."""
        return self._within(lambda: self._query._schema.delete_many(self._all()))

    def _order(self) -> Optional[str]:
        order = self._order_by_value or self._query.options.order_by
        if order is not None and not isinstance(order, str):
            raise QueryException(f"order_by={order} must be a field name (str)")
        return order

    # -- Being a list

    def __iter__(self) -> Iterator[M]:
        rows = self.all()
        iterator = iter(rows)
        self._parked = (iterator, rows)
        return iterator

    def __len__(self) -> int:
        # list(query) asks for the length of what it has just begun to iterate.
        parked, self._parked = self._parked, None
        if parked is not None and parked[0].__length_hint__() == len(parked[1]):
            return len(parked[1])
        return len(self.all())

    def __getitem__(self, index: Any) -> Any:
        return self.all()[index]

    def __bool__(self) -> bool:
        return len(self.all()) > 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, QueryBuilder):
            return bool(self.all() == other.all())
        if isinstance(other, list):
            return bool(self.all() == other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, item: object) -> bool:
        return item in self.all()

    def __repr__(self) -> str:
        return f"<QueryBuilder for {self._query.model_class.__name__} filters={self._filters}>"

    # -- For coroutines

    async def async_all(self) -> List[M]:
        """all(), on a worker thread."""
        return await asyncio.to_thread(self.all)

    async def async_count(self) -> int:
        """count(), on a worker thread."""
        return await asyncio.to_thread(self.count)

    async def async_first(self) -> Optional[M]:
        """first(), on a worker thread."""
        return await asyncio.to_thread(self.first)


class _Stream(Generic[M]):
    """What stream() gives: of the scopes that its query was made in, and of those that it is read in."""

    def __init__(self, builder: QueryBuilder[M], open_: Callable[[], Any]) -> None:
        self._builder = builder
        self._open = open_
        self._begun = False
        self._begin()

    def _begin(self) -> None:
        self._seen = _scopes.get()
        self._opened = dict(self._builder._scopes_of_now())
        self._rows = self._builder._within(self._open)

    def _meet(self) -> None:
        """The scopes are others than at the last row: those that are new must have held from the first on."""
        options = self._builder._query.options
        for name, value in dict(self._builder._scopes_of_now()).items():
            if name not in options.fields or (name in self._opened and self._opened[name] == value):
                continue
            if not self._begun:
                self._rows.close()
                self._begin()
                return
            raise ScopeError(
                f"this stream of {options.model_name} was begun outside of the scope that this thread is in, "
                f"{name} = {value!r}: begin another one"
            )
        self._seen = _scopes.get()

    def __iter__(self) -> "_Stream[M]":
        return self

    def __next__(self) -> M:
        if _scopes.get() is not self._seen:
            self._meet()
        self._begun = True
        one: M = next(self._rows)
        return one

    def close(self) -> None:
        """End it, and give its connection back."""
        self._rows.close()


class Query(Generic[M]):
    """The queries of a model: `Model.query`."""

    def __init__(self, model_class: Type[M]) -> None:
        self.model_class = model_class
        self.options: Any = model_class._meta  # type: ignore[attr-defined]
        self._schema: Schema = model_class._core_schema  # type: ignore[attr-defined]

    def filter(self, *args: Any, **filters: Any) -> QueryBuilder[M]:
        """The records for which all of these hold: `field=value` or `field__lookup=value`.

        limit, order_by and values can be given here, too.
        """
        if args:
            _refuse_expressions(args)
        for name in _RESERVED:
            if name in filters:
                return QueryBuilder(self, {}).filter(**filters)
        return QueryBuilder(self, filters)

    def get(self, db_key: Any = None, redis_key: Any = None, **filters: Any) -> Optional[M]:
        """The one record with this key, or with these values; None where there is none.

        QueryException where several match.
        """
        key = redis_key or db_key
        if key:
            return self.get_many([key])[0]
        filters.pop("limit", None)
        keys = self.options.key_field_names
        if keys <= filters.keys():
            filters = {name: filters[name] for name in keys}
        found = self._schema.query(filters, None, 2, 0, False, self.options.allow_scan, None)
        if len(found) > 1:
            raise QueryException(
                f"{self.model_class.__name__} found more than one unique instance. Use `query.filter()`"
            )
        return found[0] if found else None

    def get_many(self, redis_keys: Iterable[Any], skip_none: bool = False) -> List[Optional[M]]:
        """The records under these keys, in their order; None for one that is not there."""
        keys = [text_of(key) for key in redis_keys]
        try:
            found = self._schema.load_keys(keys)
        except QueryException as problem:
            if " is no key of " not in str(problem):
                raise
            found = self._get_those_of_the_model(keys)
        return [one for one in found if one is not None] if skip_none else found

    def _get_those_of_the_model(self, keys: List[Any]) -> List[Optional[M]]:
        """Some of these can be no keys of the model: nothing is there."""
        could_be = {key for key in keys if self._is_key(key)}
        rows = iter(self._schema.load_keys([key for key in keys if key in could_be]))
        return [next(rows) if key in could_be else None for key in keys]

    def _is_key(self, key: Any) -> bool:
        try:
            self._schema.load_keys([key])
        except QueryException as problem:
            return " is no key of " not in str(problem)
        return True

    def all(self, **options: Any) -> List[M]:
        """Every record."""
        return self.filter(**options).all()

    def stream(self, **filters: Any) -> Iterator[M]:
        """filter(...).stream()"""
        return self.filter(**filters).stream()

    def all_tenants(self) -> QueryBuilder[M]:
        """filter().all_tenants(). Not in Popoto."""
        return self.filter().all_tenants()

    def count(self, **filters: Any) -> int:
        """How many records match."""
        return self.filter(**filters).count()

    def first(self) -> Optional[M]:
        """One record, the first in the model's order; None where there is none."""
        return self.filter().first()

    def keys(self, catchall: bool = False, clean: bool = False, **filters: Any) -> List[bytes]:
        """The keys that the records are stored under, as the server has them. (Filters: not in Popoto.)"""
        if catchall or clean:
            raise QueryException("keys(catchall=...) and keys(clean=...) look through the whole server: not there")
        return self._schema.keys(filters, None, _NO_LIMIT, 0, False, self.options.allow_scan)

    def order_by(self, field: str) -> QueryBuilder[M]:
        """filter().order_by(field)"""
        return self.filter().order_by(field)

    def limit(self, n: int) -> QueryBuilder[M]:
        """filter().limit(n)"""
        return self.filter().limit(n)

    async def async_get(self, db_key: Any = None, redis_key: Any = None, **filters: Any) -> Optional[M]:
        """get(), on a worker thread."""
        return await asyncio.to_thread(self.get, db_key, redis_key, **filters)

    async def async_get_many(self, redis_keys: Iterable[Any], skip_none: bool = False) -> List[Optional[M]]:
        """get_many(), on a worker thread."""
        return await asyncio.to_thread(self.get_many, redis_keys, skip_none)

    async def async_filter(self, *args: Any, **filters: Any) -> List[M]:
        """filter(...).all(), on a worker thread."""
        return await asyncio.to_thread(lambda: self.filter(*args, **filters).all())

    async def async_all(self, **options: Any) -> List[M]:
        """all(), on a worker thread."""
        return await asyncio.to_thread(self.all, **options)

    async def async_count(self, **filters: Any) -> int:
        """count(), on a worker thread."""
        return await asyncio.to_thread(self.count, **filters)

    async def async_keys(self, catchall: bool = False, clean: bool = False, **filters: Any) -> List[bytes]:
        """keys(), on a worker thread."""
        return await asyncio.to_thread(self.keys, catchall, clean, **filters)


def _whole(name: str, given: Any) -> Optional[int]:
    """What limit and offset take."""
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise QueryException(f"{name} takes a whole number, not {given!r}")
    return given


def _refuse_expressions(args: Tuple[Any, ...]) -> None:
    if args:
        raise QueryException(
            "filter() takes its conditions by name: filter(score__gte=0.5). Popoto's Q and expressions are not there"
        )
