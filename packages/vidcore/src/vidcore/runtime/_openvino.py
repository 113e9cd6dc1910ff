"""OpenVINO on the CPU: the exported graph converted once, kept on disk as OpenVINO compiled it."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from vidcore.errors import ConfigError
from vidcore.runtime._job import CONVERSION_ERRORS, CannotRunError, Engine, Job, first_line

MISSING = "openvino is not installed; pip install 'vidcore[openvino]'"


@cache
def core() -> Any:
    """The one ``openvino.Core`` of this process.

    A Core's CPU plugin gives its thread a stack for signals, and puts back the one before when it ends. Of two that
    end in the order in which they began, the second puts back what the first has freed, and the next signal that
    Python handles, such as that of a process that ended, kills this one.
    """
    import openvino

    return openvino.Core()


def require_openvino(*modules: str) -> None:
    """Raise where a module of the extra is absent.

    Raises:
        ConfigError: says what to install.
    """
    for module in modules or ("openvino",):
        if find_spec(module) is None:
            raise ConfigError(f"{module} is not installed; pip install 'vidcore[openvino]'")


def build(job: Job, path: Path) -> Engine:
    """Convert, compile, and write the compiled network to ``path``.

    Raises:
        CannotRunError: not on a CPU, not installed, or the graph cannot be exported or converted.
    """
    return compile_model(convert(job), job, path)


def convert(job: Job) -> Any:
    """The network as an ``openvino.Model`` of fixed shapes; raises as ``build`` does."""
    if not job.on_cpu:
        raise CannotRunError("openvino runs on the CPU only")
    if find_spec("openvino") is None:
        raise CannotRunError(MISSING)
    job.require_memory()
    import openvino

    try:
        model = openvino.convert_model(job.folded_program)
        model.reshape({index: list(tensor.shape) for index, tensor in enumerate(job.inputs)})
    except _errors() as exc:
        raise CannotRunError(f"openvino cannot convert it: {_cause(exc)}") from exc
    return model


def compile_model(model: Any, job: Job, path: Path) -> Engine:
    """Compile an ``openvino.Model`` and write the result to ``path``; raises as ``build`` does."""
    try:
        compiled = core().compile_model(model, "CPU", _options(job))
        path.write_bytes(compiled.export_model().getbuffer())
    except _errors() as exc:
        raise CannotRunError(f"openvino cannot compile it: {_cause(exc)}") from exc
    return _engine(compiled)


def load(job: Job, path: Path) -> Engine:
    """Load what ``build`` wrote.

    Raises:
        CannotRunError: the file is not a compiled network of this version.
    """
    try:
        return _engine(core().import_model(path.read_bytes(), "CPU", _options(job)))
    except _errors() as exc:
        raise CannotRunError(f"the compiled network cannot be loaded: {_cause(exc)}") from exc


def _options(job: Job) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": job.threads,
        # By default it computes in bfloat16 where the processor can.
        "INFERENCE_PRECISION_HINT": "f32",
        # Pinned threads of several processes would all sit on the first cores.
        "ENABLE_CPU_PINNING": False,
    }


def _errors() -> tuple[type[Exception], ...]:
    from openvino import frontend

    # They derive from nothing but Exception.
    own = ("GeneralFailure", "InitializationFailure", "NotImplementedFailure", "OpConversionFailure")
    return (*CONVERSION_ERRORS, *(getattr(frontend, name) for name in (*own, "OpValidationFailure")))


def _cause(exc: BaseException) -> str:
    """The error in one line; of operations it cannot convert, their names."""
    named = re.search(r"No conversion rule found for operations: (.+)", str(exc))
    return f"no conversion rule for {named[1]}" if named else first_line(exc)


def _engine(compiled: Any) -> Engine:
    lock = Lock()
    outputs = range(len(compiled.outputs))

    def run(tensors: list[Tensor]) -> list[Tensor]:
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        # A compiled model answers one caller at a time.
        with lock:
            found = compiled(arrays)
        return [torch.from_numpy(found[index]) for index in outputs]

    return run
