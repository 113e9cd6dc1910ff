"""What a load did, name by name, and in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidcore.catalog import ExtractorSpec

Shape = tuple[int, ...]
SHORT = 12
"""Digits of a SHA-256 that messages show."""


@dataclass(frozen=True, slots=True)
class Resized:
    """A tensor whose published shape is not the extractor's."""

    name: str
    published: Shape
    wanted: Shape
    rule: str = ""
    """How it was made to fit; empty where nothing makes it fit."""

    def __str__(self) -> str:
        if not self.rule:
            return f"{self.name}: {_shape(self.published)}, expected {_shape(self.wanted)}"
        return f"{self.name}: {_shape(self.published)} -> {_shape(self.wanted)} ({self.rule})"


@dataclass(frozen=True, slots=True)
class Unfit:
    """A tensor of a file whose values cannot be used."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsReport:
    """What a weights file gave an extractor.

    Names are the extractor's own; those under ``left_over`` are the file's after ``Extractor.convert``. A classifier
    that the extractor does not have is left over, and that is fine.
    """

    extractor: str
    source: str
    """What was asked for: a tag, a path, ``hf:owner/repo/file`` or an address."""
    file: str
    sha256: str
    verified: bool
    """Whether a published digest was known, and the file has it."""
    needed: tuple[str, ...]
    """Parameters and buffers of floating-point numbers that the outputs asked for depend on."""
    matched: tuple[str, ...]
    """Parameters and buffers taken from the file, the resized ones among them."""
    missing: tuple[str, ...]
    """The needed ones that the file does not have; empty where it fits."""
    spare: tuple[str, ...]
    """Others that the file does not have: they keep their initial values, and no output depends on them."""
    left_over: tuple[str, ...]
    resized: tuple[Resized, ...]
    mismatched: tuple[Resized, ...]
    """Tensors in a shape that no rule makes fit."""
    unfit: tuple[Unfit, ...]
    """Tensors of integers, with values that are not finite, or of zeros where no trained network has them."""
    converted: tuple[str, ...] = ()
    """Number formats of the file that were converted: ``float16``, ``bfloat16``."""
    averaged: str = ""
    """Where the file keeps the averaged weights that were taken instead of the raw ones."""
    prefix: str = ""
    """What was taken off the file's names."""
    layout: str = ""
    """Whose names the file has, where they are not those the extractor's publishers use."""
    random: tuple[str, ...] = ()
    """Parameters that no published file has and the options ask for: they keep their random values."""
    note: str = ""

    @property
    def fits(self) -> bool:
        """Whether all that the outputs asked for need is there and sound."""
        needed = set(self.needed)
        wrong = {entry.name for entry in self.mismatched} | {entry.name for entry in self.unfit}
        return not self.missing and not wrong & needed

    @property
    def matched_fraction(self) -> float:
        """Of the needed parameters and buffers, the share that came from the file: 1 where it fits."""
        return sum(name in set(self.matched) for name in self.needed) / len(self.needed) if self.needed else 1.0

    def line(self) -> str:
        """``NAME: weights FILE (sha256 ..., ...), all N tensors``: what a command prints of an extractor."""
        return f"{self.extractor}: weights {self.words()}"

    def words(self) -> str:
        """The tag or the file with the beginning of its hash, and what is remarkable about it."""
        facts = []
        if self.averaged:
            facts.append(f"averaged ones ({self.averaged})")
        if self.layout:
            facts.append(f"{self.layout} names")
        facts += [f"{kind} converted" for kind in self.converted]
        facts += [f"{len(self.resized)} resized"] * bool(self.resized)
        facts += [f"{len(self.random)} tensors of its own options random"] * bool(self.random)
        hashed = file_in_words(self.source, self.sha256, self.verified, facts)
        return f"{hashed}; {self.note}" if self.note else hashed

    def summary(self) -> str:
        """Counts in one line: how much matched, from which file, with which hash."""
        needed = set(self.needed)
        count = sum(name in needed for name in self.matched)
        part = "all" if count == len(needed) else f"{count} of"
        return f"{self.line()}: {part} {len(needed)} needed tensors, {len(self.left_over)} left over"

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON-ready data, for a run folder."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [self.summary(), f"  source  {self.source}", f"  file    {self.file}", f"  sha256  {self.sha256}"]
        for title, entries in (
            ("missing", self.missing),
            ("of another shape", self.mismatched),
            ("unfit", self.unfit),
            ("resized", self.resized),
            ("random, as the options ask", self.random),
            ("absent, and not needed by the outputs asked for", self.spare),
            ("left over", self.left_over),
        ):
            if entries:
                lines.append(f"{title} ({len(entries)})")
                lines += [f"  {entry}" for entry in entries]
        return "\n".join(lines)


def file_in_words(source: str, sha256: str, verified: bool, facts: Sequence[str] = ()) -> str:
    """``k400 (sha256 ..., as published)``: a tag, or the name of a file, with the beginning of its hash and facts."""
    hashed = f"sha256 {sha256[:SHORT]}{', as published' if verified else ''}"
    return f"{source if _is_tag(source) else Path(source).name} ({', '.join([hashed, *facts])})"


def without_weights(spec: ExtractorSpec, parameters: bool = True) -> str:
    """Words for an extractor that loaded nothing: random weights, and the name that loads published ones."""
    if not parameters:
        return "no parameters"
    if not spec.weights:
        return "random weights; none are published"
    tags = [f"{spec.name}.{info.tag}" for info in spec.weights]
    return f"random weights; published ones: {', '.join(tags[:3])}{f' +{len(tags) - 3}' if len(tags) > 3 else ''}"


def _is_tag(source: str) -> bool:
    return not any(sign in source for sign in "/\\:") and not Path(source).exists()


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
