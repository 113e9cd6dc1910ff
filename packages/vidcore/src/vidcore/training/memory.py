"""When a device has too little memory: telling that from other errors, and what to say."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import torch

# The texts of torch's allocator of main memory, on Linux and on Windows.
_MAIN_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch could not allocate a tensor, on a GPU or in main memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return type(error) is RuntimeError and any(text in str(error) for text in _MAIN_MEMORY)


def too_little_memory(where: str, error: BaseException) -> str:
    """A message for when nothing can be made smaller any more."""
    return (
        f"out of memory {where}: {str(error).splitlines()[0]}\n"
        "  use shorter or smaller clips (data.frames, data.size), train.gradient_checkpointing=true, "
        "train.precision=bf16-mixed, or train fewer blocks (extractors.0.unfreeze_blocks)"
    )


def give_back_memory() -> None:
    """Return freed main memory to the system, where the C library (glibc) keeps it.

    Steps free tensors of many sizes, and what lies between those that stay is not given back by itself: a step of
    attention over 800 tokens left 100 MB more each time.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    # Other C libraries of Linux (musl) have no such function, and keep nothing.
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
