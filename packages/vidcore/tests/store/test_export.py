"""Each format read back by the library that people read it with."""

from __future__ import annotations

import csv
import errno
import importlib
import json

import numpy as np
import pytest
import vidcore.store.export._arrays as arrays
import vidcore.store.export._tables as tables
from vidcore.errors import StoreError
from vidcore.store import FeatureStore, Record


@pytest.fixture
def filled(collection, clips, store_path):
    """Six clips of one shape, with a mask; and another collection of two shapes, two outputs, half precision."""
    with collection.writer() as writer:
        for number in range(6):
            record = clips.record(number)
            mask = np.array([True, True, True, number % 2 == 0])
            masked = Record(record.data, record.times + number, mask)
            writer.put(clips.key(number), {"out": masked}, source=f"videos/{9 - number}.mp4")
    other = FeatureStore.open(store_path, write=True).collection({"name": "other"})
    with other.writer() as writer:
        for number in range(4):
            half = clips.record(number, steps=2 + number % 2, dtype="float16")
            writer.put(clips.key(number), {"a/b": half, "a b": half})
    return collection, other


@pytest.fixture
def store(filled, store_path):
    return FeatureStore.open(store_path)


# By source, so that what was extracted in any order is exported in one.
ORDER = [5, 4, 3, 2, 1, 0]


def check_arrays(clips, data, times, mask):
    assert np.array_equal(data, np.stack([clips.record(n).data for n in ORDER]))
    assert np.array_equal(times, np.stack([clips.record(n).times + n for n in ORDER]))
    assert np.array_equal(mask[:, 3], [n % 2 == 0 for n in ORDER])


