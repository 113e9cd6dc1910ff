"""How long it takes to say what is installed, beside timm's own listing.

Run: uv run python benchmarks/list_models.py
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from paired import command, pair


def main() -> None:
    vidcore = shutil.which("vidcore") or str(Path(sys.executable).with_name("vidcore"))
    result = pair(
        command(vidcore, "list-models"),
        command(sys.executable, "-c", "import timm; timm.list_models()"),
    )
    print(result.line("list-models, CPU"))
    print(result.line("list-models, wall", "wall_seconds"))


if __name__ == "__main__":
    main()
