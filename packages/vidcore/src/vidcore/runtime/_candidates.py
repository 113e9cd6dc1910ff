"""The engines there are, and which of them each ``runtime`` considers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidcore.runtime import _compiled, _eager, _openvino
from vidcore.runtime._job import Engine, Job

Runtime = Literal["auto", "eager", "compiled", "openvino"]


@dataclass(frozen=True)
class Candidate:
    """How an engine is made; one without a file is made anew at each start."""

    build: Callable[[Job, Path], Engine]
    load: Callable[[Job, Path], Engine] | None = None
    file: str = ""


CANDIDATES = {
    "eager": Candidate(lambda job, _: _eager.build(job)),
    "eager_channels_last": Candidate(lambda job, _: _eager.build_channels_last(job)),
    "openvino": Candidate(_openvino.build, _openvino.load, "openvino.blob"),
    "compiled": Candidate(_compiled.build, _compiled.load, "compiled.pt2"),
    "compiled_bfloat16": Candidate(_compiled.build_bfloat16, _compiled.load, "compiled_bfloat16.pt2"),
}

RUNTIMES: dict[Runtime, tuple[str, ...]] = {
    "auto": tuple(CANDIDATES),
    "eager": ("eager", "eager_channels_last"),
    "compiled": ("compiled", "compiled_bfloat16"),
    "openvino": ("openvino",),
}
