"""What another way of computing features costs a probe."""

from __future__ import annotations

import pytest
import torch
from vidcore.analysis.probe import probe_cost
from vidcore.assemble import create
from vidcore.errors import DataError
from vidcore.features import FeatureMap

TINY = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8}


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    labels = [name for name in ("dark", "bright") for _ in range(8)]
    level = {"dark": 30, "bright": 200}
    noise = torch.randint(0, 40, (16, 4, 3, 16, 16), generator=generator)
    return [(noise[i] + level[label]).to(torch.uint8) for i, label in enumerate(labels)], labels


def test_equal_features_cost_nothing_and_ruined_ones_do(data):
    videos, labels = data
    extractor = create("basic/patch_transformer", **TINY)
    same = probe_cost(extractor, extractor, videos, labels)
    assert (same.reference, same.other, same.changed, same.clips, same.folds) == (1.0, 1.0, 0, 16, 5)

    ruined = create("basic/patch_transformer", **TINY)
    forward = ruined.forward
    generator = torch.Generator().manual_seed(1)

    def noise(clip):
        return {
            name: FeatureMap(torch.randn(fmap.data.shape, generator=generator), fmap.times)
            for name, fmap in forward(clip).items()
        }

    ruined.forward = noise
    worse = probe_cost(extractor, ruined, videos, labels)
    assert worse.reference == 1.0
    assert worse.other < 0.95
    assert worse.changed > 0


def test_groups_stay_together(data):
    videos, labels = data
    extractor = create("basic/patch_transformer", **TINY)
    pairs = [f"{label}{place // 4 % 2}" for place, label in enumerate(labels)]
    assert probe_cost(extractor, extractor, videos, labels, pairs).folds == 2


def test_one_source_video_a_class_is_too_few(data):
    videos, labels = data
    extractor = create("basic/patch_transformer", **TINY)
    with pytest.raises(DataError, match="two source videos each"):
        probe_cost(extractor, extractor, videos, labels, labels)
