"""``comparison.html``: the whole comparison on one page that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from markupsafe import Markup

from vidcore.analysis.comparison import units
from vidcore.analysis.comparison.columns import (
    Column,
    baseline_text,
    columns,
    cost_columns,
    label_column,
    score_columns,
)
from vidcore.analysis.comparison.plots import Point, score_against_cost
from vidcore.analysis.comparison.row import Row
from vidcore.analysis.comparison.significance import METHOD, Difference
from vidcore.analysis.comparison.table import Numbered
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
    contests = found.contests()
    return template.render(
        name=f"Comparison on {found.base.config.data.source}",
        width="76rem",
        answer=found.answer(),
        base=found.base.in_words(),
        contests=[_contest(contest, alone=len(contests) == 1) for contest in contests],
        definitions=[(column.header, column.definition) for column in columns("score") if column.definition],
        failed=found.failed,
        notes=found.notes,
        fingerprint=found.base.fingerprint,
        folder=found.root,
        config=yaml.safe_dump(found.base.tree, sort_keys=False, allow_unicode=True),
    )


def _contest(rows: Numbered, *, alone: bool) -> dict[str, Any]:
    best_number, best = rows[0]
    metric = best.metric.replace("_", " ")
    tested = [(number, row) for number, row in rows if row.difference.clips]
    return {
        "about": "" if alone else f": {metric}",
        "best": best_number,
        "tables": [
            (title, _table(rows, [label_column(), *(column for column in part if column.header)]))
            for title, part in (("Scores", score_columns(best.metric)), ("Cost and make", cost_columns()))
        ],
        "plot": _plot(rows, metric),
        "tests": [
            *(_test(str(number), row.label, row.difference) for number, row in tested[1:]),
            *(_test("", line.label, line.difference) for line in best.baselines),
        ],
        "method": METHOD,
        "clips": max((row.difference.clips for _, row in tested), default=0),
        "independent": _independent([row for _, row in tested]),
        "numbers": best.answers is not None and not best.answers.classes,
        "matrices": list(_matrices(rows)),
    }


def _table(rows: Numbered, shown: Sequence[Column]) -> dict[str, Any]:
    lines = rows[0][1].baselines if any(column.key == "score" for column in shown) else ()
    css = [_WORDS.get(column.key, "n") for column in shown]
    return {
        "heads": [(column.header, kind) for column, kind in zip(shown, css, strict=True)],
        "rows": [
            (number, row.difference.verdict, [(c.text(row), kind) for c, kind in zip(shown, css, strict=True)])
            for number, row in rows
        ]
        + [
            ("", "baseline", [(baseline_text(c, line), kind) for c, kind in zip(shown, css, strict=True)])
            for line in lines
        ],
    }


def _plot(rows: Numbered, metric: str) -> Markup | None:
    panels = []
    for label, unit, name in (("latency of a clip", "s", "latency"), ("FLOPs of a clip", "", "flops")):
        points = [
            Point(number, cost, row.score.value, row.score.interval95, row.cell.fusion is not None)
            for number, row in rows
            if row.cost and (cost := getattr(row.cost, name))
        ]
        if points:
            panels.append((label, unit, points))
    if not panels:
        return None
    # The SVG is our own drawing; names in it were escaped by matplotlib.
    return Markup(score_against_cost(panels, metric, lower_is_better=rows[0][1].lower_is_better))


def _test(number: str, label: str, found: Difference) -> dict[str, Any]:
    return {
        "number": number,
        "label": label,
        "difference": f"{found.difference:+.3f}",
        "interval": units.interval(found.interval95, sign=True),
        "only_best": found.only_best,
        "only_row": found.only_row,
        "p": units.chance(found.p),
        "finding": f"{found.verdict}: {found.reason}" if found.reason else found.verdict,
    }


def _independent(tested: Sequence[Row]) -> str:
    if not tested or tested[0].difference.units == tested[0].difference.clips:
        return "taken for independent"
    return f"{tested[0].difference.units} independent groups"


def _matrices(rows: Numbered) -> Iterable[dict[str, Any]]:
    for number, row in rows[:MATRICES]:
        if row.confusion:
            yield {"number": number, "label": row.label, "svg": Markup(confusion(row.confusion, row.classes))}
