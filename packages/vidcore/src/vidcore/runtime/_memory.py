"""The folder of the cache where one network's compiled forms and the choice between them are kept."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from vidcore.cache import cache_dir
from vidcore.runtime._identity import digest

log = logging.getLogger(__name__)


class Memory:
    """Files about one identity (see ``_identity.describe``); each is whole or absent."""

    def __init__(self, identity: dict[str, Any]) -> None:
        self.identity = identity
        name = str(identity["model"]).replace("/", "_")
        self.folder = cache_dir("runtimes") / f"{name}-{digest(identity)[:16]}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time: a second one waits and then finds what the first one made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            # Nothing is remembered then; what was asked for still runs.
            self.folder = Path(tempfile.mkdtemp(prefix="vidcore-runtimes-"))
            log.warning("the cache cannot be written (%s); engines go to %s", exc, self.folder)
        with FileLock(self.folder / "lock"):
            yield

    def recall(self, requested: str) -> dict[str, Any] | None:
        """What was remembered for a request; nothing where the record cannot be read."""
        try:
            record = json.loads(self._record(requested).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and {"chosen", "candidates"} <= record.keys() else None

    def remember(self, requested: str, record: dict[str, Any]) -> None:
        """Keep a choice; what it depends on is written beside it, to be read by people."""
        with self.replacing(self._record(requested)) as temporary:
            temporary.write_text(json.dumps({**record, "for": self.identity}, indent=2) + "\n", encoding="utf-8")

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A temporary path of the same suffix; it takes the place of ``path`` when the block ends well."""
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _record(self, requested: str) -> Path:
        return self.folder / f"{requested}.json"
