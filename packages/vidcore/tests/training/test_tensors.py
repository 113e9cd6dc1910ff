from __future__ import annotations

import pytest
import torch
from vidcore.errors import ShapeError
from vidcore.training import TensorClips


def test_batches_are_what_the_plan_asks_for():
    videos = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1, 1).expand(5, 2, 3, 4, 4)
    clips = TensorClips({"a": videos, "b": videos + 10}, torch.arange(5))
    assert len(clips) == 5
    first, second = clips.batches([[3, 1], [4]], epoch=7)
    assert first.rows == (3, 1)
    assert first.targets.tolist() == [3, 1]
    assert first.clips["b"][:, 0, 0, 0, 0].tolist() == [13, 11]
    assert second.mask.shape == (1, 2)
    assert second.mask.all()


@pytest.mark.parametrize("clips", [torch.zeros(5, 2, 3, 4, 4), torch.zeros(4, 2, 3, 4, 4, dtype=torch.uint8)])
def test_what_are_no_clips(clips):
    with pytest.raises(ShapeError, match=r"clips of stream 's' must be uint8 \(5, T, 3, h, w\); got "):
        TensorClips(clips, torch.arange(5), stream="s")
