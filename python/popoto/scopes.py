"""Scopes: say once whom a piece of work is for, and every call in it is checked and filled in."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import Any, Callable, Set, Tuple, TypeVar, cast

from . import _core
from .exceptions import ScopeError

__all__ = ["current_scopes", "scope"]

F = TypeVar("F", bound=Callable[..., Any])

#: Those of every model that was defined.
field_names_of_all: Set[str] = set()

_scopes: "ContextVar[Tuple[Tuple[str, Any], ...]]" = ContextVar("popoto_scopes", default=())
_core.set_scopes(_scopes.get)


class scope:
    """`with popoto.scope(project_id="project-a"):` — every call on a model that has such a field uses this
    value: objects and filters that leave it out get it, and those that name another one are refused with
    `ScopeError`. Scopes nest, and end with their block. One such object serves any number of threads and
    tasks at once.

    They follow asyncio's tasks and asyncio.to_thread, and not threading.Thread, ThreadPoolExecutor.submit or
    loop.run_in_executor, where no scope holds: give these the context,
    `executor.submit(contextvars.copy_context().run, work)`, or enter a scope in `work`.

    Also a decorator of functions and coroutines: `@popoto.scope(project_id="project-a")`. Not of generators:
    what they do between two values would be in the scope of whoever reads them, or the other way round.
    """

    def __init__(self, **values: Any) -> None:
        if not values:
            raise TypeError("a scope names at least one field: scope(project_id=...)")
        self._values = tuple(values.items())

    def __enter__(self) -> "scope":
        for name, _ in self._values:
            if field_names_of_all and name not in field_names_of_all:
                raise ScopeError(
                    f"a scope of {name!r}: no model has such a field. They have {', '.join(sorted(field_names_of_all))}"
                )
        _scopes.set(_scopes.get() + self._values)
        return self

    def __exit__(self, *about: Any) -> None:
        # No token of ContextVar.set: it belongs to one context, and this object is entered in many.
        now, size = _scopes.get(), len(self._values)
        if now[-size:] != self._values:
            raise RuntimeError("a scope is left where it was not entered: in another context, or out of order")
        _scopes.set(now[:-size])

    def __call__(self, function: F) -> F:
        """The same function, whose whole body runs in the scope."""
        if isinstance(function, type) or _is_lazy_function(function):
            raise TypeError(f"{function!r} cannot be run in a scope: take `with` in its body, around what it does")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **named: Any) -> Any:
                with self:
                    return await function(*args, **named)

            return cast(F, later)

        @functools.wraps(function)
        def now(*args: Any, **named: Any) -> Any:
            with self:
                result = function(*args, **named)
            if inspect.iscoroutine(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
                if inspect.iscoroutine(result):
                    result.close()
                raise TypeError(f"{function!r} gives a {type(result).__name__}, which would run outside of its scope")
            return result

        return cast(F, now)


def _is_lazy_function(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def current_scopes() -> "dict[str, Any]":
    """The fields that are named now, and their values."""
    return dict(_scopes.get())
