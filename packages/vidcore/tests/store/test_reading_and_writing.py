from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from vidcore.errors import StoreError
from vidcore.store import FeatureStore, Record


def test_a_batch_comes_back_in_the_order_asked_for(collection, clips):
    clips.put(collection, range(20))
    order = [7, 3, 3, 19, 0]
    batch = collection.read(clips.keys(order))
    assert batch.data.shape == (5, 3, 4, 2, 2)
    assert torch.equal(batch.data, torch.stack([torch.from_numpy(clips.record(n).data) for n in order]))
    assert batch.times.tolist() == [0.5, 2.5, 4.5, 6.5]
    assert batch.mask is None


def test_what_is_read_may_be_changed(collection, clips):
    clips.put(collection, range(2))
    batch = collection.read(clips.keys([0]))
    batch.data.zero_()
    batch.times.zero_()
    clips.check(collection, range(2))


def test_keys(collection, clips):
    clips.put(collection, [1, 2, 3])
    assert collection.keys() == set(clips.keys([1, 2, 3]))
    assert len(collection) == 3
    assert clips.key(2) in collection
    assert clips.key(4) not in collection
    assert collection.missing(clips.keys([5, 1, 4])) == clips.keys([5, 4])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_types_are_kept(collection, clips, dtype):
    clips.put(collection, range(3), dtype=dtype)
    assert str(collection.read(clips.keys([1])).data.dtype) == f"torch.{dtype}"
    clips.check(collection, range(3), dtype=dtype)


def test_numbers_are_kept_bit_for_bit(collection, clips):
    odd = np.array([0.0, -0.0, np.inf, np.nan, 1e-45, 3.4e38], np.float32).reshape(6, 1, 1, 1)
    with collection.writer() as writer:
        writer.put(clips.key(0), {"out": Record(odd, np.zeros(1, np.float32))})
    assert collection.record(clips.key(0)).data.tobytes() == odd.tobytes()


def test_a_record_that_is_a_view_is_stored_as_it_reads(collection, clips):
    data = np.arange(24, dtype=np.float32).reshape(4, 3, 2, 1).transpose(1, 0, 2, 3)
    with collection.writer() as writer:
        writer.put(clips.key(0), {"out": Record(data, np.arange(4, dtype=np.float32))})
    assert np.array_equal(collection.record(clips.key(0)).data, data)


def test_several_outputs(collection, clips):
    small, large = clips.record(1, steps=2), clips.record(2, steps=5, dim=7, size=1)
    with collection.writer() as writer:
        writer.put(clips.key(0), {"last": small, "layers/3": large})
    assert list(collection.outputs) == ["last", "layers/3"]
    assert np.array_equal(collection.record(clips.key(0)).data, small.data)
    assert np.array_equal(collection.record(clips.key(0), "layers/3").data, large.data)
    with pytest.raises(StoreError, match="has no output 'first'; it has: last, layers/3"):
        collection.read(clips.keys([0]), "first")


def test_times_of_each_clip_where_they_differ(collection, clips):
    with collection.writer() as writer:
        for number in range(3):
            writer.put(clips.key(number), {"out": Record(clips.record(0).data, np.full(4, number, np.float32))})
    assert collection.read(clips.keys([2, 0])).times.tolist() == [[2] * 4, [0] * 4]
    assert collection.read(clips.keys([1, 1])).times.tolist() == [1] * 4


def test_masks(collection, clips):
    record = clips.record(0)
    with collection.writer() as writer:
        for number, mask in enumerate([None, [True, True, False, False], [True] * 4]):
            masked = Record(record.data, record.times, None if mask is None else np.array(mask))
            writer.put(clips.key(number), {"out": masked})
    assert collection.read(clips.keys([0, 1])).mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert collection.read(clips.keys([0, 2])).mask is None
    assert collection.record(clips.key(1)).mask.tolist() == [True, True, False, False]


def test_clips_of_different_length_are_padded(collection, clips):
    with collection.writer() as writer:
        for number, steps in enumerate([4, 2, 1]):
            writer.put(clips.key(number), {"out": clips.record(number, steps=steps)})
    batch = collection.read(clips.keys([1, 0, 2]))
    assert batch.data.shape == (3, 3, 4, 2, 2)
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4, [True, False, False, False]]
    assert batch.times.tolist() == [[0.5, 2.5, 4.5, 6.5], [0.5, 2.5, 4.5, 6.5], [0.5, 1.5, 2.5, 3.5]]
    assert torch.equal(batch.data[0, :, :2], torch.from_numpy(clips.record(1, steps=2).data))
    assert not batch.data[0, :, 2:].any()
    assert collection.outputs["out"].shapes == {(3, 4, 2, 2): 1, (3, 2, 2, 2): 1, (3, 1, 2, 2): 1}
    assert collection.read(clips.keys([1])).mask is None


