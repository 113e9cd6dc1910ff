"""Decodes damaged videos and compares every answer with a plain decode of the same bytes.

    python benchmarks/fuzz_decoding.py --mutants 2000 --data ../shared/data

A small video is made in every container and codec that PyAV writes; with --data, small real files are added. Each
mutant has some bytes of one of them changed, wiped, cut, removed, doubled or inserted, and is read by a process that
may crash. What counts:

    refused      an error of vidcore's own that names the file
    whole        all frames, equal to those of the undamaged file
    hidden       frames equal to a plain PyAV decode of the mutant, which differ from the undamaged file: what the codec
                 and container cannot tell
    differs      frames unlike the plain decode's; must be 0
    failed       another exception, a crash, or no answer in time; must be 0
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

OUTCOMES = ("refused", "whole", "hidden", "differs", "failed")
# name: codec, pixel format, options of the codec, of the container, (width, height)
MADE: dict[str, tuple[str, str, dict[str, str], dict[str, str], tuple[int, int]]] = {
    "h264.mp4": ("libx264", "yuv420p", {"bf": "2"}, {}, (64, 48)),
    "faststart.mp4": ("libx264", "yuv420p", {}, {"movflags": "faststart"}, (64, 48)),
    "fragmented.mp4": ("libx264", "yuv420p", {}, {"movflags": "frag_keyframe+empty_moov"}, (64, 48)),
    "hevc.mkv": ("libx265", "yuv420p", {"x265-params": "log-level=none"}, {}, (64, 64)),
    "h264.flv": ("libx264", "yuv420p", {}, {}, (64, 48)),
    "h264.ts": ("libx264", "yuv420p", {}, {}, (64, 48)),
    "h264.avi": ("libx264", "yuv420p", {"bf": "2"}, {}, (64, 48)),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2"}, {}, (64, 48)),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}, {}, (64, 48)),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"bf": "2"}, {}, (64, 48)),
    "mpeg2.mxf": ("mpeg2video", "yuv420p", {}, {}, (64, 48)),
    "vp8.webm": ("libvpx", "yuv420p", {}, {}, (64, 48)),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8"}, {}, (64, 48)),
    "vp8.ivf": ("libvpx", "yuv420p", {}, {}, (64, 48)),
    "vp8.ogv": ("libvpx", "yuv420p", {}, {}, (64, 48)),
    "live.mkv": ("libx264", "yuv420p", {}, {"live": "1"}, (64, 48)),
    "ffv1.mkv": ("ffv1", "yuv420p", {}, {}, (64, 48)),
    "qtrle.mov": ("qtrle", "rgb24", {}, {}, (64, 48)),
    "wmv2.wmv": ("wmv2", "yuv420p", {}, {}, (64, 48)),
    "animation.gif": ("gif", "rgb8", {}, {}, (64, 48)),
    "animation.apng": ("apng", "rgb24", {}, {}, (64, 48)),
    "raw.y4m": ("wrapped_avframe", "yuv420p", {}, {}, (64, 48)),
    "dv.avi": ("dvvideo", "yuv420p", {}, {}, (720, 576)),
}
FRAMES = 12
LARGEST_BYTES = 300_000


def make(path: Path) -> Path | None:
    """Encode one of ``MADE`` at ``path``; None where this build of FFmpeg cannot."""
    codec, pix_fmt, options, container_options, (width, height) = MADE[path.name]
    rows, columns = np.mgrid[:height, :width]
    try:
        with av.open(str(path), "w", options=container_options) as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, pix_fmt, 6
            stream.codec_context.thread_count = 1
            for t in range(FRAMES):
                picture = np.stack([columns * 3 + t * 5, rows * 4 + t * 7, rows + columns + t * 11], -1) % 256
                frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
                frame.pts, frame.time_base = t, Fraction(1, 25)
                for packet in stream.encode(frame.reformat(format=pix_fmt)):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        print(f"not made: {path.name}: {error}", file=sys.stderr)
        path.unlink(missing_ok=True)
        return None
    return path


def mutant(whole: bytes, draw: np.random.Generator) -> bytes:
    """Bytes with one to four faults of the kinds that disks, networks and people make."""
    data = bytearray(whole)
    for _ in range(int(draw.integers(1, 5))):
        size = len(data)
        at = int(draw.integers(size)) if draw.random() < 0.7 else int(draw.integers(min(size, 512)))  # headers too
        span = int(min(size - at, 2 ** draw.integers(0, 13)))
        kind = int(draw.integers(8))
        if kind == 0:
            data[at] ^= 1 << int(draw.integers(8))
        elif kind == 1:
            data[at : at + span] = draw.bytes(span)
        elif kind == 2:
            data[at : at + span] = bytes(span)
        elif kind == 3:
            del data[max(1, at) :]
        elif kind == 4:
            del data[at : at + span]
        elif kind == 5:
            data[at:at] = data[at : at + span]
        elif kind == 6:
            data[at:at] = draw.bytes(span)
        else:
            data[at : at + 4] = bytes(draw.choice([(255,) * 4, (0, 0, 0, 1), (127, 255, 255, 255), (0,) * 4]).tolist())
        if not data:
            return b"\x00"
    return bytes(data)


def plain(path: Path, size: tuple[int, int] | None = None) -> list[np.ndarray]:
    """Frames of a plain PyAV decode that goes on over errors, as players do, in ``size`` (width, height)."""
    frames = []
    options = {"protocol_whitelist": "file", "max_pixels": "10000000"}
    with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
        stream = container.streams.best("video")
        codec = stream.codec_context
        codec.thread_count = 1
        codec.flags |= int(av.codec.context.Flags.unaligned)
        codec.options = {"max_pixels": "10000000"}
        width, height = size or (codec.width, codec.height)
        for packet in container.demux(stream):
            try:
                found = codec.decode(packet)
            except av.FFmpegError:
                continue
            for frame in found:
                if frame.colorspace not in (0, 1, 2, 4, 5, 6, 7, 9):
                    frame.colorspace = 2
                frames.append(frame.to_ndarray(format="rgb24", width=width, height=height))
    return frames


def read(path: Path) -> np.ndarray | str:
    """All frames as vidcore reads them, before any rotation, or the reason why it does not."""
    from vidcore.data._orientation import Orientation
    from vidcore.data.decode import VideoError, VideoReader

    try:
        with VideoReader(path) as reader:
            reader._orientation = Orientation()
            return reader.read(range(len(reader))).permute(0, 2, 3, 1).numpy()
    except VideoError as error:
        return error.reason


def outcome(path: Path, original: list[np.ndarray]) -> tuple[str, str]:
    """One of ``OUTCOMES`` and what to say about it."""
    try:
        found = read(path)
    except Exception:  # noqa: BLE001 - the finding
        return "failed", traceback.format_exc()
    if isinstance(found, str):
        return "refused", found
    expected = plain(path, (found.shape[2], found.shape[1]))
    if len(expected) != len(found) or any(not np.array_equal(a, b) for a, b in zip(expected, found, strict=True)):
        return "differs", f"{len(found)} frames, the plain decode has {len(expected)}"
    same = len(original) == len(found) and all(np.array_equal(a, b) for a, b in zip(original, found, strict=True))
    return ("whole" if same else "hidden"), ""


def sources(folder: Path, data: Path | None) -> list[Path]:
    """The videos made in ``folder``, and the small readable ones below ``data``."""
    made = [path for name in MADE if (path := make(folder / name)) is not None]
    real = sorted(data.rglob("*")) if data is not None else []
    small = [path for path in real if path.is_file() and 0 < path.stat().st_size <= LARGEST_BYTES]
    by_kind: dict[str, list[Path]] = {}
    for path in small:
        if path.suffix not in (".csv", ".md", ".txt") and not isinstance(read(path), str):
            by_kind.setdefault(path.suffix, []).append(path)
    return made + [path for paths in by_kind.values() for path in paths[:3]]


def work() -> None:
    """Answer requests, a line each, until the input ends."""
    known: dict[str, tuple[bytes, list[np.ndarray]]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        source = Path(request["source"])
        if request["source"] not in known:
            known.clear()
            known[request["source"]] = source.read_bytes(), plain(source)
        whole, original = known[request["source"]]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"mutant{source.suffix}"
            path.write_bytes(mutant(whole, np.random.default_rng(request["seed"])))
            kind, detail = outcome(path, original)
        print(json.dumps({"outcome": kind, "detail": detail}), flush=True)


def run(paths: list[Path], mutants: int, seed: int, workers: int) -> Iterator[tuple[Path, int, str, str]]:
    """``(source, seed, outcome, detail)`` of each mutant."""
    from vidcore.data._workers import answers

    requests = [
        {"source": os.fspath(path), "seed": seed + number}
        for place, path in enumerate(paths)
        for number in range(place, mutants, len(paths))
    ]
    command = [sys.executable, __file__, "--work"]
    for position, answer in answers(command, requests, workers=workers, timeout_seconds=60):
        request = requests[position]
        kind = answer.get("outcome", "failed")
        yield Path(request["source"]), request["seed"], kind, answer.get("detail", answer.get("reason", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data", type=Path, help="a folder with real videos; small ones are damaged too")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work()
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = sources(Path(folder), args.data)
        counts: dict[str, Counter[str]] = {path.name: Counter() for path in paths}
        for source, seed, kind, detail in run(paths, args.mutants, args.seed, args.workers):
            counts[source.name][kind] += 1
            if kind in ("differs", "failed"):
                print(f"{kind}: {source.name}, seed {seed}: {detail}", flush=True)
    print(f"{'source':<28}" + "".join(f"{name:>9}" for name in OUTCOMES))
    for name, row in counts.items():
        print(f"{name:<28}" + "".join(f"{row[kind]:>9}" for kind in OUTCOMES))
    total = sum(counts.values(), Counter())
    print(f"{'all ' + str(total.total()):<28}" + "".join(f"{total[kind]:>9}" for kind in OUTCOMES))
    sys.exit(bool(total["differs"] or total["failed"]))


if __name__ == "__main__":
    main()
