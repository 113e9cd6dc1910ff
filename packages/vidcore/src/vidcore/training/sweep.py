"""The numbers of a grid: crossing them, and choosing among them by what came out."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidcore.config import GridConfig, TrainConfig
from vidcore.errors import DataError
from vidcore.training.grid import GridResult
from vidcore.training.member import GridMember, MemberResult


def members_of(grid: GridConfig, config: TrainConfig, folds: Iterable[int] = (0,)) -> list[GridMember]:
    """Every combination of rate and decay with every seed and fold."""
    if config.lr is None:
        raise DataError("train.lr is open; with_budget fills it in")
    return [
        GridMember(lr, decay, seed, fold)
        for lr in grid.lr or (config.lr,)
        for decay in grid.weight_decay or (config.weight_decay,)
        for seed in grid.seed or (config.seed,)
        for fold in folds
    ]


@dataclass(frozen=True, slots=True)
class Combination:
    """A learning rate and a weight decay, over all their seeds and folds.

    mean, std   of the validation score of the best epochs; std over the members, ``None`` where there is one
    loss        mean validation loss of those epochs, by which combinations are compared
    loss_error  its standard error over the members; ``None`` where there is one
    failed      members that did not come to their end: a combination with one is behind those without
    """

    lr: float
    weight_decay: float
    members: int
    failed: int
    mean: float
    std: float | None
    loss: float
    loss_error: float | None
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
        """The one with the lowest mean loss."""
        return self.combinations[0]

    @property
    def ties(self) -> int:
        """How many others validate less than one standard error worse, so that chance may have chosen."""
        best, *others = self.combinations
        if best.loss_error is None:
            return 0
        return sum(not other.failed and other.loss < best.loss + best.loss_error for other in others)

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
    """Compare the combinations of learning rate and weight decay by their mean validation loss.

    Raises:
        DataError: there are no validation clips to compare them by.
    """
    together: dict[tuple[float, float], list[MemberResult]] = defaultdict(list)
    for member in result.members:
        together[member.member.lr, member.member.weight_decay].append(member)
    if all(member.validation is None for member in result.members if not member.failure):
        raise DataError("members of a grid are compared by their validation clips, and there are none")
    combinations = [_combination(lr, decay, members) for (lr, decay), members in together.items()]
    # A loss that is no number is behind every other.
    order = sorted(combinations, key=lambda c: (c.failed > 0, math.isnan(c.loss), c.loss, c.lr, c.weight_decay))
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
        loss_error=statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else None,
        best_epoch=statistics.fmean(one.best_epoch or 0 for one in ended) if ended else math.nan,
    )
