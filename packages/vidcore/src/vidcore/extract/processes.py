"""One process for each of several devices of this machine; they share the rows by leases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch

from vidcore.errors import ConfigError

# A process that has nothing left to do waits for the chunks that others are at.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of one extraction.

    Attributes:
        number: Of this process; 0 is the one that was called, and that speaks for all.
        count: How many there are.
    """

    number: int = 0
    count: int = 1
    _fabric: Any = None

    @property
    def workers(self) -> int:
        """Decoding processes of each: its share of the cores."""
        return max(1, (os.cpu_count() or 1) // self.count)

    def wait(self) -> None:
        """Until all are here."""
        if self._fabric is not None:
            self._fabric.barrier()


@contextmanager
def team(asked: str, device: str) -> Iterator[Team]:
    """Start the processes that are ``asked`` for, under Fabric; each runs the program anew from its beginning.

    Args:
        asked: A number, or ``auto``: one per GPU, and one where there is none.
        device: ``auto``, ``cpu`` or ``cuda``; each process takes the GPU of its number.

    Raises:
        ConfigError: No number, more than there are GPUs, or a device by number for several processes.
    """
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    count = max(gpus, 1) if asked == "auto" else int(asked) if asked.isdigit() else 0
    if count < 1:
        raise ConfigError(f"devices is {asked!r}; give a number of processes, 1 or more, or auto")
    if count == 1:
        yield Team()
        return
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"{count} processes take a device each; give device auto, cpu or cuda, not {device!r}")
    if gpus and count > gpus:
        raise ConfigError(f"devices is {count}, and torch sees {gpus} GPUs here; use --devices auto")
    # Here, because it takes seconds to import.
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    fabric = Fabric(accelerator="cuda" if gpus else "cpu", devices=count, strategy=DDPStrategy(timeout=_PATIENCE))
    fabric.launch()
    os.environ["LOCAL_RANK"] = str(fabric.local_rank)
    try:
        yield Team(fabric.global_rank, count, fabric)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
