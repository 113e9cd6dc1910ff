"""Checkpoints of ``torch.save``: tensors and plain data, nothing else is built from them."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from vidcore.errors import WeightsError


class _Record:
    """Stands where a checkpoint holds an object of the training program; keeps nothing of it."""

    def __new__(cls, *_: object) -> _Record:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None: ...


def _mapping(*_: object) -> dict[Any, Any]:
    return {}


# Published checkpoints keep the options of their training run and a few scores beside the tensors. These
# are the names they use. None of them is imported or run: each becomes an empty record (or an empty dict
# where entries follow), so that a file which names them loads without the program that wrote it.
_RECORDS = (
    "argparse.Namespace",  # MAE, VideoMAE, DINO: args
    "numpy.core.multiarray.scalar",  # best scores, under NumPy 1 and 2
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "omegaconf.dictconfig.DictConfig",  # Lightning and fairseq: hyper_parameters, cfg
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
    "builtins.dict",  # as the type of an option
    "builtins.list",
    "builtins.str",
    "builtins.int",
    "builtins.float",
    "builtins.bool",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",  # Lightning < 1.5: the key of its state
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
)
_MAPPINGS: dict[str, Any] = {
    "collections.defaultdict": _mapping,
    "pytorch_lightning.utilities.parsing.AttributeDict": dict,
    "lightning.pytorch.utilities.parsing.AttributeDict": dict,
    "lightning_fabric.utilities.data.AttributeDict": dict,
    "lightning.fabric.utilities.data.AttributeDict": dict,
}
_ALLOWED: list[Any] = [(_Record, name) for name in _RECORDS] + [(target, name) for name, target in _MAPPINGS.items()]

# The number with which torch.save began files before PyTorch 1.6, as a pickle writes it.
_TORCH_NUMBER = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_REFUSED = re.compile(r"GLOBAL (\S+)")
# What torch.load raises for bytes that are no checkpoint, or only the first part of one.
_UNREADABLE = (
    RuntimeError,
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
)


def read_checkpoint(path: Path) -> Any:
    """What ``torch.save`` wrote, tensors on the CPU, with ``weights_only=True``.

    Raises:
        WeightsError: not a checkpoint, a damaged one, or one that asks for something beyond tensors,
            plain data and the records listed here; the message names it.
    """
    zipped = zipfile.is_zipfile(path)
    if not zipped:
        _refuse_plain_pickle(path)
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except _UNREADABLE as exc:
        raise WeightsError(_reason(path, exc)) from exc


def _refuse_plain_pickle(path: Path) -> None:
    """Refuse a pickle that ``torch.save`` did not write: Caffe2's, Detectron's, NumPy's, a plain dict's."""
    with path.open("rb") as file:
        head = file.read(64)
    # Protocol 2 and later begin with this byte; the older format of torch.save goes on with its own number.
    if head[:1] == b"\x80" and _TORCH_NUMBER not in head:
        raise WeightsError(
            f"{path} is a plain Python pickle, and that is refused: reading one can run code\n"
            "  read it with the program that wrote it and save its tensors alone: "
            "safetensors.torch.save_file(tensors, 'weights.safetensors')"
        )


def _reason(path: Path, exc: BaseException) -> str:
    text = str(exc)
    refused = _REFUSED.search(text)
    if refused:
        return (
            f"{path} asks for {refused[1]} while it is read, and that is refused: a weights file may hold "
            "tensors and plain data only\n"
            "  if you trust the file, load it with the program that wrote it and save its tensors alone: "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )
    if "TorchScript" in text:
        return (
            f"{path} is a TorchScript program, not a weights file\n"
            "  save its tensors alone: safetensors.torch.save_file(torch.jit.load(path).state_dict(), "
            "'weights.safetensors')"
        )
    first = text.strip().splitlines()[0] if text.strip() else type(exc).__name__
    if "weights_only" in text:
        # PyTorch goes on to advise switching its protection off.
        first = "its pickle is damaged or holds more than tensors and plain data"
    return f"{path} is not a whole weights file ({path.stat().st_size:,} bytes): {first[:200]}"
