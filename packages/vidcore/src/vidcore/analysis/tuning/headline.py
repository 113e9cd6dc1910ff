"""What a search found, in a sentence: the test score of the chosen setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def headline(found: Mapping[str, Any]) -> list[str]:
    """The test score of the first kept setting with its interval, and why validation scores are not the result.

    Args:
        found: what ``Tuning.as_dict`` gives.
    """
    best, test = found["kept"][0], found["kept"][0]["test"]
    higher = f"the validation scores are the best of {len(found['trials'])} trials and too high: quote the test score"
    if test is None:
        return ["there are no test rows, so there is no result to quote: the validation scores chose the setting"]
    limits = test["interval95"]
    interval = f" (95 % interval {limits[0]:.4f} to {limits[1]:.4f})" if limits else f" ({test['interval']})"
    name = test["name"].replace("_", " ")
    return [f"test {name} of trial {best['trial'] + 1}: {test['value']:.4f}{interval}, {test['clips']} clips", higher]


def test_score(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The score of a run on its test rows with its interval; ``None`` where there are no test rows.

    Of several heads, whose own score is the validation loss, it is the first score of the first head.
    """
    test, name = results["test"], results["score"]["name"]
    if test["split"] != "test":
        return None
    name = name if name in test["scores"] else next(iter(test["scores"]))
    score = test["scores"][name]
    return {
        "name": name,
        "value": score["value"],
        "interval95": score.get("interval95"),
        "clips": test["clips"],
        "interval": test.get("interval", ""),
    }
