"""What lanes do around an extractor."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from vidcore.assemble import create
from vidcore.extract import lanes
from vidcore.extract.batching import BatchQueue, BatchSizer
from vidcore.extract.progress import Meter
from vidcore.frames import Frames
from vidcore.runtime import OneDnnConvolutions, accelerate
from vidcore.testing.fakes import fake_video


@pytest.mark.parametrize(
    ("name", "accelerated", "times"),
    [("basic/naive_cnn", False, 1), ("basic/naive_cnn", True, 0), ("basic/patch_transformer", False, 0)],
)
def test_convolutions_of_plain_networks_of_them_go_to_onednn(monkeypatch, name, accelerated, times):
    entered = []

    class Spy(OneDnnConvolutions):
        def __enter__(self):
            entered.append(self)
            return super().__enter__()

    monkeypatch.setattr(lanes, "OneDnnConvolutions", Spy)
    extractor = create(name)
    if accelerated:
        extractor = accelerate(extractor, "eager", frames=4, size=(32, 32), threads=1)
    sizers = {"a": BatchSizer(1, start=1, ceiling=1)}
    batches = BatchQueue(sizers, 0.0)
    video = fake_video((1, 4, 3, 32, 32))[0]
    clip = Frames.of(video, torch.arange(4.0), torch.ones(4, dtype=torch.bool), 1)
    batches.put("a", (), SimpleNamespace(view=lambda _: clip))
    batches.close()
    running = lanes.Lanes(
        [{"a": extractor}], sizers, device=torch.device("cpu"), count=1, threads=1, keep="map", dtype="float32",
        precision="float32",
    )  # fmt: skip
    found, errors = [], []
    for lane in running.start(batches, lambda _, __, records: found.append(records), Meter(), errors.append):
        lane.join()
    assert not errors
    assert len(found) == 1
    assert isinstance(found[0], dict), found[0]
    assert len(entered) == times
