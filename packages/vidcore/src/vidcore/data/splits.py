"""Training, validation and test sets, and cross-validation folds, that share no source and miss no class.

Rows of one group, and rows cut from one video, always stay together. A class that is missing from any part is an
error: its metric there would be a number about nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vidcore.errors import DataError

from ._rows import SPLITS, Row
from ._stratify import UnitCounts, by_shares, equally, some_of

Fractions = tuple[float, float, float]
DEFAULT_FRACTIONS: Fractions = (0.7, 0.15, 0.15)


@dataclass(frozen=True, slots=True)
class Splits:
    """Positions of the rows of each part, ascending. ``test`` is empty where rows name splits and none is a test."""

    train: list[int]
    val: list[int]
    test: list[int]

    def named(self) -> dict[str, list[int]]:
        """The parts that have rows, by name."""
        return {name: rows for name in SPLITS if (rows := getattr(self, name))}


def split_rows(rows: Sequence[Row], fractions: Fractions = DEFAULT_FRACTIONS, *, seed: int = 0) -> Splits:
    """Divide rows into training, validation and test parts.

    Rows that name their split keep it; where none of them is for validation, that part is drawn from the training
    rows. Otherwise whole groups are dealt out by iterative stratification (Sechidis et al., On the Stratification of
    Multi-Label Data, ECML 2011): the rarest class first, each group to the part that lacks its class most.

    Args:
        rows: Rows; without labels the parts are only balanced in size.
        fractions: Shares of train, val and test; they sum to 1, and a share of 0 leaves the part empty.
        seed: Decides between equals; the same seed and rows give the same parts.

    Raises:
        DataError: Fractions that are none; a class with one video or too few groups; a class missing from a part; a
            group or video in two parts; rows of which only some name a split.
    """
    _check_fractions(fractions)
    if not rows:
        raise DataError("there are no rows to split")
    units = _units(rows)
    named = sum(row.split is not None for row in rows)
    if named:
        if named < len(rows):
            raise DataError(
                f"{named} of {len(rows)} rows name a split and the others do not; fill the column 'split' or remove it"
            )
        return _given(rows, units, fractions, seed)
    wanted = {name: share for name, share in zip(SPLITS, fractions, strict=True) if share > 0}
    parts = _deal(rows, units, list(range(len(rows))), wanted, seed)
    return Splits(*(sorted(parts.get(name, [])) for name in SPLITS))


def folds(rows: Sequence[Row], k: int, *, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """``k`` pairs of training and test positions; every row is in one test part. Groups and classes as in split_rows.

    Raises:
        DataError: ``k`` below 2, fewer groups than ``k``, or a class missing from a part of a fold.
    """
    if k < 2:
        raise DataError(f"cross-validation needs at least 2 folds; got {k}")
    units = _units(rows)
    order = list(dict.fromkeys(units))
    _refuse_one_group(rows)
    if len(order) < k:
        raise DataError(f"{k} folds need at least {k} groups (or ungrouped videos); there are {len(order)}")
    if all(row.label is not None for row in rows):
        _check_units(rows, units, k, "folds")
    order = [order[place] for place in np.random.RandomState(seed).permutation(len(order))]
    homes = dict(zip(order, equally(_counts(rows, units, order), k).tolist(), strict=True))
    tests: list[list[int]] = [[] for _ in range(k)]
    for place, unit in enumerate(units):
        tests[homes[unit]].append(place)
    found = [(_others(test, len(rows)), test) for test in tests]
    for number, (train, test) in enumerate(found, 1):
        _check_classes(rows, {f"the training part of fold {number}": train, f"the test part of fold {number}": test})
    return found


def fold_splits(rows: Sequence[Row], k: int | Literal["group"], val_fraction: float, *, seed: int = 0) -> list[Splits]:
    """Cross-validation with validation rows: the share ``val_fraction`` of each training part, drawn as in split_rows.

    Splits that rows name are not looked at.

    Args:
        rows: the data.
        k: number of folds, or ``"group"``: one fold for each group, in sorted order. There a class may be missing from
            a test part and from validation rows, never from training rows.
        val_fraction: 0: no validation rows.
        seed: as in split_rows.

    Raises:
        DataError: As ``folds`` or ``leave_one_group_out``; or a class too rare to be in the training and the
            validation part of a fold.
    """
    free = [replace(row, split=None) for row in rows]
    if k == "group":
        pairs = [(train, test) for _, train, test in leave_one_group_out(free)]
    else:
        pairs = folds(free, k, seed=seed)
    found = []
    for number, (train, test) in enumerate(pairs, 1):
        drawn = Splits(list(range(len(train))), [], [])
        if val_fraction > 0:
            inner = [free[i] for i in train]
            try:
                if k == "group":
                    drawn = _validation_of(inner, val_fraction, seed)
                else:
                    drawn = split_rows(inner, (1 - val_fraction, val_fraction, 0.0), seed=seed)
            except DataError as exc:
                raise DataError(
                    f"no validation rows can be drawn from the training part of fold {number} of {len(pairs)}: {exc}; "
                    "or do without them: data.val_fraction=0"
                ) from exc
        found.append(Splits([train[i] for i in drawn.train], [train[i] for i in drawn.val], test))
    return found


def unequal_folds(rows: Sequence[Row], parts: Sequence[Splits]) -> str:
    """A sentence on folds of very different sizes, which a mean over folds weighs alike; empty where there are none."""
    sizes = [len(part.test) for part in parts]
    if not sizes or max(sizes) < 2 * min(sizes):
        return ""
    largest = parts[sizes.index(max(sizes))].test
    groups = {rows[place].group for place in largest}
    alone = f", all of group {rows[largest[0]].group!r}" if len(groups) == 1 and None not in groups else ""
    return (
        f"the folds are unequal: {min(sizes)} to {max(sizes)} test rows, the largest {max(sizes) / sum(sizes):.0%} of "
        f"all{alone}; the pooled score weighs every row alike, the mean over folds does not"
    )


def leave_one_group_out(rows: Sequence[Row]) -> list[tuple[str, list[int], list[int]]]:
    """One ``(group, training positions, test positions)`` for each group, in sorted order.

    Raises:
        DataError: A row without a group, fewer than two groups, or a class that only one group has.
    """
    groups = sorted({row.group for row in rows if row.group is not None})
    bare = sum(row.group is None for row in rows)
    if bare or len(groups) < 2:
        raise DataError(
            f"leaving one group out needs a group for every row and at least two groups; "
            f"{bare} rows have none and there are {len(groups)} groups: fill the column 'group'"
        )
    found = []
    for group in groups:
        train = [i for i, row in enumerate(rows) if row.group != group]
        test = [i for i, row in enumerate(rows) if row.group == group]
        missing = {rows[i].label for i in test} - {rows[i].label for i in train}
        if missing:
            raise DataError(f"only group {group!r} has the class {min(map(str, missing))!r}; it cannot be left out")
        found.append((group, train, test))
    return found


def _units(rows: Sequence[Row]) -> list[Hashable]:
    """What must stay together: the group, or else the video."""
    groups: dict[Hashable, str | None] = {}
    for row in rows:
        if groups.setdefault(row.video, row.group) != row.group:
            raise DataError(
                f"{row.video} is in two groups, {groups[row.video]!r} and {row.group!r}; "
                "rows cut from one video belong to one group"
            )
    return [row.video if row.group is None else row.group for row in rows]


def _given(rows: Sequence[Row], units: list[Hashable], fractions: Fractions, seed: int) -> Splits:
    homes: dict[Hashable, str] = {}
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for position, (row, unit) in enumerate(zip(rows, units, strict=True)):
        split = str(row.split)
        home = homes.setdefault(unit, split)
        if home != split:
            what = f"group {unit!r}" if row.group is not None else f"{unit}"
            raise DataError(f"{what} is in two splits, {home} and {split}; put all of its rows into one")
        parts[split].append(position)
    if not parts["train"]:
        raise DataError("no row is in the split 'train'; change the column 'split', or remove it")
    if not parts["val"] and fractions[1] > 0:
        share = fractions[1] / (fractions[0] + fractions[1])
        wanted = {"train": 1 - share, "val": share}
        parts |= _deal(rows, units, parts["train"], wanted, seed)
    splits = Splits(parts["train"], sorted(parts["val"]), parts["test"])
    _check_classes(rows, splits.named())
    return splits


def _deal(
    rows: Sequence[Row], units: list[Hashable], positions: list[int], shares: dict[str, float], seed: int
) -> dict[str, list[int]]:
    """Deal whole units out to parts so that each gets its share of every class."""
    chosen = [rows[i] for i in positions]
    _refuse_one_group(chosen)
    _check_units(chosen, [units[i] for i in positions], len(shares), "parts")
    members: dict[Hashable, list[int]] = defaultdict(list)
    for position in positions:
        members[units[position]].append(position)
    order = list(members)
    np.random.default_rng(seed).shuffle(order)
    homes = by_shares(_counts(chosen, [units[i] for i in positions], order), list(shares.values()))
    parts: dict[str, list[int]] = {name: [] for name in shares}
    names = list(shares)
    for unit, home in zip(order, homes, strict=True):
        parts[names[home]] += members[unit]
    _check_classes(rows, parts)
    return {name: sorted(part) for name, part in parts.items()}


def _validation_of(rows: Sequence[Row], fraction: float, seed: int) -> Splits:
    """Validation rows for leaving groups out: whole groups near the share of every class, without which every class
    still has a training row; a class may be missing from validation.
    """
    units = _units(rows)
    order = list(dict.fromkeys(units))
    order = [order[place] for place in np.random.default_rng(seed).permutation(len(order))]
    taken = set(some_of(_counts(rows, units, order), fraction).tolist())
    if not taken:
        raise DataError("each of its groups has a class that no other group has")
    chosen = {unit for number, unit in enumerate(order) if number in taken}
    val = [place for place, unit in enumerate(units) if unit in chosen]
    return Splits(_others(val, len(rows)), val, [])


def _counts(rows: Sequence[Row], units: Sequence[Hashable], order: Sequence[Hashable]) -> UnitCounts:
    return UnitCounts.of(units, [str(row.label) for row in rows], order)


def _others(some: Sequence[int], count: int) -> list[int]:
    """The places below ``count`` that are not among ``some``."""
    known = set(some)
    return [place for place in range(count) if place not in known]


def _refuse_one_group(rows: Sequence[Row]) -> None:
    groups = {row.group for row in rows}
    if len(rows) > 1 and len(groups) == 1 and None not in groups:
        raise DataError(
            f"all {len(rows)} rows are in one group, {rows[0].group!r}, and a group is never divided; give the column "
            "'group' what each video was cut from or shows, or remove it"
        )


def _check_units(rows: Sequence[Row], units: Sequence[Hashable], parts: int, what: str) -> None:
    samples: dict[str, list[Row]] = defaultdict(list)
    sources: dict[str, set[Hashable]] = defaultdict(set)
    for row, unit in zip(rows, units, strict=True):
        samples[str(row.label)].append(row)
        sources[str(row.label)].add(unit)
    for label in sorted(sources):
        who = "the data" if samples[label][0].label is None else f"class {label!r}"
        if len(samples[label]) == 1:
            raise DataError(
                f"{who} has one video ({samples[label][0].video}); {parts} {what} need at least {parts}: "
                "add some, or leave the class out"
            )
        if len(sources[label]) < parts:
            names = ", ".join(sorted(str(source) for source in sources[label]))
            raise DataError(
                f"{who} comes from {len(sources[label])} sources ({names}); {parts} {what} that share none "
                f"need at least {parts}: add videos from others, or ask for fewer {what}"
            )


def _check_classes(rows: Sequence[Row], parts: dict[str, list[int]]) -> None:
    everywhere = {row.label for part in parts.values() for row in map(rows.__getitem__, part)}
    for name, part in parts.items():
        missing = sorted(str(label) for label in everywhere - {rows[i].label for i in part})
        if missing:
            count = sum(str(row.label) == missing[0] for row in rows)
            raise DataError(
                f"class {missing[0]!r} ({count} rows) is missing from {name}"
                + (f", and {len(missing) - 1} more classes" if len(missing) > 1 else "")
                + "; add videos of it from other groups, change the column 'split' or the seed, or leave the class out"
            )


def _check_fractions(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or fractions[0] <= 0:
        raise DataError(
            f"fractions are {tuple(fractions)}; give the shares of train, val and test, such as (0.7, 0.15, 0.15): "
            "none negative, summing to 1, some of it for train"
        )
