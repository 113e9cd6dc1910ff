"""The one call: a module, a source, a report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from vidcore.catalog import ExtractorSpec
from vidcore.errors import WeightsError
from vidcore.weights._match import match
from vidcore.weights._read import read_tensors
from vidcore.weights._report import WeightsReport

THRESHOLD = 0.95


class Loadable(Protocol):
    """A network that knows its published weights and how their names map to its own."""

    spec: ExtractorSpec

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors -> tensors under the network's own names."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Parameters and persistent buffers by name."""
        ...

    def named_parameters(self, *, remove_duplicate: bool) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool) -> Any:
        """Copy tensors in."""
        ...

    def __setattr__(self, name: str, value: Any) -> None: ...


def load_weights(module: Loadable, source: str) -> WeightsReport:
    """Load published weights into ``module``; the report is kept as ``module.weights_report``.

    Raises:
        WeightsError: the file is absent or unreadable, or less than 95 % of the parameters match.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise WeightsError(f"no weights file {source!r} for {module.spec.name}")
    published = read_tensors(path)
    wanted = module.state_dict()
    if set(published) != set(wanted):
        published = module.convert(published)
    names = [name for name, _ in module.named_parameters(remove_duplicate=False)]
    found = match(wanted, names, published)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    report = WeightsReport(
        extractor=module.spec.name,
        source=source,
        file=str(path),
        sha256=digest,
        verified=False,
        matched=tuple(found.state),
        missing=found.missing,
        left_over=found.left_over,
        resized=found.resized,
        mismatched=found.mismatched,
        matched_fraction=found.parameter_fraction,
        matched_buffer_fraction=found.buffer_fraction,
    )
    if min(report.matched_fraction, report.matched_buffer_fraction) < THRESHOLD:
        raise WeightsError(f"{path} does not fit {module.spec.name}\n{report}")
    module.load_state_dict(found.state, strict=False)
    module.weights_report = report
    return report
