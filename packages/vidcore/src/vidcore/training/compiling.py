"""torch.compile, part by part, so that names of parameters and methods stay what they are."""

from __future__ import annotations

import os
import shutil

import torch

from vidcore.errors import ConfigError
from vidcore.model import VideoModel

_COMPILERS = ("g++", "clang++", "c++", "cl")


def compile_parts(model: VideoModel, device: torch.device) -> None:
    """Compile extractors, fusion, readout and head in place; each is compiled when it is first called.

    Raises:
        ConfigError: on a CPU, which needs a C++ compiler, and there is none.
    """
    if device.type == "cpu" and not os.environ.get("CXX") and not any(map(shutil.which, _COMPILERS)):
        raise ConfigError(
            "train.compile on a CPU needs a C++ compiler (g++ or clang++), and there is none; leave it out"
        )
    # Compiled, torch 2.15's own shortcut for Transformer layers in eval mode gives another memory layout than it says.
    torch.backends.mha.set_fastpath_enabled(False)
    for part in (*model.extractors.values(), model.fusion, model.readout, model.head):
        part.compile()
