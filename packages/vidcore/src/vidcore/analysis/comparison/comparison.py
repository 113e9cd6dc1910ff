"""What a comparison found: rows, the best first, and how it is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidcore.analysis.comparison import units
from vidcore.analysis.comparison.folder import Base, ComparisonFolder
from vidcore.analysis.comparison.row import Failed, Row
from vidcore.analysis.comparison.significance import METHOD, against_best
from vidcore.analysis.comparison.table import csv_table, markdown_table, terminal_table
from vidcore.training.files import write_json, write_text


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Rows of one comparison.

    Attributes:
        root: its folder.
        base: what all rows have in common.
        rows: those that are done, the best first; where heads have different scores, score by score.
        failed: those that are not, and why.
        notes: what a reader must know: skipped videos, rows of different versions.
    """

    root: Path
    base: Base
    rows: tuple[Row, ...]
    failed: tuple[Failed, ...] = ()
    notes: tuple[str, ...] = ()

    def contests(self) -> list[list[tuple[int, Row]]]:
        """Rows that can be compared, those with the same score, each with its number in the tables (from 1)."""
        found: dict[str, list[tuple[int, Row]]] = {}
        for number, row in enumerate(self.rows, 1):
            found.setdefault(row.metric, []).append((number, row))
        return list(found.values())

    def table(self, width: int = 100, *, wide: bool = False) -> str:
        """The table for a terminal of ``width`` characters, one per score; ``wide`` shows every column."""
        return "\n\n".join(terminal_table(contest, width, wide=wide) for contest in self.contests())

    def answer(self) -> list[str]:
        """The finding in sentences: the best row, those no worse, the cheapest of them; for each score."""
        found = [sentence for contest in self.contests() for sentence in _answer([row for _, row in contest])]
        return found or ["No row is done."]

    def footnotes(self) -> list[str]:
        """Failed cells with their errors, then the notes."""
        tested = any(row.difference.clips for row in self.rows)
        return [
            *(f"not done: {item.label}: {item.error.splitlines()[0]}" for item in self.failed),
            *([f"worse: {METHOD}"] if tested else []),
            *self.notes,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data: everything but the answers about single clips, which are in the runs."""
        return {
            "format": 1,
            "fingerprint": self.base.fingerprint,
            "base": self.base.tree,
            "answer": self.answer(),
            "rows": [row.as_dict() for row in self.rows],
            "baselines": [line.as_dict() for contest in self.contests() for line in contest[0][1].baselines],
            "failed": [item.as_dict() for item in self.failed],
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """The table with what it rests on, as Markdown."""
        lines = [f"# Comparison on {self.base.config.data.source}", "", *self.answer(), "", self.base.in_words(), ""]
        lines += [line for contest in self.contests() for line in (markdown_table(contest), "")]
        return "\n".join([*lines, *(f"- {note}" for note in self.footnotes())]).rstrip() + "\n"

    def write(self) -> list[Path]:
        """Write ``comparison.csv``, ``.json``, ``.md`` and ``.html`` to the folder, and return their paths.

        Raises:
            RunError: a file cannot be written.
        """
        # Drawing needs matplotlib, which a table on the terminal does not.
        from vidcore.analysis.comparison.page import comparison_page

        folder = ComparisonFolder(self.root)
        write_text(folder.result("csv"), csv_table(self.rows))
        write_json(folder.result("json"), self.as_dict())
        write_text(folder.result("md"), self.markdown())
        write_text(folder.result("html"), comparison_page(self))
        return [folder.result(kind) for kind in ("csv", "json", "md", "html")]


def ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Metric by metric the best first, equals by cost; each tested against the best, baselines as well."""
    found: list[Row] = []
    for metric in sorted({row.metric for row in rows}):
        ordered = sorted((row for row in rows if row.metric == metric), key=_rank)
        answered = [row.answers for row in ordered if row.answers]
        if len(answered) < len(ordered):
            # Rows of one metric have answers that can be paired, or none has.
            found += ordered
            continue
        lines = next((row.baselines for row in ordered if row.baselines), ())
        tested = against_best([*answered, *(line.answers for line in lines)], 0)
        known = tuple(replace(line, difference=item) for line, item in zip(lines, tested[len(ordered) :], strict=True))
        found += [
            replace(row, difference=item, baselines=known)
            for row, item in zip(ordered, tested[: len(ordered)], strict=True)
        ]
    return tuple(found)


def _rank(row: Row) -> tuple[float, float]:
    return (
        row.score.value if row.lower_is_better else -row.score.value,
        row.cost.latency if row.cost and row.cost.latency else 0.0,
    )


def _answer(rows: Sequence[Row]) -> Iterator[str]:
    best, *others = rows
    worse = [row for row in others if row.difference.verdict == "worse"]
    equal = [row for row in others if row.difference.verdict == "no difference shown"]
    yield from _headline(best, [row for row in equal if row.score.value == best.score.value])
    if worse:
        yield f"Shown to be worse: {'; '.join(row.label for row in worse)}."
    lower = [row for row in equal if row.score.value != best.score.value]
    if lower:
        yield f"No difference shown to: {'; '.join(row.label for row in lower)}."
    if not equal and others and not worse:
        yield "The rows were not tested against each other."
    reason = best.difference.reason
    if reason:
        yield f"Nothing can be shown: {reason}."
    priced = [row for row in [best, *equal] if row.cost and row.cost.latency is not None]
    if equal and priced:
        cheapest = min(priced, key=lambda row: (row.cost.latency if row.cost else 0.0) or 0.0)
        took = units.seconds(cheapest.cost.latency if cheapest.cost else None)
        yield f"The cheapest of these is {cheapest.label}: {took} a clip."


def _headline(best: Row, tied: Sequence[Row]) -> Iterator[str]:
    """The best row, or those tied; whether it is shown to beat the baselines, without which it is not called best."""
    metric = best.metric.replace("_", " ")
    limits = f" (95 % interval {units.interval(best.score.interval95)})" if best.score.interval95 else ""
    names = _joined([best.label, *(row.label for row in tied)])
    stands = [line for line in best.baselines if line.difference.verdict != "worse"]
    if tied:
        yield f"{names} are tied at {metric} {units.share(best.score.value)}{limits}."
    else:
        first = "Lowest" if best.lower_is_better else "Highest"
        word = "Best" if best.baselines and not stands else first
        yield f"{word}: {names}, {metric} {units.share(best.score.value)}{limits}."
    for line in stands:
        who = "None of them is" if tied else "It is not"
        yield f"{who} shown to beat {line.label.replace(': ', ' (')}, {units.share(line.score)})."
    if best.baselines and not stands:
        lines = ", ".join(f"{line.name} {units.share(line.score)}" for line in best.baselines)
        yield f"Better than {'chance' if best.metric == 'accuracy' else 'the baselines'}: {lines}."


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
