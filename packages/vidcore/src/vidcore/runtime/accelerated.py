"""An extractor that runs through the fastest engine that gives its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from vidcore.catalog import ClipFormat, FeatureInfo
from vidcore.errors import RuntimeEngineError
from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap
from vidcore.runtime._clip import Signature, leaves, rebuild, signature, skeleton
from vidcore.runtime._copy import share
from vidcore.runtime._job import Engine
from vidcore.runtime._prepare import Prepared, Request, prepare, prepare_like
from vidcore.runtime.report import RuntimeReport

_MOST_SHAPES = 8
"""Clip shapes an engine is built for; building costs seconds to minutes, so further shapes run eagerly."""

_GROWTH = 4
"""On a GPU, how many times larger a batch must be than the largest built for to be worth another engine."""


class Accelerated(Extractor):
    """An extractor whose ``forward`` runs through an engine; everything else is the extractor's own.

    One engine is built per clip shape (frames, rows, columns), at the first clip of that shape unless it was built
    before, and its output is compared with eager PyTorch each time it is built or loaded. A batch is run in the
    batches that the engine was built for; rows that do not fill one run through eager PyTorch, and so does everything
    after the eighth shape. Weights are those at the time an engine is built; outputs carry no gradient.

    Parameters, buffers and state dict are those of the extractor, itself reachable as ``eager``.
    """

    def __init__(self, extractor: Extractor, request: Request) -> None:
        nn.Module.__init__(self)
        # The very same dictionaries: moving or loading one moves and loads the other.
        for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
            self.__dict__[name] = extractor.__dict__[name]
        self.__dict__["eager"] = extractor
        self.training = False
        self.spec = extractor.spec
        self.config = extractor.config
        self._request = request
        self._lock = RLock()
        self._forget()

    eager: Extractor
    """The extractor as it was given."""

    @property
    def reports(self) -> tuple[RuntimeReport, ...]:
        """One report per clip shape, in the order in which they came."""
        return tuple(prepared.report for engines in self._engines.values() for prepared in engines)

    @property
    def report(self) -> RuntimeReport:
        """The report of the latest clip shape.

        Raises:
            RuntimeEngineError: no engine was built so far: no clip was seen, and its shape was not given.
        """
        if self._latest is None:
            raise RuntimeEngineError(
                f"no engine of {self.spec.name!r} is built yet: it takes clips of any shape; run one, or give "
                "accelerate(..., frames=, size=)"
            )
        return self._latest

    @property
    def output_names(self) -> tuple[str, ...]:
        """See ``Extractor``."""
        return self.eager.output_names

    @property
    def clip(self) -> ClipFormat:
        """See ``Extractor``."""
        return self.eager.clip

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """See ``Extractor``."""
        return self.eager.outputs

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """See ``Extractor``."""
        return self.eager.blocks

    def preprocess(self, video: Tensor) -> Any:
        """See ``Extractor``."""
        return self.eager.preprocess(video)

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """See ``Extractor``."""
        return self.eager.convert(published)

    def features(
        self, video: Tensor, mask: Tensor | None = None, times: Tensor | None = None, windows: int = 1
    ) -> dict[str, FeatureMap]:
        """See ``Extractor``; what the extractor does around its forward is done here too."""
        return self._stand_in().features(video, mask, times, windows)

    def extract(self, video: Tensor) -> Tensor:
        """See ``Extractor``."""
        return self._stand_in().extract(video)

    def twin(self) -> Accelerated:
        """The same for another thread: an engine answers one caller at a time.

        Its engines are loaded and compared with what eager PyTorch gave for this one's, which is not run again.
        """
        other = Accelerated(self.eager, self._request)
        other._known = self._known
        for wanted, engines in self._engines.items():
            for prepared in engines:
                other._keep(wanted, prepare_like(prepared, self.eager, self._request))
        return other

    def forward(self, clip: Any) -> dict[str, FeatureMap]:
        """One clip -> the maps named by ``output_names``, without gradient.

        Raises:
            RuntimeEngineError: the engine asked for cannot run this extractor or differs too much from eager.
        """
        tensors = leaves(clip)
        batch = tensors[0].shape[0]
        prepared = self._prepared(clip, tensors)
        if prepared is None:
            with torch.no_grad():
                maps: dict[str, FeatureMap] = share(self.eager)(clip)
            return maps
        full = batch // prepared.batch * prepared.batch
        parts = _in_batches(prepared.engine, [t[:full] for t in tensors], prepared.batch) if full else []
        if full < batch:
            parts.append(prepared.plain([t[full:] for t in tensors]))
        found = parts[0] if len(parts) == 1 else [torch.cat(column) for column in zip(*parts, strict=True)]
        return prepared.maps(found)

    def prepare(self, clip: Any) -> RuntimeReport:
        """Build or load the engine for clips of this shape, and for this batch size."""
        self._build(clip, signature(leaves(clip)))
        return self.report

    def _prepared(self, clip: Any, tensors: list[Tensor]) -> Prepared | None:
        batch, wanted = tensors[0].shape[0], signature(tensors)
        with self._lock:
            engines = self._engines.get(wanted, [])
            largest = max((p.batch for p in engines), default=0)
            grown = tensors[0].device.type == "cuda" and batch >= _GROWTH * largest
            if (not engines or grown) and sum(map(len, self._engines.values())) < _MOST_SHAPES:
                self._build(clip, wanted)
                engines = self._engines[wanted]
        fitting = [p for p in engines if p.batch <= batch] or engines
        return max(fitting, key=lambda p: p.batch, default=None)

    def _build(self, clip: Any, wanted: Signature) -> None:
        # Building watches how tensors change, which those of inference mode do not tell.
        with self._lock, torch.inference_mode(False):
            tensors = [tensor.clone() if tensor.is_inference() else tensor for tensor in leaves(clip)]
            # A twin's. What this one built itself is to be built anew: its weights may have changed since.
            known = None if wanted in self._engines else self._known.get((wanted, tensors[0].shape[0]))
            if known is not None:
                prepared = prepare_like(known, self.eager, self._request)
            else:
                prepared = prepare(self.eager, rebuild(skeleton(clip), iter(tensors)), self._request)
            self._keep(wanted, prepared)

    def _keep(self, wanted: Signature, prepared: Prepared) -> None:
        self._known[wanted, prepared.batch] = prepared
        self._engines.setdefault(wanted, []).append(prepared)
        self._latest: RuntimeReport | None = prepared.report

    def _stand_in(self) -> Extractor:
        """The extractor with this forward: its own methods around the engine."""
        stand_in = share(self.eager)
        stand_in.forward = self.forward  # type: ignore[method-assign]
        return stand_in

    def _forget(self) -> None:
        self._engines: dict[Signature, list[Prepared]] = {}
        # What twins have found out, about this one's engines too.
        self._known: dict[tuple[Signature, int], Prepared] = {}
        self._latest = None

    def _apply(self, *arguments: Any, **options: Any) -> Accelerated:
        # Moved or cast: engines are of the place they were built for.
        self._forget()
        super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]
        return self


def _in_batches(engine: Engine, tensors: list[Tensor], batch: int) -> list[list[Tensor]]:
    return [engine(list(part)) for part in zip(*(tensor.split(batch) for tensor in tensors), strict=True)]
