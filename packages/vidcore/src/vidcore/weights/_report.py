"""What a load did, name by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Resized:
    """A tensor whose published shape is not the extractor's."""

    name: str
    published: Shape
    wanted: Shape
    rule: str = ""
    """How it was made to fit; empty where nothing makes it fit."""

    def __str__(self) -> str:
        rule = f" ({self.rule})" if self.rule else ""
        return f"{self.name}: {_shape(self.published)} -> {_shape(self.wanted)}{rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsReport:
    """What a weights file gave an extractor.

    Names under ``matched``, ``missing``, ``resized`` and ``mismatched`` are the extractor's own, those
    under ``left_over`` the file's after ``Extractor.convert``. A classifier that the extractor does
    not have is left over, and that is fine.
    """

    extractor: str
    source: str
    """What was asked for: a tag, a path, ``hf:owner/repo/file`` or an address."""
    file: str
    sha256: str
    verified: bool
    """Whether a published digest was known, and the file has it."""
    matched: tuple[str, ...]
    """Parameters and buffers taken from the file, the resized ones among them."""
    missing: tuple[str, ...]
    """Parameters and buffers that the file does not give; they keep their initial values."""
    left_over: tuple[str, ...]
    resized: tuple[Resized, ...]
    mismatched: tuple[Resized, ...]
    """The missing ones that the file has in a shape no rule makes fit."""
    matched_fraction: float
    """Of the extractor's parameters, counted by element, the share that came from the file."""
    matched_buffer_fraction: float
    """The same for its buffers of floating-point numbers: running means and variances."""

    def summary(self) -> str:
        """One line: how much matched, from which file, with which hash."""
        resized = f", {len(self.resized)} resized" if self.resized else ""
        checked = "verified" if self.verified else "no published hash to check"
        return (
            f"{self.extractor}: {self.matched_fraction:.1%} of the parameters from {Path(self.file).name} "
            f"(sha256 {self.sha256[:12]}, {checked}); {len(self.matched)} tensors matched, "
            f"{len(self.missing)} missing, {len(self.left_over)} left over{resized}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON-ready data, for a run folder."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [self.summary(), f"  source  {self.source}", f"  file    {self.file}", f"  sha256  {self.sha256}"]
        for title, entries in (
            ("missing", self.missing),
            ("left over", self.left_over),
            ("resized", self.resized),
            ("of another shape", self.mismatched),
        ):
            if entries:
                lines.append(f"{title} ({len(entries)})")
                lines += [f"  {entry}" for entry in entries]
        return "\n".join(lines)


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
