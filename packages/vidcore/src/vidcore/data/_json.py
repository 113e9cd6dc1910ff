"""JSON from files that nobody has checked: every way of failing is one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidcore.errors import ManifestError

# The largest published list (Kinetics-700, Something-Something V2) takes some 50 MB.
MAX_BYTES = 1 << 30


def parse_json(text: str, where: str) -> Any:
    """The value that ``text`` holds.

    Raises:
        ManifestError: It is not JSON, is nested too deeply, or holds a number of thousands of digits; begins with
            ``where``.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: {_reason(error)}") from error


def iter_json_array(path: Path) -> Iterator[Any]:
    """The elements of the array that a file holds, made one by one.

    Raises:
        ManifestError: The file cannot be read, or is not an array.
    """
    text = read_text(path)
    decoder, at = json.JSONDecoder(), _skip(text, 0)
    if text[at : at + 1] != "[":
        raise ManifestError(f"{path}: not a JSON array; it must begin with [")
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return
    while True:
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{path}: {_reason(error)}") from error
        yield value
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return
        if text[at : at + 1] != ",":
            raise ManifestError(f"{path}: not JSON: the array stops or lacks a comma at character {at}")
        at = _skip(text, at + 1)


def read_text(path: Path) -> str:
    """A UTF-8 file, whole.

    Raises:
        ManifestError: It cannot be read, is not UTF-8, or has more than 1 GiB.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ManifestError(f"{path}: the file has {size / 2**30:.1f} GiB; lists of videos have less than 1 GiB")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot read it: {error.strerror}") from error


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "its lists and objects are nested too deeply"
    return "it holds a number of more than 4,300 digits"
