"""Nothing put is lost to kill -9, nothing flushed to a power cut, and nothing damaged is ever given out."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from vidcore.errors import StoreError
from vidcore.store import FeatureStore
from vidcore.store._npy import HEAD_BYTES

# Says of each clip when it was put, and writes clips until it is killed.
WRITER = """
import sys, hashlib
import numpy as np
from vidcore.store import FeatureStore, Record

path, first = sys.argv[1], int(sys.argv[2])
collection = FeatureStore.open(path, write=True).collection({identity})
writer = collection.writer(shard_bytes=50_000)
number = first
while True:
    data = np.random.default_rng(number).integers(0, 1000, (3, 4, 2, 2)).astype("float32")
    record = Record(data, np.arange(4, dtype=np.float32) * 2 + 0.5)
    writer.put(hashlib.sha256(str(number).encode()).hexdigest(), {{"out": record}}, source=f"{{number}}.mp4")
    print(number, flush=True)
    if number % 7 == 0:
        writer.flush()
    number += 1
"""


def test_kill_9_loses_nothing_that_was_put(store_path, clips, reopen):
    seeded = random.Random(3)
    put: set[int] = set()
    for turn in range(5):
        first = turn * 100_000
        code = WRITER.format(identity=clips.identity)
        with subprocess.Popen(
            [sys.executable, "-c", code, str(store_path), str(first)], stdout=subprocess.PIPE
        ) as child:
            for _ in range(seeded.randrange(1, 600)):
                put.add(int(child.stdout.readline()))
            child.send_signal(signal.SIGKILL)
            put.update(int(line) for line in child.stdout.read().split(b"\n")[:-1])
        collection = reopen()
        clips.check(collection, put)
        # At most the one record of each turn that was being put is there and was not told of.
        assert len(put) <= len(collection) <= len(put) + turn + 1
    opened = FeatureStore.open(store_path, write=True)
    assert [p for p in opened.verify() if p.key is not None] == []
    opened.gc()
    collection = reopen()
    clips.check(collection, put)
    assert all(shard.sealed for shard in collection.shards)
    clips.put(collection, [999_999])
    clips.check(collection, [999_999])


def a_store(clips, collection, *, sealed: bool, durable: int = 4, rows: int = 9) -> Path:
    """A shard of nine records of which four were flushed, as a killed writer leaves it or as it is finished."""
    writer = collection.writer()
    for number in range(rows):
        writer.put(clips.key(number), {"out": clips.record(number)})
        if number + 1 == durable:
            writer.flush()
    if sealed:
        writer.close()
    (shard,) = [path for path in collection.folder.iterdir() if path.is_dir()]
    return shard


def check_nothing_wrong(clips, collection, at_most: int = 9) -> set[int]:
    """Whatever is given out is right; which clips it is."""
    present = {number for number in range(at_most) if clips.key(number) in collection}
    clips.check(collection, present)
    assert len(collection) == len(present)
    return present


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("name", ["data.out.npy", "index.npy", "shard.json"])
def test_a_file_cut_anywhere_gives_no_wrong_data(clips, collection, reopen, tmp_path, sealed, name):
    shard = a_store(clips, collection, sealed=sealed)
    whole = tmp_path / "whole"
    shutil.copytree(shard, whole)
    # The last character of a JSON file is a line's end, which nobody misses.
    size = (whole / name).stat().st_size - (name == "shard.json")
    edges = [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, size - 1]
    seeded = random.Random(0)
    found = []
    for length in sorted({min(edge, size - 1) for edge in edges} | {seeded.randrange(size) for _ in range(25)}):
        shutil.copyfile(whole / name, shard / name)
        with (shard / name).open("r+b") as file:
            file.truncate(length)
        again = reopen()
        found.append(len(check_nothing_wrong(clips, again)))
        assert found[-1] < 9
        assert again.damage, length
    if name != "shard.json":
        # What lies before the cut is kept.
        assert max(found) == 8
    shutil.copyfile(whole / name, shard / name)
    assert check_nothing_wrong(clips, reopen()) == set(range(9))


@pytest.mark.parametrize("sealed", [False, True])
def test_a_flipped_bit_in_the_index_gives_no_wrong_data(clips, collection, reopen, sealed):
    shard = a_store(clips, collection, sealed=sealed)
    whole = bytearray((shard / "index.npy").read_bytes())
    seeded = random.Random(1)
    for at in [0, 8, 20, *(seeded.randrange(HEAD_BYTES, len(whole)) for _ in range(30))]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << seeded.randrange(8)
        (shard / "index.npy").write_bytes(damaged)
        again = reopen()
        present = check_nothing_wrong(clips, again)
        assert len(present) == (0 if at < HEAD_BYTES else 8)
        assert again.damage


@pytest.mark.parametrize("first_lost", [4, 6])
def test_rows_that_a_power_cut_took_are_missing(clips, collection, reopen, first_lost):
    """The index reached the disk, the rows after the last flush did not: they read as zeros."""
    shard = a_store(clips, collection, sealed=False, durable=4)
    data = shard / "data.out.npy"
    row = clips.record(0).data.nbytes
    content = bytearray(data.read_bytes())
    content[HEAD_BYTES + first_lost * row :] = bytes((9 - first_lost) * row)
    data.write_bytes(content)
    again = reopen()
    assert check_nothing_wrong(clips, again) == set(range(first_lost))
    assert again.damage[0].rows == 9 - first_lost
    # They are put again, beside the torn ones.
    clips.put(again, range(first_lost, 9))
    assert check_nothing_wrong(clips, reopen()) == set(range(9))


def test_a_head_that_was_not_written_again_loses_nothing(clips, collection, reopen):
    """The number of rows in the index's head is a promise, not the count."""
    shard = a_store(clips, collection, sealed=False, durable=9)
    never_flushed = a_store(clips, reopen_other(collection, "other"), sealed=False, durable=99)
    head = (never_flushed / "index.npy").read_bytes()[:HEAD_BYTES]
    whole = (shard / "index.npy").read_bytes()
    (shard / "index.npy").write_bytes(head + whole[HEAD_BYTES:])
    assert check_nothing_wrong(clips, reopen()) == set(range(9))


