"""What goes wrong, by name.

`ModelException` and `QueryException` are raised where Popoto raises them. Those below them say more
exactly what it was. Every one of them carries, where it is known, the `model` (a class), the `field` (its
name), the `value` that was given, and the `status` of the C library; its text is that library's sentence.
"""

from __future__ import annotations

from typing import Any, Optional

__all__ = [
    "AccessError",
    "AddressError",
    "CorruptFieldError",
    "DuplicateError",
    "FieldValueError",
    "KeyMutationError",
    "ModelException",
    "NotSavedError",
    "OutageError",
    "OutageTimeout",
    "QueryException",
    "RecordChangedError",
    "RecordExistsError",
    "RecordNotFoundError",
    "ScopeError",
    "ServerError",
    "SkipSaveException",
    "UnknownOutcomeError",
    "UnsupportedError",
]


class _Details(Exception):
    """What the errors of this package carry."""

    model: Optional[type] = None
    field: Optional[str] = None
    value: Any = None
    status: Optional[str] = None


class ModelException(_Details):
    """A model, or an object of it, is not as it must be."""


class QueryException(_Details):
    """A query that cannot be answered as it stands."""


class KeyMutationError(ModelException):
    """A key field was changed, and save() not told to move the record (`migrate_key=True`)."""


class CorruptFieldError(ModelException):
    """What is stored is not what the model says. It was left as it is.

    `problems` are sentences, one for each record; `rows` are the others, which are well.
    """

    problems: "list[str]" = []
    rows: "list[Any]" = []


class FieldValueError(ModelException, ValueError):
    """A value that its field cannot hold."""


class RecordExistsError(ModelException):
    """There is a record with this key already."""


class DuplicateError(ModelException):
    """Another record holds this unique value."""


class RecordNotFoundError(ModelException):
    """The record is not there; or not any more."""


class NotSavedError(RecordNotFoundError, TypeError):
    """What was asked needs a record that is stored."""


class RecordChangedError(ModelException):
    """Somebody changed the record since it was loaded."""


class ScopeError(ModelException, QueryException):
    """A call that names no tenant, or another than the scope it runs in."""


class SkipSaveException(ModelException):
    """Raise it in a method that save() calls, to leave out the save. Here for programs that name it."""


class UnsupportedError(ModelException, NotImplementedError):
    """What Popoto has and this package has not, or this build or this server lacks."""


class AddressError(_Details, ValueError):
    """The address of a server that cannot be understood."""


class ServerError(_Details, RuntimeError):
    """The server refused, or answered what is no valid reply."""


class OutageError(_Details, ConnectionError):
    """There is no server, or it cannot be used now. Nothing was changed."""


class OutageTimeout(OutageError, TimeoutError):
    """The server did not answer in time."""


class AccessError(OutageError):
    """The server refuses the user, the password or the command."""


class UnknownOutcomeError(OutageError):
    """The connection broke during a write: it happened completely or not at all, and which is not known."""
