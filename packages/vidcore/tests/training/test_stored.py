"""Runs with frozen extractors fill the store and read from it."""

from __future__ import annotations

import pytest
import torch
from vidcore.assemble import assemble, create
from vidcore.config import run_config
from vidcore.data.manifest import read_source
from vidcore.data.targets import class_targets
from vidcore.errors import StoreError
from vidcore.frames import Frames
from vidcore.heads.base import TargetInfo
from vidcore.store import FeatureStore
from vidcore.training import stored as stored_module
from vidcore.training import train
from vidcore.training.progress import Progress
from vidcore.training.seeding import seed_all
from vidcore.training.stored import StoredClips, store_features
from vidcore.training.trained import sampling_of


@pytest.fixture
def frozen(tiny_config, tmp_path):
    """Makes a configuration whose extractor is frozen, with a store of the test's own."""

    def make(**more):
        config = tiny_config(**more)
        extractors = tuple(choice.model_copy(update={"freeze": True}) for choice in config.extractors)
        store = config.data.model_copy(update={"store": tmp_path / "store", "frames": 4})
        return config.model_copy(update={"extractors": extractors, "data": store})

    return make


def features_of(config):
    rows = read_source(config.data.source).rows
    targets = class_targets(rows)
    seed_all(config.train.seed)
    model = assemble(config, TargetInfo("class", targets.classes, (12, 12, 12)))
    used = list(range(0, len(rows), 3))
    stored = store_features(model, rows, used, targets.values, sampling_of(config), config.data, "32-true", Progress())
    return model, rows, used, stored


def test_stored_features_are_what_the_extractor_gives(frozen):
    config = frozen()
    model, rows, used, stored = features_of(config)
    part = stored.part(used[:4])
    (batch,) = part.batches([[3, 0]], 0)
    assert batch.rows == (used[3], used[0])
    from vidcore.data.clips import read_clip

    clip = read_clip(rows[used[3]], sampling_of(config))
    with torch.no_grad():
        seen = Frames.of(clip.frames, clip.times, clip.mask, clip.windows)
        fresh = model.encode(dict.fromkeys(model.streams, seen))
    for stream, fmap in batch.features.items():
        pooled = fresh[stream].pooled()
        assert fmap.data.shape[1:] == pooled.data.shape[1:], "mean reads no grid, so none is kept"
        assert torch.allclose(fmap.data[:1], pooled.data, atol=1e-5)
        assert torch.allclose(fmap.times, pooled.times)


def test_a_readout_that_looks_at_the_grid_gets_it(frozen):
    model, _, used, stored = features_of(frozen(readout={"name": "attention"}))
    (batch,) = stored.part(used).batches([[0]], 0)
    (stream,) = model.streams
    assert batch.features[stream].data.shape[-2:] == (2, 2)


def test_large_features_stay_on_the_disk(frozen, monkeypatch):
    _, _, used, stored = features_of(frozen())
    inside = stored.part(used)
    monkeypatch.setattr(stored_module, "_memory_allowed", lambda: 10)
    outside = stored.part(used)
    assert isinstance(outside, StoredClips)
    assert not isinstance(inside, StoredClips)
    plan = [[2, 0, 1], [4]]
    for here, there in zip(inside.batches(plan, 0), outside.batches(plan, 0), strict=True):
        assert here.rows == there.rows
        assert torch.equal(here.targets, there.targets)
        for stream, fmap in here.features.items():
            assert torch.equal(fmap.data, there.features[stream].data)


def test_a_second_run_extracts_nothing_and_learns_the_same(frozen):
    first = train(frozen())
    assert "features of 36 clips were extracted" in first.log.read_text()
    config = frozen()
    again = train(config.model_copy(update={"name": "again", "train": config.train}))
    assert "features of all 36 clips come from" in again.log.read_text()
    assert first.read_results()["test"] == again.read_results()["test"]


def test_whole_maps_of_an_earlier_run_serve_one_that_needs_means(frozen, tmp_path):
    train(frozen(readout={"name": "attention"}))
    run = train(frozen(name="means"))
    assert "features of all 36 clips come from" in run.log.read_text()
    assert len(FeatureStore.open(tmp_path / "store").collections()) == 1


def test_each_stream_is_looked_for_by_itself(frozen, tmp_path):
    # Maps of one extractor and means of the other are stored; the two fused need nothing more.
    # The second has weights of a file: random ones differ by what was drawn before, so by the streams before it.
    options = {"width": 8, "frames": 2}
    torch.save(create("basic/naive_cnn", **options).state_dict(), tmp_path / "cnn.pth")
    options["weights"] = str(tmp_path / "cnn.pth")
    cnn = {"name": "basic/naive_cnn", "options": options, "freeze": True}
    patches = frozen().model_dump(mode="json")["extractors"][0]
    train(frozen(extractors=[patches], readout={"name": "attention"}))
    train(frozen(extractors=[cnn], name="means"))
    run = train(frozen(extractors=[patches, cnn], fusion={"name": "late"}, name="both"))
    assert "features of all 36 clips come from" in run.log.read_text()
    assert len(FeatureStore.open(tmp_path / "store").collections()) == 2


def test_folds_extract_once(frozen):
    run = train(frozen(train={"folds": 2, "epochs": 1}))
    assert run.log.read_text().count("were extracted") == 1


def test_a_store_that_cannot_be_written_is_named(frozen, tmp_path):
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match="store"):
        train(frozen())


def test_the_store_is_an_option_of_the_data():
    assert str(run_config({"data": {"store": "features"}}).data.store) == "features"
