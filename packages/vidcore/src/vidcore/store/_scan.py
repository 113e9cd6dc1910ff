"""Which shards a collection has, and which of them can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ._files import PENDING, TRASH
from ._shard import DamagedShardError, Shard, open_shard, shard_state


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a shard that does not count.

    Attributes:
        shard: Name of the shard.
        reason: What was found.
        rows: How many records are concerned; ``None`` where that cannot be told.
    """

    shard: str
    reason: str
    rows: int | None = None


def scan(folder: Path, before: Sequence[Shard] = ()) -> tuple[list[Shard], list[Damage]]:
    """Open what has changed since ``before``; finished shards come first, then by time of creation.

    Raises:
        StoreError: A newer vidcore wrote one.
        OSError: The disk does not give it.
    """
    known = {shard.name: shard for shard in before}
    shards, damage = [], []
    for path in shard_folders(folder):
        old = known.get(path.name)
        try:
            shard = old if old is not None and shard_state(path) == old.state else open_shard(path, old)
        except FileNotFoundError as exc:
            if path.is_dir():
                damage.append(Damage(path.name, f"{Path(exc.filename or '').name} is not there"))
            continue
        except DamagedShardError as exc:
            damage.append(Damage(path.name, str(exc)))
            continue
        if shard.torn:
            damage.append(Damage(path.name, "begun and not finished, or cut", shard.torn))
        shards.append(shard)
    # A record in a finished shard wins over its double in one that may yet be taken back.
    shards.sort(key=lambda shard: (not shard.sealed, shard.name))
    return shards, damage


def shard_folders(folder: Path) -> list[Path]:
    """Every shard of a collection, by time of creation."""
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith((PENDING, TRASH)) and p.is_dir())
    except FileNotFoundError:
        return []
