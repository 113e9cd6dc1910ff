"""The numbers of a grid: reading them, crossing them, and choosing among them by what came out."""

from __future__ import annotations

import difflib
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vidcore.config import TrainConfig
from vidcore.errors import ConfigError, DataError
from vidcore.training.grid import GridResult
from vidcore.training.member import GridMember, MemberResult

_KEYS = {"lr": "lr", "weight_decay": "weight_decay", "wd": "weight_decay", "seed": "seed", "seeds": "seed"}
_SYNTAX = "--grid lr=1e-4,3e-4,1e-3 --grid wd=0,0.05"


@dataclass(frozen=True, slots=True)
class Grid:
    """Values to cross; where there are none, the configuration's own is the only one."""

    lr: tuple[float, ...] = ()
    weight_decay: tuple[float, ...] = ()
    seed: tuple[int, ...] = ()

    def members(self, config: TrainConfig, folds: Iterable[int] = (0,)) -> list[GridMember]:
        """Every combination with every seed and fold."""
        return [
            GridMember(lr, decay, seed, fold)
            for lr in self.lr or (config.lr,)
            for decay in self.weight_decay or (config.weight_decay,)
            for seed in self.seed or (config.seed,)
            for fold in folds
        ]


def parse_grid(texts: Iterable[str]) -> Grid:
    """Read ``lr=1e-4,3e-4 wd=0,0.05``: keys ``lr``, ``wd`` (or ``weight_decay``) and ``seed``, each with its values.

    Keys are separated by spaces, by commas, or by being texts of their own: a value belongs to the key before it.

    Raises:
        ConfigError: an unknown key, one that is there twice, no value, one that is no number or out of range.
    """
    found: dict[str, list[float]] = {}
    for text in texts:
        key = ""
        for part in text.replace(",", " ").split():
            name, equals, value = part.rpartition("=")
            if equals:
                key = _key(name, found)
                found[key] = []
            elif not key:
                raise ConfigError(f"the grid has a value without a key, {part!r}; write: {_SYNTAX}")
            if value:
                found[key].append(_number(key, value, found[key]))
    empty = [key for key, values in found.items() if not values]
    if not found or empty:
        what = f"gives {empty[0]} no value" if empty else "is empty"
        raise ConfigError(f"the grid {what}; write: {_SYNTAX}")
    return Grid(
        tuple(found.get("lr", ())),
        tuple(found.get("weight_decay", ())),
        tuple(int(seed) for seed in found.get("seed", ())),
    )


@dataclass(frozen=True, slots=True)
class Combination:
    """A learning rate and a weight decay, over all their seeds and folds.

    mean, std   of the validation score of the best epochs; std over the members, ``None`` where there is one
    loss        mean validation loss of those epochs
    failed      members that did not come to their end: a combination with one is behind those without
    """

    lr: float
    weight_decay: float
    members: int
    failed: int
    mean: float
    std: float | None
    loss: float
    best_epoch: float


@dataclass(frozen=True, slots=True)
class GridChoice:
    """The best combination and all of them, best first.

    The score of the best of many, each at its best epoch, is too good: it has been chosen by the clips it is
    measured on. Judge the choice on clips that took no part in it.
    """

    score: str
    combinations: tuple[Combination, ...]

    @property
    def best(self) -> Combination:
        """The one with the best mean score; of equal ones, the one with the lowest loss."""
        return self.combinations[0]

    def rows(self) -> list[dict[str, float | int | None]]:
        """One row per combination, best first."""
        return [
            {
                "lr": c.lr,
                "weight_decay": c.weight_decay,
                "members": c.members,
                "failed": c.failed,
                f"val_{self.score}": c.mean,
                f"val_{self.score}_std": c.std,
                "val_loss": c.loss,
                "best_epoch": c.best_epoch,
            }
            for c in self.combinations
        ]


def choose(result: GridResult) -> GridChoice:
    """Compare the combinations of learning rate and weight decay by their mean validation score.

    Raises:
        DataError: there are no validation clips to compare them by.
    """
    together: dict[tuple[float, float], list[MemberResult]] = defaultdict(list)
    for member in result.members:
        together[member.member.lr, member.member.weight_decay].append(member)
    if all(member.validation is None for member in result.members if not member.failure):
        raise DataError("members of a grid are compared by their validation clips, and there are none")
    sign = 1 if result.lower_is_better else -1
    combinations = [_combination(lr, decay, members) for (lr, decay), members in together.items()]
    # A score that is no number is behind every other.
    order = sorted(
        combinations, key=lambda c: (c.failed > 0, math.isnan(c.mean), sign * c.mean, c.loss, c.lr, c.weight_decay)
    )
    return GridChoice(result.score, tuple(order))


def member_rows(result: GridResult) -> list[dict[str, float | int | str | None]]:
    """One row per member, for ``grid.csv``."""
    return [
        {
            "lr": one.member.lr,
            "weight_decay": one.member.weight_decay,
            "seed": one.member.seed,
            "fold": one.member.fold,
            "best_epoch": one.best_epoch,
            f"val_{result.score}": one.training.best_score,
            "val_loss": one.training.best_loss,
            "failure": one.failure,
        }
        for one in result.members
    ]


def _combination(lr: float, decay: float, members: Sequence[MemberResult]) -> Combination:
    ended = [one.training for one in members if one.failure is None]
    scores = [math.nan if one.best_score is None else one.best_score for one in ended]
    losses = [math.nan if one.best_loss is None else one.best_loss for one in ended]
    return Combination(
        lr,
        decay,
        members=len(members),
        failed=len(members) - len(ended),
        mean=statistics.fmean(scores) if scores else math.nan,
        std=statistics.stdev(scores) if len(scores) > 1 else None,
        loss=statistics.fmean(losses) if losses else math.nan,
        best_epoch=statistics.fmean(one.best_epoch or 0 for one in ended) if ended else math.nan,
    )


def _key(name: str, found: Mapping[str, object]) -> str:
    if name not in _KEYS:
        near = difflib.get_close_matches(name, _KEYS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "keys: lr, wd, seed"
        raise ConfigError(f"unknown key {name!r} in the grid; {hint}")
    if _KEYS[name] in found:
        raise ConfigError(f"the grid names {_KEYS[name]!r} twice; put its values into one: {name}=1,2")
    return _KEYS[name]


def _number(key: str, text: str, before: Sequence[float]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"the grid's {key} has a value that is no number: {text!r}; write: {_SYNTAX}") from None
    lowest = "above 0" if key == "lr" else "0 or above" if key == "weight_decay" else "a whole number from 0 on"
    good = {"lr": value > 0, "weight_decay": value >= 0, "seed": value >= 0 and value == value // 1 and value < 2**32}
    if not math.isfinite(value) or not good[key]:
        raise ConfigError(f"the grid's {key} is {text}; must be {lowest}")
    if value in before:
        raise ConfigError(f"the grid's {key} has {text} twice")
    return value
