"""Collection, the features of one extractor with one set of options: keys, batches, writers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidcore.errors import StoreError

from ._batches import Batch, BatchReader
from ._files import FORMAT, check_writable, explained, read_json, refusal, write_json
from ._identity import in_words
from ._index import KeyIndex
from ._layout import Layout
from ._mixed import read_mixed
from ._scan import Damage, scan
from ._selection import Selection, to_map
from ._shard import Shard
from ._shard_writer import ShardWriter
from ._writer import FLUSH_BYTES, FLUSH_SECONDS, SHARD_BYTES, Writer
from .record import Record

if TYPE_CHECKING:
    from vidcore.features import FeatureMap

ABOUT = "collection.json"


@dataclass(frozen=True, slots=True)
class OutputInfo:
    """One output of a collection: its type, and how many clips have each (D, T, H, W)."""

    dtype: str
    shapes: Mapping[tuple[int, int, int, int], int]


class Collection:
    """Features under the fingerprints of their clips; from ``FeatureStore.collection``.

    It shows what was there when it was opened or last refreshed. It may be sent to other processes.

    Attributes:
        folder: Where it is, or will be once something is put.
        identity: What was extracted and how.
        generation: Counts the refreshes that found something new.
        shards: Its parts, finished ones first; for the store's own tools.
        index: Which of them holds a key; for the store's own tools.
        damage: What was found torn or damaged when it was opened; those clips are missing.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], digest: str, *, write: bool) -> None:
        self.folder = folder
        self.identity = dict(identity)
        self.generation = 0
        self.damage: list[Damage] = []
        self._digest = digest
        self._write = write
        self.shards: list[Shard] = []
        self.index = KeyIndex([])
        self._readers: dict[str, BatchReader] = {}
        self._names: dict[str, dict[str, Any]] = {}
        self.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self.identity, self._digest, self._write)

    def __repr__(self) -> str:
        return f"Collection({in_words(self.identity)}: {len(self)} clips)"

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(self.index.locate([key])[0] >= 0)

    def keys(self) -> set[str]:
        """The fingerprints of the clips that are here."""
        return set(self.index.keys())

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of ``keys`` that are not here, in their order."""
        asked = list(keys)
        absent = self.index.locate(asked) < 0
        return [asked[i] for i in np.flatnonzero(absent).tolist()]

    @property
    def outputs(self) -> dict[str, OutputInfo]:
        """Type and shapes of every output, the default output first."""
        counts: dict[str, dict[tuple[int, int, int, int], int]] = {name: {} for name in self._names}
        clips = np.bincount(self.index.shard, minlength=len(self.shards)).tolist()
        for shard, count in zip(self.shards, clips, strict=True):
            for field in shard.layout.fields if count else ():
                shapes = counts.setdefault(field.name, {})
                shapes[field.shape] = shapes.get(field.shape, 0) + count
        types = {field.name: field.dtype for shard in self.shards for field in shard.layout.fields}
        return {
            name: OutputInfo(types.get(name) or self._names[name]["dtype"], shapes) for name, shapes in counts.items()
        }

    def refresh(self) -> None:
        """See what other processes have written since.

        Raises:
            StoreError: A newer vidcore writes here now, or the disk does not give it.
        """
        with explained(f"read {self.folder}"):
            self._names = self._read_names()
            shards, self.damage = scan(self.folder, self.shards)
        if [id(shard) for shard in shards] == [id(shard) for shard in self.shards]:
            return
        self.shards = shards
        self.index = KeyIndex(shards)
        self._readers = {}
        self.generation += 1

    def read(self, keys: Sequence[str], output: str | None = None) -> FeatureMap:
        """The features of a batch of clips, in the order of ``keys``.

        Where clips differ in T only, the shorter ones are padded with zeros and the mask says so.

        Args:
            keys: (B,) fingerprints; a clip may be asked for twice.
            output: Name of the output; by default the first one put.

        Returns:
            data (B, D, T, H, W) in the type that is stored; times (T,) where all clips have the same, else (B, T);
            mask ``None`` where every step of every clip is real. All of it is memory of its own.

        Raises:
            StoreError: A key is missing, shapes differ in more than T, or the disk does not give it.
        """
        return to_map(self.read_places(lambda: self.located(keys, again=True), keys.__getitem__, output))

    def select(self, keys: Sequence[str]) -> Selection:
        """The clips of ``keys`` under the numbers 0 to N - 1, for loops that read them again and again.

        Searching 256 keys in a batch costs up to a tenth of reading them; this does it once.

        Raises:
            StoreError: A key is missing.
        """
        return Selection(self, keys)

    def record(self, key: str, output: str | None = None) -> Record:
        """The features of one clip.

        Raises:
            StoreError: As ``read``.
        """
        batch = self.read_places(lambda: self.located([key]), [key].__getitem__, output)
        return Record(batch.data[0], batch.times, None if batch.mask is None else batch.mask[0])

    def writer(
        self,
        *,
        shard_bytes: int = SHARD_BYTES,
        flush_bytes: int = FLUSH_BYTES,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> Writer:
        """A writer with shards of its own; any number may work at once, in any number of processes.

        Raises:
            StoreError: The store was opened for reading.
        """
        if not self._write:
            check_writable(self.folder.parent)
            raise StoreError(
                f"{self.folder.parent} was opened for reading\n  to write: FeatureStore.open(path, write=True)"
            )
        return Writer(self, shard_bytes=shard_bytes, flush_bytes=flush_bytes, flush_seconds=flush_seconds)

    def begin(self, layout: Layout) -> ShardWriter:
        """Start a shard, for a writer.

        Raises:
            StoreError: The outputs are not those of the collection.
            OSError: The disk refuses.
        """
        stated = {f.name: {"dtype": f.dtype, "dim": f.shape[0]} for f in layout.fields}
        if not self._names:
            self._names = self._read_names()
        if not self._names:
            self.folder.mkdir(parents=True, exist_ok=True)
            about = {"format": FORMAT, "sha256": self._digest, "identity": self.identity, "outputs": stated}
            write_json(self.folder / ABOUT, about)
            self._names = stated
        if stated != self._names:
            raise StoreError(
                f"{self.folder.name} holds outputs {_outputs_in_words(self._names)}; "
                f"got {_outputs_in_words(stated)}\n  other outputs belong to another collection: "
                "what they are must be part of the identity"
            )
        return ShardWriter(self.folder, layout)

    def located(self, keys: Sequence[str], *, again: bool = False) -> NDArray[np.int64]:
        """Places of keys, valid until the next refresh that finds something new; for ``read_places``.

        Args:
            keys: (B,) fingerprints.
            again: They are likely to be asked for again.

        Raises:
            StoreError: A key is missing.
        """
        if not len(keys):
            raise StoreError("reading needs at least one key")
        at = self.index.recall(keys) if again else self.index.locate(keys)
        if at.min() < 0:
            raise self._missing(keys, at)
        return at

    def read_places(
        self, find: Callable[[], NDArray[np.int64]], key_of: Callable[[int], str], output: str | None
    ) -> Batch:
        """Arrays of the records at the places that ``find`` gives, asked again where a gc has moved them.

        Args:
            find: Gives (B,) places.
            key_of: The key of the i-th of them, for messages.
            output: As in ``read``.

        Raises:
            StoreError: As ``read``.
        """
        try:
            try:
                return self._read_once(find(), key_of, output)
            except FileNotFoundError:
                self.refresh()
                return self._read_once(find(), key_of, output)
        except EOFError as exc:
            raise StoreError(
                f"{exc}: it was cut after it was opened\n  see what is left: vidcore store verify {self.folder.parent}"
            ) from exc
        except OSError as exc:
            raise refusal(exc, f"read features from {self.folder}") from exc

    def _read_once(self, at: NDArray[np.int64], key_of: Callable[[int], str], output: str | None) -> Batch:
        reader = self._reader(output)
        return reader.read(at) if reader.uniform else read_mixed(reader, key_of, at, self.folder.name)

    def _reader(self, output: str | None) -> BatchReader:
        name = output if output is not None else next(iter(self._names))
        if name not in self._names:
            raise StoreError(f"{self.folder.name} has no output {name!r}; it has: {', '.join(self._names)}")
        if name not in self._readers:
            self._readers[name] = BatchReader(self.shards, self.index, name)
        return self._readers[name]

    def _missing(self, keys: Sequence[str], at: NDArray[np.int64]) -> StoreError:
        absent = np.flatnonzero(at < 0).tolist()
        count = "1 of the clips" if len(absent) == 1 else f"{len(absent)} of the {len(keys)} clips"
        return StoreError(
            f"{self.folder.name} does not hold {count} asked for, first {keys[absent[0]]}\n"
            "  extract what is missing (vidcore extract does only that); "
            "what another process has just written is seen after refresh()"
        )

    def _read_names(self) -> dict[str, dict[str, Any]]:
        try:
            about = read_json(self.folder / ABOUT)
        except FileNotFoundError:
            return {}
        except ValueError as exc:
            raise StoreError(
                f"{self.folder / ABOUT} is damaged: {exc}\n  delete the folder to have its features extracted again"
            ) from exc
        if about.get("sha256") != self._digest:
            raise StoreError(
                f"{self.folder} belongs to another identity: {in_words(about.get('identity', {}))}\n"
                "  the folder was renamed or its collection.json edited; move it away"
            )
        return dict(about.get("outputs", {}))


def _outputs_in_words(names: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name} ({value['dtype']}, D={value['dim']})" for name, value in names.items())


def _reopen(folder: Path, identity: Mapping[str, Any], digest: str, write: bool) -> Collection:
    return Collection(folder, identity, digest, write=write)
