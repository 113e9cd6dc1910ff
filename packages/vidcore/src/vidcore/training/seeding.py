"""Every source of chance a run draws from: seeding, saving and restoring it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from vidcore.errors import TrainingError


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def step_seed(seed: int, updates: int, rank: int) -> int:
    """The seed of what a step draws in one of several processes: no two steps and no two processes share one."""
    return int(np.random.SeedSequence((seed, updates, rank)).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Within the block torch uses only operations that give the same bits every time, where ``enabled``.

    Raises:
        TrainingError: an operation of the model has no such form.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if enabled:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as exc:
        if not enabled or "does not have a deterministic implementation" not in str(exc):
            raise
        raise TrainingError(f"train.deterministic: {str(exc).split(',')[0]}; leave it out") from exc
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def rng_state() -> dict[str, Any]:
    """The state of all generators as tensors and plain data."""
    version, internal, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)  # type: ignore[call-overload, unused-ignore]
    return {
        "python": [version, list(internal), gauss],
        "numpy": {
            "bit_generator": legacy["bit_generator"],
            "key": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
            "pos": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng(state: dict[str, Any]) -> None:
    """Take back what ``rng_state`` gave; states of devices that are not there are left out."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    legacy = state["numpy"]
    np.random.set_state(
        {
            "bit_generator": legacy["bit_generator"],
            "state": {"key": legacy["key"].numpy().astype(np.uint32), "pos": legacy["pos"]},
            "has_gauss": legacy["has_gauss"],
            "gauss": legacy["gauss"],
        }
    )
    torch.set_rng_state(state["torch"])
    for index, cuda in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(cuda, index)
