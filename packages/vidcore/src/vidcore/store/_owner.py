"""Whose shard it is, and whether that process still lives: no locks, which shared disks do not keep reliably."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

# A writer on another machine that has put nothing for so long is taken for dead.
GRACE_SECONDS = 3600.0


@cache
def _kernel() -> str:
    """Names the running kernel and this process's numbering of processes; empty where that cannot be told."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None where there is none (a zombie has ended)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the command's name in brackets and may hold anything; the third is the state.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def this_process() -> dict[str, Any]:
    """Names this process for good: its number is used again, its number and start time are not."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "kernel": _kernel(), "started": _started(pid)}


def is_live(owner: Mapping[str, Any], idle_seconds: float, grace_seconds: float = GRACE_SECONDS) -> bool:
    """Whether the process may still write.

    On the same machine the process table answers. For another machine nothing can: there it is taken for live
    until its files have not changed for ``grace_seconds``.
    """
    if owner.get("kernel") and owner["kernel"] == _kernel():
        return _started(int(owner["pid"])) == owner.get("started")
    return idle_seconds < grace_seconds


def in_words(owner: Mapping[str, Any]) -> str:
    """For messages: process 12 on node7."""
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
