"""Searching the options of a composition."""

from vidcore.analysis.tuning.study import Tuning, tune

__all__ = ["Tuning", "tune"]
