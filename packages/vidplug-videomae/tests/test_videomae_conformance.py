from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestVideoMae(ExtractorConformance):
    name = "videomae/base_test"
    clip_shape = (2, 16, 3, 64, 64)
