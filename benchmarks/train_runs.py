"""Whole trainings, as processes: their memory, how soon they begin, what stopping costs, what storing saves."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from paired import measure

LEVELS = {"bright": 200, "dark": 40, "grey": 120}
TINY = ["--extractor", "basic/patch_transformer", "extractors.0.options.width=64", "extractors.0.options.depth=2"]
MEGABYTE = 2**20


def write_videos(folder: Path, each: int, frames: int, side: int) -> Path:
    """``each`` videos of noise for each class, lossless."""
    for number, (label, level) in enumerate(LEVELS.items()):
        (folder / label).mkdir(parents=True)
        for i in range(each):
            generator = np.random.default_rng(100 * number + i)
            with av.open(str(folder / label / f"{i:03}.mkv"), "w") as container:
                stream = container.add_stream("ffv1", rate=10)
                stream.width = stream.height = side
                stream.pix_fmt = "bgr0"
                for _ in range(frames):
                    pixels = np.clip(level + generator.normal(0, 25, (side, side, 3)), 0, 255).astype(np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
    return folder


def memory(repeats: int, device: str) -> None:
    """Target: a frozen extractor costs no more memory than its forward alone."""
    modes = {
        "forward": "the extractor alone, without gradients",
        "frozen": "a probe trained behind it, frozen",
        "trained": "both trained",
    }
    for mode, words in modes.items():
        found = [_child_memory(mode) for _ in range(min(repeats, 2))]
        print(
            f"memory: x3d/s, steps of 4 clips of 13x160x160, {words:<40} {_spread(found, 'MiB', '.0f')} above the model"
        )


def _child_memory(mode: str) -> float:
    done = subprocess.run([sys.executable, __file__, mode], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def measure_memory(mode: str) -> float:
    """MiB that the peak of two steps is above what the process held before; ``mode`` as in ``memory``."""
    import torch
    from vidcore.assemble import assemble
    from vidcore.config import TrainConfig, run_config
    from vidcore.heads.base import TargetInfo
    from vidcore.training.batches import Batch, TrainingData
    from vidcore.training.trainer import Trainer

    torch.set_num_threads(1)
    extractor = {"name": "x3d/s", "freeze": mode != "trained"}
    model = assemble(run_config({"extractors": [extractor]}), TargetInfo("class", ("a", "b"), (4, 4)))
    clips = torch.randint(0, 256, (8, 13, 3, 160, 160), dtype=torch.uint8)
    mask = torch.ones(8, 13, dtype=torch.bool)
    targets = torch.arange(8) % 2

    class Clips:
        def __len__(self) -> int:
            return 8

        def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
            for numbers in plan:
                index = torch.tensor(list(numbers))
                yield Batch(targets[index], mask[index], tuple(numbers), {"x3d/s": clips[index]})

    trainer = Trainer(TrainConfig(epochs=1, batch_size=4, device="cpu"))
    trainer.prepare(model)
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    if mode == "forward":
        model.eval()
        with torch.no_grad():
            for batch in Clips().batches([range(4), range(4, 8)], 0):
                model.encode(batch.clips or {}, batch.mask)
    else:
        trainer.fit(model, TrainingData(Clips()))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held) / MEGABYTE


def start(repeats: int, device: str) -> None:
    """Time from the command to the first optimiser step."""
    with _workplace() as (folder, videos):
        for name, more in (("trained extractor", []), ("frozen extractor", ["extractors.0.freeze=true"])):
            found = []
            for number in range(min(repeats, 5) + 1):
                run = folder / f"{name[0]}{number}"
                found.append(_first_step([*_train(videos, run), *more], run))
            # The first one reads the libraries from the disk.
            walls, cpus, _ = zip(*found[1:], strict=True)
            print(f"start: {name}, 36 tiny videos: wall {_spread(walls, 's')}   CPU {_spread(cpus, 's')}")
        imports = [sys.executable, "-c", "import lightning_fabric, torch, torchvision"]

        def libraries() -> None:
            subprocess.run(imports, check=True, env=_environment())

        costs = [measure(libraries) for _ in range(min(repeats, 5))]
        walls, cpus = zip(*((cost.wall_seconds, cost.cpu_seconds) for cost in costs), strict=True)
        print(f"start: importing torch, torchvision and Fabric: wall {_spread(walls, 's')}   CPU {_spread(cpus, 's')}")


def resume(repeats: int, device: str) -> None:
    """What stopping and going on costs."""
    with _workplace() as (folder, videos):
        # Many more steps than are taken before the signal is sent and heard.
        long = ["train.epochs=120"]
        again, more = [], []
        for number in range(min(repeats, 3)):
            whole, parts = folder / f"whole{number}", folder / f"parts{number}"
            straight = _cpu(_train(videos, whole) + long)
            stopped = _cpu(_train(videos, parts) + long, stop_after=60, run=parts)
            wall, _, resumed = _first_step([_vidcore(), "train", "--resume", str(parts)], parts)
            again.append(wall)
            more.append(stopped + resumed - straight)
            _same_losses(whole, parts)
        print(f"resume: from the command to the first step, wall {_spread(again, 's')}")
        print(f"resume: a run that was stopped and resumed costs more, CPU {_spread(more, 's')}")


def stored(repeats: int, device: str) -> None:
    """Target: at least 50 times faster per epoch."""
    from vidcore.config import run_config
    from vidcore.training import train

    with tempfile.TemporaryDirectory() as name:
        os.environ["VIDCORE_CACHE"] = str(Path(name) / "cache")
        videos = write_videos(Path(name) / "videos", 12, 16, 160)
        seconds = {}
        for mode, jitter in (("stored features", False), ("the frozen extractor in the loop", True)):
            run = train(
                run_config(
                    {
                        "extractors": [{"name": "x3d/s", "freeze": True}],
                        "data": {"source": str(videos), "jitter": jitter},
                        "train": {"epochs": 3, "batch_size": 8, "device": "cpu"},
                        "out": str(Path(name) / "runs"),
                        "name": "stored" if not jitter else "loop",
                    }
                )
            )
            with run.metrics.open() as file:
                seconds[mode] = [float(row["seconds"]) for row in csv.DictReader(file)]
            print(
                f"stored: x3d/s, an epoch of {_train_clips(run.data)} clips with {mode}: {_spread(seconds[mode], 's')}"
            )
        fast, slow = (statistics.median(values) for values in seconds.values())
        print(f"stored: {slow / fast:.0f} times faster per epoch")


def _train_clips(data: Path) -> int:
    return int(json.loads(data.read_text())["splits"]["train"])


@contextmanager
def _workplace() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["VIDCORE_CACHE"] = str(folder / "cache")
        yield folder, write_videos(folder / "videos", 12, 8, 32)


def _vidcore() -> str:
    return shutil.which("vidcore") or str(Path(sys.executable).with_name("vidcore"))


def _train(videos: Path, run: Path) -> list[str]:
    place = ["--data", str(videos), "--out", str(run.parent), "--name", run.name]
    return [_vidcore(), "train", *TINY, *place, "data.size=32", "data.workers=0", "train.device=cpu"]


def _environment() -> dict[str, str]:
    """Without what some containers set, and which has Python compile every library again in every process."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _first_step(command: list[str], run: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds until the first step, and CPU seconds until the end."""
    known = set(run.glob("tensorboard/events*"))
    began, samples = time.time(), []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    while not _is_over(process):
        samples.append((time.time(), _cpu_of(process.pid)))
        time.sleep(0.02)
    total = _waited(process)
    first = _first_point(sorted(set(run.glob("tensorboard/events*")) - known))
    return first - began, max((cpu for when, cpu in samples if when <= first), default=0.0), total