def test_npy(store, filled, clips, tmp_path):
    out = store.export("npy", tmp_path / "out")
    one, other = (out / collection.folder.name for collection in filled)
    check_arrays(clips, *(np.load(one / f"out{kind}.npy") for kind in ("", ".times", ".mask")))
    with (one / "index.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["row", "key", "source"]
    assert rows[1:] == [[str(i), clips.key(n), f"videos/{9 - n}.mp4"] for i, n in enumerate(ORDER)]
    assert json.loads((one / "identity.json").read_text()) == clips.identity
    by_key = sorted([1, 3], key=clips.key)
    assert np.array_equal(
        np.load(other / "3x2x2_3x2x2" / "a%2Fb.npy"),
        np.stack([clips.record(n, steps=3, dtype="float16").data for n in by_key]),
    )
    assert np.load(other / "2x2x2_2x2x2" / "a%20b.npy").dtype == np.float16


def test_h5(store, filled, clips, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(store.export("h5", tmp_path / "out.h5")) as file:
        home = file[filled[0].folder.name]
        check_arrays(clips, *(home["out"][kind][:] for kind in ("data", "times", "mask")))
        assert [key.decode() for key in home["key"]] == clips.keys(ORDER)
        assert home["source"][0].decode() == "videos/4.mp4"
        assert json.loads(home.attrs["identity"]) == clips.identity
        other = file[filled[1].folder.name]["2x2x2_2x2x2"]
        assert sorted(other) == ["a%20b", "a%2Fb", "key", "source"]
        assert other["a%2Fb"]["data"].shape == (2, 3, 2, 2, 2)
        assert other["a%2Fb"]["data"].dtype == np.float16


def test_mat(store, filled, clips, tmp_path):
    from scipy.io import loadmat

    out = store.export("mat", tmp_path / "out")
    one, other = (collection.folder.name for collection in filled)
    assert {path.name for path in out.iterdir()} == {
        f"{one}.mat", f"{other}.2x2x2_2x2x2.mat", f"{other}.3x2x2_3x2x2.mat",
    }  # fmt: skip
    found = loadmat(out / f"{one}.mat", simplify_cells=True)
    check_arrays(clips, *(found["out"][kind] for kind in ("data", "times", "mask")))
    assert found["key"].tolist() == clips.keys(ORDER)
    assert found["source"][0] == "videos/4.mp4"
    half = loadmat(out / f"{other}.2x2x2_2x2x2.mat", simplify_cells=True)
    assert half["a_b"]["data"].dtype == half["a_b_2"]["data"].dtype == np.float32
    by_key = sorted([0, 2], key=clips.key)
    assert np.array_equal(half["a_b"]["data"], np.stack([clips.record(n, steps=2).data for n in by_key]))


def test_mat_says_when_an_array_is_too_large(store, tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "_MAT_BYTES", 100)
    with pytest.raises(StoreError, match=r"output 'a/b' takes .* holds at most 2 in a variable\n.*--format h5"):
        store.export("mat", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_parquet(store, filled, clips, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = store.export("parquet", tmp_path / "out")
    table = parquet.read_table(out / f"{filled[0].folder.name}.parquet")
    assert table["key"].to_pylist() == clips.keys(ORDER)
    assert table["source"].to_pylist()[0] == "videos/4.mp4"
    assert table["out.shape"].to_pylist() == [[3, 4, 2, 2]] * 6
    data = np.array(table["out"].to_pylist(), np.float32).reshape(6, 3, 4, 2, 2)
    check_arrays(clips, data, *(np.array(table[f"out.{kind}"].to_pylist()) for kind in ("times", "mask")))
    assert json.loads(table.schema.metadata[b"identity"]) == clips.identity
    mixed = parquet.read_table(out / f"{filled[1].folder.name}.parquet")
    numbers = {clips.key(n): n for n in range(4)}
    for row in mixed.to_pylist():
        number = numbers[row["key"]]
        wanted = clips.record(number, steps=2 + number % 2, dtype="float16")
        assert np.array_equal(np.array(row["a/b"]).reshape(row["a/b.shape"]), wanted.data)
        assert row["a/b.times"] == wanted.times.tolist()


def test_webdataset(store, filled, clips, tmp_path, monkeypatch):
    webdataset = pytest.importorskip("webdataset")
    monkeypatch.setattr(tables, "_TAR_BYTES", 6000)
    out = store.export("webdataset", tmp_path / "out")
    one, other = (sorted(map(str, out.glob(f"{collection.folder.name}-*.tar"))) for collection in filled)
    assert len(one) > 1
    samples = list(webdataset.WebDataset(one, shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == clips.keys(ORDER)
    times = [sample["json"]["outputs"]["out"]["times"] for sample in samples]
    mask = [sample["json"]["outputs"]["out"]["mask"] for sample in samples]
    check_arrays(clips, np.stack([sample["npy"] for sample in samples]), np.array(times), np.array(mask))
    assert samples[0]["json"]["source"] == "videos/4.mp4"
    sample = next(iter(webdataset.WebDataset(other, shardshuffle=False).decode()))
    # The library makes extensions lower case.
    assert sample["a%2fb.npy"].dtype == np.float16


def test_some_collections(store, filled, tmp_path):
    out = store.export("npy", tmp_path / "out", collections=["oth"])
    assert [path.name for path in out.iterdir()] == [filled[1].folder.name]
    with pytest.raises(StoreError, match=r"has no collection 'absent'; it has: other-.*, x3d-xs-"):
        store.export("npy", tmp_path / "more", collections=["other", "absent"])


def test_progress_counts_clips(store, tmp_path):
    seen = []
    store.export("npy", tmp_path / "out", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)


def test_what_is_there_is_not_replaced(store, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StoreError, match="out exists; name a place where nothing is yet"):
        store.export("npy", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_nothing_to_export(store_path, tmp_path):
    store = FeatureStore.open(store_path, write=True)
    with pytest.raises(StoreError, match="no features to export"):
        store.export("npy", tmp_path / "out")
    with pytest.raises(StoreError, match="no export format 'zip'; the formats are: npy, h5, mat, parquet, webdataset"):
        store.export("zip", tmp_path / "out")


@pytest.mark.parametrize(("format_", "library"), [("h5", "h5py"), ("parquet", "pyarrow")])
def test_a_library_that_is_not_there_is_named(store, tmp_path, monkeypatch, format_, library):
    real = importlib.import_module

    def absent(name, *arguments):
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(StoreError, match=rf"needs {library}, which is not installed\n  pip install 'vidcore\[exp"):
        store.export(format_, tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_a_full_disk_leaves_nothing_half_written(store, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "_add_file", full)
    with pytest.raises(StoreError, match=r"the disk is full: cannot write .*out"):
        store.export("webdataset", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []
