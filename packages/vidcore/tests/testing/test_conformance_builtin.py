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


class TestMeanCausal(ReadoutConformance):
    name = "mean"
    options: ClassVar = {"causal": True}


class TestMax(ReadoutConformance):
    name = "max"


class TestMaxCausal(ReadoutConformance):
    name = "max"
    options: ClassVar = {"causal": True}


class TestLast(ReadoutConformance):
    name = "last"


class TestLastCausal(ReadoutConformance):
    name = "last"
    options: ClassVar = {"causal": True}


class TestAttention(ReadoutConformance):
    name = "attention"


class TestAttentiveProbe(ReadoutConformance):
    name = "attention"
    options: ClassVar = {"blocks": 1, "queries": 2}


class TestDeepAttentiveProbe(ReadoutConformance):
    name = "attention"
    options: ClassVar = {"blocks": 4, "width": 16}


class TestAttentiveProbeCausal(ReadoutConformance):
    name = "attention"
    options: ClassVar = {"blocks": 2, "queries": 2, "causal": True}


class TestGru(ReadoutConformance):
    name = "gru"


class TestGruBothWays(ReadoutConformance):
    name = "gru"
    options: ClassVar = {"bidirectional": True, "layers": 2, "width": 16}
    not_options = ("causal",)  # refused beside bidirectional


class TestGruCausal(ReadoutConformance):
    name = "gru"
    options: ClassVar = {"causal": True, "width": 16}
    not_options = ("per_step", "bidirectional")  # causal is per step, and refused beside bidirectional


class TestLstm(ReadoutConformance):
    name = "lstm"


class TestLstmPerStep(ReadoutConformance):
    name = "lstm"
    options: ClassVar = {"per_step": True, "bidirectional": True, "width": 16}
    not_options = ("causal",)  # refused beside bidirectional


class TestTransformer(ReadoutConformance):
    name = "transformer"


class TestTransformerCausal(ReadoutConformance):
    name = "transformer"
    options: ClassVar = {"causal": True, "width": 16}
    not_options = ("per_step",)  # causal is per step


class TestTransformerPerStep(ReadoutConformance):
    name = "transformer"
    options: ClassVar = {"per_step": True, "width": 16}


class TestClassification(HeadConformance):
    name = "classification"


class TestSeveralLabels(HeadConformance):
    name = "classification"
    options: ClassVar = {"multilabel": True}


class TestMultilabel(HeadConformance):
    name = "multilabel"


class TestRegression(HeadConformance):
    name = "regression"


class TestForecast(HeadConformance):
    name = "forecast"


class TestForecastWithHiddenLayers(HeadConformance):
    name = "forecast"
    options: ClassVar = {"hidden": (16, 8)}
