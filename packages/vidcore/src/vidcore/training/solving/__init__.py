"""Linear heads on frozen features, solved to convergence instead of trained by steps."""

from .reading import read_rows
from .solution import Solution
from .solver import solve

__all__ = ["Solution", "read_rows", "solve"]
