"""Manifests and folders: what is read, and what every mistake is told."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidcore.data._cells import number, points
from vidcore.data._names import look_alikes, look_alikes_note
from vidcore.data.manifest import Row, iter_rows, read_source, write_manifest
from vidcore.data.spans import read_span, spans
from vidcore.errors import DataError, ManifestError


def _write(folder: Path, text: str, name: str = "m.csv", videos: tuple[str, ...] = ("a.mp4", "b.mp4")) -> Path:
    for video in videos:
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).touch()
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_csv_with_every_column(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        "\ufeffvideo, label,split,group,start_seconds,end_seconds,set\n"
        "a.mp4, run ,Train,s1,,2.5,1\n"
        '\n"b.mp4","jump, high",validation,,1,,\n',
    )
    manifest = read_source(path)
    assert manifest.rows == [
        Row(tmp_path / "a.mp4", "run", "train", "s1", None, 2.5, {"set": "1"}),
        Row(tmp_path / "b.mp4", "jump, high", "val", None, 1.0, None, {"set": ""}),
    ]
    assert manifest.classes == ["jump, high", "run"]
    assert list(iter_rows(path)) == list(manifest) == manifest.rows
    assert read_source(tmp_path / "m.csv").fingerprint == manifest.fingerprint


def test_tsv_and_json_lines(tmp_path: Path) -> None:
    tsv = _write(tmp_path, "video\tlabel\na.mp4\trun, far\n", "m.tsv")
    assert read_source(tsv).rows == [Row(tmp_path / "a.mp4", "run, far")]
    lines = _write(tmp_path, '{"video": "a.mp4", "label": 3, "end_seconds": 1.5, "speed": [1, 2]}\n\n', "m.jsonl")
    assert read_source(lines).rows == [Row(tmp_path / "a.mp4", "3", end_seconds=1.5, extra={"speed": [1, 2]})]


def test_rows_are_read_one_by_one(tmp_path: Path) -> None:
    path = _write(tmp_path, "video,label\na.mp4,run\nb.mp4,\n")
    rows = iter_rows(path)
    assert next(rows).label == "run", "the mistake on the next line is not reached yet"
    with pytest.raises(ManifestError, match="line 3"):
        next(rows)


def test_labels_may_be_left_out_where_none_are_needed(tmp_path: Path) -> None:
    path = _write(tmp_path, "video,speed\na.mp4,1.5\n")
    assert read_source(path, labels=False).rows == [Row(tmp_path / "a.mp4", extra={"speed": "1.5"})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the manifest is empty; its first line names the columns: video,label"),
        ("video,label\n", "the manifest has no rows"),
        ("path,label\na.mp4,x\n", r"no column 'video' \(found: path, label\); rename 'path' to 'video'"),
        ("video,lable\na.mp4,x\n", r"no column 'label' \(found: video, lable\); rename 'lable' to 'label'"),
        ("video,label,label\na.mp4,x,y\n", "the column 'label' appears twice"),
        ("video,label\na.mp4,x,y\n", r"line 2: 3 values for 2 columns \(video, label\)"),
        ("video,label\na.mp4,x\nb.mp4, \n", r"line 3: b\.mp4 has no label"),
        ("video,label\n,x\n", "line 2: no video"),
        (
            "video,label,split\na.mp4,x,trian\n",
            "line 2: unknown split 'trian'; use train, val, test; did you mean 'train'",
        ),
        ("video,label,start_seconds\na.mp4,x,nan\n", "line 2: start_seconds is 'nan'; give seconds"),
        ("video,label,start_seconds\na.mp4,x,-1\n", "line 2: start_seconds is '-1'; give seconds"),
        ("video,label,end_seconds\na.mp4,x,1:30\n", "line 2: end_seconds is '1:30'; give seconds"),
        ("video,label,start_seconds,end_seconds\na.mp4,x,2,2\n", "the segment ends at 2 s, not after its start at 2 s"),
        ("video,label\na.mp4,x\na.mp4,y\n", r"line 3: .*a\.mp4 is already on line 2"),
        ('video,label\n"a.mp4,x\n', "line 2: unexpected end of data"),
    ],
)
def test_mistakes_in_a_csv(text: str, message: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ManifestError, match=message) as caught:
        read_source(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: not an object such as"),
        ('{"video": "a.mp4"}', r"line 1: there is no 'label' \(found: video\)"),
        ('{"video": "a.mp4", "label": NaN}', "line 1: label is NaN"),
        ('{"video": "a.mp4", "label": ["x"]}', r"line 1: label is \['x'\]; give text"),
        ('{"video": "a.mp4", "label": "x", "start_seconds": true}', "start_seconds is True; give seconds"),
    ],
)
def test_mistakes_in_json_lines(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=message):
        read_source(_write(tmp_path, text, "m.jsonl"))


def test_missing_files_are_listed(tmp_path: Path) -> None:
    names = "".join(f"gone{i}.mp4,x\n" for i in range(12))
    path = _write(tmp_path, f"video,label\na.mp4,x\n{names}")
    with pytest.raises(ManifestError) as caught:
        read_source(path)
    lines = str(caught.value).splitlines()
    assert "12 of 13 videos do not exist" in lines[0]
    assert lines[1] == f"  line 3: {tmp_path / 'gone0.mp4'}"
    assert lines[10:] == [f"  line 12: {tmp_path / 'gone9.mp4'}", "  and 2 more"]
    assert len(read_source(path, check_files=False)) == 13


def test_one_video_may_hold_several_segments(tmp_path: Path) -> None:
    path = _write(tmp_path, "video,label,start_seconds,end_seconds\na.mp4,x,0,1\na.mp4,y,1,2\n")
    assert [row.end_seconds for row in read_source(path)] == [1.0, 2.0]


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no such folder or manifest; give a folder with one subfolder"):
        read_source(tmp_path / "nothing")
    with pytest.raises(ManifestError, match=r"a manifest ends in \.csv, \.tsv, \.jsonl, not '\.txt'"):
        read_source(_write(tmp_path, "x", "m.txt"))
    (tmp_path / "latin.csv").write_bytes(b"video,label\na.mp4,\xe9t\xe9\n")
    with pytest.raises(ManifestError, match="it is not UTF-8 text"):
        read_source(tmp_path / "latin.csv")


def test_a_folder_of_classes(tmp_path: Path) -> None:
    for name in ("run/b.mp4", "run/deep/a.AVI", "jump/c.webm", "jump/notes.txt", "jump/.hidden.mp4", ".git/x.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert read_source(tmp_path).rows == [
        Row(tmp_path / "jump/c.webm", "jump"),
        Row(tmp_path / "run/b.mp4", "run"),
        Row(tmp_path / "run/deep/a.AVI", "run"),
    ]
    assert read_source(tmp_path, labels=False).rows == read_source(tmp_path).rows


def test_files_that_are_no_videos_by_their_ending_are_counted(tmp_path: Path) -> None:
    for name in ("run/a.mp4", "run/b.txt", "run/deep/c.TXT", "run/d.mp5", "run/e", "run/.hidden.txt", ".git/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert read_source(tmp_path).notes == (
        f"left out of {tmp_path}, as not videos by their ending: 2 .txt, 1 .mp5, 1 no ending",
    )
    for name in ("run/b.txt", "run/deep/c.TXT", "run/d.mp5", "run/e"):
        (tmp_path / name).unlink()
    assert read_source(tmp_path).notes == ()


def test_loose_videos_where_no_labels_are_needed(tmp_path: Path) -> None:
    for name in ("b.mp4", "deep/a.mp4", ".cache/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read_source(tmp_path, labels=False).rows == [Row(tmp_path / "b.mp4"), Row(tmp_path / "deep/a.mp4")]


def test_a_folder_of_splits(tmp_path: Path) -> None:
    for name in ("test/run/c.mp4", "train/run/a.mp4", "validation/run/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [(row.split, row.label, row.video.name) for row in read_source(tmp_path)] == [
        ("train", "run", "a.mp4"),
        ("val", "run", "b.mp4"),
        ("test", "run", "c.mp4"),
    ]


def test_a_folder_with_a_manifest_is_read_through_it(tmp_path: Path) -> None:
    _write(tmp_path, "video,label\na.mp4,x\n", "manifest.csv")
    assert read_source(tmp_path).rows == [Row(tmp_path / "a.mp4", "x")]
    _write(tmp_path, "", "manifest.jsonl")
    with pytest.raises(ManifestError, match=r"several manifests \(manifest\.csv, manifest\.jsonl\)"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "the folder is empty; it needs one subfolder per class"),
        (["a.mp4"], "it has no subfolders; put the videos of each class into one"),
        (["run/a.mp4", "b.mp4"], r"1 videos lie beside the class folders \(b\.mp4\)"),
        (["run/a.mp4", "jump/notes.txt"], "jump: the class folder holds no videos"),
        (["train/a.mp4"], "train: it has no class folders"),
    ],
)
def test_mistakes_in_a_folder(files: list[str], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ManifestError, match=message):
        read_source(tmp_path)


def test_a_moved_data_set_keeps_its_fingerprint(tmp_path: Path) -> None:
    prints = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prints.append(read_source(_write(tmp_path / name, "video,label\na.mp4,x\n")).fingerprint)
    changed = read_source(_write(tmp_path / "two", "video,label\na.mp4,y\n")).fingerprint
    assert prints[0] == prints[1] != changed


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text == text.strip() and not text.startswith("\ufeff")
)
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda text: text == text.strip() and text not in (".", "..") and not text.startswith("\ufeff"))
SECONDS = st.floats(0, 1e6, allow_nan=False)


@st.composite
def rows(draw: st.DrawFn, base: Path) -> Row:
    start = draw(st.none() | SECONDS)
    length = draw(st.none() | st.floats(1e-3, 1e3))
    return Row(
        video=base / draw(NAMES),
        label=draw(TEXT),
        split=draw(st.sampled_from([None, "train", "val", "test"])),
        group=draw(st.none() | TEXT),
        start_seconds=start,
        end_seconds=None if length is None else (start or 0.0) + length,
        extra={"note": draw(TEXT)},
    )


@given(st.data(), st.sampled_from([".csv", ".tsv", ".jsonl"]))
def test_what_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("round")
    written = data.draw(
        st.lists(rows(folder), min_size=1, max_size=5, unique_by=lambda r: (r.video, r.start_seconds, r.end_seconds))
    )
    write_manifest(written, folder / f"m{suffix}")
    assert read_source(folder / f"m{suffix}", check_files=False).rows == written
    assert [path.name for path in folder.iterdir()] == [f"m{suffix}"], "no temporary file is left"


def test_written_paths_are_relative_where_they_can_be(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data" / "v" / "a.mp4", tmp_path / "b.mp4"
    write_manifest([Row(inside, "x"), Row(outside, "y")], tmp_path / "data" / "m.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "data" / "m.jsonl").read_text().splitlines()]
    assert lines == [{"video": "v/a.mp4", "label": "x"}, {"video": str(outside), "label": "y"}]
    with pytest.raises(ManifestError, match="a manifest ends in"):
        write_manifest([], tmp_path / "m.parquet")


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_the_header_says_what_separates_the_columns(separator: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f"video{separator}label\na.mp4{separator}run\nb.mp4{separator}walk\n")
    assert [row.label for row in read_source(path)] == ["run", "walk"]
    ((span,), rows) = list(spans(path, 5)), [Row(tmp_path / "a.mp4", "run"), Row(tmp_path / "b.mp4", "walk")]
    assert [row for _, row in read_span(path, span)] == rows


def test_a_semicolon_table_without_the_column_names_its_columns(tmp_path: Path) -> None:
    path = _write(tmp_path, "path;class\na.mp4;x\n")
    with pytest.raises(ManifestError, match=r"no column 'video' \(found: path, class\); rename 'path' to 'video'"):
        read_source(path)


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_a_file_is_found_in_either_unicode_form(listed: str, tmp_path: Path) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[listed]
    on_disk = unicodedata.normalize(other, "caf\u00e9/\u00fcbung.mp4")
    path = _write(tmp_path, f"video,label\n{unicodedata.normalize(listed, 'café/übung.mp4')},x\n", videos=(on_disk,))
    assert read_source(path).rows == [Row(tmp_path / on_disk, "x")]
    assert [row.video for row in iter_rows(path)] == [tmp_path / on_disk]
    (span,) = spans(path, 1)
    assert read_span(path, span)[0][1].video == tmp_path / on_disk


def test_a_colon_in_a_relative_path_is_part_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, "video,label\n12:30.mp4,x\n", videos=("12:30.mp4",))
    monkeypatch.chdir(tmp_path)
    assert read_source("m.csv").rows == [Row(Path("12:30.mp4"), "x")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "m.csv",
            "video,label,note\na.mp4,x," + "n" * 131_073 + "\n",
            "line 2: a value has more than 131,072 characters",
        ),
        ("m.jsonl", '{"video": "a.mp4", "label": "x", "n": ' + "9" * 5000 + "}\n", "line 1: it holds a number of more"),
        ("m.jsonl", '{"video": "a.mp4", "label": "x", "n": ' + "[" * 200_000 + "}\n", "line 1: its lists and objects"),
        ("m.jsonl", '{"video": "a.mp4", "label": "x", "start_seconds": 1' + "0" * 400 + "}\n", "give seconds from"),
        ("m.csv", "video,label,start_seconds\na.mp4,x,1e400\n", "give seconds from"),
    ],
)
def test_values_beyond_all_limits_are_one_sentence(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text, name)
    with pytest.raises(ManifestError, match=message) as caught:
        read_source(path)
    assert len(str(caught.value).replace(str(path), "")) < 300


def test_huge_numbers_in_other_columns_are_one_sentence(tmp_path: Path) -> None:
    row = Row(tmp_path / "a.mp4", "x", extra={"speed": 10**400, "places": [[10**400, 1]]})
    with pytest.raises(DataError, match="a number is needed"):
        number(row.extra["speed"], row, "speed")
    with pytest.raises(DataError, match="positions such as"):
        points(row.extra["places"], row, "places")
    with pytest.raises(DataError, match="positions such as"):
        points("[" * 100_000, row, "places")


def test_labels_that_look_the_same() -> None:
    labels = ["Run", "run", "caf\u00e9", "cafe\u0301", "long  jump", "long jump", "walk"]
    assert look_alikes(labels) == [("Run", "run"), ("cafe\u0301", "caf\u00e9"), ("long  jump", "long jump")]
    assert look_alikes_note(["walk", "run"]) is None
    note = look_alikes_note(labels)
    assert note is not None
    assert "'cafe\\u0301' and 'caf\\xe9'" in note
