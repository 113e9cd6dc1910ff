"""Extract once: features of many videos into a store, without losing or repeating a finished clip.

The names are loaded when they are first used: the decoding processes import this package too, and do without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.extract.api import extract
    from vidcore.extract.failures import FailedRow
    from vidcore.extract.identity import extractor_identity
    from vidcore.extract.keys import ClipKeys, clip_key, key_size
    from vidcore.extract.progress import ExtractProgress
    from vidcore.extract.report import ExtractReport
    from vidcore.extract.worker import ChunkResult, ChunkWorker, ExtractionJob

__all__ = [
    "ChunkResult",
    "ChunkWorker",
    "ClipKeys",
    "ExtractProgress",
    "ExtractReport",
    "ExtractionJob",
    "FailedRow",
    "clip_key",
    "extract",
    "extractor_identity",
    "key_size",
]

_HOMES = {
    "extract": "api",
    "FailedRow": "failures",
    "extractor_identity": "identity",
    "ClipKeys": "keys",
    "clip_key": "keys",
    "key_size": "keys",
    "ExtractProgress": "progress",
    "ExtractReport": "report",
    "ChunkResult": "worker",
    "ChunkWorker": "worker",
    "ExtractionJob": "worker",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
