"""How long it takes to say what is installed, beside timm's own listing; every plugin of the workspace must be there.

Run: uv run python benchmarks/list_models.py
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from paired import Cost, command, pair
from vidcore.catalog import installed

RUNS = 5
PACKAGES = Path(__file__).parents[1] / "packages"


def main() -> None:
    # Both sides read compiled modules, as they do for whoever installed them.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    loaded = {plugin.distribution for plugin in installed().plugins if not plugin.error}
    missing = sorted({folder.name for folder in PACKAGES.iterdir()} - loaded)
    if missing:
        sys.exit(f"not installed, or failed to load: {', '.join(missing)}")
    print(f"{len(installed().entries('extractor'))} extractors of {len(loaded)} plugins; {RUNS} runs of each, in turn")
    vidcore = shutil.which("vidcore", path=str(Path(sys.executable).parent)) or sys.exit("no vidcore by this python")
    result = pair(
        command(vidcore, "list-models"), command(sys.executable, "-c", "import timm; timm.list_models()"), runs=RUNS
    )
    for figure in ("cpu_seconds", "wall_seconds"):
        label = figure.replace("_", " ")
        ratio, low, high = result.ratio(figure)
        print(f"{label:<14}vidcore list-models   {_spread(result.ours, figure)}")
        print(f"{label:<14}timm.list_models()    {_spread(result.peer, figure)}")
        print(f"{label:<14}timm / vidcore        {ratio:6.1f}    ({low:.1f} to {high:.1f})")


def _spread(costs: Sequence[Cost], figure: str) -> str:
    values = [getattr(cost, figure) for cost in costs]
    return f"{statistics.median(values):6.3f} s  ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
