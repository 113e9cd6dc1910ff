"""What the first lines of a script import: each of these costs seconds, and none is needed to build an extractor."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "lightning_fabric",
    "matplotlib",
    "sklearn",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch._inductor",
    "torchmetrics",
    "torchvision",
    "transformers",
}


def test_building_an_extractor_and_reaching_for_load_import_nothing_heavy():
    code = (
        "import sys, vidcore\n"
        "vidcore.create('basic/keypoints')\n"
        "vidcore.load\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()) == (0, []), ran.stderr


def test_completion_sees_what_is_imported_when_it_is_used():
    code = (
        "import sys, vidcore\n"
        "assert {'create', 'load', 'compare', 'evaluate', 'read_clip', 'list_models'} <= set(dir(vidcore))\n"
        "assert 'torch' not in sys.modules\n"
        "assert callable(vidcore.compare) and callable(vidcore.evaluate) and callable(vidcore.read_clip)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
