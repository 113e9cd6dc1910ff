"""Clips per second written, read shuffled from the cache and read shuffled from the disk: the feature store and peers.

Run: uv run --group peers python benchmarks/store.py [--clips 2000] [--json FILE] [--folder DIR]

Every format holds the same clips and is asked for the same shuffled batches of 256 in turn, so that a machine whose
speed drifts does not decide the result. A figure is the median over the repetitions, with the smallest and largest.
The ratio to the bare memory map is the median of the ratios turn by turn, of clips per second of CPU: what is cached is
read by the CPU alone, and other processes then do not count.

*Written* ends when the store, the memory-mapped array, Parquet, the tar files and LMDB are on the disk (fsync); one
file a clip is written under another name and renamed, and not waited for, which favours it. *Cold* means that the
files were taken out of the page cache with ``posix_fadvise(DONTNEED)`` after a sync, which needs no privilege; a
device with a cache of its own may still answer faster than its medium. Only the first ten batches are timed: in a
whole epoch a memory map reads all of so small a file ahead. WebDataset reads in the order of its files, so its figures
are not of shuffled reading. Parquet reads the row group of every clip asked for.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vidcore.features  # noqa: F401  reading imports it, and torch with it: not a part of what is measured
from vidcore.store import FeatureStore, Record

BATCH = 256
FIGURES = ("written", "warm", "warm_cpu", "cold")
# Batches of a cold turn: few enough that reading ahead does not bring the whole file in, as with a larger one.
COLD = 10
STEPS, DIM = 8, 768
CLIP_BYTES = 4 * STEPS * DIM


class Format(ABC):
    """One way to keep clips (8, 768) float32. ``read`` is given positions and returns their data as one batch."""

    name: str
    note = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:
        """Write all clips into an empty folder."""

    @abstractmethod
    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:
        """A function from positions (B,) to a batch."""


class Ours(Format):
    """The feature store, written by ``writers`` writers."""

    writers = 1
    name = "vidcore store"

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        times = np.arange(STEPS, dtype=np.float32)
        collection = FeatureStore.open(self.folder, write=True).collection({"name": "benchmark"})
        for part in range(self.writers):
            with collection.writer() as writer:
                for key, clip in zip(keys[part :: self.writers], clips[part :: self.writers], strict=True):
                    writer.put(key, {"features": Record(clip.reshape(DIM, STEPS, 1, 1), times)})

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        collection = FeatureStore.open(self.folder).collection({"name": "benchmark"})
        return lambda batch: collection.read([keys[i] for i in batch.tolist()]).data


class OursInParts(Ours):
    """The feature store as eight processes leave it."""

    writers = 8
    name = "vidcore store, 8 shards"


class OursByNumber(Ours):
    """The same files as ``Ours``, keys searched once (``Collection.select``)."""

    name = "vidcore store, by number"
    writers = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.with_name(Ours.__name__))

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        selection = FeatureStore.open(self.folder).collection({"name": "benchmark"}).select(keys)
        return lambda batch: selection.read(batch).data


class MemoryMap(Format):
    """One array, memory-mapped."""

    name = "bare memory map"

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        array = np.lib.format.open_memmap(self.folder / "all.npy", "w+", clips.dtype, clips.shape)
        for i, clip in enumerate(clips):
            array[i] = clip
        array.flush()

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        array = np.load(self.folder / "all.npy", mmap_mode="r")
        return lambda batch: array[batch]


class NpyPerClip(Format):
    """One .npy a clip, renamed into place."""

    name = ".npy per clip"

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        for key, clip in zip(keys, clips, strict=True):
            part = self.folder / f"{key}.part"
            with part.open("wb") as file:
                np.save(file, clip)
            part.rename(self.folder / f"{key}.npy")

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        names = [str(self.folder / f"{key}.npy") for key in keys]
        return lambda batch: np.stack([np.load(names[i]) for i in batch.tolist()])


class SafetensorsPerClip(Format):
    """One .safetensors a clip, renamed into place."""

    name = "safetensors per clip"

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        from safetensors.numpy import save_file

        for key, clip in zip(keys, clips, strict=True):
            part = self.folder / f"{key}.part"
            save_file({"features": clip}, part)
            part.rename(self.folder / f"{key}.safetensors")

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        from safetensors.numpy import load_file

        names = [str(self.folder / f"{key}.safetensors") for key in keys]
        return lambda batch: np.stack([load_file(names[i])["features"] for i in batch.tolist()])


class Parquet(Format):
    """One file, 32 clips a row group, no compression."""

    name = "Parquet"
    note = "row groups of 32"
    group = 32

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("key", pa.string()), ("features", pa.list_(pa.float32(), STEPS * DIM))])
        path = self.folder / "all.parquet"
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for at in range(0, len(clips), self.group):
                rows = pa.FixedSizeListArray.from_arrays(clips[at : at + self.group].reshape(-1), STEPS * DIM)
                writer.write_table(pa.table([pa.array(keys[at : at + self.group]), rows], schema=schema))
        _sync(path)

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.folder / "all.parquet", memory_map=True)

        def read(batch: np.ndarray) -> np.ndarray:
            out = np.empty((len(batch), STEPS, DIM), np.float32)
            groups = batch // self.group
            for number in np.unique(groups).tolist():
                rows = file.read_row_group(number, columns=["features"])["features"].chunk(0)
                chosen = groups == number
                out[chosen] = rows.flatten().to_numpy().reshape(-1, STEPS, DIM)[batch[chosen] % self.group]
            return out

        return read


class WebDataset(Format):
    """Tar files of 1,000 clips, read in order by the webdataset library."""

    name = "WebDataset"
    note = "sequential, not shuffled"

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        for at in range(0, len(clips), 1000):
            path = self.folder / f"clips-{at // 1000:06}.tar"
            with tarfile.open(path, "w") as tar:
                for key, clip in zip(keys[at : at + 1000], clips[at : at + 1000], strict=True):
                    file = io.BytesIO()
                    np.save(file, clip)
                    member = tarfile.TarInfo(f"{key}.npy")
                    member.size = file.tell()
                    file.seek(0)
                    tar.addfile(member, file)
            _sync(path)

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        import webdataset

        def batches() -> Iterator[np.ndarray]:
            while True:
                names = sorted(str(path) for path in self.folder.glob("*.tar"))
                samples = webdataset.WebDataset(names, shardshuffle=False).decode().to_tuple("npy")
                yield from (np.stack(batch[0]) for batch in samples.batched(BATCH))

        stream = batches()
        return lambda batch: next(stream)


class Lmdb(Format):
    """One LMDB environment."""

    name = "LMDB"

    def write(self, clips: np.ndarray, keys: Sequence[str]) -> None:  # noqa: D102
        import lmdb

        with lmdb.open(str(self.folder), map_size=2 * clips.nbytes + (1 << 26), sync=False, writemap=True) as store:
            for at in range(0, len(clips), 1000):
                with store.begin(write=True) as transaction:
                    for key, clip in zip(keys[at : at + 1000], clips[at : at + 1000], strict=True):
                        transaction.put(bytes.fromhex(key), clip.tobytes())
            store.sync(True)

    def open(self, keys: Sequence[str]) -> Callable[[np.ndarray], Any]:  # noqa: D102
        import lmdb

        store = lmdb.open(str(self.folder), readonly=True, lock=False, readahead=False)
        packed = [bytes.fromhex(key) for key in keys]

        def read(batch: np.ndarray) -> np.ndarray:
            with store.begin(buffers=True) as transaction:
                rows = [np.frombuffer(transaction.get(packed[i]), np.float32) for i in batch.tolist()]
                return np.stack(rows).reshape(-1, STEPS, DIM)

        return read


FORMATS = (Ours, OursByNumber, OursInParts, MemoryMap, NpyPerClip, SafetensorsPerClip, WebDataset, Parquet, Lmdb)
NEEDS = {WebDataset: "webdataset", Parquet: "pyarrow", Lmdb: "lmdb"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7, help="of warm reading; writing and cold reading take 3")
    parser.add_argument("--seconds", type=float, default=2.0, help="stop a slow format's turn after so long")
    parser.add_argument("--only", nargs="*", default=[], help="names of formats, such as Ours MemoryMap")
    parser.add_argument("--folder", type=Path, help="where to write, on the disk to be measured")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="vidcore-store-benchmark-") as folder:
        rates, absent = run(Path(folder), options)
    print_table(rates, absent, options.clips)
    if options.json:
        options.json.write_text(json.dumps({"clips": options.clips, "clips_per_second": rates}, indent=2) + "\n")


def run(root: Path, options: argparse.Namespace) -> tuple[dict[str, dict[str, list[float]]], list[str]]:
    """Rates of every format: ``{name: {"written" | "warm" | "warm_cpu" | "cold": [clips/s of each repetition]}}``."""
    generator = np.random.default_rng(0)
    clips = generator.standard_normal((options.clips, STEPS, DIM), np.float32)
    keys = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(options.clips)]
    always = {MemoryMap.__name__, *options.only}
    chosen = [kind for kind in FORMATS if not options.only or kind.__name__ in always]
    formats = [kind(root / kind.__name__) for kind in chosen if _installed(kind)]
    rates: dict[str, dict[str, list[float]]] = {
        f.name: {"written": [], "warm": [], "warm_cpu": [], "cold": []} for f in formats
    }
    for _ in range(3):
        for one in formats:
            if isinstance(one, OursByNumber):
                continue
            shutil.rmtree(one.folder, ignore_errors=True)
            one.folder.mkdir()
            started = time.perf_counter()
            one.write(clips, keys)
            rates[one.name]["written"].append(len(clips) / (time.perf_counter() - started))
            # So that the next turn does not pay for this one, and that everything can leave the cache.
            os.sync()
    for _ in range(3):
        order = generator.permutation(len(clips))
        for one in formats:
            drop_from_cache(one.folder)
            rates[one.name]["cold"].append(read_rate(one.open(keys), order[: COLD * BATCH], options.seconds)[0])
    readers = {one.name: one.open(keys) for one in formats}
    for one in formats:
        check(readers[one.name], one, clips)
        read_rate(readers[one.name], generator.permutation(len(clips)), 5)
    for turn in range(options.repeats):
        order = generator.permutation(len(clips))
        for name, reader in list(readers.items())[:: 1 if turn % 2 else -1]:
            wall, cpu = read_rate(reader, order, options.seconds)
            rates[name]["warm"].append(wall)
            rates[name]["warm_cpu"].append(cpu)
    return rates, [kind.name for kind in FORMATS if not _installed(kind)]


def read_rate(read: Callable[[np.ndarray], Any], order: np.ndarray, seconds: float) -> tuple[float, float]:
    """Clips per second, and per second of CPU, over one epoch or what of it ``seconds`` allow."""
    started, cpu, done = time.perf_counter(), time.process_time(), 0
    for at in range(0, len(order), BATCH):
        done += len(read(order[at : at + BATCH]))
        if time.perf_counter() - started > seconds:
            break
    return done / (time.perf_counter() - started), done / (time.process_time() - cpu)


def check(read: Callable[[np.ndarray], Any], one: Format, clips: np.ndarray) -> None:
    """Every format gives back what was written."""
    wanted = np.arange(min(BATCH, len(clips)))
    got = np.asarray(read(wanted)).reshape(-1, CLIP_BYTES // 4)[: len(wanted)]
    if not (got == clips[: len(got)].reshape(-1, CLIP_BYTES // 4)).all():
        raise SystemExit(f"{one.name} gave back other data than was written")


def drop_from_cache(folder: Path) -> None:
    """Take every file out of the page cache; nothing may be mapped."""
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def print_table(rates: dict[str, dict[str, list[float]]], absent: list[str], clips: int) -> None:
    """A row for each format: medians with the smallest and largest, and the ratio to the bare memory map, paired."""
    bare = rates[MemoryMap.name]["warm_cpu"]
    print(f"{clips:,} clips x ({STEPS}, {DIM}) float32, batches of {BATCH}; clips/s, median (smallest to largest)\n")
    print("| format | written | read shuffled, warm | of the bare map (CPU) | read shuffled, cold |")
    print("|---|---:|---:|---:|---:|")
    notes = {kind.name: kind.note for kind in FORMATS}
    for name, figures in rates.items():
        ratio = statistics.median(one / other for one, other in zip(figures["warm_cpu"], bare, strict=True))
        note = f" ({notes[name]})" if notes[name] else ""
        cells = [_cell(figures[what]) for what in ("written", "warm", "cold")]
        print(f"| {name}{note} | {cells[0]} | {cells[1]} | {ratio:.2f} | {cells[2]} |")
    for name in absent:
        print(f"\n{name}: not installed here")


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle, low, high = (_short(v) for v in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def _short(rate: float) -> str:
    return f"{rate / 1000:.0f}k" if rate >= 9950 else f"{rate / 1000:.1f}k" if rate >= 95 else f"{rate:.0f}"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def _installed(kind: type[Format]) -> bool:
    from importlib.util import find_spec

    return kind not in NEEDS or find_spec(NEEDS[kind]) is not None


if __name__ == "__main__":
    main()
