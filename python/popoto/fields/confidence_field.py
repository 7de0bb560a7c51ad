"""ConfidenceField: how sure one is of a record, from signals that come one at a time."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from .._core import KINDS, Record, Schema
from ..exceptions import FieldValueError, ModelException, UnsupportedError
from ..scopes import current_scopes
from .field import Field, takes


@takes(initial_confidence=0.5, evidence_cap=20, partition_by=())
class ConfidenceField(Field):
    """Figures of a record, kept in a companion hash: confidence, evidence, for and against.

    `initial_confidence` is the confidence before any signal, `evidence_cap` how many signals it takes
    until the oldest fade. With `partition_by` there is one hash for each value of the fields named.
    """

    kind = KINDS["confidence"]
    field_class_key = "$ConfidencF"
    _type = float
    _types = frozenset({float})

    def __init__(self, **options: Any) -> None:
        initial = options.pop("initial_confidence", None)
        cap = options.pop("evidence_cap", None)
        self.initial_confidence: float = 0.5 if initial is None else initial
        self.evidence_cap: int = 20 if cap is None else cap
        if not 0 <= self.initial_confidence <= 1:
            raise ModelException(f"initial_confidence must be between 0 and 1 (got {initial})")
        if isinstance(self.evidence_cap, bool) or not isinstance(self.evidence_cap, int) or self.evidence_cap < 1:
            raise ModelException(f"evidence_cap must be an int >= 1 (got {cap!r})")
        options.setdefault("default", self.initial_confidence)
        super().__init__(**options)

    @classmethod
    def update_confidence(
        cls, model_instance: Record, field_name: str, signal: float, pipeline: Any = None
    ) -> float:
        """Move a record's confidence by a signal from 0 (against) to 1 (for), in one step on the server.

        Returns the confidence after it, which the object's field has then, too.
        """
        if pipeline is not None:
            raise UnsupportedError("update_confidence(pipeline=...) is not there: use update_many()")
        if signal is None:
            raise TypeError("signal must be a number, not None")
        try:
            number = float(signal)
        except (TypeError, ValueError):
            raise _wrong_signal(
                FieldValueError(
                    f"{type(model_instance).__name__}.{field_name}: a signal is a number between 0 and 1, not {signal!r}"
                ),
                model_instance, field_name, signal,
            ) from None
        try:
            return model_instance._core_confidence_update(field_name, number)
        except FieldValueError as problem:
            if " signal " in str(problem):
                _wrong_signal(problem, model_instance, field_name, signal)
            raise

    @classmethod
    def update_many(
        cls, model_class: Any, field_name: str, signals: Iterable[Tuple[Any, float]]
    ) -> List[float]:
        """The same for many records, (instance, signal) each, in one go. Not in Popoto."""
        return _schema_of(model_class).confidence_update_many(field_name, list(signals))

    @classmethod
    def get_confidence(cls, model_instance: Record, field_name: str) -> float:
        """A record's confidence: the initial one where no signal ever came."""
        return float(model_instance._core_confidence_figures(field_name)["confidence"])

    @classmethod
    def get_confidence_data(cls, model_instance: Record, field_name: str) -> Dict[str, Any]:
        """All four figures of a record."""
        return model_instance._core_confidence_figures(field_name)

    @classmethod
    def get_confidence_filtered(
        cls, model_class: Any, field_name: str, pattern: str = "*", **partition: Any
    ) -> Dict[str, Dict[str, Any]]:
        """The figures of all members whose keys match a Redis pattern, by HSCAN.

        Of a partitioned field, those of the partition that is named: by an argument (`project="atlas"`), a
        scope, or the pattern ("Memory:atlas:*"); where none is, of every partition that the model's records
        are in.
        """
        schema, field = _schema_of(model_class), model_class._meta.fields.get(field_name)
        if not isinstance(field, ConfidenceField):
            raise TypeError(f"{field_name} is not a ConfidenceField")
        named = {**_named_by(model_class, pattern), **current_scopes(), **partition}
        partition.update({name: named[name] for name in field._divides(model_class) if name in named})
        missing = [name for name in field._divides(model_class) if name not in named]
        if not missing:
            return schema.confidence_scan(field_name, pattern, partition)
        found: Dict[str, Dict[str, Any]] = {}
        rows = model_class.query.filter(**partition).values(*missing).all()
        for values in {tuple(row[name] for name in missing) for row in rows}:
            found.update(schema.confidence_scan(field_name, pattern, {**partition, **dict(zip(missing, values))}))
        return found

    def _divides(self, model_class: Any) -> List[str]:
        """The fields of the partition that must be named: a tenant always is."""
        return [
            name for name in self.partition_by if model_class._meta.fields[name].kind != KINDS["tenant"]
        ]

    @classmethod
    def migrate_to_partitioned(
        cls,
        model_class: Any,
        field_name: str,
        dry_run: bool = False,
        progress: Optional[Callable[[int, int], Any]] = None,
    ) -> Dict[str, Any]:
        """Move the entries of the unpartitioned hash to the partitions that are now declared.

        Safe to interrupt, to run again, and while others write. An entry that cannot be placed is listed
        in `errors`, and stays. `progress`, if given, is called with how many are done and how many there
        are; where it returns False, the migration stops.
        """
        return _schema_of(model_class).confidence_migrate(field_name, bool(dry_run), progress)

    def get_data_hash_key(self, model_instance: Record, field_name: str) -> str:
        """The key of the companion hash that has this object's entry."""
        return model_instance._core_confidence_key(field_name)

    def get_data_hash_key_from_values(
        self, model_class: Any, field_name: str, **partition_values: Any
    ) -> str:
        """The key of the companion hash of the partition that these values name."""
        return _schema_of(model_class).confidence_key(field_name, partition_values)


def _wrong_signal(problem: FieldValueError, instance: Any, field: str, signal: Any) -> FieldValueError:
    """The exception, with what it is about."""
    problem.model, problem.field, problem.value = type(instance), field, signal
    return problem


def _schema_of(model_class: Any) -> Schema:
    """The model as the core knows it."""
    schema: Schema = model_class._core_schema
    return schema


def _named_by(model_class: Any, pattern: str) -> Dict[str, str]:
    """The key fields that a pattern for keys begins with as plain text: {"project": "atlas"}.

    What comes behind the first * tells no more: it can stand for several fields.
    """
    options, found = model_class._meta, {}
    names = [name for name, field in options.fields.items() if field.key]
    if options.dialect == "popoto":
        names.sort()
    model, *segments = pattern.split(":")
    if model != options.model_name:
        return {}
    for name, segment in zip(names, segments):
        if options.fields[name].type is not str or not re.fullmatch(r"[^][*?\\/{}'^]+", segment):
            break
        found[name] = segment
    return found