def test_clips_of_different_size_cannot_be_one_batch(collection, clips):
    with collection.writer() as writer:
        writer.put(clips.key(0), {"out": clips.record(0, size=2)})
        writer.put(clips.key(1), {"out": clips.record(1, size=3)})
    with pytest.raises(StoreError) as error:
        collection.read(clips.keys([0, 1]))
    for part in (clips.key(0), clips.key(1), "(3, 4, 2, 2)", "(3, 4, 3, 3)", "keep=sequence"):
        assert part in str(error.value)
    clips.check(collection, [1], size=3)


def test_a_missing_clip_is_named(collection, clips):
    clips.put(collection, [0])
    with pytest.raises(StoreError, match=f"does not hold 2 of the 3 clips asked for, first {clips.key(8)}"):
        collection.read(clips.keys([0, 8, 9]))
    with pytest.raises(StoreError, match="at least one key"):
        collection.read([])


@pytest.mark.parametrize("key", ["", "abc", "g" * 64, "0" * 64, "a" * 63 + " ", " " * 2 + "a" * 64])
def test_a_key_is_a_fingerprint(collection, clips, key):
    clips.put(collection, [0])
    with collection.writer() as writer, pytest.raises(StoreError, match="64 hexadecimal digits"):
        writer.put(key, {"out": clips.record(0)})
    with pytest.raises(StoreError, match="64 hexadecimal digits" if key != "0" * 64 else "does not hold"):
        collection.read([clips.key(0), key])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record(np.zeros((3, 4, 2), np.float32), np.zeros(4, np.float32)), r"\(D, T, H, W\).*got \(3, 4, 2\)"),
        (Record(np.zeros((3, 0, 2, 2), np.float32), np.zeros(0, np.float32)), "none of them 0"),
        (Record(np.zeros((3, 4, 2, 2)), np.zeros(4, np.float32)), "keeps float16 or float32; got float64"),
        (Record(np.zeros((3, 4, 2, 2), np.float32), np.zeros(3, np.float32)), r"times must be \(4,\)"),
        (
            Record(np.zeros((3, 4, 2, 2), np.float32), np.zeros(4, np.float32), np.ones(5, bool)),
            r"mask must be \(4,\).*got \(5,\)",
        ),
    ],
)
def test_a_record_that_does_not_fit_is_refused(collection, clips, record, message):
    with collection.writer() as writer:
        with pytest.raises(StoreError, match=f"'out'.*{message}"):
            writer.put(clips.key(0), {"out": record})
        with pytest.raises(StoreError, match="given no output"):
            writer.put(clips.key(0), {})
        with pytest.raises(StoreError, match="printable ASCII"):
            writer.put(clips.key(0), {"größe": clips.record(0)})
    assert len(collection) == 0


def test_other_outputs_need_another_identity(collection, clips, reopen):
    clips.put(collection, [0])
    for outputs in (
        {"other": clips.record(1)},
        {"out": clips.record(1, dim=5)},
        {"out": clips.record(1, dtype="float16")},
    ):
        with reopen().writer() as writer, pytest.raises(StoreError, match="must be part of the identity"):
            writer.put(clips.key(1), outputs)


def test_identities_are_kept_apart(store_path, clips):
    store = FeatureStore.open(store_path, write=True)
    first, second = store.collection({"name": "a", "x": 1}), store.collection({"x": 2, "name": "a"})
    clips.put(first, [0])
    clips.put(second, [1])
    assert FeatureStore.open(store_path).collection({"x": 1, "name": "a"}).keys() == {clips.key(0)}
    assert sorted(c.identity["x"] for c in store.collections()) == [1, 2]
    about = json.loads((first.folder / "collection.json").read_text())
    assert about["identity"] == {"name": "a", "x": 1}
    assert about["outputs"] == {"out": {"dtype": "float32", "dim": 3}}
    assert first.folder.name.startswith("a-")


@pytest.mark.parametrize("identity", [{}, {"a": (1, 2)}, {"a": {1, 2}}, {1: 2}, {"a": float("nan")}])
def test_an_identity_is_plain_data(store_path, identity):
    with pytest.raises(StoreError, match="plain JSON data"):
        FeatureStore.open(store_path, write=True).collection(identity)


def test_others_see_what_was_put_after_a_refresh(collection, clips, reopen):
    other = reopen()
    writer = collection.writer()
    writer.put(clips.key(0), {"out": clips.record(0)})
    assert len(other) == 0
    other.refresh()
    clips.check(other, [0])
    writer.put(clips.key(1), {"out": clips.record(1)})
    writer.flush()
    other.refresh()
    clips.check(other, [0, 1])
    writer.close()
    assert len(collection) == 2
    other.refresh()
    clips.check(other, [0, 1])


