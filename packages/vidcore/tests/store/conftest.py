"""Records whose content tells which clip they are of, and collections of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vidcore.store import Collection, FeatureStore, Record

IDENTITY = {"name": "x3d/xs", "weights": "0" * 64, "dtype": "float32", "keep": "sequence"}


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def record_of(number: int, steps: int = 4, dim: int = 3, size: int = 2, dtype: str = "float32") -> Record:
    data = np.random.default_rng(number).integers(0, 1000, (dim, steps, size, size)).astype(dtype)
    return Record(data, np.arange(steps, dtype=np.float32) * 2 + 0.5)


class Clips:
    """What tests put and compare with."""

    key = staticmethod(key_of)
    record = staticmethod(record_of)
    identity = IDENTITY

    @staticmethod
    def keys(numbers: Iterable[int]) -> list[str]:
        return [key_of(number) for number in numbers]

    @staticmethod
    def put(collection: Collection, numbers: Iterable[int], **looks: Any) -> None:
        with collection.writer() as writer:
            for number in numbers:
                writer.put(key_of(number), {"out": record_of(number, **looks)}, source=f"videos/{number:03}.mp4")

    @staticmethod
    def check(collection: Collection, numbers: Iterable[int], **looks: Any) -> None:
        """Every one of them is there, with its own content."""
        for number in numbers:
            found, wanted = collection.record(key_of(number), "out"), record_of(number, **looks)
            assert found.data.dtype == wanted.data.dtype
            assert np.array_equal(found.data, wanted.data), number
            assert np.array_equal(found.times, wanted.times), number


@pytest.fixture
def clips() -> type[Clips]:
    return Clips


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def reopen(store_path: Path) -> Callable[[], Collection]:
    """Opens the collection as another process would."""
    return lambda: FeatureStore.open(store_path, write=True).collection(IDENTITY)


@pytest.fixture
def collection(reopen: Callable[[], Collection]) -> Collection:
    return reopen()
