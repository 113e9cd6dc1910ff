"""The parts of ``vidcore.analysis.compare``: cells, what they share, running them, testing and telling them apart."""

from vidcore.analysis.comparison.comparison import Comparison

__all__ = ["Comparison"]
