"""How far two results lie apart, and how long things take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

TOLERANCE = 1e-3
"""Largest relative difference from eager float32 at which an engine is trusted."""

_LEAST_ROUNDS, _MOST_ROUNDS, _ENOUGH_SECONDS = 3, 15, 5.0


def difference(found: list[Tensor], reference: list[Tensor]) -> float:
    """Largest ||a - b|| / ||b|| over the outputs; infinite where shapes differ, or a value is not finite."""
    if [a.shape for a in found] != [b.shape for b in reference]:
        return float("inf")
    worst = 0.0
    for a, b in zip(found, reference, strict=True):
        wide = b.double()
        apart = float((a.to(b.device).double() - wide).norm() / wide.norm().clamp(min=1e-30))
        worst = max(worst, apart) if apart < float("inf") else float("inf")
    return worst


def cosine(found: list[Tensor], reference: list[Tensor]) -> float:
    """Smallest over the outputs of the mean cosine between their feature vectors (D values at each place)."""
    pairs = zip(found, reference, strict=True)
    return min(float(cosine_similarity(a.double(), b.double(), dim=1).mean()) for a, b in pairs)


def seconds_each(runs: Mapping[str, Callable[[], object]], device: torch.device, threads: int) -> dict[str, float]:
    """The shortest time of each, taken in turn so that a machine whose speed drifts favours none.

    On one CPU thread it is the time that thread computed, which other processes disturb less than the clock.
    """
    clock = time.process_time if device.type == "cpu" and threads == 1 else time.perf_counter
    best = dict.fromkeys(runs, float("inf"))
    started, rounds = time.perf_counter(), 0
    while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() - started < _ENOUGH_SECONDS):
        for name, run in runs.items():
            before = clock()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best[name] = min(best[name], clock() - before)
        rounds += 1
    return best
