from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestVitS14(ExtractorConformance):
    name = "dinov2/vits14_test"
    clip_shape = (2, 2, 3, 56, 70)


class TestVitS14Native(ExtractorConformance):
    name = "dinov2/vits14_test"
    clip_shape = (2, 2, 3, 56, 70)
    options = {"size": None}  # noqa: RUF012


class TestVitS14Reg(ExtractorConformance):
    name = "dinov2/vits14_reg_test"
    clip_shape = (2, 2, 3, 56, 70)


class TestVitG14(ExtractorConformance):
    name = "dinov2/vitg14_test"
    clip_shape = (2, 2, 3, 56, 70)


class TestDinov3VitS16(ExtractorConformance):
    name = "dinov3/vits16_test"
    clip_shape = (2, 2, 3, 64, 80)


class TestDinov3VitS16Plus(ExtractorConformance):
    name = "dinov3/vits16plus_test"
    clip_shape = (2, 2, 3, 64, 80)
