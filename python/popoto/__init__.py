"""Popoto's models on libpopoto: Python objects in Redis, with their indexes right and their tenants apart.

    from popoto import Model, KeyField, AutoKeyField, Field, SortedField

    class Episode(Model):
        project_id = KeyField(type=str)
        episode_id = AutoKeyField()
        title = Field(type=str)
        score = SortedField(type=float, partition_by="project_id")

    Episode.create(project_id="project-a", title="First meeting", score=0.8)
    Episode.query.filter(project_id="project-a", score__gte=0.5)
"""

from __future__ import annotations

import os as _os
from typing import Any

from . import absent as _absent
from . import exceptions as exceptions
from ._core import VERSION as __version__
from .exceptions import (
    CorruptFieldError,
    DuplicateError,
    KeyMutationError,
    ModelException,
    QueryException,
    RecordChangedError,
    RecordExistsError,
    RecordNotFoundError,
    ScopeError,
    SkipSaveException,
    UnknownOutcomeError,
    UnsupportedError,
)
from .fields.confidence_field import ConfidenceField
from .fields.field import Field
from .fields.shortcuts import (
    AutoKeyField,
    BooleanField,
    BytesField,
    DateField,
    DatetimeField,
    DecimalField,
    DictField,
    FloatField,
    IntField,
    KeyField,
    ListField,
    SetField,
    SortedField,
    StringField,
    TenantField,
    TimeField,
    TupleField,
    UniqueKeyField,
)
from .models.base import Model, ModelBase
from .redis_db import get_REDIS_DB as get_redis
from .scopes import current_scopes, scope

__all__ = [
    "AutoKeyField",
    "BooleanField",
    "BytesField",
    "ConfidenceField",
    "CorruptFieldError",
    "DateField",
    "DatetimeField",
    "DecimalField",
    "DictField",
    "DuplicateError",
    "Field",
    "FloatField",
    "IntField",
    "KeyField",
    "KeyMutationError",
    "ListField",
    "Model",
    "ModelBase",
    "ModelException",
    "QueryException",
    "RecordChangedError",
    "RecordExistsError",
    "RecordNotFoundError",
    "ScopeError",
    "SetField",
    "SkipSaveException",
    "SortedField",
    "StringField",
    "TenantField",
    "TimeField",
    "TupleField",
    "UniqueKeyField",
    "UnknownOutcomeError",
    "UnsupportedError",
    "__version__",
    "current_scopes",
    "exceptions",
    "get_redis",
    "scope",
]


_absent.warn_of_leftovers(_os.path.dirname(_os.path.abspath(__file__)))
_why_not = _absent.getattr_of(__name__)


def __getattr__(name: str) -> Any:
    if name == "POPOTO_REDIS_DB":
        return get_redis()
    return _why_not(name)
