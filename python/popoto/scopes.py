"""Scopes: say once whom a piece of work is for, and every call in it is checked and filled in."""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, List, Tuple

from . import _core

__all__ = ["current_scopes", "scope"]

_scopes: "ContextVar[Tuple[Tuple[str, Any], ...]]" = ContextVar("popoto_scopes", default=())
_core.set_scopes(_scopes.get)


class scope(ContextDecorator):
    """`with popoto.scope(project_id="project-a"):` — every call on a model that has such a field uses this
    value: objects and filters that leave it out get it, and those that name another one are refused with
    `ScopeError`. Scopes nest, follow asyncio's tasks and worker threads, and end with their block.

    Also a decorator: `@popoto.scope(project_id="project-a")`.
    """

    def __init__(self, **values: Any) -> None:
        if not values:
            raise TypeError("a scope names at least one field: scope(project_id=...)")
        self._values = tuple(values.items())
        self._tokens: List[Any] = []

    def __enter__(self) -> "scope":
        self._tokens.append(_scopes.set(_scopes.get() + self._values))
        return self

    def __exit__(self, *about: Any) -> None:
        _scopes.reset(self._tokens.pop())


def current_scopes() -> "dict[str, Any]":
    """The fields that are named now, and their values."""
    return dict(_scopes.get())
