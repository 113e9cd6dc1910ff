"""Pieces of manifests hold each row once, whatever is quoted in it."""

from __future__ import annotations

import pytest
from vidcore.data.manifest import Row, iter_rows, write_manifest
from vidcore.data.spans import read_span, spans
from vidcore.errors import ManifestError


def made(path, count=11):
    rows = [
        Row(path.parent / f"vidéo {n}.mp4", f"a,{n}" if n % 3 else 'two\n"lines"', extra={"note": "é" * n})
        for n in range(count)
    ]
    write_manifest(rows, path)
    return list(iter_rows(path))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("size", [1, 4, 11, 50])
def test_spans_hold_every_row_once_in_order(tmp_path, suffix, size):
    manifest = tmp_path / f"rows.{suffix}"
    rows = made(manifest)
    found = [item for span in spans(manifest, size) for item in read_span(manifest, span)]
    assert [number for number, _ in found] == list(range(11))
    assert [row for _, row in found] == rows


def test_a_span_is_read_without_the_rest(tmp_path):
    manifest = tmp_path / "rows.csv"
    rows = made(manifest)
    last = list(spans(manifest, 4))[-1]
    text = manifest.read_bytes()
    header = text.index(b"\n") + 1
    # What lies between the header and the span may be anything.
    manifest.write_bytes(text[:header] + b'"' * (last.offset - header) + text[last.offset :])
    assert read_span(manifest, last) == [(8, rows[8]), (9, rows[9]), (10, rows[10])]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    manifest = tmp_path / "rows.csv"
    manifest.write_bytes(b"\xef\xbb\xbfvideo,label\na.mp4,x\nb.mp4,y\n")
    (first, second) = spans(manifest, 1)
    assert read_span(manifest, first)[0][1].label == "x"
    assert read_span(manifest, second)[0][1].video == tmp_path / "b.mp4"


def test_a_manifest_that_shrank_is_noticed(tmp_path):
    manifest = tmp_path / "rows.csv"
    made(manifest, 4)
    (span,) = spans(manifest, 4)
    made(manifest, 2)
    with pytest.raises(ManifestError, match="fewer rows"):
        read_span(manifest, span)


def test_no_manifest(tmp_path):
    with pytest.raises(ManifestError, match="a manifest ends in"):
        list(spans(tmp_path / "rows.txt", 2))
    with pytest.raises(ManifestError, match="cannot read it"):
        list(spans(tmp_path / "rows.csv", 2))
