"""Formats that keep each record for itself: Parquet and WebDataset."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ._arrays import Advance
from ._records import Group, Piece

_TAR_BYTES = 1 << 30


def write_parquet(groups: Sequence[Group], out: Path, advance: Advance, pa: ModuleType, pq: ModuleType) -> None:
    """A file a collection, a row a clip: key, source, and for each output its values, shape, times and mask."""
    for collection, same in _by_collection(groups):
        fields = same[0].layout.fields
        types = [("key", pa.string()), ("source", pa.string())]
        for field in fields:
            number = pa.float16() if field.dtype == "float16" else pa.float32()
            types.append((field.name, pa.list_(number)))
            types.append((f"{field.name}.shape", pa.list_(pa.int32(), 4)))
            types.append((f"{field.name}.times", pa.list_(pa.float32())))
            types.append((f"{field.name}.mask", pa.list_(pa.bool_())))
        schema = pa.schema(types, metadata={"identity": json.dumps(same[0].collection.identity)})
        # Features do not compress, and no two of them are alike.
        with pq.ParquetWriter(
            out / f"{collection}.parquet", schema, compression="none", use_dictionary=["source"]
        ) as writer:
            for group in same:
                for piece in group.pieces():
                    writer.write_table(pa.table(_columns(piece, group, pa), schema=schema))
                    advance(len(piece.clips))


def write_webdataset(groups: Sequence[Group], out: Path, advance: Advance) -> None:
    """Tar files of up to 1 GiB a collection: ``<key>.npy`` (``<key>.<output>.npy`` of several) and ``<key>.json``."""
    for collection, same in _by_collection(groups):
        clips = ((piece, place) for group in same for piece in group.pieces() for place in range(len(piece.clips)))
        following = next(clips, None)
        number = 0
        while following is not None:
            with tarfile.open(out / f"{collection}-{number:06}.tar", "w") as tar:
                while following is not None and tar.offset < _TAR_BYTES:
                    _add_clip(tar, *following)
                    advance(1)
                    following = next(clips, None)
            number += 1


def _by_collection(groups: Sequence[Group]) -> Iterator[tuple[str, list[Group]]]:
    for name, same in groupby(groups, key=lambda group: group.collection.folder.name):
        yield name, list(same)


def _columns(piece: Piece, group: Group, pa: ModuleType) -> list[Any]:
    columns = [pa.array([clip.key for clip in piece.clips]), pa.array([clip.source for clip in piece.clips])]
    for field in group.layout.fields:
        data, times, mask = piece.arrays[field.name]
        shapes = np.tile(np.array(field.shape, np.int32), len(data))
        columns.append(_lists(data.reshape(len(data), -1), pa))
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(shapes), 4))
        columns.append(_lists(times, pa))
        columns.append(_lists(mask, pa))
    return columns


def _lists(rows: NDArray[Any], pa: ModuleType) -> Any:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(rows).reshape(-1)))


def _add_clip(tar: tarfile.TarFile, piece: Piece, place: int) -> None:
    clip, about = piece.clips[place], {}
    for output, (data, times, mask) in piece.arrays.items():
        file = io.BytesIO()
        np.save(file, data[place], allow_pickle=False)
        suffix = "npy" if len(piece.arrays) == 1 else f"{quote(output, safe='')}.npy"
        _add_file(tar, f"{clip.key}.{suffix}", file.getvalue())
        about[output] = {"times": times[place].tolist(), "mask": mask[place].tolist()}
    text = json.dumps({"key": clip.key, "source": clip.source, "outputs": about})
    _add_file(tar, f"{clip.key}.json", text.encode())


def _add_file(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
