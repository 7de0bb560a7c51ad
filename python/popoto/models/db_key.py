"""DB_key: the key that a record is stored under."""

from __future__ import annotations


class DB_key(str):
    """Text, with the name that Popoto's programs ask it by."""

    @property
    def redis_key(self) -> str:
        """The key as text."""
        return str(self)
