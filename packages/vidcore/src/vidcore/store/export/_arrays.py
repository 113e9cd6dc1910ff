"""Formats that keep all records of a group in one array: .npy, HDF5, MATLAB."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import numpy as np

from vidcore.errors import StoreError

from ._records import Group

# Version 5 of MATLAB's format counts the bytes of a variable in 31 bits.
_MAT_BYTES = (1 << 31) - (1 << 20)
_KINDS = ("data", "times", "mask")

Advance = Callable[[int], None]


def write_npy(groups: Sequence[Group], out: Path, advance: Advance) -> None:
    """A folder a collection: ``<output>.npy`` (clips, D, T, H, W), times, mask, ``index.csv`` and ``identity.json``."""
    for group in groups:
        folder = out / group.collection.folder.name
        folder.mkdir(exist_ok=True)
        (folder / "identity.json").write_text(json.dumps(group.collection.identity, indent=2) + "\n", "utf-8")
        folder = folder / group.name
        folder.mkdir(exist_ok=True)
        arrays: dict[tuple[str, str], Any] = {}
        count = len(group.clips)
        for field in group.layout.fields:
            name, steps = quote(field.name, safe=""), (count, field.steps)
            for kind, file, dtype, shape in (
                ("data", f"{name}.npy", field.numpy, (count, *field.shape)),
                ("times", f"{name}.times.npy", np.dtype("<f4"), steps),
                ("mask", f"{name}.mask.npy", np.dtype(bool), steps),
            ):
                arrays[field.name, kind] = np.lib.format.open_memmap(folder / file, "w+", dtype, shape)
        for piece in group.pieces():
            for output, values in piece.arrays.items():
                for kind, value in zip(_KINDS, values, strict=True):
                    arrays[output, kind][piece.start : piece.start + len(value)] = value
            advance(len(piece.clips))
        for array in arrays.values():
            array.flush()
        with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file_:
            rows = csv.writer(file_)
            rows.writerow(["row", "key", "source"])
            rows.writerows([row, clip.key, clip.source] for row, clip in enumerate(group.clips))


def write_h5(groups: Sequence[Group], out: Path, advance: Advance, h5py: ModuleType) -> None:
    """One file: ``/<collection>/[<shape>/]<output>/data`` and ``times``, ``mask``; ``key`` and ``source`` beside."""
    with h5py.File(out, "w") as file:
        for group in groups:
            home = file.require_group(group.collection.folder.name)
            home.attrs["identity"] = json.dumps(group.collection.identity)
            home = home.require_group(group.name) if group.name else home
            text = h5py.string_dtype()
            home.create_dataset("key", data=[clip.key for clip in group.clips], dtype=text)
            home.create_dataset("source", data=[clip.source for clip in group.clips], dtype=text)
            count = len(group.clips)
            for field in group.layout.fields:
                # In HDF5 a slash in a name makes a group.
                output = home.create_group(quote(field.name, safe=""))
                output.create_dataset("data", (count, *field.shape), field.numpy)
                output.create_dataset("times", (count, field.steps), "<f4")
                output.create_dataset("mask", (count, field.steps), bool)
            for piece in group.pieces():
                for name, values in piece.arrays.items():
                    for kind, value in zip(_KINDS, values, strict=True):
                        home[quote(name, safe="")][kind][piece.start : piece.start + len(value)] = value
                advance(len(piece.clips))


def write_mat(groups: Sequence[Group], out: Path, advance: Advance) -> None:
    """A version 5 file a collection and shape: a struct for each output, ``key`` and ``source`` as cells.

    MATLAB has no 16-bit floating point numbers: float16 becomes float32, which changes no value.

    Raises:
        StoreError: An array is larger than the format allows.
    """
    from scipy.io import savemat

    for group in groups:
        for field in group.layout.fields:
            size = len(group.clips) * 4 * int(np.prod(field.shape))
            if size > _MAT_BYTES:
                raise StoreError(
                    f"{group.prefix}: output {field.name!r} takes {size / 2**30:.1f} GiB, and a .mat file "
                    "holds at most 2 in a variable\n  export it as HDF5, which MATLAB reads too: --format h5"
                )
        variables: dict[str, Any] = {
            "key": np.array([clip.key for clip in group.clips], object),
            "source": np.array([clip.source for clip in group.clips], object),
            "identity": json.dumps(group.collection.identity),
        }
        parts: dict[str, list[list[Any]]] = {field.name: [[], [], []] for field in group.layout.fields}
        for piece in group.pieces():
            for output, values in piece.arrays.items():
                for part, value in zip(parts[output], values, strict=True):
                    part.append(value.astype(np.float32) if value.dtype == np.float16 else value)
            advance(len(piece.clips))
        for output, part in parts.items():
            variables[_matlab_name(output, variables)] = {
                kind: np.concatenate(values) for kind, values in zip(_KINDS, part, strict=True)
            }
        savemat(out / f"{group.prefix}.mat", variables)


def _matlab_name(output: str, taken: dict[str, Any]) -> str:
    """A letter first, then letters, digits and underscores, at most 31 characters, not used yet."""
    name = re.sub(r"\W", "_", output, flags=re.ASCII)
    base = (name if name[0].isalpha() else f"output_{name}")[:31]
    name, number = base, 2
    while name in taken:
        name, number = f"{base[:27]}_{number}", number + 1
    return name
