"""The one call: a module, a source, a report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vidcore.catalog import ExtractorSpec
from vidcore.errors import WeightsError
from vidcore.weights._convert import OWN_NAMES
from vidcore.weights._find import FoundFile, check_digest, find_weights
from vidcore.weights._layouts import without_prefixes
from vidcore.weights._match import Match, match
from vidcore.weights._read import Published, read_published
from vidcore.weights._refusal import listed, refusal
from vidcore.weights._report import WeightsReport


class Loadable(Protocol):
    """A module that knows its published weights and how their names become its own: an extractor.

    It may also have

    - ``required_tensors()``, the names in its state that its outputs depend on; without it they all do;
    - ``unpublished``, prefixes of parameters that options add and no published file has;
    - ``position_grids``, a mapping from the name of a position table to its grid, (rows, columns) or (steps, rows,
      columns); without it a table of positions is taken for a square grid.
    """

    spec: ExtractorSpec

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors -> tensors under the module's own names."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Parameters and persistent buffers by name."""
        ...

    def named_parameters(self, *, remove_duplicate: bool) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool) -> Any:
        """Copy tensors into parameters and buffers."""
        ...

    def __setattr__(self, name: str, value: Any) -> None: ...


@dataclass(frozen=True)
class Fitting:
    """A weights file beside the module it is for.

    Attributes:
        report: what fits and what does not.
        state: tensors under the module's own names and in its shapes; load them only where ``report.fits``.
        left_over: the file's other tensors, a classifier for instance, by the names the file gives them after usual
            prefixes (``model.``, ``backbone.``, ``module.``) are taken off.
    """

    report: WeightsReport
    state: dict[str, Tensor]
    left_over: dict[str, Tensor]
    names: tuple[str, ...] = ()

    def checked(self) -> Fitting:
        """Itself.

        Raises:
            WeightsError: the file does not fit.
        """
        if not self.report.fits:
            raise WeightsError(refusal(self.report, self.names))
        return self


def load_weights(module: Loadable, source: str) -> WeightsReport:
    """Load published weights into an extractor; the report is kept as ``module.weights_report``.

    The module is changed only if the weights fit: every parameter and floating-point buffer that the outputs asked
    for depend on is in the file, in its shape (position tables may be resized), finite, and no kernel of it is all
    zeros. Whatever else the file holds is left over.

    Args:
        module: an extractor, on a real device.
        source: a tag of its published weights, a file or folder, ``hf:owner/repo/file`` or an https address.

    Raises:
        WeightsError: the file is not here and cannot be fetched, is not the published one (SHA-256), cannot be read,
            or does not fit.
    """
    fitting = fit_weights(module, find_weights(module.spec, source)).checked()
    report = fitting.report
    if any(tensor.is_meta for tensor in module.state_dict().values()):
        raise WeightsError(f"{report.extractor} is on the meta device, where there is nothing to load into")
    module.load_state_dict(fitting.state, strict=False)
    module.weights_report = report
    return report


def fit_weights(module: Loadable, found: FoundFile) -> Fitting:
    """Read a file once and see how it fits; the module, which may be on the meta device, stays as it is.

    Raises:
        WeightsError: the file is not the published one or cannot be read.
    """
    sha256, verified = check_digest(module.spec, found)
    published = read_published(found.path)
    wanted = module.state_dict()
    unpublished = tuple(getattr(module, "unpublished", ()))
    required: Collection[str] = getattr(module, "required_tensors", lambda: wanted)()
    needed = {name for name in required if not name.startswith(unpublished)} if unpublished else set(required)
    best = _best_naming(module, published, wanted, needed, found)
    result = match(
        wanted,
        dict(module.named_parameters(remove_duplicate=False)),
        best.tensors,
        needed,
        grids=getattr(module, "position_grids", {}),
        adapt=_may_adapt(module, found),
        starts_at_zero=_zeros_at_start(module),
    )
    report = replace(
        _report(module.spec, found, sha256, verified, result),
        averaged=published.averaged or ("teacher" if "teacher." in best.prefix else ""),
        prefix=best.prefix,
        layout=getattr(best.tensors, "layout", ""),
        note=getattr(best.tensors, "note", ""),
        random=tuple(name for name in wanted if name.startswith(unpublished) and name not in result.state)
        if unpublished
        else (),
    )
    return Fitting(report, result.state, _left_over(best, result.left_over), tuple(published.tensors))


@dataclass(frozen=True)
class _Naming:
    """The file's tensors under the module's names, by one of the ways to get there."""

    tensors: dict[str, Tensor]
    prefix: str
    before: dict[str, Tensor]
    """The same without the prefix, as the file names them."""


def _best_naming(
    module: Loadable, published: Published, wanted: Mapping[str, Tensor], needed: Collection[str], found: FoundFile
) -> _Naming:
    """The naming under which most of the needed tensors are there: the file's own, or without a usual prefix."""
    if published.metadata.get(OWN_NAMES) == module.spec.name:
        return _Naming(published.tensors, "", published.tensors)
    best, most = None, -1
    failed: Exception | None = None
    for prefix, tensors in without_prefixes(published.tensors):
        if all(name in tensors for name in wanted):
            return _Naming(tensors, prefix, tensors)
        try:
            converted = module.convert(dict(tensors))
        except (KeyError, ValueError) as exc:
            failed = failed or exc
            continue
        count = sum(name in converted for name in needed)
        if count > most:
            best, most = _Naming(converted, prefix, tensors), count
        if count == len(needed):
            break
    if best is None or (failed is not None and not most):
        raise WeightsError(
            f"{found.path} does not hold the published weights of {module.spec.name}: {_words(failed)}\n"
            f"{listed('the file holds', list(published.tensors))}"
        ) from failed
    return best


def _words(exc: Exception | None) -> str:
    return f"it has no {exc}" if isinstance(exc, KeyError) else str(exc)


def _left_over(naming: _Naming, names: Collection[str]) -> dict[str, Tensor]:
    """Of the file's tensors those that are left over after conversion, by the file's names."""
    rest = {id(naming.tensors[name]) for name in names}
    return {name: tensor for name, tensor in naming.before.items() if id(tensor) in rest}


def _may_adapt(module: Loadable, found: FoundFile) -> bool:
    asked = getattr(getattr(module, "config", None), "adapt_weights", False)
    return bool(asked) or any(info.adapt for info in module.spec.weights if info.tag == found.source)


def _zeros_at_start(module: Loadable) -> Callable[[str], bool]:
    """Whether the module initialises a tensor to zeros; built anew only if that is asked."""
    fresh: dict[str, Tensor] = {}

    def answer(name: str) -> bool:
        if not fresh:
            config = getattr(module, "config", None)
            with torch.device("cpu"), torch.random.fork_rng(devices=[]):
                built: Any = module if config is None else type(module)(module.spec, config)  # type: ignore[call-arg]
            fresh.update(built.state_dict())
        tensor = fresh.get(name)
        return tensor is not None and not tensor.is_meta and not bool(tensor.any())

    return answer


def _report(spec: ExtractorSpec, found: FoundFile, sha256: str, verified: bool, result: Match) -> WeightsReport:
    return WeightsReport(
        extractor=spec.name,
        source=found.source,
        file=str(found.path.absolute()),
        sha256=sha256,
        verified=verified,
        needed=result.needed,
        matched=tuple(result.state),
        missing=result.missing,
        spare=result.spare,
        left_over=result.left_over,
        resized=tuple(result.resized),
        mismatched=tuple(result.mismatched),
        unfit=tuple(result.unfit),
        converted=result.converted,
    )