def reopen_other(collection, name):
    return FeatureStore.open(collection.folder.parent, write=True).collection({"name": name})


@pytest.mark.parametrize("name", ["data.out.npy", "index.npy", "shard.json"])
def test_a_missing_file_makes_the_shard_s_clips_missing(clips, collection, reopen, name):
    shard = a_store(clips, collection, sealed=True)
    (shard / name).unlink()
    again = reopen()
    assert len(again) == 0
    assert again.damage[0].reason == f"{name} is not there"
    clips.put(again, range(9))
    clips.check(reopen(), range(9))


def test_a_writer_goes_on_after_a_torn_record(clips, collection, reopen, monkeypatch):
    """A put that fails half-way leaves its bytes behind, and the next one takes their place."""
    import vidcore.store._shard_writer as module

    write_at = module.write_at

    def tearing(fd, data, offset):
        write_at(fd, bytes(data)[: len(data) // 2], offset)
        raise OSError(5, "Input/output error")

    writer = collection.writer()
    writer.put(clips.key(0), {"out": clips.record(0)})
    monkeypatch.setattr(module, "write_at", tearing)
    with pytest.raises(StoreError, match=r"cannot write features of a\.mp4: Input/output error"):
        writer.put(clips.key(1), {"out": clips.record(1)}, source="a.mp4")
    assert check_nothing_wrong(clips, reopen()) == {0}
    monkeypatch.setattr(module, "write_at", write_at)
    writer.put(clips.key(1), {"out": clips.record(1)})
    writer.put(clips.key(2), {"out": clips.record(2)})
    assert check_nothing_wrong(clips, reopen()) == {0, 1, 2}
    writer.close()
    assert check_nothing_wrong(clips, reopen()) == {0, 1, 2}


def test_a_file_cut_while_it_is_open_is_an_error_not_a_crash(clips, collection, reopen):
    shard = a_store(clips, collection, sealed=True)
    again = reopen()
    with (shard / "data.out.npy").open("r+b") as file:
        file.truncate(HEAD_BYTES + 10)
    with pytest.raises(StoreError, match=r"shorter than it was.*cut after it was opened"):
        again.read(clips.keys(range(9)))
