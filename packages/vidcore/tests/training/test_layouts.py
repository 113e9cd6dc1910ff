"""Runs on published data sets: the order of the classes, mirrored classes, several labels, and frame images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from vidcore.config import RunConfig
from vidcore.data.clips import read_clip
from vidcore.data.manifest import Row, read_source
from vidcore.data.sampling import Sampling
from vidcore.errors import DataError
from vidcore.extract.hashing import FileHash, hash_file
from vidcore.extract.keys import clip_key
from vidcore.training import load, train
from vidcore.training.augmentation import augmentation_of

LEFT, RIGHT = "Pulling something from left to right", "Pulling something from right to left"
CLASSES = ("Zipping something", RIGHT, LEFT)


@pytest.fixture
def something(tmp_path: Path, video_writer: Callable[..., None]) -> Path:
    """Eighteen videos of three classes that differ in brightness, laid out as Something-Something V2."""
    root = tmp_path / "ssv2"
    lists: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    number = 0
    for level, label in zip((40, 120, 200), CLASSES, strict=True):
        for split in (*["train"] * 4, "validation", "test"):
            number += 1
            video_writer(root / "videos" / f"{number}.mkv", level, number)
            lists[split].append({"id": str(number), "template": label.replace("something", "[something]")})
    (root / "labels").mkdir()
    (root / "labels" / "labels.json").write_text(json.dumps({name: str(i) for i, name in enumerate(CLASSES)}))
    for split, items in lists.items():
        (root / "labels" / f"{split}.json").write_text(json.dumps(items))
    return root


def test_training_takes_splits_class_order_and_mirror_images_from_the_layout(
    something: Path, tiny_config: Callable[..., RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(data={"source": str(something)}, augment={"flip": 1.0})
    run = train(config, show=True)
    told = json.loads(run.data.read_text())
    assert told["classes"] == list(CLASSES)
    assert told["splits"] == {"train": 12, "val": 3, "test": 3}
    assert told["notes"][0].startswith("layout     something-something-v2")
    assert load(run.root).classes == CLASSES
    assert "layout     something-something-v2" in capsys.readouterr().out


def test_a_mirrored_clip_gets_the_class_of_its_mirror_image(
    something: Path, tiny_config: Callable[..., RunConfig]
) -> None:
    from vidcore.catalog import installed
    from vidcore.training.preparation import open_data, prepare_data
    from vidcore.training.progress import Progress

    config = tiny_config(data={"source": str(something)}, augment={"flip": 1.0})
    source = open_data(config, installed(), Progress())
    data = prepare_data(config, installed(), source, Progress())
    model = load(train(tiny_config(data={"source": str(something)}, train={"epochs": 1})).root).model
    changed = augmentation_of(config, data, model).clips
    assert changed is not None
    assert changed.flips
    frames = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2)
    generator = np.random.default_rng(0)
    assert [int(changed(frames, generator, torch.tensor(place))[1]) for place in range(3)] == [0, 2, 1]


def test_labels_that_name_several_classes_need_a_head_for_several(
    tmp_path: Path, video_writer: Callable[..., None], tiny_config: Callable[..., RunConfig]
) -> None:
    lines = []
    for number in range(12):
        video_writer(tmp_path / f"{number}.mkv", 40 if number % 2 else 200, number)
        lines.append(f"{number}.mkv {number % 2} 2\n")
    (tmp_path / "train.txt").write_text("".join(lines))
    config = tiny_config(data={"source": str(tmp_path / "train.txt")}, train={"epochs": 1})
    with pytest.raises(DataError, match=r"12 rows name several classes.*head\.options\.multilabel=true"):
        train(config)
    both = tiny_config(
        data={"source": str(tmp_path / "train.txt")},
        train={"epochs": 1},
        head={"name": "classification", "options": {"multilabel": True}},
        name="several",
    )
    assert json.loads(train(both).data.read_text())["classes"] == ["0", "1", "2"]


def _frames(folder: Path, level: int) -> None:
    folder.mkdir(parents=True)
    for number in range(1, 7):
        Image.fromarray(np.full((16, 16, 3), level + number, np.uint8)).save(folder / f"img_{number:05}.png")


def test_training_on_frame_images_reads_them_and_stores_their_features(
    tmp_path: Path, tiny_config: Callable[..., RunConfig]
) -> None:
    for label, level in (("dark", 20), ("bright", 200)):
        for number in range(6):
            _frames(tmp_path / "frames" / label / f"v{number}", level + 3 * number)
    data = {"source": str(tmp_path / "frames"), "options": {"fps": 12}}
    frozen = [{"name": "basic/patch_transformer", "options": {"width": 16, "depth": 1, "heads": 2, "size": 16,
               "patch": 8}, "freeze": True}]  # fmt: skip
    run = train(tiny_config(data=data, extractors=frozen))
    rows = read_source(run.split)
    assert len(rows) == 12
    assert {row.fps for row in rows} == {12.0}
    (answer,) = load(run.root).predict([rows[0]])
    assert answer.top[0][0] in ("dark", "bright")


def test_frame_images_have_a_hash_and_their_rate_is_part_of_the_key(tmp_path: Path) -> None:
    _frames(tmp_path / "a", 20)
    _frames(tmp_path / "b", 20)
    (one, other) = (hash_file(tmp_path / name) for name in "ab")
    assert isinstance(one, FileHash)
    assert isinstance(other, FileHash)
    assert one.sha256 == other.sha256
    slow, fast = Row(tmp_path / "a", extra={"fps": "10"}), Row(tmp_path / "a", extra={"fps": 20})
    assert clip_key(slow, Sampling(), None) != clip_key(fast, Sampling(), None)
    clip = read_clip(slow, Sampling(frames=6))
    assert clip.frames[:, 0, 0, 0].tolist() == [21, 22, 23, 24, 25, 26]
    assert clip.times_seconds.tolist() == pytest.approx([i / 10 for i in range(6)])
    (tmp_path / "b" / "img_00003.png").write_bytes((tmp_path / "b" / "img_00001.png").read_bytes())
    assert hash_file(tmp_path / "b") != other
