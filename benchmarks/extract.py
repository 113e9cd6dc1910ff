"""Extraction beside the loop most tools use; sparse decoding beside its peers; two extractors at once; the busy model.

Run: uv run --group peers python benchmarks/extract.py PART [--clips N] [--runs N] [--models NAME ...]

    naive      clips a second and CPU seconds a clip, against the naive loop: for every video decode all frames,
               transform frame by frame with PIL, a batch of one, a file. Also against that loop when it transforms
               only the frames it needs. At least 2.5x with a light model, 1.3x with a heavy one, on 2 cores.
    decode     CPU seconds of 8, 16 and 32 frames spread over a video, and whether they are bit-exact. Ours and one peer
               after the other run in turn. At least 1.0x the fastest peer that gives the right pixels.
    together   two extractors in one pass against one pass after the other. At least 1.6x where decoding dominates.
    busy       clips a second of the engine against the model alone, fed from memory. At least 90 %. By CPU seconds as
               well: where both keep all cores busy it is the same share, and other processes do not count. Where one
               processor decodes and computes, what decoding and resizing cost by themselves bounds the share.

Contenders run in turn, each in a process of its own that stays, so that neither start-up nor what one leaves behind in
memory counts. Ratios are medians over pairs with their spread.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from paired import pair

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
LIGHT_PAIR = ("basic/naive_cnn", "basic/keypoints")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "contender"])
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["x3d/s", "torchvision/r3d_18"])
    parser.add_argument("--frames", type=int, help="frames a clip; by default what the model eats, or 16")
    parser.add_argument("--runtime", default="eager", help="what runs the extractors in ours: auto, eager, openvino")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--files", default="*", help="which of clips/, for the part decode")
    parser.add_argument("--how", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "contender":
        serve(options)
    elif not options.data.is_dir():
        sys.exit(f"no data at {options.data}: give a folder with actions/ and clips/ with --data")
    else:
        PARTS[options.part](options)


def naive(options: argparse.Namespace) -> None:
    for model in options.models:
        one = argparse.Namespace(**vars(options) | {"models": [model]})
        print(f"\n{model}, {options.clips} clips of {options.data.name}/actions, runtime {options.runtime}")
        costs = take_turns(one, ["engine", "naive", "naive-sparse"])
        compare(costs, "engine", "naive", options.clips)
        compare(costs, "engine", "naive-sparse", options.clips)


def together(options: argparse.Namespace) -> None:
    one = argparse.Namespace(**vars(options) | {"models": list(LIGHT_PAIR)})
    print(f"\n{' and '.join(LIGHT_PAIR)}, {options.clips} clips")
    compare(take_turns(one, ["engine", "one-by-one"]), "engine", "one-by-one", options.clips)


def busy(options: argparse.Namespace) -> None:
    for model in options.models:
        one = argparse.Namespace(**vars(options) | {"models": [model]})
        print(f"\n{model}, {options.clips} clips")
        costs = take_turns(one, ["engine", "memory", "clips"])
        print(f"engine {rate(costs['engine'], options.clips)}   model alone {rate(costs['memory'], options.clips)}")
        for figure in ("wall", "cpu"):
            print(
                f"reached, by {figure:<5} {share(m[figure] / e[figure] for e, m in pairs(costs, 'engine', 'memory'))}"
            )
        print(f"bound, by cpu    {share(m['cpu'] / (m['cpu'] + c['cpu']) for c, m in pairs(costs, 'clips', 'memory'))}")


def pairs(
    costs: dict[str, list[dict[str, float]]], one: str, other: str
) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    return zip(costs[one], costs[other], strict=True)


def share(shares: Iterator[float]) -> str:
    found = list(shares)
    return f"{statistics.median(found):.1%} ({min(found):.1%} to {max(found):.1%}, n={len(found)})"


def rate(costs: Sequence[dict[str, float]], clips: int) -> str:
    return f"{clips / statistics.median(cost['wall'] for cost in costs):.2f} clips/s"


def compare(costs: dict[str, list[dict[str, float]]], ours: str, peer: str, clips: int) -> None:
    for figure, unit in (("wall", "wall"), ("cpu", "CPU")):
        ratios = [p[figure] / o[figure] for o, p in pairs(costs, ours, peer)]
        each = [statistics.median(cost[figure] for cost in costs[who]) / clips * 1e3 for who in (ours, peer)]
        print(
            f"{unit:<5} {ours} {each[0]:7.1f} ms/clip   {peer} {each[1]:7.1f} ms/clip   "
            f"{peer}/{ours} {statistics.median(ratios):5.2f} ({min(ratios):.2f} to {max(ratios):.2f}, n={len(ratios)})"
        )


def take_turns(options: argparse.Namespace, hows: Sequence[str]) -> dict[str, list[dict[str, float]]]:
    """Costs of every contender, run in turn after one uncounted turn; who goes first alternates."""
    costs: dict[str, list[dict[str, float]]] = {how: [] for how in hows}
    with ExitStack() as stack:
        started = {how: stack.enter_context(contender(options, how)) for how in hows}
        for turn in range(-1, options.runs):
            for how in hows if turn % 2 else reversed(hows):
                cost = started[how]()
                if turn >= 0:
                    costs[how].append(cost)
    return costs


@contextmanager
def contender(options: argparse.Namespace, how: str) -> Iterator[Callable[[], dict[str, float]]]:
    """A process that runs one way of extracting each time it is called."""
    command = [sys.executable, __file__, "contender", "--how", how, "--clips", str(options.clips)]
    command += ["--models", *options.models, "--runtime", options.runtime, "--data", str(options.data)]
    if options.frames:
        command += ["--frames", str(options.frames)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:

        def run() -> dict[str, float]:
            assert process.stdin is not None and process.stdout is not None
            print("go", file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                sys.exit(f"the contender {how} ended")
            answer: dict[str, float] = json.loads(line)
            return answer

        yield run
    finally:
        process.kill()
        process.wait()


def serve(options: argparse.Namespace) -> None:
    """A contender: one run for every line that comes in."""
    from vidcore.assemble import create
    from vidcore.data.manifest import read_source
    from vidcore.extract.memory import keep_freed_memory

    rows = list(read_source(options.data / "actions" / "manifest.csv"))
    # Spread over both sets and all classes.
    rows = rows[:: max(1, len(rows) // options.clips)][: options.clips]
    extractors = {name: create(name) for name in options.models}
    frames = options.frames or max(extractor.clip.frames or 16 for extractor in extractors.values())
    if options.how in ("engine", "memory", "clips", "one-by-one"):
        keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        prepared = WAYS[options.how](rows, extractors, frames, options.runtime)
        for number, _ in enumerate(sys.stdin):
            before, began = cpu_seconds(), time.perf_counter()
            prepared(Path(folder) / str(number))
            wall = time.perf_counter() - began
            print(json.dumps({"wall": wall, "cpu": cpu_seconds() - before}), flush=True)


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def engine_way(rows: list[Any], extractors: dict[str, Any], frames: int, runtime: str) -> Callable[[Path], None]:
    """The engine with its extractors built, as those of the peers are; its decoding processes start in every run."""
    from vidcore.data.sampling import Sampling
    from vidcore.extract.api import replicas
    from vidcore.extract.engine import Engine
    from vidcore.store import FeatureStore

    fast = replicas(extractors, runtime, frames, None, None)  # type: ignore[arg-type]

    def run(folder: Path) -> None:
        store = FeatureStore.open(folder, write=True)
        with Engine(extractors, store, Sampling("uniform", frames), replicas=fast) as engine:
            report = engine.run(rows)
        assert report.done == len(rows), report

    return run


def one_by_one_way(rows: list[Any], extractors: dict[str, Any], frames: int, runtime: str) -> Callable[[Path], None]:
    ways = [engine_way(rows, {name: extractor}, frames, runtime) for name, extractor in extractors.items()]

    def run(folder: Path) -> None:
        for way in ways:
            way(folder)

    return run


def naive_way(rows: list[Any], extractors: dict[str, Any], frames: int, runtime: str, *, sparse: bool = False) -> Any:
    import av
    import numpy as np
    import torch
    from torchvision import transforms
    from vidcore.data.sampling import uniform

    ((_, extractor),) = extractors.items()
    form = extractor.clip
    resize = form.resize_to or (form.resize_short or min(form.size))
    transform = transforms.Compose(
        [
            transforms.Resize(resize),
            transforms.CenterCrop(form.size),
            transforms.ToTensor(),
            transforms.Normalize(form.mean, form.std),
        ]
    )

    def run(folder: Path) -> None:
        folder.mkdir()
        for number, row in enumerate(rows):
            with av.open(str(row.video)) as container:
                images = [frame.to_image() for frame in container.decode(video=0)]
            chosen = uniform(len(images), frames).indices.tolist()
            if sparse:
                clip = torch.stack([transform(images[index]) for index in chosen])
            else:
                every = [transform(image) for image in images]
                clip = torch.stack([every[index] for index in chosen])
            with torch.no_grad():
                maps = extractor(clip.transpose(0, 1)[None])
            np.save(folder / f"{number}.npy", maps[extractor.output_names[0]].data.numpy())

    return run


def naive_sparse_way(rows: list[Any], extractors: dict[str, Any], frames: int, runtime: str) -> Any:
    return naive_way(rows, extractors, frames, runtime, sparse=True)


def memory_way(rows: list[Any], extractors: dict[str, Any], frames: int, runtime: str) -> Callable[[Path], None]:
    """The engine's lanes and nothing else: every clip is ready in memory."""
    import torch
    from vidcore.data.clips import read_clip
    from vidcore.data.sampling import Sampling
    from vidcore.extract.api import replicas
    from vidcore.extract.batching import BatchQueue, BatchSizer
    from vidcore.extract.engine import lanes_on
    from vidcore.extract.lanes import Lanes
    from vidcore.extract.progress import Meter
    from vidcore.preprocess import fit_frames

    ((name, extractor),) = extractors.items()
    running = replicas(extractors, runtime, frames, None, None) or [extractors]  # type: ignore[arg-type]

    class Ready:
        """A clip that is decoded and fitted."""

        def __init__(self, row: Any) -> None:
            clip = read_clip(row, Sampling("uniform", frames))
            self.mask, self._view = clip.mask, fit_frames(clip.frames, extractor.clip).contiguous()

        def view(self, name: str) -> torch.Tensor:
            return self._view

    ready = [Ready(row) for row in rows]
    alike = lanes_on(torch.device("cpu"))

    def run(folder: Path) -> None:
        sizers = {name: BatchSizer(None, start=1, ceiling=8)}
        batches: Any = BatchQueue(sizers, 0.0)
        for clip in ready:
            batches.put(name, tuple(clip.view(name).shape), clip)
        batches.close()
        errors: list[BaseException] = []
        lanes = Lanes(
            running, sizers, device=torch.device("cpu"), count=alike.count, threads=alike.threads, keep="map",
            dtype="float32", precision="float32",
        )  # fmt: skip
        for lane in lanes.start(batches, lambda *_: None, Meter(), errors.append):
            lane.join()
        assert not errors, errors

    return run


