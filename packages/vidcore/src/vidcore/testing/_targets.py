"""Targets that heads are built for."""

from __future__ import annotations

from typing import Literal

from vidcore.heads.base import TargetInfo

TargetKind = Literal["class", "multilabel", "position", "count"]
TARGET_KINDS: tuple[TargetKind, ...] = ("class", "multilabel", "position", "count")


def target_info(kind: TargetKind) -> TargetInfo:
    """Four classes, unequally frequent, where the kind has classes."""
    if kind in ("class", "multilabel"):
        return TargetInfo(kind, ("kick", "push", "hug", "point"), (40, 30, 20, 10))
    return TargetInfo(kind)
