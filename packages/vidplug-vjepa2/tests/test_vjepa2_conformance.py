from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestVJepa2(ExtractorConformance):
    name = "vjepa2/vitl_test"
    clip_shape = (2, 8, 3, 64, 64)
