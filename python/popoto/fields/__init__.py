"""The kinds of fields that a model can have."""

from ..absent import getattr_of as _getattr_of

__getattr__ = _getattr_of(__name__)
