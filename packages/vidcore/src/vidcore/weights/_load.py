"""The one call: a module, a source, a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from vidcore.catalog import ExtractorSpec
from vidcore.errors import WeightsError
from vidcore.weights._convert import OWN_NAMES
from vidcore.weights._find import FoundFile, check_digest, find_weights
from vidcore.weights._match import Match, match, prefix_hint
from vidcore.weights._read import Published, read_published
from vidcore.weights._report import WeightsReport

ENOUGH = 0.95
"""The share of the parameters, and of the running statistics, that a file must give."""
_NAMES_SHOWN = 8


class Loadable(Protocol):
    """A module that knows its published weights and how their names become its own: an extractor.

    It may also have ``position_grids``, a mapping from the name of a position table to its grid,
    (rows, columns) or (steps, rows, columns). Without it a table of positions is taken for a square grid.
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


def load_weights(module: Loadable, source: str) -> WeightsReport:
    """Load published weights into an extractor; the report is kept as ``module.weights_report``.

    The module is changed only if the weights fit.

    Args:
        module: an extractor, on a real device.
        source: a tag of its published weights, a file or folder, ``hf:owner/repo/file`` or an https address.

    Raises:
        WeightsError: the file is not here and cannot be fetched, is not the published one (SHA-256), cannot
            be read, or gives less than 95 % of the parameters (or of the running statistics).
    """
    report, state = _compare(module, find_weights(module.spec, source))
    if not fits(report):
        raise WeightsError(refusal(report))
    if any(tensor.is_meta for tensor in module.state_dict().values()):
        raise WeightsError(f"{report.extractor} is on the meta device, where there is nothing to load into")
    module.load_state_dict(state, strict=False)
    module.weights_report = report
    return report


def compare_weights(module: Loadable, found: FoundFile) -> WeightsReport:
    """The report that loading would give; the module, which may be on the meta device, stays as it is.

    Raises:
        WeightsError: the file is not the published one or cannot be read.
    """
    return _compare(module, found)[0]


def convert_weights(module: Loadable, found: FoundFile) -> tuple[WeightsReport, dict[str, Tensor]]:
    """The report, and the file's tensors under the module's own names and in its shapes.

    Raises:
        WeightsError: as ``load_weights``.
    """
    report, state = _compare(module, found)
    if not fits(report):
        raise WeightsError(refusal(report))
    return report, state


def fits(report: WeightsReport) -> bool:
    """Whether enough of the extractor matched."""
    return min(report.matched_fraction, report.matched_buffer_fraction) >= ENOUGH


def refusal(report: WeightsReport) -> str:
    """Why the weights do not fit, with the first names and a hint where a prefix is all that is wrong."""
    short = report.matched_fraction < ENOUGH
    share, what = (
        (report.matched_fraction, "parameters")
        if short
        else (report.matched_buffer_fraction, "buffers (running statistics)")
    )
    lines = [
        f"{report.file} does not fit {report.extractor}: {share:.1%} of its {what} match, "
        f"and at least {ENOUGH:.0%} must",
        _names("missing", report.missing),
        _names("left over", report.left_over),
        _names("of another shape", [str(entry) for entry in report.mismatched]),
    ]
    hint = prefix_hint(report.missing, report.left_over)
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(line for line in lines if line)


def _names(title: str, names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"  {title} ({len(names)}): {', '.join(names[:_NAMES_SHOWN])}{more}" if names else ""


def _compare(module: Loadable, found: FoundFile) -> tuple[WeightsReport, dict[str, Tensor]]:
    sha256, verified = check_digest(module.spec, found)
    wanted = module.state_dict()
    tensors = _converted(module, read_published(found.path), wanted, found)
    parameters = dict(module.named_parameters(remove_duplicate=False))
    result = match(wanted, parameters, tensors, getattr(module, "position_grids", {}))
    return _report(module.spec, found, sha256, verified, result), result.state


def _converted(
    module: Loadable, published: Published, wanted: Mapping[str, Tensor], found: FoundFile
) -> dict[str, Tensor]:
    own = published.metadata.get(OWN_NAMES) == module.spec.name
    if own or published.tensors.keys() == wanted.keys():
        return published.tensors
    try:
        return module.convert(dict(published.tensors))
    except (KeyError, ValueError) as exc:
        names = list(published.tensors)
        raise WeightsError(
            f"{found.path} does not hold the published weights of {module.spec.name}: "
            f"{type(exc).__name__} {exc}\n{_names('the file holds', names).lstrip()}"
        ) from exc


def _report(spec: ExtractorSpec, found: FoundFile, sha256: str, verified: bool, result: Match) -> WeightsReport:
    return WeightsReport(
        extractor=spec.name,
        source=found.source,
        file=str(found.path.absolute()),
        sha256=sha256,
        verified=verified,
        matched=tuple(result.state),
        missing=result.missing,
        left_over=result.left_over,
        resized=tuple(result.resized),
        mismatched=tuple(result.mismatched),
        matched_fraction=result.parameter_fraction,
        matched_buffer_fraction=result.buffer_fraction,
    )
