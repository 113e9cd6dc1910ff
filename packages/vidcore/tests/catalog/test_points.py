"""What is remembered of the installed plugins is exactly what a search would find."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vidcore.catalog._points import Point, installed_points


def install(folder, distribution, version="1.0", points="{module} = {module}"):
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text("inner = type('Inner', (), {'deep': 7})\n")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[points-test]\n{points.format(module=module)}\n")
    settle(folder)


def settle(folder, seconds=3600):
    """As if nothing had happened there for that long."""
    past = time.time() - seconds
    os.utime(folder, (past, past))


@pytest.fixture
def searches(monkeypatch):
    """Counts the searches through all metadata."""
    made = []
    search = importlib.metadata.entry_points

    def counted(**chosen):
        made.append(chosen)
        return search(**chosen)

    monkeypatch.setattr(importlib.metadata, "entry_points", counted)
    return made


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The only folder on the path, apart from the standard library; and a cache of this test's own."""
    folder = tmp_path / "site"
    folder.mkdir()
    library = [path for path in sys.path if path == str(Path(os.__file__).parent) or path.endswith("lib-dynload")]
    monkeypatch.setattr(sys, "path", [str(folder), *library])
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))
    return folder


def found():
    return installed_points("points-test")


def test_a_second_start_searches_nothing_and_finds_the_same(site, searches):
    install(site, "plug-b", "2.1")
    install(site, "plug-a")
    first = found()
    assert first == [Point("plug_a", "plug_a", "plug-a", "1.0"), Point("plug_b", "plug_b", "plug-b", "2.1")]
    assert found() == first
    assert len(searches) == 1


def test_what_is_installed_or_removed_since_is_seen(site, searches):
    install(site, "plug-a")
    assert len(found()) == 1
    install(site, "plug-b")
    settle(site, 1800)
    assert [point.distribution for point in found()] == ["plug-a", "plug-b"]
    for file in (site / "plug_a-1.0.dist-info").iterdir():
        file.unlink()
    (site / "plug_a-1.0.dist-info").rmdir()
    settle(site, 900)
    assert [point.distribution for point in found()] == ["plug-b"]
    assert len(searches) == 3


def test_another_path_is_another_answer(site, searches, monkeypatch, tmp_path):
    install(site, "plug-a")
    assert len(found()) == 1
    other = tmp_path / "other"
    other.mkdir()
    install(other, "plug-b")
    monkeypatch.setattr(sys, "path", [*sys.path, str(other)])
    assert [point.distribution for point in found()] == ["plug-a", "plug-b"]


def test_a_folder_that_changed_just_now_is_not_relied_on(site, searches):
    install(site, "plug-a")
    settle(site, 5)
    found()
    # As an installer does: the folder of metadata was there already, its file is written now.
    (site / "plug_a-1.0.dist-info" / "entry_points.txt").write_text("[points-test]\nlate = plug_a\n")
    assert [point.name for point in found()] == ["late"]
    assert len(searches) == 2


def test_of_a_distribution_on_the_path_twice_the_first_counts(site, monkeypatch, tmp_path):
    install(site, "plug-a", "1.0")
    older = tmp_path / "older"
    older.mkdir()
    install(older, "plug-a", "0.9")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older)])
    assert [point.version for point in found()] == ["1.0"]


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"key": 1}', "\x00"])
def test_a_damaged_memory_is_made_anew(site, searches, damage, tmp_path):
    install(site, "plug-a")
    expected = found()
    (file,) = (tmp_path / "cache" / "plugins").iterdir()
    file.write_text(damage)
    assert found() == expected
    assert found() == expected
    assert len(searches) == 2
    assert json.loads(file.read_text())["points"] == [list(expected[0])]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(site, searches, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "file"))
    install(site, "plug-a")
    assert len(found()) == len(found()) == 1
    assert len(searches) == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [("plug_a:inner", "Inner"), ("plug_a:inner.deep", 7), ("plug_a : inner.deep [extra]", 7), ("plug_a", "plug_a")],
)
def test_a_point_loads_what_it_names(site, value, expected, monkeypatch):
    install(site, "plug-a")
    monkeypatch.delitem(sys.modules, "plug_a", raising=False)
    loaded = Point("a", value, "plug-a", "1.0").load()
    assert getattr(loaded, "__name__", loaded) == expected
    assert loaded == importlib.metadata.EntryPoint("a", value, "points-test").load()
    sys.modules.pop("plug_a")


def test_a_start_that_remembers_imports_neither_metadata_nor_paths(tmp_path):
    code = (
        "import sys\n"
        "from vidcore.catalog import _points, installed\n"
        "_points._SETTLED_SECONDS = 0\n"
        "count = len(installed().entries('extractor'))\n"
        "print(count, *{'importlib.metadata', 'pathlib', 'difflib'} & set(sys.modules))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "VIDCORE_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert "importlib.metadata" in said[0]
    assert said[1] == said[0][:1]
