from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestTimesformer(ExtractorConformance):
    name = "timesformer/base_test"
    clip_shape = (2, 4, 3, 64, 64)
