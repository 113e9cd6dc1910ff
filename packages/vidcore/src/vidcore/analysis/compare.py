"""Which extractor, or which combination, is best for these clips: trained and tested side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcore.analysis.comparison import plan
from vidcore.analysis.comparison.cells import cross, labels
from vidcore.analysis.comparison.comparison import Comparison, ranked
from vidcore.analysis.comparison.costs import Costs
from vidcore.analysis.comparison.folder import Base, ComparisonFolder
from vidcore.analysis.comparison.ground import Ground
from vidcore.analysis.comparison.notes import notes_of
from vidcore.analysis.comparison.row import Failed
from vidcore.analysis.comparison.runner import cell_config, in_order, run_cells
from vidcore.analysis.comparison.summary import row_of
from vidcore.analysis.comparison.weights import weights_lines
from vidcore.catalog import Registry, installed
from vidcore.config.early import check_parts
from vidcore.errors import ConfigError
from vidcore.training.preparation import open_data
from vidcore.training.progress import Progress


def compare(
    extractors: Sequence[str] = (),
    *,
    data: str | None = None,
    fusions: Sequence[str] = (),
    readouts: Sequence[str] = (),
    heads: Sequence[str] = (),
    folds: int | str | None = None,
    out: str | os.PathLike[str] | None = None,
    file: str | os.PathLike[str] | None = None,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    told: Callable[[str], None] = lambda line: None,
    show: bool = False,
) -> Comparison:
    """Train every composition on the same segments, folds, seed and budget, and say which is best.

    Every row is an ordinary run folder below ``out/cells``. What is done is skipped, what was stopped goes on, what
    failed is tried again; more names add rows to those that are there. Without any name, what is left undone is done.

    Args:
        extractors: ``"A"`` for one, ``"A+B"`` for two that are fused, ``"A=FILE"`` for one with weights of a file.
        data: a folder, manifest or data set.
        fusions: how the fused ones become one; by default ``concat``.
        readouts: by default ``mean``.
        heads: by default ``classification``.
        folds: of the cross-validation, by default 5, or ``"group"``: one per group. 0: one split instead.
        out: the folder of the comparison; by default ``comparisons/<data>``.
        file: a YAML run configuration whose sections ``data`` and ``train`` all rows share.
        choices: more keys of these two sections.
        overrides: ``train.epochs=3``, or of a component ``NAME.options.KEY=VALUE`` and ``NAME.freeze=true``.
        registry: components; by default those installed.
        told: hears one line per step.
        show: print what every single run prints.

    Raises:
        ConfigError, UnknownNameError, ManifestError, DataError: before anything is trained.
        RunError: the rows in ``out`` were made on other data, folds, seed or budget; the message lists what differs.
        RunInterruptedError: Ctrl-C or SIGTERM; the same call goes on.
    """
    registry = registry or installed()
    names = [name for text in extractors for name in plan.names_of(text)] + [*fusions, *readouts, *heads]
    base_overrides, settings = plan.divide(overrides, names)
    given = plan.given(data, folds, choices)
    config_file = Path(file) if file is not None else None
    folder = ComparisonFolder(Path(out) if out is not None else plan.default_folder(config_file, given))
    found = plan.combinations(extractors, settings)
    if not found and folder.read_base() is None:
        raise ConfigError(f"there is nothing to compare in {folder.root}: name extractors, or the folder with --out")
    with folder.locked():
        before = folder.read_base()
        config = plan.base_config(
            config_file, given, base_overrides, before.config if before else None, found, registry
        )
        cells = cross(
            found,
            plan.choices(fusions, "concat", settings),
            plan.choices(readouts, "mean", settings),
            plan.choices(heads, "classification", settings),
        )
        cells, left = plan.without_classifier(cells, registry)
        for line in left:
            told(line)
        with Progress(show=show) as progress:
            source = open_data(config, registry, progress)
        base = Base(config, source.fingerprint)
        for cell in cells:
            check_parts(cell_config(folder, base, cell, registry), registry)
        base = folder.hold_to(base)
        for cell in cells:
            if folder.state(cell) == "new":
                folder.write_record(cell)
        costs = Costs(folder, base, registry)
        ordered = in_order(folder.read_cells(), lambda cell: cell_config(folder, base, cell, registry), registry)
        for line in weights_lines(folder, ordered, registry):
            told(line)
        try:
            run_cells(folder, base, ordered, Ground(folder, source, registry, show), registry, told, show=show)
            costs.measure(ordered, told)
        finally:
            # Also of a comparison that was stopped: what is done can be looked at.
            comparison = summarise(folder, base, costs)
            comparison.write()
    return comparison


def summarise(folder: ComparisonFolder, base: Base, costs: Costs) -> Comparison:
    """The comparison as its folder holds it."""
    cells = folder.read_cells()
    named = dict(zip((cell.slug for cell in cells), labels(cells), strict=True))
    rows, failed = [], []
    for cell in cells:
        state, label = folder.state(cell), named[cell.slug]
        if state == "done":
            rows.append(row_of(folder, cell, label, costs.of(cell)))
        else:
            failed.append(Failed(cell, label, folder.error(cell) or "not done yet"))
    found = ranked(rows)
    return Comparison(
        folder.root,
        base,
        found,
        tuple(failed),
        (*costs.notes, *costs.seen([row.cell for row in found]), *notes_of(folder, found)),
    )
