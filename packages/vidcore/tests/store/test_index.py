from __future__ import annotations

import numpy as np
import pytest
import vidcore.store._index as index_module
from vidcore.errors import StoreError
from vidcore.store._index import KeyIndex
from vidcore.store._npy import HEAD_BYTES, npy_head, npy_rows


class FakeShard:
    """Only what the index looks at."""

    def __init__(self, keys, valid=None):
        self.entries = np.array([(bytes.fromhex(key),) for key in keys], [("key", "V32")])
        self.valid = np.ones(len(keys), bool) if valid is None else np.array(valid)


def test_keys_with_the_same_beginning_are_told_apart():
    keys = [f"{0xABC:016x}{tail:048x}" for tail in (5, 1, 9, 3)]
    others = [f"{head:016x}{0:048x}" for head in (0xABB, 0xABD)]
    index = KeyIndex([FakeShard([*keys, others[0]]), FakeShard([others[1], keys[2]])])
    assert len(index) == 6
    assert index.duplicates == 1
    at = index.locate([*keys, *others])
    assert list(zip(index.shard[at].tolist(), index.row[at].tolist(), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0),
    ]  # fmt: skip
    assert index.locate([f"{0xABC:016x}{7:048x}", f"{0xABC:016x}{99:048x}", "f" * 64]).tolist() == [-1, -1, -1]
    assert sorted(index.keys()) == sorted([*keys, *others])


def test_the_first_shard_wins_and_rows_that_do_not_count_are_passed_over():
    a, b = "a" * 64, "b" * 64
    index = KeyIndex([FakeShard([a, b], [False, True]), FakeShard([b, a, a])])
    at = index.locate([a, b])
    assert list(zip(index.shard[at].tolist(), index.row[at].tolist(), strict=True)) == [(1, 1), (0, 1)]
    assert index.duplicates == 2


def test_every_key_of_many_is_found():
    generator = np.random.default_rng(0)
    keys = [generator.bytes(32).hex() for _ in range(3000)]
    index = KeyIndex([FakeShard(keys[:1000]), FakeShard(keys[1000:])])
    at = index.locate(keys)
    assert (index.shard[at] == ([0] * 1000 + [1] * 2000)).all()
    assert (index.row[at] == [*range(1000), *range(2000)]).all()
    assert (index.locate([generator.bytes(32).hex() for _ in range(100)]) == -1).all()
    assert KeyIndex([]).locate(keys[:2]).tolist() == [-1, -1]


def test_keys_are_recalled_as_they_are_found(monkeypatch):
    monkeypatch.setattr(index_module, "_REMEMBERED", 6)
    keys = [np.random.default_rng(i).bytes(32).hex() for i in range(10)]
    index = KeyIndex([FakeShard(keys[:9])])
    searched = []
    real = index.locate
    monkeypatch.setattr(index, "locate", lambda keys: searched.append(1) or real(keys))
    for asked, searches in [
        (keys[:3], 1), (keys[2::-1], 1), (keys[1:2], 1), (keys[2:6], 2), (keys[:6], 2), (keys[3:10], 3), (keys[:1], 3),
        (keys[6:9], 4), (keys[:1], 5), (keys[:1], 6),
    ]:  # fmt: skip
        assert index.recall(asked).tolist() == real(asked).tolist()
        assert len(searched) == searches
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        index.recall([keys[0], [1]])


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 12345678901])
def test_heads_have_one_size_and_state_their_rows(rows):
    dtype, shape = np.dtype("<f4"), (3, 4, 2, 2)
    head = npy_head(dtype, (rows, *shape))
    assert len(head) == HEAD_BYTES
    assert npy_rows(head, dtype, shape) == rows
    for other in [(np.dtype("<f2"), shape), (dtype, (3, 4, 2, 1)), (dtype, (3, 4, 2))]:
        with pytest.raises(ValueError, match="the head is not that of rows"):
            npy_rows(head, *other)
    with pytest.raises(ValueError, match="does not fit"):
        npy_head(np.dtype([("x" * 5000, "<f4")]), (rows,))
