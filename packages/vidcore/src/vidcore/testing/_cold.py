"""What a declaring module imports, found in a fresh interpreter."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

# The heaviest thing that listing models may import (the plugin's own package comes with it).
ALLOWED = frozenset({"pluggy", "click", "colorama", "vidcore"})

_PROBE = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


class NotImportableError(Exception):
    """The module cannot be imported in a fresh interpreter."""


@functools.cache
def warm_imports(module: str) -> list[str]:
    """Top-level packages that importing ``module`` brings in and a cold module may not.

    Raises:
        NotImportableError: it cannot be imported there; the text is the last line of the error.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, module], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise NotImportableError((done.stderr.strip().splitlines() or ["no output"])[-1])
    allowed = ALLOWED | sys.stdlib_module_names | {module.partition(".")[0]}
    return [name for name in json.loads(done.stdout.splitlines()[-1]) if name not in allowed]
