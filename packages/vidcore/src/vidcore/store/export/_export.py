"""The one way in: checks what is asked, writes under another name, renames."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from vidcore.errors import StoreError
from vidcore.store._files import PENDING, explained
from vidcore.store.collection import Collection

from ._arrays import write_h5, write_mat, write_npy
from ._records import groups_of
from ._tables import write_parquet, write_webdataset

FORMATS = ("npy", "h5", "mat", "parquet", "webdataset")


def export(
    collections: Sequence[Collection],
    format: str,  # noqa: A002
    out: str | os.PathLike[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write collections as files of another format.

    Args:
        collections: What to write.
        format: ``h5`` is one file; ``npy``, ``mat``, ``parquet`` and ``webdataset`` are a folder of files.
        out: Where; nothing may be there yet. It appears when it is complete.
        on_progress: Called with clips written and clips in all.

    Raises:
        StoreError: There is nothing to write, something is there already, a library is not installed, or the disk
            refuses.
    """
    if format not in FORMATS:
        raise StoreError(f"no export format {format!r}; the formats are: {', '.join(FORMATS)}")
    path = Path(out).expanduser()
    if path.exists():
        raise StoreError(f"{path} exists; name a place where nothing is yet")
    groups = [group for collection in collections for group in groups_of(collection)]
    total = sum(len(group.clips) for group in groups)
    if not total:
        raise StoreError("there are no features to export\n  see what a store holds: vidcore store info STORE")
    done = 0

    def advance(clips: int) -> None:
        nonlocal done
        done += clips
        if on_progress:
            on_progress(done, total)

    hidden = path.with_name(f"{PENDING}{path.name}-{secrets.token_hex(4)}")
    with explained(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if format == "h5":
                write_h5(groups, hidden, advance, _library("h5py", format))
            else:
                hidden.mkdir()
                if format == "npy":
                    write_npy(groups, hidden, advance)
                elif format == "mat":
                    write_mat(groups, hidden, advance)
                elif format == "parquet":
                    pyarrow, parquet = _library("pyarrow", format), _library("pyarrow.parquet", format)
                    write_parquet(groups, hidden, advance, pyarrow, parquet)
                else:
                    write_webdataset(groups, hidden, advance)
            hidden.rename(path)
        finally:
            if hidden.is_dir():
                shutil.rmtree(hidden, ignore_errors=True)
            else:
                hidden.unlink(missing_ok=True)
    return path


def _library(name: str, format: str) -> ModuleType:  # noqa: A002
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise StoreError(
            f"exporting as {format} needs {name.partition('.')[0]}, which is not installed\n"
            "  pip install 'vidcore[export]'"
        ) from exc
