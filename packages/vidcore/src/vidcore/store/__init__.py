"""The feature store: features once computed, on disk."""

from ._selection import Selection
from ._store import FeatureStore
from ._writer import Writer
from .collection import Collection, OutputInfo
from .record import Record

__all__ = ["Collection", "FeatureStore", "OutputInfo", "Record", "Selection", "Writer"]
