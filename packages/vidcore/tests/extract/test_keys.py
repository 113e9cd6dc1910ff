"""Keys of clips and content hashes of files."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import DecodeError
from vidcore.extract import ClipKeys, clip_key, hashing
from vidcore.extract.hashing import FileHash, FileHashes

SAMPLING = Sampling("uniform", 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(b"some video")
    os.utime(path, (1e9, 1e9))
    return path


def test_a_key_names_content_segment_sampling_and_size(file: Path) -> None:
    key = clip_key(Row(file), SAMPLING, None)
    assert len(key) == 64
    assert key == clip_key(Row(file, label="x", split="train", start_seconds=0.0), SAMPLING, None)
    others = [
        clip_key(Row(file, start_seconds=1.0), SAMPLING, None),
        clip_key(Row(file, end_seconds=1.0), SAMPLING, None),
        clip_key(Row(file), Sampling("uniform", 5), None),
        clip_key(Row(file), Sampling("uniform", 4, short="loop"), None),
        clip_key(Row(file), SAMPLING, 64),
    ]
    assert len({key, *others}) == 6
    moved = file.rename(file.with_name("b.bin"))
    assert clip_key(Row(moved), SAMPLING, None) == key
    moved.write_bytes(b"some videO")
    assert clip_key(Row(moved), SAMPLING, None) != key


def test_unreadable_files_have_no_key(tmp_path: Path) -> None:
    row = Row(tmp_path / "gone.mp4")
    with pytest.raises(DecodeError, match=r"gone\.mp4: cannot open the video: No such file or directory"):
        clip_key(row, SAMPLING, None)
    with pytest.raises(DecodeError, match="cannot open the video"):
        ClipKeys(FileHashes(tmp_path / "h.sqlite3")).of([row], SAMPLING, None)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    hashed: list[Path] = []
    real = hashing.hash_file

    def spy(path: Path) -> Any:
        hashed.append(path)
        return real(path)

    monkeypatch.setattr(hashing, "hash_file", spy)
    return hashed


def test_a_file_is_hashed_once_until_it_changes(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = counting(monkeypatch)
    cache = tmp_path / "cache" / "h.sqlite3"
    first = FileHashes(cache).of([file, file])
    assert FileHashes(cache).of([file]) == first
    assert len(hashed) == 1
    file.write_bytes(b"something longer")
    os.utime(file, (1e9, 1e9))
    assert FileHashes(cache).of([file]) != first
    assert len(hashed) == 2


def test_a_file_that_was_just_written_is_not_remembered(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Changed again within the same tick of the clock, at the same size, it would keep its old hash.
    hashed = counting(monkeypatch)
    os.utime(file)
    hashes = FileHashes(tmp_path / "h.sqlite3")
    hashes.of([file])
    hashes.of([file])
    assert len(hashed) == 2


def test_a_damaged_cache_is_done_without(file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "h.sqlite3"
    cache.write_bytes(b"this is no database" * 100)
    assert isinstance(FileHashes(cache).of([file])[file], FileHash)
    assert isinstance(FileHashes(file / "below" / "a_file").of([file])[file], FileHash)


def test_several_may_write_the_cache_at_once(tmp_path: Path) -> None:
    files = []
    for number in range(40):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes([number]) * 10)
        os.utime(path, (1e9, 1e9))
        files.append(path)
    cache = tmp_path / "h.sqlite3"

    def fill(_: int) -> dict[Path, Any]:
        hashes = FileHashes(cache)
        found = hashes.of(files)
        hashes.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(fill, range(4))
    assert all(other == first for other in others)
    with sqlite3.connect(cache) as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (40,)


def test_inodes_of_64_bits_are_kept() -> None:
    for value in (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        assert hashing._unsigned(hashing._signed(value)) == value
