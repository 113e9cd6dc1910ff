"""Data that cannot be trained on: one clear message each, before a run folder is made."""

from __future__ import annotations

import math

import pytest
from vidcore.data.manifest import Row, read_source, write_manifest
from vidcore.errors import DataError, VidcoreError, WiringError
from vidcore.extractors._patch_transformer import PatchTransformer
from vidcore.features import FeatureMap
from vidcore.training import job, train


@pytest.fixture
def refused(tiny_config, brightness, tmp_path):
    """Trains on the brightness clips as ``change`` leaves them, and gives back the error's text."""

    def run(change, error=DataError, **options):
        rows = [new for place, row in enumerate(read_source(brightness)) if (new := change(place, row)) is not None]
        manifest = tmp_path / "manifest.csv"
        write_manifest(rows, manifest)
        config = tiny_config(data={"source": str(manifest)}, train=options)
        with pytest.raises(error) as caught:
            train(config)
        assert isinstance(caught.value, VidcoreError)
        assert not config.out.exists()
        return str(caught.value)

    return run


def test_a_class_missing_from_a_split(refused):
    def change(place, row):
        split = ("train", "val", "test")[place % 3]
        return Row(row.video, row.label, split="train" if row.label == "dark" and split == "val" else split)

    message = refused(change)
    assert message.startswith("class 'dark' (12 rows) is missing from val")
    assert (
        "add videos of it from other groups, change the column 'split' or the seed, or leave the class out" in message
    )


def test_one_class(refused):
    message = refused(lambda place, row: row if row.label == "dark" else None, WiringError)
    assert "needs at least two classes; the data has ['dark']" in message


def test_one_group(refused):
    message = refused(lambda place, row: Row(row.video, row.label, group="scene1"))
    assert message.startswith(
        "all 36 rows are in one group, 'scene1', and a group is never divided; give the column 'group'"
    )
    assert refused(lambda place, row: Row(row.video, row.label, group="scene1"), folds=3) == message


def test_more_folds_than_groups(refused):
    message = refused(lambda place, row: Row(row.video, row.label, group=f"scene{place % 4}"), folds=5)
    assert message == "5 folds need at least 5 groups (or ungrouped videos); there are 4"


def test_more_folds_than_videos_of_a_class(refused):
    message = refused(lambda place, row: row if row.label != "dark" or place % 4 == 0 else None, folds=5)
    assert message.startswith("class 'dark' comes from 3 sources (")
    assert "5 folds that share none need at least 5: add videos from others, or ask for fewer folds" in message


def test_parts_that_do_not_fit_are_told_before_a_video_is_opened(tiny_config, monkeypatch):
    monkeypatch.setattr(job, "open_data", lambda *_: pytest.fail("the data were opened"))
    with pytest.raises(WiringError, match="fusion 'cross_attention' needs at least two streams; there is one"):
        train(tiny_config(fusion={"name": "cross_attention"}))


def test_features_that_are_not_finite(tiny_config, monkeypatch, tmp_path):
    # A store of its own: another test may have left good features of these clips in the one all share.
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))
    before = PatchTransformer.forward

    def forward(self, clip):
        name, fmap = next(iter(before(self, clip).items()))
        data = fmap.data.clone()
        data[0, 0] = math.nan
        return {name: FeatureMap(data, fmap.times, fmap.mask)}

    monkeypatch.setattr(PatchTransformer, "forward", forward)
    config = tiny_config()
    frozen = config.extractors[0].model_copy(update={"freeze": True})
    with pytest.raises(DataError, match=r"of 36 clips have no features:\n.*its features are not finite \(NaN or inf"):
        train(config.model_copy(update={"extractors": (frozen,)}))