def test_of_two_records_of_a_clip_one_is_read(collection, clips, reopen):
    first, second = collection.writer(), reopen().writer()
    for writer in (first, second):
        writer.put(clips.key(0), {"out": clips.record(0)})
        writer.put(clips.key(0), {"out": clips.record(5)})
    second.put(clips.key(1), {"out": clips.record(1)})
    first.close()
    second.close()
    collection.refresh()
    clips.check(collection, [0, 1])
    assert len(collection) == 2
    assert collection.index.duplicates == 1


def test_numpy_alone_reads_a_shard(collection, clips):
    clips.put(collection, range(5))
    (shard,) = [path for path in collection.folder.iterdir() if path.is_dir()]
    index = np.load(shard / "index.npy", allow_pickle=False)
    data = np.load(shard / "data.out.npy", mmap_mode="r", allow_pickle=False)
    assert [key.tobytes().hex() for key in index["key"]] == clips.keys(range(5))
    assert np.array_equal(data[3], clips.record(3).data)
    assert np.array_equal(index["out.times"][3], clips.record(3).times)


def test_a_flushed_shard_can_be_read_by_numpy_while_it_is_written(collection, clips):
    with collection.writer() as writer:
        for number in range(3):
            writer.put(clips.key(number), {"out": clips.record(number)})
        writer.flush()
        writer.put(clips.key(3), {"out": clips.record(3)})
        (shard,) = [path for path in collection.folder.iterdir() if path.is_dir()]
        assert len(np.load(shard / "data.out.npy", mmap_mode="r")) == len(np.load(shard / "index.npy")) == 3


def test_shards_are_bounded(collection, clips):
    size = clips.record(0).data.nbytes
    with collection.writer(shard_bytes=4 * size) as writer:
        for number in range(10):
            writer.put(clips.key(number), {"out": clips.record(number)})
    assert sorted(len(shard.entries) for shard in collection.shards) == [2, 4, 4]
    assert all(shard.sealed for shard in collection.shards)
    order = np.random.default_rng(0).permutation(10).tolist()
    batch = collection.read(clips.keys(order))
    assert torch.equal(batch.data, torch.stack([torch.from_numpy(clips.record(n).data) for n in order]))


def test_many_lengths_do_not_keep_many_files_open(collection, clips):
    with collection.writer() as writer:
        for number in [*range(40), *range(40, 80)]:
            writer.put(clips.key(number), {"out": clips.record(number, steps=number % 40 + 1)})
            assert sum(bool(shard._fds) for shard in writer._shards.values()) <= 16
    assert len(collection.shards) == 40
    for number in range(80):
        clips.check(collection, [number], steps=number % 40 + 1)


def test_threads_may_share_a_writer_and_a_reader(collection, clips):
    with collection.writer() as writer:
        put = [
            threading.Thread(
                target=lambda part: [writer.put(clips.key(n), {"out": clips.record(n)}) for n in range(part, 60, 4)],
                args=(part,),
            )
            for part in range(4)
        ]
        for thread in put:
            thread.start()
        for thread in put:
            thread.join()
    clips.check(collection, range(60))


def test_a_closed_writer_says_so(collection, clips):
    with collection.writer() as writer:
        writer.put(clips.key(0), {"out": clips.record(0)})
    writer.close()
    with pytest.raises(StoreError, match="this writer is closed"):
        writer.put(clips.key(1), {"out": clips.record(1)})


def test_a_writer_that_puts_nothing_leaves_nothing(collection):
    with collection.writer():
        pass
    assert not collection.folder.exists()


def test_a_selection_reads_by_number(collection, clips, reopen):
    clips.put(collection, range(10))
    selection = collection.select(clips.keys(range(9, -1, -1)))
    assert len(selection) == 10
    batch = selection.read([0, 5])
    assert torch.equal(batch.data, collection.read(clips.keys([9, 4])).data)
    clips.put(reopen(), range(10, 20))
    collection.refresh()
    assert torch.equal(selection.read(np.array([0, 5])).data, batch.data)
    assert torch.equal(pickle.loads(pickle.dumps(selection)).read([0, 5]).data, batch.data)
    for numbers in ([10], [-1], []):
        with pytest.raises(StoreError, match="have numbers 0 to 9"):
            selection.read(numbers)
    with pytest.raises(StoreError, match=clips.key(33)):
        collection.select(clips.keys([0, 33]))


def test_a_collection_can_be_sent_to_another_process(collection, clips):
    clips.put(collection, range(3))
    copy = pickle.loads(pickle.dumps(collection))
    clips.check(copy, range(3))
    clips.put(copy, [3])
    collection.refresh()
    clips.check(collection, range(4))


def test_looking_into_a_store_does_not_import_torch():
    code = "import sys, vidcore.store, vidcore.cli.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