def clips_way(rows: list[Any], extractors: dict[str, Any], frames: int, runtime: str) -> Callable[[Path], None]:
    """Decoding and resizing and nothing else, in one thread."""
    import torch
    from vidcore.data.clips import read_clip
    from vidcore.data.sampling import Sampling
    from vidcore.preprocess import fit_frames

    ((_, extractor),) = extractors.items()
    torch.set_num_threads(1)

    def run(folder: Path) -> None:
        for row in rows:
            fit_frames(read_clip(row, Sampling("uniform", frames)).frames, extractor.clip)

    return run


WAYS: dict[str, Callable[..., Callable[[Path], None]]] = {
    "engine": engine_way,
    "one-by-one": one_by_one_way,
    "naive": naive_way,
    "naive-sparse": naive_sparse_way,
    "memory": memory_way,
    "clips": clips_way,
}


def decode(options: argparse.Namespace) -> None:
    from decoders import lend_ffmpeg, reference

    lend_ffmpeg()
    for path in sorted((options.data / "clips").glob(options.files)):
        whole = reference(path)
        total = len(whole)
        for count in (8, 16, 32):
            if count > total:
                print(f"\n{path.name}: it has {total} frames only")
                continue
            wanted = [(2 * step + 1) * total // (2 * count) for step in range(count)]
            print(f"\n{path.name}, {count} frames")
            against(path, wanted, whole[wanted], options.runs)


def against(path: Path, wanted: list[int], expected: Any, runs: int) -> None:
    """Every peer in turn with ours, and which of those that give the right pixels is the fastest."""
    from decoders import DECODERS

    print(f"  vidcore          {verdict(DECODERS['vidcore'](path, wanted), expected)}")
    ratios: dict[str, tuple[float, float, float]] = {}
    for name, peer in DECODERS.items():
        if name == "vidcore":
            continue
        try:
            found = verdict(peer(path, wanted), expected)
        except Exception as error:  # noqa: BLE001 - a peer that cannot read a file is a finding
            print(f"  {name:<16} fails ({type(error).__name__})")
            continue
        costs = pair(lambda: DECODERS["vidcore"](path, wanted), lambda peer=peer: peer(path, wanted), runs, warmup=0)
        ratio = costs.ratio()
        each = [statistics.median(cost.cpu_seconds for cost in side) * 1e3 for side in (costs.ours, costs.peer)]
        print(
            f"  {name:<16} {each[1]:7.1f} ms   vidcore {each[0]:7.1f} ms   "
            f"{ratio[0]:5.2f} ({ratio[1]:.2f} to {ratio[2]:.2f}, n={runs})   {found}"
        )
        if found == "exact":
            ratios[name] = ratio
    if ratios:
        best = min(ratios, key=lambda name: ratios[name][0])
        print("  best exact peer / vidcore: {:.2f} ({:.2f} to {:.2f}), {}".format(*ratios[best], best))


def verdict(frames: Any, expected: Any) -> str:
    import numpy as np

    if frames.shape != expected.shape:
        return f"shape {frames.shape[1:3]}"
    return (
        "exact" if np.array_equal(frames, expected) else f"off by up to {np.abs(frames.astype(int) - expected).max()}"
    )


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "naive": naive,
    "decode": decode,
    "together": together,
    "busy": busy,
}

if __name__ == "__main__":
    main()
