"""The feature store: features once computed, on disk. ``docs/feature-store.md`` says how it is laid out and why."""

from ._gc import Cleaned
from ._info import CollectionInfo
from ._selection import Selection
from ._store import FeatureStore
from ._verify import Problem
from ._writer import Writer
from .collection import Collection, OutputInfo
from .record import Record

__all__ = [
    "Cleaned",
    "Collection",
    "CollectionInfo",
    "FeatureStore",
    "OutputInfo",
    "Problem",
    "Record",
    "Selection",
    "Writer",
]
