"""gc and verify: what they find, what they give back, whom they leave alone."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import vidcore.store._gc as gc_module
from vidcore.errors import StoreError
from vidcore.store import FeatureStore
from vidcore.store._npy import HEAD_BYTES
from vidcore.store._owner import is_live, this_process

PUT_AND_WAIT = """
import sys, hashlib, time
import numpy as np
from vidcore.store import FeatureStore, Record

collection = FeatureStore.open(sys.argv[1], write=True).collection({identity})
writer = collection.writer()
for number in range({first}, {last}):
    data = np.random.default_rng(number).integers(0, 1000, (3, 4, 2, 2)).astype("float32")
    writer.put(hashlib.sha256(str(number).encode()).hexdigest(),
               {{"out": Record(data, np.arange(4, dtype=np.float32) * 2 + 0.5)}}, source=f"videos/{{number:03}}.mp4")
writer.flush()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def another_process(store_path, clips):
    """A process that has put some clips and waits, its shard unfinished."""
    children = []

    def start(first, last):
        code = PUT_AND_WAIT.format(identity=clips.identity, first=first, last=last)
        command = [sys.executable, "-c", code, str(store_path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout.readline() == b"ready\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def shards(collection):
    return sorted(path for path in collection.folder.iterdir() if path.is_dir())


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 16]))


def test_gc_joins_small_shards_and_removes_doubles(collection, clips, store_path, reopen):
    for numbers in (range(5), range(3, 8), range(20, 22)):
        clips.put(reopen(), numbers)
    collection.refresh()
    assert collection.index.duplicates == 2
    (report,) = FeatureStore.open(store_path, write=True).gc()
    assert (report.rewritten, report.removed, report.sealed, report.skipped) == (3, 2, 0, [])
    assert report.bytes_freed > 0
    again = reopen()
    clips.check(again, [*range(8), 20, 21])
    assert len(again) == 10
    assert len(shards(again)) == 1
    assert again.index.duplicates == 0
    (report,) = FeatureStore.open(store_path, write=True).gc()
    assert (report.rewritten, report.removed) == (0, 0)


def test_a_dry_run_changes_nothing(collection, clips, store_path, reopen):
    clips.put(collection, range(5))
    clips.put(reopen(), range(5))
    before = shards(collection)
    (report,) = FeatureStore.open(store_path, write=True).gc(dry_run=True)
    assert (report.rewritten, report.removed, report.bytes_freed) == (2, 5, 0)
    assert shards(collection) == before


def test_sources_survive_gc(collection, clips, store_path, reopen):
    from vidcore.store._sources import read_sources

    clips.put(collection, [0, 1])
    clips.put(reopen(), [2])
    FeatureStore.open(store_path, write=True).gc()
    (shard,) = shards(collection)
    assert read_sources(shard) == {bytes.fromhex(clips.key(n)): f"videos/{n:03}.mp4" for n in range(3)}


def test_large_shards_are_copied_only_for_many_dead_records(collection, clips, store_path, reopen, monkeypatch):
    monkeypatch.setattr(gc_module, "_SMALL_SHARE", 0.0)
    clips.put(collection, range(20))
    clips.put(reopen(), [*range(100, 119), 0])
    store = FeatureStore.open(store_path, write=True)
    assert store.gc()[0].rewritten == 0
    (report,) = store.gc(dead_share=0.04)
    assert (report.rewritten, report.removed) == (1, 1)
    clips.check(reopen(), [*range(20), *range(100, 119)])


def test_readers_go_on_while_shards_are_joined(collection, clips, store_path, reopen):
    clips.put(collection, range(5))
    clips.put(reopen(), range(5, 10))
    collection.refresh()
    mapped, unopened = collection, reopen()
    selection = unopened.select(clips.keys(range(10)))
    wanted = mapped.read(clips.keys(range(10))).data
    FeatureStore.open(store_path, write=True).gc()
    # One has mapped the old shards, which stay readable; the other finds them gone and looks again.
    assert torch.equal(mapped.read(clips.keys(range(10))).data, wanted)
    assert torch.equal(unopened.read(clips.keys(range(10))).data, wanted)
    assert torch.equal(selection.read(range(10)).data, wanted)