def _first_point(files: Sequence[Path]) -> float:
    """When the first step was written to TensorBoard."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for file in files:
        for event in EventFileLoader(str(file)).Load():
            if any(value.tag == "train/loss" for value in event.summary.value):
                return float(event.wall_time)
    raise RuntimeError("no step was taken")


def _cpu(command: list[str], *, stop_after: int | None = None, run: Path | None = None) -> float:
    """CPU seconds of a command; with ``stop_after`` it is stopped once so many steps were taken."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    while stop_after is not None and run is not None and not _is_over(process):
        if _step(run) >= stop_after:
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.02)
    return _waited(process, stopped=stop_after is not None)


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it still waits to be waited for, and its CPU time with it."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _waited(process: subprocess.Popen[bytes], *, stopped: bool = False) -> float:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not stopped:
        raise RuntimeError(f"exit code {process.returncode}: {process.args}")
    return usage.ru_utime + usage.ru_stime


def _step(run: Path) -> int:
    path = run / "progress.json"
    facts = json.loads(path.read_text()) if path.exists() else {}
    return int(facts.get("step", 0)) if facts.get("phase") == "training" and facts.get("state") == "running" else 0


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _same_losses(one: Path, other: Path) -> None:
    losses = []
    for run in (one, other):
        with (run / "metrics.csv").open() as file:
            losses.append([row["train_loss"] for row in csv.DictReader(file)])
    if losses[0] != losses[1]:
        raise RuntimeError("the resumed run has other losses than the one that was not stopped")


def _spread(values: Sequence[float], unit: str, form: str = ".2f") -> str:
    middle = statistics.median(values)
    return f"{middle:{form}} {unit} ({min(values):{form}} to {max(values):{form}}, n={len(values)})"


if __name__ == "__main__":
    print(measure_memory(sys.argv[1]))
