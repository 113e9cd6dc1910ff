"""The contact sheet: every clip is there, in its place, under its label."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from vidcore.data.sheet import contact_sheet
from vidcore.errors import DataError, ShapeError


def plain(colour, frames=4, height=64, width=64):
    return np.broadcast_to(np.array(colour, np.uint8)[None, :, None, None], (frames, 3, height, width)).copy()


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_clips_lie_row_by_row(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    out = contact_sheet([(plain(c), "label") for c in colours], tmp_path / "new" / "sheet.png", 2, 4)
    sheet = read(out)
    places = [np.argwhere((sheet == c).all(axis=2)) for c in colours]
    assert [len(p) for p in places] == [4 * 64 * 64] * 3
    red, green, blue = (p.min(axis=0) for p in places)
    assert red[0] == green[0] < blue[0] and red[1] == blue[1] < green[1]
    assert not list((tmp_path / "new").glob("*.part"))


def test_frames_are_spread_from_first_to_last(tmp_path):
    clip = np.stack([np.full((3, 64, 64), 10 * k, np.uint8) for k in range(10)])
    sheet = read(contact_sheet([(clip, "")], tmp_path / "s.png", 1, 4))
    shown = [int(v) for v in sheet[40, 4 + 32 :: 65, 0][:4]]
    assert shown == [0, 30, 60, 90]


def test_a_short_clip_shows_each_frame_once(tmp_path):
    sheet = read(contact_sheet([(plain((9, 9, 9), frames=2), "x")], tmp_path / "s.png", 1, 8))
    assert (sheet == 9).all(axis=2).sum() == 2 * 64 * 64


def test_labels_are_drawn_and_long_ones_cut(tmp_path):
    def dark(label):
        sheet = read(contact_sheet([(plain((255, 255, 255), frames=1), label)], tmp_path / "s.png", 1, 1))
        return int((sheet < 100).all(axis=2).sum())

    assert dark("") == 0 < dark("walk")
    assert dark("w" * 500) < 3 * dark("wwwwwww")
    assert dark("a\nb") > 0


def test_sizes_mix_and_keep_their_shape(tmp_path):
    wide, tall = plain((255, 0, 0), 1, 50, 100), plain((0, 0, 255), 1, 100, 50)
    large = plain((0, 255, 0), 1, 1080, 1920)
    sheet = read(contact_sheet([(wide, "a"), (tall, "b"), (large, "c")], tmp_path / "s.png", 3, 1))
    for colour, ratio in (((255, 0, 0), 2), ((0, 0, 255), 0.5), ((0, 255, 0), 16 / 9)):
        at = np.argwhere((sheet == colour).all(axis=2))
        high, broad = np.ptp(at, axis=0) + 1
        assert broad / high == pytest.approx(ratio, rel=0.05)
    assert max(sheet.shape) < 600


def test_bad_input_is_refused(tmp_path):
    out = tmp_path / "s.png"
    with pytest.raises(DataError, match="no clip to show"):
        contact_sheet([], out, 1, 1)
    with pytest.raises(DataError, match="columns must be at least 1, got 0"):
        contact_sheet([(plain((0, 0, 0)), "a")], out, 0, 1)
    with pytest.raises(DataError, match="frames_per_clip must be at least 1, got -2"):
        contact_sheet([(plain((0, 0, 0)), "a")], out, 1, -2)
    with pytest.raises(ShapeError, match=r"clip 'a' must be uint8 of shape \(T, 3, H, W\), got uint8 \(4, 64, 64\)"):
        contact_sheet([(np.zeros((4, 64, 64), np.uint8), "a")], out, 1, 1)
    with pytest.raises(ShapeError, match="got float64"):
        contact_sheet([(np.zeros((4, 3, 8, 8)), "a")], out, 1, 1)
    with pytest.raises(ShapeError, match=r"got uint8 \(0, 3, 8, 8\)"):
        contact_sheet([(np.zeros((0, 3, 8, 8), np.uint8), "a")], out, 1, 1)
    assert not out.exists()


def test_an_unwritable_place_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the contact sheet"):
        contact_sheet([(plain((0, 0, 0)), "a")], tmp_path / "file" / "s.png", 1, 1)
