"""TorchInductor ahead of time: weights frozen, one shared library that the next start only loads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vidcore.cache import cache_dir
from vidcore.runtime._job import CONVERSION_ERRORS, CannotRunError, Engine, Job, first_line
from vidcore.runtime._measure import TOLERANCE, difference

_OPTIONS = {
    "freezing": True,
    # The wrapper only calls kernels; optimising it costs as much time as compiling them.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}


def build(job: Job, path: Path) -> Engine:
    """Compile into ``path`` (a .pt2 archive).

    The exported graph is compiled as a whole: nothing is traced while it runs, so there is no recompilation limit.

    Raises:
        CannotRunError: the graph cannot be exported or compiled (a C++ compiler is needed).
    """
    from torch._inductor import aoti_compile_and_package

    job.require_memory()
    program = job.program
    try:
        with torch.no_grad(), _inductor_cache():
            aoti_compile_and_package(program, package_path=str(path), inductor_configs=dict(_OPTIONS))
    except CONVERSION_ERRORS as exc:
        raise CannotRunError(f"inductor cannot compile it: {first_line(exc)}") from exc
    return load(job, path)


def build_bfloat16(job: Job, path: Path) -> Engine:
    """Compile for a GPU's bfloat16 units, where the network stays within the tolerance on them.

    Raises:
        CannotRunError: not on a GPU, too far from float32, or as ``build`` does.
    """
    if job.on_cpu:
        raise CannotRunError("bfloat16 is tried on GPUs only")
    network = _Autocast(job.network)
    with torch.no_grad():
        apart = difference(list(network(*job.inputs)), job.reference)
    if not apart <= TOLERANCE:
        raise CannotRunError(f"in bfloat16 it differs by {apart:.1e} from float32 (at most {TOLERANCE:.0e})")
    return build(replace(job, network=network), path)


def load(job: Job, path: Path) -> Engine:
    """Load what ``build`` wrote.

    Raises:
        CannotRunError: the file is not a compiled network of this version.
    """
    from torch._inductor import aoti_load_package

    try:
        compiled = aoti_load_package(str(path))
    except CONVERSION_ERRORS as exc:
        raise CannotRunError(f"the compiled network cannot be loaded: {first_line(exc)}") from exc

    def run(tensors: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            found = compiled(*(tensor.contiguous() for tensor in tensors))
        return list(found) if isinstance(found, (tuple, list)) else [found]

    return run


class _Autocast(nn.Module):
    """A network whose products run in bfloat16; it gives float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(tensors[0].device.type, torch.bfloat16):
            found = self.network(*tensors)
        return tuple(data.float() for data in found)


@contextmanager
def _inductor_cache() -> Iterator[None]:
    """Keep inductor's own cache (precompiled headers, kernels) in ours, unless it was given a place."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    os.environ.setdefault(name, str(cache_dir("runtimes") / "inductor"))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
