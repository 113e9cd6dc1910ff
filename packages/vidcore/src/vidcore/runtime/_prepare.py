"""One engine for clips of one shape: chosen, verified, with everything needed to make maps of what it gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from vidcore.errors import RuntimeEngineError
from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap
from vidcore.runtime import _eager
from vidcore.runtime._candidates import CANDIDATES, RUNTIMES, Runtime
from vidcore.runtime._choose import Choice, Chooser
from vidcore.runtime._clip import leaves
from vidcore.runtime._identity import describe, weights_digest
from vidcore.runtime._job import Engine, Job
from vidcore.runtime._memory import Memory
from vidcore.runtime._network import ready
from vidcore.runtime._quantised import choose_quantised
from vidcore.runtime.report import RuntimeReport

Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class Request:
    """What a caller asked ``accelerate`` for."""

    runtime: Runtime
    precision: Precision = "float32"
    calibration: tuple[Any, ...] | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Prepared:
    """An engine and what its outputs mean."""

    engine: Engine
    plain: Engine
    batch: int
    template: dict[str, tuple[Tensor, Tensor | None]]
    """Times and mask of each map, which every clip of this shape has."""
    report: RuntimeReport
    job: Job
    """What the engine was built from and compared with, without the exported graphs."""
    identity: dict[str, Any]
    """What the engine depends on."""

    def maps(self, found: list[Tensor]) -> dict[str, FeatureMap]:
        """Data of each map -> the maps."""
        maps = {}
        for (name, (times, mask)), data in zip(self.template.items(), found, strict=True):
            rows = data.shape[0]
            if times.dim() == 2:
                times = times[:1].expand(rows, -1)
            maps[name] = FeatureMap(data, times, None if mask is None else mask[:1].expand(rows, -1))
        return maps


def prepare(extractor: Extractor, clip: Any, request: Request) -> Prepared:
    """Choose, verify and build or load the engine for clips of this shape.

    Raises:
        RuntimeEngineError: no engine asked for can run this extractor within the tolerance.
    """
    # Contiguous, as engines get every clip: compiled code reads memory in the order of what it was compiled for.
    inputs = [tensor.detach().contiguous() for tensor in leaves(clip)]
    network = ready(extractor, clip)
    threads = request.threads or torch.get_num_threads()
    job = Job(network.flat, inputs, network.reference, threads)
    identity = describe(extractor, weights_digest(extractor), inputs, request.precision, threads)
    template = {name: (fmap.times, fmap.mask) for name, fmap in network.maps.items()}
    return _engine_for(extractor, job, identity, request, template, network.notes)


def prepare_like(known: Prepared, extractor: Extractor, request: Request) -> Prepared:
    """Another engine like one that was prepared in this process: loaded and verified, without asking PyTorch again.

    Raises:
        RuntimeEngineError: As ``prepare``.
    """
    return _engine_for(extractor, known.job, known.identity, request, known.template, known.report.notes)


def _engine_for(
    extractor: Extractor,
    job: Job,
    identity: dict[str, Any],
    request: Request,
    template: dict[str, tuple[Tensor, Tensor | None]],
    notes: tuple[str, ...],
) -> Prepared:
    cosine: float | None = None
    choice: Choice | None
    if request.precision == "int8":
        assert request.calibration is not None
        choice, cosine, memory, refusals = choose_quantised(extractor, job, identity, request.calibration)
    else:
        memory = Memory(identity)
        candidates = {name: CANDIDATES[name] for name in RUNTIMES[request.runtime]}
        chooser = Chooser(request.runtime, candidates, job, memory)
        choice = chooser.choose()
        refusals = "" if choice else chooser.refusals()
    if choice is None:
        raise RuntimeEngineError(
            f"runtime {request.runtime!r} cannot run {extractor.spec.name!r}: {refusals}; "
            "runtime='auto' takes the fastest engine that can"
        )
    report = RuntimeReport(
        requested=request.runtime,
        runtime=choice.name,
        precision=request.precision,
        shapes=tuple(tuple(tensor.shape) for tensor in job.inputs),
        difference=choice.difference,
        candidates=choice.candidates,
        remembered=choice.remembered,
        path=memory.folder,
        cosine=cosine,
        notes=notes,
    )
    return Prepared(choice.engine, _eager.build(job), job.inputs[0].shape[0], template, report, replace(job), identity)
