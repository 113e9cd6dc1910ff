"""What every engine is built from: a network of flat tensors, and its exported graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from vidcore.extractors.base import Extractor
from vidcore.runtime._clip import rebuild
from vidcore.runtime._constants import fold_constants

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Engine: TypeAlias = Callable[[list[Tensor]], list[Tensor]]
"""The flat tensors of a clip -> ``data`` of each map, in the order of the extractor's outputs."""


class CannotRunError(Exception):
    """An engine is not available for this network on this machine; the text says why."""


# Exporters and compilers meet code they were not written for with about every built-in error.
CONVERSION_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    ImportError,
    OSError,
)


class FlatNetwork(nn.Module):
    """An extractor as exporters like it: tensors in, a tuple of the maps' data out."""

    def __init__(self, extractor: Extractor, structure: Any) -> None:
        super().__init__()
        self.extractor = extractor
        self._structure = structure

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The clip's tensors, see ``vidcore.runtime._clip`` -> ``data`` of each map."""
        maps = self.extractor(rebuild(self._structure, iter(tensors)))
        return tuple(fmap.data for fmap in maps.values())


@dataclass
class Job:
    """A network to run on clips of one shape."""

    network: nn.Module
    """Takes the clip's tensors, gives a tuple of the maps' data."""
    inputs: list[Tensor]
    reference: list[Tensor]
    """What the plain extractor gives for ``inputs``."""
    threads: int

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU."""
        return self.inputs[0].device.type == "cpu"

    def require_memory(self) -> None:
        """Refuse where compiling would not fit: frozen weights, their packed form and the file are in memory at once.

        Raises:
            CannotRunError: less than three times the weights is free.
        """
        free = _free_bytes()
        needed = 3 * sum(p.numel() * p.element_size() for p in self.network.parameters())
        if free is not None and free < needed:
            raise CannotRunError(f"needs about {needed / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB are free")

    @cached_property
    def program(self) -> ExportedProgram:
        """The graph of the network for exactly these shapes.

        Raises:
            CannotRunError: it cannot be exported.
        """
        from torch.export import export

        try:
            with torch.no_grad():
                return export(self.network, tuple(self.inputs))
        except CONVERSION_ERRORS as exc:
            raise CannotRunError(f"torch.export cannot trace it: {first_line(exc)}") from exc

    @cached_property
    def folded_program(self) -> ExportedProgram:
        """The same graph with everything that does not depend on its input computed.

        Raises:
            CannotRunError: it cannot be exported.
        """
        from torch.export import export

        graph = self.program.module(check_guards=False)
        try:
            with torch.no_grad():
                return export(graph, tuple(self.inputs)) if fold_constants(graph) else self.program
        except CONVERSION_ERRORS as exc:
            raise CannotRunError(f"its constants cannot be folded: {first_line(exc)}") from exc


def _free_bytes() -> int | None:
    """Memory that is free or can be freed; ``None`` where the system does not say so the Linux way."""
    described = Path("/proc/meminfo")
    if described.is_file():
        for line in described.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def first_line(exc: BaseException) -> str:
    """The error in one line of at most 200 characters."""
    text = (str(exc).strip().splitlines() or [""])[0]
    return f"{type(exc).__name__}: {text}"[:200]
