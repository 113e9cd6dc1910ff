"""Options of the handcrafted features and of the heads fitted on them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from vidcore.config import ExtractorConfig, HeadConfig, tunable


class ForensicConfig(ExtractorConfig):
    """Options of ``handcrafted/forensic``: there are no weights, so only the outputs."""


class LinearConfig(HeadConfig):
    """Options of ``logistic_regression`` and ``linear_svm``."""

    inverse_regularisation: float = Field(1.0, gt=0, json_schema_extra=tunable(1e-3, 1e2, log=True))
    """scikit-learn's C: smaller values pull the coefficients of the standardised features to zero harder."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: rows weigh inversely to the frequency of their class in training."""
