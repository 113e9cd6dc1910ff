"""How much memory a piece of work needs at most."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path
from types import TracebackType

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """Growth of memory within a ``with`` block, in two parts: what is prepared, and then what runs.

    On a GPU it is memory that PyTorch allocated. On a CPU it is resident memory of this process as Linux counts it,
    every library's allocations included; what was freed before is returned to the system first, or it would be used
    again uncounted. Elsewhere nothing is known.

        with PeakMemory(device) as memory:
            engine = build()
            memory.start()
            engine(clip)
        memory.bytes  # highest while running, less what there was at the beginning of the block; None: unknown
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: int | None = None
        self.bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        self._before = self._settled()
        return self

    def start(self) -> None:
        """From here on the highest counts: what building needed for a moment does not."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        elif self._settled() is not None:
            try:
                # Makes the highest resident size the present one (Linux, proc(5)).
                _CLEAR.write_text("5")
            except OSError:
                self._before = None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is None or kind is not None:
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            self.bytes = torch.cuda.max_memory_allocated(self._device) - self._before
        else:
            self.bytes = max((_resident("VmHWM") or 0) - self._before, 0)

    def _settled(self) -> int | None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            return torch.cuda.memory_allocated(self._device)
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)
        return _resident("VmRSS")


def _resident(field: str) -> int | None:
    """``VmRSS`` (now) or ``VmHWM`` (highest) of this process in bytes; ``None`` where there is no such file."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)
