"""What an extraction will take: windows of all clips, and time where there is enough to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from vidcore.catalog import ClipFormat
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract.estimate import Estimate, estimate
from vidcore.extractors import Extractor

from .conftest import write_video

PUBLISHED = Sampling("published")


@pytest.fixture
def paced(stub: type[Extractor]) -> Callable[[int], Extractor]:
    def make(frames: int) -> Extractor:
        made = stub()
        made.spec = replace(made.spec, clip=ClipFormat(frames=frames, stride_frames=1, fps=10.0, size=(16, 16)))
        return made.eval()

    return make


def test_windows_of_all_clips_are_counted(paced: Callable[[int], Extractor], tmp_path: Path) -> None:
    rows = [Row(write_video(tmp_path / f"{frames}.mkv", 0, frames)) for frames in (8, 24)]
    found = estimate(rows, 2, {"short": paced(4), "long": paced(8)}, PUBLISHED)
    assert (found.clips, found.windows, found.seconds) == (2, {"short": 8, "long": 4}, None)
    assert found.in_words() == "2 clips to extract: short 8 windows, long 4 windows"
    # The rows stand for twenty times as many.
    many = estimate(rows, 40, {"short": paced(4), "long": paced(8)}, PUBLISHED)
    assert many.windows == {"short": 160, "long": 80}
    assert many.seconds is not None and many.seconds > 0


def test_what_cannot_be_read_or_computed_is_left_to_the_extraction(
    paced: Callable[[int], Extractor], stub: type[Extractor], tmp_path: Path
) -> None:
    def broken(clip: object) -> None:
        raise RuntimeError("cannot")

    row = Row(write_video(tmp_path / "a.mkv", 0, 8))
    assert estimate([Row(tmp_path / "none.mkv")], 30, {"a": paced(4)}, PUBLISHED) == Estimate(30, {"a": 30}, None)
    assert estimate([Row(tmp_path / "none.mkv"), row], 30, {"a": paced(4)}, PUBLISHED).windows == {"a": 60}
    assert estimate([row], 30, {"a": stub(broken).eval()}, PUBLISHED).seconds is None


def test_time_in_words() -> None:
    said = [Estimate(120, {"x": 248}, seconds).in_words().rpartition("; ")[2] for seconds in (20, 700, 9000)]
    assert said == ["less than a minute", "about 12 min", "about 2.5 h"]
