"""The built-in components pass their own suites, by name alone."""

from typing import ClassVar

from vidcore.testing import ExtractorConformance, FusionConformance, HeadConformance, ReadoutConformance


class TestPatchTransformer(ExtractorConformance):
    name = "basic/patch_transformer"
    clip_shape = (2, 8, 3, 64, 64)


class TestNaiveCnn(ExtractorConformance):
    name = "basic/naive_cnn"
    clip_shape = (2, 8, 3, 64, 64)


class TestConcat(FusionConformance):
    name = "concat"


class TestGated(FusionConformance):
    name = "gated"


class TestCrossAttention(FusionConformance):
    name = "cross_attention"


class TestCrossAttentionOneWay(FusionConformance):
    name = "cross_attention"
    options: ClassVar = {"direction": "one", "pool": True, "width": 64}


class TestBottleneck(FusionConformance):
    name = "bottleneck"


class TestLate(FusionConformance):
    name = "late"


class TestMean(ReadoutConformance):
    name = "mean"


class TestAttention(ReadoutConformance):
    name = "attention"


class TestClassification(HeadConformance):
    name = "classification"


class TestSeveralLabels(HeadConformance):
    name = "classification"
    options: ClassVar = {"multilabel": True}
