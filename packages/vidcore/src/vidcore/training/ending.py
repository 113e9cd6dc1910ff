"""How a sitting ends: done, out of time, stopped or failed; and what is said about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from vidcore.errors import RunError, VidcoreError
from vidcore.training.interruption import RunInterruptedError
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder


@contextmanager
def last_words(run: RunFolder, progress: Progress) -> Iterator[None]:
    """Whatever ends the run is written to ``progress.json`` and the log, with what to do next."""
    try:
        yield
    except (RunInterruptedError, KeyboardInterrupt) as exc:
        what = str(exc) or "stopped"
        kept = (
            f"go on with: {run.resume_command}"
            if _can_resume(run)
            else f"no step was finished; begin anew with: {run.resume_command}"
        )
        progress.end("stopped", what)
        progress.log(what)
        raise RunInterruptedError(f"{what}\n  {kept}") from exc
    except OSError as exc:
        full = exc.errno == errno.ENOSPC
        message = f"the disk is full ({exc})" if full else f"{type(exc).__name__}: {exc}"
        progress.end("failed", message)
        if not full:
            raise
        raise RunError(f"{message}\n  free some space and go on with: {run.resume_command}") from exc
    except VidcoreError as exc:
        progress.end("failed", str(exc))
        progress.log(f"failed: {exc}")
        raise
    except BaseException as exc:
        progress.end("failed", f"{type(exc).__name__}: {exc}")
        raise


def _can_resume(run: RunFolder) -> bool:
    kept = ("checkpoints/*.pt", "folds/*/checkpoints/*.pt", "folds/*/results.json", "grid.json")
    return any(any(run.root.glob(pattern)) for pattern in kept)
