"""``vidcore extract`` as a person calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from click import UsageError
from click.testing import CliRunner, Result
from vidcore.cli import main, vidcore
from vidcore.errors import ConfigError
from vidcore.store import FeatureStore

CNN = "extractors.0.options.width=16"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(4):
        generator = np.random.default_rng(number)
        with av.open(str(folder / f"{number}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width = stream.height = 16
            stream.pix_fmt = "bgr0"
            for _ in range(5):
                pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(vidcore, ["extract", *map(str, arguments)], standalone_mode=False)


def extract(videos: Path, store: Path, *more: object) -> Result:
    chosen = ("--extractor", "basic/naive_cnn", "--data", videos, "--out", store, "--frames", 4, "--workers", 1)
    return call(*chosen, "--device", "cpu", CNN, *more)


def test_it_extracts_and_then_has_nothing_to_do(videos: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = extract(videos, store)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("4 clips done, 0 were there, 0 failed, in ")
    assert "clips/s; time: decode" in first.stdout
    assert "the model was busy" in first.stdout
    assert extract(videos, store).stdout.startswith("0 clips done, 4 were there, 0 failed")
    (collection,) = FeatureStore.open(store).collections()
    assert len(collection) == 4
    assert collection.identity["options"]["width"] == 16


def test_failed_rows_have_an_exit_code_a_list_and_a_count(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "empty.mkv").touch()
    store = tmp_path / "store"
    with pytest.raises(SystemExit) as ended:
        main(["extract", "--extractor", "basic/naive_cnn", "--data", str(videos), "--out", str(store), "--frames", "4",
              "--device", "cpu", "--workers", "1", CNN])  # fmt: skip
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert f"1 of 5 rows have no features: see {store / 'failures.csv'}" in said
    assert "failed: row 4: " in said
    assert (store / "failures.csv").read_text().splitlines()[1].endswith("empty.mkv,4,open,the file is empty (0 bytes)")


def test_the_report_as_json(videos: Path, tmp_path: Path) -> None:
    report = json.loads(extract(videos, tmp_path / "store", "--json", "--keep", "pooled", "--dtype", "float16").stdout)
    assert report["done"] == 4
    assert set(report["shares"]) == {"decode", "fit", "model", "write"}
    (collection,) = FeatureStore.open(tmp_path / "store").collections()
    assert (collection.identity["keep"], collection.identity["dtype"]) == ("pooled", "float16")


def test_a_run_configuration_says_what_to_extract(videos: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "extractors:\n- name: basic/naive_cnn\n  options: {width: 16}\n"
        f"data: {{source: {videos}, frames: 3, sampling: dense}}\ntrain: {{epochs: 3}}\n"
    )
    result = call("--config", file, "--out", tmp_path / "store", "--device", "cpu", "--workers", 1)
    assert result.stdout.startswith("4 clips done"), result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to extract: --extractor NAME"),
        (("--extractor", "basic/naive_cnn"), "say what to extract from: --data FOLDER"),
        (("--extractor", "a", "--data", "b", "train.epochs=3"), "'train.epochs=3' means nothing here"),
        (("--extractor", "a", "--data", "b", "--shard", "4/4"), "'4/4' is not a shard; shards count from 0: 0/4"),
    ],
)
def test_what_means_nothing_is_refused(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert message in str(getattr(result.exception, "message", result.exception))


def test_the_data_must_be_there(tmp_path: Path) -> None:
    result = extract(tmp_path / "nothing_here", tmp_path / "store")
    assert "nothing_here" in str(result.exception)


def test_two_processes_share_the_rows_and_one_speaks_for_both(videos: Path, tmp_path: Path) -> None:
    (videos / "empty.mkv").touch()
    store = tmp_path / "store"
    command = [sys.executable, "-m", "vidcore.cli", "extract", "--extractor", "basic/naive_cnn", "--data", str(videos)]
    command += [
        "--out",
        str(store),
        "--frames",
        "4",
        "--workers",
        "1",
        "--device",
        "cpu",
        "--devices",
        "2",
        "--json",
        CNN,
    ]
    done = subprocess.run([*command, CNN], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert report["done"] + report["present"] + report["elsewhere"] == 4
    assert [Path(row["path"]).name for row in report["failures"]] == ["empty.mkv"]
    (collection,) = FeatureStore.open(store).collections()
    assert len(collection) == 4


def test_what_divides_the_rows_is_one_thing(videos: Path, tmp_path: Path) -> None:
    twice = extract(videos, tmp_path / "store", "--shard", "0/2", "--devices", "2").exception
    assert isinstance(twice, UsageError)
    assert twice.message == "--shard and --devices all divide the rows; give one of them"
    unknown = extract(videos, tmp_path / "store", "--devices", "two").exception
    assert isinstance(unknown, ConfigError)
    assert str(unknown).startswith("devices is 'two'; give a number of processes")
