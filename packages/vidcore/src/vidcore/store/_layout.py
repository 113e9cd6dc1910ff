"""Layout: which outputs a record has, of which type and shape. Every shard holds records of one layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np

from vidcore.errors import StoreError

from .record import Record

KEY_BYTES = 32
DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class Field:
    """One output of a record: (D, T, H, W) of one type."""

    name: str
    dtype: str
    shape: tuple[int, int, int, int]

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The type, little-endian whatever the machine."""
        return np.dtype(self.dtype).newbyteorder("<")

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one clip."""
        return int(np.prod(self.shape)) * self.numpy.itemsize

    @property
    def steps(self) -> int:
        """T."""
        return self.shape[1]

    @property
    def file(self) -> str:
        """Name of the array's file within a shard; an output may be called ``layers/3``."""
        return f"data.{quote(self.name, safe='')}.npy"


@dataclass(frozen=True)
class Layout:
    """The outputs of a record, in the order they were first put."""

    fields: tuple[Field, ...]

    @cached_property
    def entry(self) -> np.dtype[Any]:
        """One line of the index: the key, then checksum, times and mask of each output, then its own checksum."""
        columns: list[tuple[Any, ...]] = [("key", f"V{KEY_BYTES}")]
        for field in self.fields:
            columns.append((f"{field.name}.crc32", "<u4"))
            columns.append((f"{field.name}.times", "<f4", (field.steps,)))
            columns.append((f"{field.name}.mask", "?", (field.steps,)))
        return np.dtype([*columns, ("entry_crc32", "<u4")])

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields under their names."""
        return {field.name: field for field in self.fields}

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one clip, all outputs."""
        return sum(field.row_bytes for field in self.fields)

    def to_json(self) -> dict[str, Any]:
        """As ``shard.json`` keeps it."""
        return {field.name: {"dtype": field.dtype, "shape": list(field.shape)} for field in self.fields}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        """Read what ``to_json`` gave.

        Raises:
            ValueError, KeyError, TypeError: It is something else.
        """
        fields = []
        for name, value in data.items():
            dim, steps, rows, columns = (int(size) for size in value["shape"])
            if value["dtype"] not in DTYPES or min(dim, steps, rows, columns) < 1:
                raise ValueError(f"output {name!r} has type {value['dtype']} and shape {value['shape']}")
            fields.append(Field(name, value["dtype"], (dim, steps, rows, columns)))
        return cls(tuple(fields))

    @classmethod
    def of(cls, records: Mapping[str, Record]) -> Layout:
        """The layout of what is to be put.

        Raises:
            StoreError: A record has the wrong type or its arrays do not fit together.
        """
        if not records:
            raise StoreError("put() was given no output; give {output: Record(data, times, mask)}")
        return cls(tuple(_field(name, record) for name, record in records.items()))


def signature(records: Mapping[str, Record]) -> tuple[Any, ...]:
    """All that ``Layout.of`` looks at, cheap: equal signatures have equal layouts."""
    return tuple(
        (name, r.data.dtype, r.data.shape, r.times.shape, None if r.mask is None else r.mask.shape)
        for name, r in records.items()
    )


def _field(name: str, record: Record) -> Field:
    data, times, mask = record.data, record.times, record.mask
    if not name or not (name.isascii() and name.isprintable()):
        raise StoreError(f"the name of an output is printable ASCII; got {name!r}")
    if data.ndim != 4 or 0 in data.shape:
        raise StoreError(f"output {name!r}: a record's data is (D, T, H, W), none of them 0; got {tuple(data.shape)}")
    if str(data.dtype) not in DTYPES:
        raise StoreError(f"output {name!r}: the store keeps {' or '.join(DTYPES)}; got {data.dtype}")
    dim, steps, rows, columns = data.shape
    if times.shape != (steps,):
        raise StoreError(f"output {name!r}: times must be ({steps},), one for each step; got {tuple(times.shape)}")
    if mask is not None and mask.shape != (steps,):
        raise StoreError(f"output {name!r}: mask must be ({steps},), one for each step; got {tuple(mask.shape)}")
    return Field(name, str(data.dtype), (dim, steps, rows, columns))
