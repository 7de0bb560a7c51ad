"""DB_key: the key that a record is stored under."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional


class DB_key(List[Any]):
    """The parts of a key as they are, in their order: the model's name and the values of its key fields. As
    text, `str(key)`, it is the key in Redis, with what the dialect escapes."""

    def __init__(self, *parts: Any, text: Optional[str] = None) -> None:
        super().__init__(_flat(parts))
        self._text = ":".join(map(str, self)) if text is None else text

    @property
    def redis_key(self) -> str:
        """The key as text."""
        return self._text

    def __str__(self) -> str:
        return self._text

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))


def _flat(parts: Any) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, (list, tuple)):
            yield from _flat(part)
        else:
            yield part


def text_of(key: Any) -> Any:
    """A key as it is given to the core, whichever way a program has it."""
    return getattr(key, "redis_key", key)
