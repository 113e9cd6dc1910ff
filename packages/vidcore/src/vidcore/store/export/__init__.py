"""Export: the features of a store as files that other programs read."""

from ._export import FORMATS, export

__all__ = ["FORMATS", "export"]
