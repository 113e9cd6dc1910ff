"""Disks that are full, read-only or not ours; folders that are not stores."""

from __future__ import annotations

import errno
import json
import os

import pytest
import vidcore.store._files as files
import vidcore.store._shard_writer as shard_writer
import vidcore.store._store as store_module
from vidcore.errors import StoreError
from vidcore.store import FeatureStore


def fail(monkeypatch, module, name, code, after=0, partial=False):
    """The ``after``-th call of a function of the system, and every later one, is refused."""
    real, calls = getattr(module, name), []

    def refusing(*arguments):
        calls.append(arguments)
        if len(calls) <= after:
            return real(*arguments)
        if partial and len(calls) == after + 1:
            return real(arguments[0], bytes(arguments[1])[:5], *arguments[2:])
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, name, refusing)
    return lambda: monkeypatch.setattr(module, name, real)


def test_a_full_disk_keeps_what_was_put(collection, clips, reopen, monkeypatch):
    with collection.writer() as writer:
        for number in range(3):
            writer.put(clips.key(number), {"out": clips.record(number)})
        writer.flush()
        free = fail(monkeypatch, files.os, "pwrite", errno.ENOSPC, partial=True)
        with pytest.raises(StoreError) as error:
            writer.put(clips.key(3), {"out": clips.record(3)}, source="b/003.mp4")
        assert "the disk is full: cannot write features of b/003.mp4" in str(error.value)
        assert "every clip that was flushed so far is kept" in str(error.value)
        free()
        clips.check(reopen(), range(3))
        assert len(reopen()) == 3
        writer.put(clips.key(3), {"out": clips.record(3)})
    clips.check(reopen(), range(4))


def test_a_disk_that_refuses_a_flush_loses_what_was_put_since(collection, clips, reopen, monkeypatch):
    with collection.writer() as writer:
        writer.put(clips.key(0), {"out": clips.record(0)})
        writer.flush()
        writer.put(clips.key(1), {"out": clips.record(1)})
        free = fail(monkeypatch, shard_writer, "sync", errno.ENOSPC)
        with pytest.raises(StoreError, match="the disk is full"):
            writer.flush()
        free()
        # The kernel may have thrown the pages away: the record does not count, and may be put again.
        assert reopen().keys() == {clips.key(0)}
        for number in range(3):
            writer.put(clips.key(number), {"out": clips.record(number)})
    clips.check(reopen(), range(3))
    assert reopen().index.duplicates == 0


def test_a_disk_that_is_full_when_a_shard_begins_leaves_nothing(collection, clips, reopen, monkeypatch):
    clips.put(collection, [0])
    before = sorted(collection.folder.iterdir())
    free = fail(monkeypatch, shard_writer, "write_json", errno.EDQUOT)
    with collection.writer() as writer, pytest.raises(StoreError, match="the disk is full"):
        writer.put(clips.key(1), {"out": clips.record(1)})
    free()
    assert sorted(collection.folder.iterdir()) == before


def test_a_full_disk_while_finishing_keeps_what_was_flushed(collection, clips, reopen, monkeypatch):
    writer = collection.writer()
    writer.put(clips.key(0), {"out": clips.record(0)})
    writer.flush()
    free = fail(monkeypatch, shard_writer, "write_json", errno.ENOSPC)
    with pytest.raises(StoreError, match="the disk is full"):
        writer.close()
    free()
    clips.check(reopen(), [0])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EROFS, "the disk is read-only: cannot write.*features that are there can be read"),
        (errno.EACCES, "permission denied: cannot write.*a folder of your own"),
        (errno.EIO, "cannot write.*Input/output error"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(collection, clips, monkeypatch, code, message):
    fail(monkeypatch, files.os, "pwrite", code)
    writer = collection.writer()
    with pytest.raises(StoreError, match=f"(?s){message}"):
        writer.put(clips.key(0), {"out": clips.record(0)})


def test_a_read_only_disk_can_be_read(collection, clips, store_path, monkeypatch):
    clips.put(collection, range(3))

    def read_only(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("mkdir", "pwrite", "ftruncate", "fdatasync", "rename", "unlink"):
        monkeypatch.setattr(os, name, read_only)
    monkeypatch.setattr(store_module.os, "access", lambda path, mode: False)
    store = FeatureStore.open(store_path)
    clips.check(store.collection(clips.identity), range(3))
    assert store.verify() == []
    assert store.info()[0].clips == 3
    with pytest.raises(StoreError, match="permission denied: cannot write to"):
        FeatureStore.open(store_path, write=True)

    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(store_module.os, "statvfs", lambda path: ReadOnly)
    with pytest.raises(StoreError, match="the disk is read-only: cannot write to"):
        FeatureStore.open(store_path, write=True)


def test_a_store_opened_for_reading_is_not_written(collection, clips, store_path):
    clips.put(collection, [0])
    store = FeatureStore.open(store_path)
    for write in (store.collection(clips.identity).writer, store.gc, lambda: store.verify(drop=True)):
        with pytest.raises(StoreError, match=r"opened for reading\n.*FeatureStore.open\(path, write=True\)"):
            write()


def test_a_collection_that_is_not_there_is_empty(store_path, clips):
    FeatureStore.open(store_path, write=True)
    absent = FeatureStore.open(store_path).collection({"name": "absent"})
    assert len(absent) == 0
    assert absent.missing(clips.keys([0])) == clips.keys([0])
    assert absent.outputs == {}
    assert not absent.folder.exists()
    with pytest.raises(StoreError, match="does not hold 1 of the clips"):
        absent.read(clips.keys([0]))


def test_folders_that_are_not_stores(tmp_path):
    with pytest.raises(StoreError, match=r"there is no feature store at .*absent\n.*vidcore extract"):
        FeatureStore.open(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file, not a feature store"):
        FeatureStore.open(tmp_path / "file", write=True)
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").touch()
    for write in (False, True):
        with pytest.raises(StoreError, match=r"videos is not a feature store: it has no vidcore-store\.json"):
            FeatureStore.open(videos, write=write)
    assert [path.name for path in videos.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("where", ["vidcore-store.json", "collection.json", "shard.json"])
def test_a_newer_format_is_refused(collection, clips, store_path, reopen, where):
    clips.put(collection, [0])
    (path,) = store_path.rglob(where)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(StoreError, match=r"written by a newer vidcore: its format is 2, this one reads 1\n  upgrade"):
        reopen()


def test_damaged_descriptions(collection, clips, store_path, reopen):
    clips.put(collection, [0])
    about = collection.folder / "collection.json"
    whole = about.read_text()
    about.write_text(whole[:40])
    for look in (reopen, FeatureStore.open(store_path).collections):
        with pytest.raises(StoreError, match=r"collection\.json is damaged"):
            look()
    about.write_text(json.dumps({**json.loads(whole), "sha256": "0" * 64}))
    with pytest.raises(StoreError, match="belongs to another identity: x3d/xs"):
        reopen()
    (store_path / "vidcore-store.json").write_text("{")
    with pytest.raises(StoreError, match=r"vidcore-store\.json is damaged"):
        reopen()


def test_two_processes_may_make_a_store_at_once(store_path, monkeypatch):
    """The second finds the first one's file half-written, then whole."""
    store_path.mkdir()
    (store_path / ".new-vidcore-store.json-00000000").write_text("{")
    FeatureStore.open(store_path, write=True)
    marked, asked = store_module._marked, []

    def late(folder):
        asked.append(folder)
        return len(asked) > 1 and marked(folder)

    monkeypatch.setattr(store_module, "_marked", late)
    FeatureStore.open(store_path, write=True)
    assert len(asked) == 2
