"""The columns of a comparison: one table that the terminal, CSV, Markdown and the page all read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vidcore.analysis.comparison import units
from vidcore.analysis.comparison.costs import BATCH, Cost
from vidcore.analysis.comparison.row import Baseline, Row
from vidcore.analysis.comparison.significance import METHOD, Difference

Plain = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: its name in CSV and JSON, with the unit.
        header: its name for people; empty for what another column's text says as well.
        plain: the value as a number.
        text: the value for people.
        narrow: shown in the terminal's 100 characters.
        definition: what it is, where the header does not say it.
    """

    key: str
    header: str
    plain: Callable[[Row], Plain]
    text: Callable[[Row], str]
    narrow: bool = False
    definition: str = ""


def verdict(found: Difference, *, beaten: bool = True) -> str:
    """Whether a row differs from the best: ``worse, p 0.003``, ``no difference shown``; with its reason where short.

    Args:
        found: the row against the best one.
        beaten: whether the best row is shown to beat every baseline; one that does not is not called best.
    """
    if found.verdict == "best" and not beaten:
        return "chance not ruled out"
    return f"worse, p {units.chance(found.p)}" if found.verdict == "worse" else found.verdict


def mean_and_std(row: Row) -> str:
    """``0.833 ± 0.051`` over the folds; empty without folds."""
    mean, std = row.score.fold_mean, row.score.fold_std
    return units.share(mean) if std is None else f"{units.share(mean)} ± {units.share(std)}"


def beats_baselines(row: Row) -> bool:
    """Whether every baseline is shown to be worse than the best row; where nothing was tested, it is not shown."""
    return bool(row.baselines) and all(one.difference.verdict == "worse" for one in row.baselines)


def baseline_text(column: Column, found: Baseline) -> str:
    """What stands in a column for a baseline; nothing where it does not apply."""
    if column.key == "difference":
        return verdict(found.difference)
    texts = {"row": found.label, "score": units.share(found.score), "score_low": units.interval(found.interval95)}
    return texts.get(column.key, "")


def columns(metric: str) -> list[Column]:
    """All columns of rows whose task score is ``metric``."""
    return [label_column(), *score_columns(metric), *cost_columns()]


def label_column() -> Column:
    """Which row it is."""
    return Column("row", "row", lambda r: r.label, lambda r: r.label, True)


def score_columns(metric: str) -> list[Column]:
    """What a row is worth, and whether it differs from the best."""
    shown = metric.replace("_", " ")
    return [
        Column("metric", "", lambda r: r.metric, lambda r: r.metric),
        Column("score", shown, lambda r: r.score.value, lambda r: units.share(r.score.value), True,
               "of all tested clips together"),
        Column("score_low", "95 % interval", lambda r: _limit(r, 0), lambda r: units.interval(r.score.interval95),
               True, "jackknife over groups (clips where there are none) with Student's t; none for fewer than 10"),
        Column("score_high", "", lambda r: _limit(r, 1), lambda r: ""),
        Column("fold_mean", "mean over folds", lambda r: r.score.fold_mean, mean_and_std,
               definition="another quantity: every fold counts alike; ± standard deviation between folds"),
        Column("fold_std", "", lambda r: r.score.fold_std, lambda r: ""),
        Column("macro_f1", "macro F1", lambda r: r.macro_f1, lambda r: units.share(r.macro_f1), True,
               "F1 of each class that occurs, averaged without weights"),
        Column("precision", "precision", lambda r: r.precision, lambda r: units.share(r.precision),
               definition="of each class that occurs, averaged without weights"),
        Column("recall", "recall", lambda r: r.recall, lambda r: units.share(r.recall),
               definition="of each class that occurs, averaged without weights"),
        Column("difference", "against the best", lambda r: r.difference.verdict,
               lambda r: verdict(r.difference, beaten=beats_baselines(r)), True, METHOD),
    ]  # fmt: skip


def cost_columns() -> list[Column]:
    """What a row takes, and what its extractors were before training."""
    return [
        Column("trained_parameters", "trained", lambda r: r.trained, lambda r: units.count(r.trained),
               definition="parameters that were trained"),
        Column("parameters", "params", lambda r: r.parameters, lambda r: units.count(r.parameters),
               definition="all parameters, frozen ones included"),
        Column("flops", "FLOPs", _of("flops"), lambda r: units.count(_cost(r, "flops")),
               definition="of the extractors for one clip; a multiplication and an addition are two"),
        Column("latency_seconds", "latency", _of("latency"), lambda r: units.seconds(_cost(r, "latency")), True,
               "of the extractors for one clip alone, without decoding and resizing"),
        Column("clips_per_second", "clips/s", _of("throughput"), lambda r: _rate(_cost(r, "throughput")),
               definition=f"of the extractors, in batches of {BATCH}"),
        Column("peak_memory_bytes", "peak memory", _of("peak_memory"), lambda r: units.size(_cost(r, "peak_memory")),
               definition=f"of the extractors, with a batch of {BATCH}"),
        Column("extraction_seconds", "extraction", lambda r: r.extraction_seconds, _extraction,
               definition="time spent on features of frozen extractors; stored: another run had extracted them"),
        Column("training_seconds", "training", lambda r: r.training_seconds,
               lambda r: units.seconds(r.training_seconds), definition="time in training steps, over all folds"),
        Column("width", "width", lambda r: r.width, lambda r: str(r.width or ""),
               definition="channels of the extractors together"),
        Column("weights", "weights", lambda r: r.weights, lambda r: r.weights,
               definition="before training: the file and its sha256, or random"),
    ]  # fmt: skip


def _limit(row: Row, which: int) -> float | None:
    return row.score.interval95[which] if row.score.interval95 else None


def _cost(row: Row, name: str) -> Any:
    return getattr(row.cost, name) if isinstance(row.cost, Cost) else None


def _of(name: str) -> Callable[[Row], Plain]:
    return lambda row: _cost(row, name)


def _rate(number: float | None) -> str:
    return "" if number is None else f"{number:.1f}" if number < 100 else f"{number:.0f}"


def _extraction(row: Row) -> str:
    if row.extraction_seconds is None:
        return "in training"
    return units.seconds(row.extraction_seconds) if row.extracted_clips else "stored"
