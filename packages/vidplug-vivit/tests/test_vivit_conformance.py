from __future__ import annotations

from vidcore.testing import ExtractorConformance


class TestJoint(ExtractorConformance):
    name = "vivit/b16x2_test"
    clip_shape = (2, 8, 3, 64, 80)


class TestFactorised(ExtractorConformance):
    name = "vivit/factorised_test"
    clip_shape = (2, 16, 3, 32, 40)


class TestFactorisedLearned(ExtractorConformance):
    name = "vivit/factorised_test"
    clip_shape = (2, 16, 3, 24, 32)
    # With tables for both axes these can only contradict them; TestFactorised varies them.
    not_options = (
        "outputs",
        "weights",
        "adapt_weights",
        "classes",
        "spatial_position",
        "temporal_position",
        "rope_base",
    )
    options = {  # noqa: RUF012
        "spatial_position": "learned",
        "temporal_position": "learned",
        "learned_grid": (4, 2, 2),
        "norm": "rms_norm",
        "final_norm": True,
        "registers": 0,
    }
