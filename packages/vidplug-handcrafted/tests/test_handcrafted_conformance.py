from __future__ import annotations

from vidcore.testing import ExtractorConformance, FittedHeadConformance


class TestForensic(ExtractorConformance):
    name = "handcrafted/forensic"
    clip_shape = (2, 3, 3, 40, 56)


class TestLogisticRegression(FittedHeadConformance):
    name = "logistic_regression"


class TestLinearSvm(FittedHeadConformance):
    name = "linear_svm"
