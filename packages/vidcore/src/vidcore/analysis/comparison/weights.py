"""What weights the rows of a comparison have, told before they are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.catalog import ExtractorSpec, Registry
from vidcore.config import ExtractorChoice
from vidcore.errors import WeightsError
from vidcore.weights import check_digest, file_in_words, find_weights, without_weights


def weights_lines(folder: ComparisonFolder, cells: Sequence[Cell], registry: Registry) -> Iterator[str]:
    """One line per extractor of the rows that are not done: its file or tag with the hash, or that it is random."""
    told = set()
    for cell in cells:
        if folder.state(cell) == "done":
            continue
        for choice in cell.extractors:
            line = _line(choice, registry)
            if line not in told:
                told.add(line)
                yield line


def _line(choice: ExtractorChoice, registry: Registry) -> str:
    entry, tag = registry.find("extractor", choice.name)
    spec = entry.spec
    if not isinstance(spec, ExtractorSpec):
        return f"{choice.name}: declared as {type(spec).__name__}"
    source = tag or choice.options.get("weights")
    if not source:
        return f"{spec.name}: {without_weights(spec, spec.parameters != 0)}"
    try:
        sha256, verified = check_digest(spec, find_weights(spec, source, download=False))
    except WeightsError:
        # Not here yet, or not the published file: its row says so.
        return f"{spec.name}: weights {source}"
    return f"{spec.name}: weights {file_in_words(source, sha256, verified)}"
