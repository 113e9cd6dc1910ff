"""The conformance suite of named data sets."""

from __future__ import annotations

from typing import ClassVar

from vidcore.catalog import Kind
from vidcore.testing.component import ComponentConformance


class DatasetConformance(ComponentConformance):
    """The checks of a data set's declaration and options; what it holds is checked by ``vidcore data check``."""

    kind: ClassVar[Kind] = "dataset"
