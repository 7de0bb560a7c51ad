"""Models and their queries."""

from ..absent import getattr_of as _getattr_of

__getattr__ = _getattr_of(__name__)
