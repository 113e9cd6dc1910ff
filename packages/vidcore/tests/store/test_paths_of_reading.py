"""Mapped, fetched, many shards, odd sizes: one result."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import vidcore.store._region as region_module
import vidcore.store._rows as rows_module
from vidcore.store._rows import RowReader


def expected(clips, order, **looks):
    return torch.stack([torch.from_numpy(clips.record(n, **looks).data) for n in order])


@pytest.fixture
def mapped_reads(monkeypatch):
    """Counts the batches that were copied from a mapping and those that were fetched."""
    counts = {"mapped": 0, "fetched": 0}
    real_copy, real_fetch = RowReader._copy, RowReader._fetch

    def copy(self, *arguments):
        counts["mapped"] += 1
        return real_copy(self, *arguments)

    def fetch(self, *arguments):
        counts["fetched"] += 1
        return real_fetch(self, *arguments)

    monkeypatch.setattr(RowReader, "_copy", copy)
    monkeypatch.setattr(RowReader, "_fetch", fetch)
    return counts


def drop_from_cache(collection):
    for path in collection.folder.rglob("data.*"):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def open_files():
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not list open files")
    return len(list(folder.iterdir()))


# Rows that are whole pages, that divide a page, and that do neither.
@pytest.mark.parametrize(
    "looks", [{"dim": 64, "size": 2}, {"dim": 16}, {"dim": 7, "steps": 5, "size": 3, "dtype": "float16"}]
)
@pytest.mark.parametrize("warm", [True, False])
def test_one_result(collection, clips, reopen, monkeypatch, mapped_reads, looks, warm):
    size = clips.record(0, **looks).data.nbytes
    with collection.writer(shard_bytes=7 * size) as writer:
        for number in range(30):
            writer.put(clips.key(number), {"out": clips.record(number, **looks)})
    monkeypatch.setattr(RowReader, "_probe", lambda self, *arguments: warm)
    monkeypatch.setattr(rows_module, "_AHEAD_BYTES", 4 * size)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(30), 2)).tolist()
    assert torch.equal(reopen().read(clips.keys(order)).data, expected(clips, order, **looks))
    assert mapped_reads == ({"mapped": 1, "fetched": 0} if warm else {"mapped": 0, "fetched": 1})


def cached(collection):
    """Asked of the system, not of the store: whether the first byte of the rows can be had without waiting."""
    (path,) = collection.folder.rglob("data.*")
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(fd, [bytearray(1)], 4096, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        pytest.skip("this file system cannot tell what is cached")
    finally:
        os.close(fd)


def test_what_is_cached_is_mapped_and_what_is_not_is_fetched(collection, clips, reopen, mapped_reads):
    clips.put(collection, range(20), dim=512)
    order = list(range(19, -1, -1))
    assert cached(collection)
    warm = reopen()
    assert torch.equal(warm.read(clips.keys(order)).data, expected(clips, order, dim=512))
    assert mapped_reads == {"mapped": 1, "fetched": 0}
    # What is mapped cannot be dropped.
    del warm
    drop_from_cache(collection)
    if cached(collection):
        pytest.skip("this file system does not drop what is cached")
    cold = reopen()
    assert torch.equal(cold.read(clips.keys(order)).data, expected(clips, order, dim=512))
    assert mapped_reads == {"mapped": 1, "fetched": 1}
    # Fetched means cached: the next batch is mapped again.
    assert torch.equal(cold.read(clips.keys(order)).data, expected(clips, order, dim=512))
    assert mapped_reads == {"mapped": 2, "fetched": 1}


def test_after_waiting_for_a_page_the_next_batch_is_probed(collection, clips, monkeypatch):
    clips.put(collection, range(4))
    probed, waited = [], [0]
    real = RowReader._probe

    class Usage:
        @property
        def ru_majflt(self):
            waited[0] += waits
            return waited[0]

    monkeypatch.setattr(RowReader, "_probe", lambda self, *arguments: probed.append(1) or real(self, *arguments))
    monkeypatch.setattr(rows_module.resource, "getrusage", lambda whose: Usage())
    waits = 0
    for _ in range(3):
        collection.read(clips.keys([0]))
    assert len(probed) == 1
    waits = 1
    collection.read(clips.keys([0]))
    assert len(probed) == 1
    for batch in (2, 3):
        collection.read(clips.keys([0]))
        assert len(probed) == batch


def test_a_disk_that_cannot_tell_is_always_fetched(collection, clips, monkeypatch, mapped_reads):
    clips.put(collection, range(5))
    preadv = os.preadv

    def no_flags(fd, buffers, offset, flags=0):
        if flags:
            raise OSError(95, "Operation not supported")
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(rows_module.os, "preadv", no_flags)
    for _ in range(2):
        clips.check(collection, range(5))
    assert mapped_reads == {"mapped": 0, "fetched": 10}


def test_a_mapping_that_the_system_refuses_is_done_without(collection, clips, monkeypatch, mapped_reads):
    clips.put(collection, range(5))
    monkeypatch.setattr(region_module, "_LARGEST", 10)
    clips.check(collection, range(5))
    assert mapped_reads["fetched"] == 5


@pytest.mark.parametrize("warm", [True, False])
def test_more_shards_than_files_that_stay_open(collection, clips, monkeypatch, warm):
    size = clips.record(0).data.nbytes
    with collection.writer(shard_bytes=size) as writer:
        for number in range(12):
            writer.put(clips.key(number), {"out": clips.record(number)})
    assert len(collection.shards) == 12
    monkeypatch.setattr(rows_module, "_OPEN_FILES", 3)
    if not warm:
        monkeypatch.setattr(RowReader, "_probe", lambda self, *arguments: False)
    files = open_files()
    for _ in range(3):
        assert torch.equal(collection.read(clips.keys(range(12))).data, expected(clips, range(12)))
    assert open_files() <= files + 3


def test_files_are_given_back(collection, clips, reopen):
    clips.put(collection, range(3))
    before = open_files()
    for _ in range(3):
        clips.check(reopen(), range(3))
    assert open_files() == before
