"""What Popoto has and this package has not: each name with the reason, for whoever imports it.

docs/popoto-compatibility.md has the same names, and a test compares the two.
"""

from __future__ import annotations

import dis
import os
import sys
import warnings
from typing import Any, Callable

_REASONS = {
    "the library has no OR and no NOT: make two queries, and join what they find by key":
        "Q Expression CombinedExpression",
    "the `popoto export` and `popoto import` commands do that": "export_records import_records ExportResult "
        "ImportReport RecordOutcome",
    "the library has no counterpart of this field": "SortedKeyField IndexedField UniqueField TagField GeoField "
        "Relationship ContentField DataFrameField ValidityField ValidityError ValidityMemberAbsentError "
        "ValidityCloseBeforeStartError ValidityValidFromConflictError TDValueField",
    "decay, observation and prediction are not this library's": "DecayingSortedField CyclicDecayField "
        "CoOccurrenceField ExistenceFilter FrequencySketch TemporalPeriod InteractionWeight Defaults "
        "ObservationProtocol RecallProposal SupersessionProtocol SupersedeResult SupersedeDeclinedError "
        "PredictionLedgerMixin",
    "embeddings and text search are not this library's": "EmbeddingField BM25Field configure",
    "a mixin would work beside the one step in which a record is written": "AccessTrackerMixin AppendOnlyMixin "
        "WriteFilterMixin EventStreamMixin NeverRecordMixin NeverRecordVerdict scan_never_record",
    "nothing here would raise it": "AppendOnlyViolation JournalBlockedError NeverRecordException PublisherException "
        "SubscriberException",
    "every write is one step by itself: many go with bulk_create, bulk_update and bulk_delete": "batch",
    "the `async_` methods are in threads; for commands of your own there is get_redis()": "get_async_redis_db",
    "messages and streams are redis-py's": "Publisher Subscriber StreamConsumer",
    "Popoto's recipes are not this library's": "ContextAssembler AssemblyResult RetrievalQuality AdaptiveAssembler "
        "AssemblyEvent TelemetryRecorder TelemetryAnalyzer report_outcomes",
    "nothing is sent anywhere": "enable_error_reporting",
}

ABSENT = {name: reason for reason, names in _REASONS.items() for name in names.split()}


def getattr_of(module: str) -> Callable[[str], Any]:
    """A module's __getattr__ that says why a name is not there."""

    def __getattr__(name: str) -> Any:
        if name not in ABSENT:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        sentence = f"Popoto's {name} is not in libpopoto: {ABSENT[name]} (docs/popoto-compatibility.md)"
        # `from popoto import Q` would put a sentence of its own in the place of an AttributeError's.
        caller = sys._getframe(1)
        if caller.f_code.co_name == "__getattr__" and caller.f_back is not None:
            caller = caller.f_back
        if caller.f_lasti >= 0 and caller.f_code.co_code[caller.f_lasti] == dis.opmap["IMPORT_FROM"]:
            raise ImportError(sentence, name=module)
        raise AttributeError(sentence)

    return __getattr__


def warn_of_leftovers(folder: str) -> None:
    """Both packages are installed into one folder, popoto: say so where the other one is there, or was."""
    try:
        beside = os.listdir(os.path.dirname(folder))
    except OSError:
        return
    there = [name for name in beside if name.startswith("popoto-") and name.endswith(".dist-info")]
    if os.path.exists(os.path.join(folder, "models", "q.py")):
        there.append("popoto/models/q.py")
    if there:
        warnings.warn(
            f"Popoto and libpopoto are both installed here, in one folder ({', '.join(there)}), and overwrite each "
            "other's files: pip uninstall popoto, then pip install --force-reinstall libpopoto",
            RuntimeWarning,
            stacklevel=3,
        )
