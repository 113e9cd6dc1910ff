"""Published data sets, as their authors give them out: what each layout reads, and what it says of mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from vidcore.cli import vidcore
from vidcore.data.frame_folder import open_video
from vidcore.data.inspect import inspect_containers, inspect_source
from vidcore.data.layouts import LAYOUTS
from vidcore.data.manifest import Manifest, read_source
from vidcore.errors import ConfigError, ManifestError, VidcoreError

Put = Callable[..., None]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of eight frames; layouts look at names, so all files may be this one."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for level in range(8):
            picture = np.full((32, 32, 3), 20 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def put(clip: Path, tmp_path: Path) -> Put:
    """Copies the clip to the places named."""

    def copy(*names: str) -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, tmp_path / name)

    return copy


def _put_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _facts(manifest: Manifest, root: Path) -> list[tuple[str, str | None, str | None, str | None]]:
    return [(row.video.relative_to(root).as_posix(), row.label, row.split, row.group) for row in manifest]


SSV2 = ("Pulling something from left to right", "Pulling something from right to left", "Zipping something")


def _something(root: Path, put: Put, ids: tuple[str, ...] = ("1", "2", "3", "4")) -> None:
    put(*(f"20bn-something-something-v2/{name}.webm" for name in ids))
    # Their order is that of the indices, not that of the letters.
    _put_text(root / "labels/labels.json", json.dumps({SSV2[2]: "0", SSV2[0]: "1", SSV2[1]: "2"}))
    train = [
        {"id": "1", "label": "pulling cup from left to right", "template": "Pulling [something] from left to right"},
        {"id": "2", "label": "zipping bag", "template": "Zipping [something]"},
        {"id": "9", "label": "zipping bag", "template": "Zipping [something]"},
    ]
    _put_text(root / "labels/train.json", json.dumps(train))
    val = [{"id": "3", "template": "Pulling [something] from right to left"}]
    _put_text(root / "labels/validation.json", json.dumps(val))
    _put_text(root / "labels/test.json", json.dumps([{"id": "4"}]))


def test_something_something_v2(tmp_path: Path, put: Put) -> None:
    _something(tmp_path, put)
    found = read_source(tmp_path)
    folder = "20bn-something-something-v2"
    assert found.layout == "something-something-v2"
    assert _facts(found, tmp_path) == [
        (f"{folder}/1.webm", SSV2[0], "train", None),
        (f"{folder}/2.webm", SSV2[2], "train", None),
        (f"{folder}/3.webm", SSV2[1], "val", None),
    ]
    assert found.classes == [SSV2[2], SSV2[0], SSV2[1]]
    assert found.flip_map == {SSV2[0]: SSV2[1], SSV2[1]: SSV2[0]}
    assert found.missing == ("9.webm",)
    assert found.notes[0].startswith("layout     something-something-v2: ")
    assert "1 of 5 rows have no label" in found.notes[1]
    assert "1 of 5 listed videos are not there and are left out: 9.webm" in found.notes[2]
    assert [row.video.name for row in read_source(tmp_path, labels=False)] == ["1.webm", "2.webm", "3.webm", "4.webm"]
    _put_text(tmp_path / "labels/test-answers.csv", f"4;{SSV2[2]}\n")
    assert read_source(tmp_path).rows[-1].label == SSV2[2]


def test_a_named_list_is_read_alone(tmp_path: Path, put: Put) -> None:
    _something(tmp_path, put)
    videos = {"videos": tmp_path / "20bn-something-something-v2"}
    found = read_source(tmp_path / "labels" / "validation.json", options=videos)
    assert [row.split for row in found] == ["val"]
    with pytest.raises(ManifestError, match=r"(?s)none of the 1 videos .* data\.options\.videos=FOLDER"):
        read_source(tmp_path / "labels" / "validation.json")


def test_an_unknown_template_is_an_error(tmp_path: Path, put: Put) -> None:
    _something(tmp_path, put)
    _put_text(tmp_path / "labels/train.json", json.dumps([{"id": "1", "template": "Eating [something]"}]))
    with pytest.raises(ManifestError, match="element 0: 'Eating something' is not among the 3 classes"):
        read_source(tmp_path)


@pytest.mark.parametrize("folder", ["", "train/", "abseiling/", "air_drumming/"])
def test_kinetics(folder: str, tmp_path: Path, put: Put) -> None:
    put(f"videos/{folder}-3B32lodo2M_000059_000069.mp4")
    label = "air drumming" if "air" in folder else "abseiling"
    _put_text(
        tmp_path / "annotations/train.csv",
        f"label,youtube_id,time_start,time_end,split,is_cc\n{label},-3B32lodo2M,59,69,train,0\n"
        '"air drumming",gone0000000,3,13,train,0\n',
    )
    _put_text(
        tmp_path / "annotations/validate.csv", "label,youtube_id,time_start,time_end,split\nzumba,x,1,2,validate\n"
    )
    found = read_source(tmp_path)
    assert found.layout == "kinetics"
    assert _facts(found, tmp_path) == [(f"videos/{folder}-3B32lodo2M_000059_000069.mp4", label, "train", "-3B32lodo2M")]
    assert found.missing == ("gone0000000_000003_000013.mp4", "x_000001_000002.mp4")


def test_copies_of_a_kinetics_video_are_told_apart_by_their_folder_or_refused(tmp_path: Path, put: Put) -> None:
    put("train/a_000000_000010.mp4", "train_small/a_000000_000010.mp4")
    _put_text(tmp_path / "train.csv", "label,youtube_id,time_start,time_end,split\nrun,a,0,10,train\n")
    assert read_source(tmp_path).rows[0].video.parent.name == "train"
    (tmp_path / "train").rename(tmp_path / "large")
    with pytest.raises(ManifestError, match=r"(?s)2 videos are called 'a_000000_000010'.*data\.options\.videos=FOLDER"):
        read_source(tmp_path)


def _ucf(root: Path, put: Put) -> None:
    stems = [f"{c}/v_{c}_g{g:02d}_c01" for c in ("JumpRope", "JumpingJack") for g in (1, 2, 8, 9, 15, 16)]
    put(*(f"UCF-101/{stem}.avi" for stem in stems))
    # The published order is not that of Python's sort, which puts capitals first.
    _put_text(root / "ucfTrainTestlist/classInd.txt", "1 JumpingJack\r\n2 JumpRope\r\n")
    number = {"JumpingJack": 1, "JumpRope": 2}
    for split, test in ((1, ("g01", "g02")), (2, ("g08", "g09"))):
        train = "".join(f"{s}.avi {number[s.split('/')[0]]}\n" for s in stems if s[-7:-4] not in test)
        _put_text(root / f"ucfTrainTestlist/trainlist0{split}.txt", train)
        _put_text(
            root / f"ucfTrainTestlist/testlist0{split}.txt", "".join(f"{s}.avi\n" for s in stems if s[-7:-4] in test)
        )


def test_ucf101(tmp_path: Path, put: Put) -> None:
    _ucf(tmp_path, put)
    found = read_source(tmp_path)
    assert found.layout == "ucf101"
    assert found.classes == ["JumpingJack", "JumpRope"]
    assert {row.group for row in found if row.split == "test"} == {"g01", "g02"}
    assert len(found) == 12
    assert not found.missing
    second = read_source(tmp_path, options={"split": 2})
    assert {row.group for row in second if row.split == "test"} == {"g08", "g09"}
    with pytest.raises(ManifestError, match=r"there is no list of split 3, only: testlist01\.txt"):
        read_source(tmp_path, options={"split": 3})
    with pytest.raises(ConfigError, match=r"layout 'ucf101' has no option 'fps'; its options: videos, split"):
        read_source(tmp_path, options={"fps": 3})


def test_hmdb51(tmp_path: Path, put: Put) -> None:
    names = {
        "April_09_brush_hair_u_nm_np1_ba_goo_0": 1,
        "April_09_brush_hair_u_nm_np1_ba_goo_1": 1,
        "Film_brush_hair_f_nm_np1_fr_med_0": 1,
        "Film_brush_hair_f_nm_np1_fr_med_1": 2,
        "Other_brush_hair_f_nm_np1_fr_med_1": 0,
    }
    put(*(f"hmdb51_org/brush_hair/{name}.avi" for name in names))
    lines = "".join(f"{name}.avi {part} \n" for name, part in names.items())
    _put_text(tmp_path / "testTrainMulti_7030_splits/brush_hair_test_split1.txt", lines)
    found = read_source(tmp_path)
    assert found.layout == "hmdb51"
    assert [(row.label, row.split, row.group) for row in found] == [
        ("brush_hair", "train", "brush_hair/April_09"),
        ("brush_hair", "train", "brush_hair/April_09"),
        ("brush_hair", "train", None),
        ("brush_hair", "test", None),
    ]
    assert "1 videos are in neither part of split 1" in found.notes[1]
    assert "divides 1 films" in found.notes[2]


def test_diving48(tmp_path: Path, put: Put) -> None:
    put("rgb/_8Vy3dlHg2w_00000.mp4", "rgb/_8Vy3dlHg2w_00001.mp4", "rgb/x_00002.mp4")
    vocabulary = [["Forward", "15som", "NoTwis", "PIKE"], ["Back", "15som", "05Twis", "FREE"]]
    _put_text(tmp_path / "Diving48_vocab.json", json.dumps(vocabulary))
    row = {"vid_name": "_8Vy3dlHg2w_00000", "label": 1, "start_frame": 0, "end_frame": 8}
    other = {**row, "vid_name": "_8Vy3dlHg2w_00001", "label": 0}
    _put_text(tmp_path / "Diving48_V2_train.json", json.dumps([row, other]))
    _put_text(tmp_path / "Diving48_V2_test.json", json.dumps([{**row, "vid_name": "x_00002"}]))
    found = read_source(tmp_path)
    assert found.layout == "diving48"
    assert _facts(found, tmp_path) == [
        ("rgb/_8Vy3dlHg2w_00000.mp4", "Back 15som 05Twis FREE", "train", "_8Vy3dlHg2w"),
        ("rgb/_8Vy3dlHg2w_00001.mp4", "Forward 15som NoTwis PIKE", "train", "_8Vy3dlHg2w"),
        ("rgb/x_00002.mp4", "Back 15som 05Twis FREE", "test", "x"),
    ]
    assert found.classes == ["Forward 15som NoTwis PIKE", "Back 15som 05Twis FREE"]


def _charades(root: Path, put: Put) -> None:
    put("Charades_v1_480/AAAAA.mp4", "Charades_v1_480/BBBBB.mp4", "Charades_v1_480/CCCCC.mp4")
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    line = '{0},{1},Kitchen,6,7,Yes,"a, b",cup,text,{2},30.5\n'
    _put_text(
        root / "Charades/Charades_v1_train.csv",
        header
        + line.format("AAAAA", "S1", "c001 0.00 0.50;c000 0.25 1.00;c001 0.60 0.90")
        + line.format("BBBBB", "S2", ""),
    )
    _put_text(root / "Charades/Charades_v1_test.csv", header + line.format("CCCCC", "S3", "c000 0.00 0.75"))
    _put_text(root / "Charades/Charades_v1_classes.txt", "c000 Holding some clothes\nc001 Closing a door\n")


def test_charades_as_videos_and_as_segments(tmp_path: Path, put: Put) -> None:
    _charades(tmp_path, put)
    found = read_source(tmp_path)
    assert found.layout == "charades"
    assert [(r.label, r.split, r.group) for r in found] == [
        ("Closing a door|Holding some clothes", "train", "S1"),
        ("Holding some clothes", "test", "S3"),
    ]
    assert found.rows[0].extra["length_seconds"] == 30.5
    assert len(read_source(tmp_path, labels=False)) == 3
    segments = read_source(tmp_path, options={"rows": "segments"})
    assert [(r.label, r.start_seconds, r.end_seconds) for r in segments if r.split == "train"] == [
        ("Closing a door", 0.0, 0.5),
        ("Holding some clothes", 0.25, 1.0),
        ("Closing a door", 0.6, 0.9),
    ]


def test_space_separated_lists(tmp_path: Path, put: Put) -> None:
    put("a/one two.mp4", "a/b.mp4", "c.mp4")
    _put_text(tmp_path / "my_train_list_videos.txt", "a/one two.mp4 10\na/b.mp4 9\n")
    _put_text(tmp_path / "my_val_list_videos.txt", "c.mp4 9 10\nnone.mp4 2\n")
    found = read_source(tmp_path)
    assert found.layout == "space-separated"
    assert _facts(found, tmp_path) == [
        ("a/one two.mp4", "10", "train", None),
        ("a/b.mp4", "9", "train", None),
        ("c.mp4", "9|10", "val", None),
    ]
    assert found.published == ("2", "9", "10")
    assert found.missing == ("none.mp4",)
    _put_text(tmp_path / "names", "\n".join(f"class {i}" for i in range(11)))
    named = read_source(tmp_path, options={"classes": tmp_path / "names"})
    assert [row.label for row in named] == ["class 10", "class 9", "class 9|class 10"]
    _put_text(tmp_path / "my_train_list_rawframes.txt", "a/b 3 1\n")
    with pytest.raises(
        ManifestError, match=r"several lists for train: my_train_list_rawframes\.txt, my_train_list_vid"
    ):
        read_source(tmp_path)


def test_videomae_s_csv_is_a_list(tmp_path: Path, put: Put) -> None:
    put("k400/x.mp4")
    _put_text(tmp_path / "train.csv", f"{tmp_path}/k400/x.mp4 3\n")
    assert [(row.label, row.split) for row in read_source(tmp_path / "train.csv")] == [("3", "train")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_huggingface_folder(kind: str, tmp_path: Path, put: Put) -> None:
    put("train/0001.mp4", "train/sub/2.mp4", "validation/3.mp4")
    rows = [("0001.mp4", "cat"), ("sub/2.mp4", "dog"), ("gone.mp4", "dog")]
    if kind == "csv":
        text = "file_name,animal,text\n" + "".join(f'{name},{animal},"a, b"\n' for name, animal in rows)
        other = "file_name,animal,text\n3.mp4,cat,x\n"
    else:
        text = "".join(json.dumps({"file_name": n, "animal": a, "text": "a, b"}) + "\n" for n, a in rows)
        other = json.dumps({"file_name": "3.mp4", "animal": "cat", "text": "x"})
    _put_text(tmp_path / f"train/metadata.{kind}", text)
    _put_text(tmp_path / f"validation/metadata.{kind}", other)
    found = read_source(tmp_path, options={"label": "animal"})
    assert found.layout == "huggingface"
    assert _facts(found, tmp_path) == [
        ("train/0001.mp4", "cat", "train", None),
        ("train/sub/2.mp4", "dog", "train", None),
        ("validation/3.mp4", "cat", "val", None),
    ]
    assert found.rows[0].extra["text"] == "a, b"
    assert found.missing == ("gone.mp4",)
    with pytest.raises(ManifestError, match="there is no column 'species'; it has: animal, text"):
        read_source(tmp_path, options={"label": "species"})


def _frames(folder: Path, levels: list[int], name: str = "img_{}.png", side: int = 16) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels, 1):
        Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(folder / name.format(number))


def test_folders_of_frame_images(tmp_path: Path) -> None:
    levels = list(range(0, 240, 20))
    for label in ("run", "walk"):
        for number in range(2):
            _frames(tmp_path / "train" / label / f"v{number}", levels)
    _frames(tmp_path / "test" / "run" / "v9", levels)
    with pytest.raises(ManifestError, match=r"no frame rate; state it: data\.options\.fps=25"):
        read_source(tmp_path)
    found = read_source(tmp_path, options={"fps": 10})
    assert found.layout == "frames"
    assert _facts(found, tmp_path) == [
        ("train/run/v0", "run", "train", None),
        ("train/run/v1", "run", "train", None),
        ("train/walk/v0", "walk", "train", None),
        ("train/walk/v1", "walk", "train", None),
        ("test/run/v9", "run", "test", None),
    ]
    row = found.rows[0]
    _frames(row.video, [255] * 3, "flow_x_{}.png")
    with open_video(row.video, fps=row.fps) as reader:
        # Ten comes after nine, and flow is no frame.
        assert reader.read(range(len(reader)))[:, 0, 0, 0].tolist() == levels
        assert reader.times_seconds[5] == 0.5
        assert reader.info().fps == 10
    report = inspect_source(found, workers=1)
    assert report.ok
    assert report.ranges()["frames"] == (12, 12)
    assert len(report.duplicates[0].paths) == 5


def test_a_damaged_frame_and_another_size_are_told(tmp_path: Path) -> None:
    _frames(tmp_path / "a", [1, 2, 3])
    _frames(tmp_path / "b", [1, 2])
    _frames(tmp_path / "b", [3], "img_9{}.png", side=20)
    (tmp_path / "a" / "img_2.png").write_bytes((tmp_path / "a" / "img_2.png").read_bytes()[:50])
    report = inspect_source(read_source(tmp_path, labels=False, options={"fps": 5}), workers=1)
    reasons = [failure.reason for failure in report.failures]
    assert "img_2.png" in reasons[0]
    assert reasons[1] == "img_91.png is 20x20, the first image 16x16"


def test_rawframes_of_a_list(tmp_path: Path) -> None:
    _frames(tmp_path / "rawframes" / "x y", [10, 20], "img_{:05}.jpg")
    _put_text(tmp_path / "train_list_rawframes.txt", "x y 2 4\n")
    options = {"videos": tmp_path / "rawframes", "fps": 30}
    (row,) = read_source(tmp_path, options=options)
    assert (row.label, row.fps, row.video.name) == ("4", 30.0, "x y")
    with pytest.raises(ManifestError, match="is a folder of frame images, which have no frame rate"):
        read_source(tmp_path, options={"videos": tmp_path / "rawframes"})


def test_several_layouts_are_named_with_what_to_type(tmp_path: Path, put: Put) -> None:
    _ucf(tmp_path, put)
    _put_text(tmp_path / "train.csv", "label,youtube_id,time_start,time_end,split\nrun,a,0,10,train\n")
    with pytest.raises(ManifestError, match=r"kinetics by train.csv; ucf101 by testlist01.txt\n.*--layout kinetics"):
        read_source(tmp_path)
    assert read_source(tmp_path, layout="ucf101").layout == "ucf101"
    with pytest.raises(ConfigError, match="there is no layout 'ucf'; did you mean 'ucf101'"):
        read_source(tmp_path, layout="ucf")
    with pytest.raises(ManifestError, match=r"there is no metadata\.csv or metadata\.jsonl with a column file_name"):
        read_source(tmp_path, layout="huggingface")
    assert len(read_source(tmp_path / "UCF-101", layout="plain")) == 12


def test_a_plain_folder_and_a_manifest_are_no_layout(tmp_path: Path, put: Put) -> None:
    put("a/1.mp4", "b/2.mp4")
    assert read_source(tmp_path).layout == ""
    with pytest.raises(ConfigError, match="is a plain folder"):
        read_source(tmp_path, options={"split": 1})


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_says_what_it_wants(name: str, tmp_path: Path) -> None:
    with pytest.raises(VidcoreError, match=f"there is no .* as the layout {name} has them"):
        read_source(tmp_path, layout=name)


def test_convert_writes_a_manifest_that_reads_the_same(tmp_path: Path, put: Put) -> None:
    _something(tmp_path, put)
    out = tmp_path / "manifest.csv"
    done = CliRunner().invoke(vidcore, ["data", "convert", "something-something-v2", str(tmp_path), str(out)])
    assert done.exit_code == 0, done.output
    assert "4 rows (2 train, 1 val, 1 test), 3 classes" in done.output
    before, after = read_source(tmp_path, layout="something-something-v2", labels=False), read_source(out, labels=False)
    assert [(r.video, r.label, r.split) for r in after] == [(r.video, r.label, r.split) for r in before]
    assert after.classes == before.classes == [SSV2[2], SSV2[0], SSV2[1]]
    assert after.flip_map == before.flip_map
    (tmp_path / "manifest.classes.json").write_text('{"classes": ["a"]}')
    with pytest.raises(ManifestError, match="it lacks the class"):
        read_source(out, labels=False)


def test_the_quick_check_reads_headers_only(tmp_path: Path, put: Put) -> None:
    put("run/1.mp4", "run/2.mp4", "walk/3.mp4", "Run/4.mp4")
    whole = (tmp_path / "run/1.mp4").read_bytes()
    (tmp_path / "run/2.mp4").write_bytes(whole[:-200])
    (tmp_path / "walk/5.mp4").write_text("no video")
    report = inspect_containers(read_source(tmp_path), workers=1, frames=9)
    assert [failure.path.name for failure in report.failures] == ["2.mp4", "5.mp4"]
    assert [(short.frames, short.wanted) for short in report.short] == [(8, 9)] * 3
    assert report.ranges()["fps"] == (8, 8)
    assert report.look_alikes == [("Run", "run")]
    done = CliRunner().invoke(vidcore, ["data", "check", "--quick", str(tmp_path)])
    assert done.exit_code == 1
    assert "'Run' and 'run'" in done.output
