from vidcore.testing import ExtractorConformance


class TestSlowFast(ExtractorConformance):
    name = "slowfast/r50_8x8_test"
    clip_shape = (2, 16, 3, 64, 64)


class TestSlow(ExtractorConformance):
    name = "slow/r50_8x8_test"
    clip_shape = (2, 8, 3, 64, 64)


class TestC2D(ExtractorConformance):
    name = "slowfast/c2d_r50_test"
    clip_shape = (2, 8, 3, 64, 64)
