"""Tables of text with a header: CSV, also with semicolons or tabs, and TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from vidcore.errors import ManifestError

SEPARATORS = (",", "\t", ";", "|")


def separator_of(source: Path, header: str, wanted: str = "video") -> str:
    """What separates the columns: that by which the header has a column ``wanted``, else what divides it most.

    The file's ending decides between equals.
    """
    usual = "\t" if source.suffix.lower() == ".tsv" else ","
    candidates = [usual, *(separator for separator in SEPARATORS if separator != usual)]
    names = {separator: _names(header, separator) for separator in candidates}
    for separator in candidates:
        if wanted in names[separator]:
            return separator
    return max(candidates, key=lambda separator: len(names[separator]))


def read_table(source: Path, lines: Iterable[str], wanted: str = "video") -> Iterator[tuple[int, list[str]]]:
    """``(line number, fields)`` of every line that is not empty, the header's names first and stripped.

    Raises:
        ManifestError: A line has another number of fields than the header, a quote is not closed, or a value has more
            than 131,072 characters.
    """
    lines = iter(lines)
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=separator_of(source, first, wanted), strict=True)
    header: list[str] | None = None
    try:
        for fields in reader:
            if header is None:
                header = [name.strip() for name in fields]
                yield reader.line_num, header
            elif fields:
                if len(fields) != len(header):
                    raise ManifestError(
                        f"{source}, line {reader.line_num}: {len(fields)} values for {len(header)} columns "
                        f"({', '.join(header)}); quote values that contain the separator"
                    )
                yield reader.line_num, fields
    except csv.Error as error:
        raise ManifestError(f"{source}, line {reader.line_num}: {table_error(error)}") from error


def table_error(error: csv.Error) -> str:
    """What the csv module found, in words."""
    if "field larger than" in str(error):
        return (
            f"a value has more than {csv.field_size_limit():,} characters, or a quote is not closed; "
            "keep long texts in files of their own"
        )
    return str(error)


def _names(header: str, separator: str) -> Sequence[str]:
    try:
        return [name.strip().strip('"') for name in next(csv.reader([header], delimiter=separator), [])]
    except csv.Error:
        return [header]
