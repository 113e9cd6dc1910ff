"""Conformance suites that every component must pass, golden values, and small made inputs. Needs pytest.

A plugin's whole conformance test is a class with a name:

    from vidcore.testing import ExtractorConformance


    class TestVitS14(ExtractorConformance):
        name = "dinov2/vits14_test"
        clip_shape = (2, 2, 3, 56, 70)  # B, T, C, H, W
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Says what to install where pytest is missing.
from vidcore.testing._require import PytestMissingError

if TYPE_CHECKING:
    from vidcore.testing.dataset import DatasetConformance
    from vidcore.testing.declared import ExtractorDeclarationConformance
    from vidcore.testing.extractor import ExtractorConformance
    from vidcore.testing.fakes import fake_map, fake_video
    from vidcore.testing.fitted import FittedHeadConformance
    from vidcore.testing.fusion import FusionConformance
    from vidcore.testing.goldens import fill_published, golden_clip, relative_error
    from vidcore.testing.head import HeadConformance
    from vidcore.testing.readout import ReadoutConformance

__all__ = [
    "DatasetConformance",
    "ExtractorConformance",
    "ExtractorDeclarationConformance",
    "FittedHeadConformance",
    "FusionConformance",
    "HeadConformance",
    "PytestMissingError",
    "ReadoutConformance",
    "fake_map",
    "fake_video",
    "fill_published",
    "golden_clip",
    "relative_error",
]

_LAZY = {
    "DatasetConformance": "dataset",
    "ExtractorConformance": "extractor",
    "ExtractorDeclarationConformance": "declared",
    "FittedHeadConformance": "fitted",
    "FusionConformance": "fusion",
    "HeadConformance": "head",
    "ReadoutConformance": "readout",
    "fake_map": "fakes",
    "fake_video": "fakes",
    "fill_published": "goldens",
    "golden_clip": "goldens",
    "relative_error": "goldens",
}


def __getattr__(name: str) -> Any:
    # Lazy: the suite of an extractor needs no metrics library, whose import takes as long as torch's.
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(f"vidcore.testing.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
