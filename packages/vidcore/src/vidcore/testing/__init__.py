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
from vidcore.testing.extractor import ExtractorConformance

__all__ = ["ExtractorConformance", "PytestMissingError"]
