"""vidcore: which video extractor, or which combination, is best for your clips and your task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.analysis import compare, evaluate
    from vidcore.assemble import create
    from vidcore.catalog import ComponentSpec, Kind
    from vidcore.data.clips import read_clip
    from vidcore.data.sampling import Sampling
    from vidcore.features import FeatureMap
    from vidcore.model import VideoModel
    from vidcore.training import TrainedModel, load

__all__ = [
    "FeatureMap",
    "Sampling",
    "TrainedModel",
    "VideoModel",
    "__version__",
    "compare",
    "create",
    "evaluate",
    "list_models",
    "load",
    "read_clip",
]

_LAZY = {
    "FeatureMap": "vidcore.features",
    "Sampling": "vidcore.data.sampling",
    "TrainedModel": "vidcore.training",
    "VideoModel": "vidcore.model",
    "compare": "vidcore.analysis",
    "create": "vidcore.assemble",
    "evaluate": "vidcore.analysis",
    "load": "vidcore.training",
    "read_clip": "vidcore.data.clips",
}


def list_models(kind: Kind = "extractor") -> list[ComponentSpec]:
    """Specs of every installed component of a kind, sorted by name; imports no framework.

    Colliding names and plugins that failed to load are left out; ``vidcore plugins`` shows them.
    """
    from vidcore.catalog import installed

    return [entry.spec for entry in installed().entries(kind)]


def __dir__() -> list[str]:
    # For Tab completion, which would not see what is lazy.
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # Lazy, so that listing models does not import torch.
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("vidcore")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
