"""Leases: one holder at a time, the dead are inherited from, the done are passed over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from vidcore.extract.leases import Leases


def test_a_chunk_has_one_holder_and_is_done_once(tmp_path: Path) -> None:
    with Leases(tmp_path / "l") as first, Leases(tmp_path / "l") as second:
        assert first.acquire("a") == "mine"
        assert second.acquire("a") == "held"
        assert second.acquire("b") == "mine"
        first.release("a")
        assert second.acquire("a") == "done"
        assert first.acquire("b") == "held"


def test_marks_of_earlier_runs_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "l"
    with Leases(folder) as first:
        first.acquire("a")
        first.release("a")
        assert (folder / "a.done").exists()
        # A run that begins later looks for itself: what failed then may succeed now.
        os.utime(folder / "a.done", (1e9, 1e9))
        with Leases(folder) as second:
            assert second.acquire("a") == "mine"


def test_the_last_one_out_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "l"
    with Leases(folder) as first:
        with Leases(folder) as second:
            second.acquire("a")
            second.release("a")
        assert (folder / "a.done").exists()
        assert first.acquire("a") == "done"
    assert not folder.exists()


def test_an_unfinished_chunk_is_free_again(tmp_path: Path) -> None:
    with Leases(tmp_path / "l") as second:
        with Leases(tmp_path / "l") as first:
            first.acquire("a")
        assert second.acquire("a") == "mine"


def test_the_lease_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from vidcore.extract.leases import Leases\n"
        "leases = Leases(Path(sys.argv[1])).__enter__(); assert leases.acquire('a') == 'mine'\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = tmp_path / "l"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert (folder / "a.lease").exists()
    with Leases(folder) as mine:
        assert mine.acquire("a") == "mine"
        assert mine.taken_over == 1
    assert not folder.exists()


def lease_of_another_machine(path: Path, idle_seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = {"host": "node7", "pid": 1, "kernel": "another", "started": "1", "token": "t"}
    path.write_text(json.dumps(holder), encoding="utf-8")
    when = path.stat().st_mtime - idle_seconds
    os.utime(path, (when, when))


def test_another_machine_is_dead_when_it_does_not_renew(tmp_path: Path) -> None:
    lease_of_another_machine(tmp_path / "l" / "old.lease", 100)
    lease_of_another_machine(tmp_path / "l" / "new.lease", 10)
    with Leases(tmp_path / "l", stale_seconds=60) as leases:
        assert leases.acquire("old") == "mine"
        assert leases.acquire("new") == "held"


def test_a_process_that_was_suspended_is_not_waited_for(tmp_path: Path) -> None:
    with Leases(tmp_path / "l") as first, Leases(tmp_path / "l", stale_seconds=60) as second:
        first.acquire("a")
        lease = tmp_path / "l" / "a.lease"
        when = lease.stat().st_mtime - 100
        os.utime(lease, (when, when))
        assert second.acquire("a") == "mine"
        # Awake again, it must not drop what is another's now.
        first.release("a")
        assert lease.exists()


def test_a_lease_that_was_cut_off_is_waited_for_and_then_taken(tmp_path: Path) -> None:
    lease = tmp_path / "l" / "a.lease"
    lease.parent.mkdir()
    lease.touch()
    with Leases(tmp_path / "l", stale_seconds=60) as leases:
        assert leases.acquire("a") == "held"
        when = lease.stat().st_mtime - 100
        os.utime(lease, (when, when))
        assert leases.acquire("a") == "mine"
