"""The built-in components pass their own suites."""

from vidcore.testing import ExtractorConformance


class TestPatchTransformer(ExtractorConformance):
    name = "basic/patch_transformer"
    clip_shape = (2, 8, 3, 64, 64)


class TestNaiveCnn(ExtractorConformance):
    name = "basic/naive_cnn"
    clip_shape = (2, 8, 3, 64, 64)
