"""Conformance suites that every component must pass, golden values, and small made inputs. Needs pytest.

A plugin's whole conformance test is a class with a name:

    from vidcore.testing import ExtractorConformance


    class TestVitS14(ExtractorConformance):
        name = "dinov2/vits14_test"
        clip_shape = (2, 2, 3, 56, 70)  # B, T, C, H, W
"""

from __future__ import annotations

# First: it says what to install where pytest is missing.
from vidcore.testing._require import PytestMissingError
from vidcore.testing.dataset import DatasetConformance
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
