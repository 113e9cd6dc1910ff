"""vidcore: which video extractor, or which combination, is best for your clips and your task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.assemble import create
    from vidcore.catalog import ComponentSpec, Kind
    from vidcore.model import VideoModel
    from vidcore.training import load

__all__ = ["VideoModel", "__version__", "create", "list_models", "load"]

_LAZY = {"create": "vidcore.assemble", "load": "vidcore.training", "VideoModel": "vidcore.model"}


def list_models(kind: Kind = "extractor") -> list[ComponentSpec]:
    """Specs of every installed component of a kind, sorted by name; imports no framework.

    Colliding names and plugins that failed to load are left out; ``vidcore plugins`` shows them.
    """
    from vidcore.catalog import installed

    return [entry.spec for entry in installed().entries(kind)]


def __getattr__(name: str) -> Any:
    # Lazy, so that listing models does not import torch.
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("vidcore")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
