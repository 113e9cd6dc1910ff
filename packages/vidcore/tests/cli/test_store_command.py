"""``vidcore store``."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner
from vidcore.cli import main, vidcore
from vidcore.store import FeatureStore, Record


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def put(folder, numbers, name="x3d/xs"):
    collection = FeatureStore.open(folder, write=True).collection({"name": name, "keep": "pooled"})
    with collection.writer() as writer:
        for number in numbers:
            data = np.full((3, 2, 1, 1), number, np.float32)
            writer.put(key(number), {"block4": Record(data, np.zeros(2, np.float32))}, source=f"{number}.mp4")
    return collection


@pytest.fixture
def folder(tmp_path):
    put(tmp_path / "store", range(5))
    put(tmp_path / "store", range(3, 7))
    put(tmp_path / "store", [1], name="dinov2")
    return tmp_path / "store"


def run(*arguments, code=0):
    result = CliRunner().invoke(vidcore, ["store", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def damage(folder):
    path = sorted(folder.glob("x3d-xs-*/*/data.block4.npy"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_info(folder):
    lines = run("info", folder).splitlines()
    assert lines[0].split() == [
        "collection",
        "clips",
        "on",
        "disk",
        "shards",
        "output",
        "type",
        "D",
        "x",
        "T",
        "x",
        "H",
        "x",
        "W",
    ]
    assert lines[2].startswith("x3d-xs-")
    assert lines[2].split()[1:2] + lines[2].split()[4:] == ["7", "2", "block4", "float32", "3x2x1x1"]
    assert lines[-2].endswith("x3d/xs, keep=pooled")
    assert lines[-1] == "  2 records twice"


def test_info_as_json(folder):
    found = json.loads(run("info", folder, "--json"))
    assert [one["clips"] for one in found] == [1, 7]
    assert found[1]["identity"] == {"name": "x3d/xs", "keep": "pooled"}
    assert found[1]["outputs"]["block4"]["shapes"] == [{"shape": [3, 2, 1, 1], "clips": 7}]


def test_an_empty_store(tmp_path):
    FeatureStore.open(tmp_path / "store", write=True)
    assert run("info", tmp_path / "store").strip().endswith("store holds no features yet")


def test_the_default_is_the_cache(folder, monkeypatch):
    monkeypatch.setenv("VIDCORE_CACHE", str(folder.parent))
    folder.rename(folder.parent / "features")
    assert len(json.loads(run("info", "--json"))) == 2


def test_verify(folder):
    assert run("verify", folder).strip() == "8 clips, all with their checksum"
    damage(folder)
    told = run("verify", folder, code=1)
    assert f"'block4' does not have its checksum (clip {key(4)})" in told
    assert "1 corrupt records" in told
    assert "1 corrupt records marked as missing" in run("verify", folder, "--drop")
    # The double of another process takes its place.
    assert run("verify", folder).strip() == "8 clips, all with their checksum"


def test_gc(folder):
    assert "2 shards would be copied together, 2 records would be removed" in run("gc", folder, "--dry-run")
    told = run("gc", folder).splitlines()
    assert told[0].endswith(": nothing to do")
    assert "2 shards copied together, 2 records removed" in told[1]
    assert run("gc", folder).splitlines()[1].endswith(": nothing to do")
    assert "records twice" not in run("info", folder)


def test_export(folder, tmp_path):
    out = tmp_path / "exported"
    assert run("export", folder, "--format", "npy", "--out", out, "--collection", "x3d").strip() == str(out)
    (array,) = out.glob("*/block4.npy")
    assert np.load(array)[:, 0, 0, 0, 0].tolist() == list(range(7))
    (index,) = out.glob("*/index.csv")
    assert index.read_text().splitlines()[1] == f"0,{key(0)},0.mp4"


@pytest.mark.parametrize("command", ["info", "verify", "gc"])
def test_what_is_not_a_store_is_said_without_a_traceback(tmp_path, capsys, command):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SystemExit) as stop:
        main(["store", command, str(tmp_path)])
    assert stop.value.code == 1
    told = capsys.readouterr().err
    assert "is not a feature store" in told
    assert "Traceback" not in told