def test_a_live_writer_is_left_alone_and_a_dead_one_finished(collection, clips, store_path, reopen, another_process):
    live, dead = another_process(0, 3), another_process(3, 6)
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    # Even when it seems to have done nothing for long: the process table knows.
    (report,) = FeatureStore.open(store_path, write=True).gc(grace_seconds=0)
    assert report.sealed == 1
    assert len(report.skipped) == 1
    assert f"in use by process {live.pid} on " in report.skipped[0]
    again = reopen()
    assert sorted(shard.sealed for shard in again.shards) == [False, True]
    clips.check(again, range(6))
    live.communicate(b"\n")
    (report,) = FeatureStore.open(store_path, write=True).gc()
    assert (report.sealed, report.skipped) == (1, [])
    clips.check(reopen(), range(6))
    assert all(shard.sealed for shard in reopen().shards)


def test_what_a_dead_writer_left_unfinished_is_removed(collection, clips, store_path, reopen, another_process):
    child = another_process(0, 4)
    child.kill()
    child.wait()
    (shard,) = shards(reopen())
    with (shard / "data.out.npy").open("r+b") as file:
        file.truncate(HEAD_BYTES + int(2.5 * clips.record(0).data.nbytes))
    (report,) = FeatureStore.open(store_path, write=True).gc()
    assert (report.sealed, report.removed) == (1, 2)
    again = reopen()
    assert again.damage == []
    assert again.keys() == set(clips.keys([0, 1]))
    clips.check(again, [0, 1])


def test_a_row_that_a_power_cut_took_from_the_middle_is_removed(collection, clips, store_path, reopen, another_process):
    child = another_process(0, 4)
    child.kill()
    child.wait()
    (shard,) = shards(reopen())
    flip(shard / "index.npy", HEAD_BYTES + reopen().shards[0].layout.entry.itemsize + 3)
    FeatureStore.open(store_path, write=True).gc()
    again = reopen()
    assert again.damage == []
    assert again.keys() == set(clips.keys([0, 2, 3]))
    clips.check(again, [0, 2, 3])


def test_leftovers_are_removed(collection, clips, store_path, reopen):
    clips.put(collection, [0])
    old, young = collection.folder / ".new-old", collection.folder / ".new-young"
    trash, damaged = collection.folder / ".trash-x", collection.folder / "20200101T000000-0000001-00000000"
    for folder in (old, young, trash, damaged):
        folder.mkdir()
        (folder / "data.out.npy").write_text("x")
    for path in (old, damaged, damaged / "data.out.npy"):
        os.utime(path, (1, 1))
    assert len(reopen().damage) == 1
    FeatureStore.open(store_path, write=True).gc()
    assert young.exists()
    assert len(shards(collection)) == 2
    assert reopen().damage == []
    clips.check(reopen(), [0])


def test_one_gc_at_a_time(collection, clips, store_path):
    clips.put(collection, [0])
    store = FeatureStore.open(store_path, write=True)
    lock = store_path / "gc.lock"
    import json

    lock.write_text(json.dumps(this_process()))
    with pytest.raises(StoreError, match=f"another gc is at work in .*: process {os.getpid()} on "):
        store.gc()
    # One that died, here or elsewhere, does not block the next.
    lock.write_text(json.dumps({**this_process(), "started": "1"}))
    store.gc()
    lock.write_text(json.dumps({**this_process(), "kernel": "another"}))
    with pytest.raises(StoreError, match="another gc"):
        store.gc()
    os.utime(lock, (time.time() - 4000,) * 2)
    store.gc()
    assert not lock.exists()


def test_a_gc_that_finds_the_disk_full_loses_nothing(collection, clips, store_path, reopen, monkeypatch):
    clips.put(collection, range(5))
    clips.put(reopen(), range(5, 9))
    before = shards(collection)
    real = gc_module.ShardWriter.append_rows

    def full(self, *arguments):
        if self.rows == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, *arguments)

    monkeypatch.setattr(gc_module.ShardWriter, "append_rows", full)
    with pytest.raises(StoreError, match="the disk is full: cannot clean"):
        FeatureStore.open(store_path, write=True).gc()
    assert shards(collection) == before
    clips.check(reopen(), range(9))


