"""Resumable checkpoints: tensors and plain data, written whole, the one before kept."""

from __future__ import annotations

import copy
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidcore.errors import RunError
from vidcore.model import VideoModel
from vidcore.training.files import replacing
from vidcore.training.sharding import like


class Checkpoints:
    """The checkpoints of one training: ``last.pt`` with the one before it, and ``best.pt``.

    Without a folder only the best weights are kept, in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._best: dict[str, Any] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def save_last(self, payload: dict[str, Any]) -> None:
        """Save all that is needed to go on; the checkpoint before is kept as ``previous.pt``."""
        if self._folder is not None:
            save_checkpoint(self._folder / "last.pt", payload, self._folder / "previous.pt")

    def save_best(self, payload: dict[str, Any]) -> None:
        """Save the weights of the best epoch so far."""
        if self._folder is not None:
            save_checkpoint(self._folder / "best.pt", payload)
        else:
            self._best = copy.deepcopy(payload)

    def load_last(self) -> dict[str, Any] | None:
        """The newest whole checkpoint; ``None`` where training never saved one.

        Raises:
            RunError: there are checkpoints and none can be read.
        """
        if self._folder is None:
            return None
        candidates = [self._folder / name for name in ("last.pt", "previous.pt")]
        return load_checkpoint(*candidates) if any(path.exists() for path in candidates) else None

    def load_best(self) -> dict[str, Any]:
        """The weights of the best epoch.

        Raises:
            RunError: they cannot be read.
        """
        return load_checkpoint(self._folder / "best.pt") if self._folder is not None else self._best


def save_checkpoint(path: Path, payload: dict[str, Any], previous: Path | None = None) -> None:
    """Write ``payload`` under a temporary name, move what was at ``path`` to ``previous``, and rename.

    At every moment one of the two is a whole checkpoint.

    Raises:
        RunError: the disk is full; the checkpoint before is kept.
    """
    with replacing(path, durable=True) as temporary:
        torch.save(payload, temporary)
        if previous is not None and path.exists():
            path.replace(previous)


def load_checkpoint(*candidates: Path) -> dict[str, Any]:
    """The first of ``candidates`` that is whole.

    Raises:
        RunError: none is; the message says what is wrong with each.
    """
    reasons = []
    for path in candidates:
        if not path.exists():
            reasons.append(f"{path}: not there")
            continue
        # What is no archive would be read as torch's old format, where torn bytes raise anything.
        if not zipfile.is_zipfile(path):
            reasons.append(f"{path}: not a whole checkpoint")
            continue
        try:
            payload: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as exc:
            reasons.append(f"{path}: {str(exc).splitlines()[0]}")
        else:
            return payload
    raise RunError("no checkpoint can be read\n  " + "\n  ".join(reasons))


def trained_state(model: VideoModel) -> dict[str, Tensor]:
    """The model's tensors without those that training does not change: frozen extractors, blocks, statistics."""
    left = model.untrained
    return {name: tensor for name, tensor in model.state_dict().items() if name not in left}


def load_trained_state(model: VideoModel, state: dict[str, Tensor]) -> None:
    """Take back what ``trained_state`` gave.

    Raises:
        RunError: the tensors are not those of this model.
    """
    expected = {name: tensor.shape for name, tensor in trained_state(model).items()}
    found = {name: tensor.shape for name, tensor in state.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise RunError(
            f"the checkpoint is of another model: {len(wrong)} tensors differ, {', '.join(wrong[:3])} among them"
        )
    own = model.state_dict()
    model.load_state_dict({name: like(tensor, own[name]) for name, tensor in state.items()}, strict=False)
