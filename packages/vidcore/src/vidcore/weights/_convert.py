"""Published files rewritten under an extractor's own names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from vidcore.cache import share_like_folder
from vidcore.errors import WeightsError
from vidcore.weights._report import WeightsReport

OWN_NAMES = "vidcore.extractor"
"""Key of a safetensors header: the tensors are under this extractor's own names."""


def save_converted(out: Path, report: WeightsReport, state: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, with what they were made from in the header; all of the file or none.

    Raises:
        WeightsError: the file cannot be written.
    """
    header = {"format": "pt", OWN_NAMES: report.extractor, "vidcore.source_sha256": report.sha256}
    temporary = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        os.close(handle)
        # Tensors of one published storage, tied ones for instance, may not share memory in safetensors.
        save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, temporary, header)
        share_like_folder(Path(temporary))
        Path(temporary).replace(out)
    except OSError as exc:
        raise WeightsError(f"cannot write {out}: {exc.strerror or exc}") from exc
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