def test_a_writer_whose_shard_was_taken_begins_another(collection, clips, store_path, reopen, monkeypatch):
    """A gc on another machine took it for dead: what it had put was moved, what it puts from now on is kept."""
    writer = collection.writer()
    writer.put(clips.key(0), {"out": clips.record(0)})
    clips.put(reopen(), [1])
    monkeypatch.setattr(gc_module, "is_live", lambda *arguments: False)
    FeatureStore.open(store_path, write=True).gc()
    writer.put(clips.key(2), {"out": clips.record(2)})
    writer.close()
    clips.check(reopen(), range(3))


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_writer_whose_shard_was_taken_ends_well(collection, clips, store_path, reopen, monkeypatch, end):
    writer = collection.writer()
    writer.put(clips.key(0), {"out": clips.record(0)}, source="videos/000.mp4")
    clips.put(reopen(), [1])
    monkeypatch.setattr(gc_module, "is_live", lambda *arguments: False)
    FeatureStore.open(store_path, write=True).gc()
    getattr(writer, end)()
    writer.close()
    clips.check(reopen(), range(2))


def test_who_lives():
    mine = this_process()
    assert is_live(mine, 1e9)
    if not mine["kernel"]:
        pytest.skip("this system does not name its running kernel")
    assert not is_live({**mine, "started": "1"}, 0)
    assert not is_live({**mine, "pid": 2**22 + 1}, 0)
    elsewhere = {**mine, "kernel": "another"}
    assert is_live(elsewhere, 3000)
    assert not is_live(elsewhere, 4000)
    assert not is_live({}, 4000)


@pytest.mark.parametrize("sealed", [True, False])
def test_verify_finds_every_corrupt_record(collection, clips, store_path, reopen, sealed):
    writer = collection.writer()
    for number in range(9):
        writer.put(clips.key(number), {"out": clips.record(number), "more": clips.record(number + 50)})
    writer.flush()
    if sealed:
        writer.close()
    store = FeatureStore.open(store_path, write=True)
    assert store.verify() == []
    (shard,) = shards(collection)
    row = clips.record(0).data.nbytes
    flip(shard / "data.out.npy", HEAD_BYTES + 3 * row + 5)
    flip(shard / "data.more.npy", HEAD_BYTES + 7 * row + row - 1)
    seen = []
    problems = store.verify(on_progress=lambda done, total: seen.append((done, total)))
    assert [(p.key, p.row) for p in problems] == [(clips.key(3), 3), (clips.key(7), 7)]
    assert [p.reason for p in problems] == ["'out' does not have its checksum", "'more' does not have its checksum"]
    assert seen == [(9, 9)]
    store.verify(drop=True)
    again = reopen()
    assert again.missing(clips.keys(range(9))) == clips.keys([3, 7])
    clips.check(again, [0, 1, 2, 4, 5, 6, 8])
    assert store.verify() == []
    with again.writer() as other:
        for number in (3, 7):
            other.put(clips.key(number), {"out": clips.record(number), "more": clips.record(number + 50)})
    clips.check(reopen(), range(9))
    writer.close()
    (report,) = store.gc()
    assert report.removed == 2
    clips.check(reopen(), range(9))


def test_a_record_that_may_yet_be_taken_back_does_not_make_a_finished_one_a_double(
    collection, clips, store_path, reopen
):
    writer = collection.writer()
    writer.put(clips.key(0), {"out": clips.record(0)})
    clips.put(reopen(), [0])
    FeatureStore.open(store_path, write=True).gc(dead_share=0)
    assert [len(shard.entries) for shard in reopen().shards] == [1, 1]
    writer._shards.popitem()[1].abandon()
    clips.check(reopen(), [0])


def test_gc_leaves_corrupt_records_behind(collection, clips, store_path, reopen):
    clips.put(collection, range(5))
    clips.put(reopen(), [5])
    first = shards(collection)[0]
    flip(first / "data.out.npy", HEAD_BYTES + 2 * clips.record(0).data.nbytes)
    (report,) = FeatureStore.open(store_path, write=True).gc()
    assert report.removed == 1
    assert reopen().missing(clips.keys(range(6))) == [clips.key(2)]
    clips.check(reopen(), [0, 1, 3, 4, 5])


def test_info(collection, clips, store_path, reopen):
    clips.put(collection, range(4))
    clips.put(collection, [4], steps=2)
    writer = reopen().writer()
    writer.put(clips.key(0), {"out": clips.record(0)})
    (info,) = FeatureStore.open(store_path).info()
    assert (info.clips, info.shards, info.open_shards, info.duplicates, info.torn, info.damaged) == (5, 3, 1, 1, 0, ())
    assert info.identity == clips.identity
    assert info.in_words == "x3d/xs, weights=000000000000, dtype=float32, keep=sequence"
    assert info.outputs["out"].shapes == {(3, 4, 2, 2): 4, (3, 2, 2, 2): 1}
    assert info.bytes > 5 * clips.record(0).data.nbytes
    writer.close()
