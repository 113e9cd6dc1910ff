from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestVit(ExtractorConformance):
    name = "timm/vit_test"
    clip_shape = (2, 2, 3, 64, 80)


class TestConvNext(ExtractorConformance):
    name = "timm/convnext_test"
    clip_shape = (2, 2, 3, 64, 80)


class TestSwin(ExtractorConformance):
    name = "timm/swin_test"
    clip_shape = (2, 2, 3, 64, 80)
