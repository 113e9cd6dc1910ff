"""``comparison.html``: the whole comparison on one page that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from markupsafe import Markup

from vidcore.analysis.comparison import units
from vidcore.analysis.comparison.columns import Column, columns, cost_columns, label_column, score_columns
from vidcore.analysis.comparison.plots import Point, score_against_cost
from vidcore.analysis.comparison.row import Row
from vidcore.analysis.pages import pages
from vidcore.analysis.plots import confusion

if TYPE_CHECKING:
    from vidcore.analysis.comparison.comparison import Comparison

_WORDS = {"row": "row", "difference": "verdict", "weights": "weights"}
# More matrices than this make a page that nobody scrolls through; the others are in the JSON.
MATRICES = 12


def comparison_page(found: Comparison) -> str:
    """The page as text."""
    template = pages().get_template("comparison/comparison.html.j2")
    return template.render(
        name=f"Comparison on {found.base.config.data.source}",
        width="76rem",
        answer=found.answer(),
        base=found.base.in_words(),
        definitions=[(column.header, column.definition) for column in columns(found.metric) if column.definition],
        tables=[
            (title, _table(found.rows, [label_column(), *(column for column in part if column.header)]))
            for title, part in (("Scores", score_columns(found.metric)), ("Cost and make", cost_columns()))
            if found.rows
        ],
        plot=_plot(found.rows, found.metric),
        tests=[_test(number, row) for number, row in enumerate(found.rows, 1) if row.difference.clips],
        clips=max((row.difference.clips for row in found.rows), default=0),
        independent=_independent(found.rows),
        numbers=any(row.answers and not row.answers.classes for row in found.rows),
        matrices=list(_matrices(found.rows)),
        failed=found.failed,
        notes=found.notes,
        fingerprint=found.base.fingerprint,
        folder=found.root,
        config=yaml.safe_dump(found.base.tree, sort_keys=False, allow_unicode=True),
    )


def _table(rows: Iterable[Row], shown: Sequence[Column]) -> dict[str, Any]:
    css = [_WORDS.get(column.key, "n") for column in shown]
    return {
        "heads": [(column.header, kind) for column, kind in zip(shown, css, strict=True)],
        "rows": [
            (row.difference.verdict, [(column.text(row), kind) for column, kind in zip(shown, css, strict=True)])
            for row in rows
        ],
    }


def _plot(rows: Sequence[Row], metric: str) -> Markup | None:
    panels = []
    for label, unit, name in (("latency of a clip", "s", "latency"), ("FLOPs of a clip", "", "flops")):
        points = [
            Point(number, cost, row.score.mean, row.score.interval95, row.cell.fusion is not None)
            for number, row in enumerate(rows, 1)
            if row.metric == metric and row.cost and (cost := getattr(row.cost, name))
        ]
        if points:
            panels.append((label, unit, points))
    # The SVG is our own drawing; names in it were escaped by matplotlib.
    if not panels:
        return None
    return Markup(score_against_cost(panels, metric.replace("_", " "), lower_is_better=rows[0].lower_is_better))


def _test(number: int, row: Row) -> dict[str, Any]:
    found = row.difference
    return {
        "number": number,
        "label": row.label,
        "difference": f"{found.difference:+.3f}",
        "interval": units.interval(found.interval95, sign=True),
        "only_best": found.only_best,
        "only_row": found.only_row,
        "p": units.chance(found.p),
        "p_holm": units.chance(found.p_holm),
        "finding": f"{found.verdict}: {found.reason}" if found.reason else found.verdict,
    }


def _independent(rows: Iterable[Row]) -> str:
    tested = next((row.difference for row in rows if row.difference.clips), None)
    if tested is None or tested.units == tested.clips:
        return "taken for independent"
    return f"{tested.units} independent groups"


def _matrices(rows: Iterable[Row]) -> Iterable[dict[str, Any]]:
    for number, row in list(enumerate(rows, 1))[:MATRICES]:
        if row.confusion:
            yield {"number": number, "label": row.label, "svg": Markup(confusion(row.confusion, row.classes))}
