"""Why a weights file does not fit, in words a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vidcore.weights._layouts import recognised
from vidcore.weights._match import prefix_hint
from vidcore.weights._report import WeightsReport

_NAMES_SHOWN = 6


def refusal(report: WeightsReport, names: Iterable[str] = ()) -> str:
    """What is missing or wrong, by name, and what to do.

    Args:
        report: of a file that does not fit.
        names: the file's own names, from which its layout is told.
    """
    needed = set(report.needed)
    mismatched = [entry for entry in report.mismatched if entry.name in needed]
    unfit = [entry for entry in report.unfit if entry.name in needed]
    wrong = len(report.missing) + len(mismatched) + len(unfit)
    lines = [
        f"{report.file} does not fit {report.extractor}: {wrong} of the {len(needed)} tensors that its outputs need "
        "are missing or wrong",
        listed("missing", report.missing),
        listed("of another shape", [str(entry) for entry in mismatched]),
        listed("unfit", [str(entry) for entry in unfit]),
        listed("left over", report.left_over),
        *_hints(report, list(names), mismatched),
    ]
    return "\n".join(line for line in lines if line)


def listed(title: str, names: Sequence[str]) -> str:
    """One indented line: how many there are, and the first of them."""
    more = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"  {title} ({len(names)}): {', '.join(names[:_NAMES_SHOWN])}{more}" if names else ""


def _hints(report: WeightsReport, names: list[str], mismatched: Sequence[object]) -> list[str]:
    hints = []
    first = next((entry for entry in report.mismatched if _is_channels(entry.published, entry.wanted)), None)
    if mismatched and first is not None:
        hints.append(
            f"{first.name} reads {first.published[1]} channels in the file and {first.wanted[1]} here (a file for "
            "optical flow has 2); to change it all the same: adapt_weights=true"
        )
    elif any(len(entry.published) == 4 and len(entry.wanted) == 5 for entry in report.mismatched):
        hints.append("kernels of images can be repeated in time: adapt_weights=true")
    if len(report.missing) * 2 > len(report.needed):
        hints += _about_names(report, names)
    return [f"  hint: {hint}" for hint in hints]


def _about_names(report: WeightsReport, names: list[str]) -> list[str]:
    hint = prefix_hint(report.missing, report.left_over)
    if hint:
        return [hint]
    layout = recognised(names)
    looks = f"the file looks like {layout}" if layout else "the file is of no layout that is known here"
    start, own = _common_start(names), _common_start(report.missing)
    lines = [f"{looks}: its names begin with {start!r}, and {report.extractor} has {own!r}"]
    return [*lines, "its own tensors: vidcore weights verify FILE; whose it may be: vidcore list-models"]


def _common_start(names: Sequence[str]) -> str:
    """What most names begin with, as far as they agree; otherwise the first name."""
    if not names:
        return ""
    counts: dict[str, int] = {}
    for name in names:
        head = name.partition(".")[0]
        counts[head] = counts.get(head, 0) + 1
    head, count = max(counts.items(), key=lambda item: item[1])
    same = [name for name in names if name.partition(".")[0] == head]
    if 2 * count < len(names):
        return names[0]
    parts = [name.split(".") for name in same]
    common = []
    for words in zip(*parts, strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return ".".join(common) + ("." if len(common) < len(parts[0]) else "")


def _is_channels(published: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether two kernels differ in their input channels alone, and one of them reads pixels."""
    if len(published) != len(wanted) or len(wanted) not in (4, 5):
        return False
    return (
        published[1] != wanted[1]
        and published[:1] + published[2:] == wanted[:1] + wanted[2:]
        and (min(published[1], wanted[1]) <= 4)
    )
