"""Lines and records of the lists, with their line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vidcore.data._json import read_text
from vidcore.data._table import read_table
from vidcore.errors import ManifestError


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, stripped."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if text := line.strip():
            yield number, text


def records(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The records of a table, by column.

    Raises:
        ManifestError: One of ``columns`` is not there, or the table is damaged.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = read_table(path, file, columns[0])
            _, header = next(table, (0, []))
            for column in columns:
                if column not in header:
                    raise ManifestError(f"{path}: there is no column {column!r} (found: {', '.join(header) or 'none'})")
            for line, fields in table:
                yield line, dict(zip(header, (field.strip() for field in fields), strict=True))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot read it: {error.strerror}") from error


def seconds(text: str, where: str) -> float:
    """A time in seconds.

    Raises:
        ManifestError: It is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ManifestError(f"{where}: {text!r} is no time in seconds")
    return value


def class_names(path: Path) -> tuple[str, ...]:
    """Class names of a file with one a line, in their order.

    Raises:
        ManifestError: It cannot be read, is empty, or names a class twice.
    """
    names = tuple(text for _, text in lines(path))
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), None)
        raise ManifestError(f"{path}: {'it names no class' if twice is None else f'class {twice!r} is there twice'}")
    return names


def split_of(name: str) -> str | None:
    """The split that a file's name says, if any: train, val or test."""
    lower = name.lower()
    found = [split for split, words in (("train", ("train",)), ("val", ("val",)), ("test", ("test",)))
             if any(word in lower for word in words)]  # fmt: skip
    return found[0] if len(found) == 1 else None
