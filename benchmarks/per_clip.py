"""CPU seconds and bytes of one clip, from which docs/scale.md works out what millions of them cost.

Run: uv run python benchmarks/per_clip.py [--data FOLDER] [--models NAME ...] [--frames N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from vidcore.assemble import create
from vidcore.data.clips import read_clip
from vidcore.data.manifest import Row, iter_rows, write_manifest
from vidcore.data.sampling import Sampling
from vidcore.data.spans import spans
from vidcore.extract.hashing import hash_file
from vidcore.runtime import OneDnnConvolutions

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "actions"
MANIFEST_ROWS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--models", nargs="+", default=["x3d/s", "dinov2/vits14"])
    parser.add_argument("--frames", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    videos = [row.video for row in iter_rows(options.data)]
    size = statistics.mean(video.stat().st_size for video in videos)
    print(
        f"{len(videos)} videos of {size / 1e3:.0f} kB, {options.frames} frames spread over each; CPU seconds, 1 thread"
    )
    sampling = Sampling("uniform", options.frames)
    report("hash", [cpu_seconds(lambda video=video: hash_file(video)) for video in videos])
    report("decode", [cpu_seconds(lambda video=video: read_clip(video, sampling)) for video in videos])
    clip = read_clip(videos[0], sampling).frames[None]
    for name in options.models:
        extractor = create(name)
        # As a lane of the extraction engine computes.
        with torch.inference_mode(), OneDnnConvolutions():
            maps = extractor.features(clip)
            times = [cpu_seconds(lambda extractor=extractor: extractor.features(clip)) for _ in range(5)]
        fmap = next(iter(maps.values()))
        report(f"{name}: {fmap.data.numel() * 4} bytes of map, {fmap.dim * fmap.steps * 4} of sequence, float32", times)
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "rows.csv"
        write_manifest(
            (Row(Path(folder) / f"{n // 1000:05}/{n:09}.mp4", "class") for n in range(MANIFEST_ROWS)), manifest
        )
        print(f"manifest: {manifest.stat().st_size / MANIFEST_ROWS:.0f} bytes a row")
        report("manifest, a row", [cpu_seconds(lambda: list(spans(manifest, 256))) / MANIFEST_ROWS for _ in range(3)])


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process while ``work`` runs."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def report(what: str, seconds: list[float]) -> None:
    """Median with the smallest and largest figure."""
    print(f"{what}: {statistics.median(seconds):.2g} s ({min(seconds):.2g} to {max(seconds):.2g}, n={len(seconds)})")


if __name__ == "__main__":
    main()
