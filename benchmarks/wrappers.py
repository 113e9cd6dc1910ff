"""What it costs to call a library's model through vidcore: both in one process, in turn, on the same clip.

Ours is ``extractor(clip)``, from the preprocessed clip to feature maps with their times. The other side is the
library's own class, built by the library, called as its documentation does, its classifier replaced by nothing. Both
have the same weights, and their results are compared before anything is timed.

``--operators`` needs no quiet machine: it runs both on the meta device and prints what PyTorch is asked to compute on
one side only, in elements of the results. What both compute alike costs both the same.

Run: uv run python benchmarks/wrappers.py              every model, CPU only: some twenty minutes on one core
     uv run python benchmarks/wrappers.py --quick      one small model per library
     uv run python benchmarks/wrappers.py x3d/s timm/resnet50 --runs 15
     uv run python benchmarks/wrappers.py --operators
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import vidcore
from paired import measure, pair
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from vidcore.extractors import Extractor
from vidcore.features import FeatureMap

TARGET = 0.02
_LEAST_SECONDS = 0.15
"""Of one timing: small models run several times in it."""
_NEGLIGIBLE = 5e-5
"""Share of elements not worth a word: the times of the steps are less, for every model."""

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """One of our extractors and the library's model that it wraps."""

    build: Callable[[Extractor], tuple[nn.Module, Call]]
    """The library's model (its weights are then replaced by ours) and how one calls it on our clip."""
    ours: Callable[[FeatureMap], Tensor] = lambda fmap: fmap.data
    """The part or average of our default map that the library's result is."""
    options: dict[str, Any] = field(default_factory=dict)
    frames: int | None = None
    quick: bool = False


def _mean(fmap: FeatureMap) -> Tensor:
    return fmap.data.mean((2, 3, 4))


def _pytorchvideo(name: str, cut: int) -> Callable[[Extractor], tuple[nn.Module, Call]]:
    """A model of PyTorchVideo's hub without its last ``cut`` blocks: head, and what pools before it."""

    def build(_: Extractor) -> tuple[nn.Module, Call]:
        from pytorchvideo.models import hub

        model = getattr(hub, name)(pretrained=False)
        model.blocks = model.blocks[:-cut]
        return model, model

    return build


def _slowfast(name: str) -> Callable[[Extractor], tuple[nn.Module, Call]]:
    def build(extractor: Extractor) -> tuple[nn.Module, Call]:
        from vidplug_slowfast.extractor import slow_frames

        model, _ = _pytorchvideo(name, 2)(extractor)
        pathways: dict[int, list[Tensor]] = {}

        def call(clip: Tensor) -> Tensor:
            # The library leaves it to its transforms to take the slow frames; so that is not timed.
            if id(clip) not in pathways:
                chosen = slow_frames(clip.shape[2], extractor.variant.alpha)
                pathways[id(clip)] = [clip.index_select(2, chosen), clip]
            # A fresh list: the model writes into the one it is given.
            slow: Tensor = model(list(pathways[id(clip)]))[0]
            return slow

        return model, call

    return build


def _x3d(name: str) -> Callable[[Extractor], tuple[nn.Module, Call]]:
    def build(_: Extractor) -> tuple[nn.Module, Call]:
        from pytorchvideo.models import hub

        model = getattr(hub, name)(pretrained=False)
        model.blocks[5] = nn.ModuleDict({"pool": model.blocks[5].pool})

        def call(clip: Tensor) -> Tensor:
            for block in model.blocks[:5]:
                clip = block(clip)
            found: Tensor = model.blocks[5]["pool"](clip)
            return found.mean((2, 3, 4), keepdim=True)

        return model, call

    return build


def _torchvision(name: str, classifier: str) -> Callable[[Extractor], tuple[nn.Module, Call]]:
    def build(_: Extractor) -> tuple[nn.Module, Call]:
        from torchvision.models import get_model

        model = get_model(name)
        setattr(model, classifier, nn.Identity())
        return model, model

    return build


def _timm(name: str) -> Callable[[Extractor], tuple[nn.Module, Call]]:
    def build(_: Extractor) -> tuple[nn.Module, Call]:
        import timm

        model = timm.create_model(name, num_classes=0)
        return model, lambda clip: model(clip.transpose(1, 2).flatten(0, 1))

    return build


def _transformers(
    take: Callable[[Any], Tensor], *, frames: bool = False, **options: Any
) -> Callable[[Extractor], tuple[nn.Module, Call]]:
    """The library's class with our configuration; (B, T, 3, H, W) goes in, single frames with ``frames``."""

    def build(extractor: Extractor) -> tuple[nn.Module, Call]:
        model = type(extractor.network)(extractor.network.config, **options)
        if frames:
            return model, lambda clip: take(model(clip.transpose(1, 2).flatten(0, 1)))
        return model, lambda clip: take(model(clip.transpose(1, 2)))

    return build


def _tokens(fmap: FeatureMap) -> Tensor:
    return fmap.tokens()


def _timesformer_tokens(fmap: FeatureMap) -> Tensor:
    # Time varies fastest in the library's sequence.
    return fmap.data.permute(0, 3, 4, 2, 1).flatten(1, 3)


_LAST: Callable[[Any], Tensor] = lambda found: found.last_hidden_state  # noqa: E731
_PATCHES: Callable[[Any], Tensor] = lambda found: found.last_hidden_state[:, 1:]  # noqa: E731
_FRAMES: Callable[[FeatureMap], Tensor] = lambda fmap: fmap.sequence().flatten(0, 1)  # noqa: E731

PEERS: dict[str, Peer] = {
    "slowfast/r50_8x8": Peer(_slowfast("slowfast_r50"), lambda fmap: fmap.data[:, :2048]),
    "slowfast/r101_8x8": Peer(_slowfast("slowfast_r101"), lambda fmap: fmap.data[:, :2048]),
    "slow/r50_8x8": Peer(_pytorchvideo("slow_r50", 1)),
    "slowfast/c2d_r50": Peer(_pytorchvideo("c2d_r50", 1)),
    "i3d/r50_8x8": Peer(_pytorchvideo("i3d_r50", 1)),
    "x3d/xs": Peer(_x3d("x3d_xs"), quick=True),
    "x3d/s": Peer(_x3d("x3d_s")),
    "x3d/m": Peer(_x3d("x3d_m")),
    "x3d/l": Peer(_x3d("x3d_l")),
    "torchvision/r3d_18": Peer(_torchvision("r3d_18", "fc"), _mean),
    "torchvision/mc3_18": Peer(_torchvision("mc3_18", "fc"), _mean),
    "torchvision/r2plus1d_18": Peer(_torchvision("r2plus1d_18", "fc"), _mean),
    "torchvision/s3d": Peer(_torchvision("s3d", "classifier"), _mean, frames=16, quick=True),
    "torchvision/mvit_v1_b": Peer(
        _torchvision("mvit_v1_b", "head"), lambda fmap: fmap.data.flatten(1), {"outputs": ["cls"]}
    ),
    "torchvision/mvit_v2_s": Peer(
        _torchvision("mvit_v2_s", "head"), lambda fmap: fmap.data.flatten(1), {"outputs": ["cls"]}
    ),
    "torchvision/swin3d_t": Peer(_torchvision("swin3d_t", "head"), _mean, frames=16),
    "timm/resnet18": Peer(_timm("resnet18"), _FRAMES, frames=1, quick=True),
    "timm/resnet50": Peer(_timm("resnet50"), _FRAMES, frames=1),
    "timm/vit_small_patch16_224": Peer(_timm("vit_small_patch16_224"), _FRAMES, frames=1),
    "timm/vit_base_patch16_224": Peer(_timm("vit_base_patch16_224"), _FRAMES, frames=1),
    "timm/convnext_tiny": Peer(_timm("convnext_tiny"), _FRAMES, frames=1),
    "timm/swin_tiny_patch4_window7_224": Peer(_timm("swin_tiny_patch4_window7_224"), _FRAMES, frames=1),
    # Without the authors' offset of positions, which the library does not have.
    "dinov2/vits14": Peer(
        _transformers(lambda found: found.last_hidden_state[:, 0], frames=True),
        _FRAMES,
        {"position_offset": 0.0},
        frames=1,
        quick=True,
    ),
    "videomae/base": Peer(_transformers(_LAST), _tokens),
    "vivit/b16x2": Peer(_transformers(_PATCHES, add_pooling_layer=False), _tokens),
    "timesformer/base": Peer(_transformers(_PATCHES), _timesformer_tokens),
    "vjepa2/vitl": Peer(_transformers(_LAST), _tokens, frames=8),
}


def _sides(name: str, peer: Peer) -> tuple[Extractor, Call, Tensor]:
    """Ours and the library's with the same weights, and a clip for both."""
    extractor = vidcore.create(name, **peer.options)
    model, call = peer.build(extractor)
    model.load_state_dict({key.removeprefix("network."): value for key, value in extractor.state_dict().items()})
    model.eval()
    frames = peer.frames or extractor.clip.frames or 16
    video = torch.zeros(1, frames, 3, *(extractor.clip.size or (224, 224)), dtype=torch.uint8)
    return extractor, call, extractor.preprocess(video if video.is_meta else video.random_(0, 256))


def time_both(name: str, peer: Peer, runs: int) -> str:
    """One row of the table of times."""
    torch.manual_seed(0)
    extractor, call, clip = _sides(name, peer)
    with torch.inference_mode():
        expected = call(clip)
        error = float((peer.ours(extractor(clip)[extractor.output_names[0]]) - expected).norm() / expected.norm())
        if not error < 1e-4:
            raise SystemExit(f"{name}: ours and the library's differ by {error:.1e}; there is nothing to time")
        loops = max(round(_LEAST_SECONDS / measure(lambda: call(clip)).cpu_seconds), 1)
        result = pair(
            lambda: [extractor(clip) for _ in range(loops)], lambda: [call(clip) for _ in range(loops)], runs=runs
        )
    pairs = list(zip(result.ours, result.peer, strict=True))
    low, middle, high = statistics.quantiles([ours.cpu_seconds / peer.cpu_seconds - 1 for ours, peer in pairs], n=4)
    ours, theirs = ([cost.cpu_seconds / loops * 1e3 for cost in costs] for costs in (result.ours, result.peer))
    return (
        f"{name:<36}{clip.shape[2]:>3} x {clip.shape[-2]}x{clip.shape[-1]:<5}"
        f"{statistics.median(ours):>10.1f}{statistics.median(theirs):>10.1f}{middle:>+10.1%}"
        f"  {f'({low:+.1%} to {high:+.1%})':<23}{min(ours) / min(theirs) - 1:>+8.1%}{error:>9.0e}"
        f"{'' if middle <= TARGET else f'  above {TARGET:.0%}'}"
    )


class _Operators(TorchDispatchMode):
    """Counts the elements that each operator gives; views compute nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        first = found[0] if isinstance(found, (tuple, list)) else found
        if isinstance(first, Tensor) and not func.is_view and func.overloadpacket.__name__ != "_unsafe_view":
            # In place or not is the same work.
            self.elements[func.overloadpacket.__name__.rstrip("_")] += first.numel()
        return found


def count_both(name: str, peer: Peer) -> str:
    """One line: operators of which one side runs more."""
    with torch.device("meta"), torch.no_grad():
        extractor, call, clip = _sides(name, peer)
        # What the first call prepares once (SlowFast's pathways) is not counted.
        call(clip)
        with _Operators() as ours:
            extractor(clip)
        with _Operators() as theirs:
            call(clip)
    total = sum(theirs.elements.values())
    more, less = ours.elements - theirs.elements, theirs.elements - ours.elements

    def listed(counts: Counter[str]) -> str:
        large = [(operator, count / total) for operator, count in counts.most_common() if count / total >= _NEGLIGIBLE]
        return ", ".join(f"{operator} {share:.2%}" for operator, share in large) or "-"

    return f"{name:<36}{total / 1e6:>8.0f} M   ours: {listed(more)};   library: {listed(less)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="extractors; default: all of the table")
    parser.add_argument("--quick", action="store_true", help="one small model per library")
    parser.add_argument("--operators", action="store_true", help="compare what is computed, not the time it takes")
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    names = arguments.names or [name for name, peer in PEERS.items() if peer.quick or not arguments.quick]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        parser.error(f"no peer for {', '.join(unknown)}; there are {', '.join(PEERS)}")
    torch.set_num_threads(arguments.threads)
    # Nothing is looked up: every model is built from its description.
    os.environ["HF_HUB_OFFLINE"] = "1"
    if arguments.operators:
        print(
            f"elements the library computes for one clip; what one side alone computes, where above {_NEGLIGIBLE:.3%}:"
        )
        for name in names:
            print(count_both(name, PEERS[name]), flush=True)
        return
    print(
        f"{arguments.threads} thread(s), {arguments.runs} runs in turn; CPU milliseconds of a clip; ours / theirs - 1:"
    )
    print(
        f"{'':<36}{'clip':<15}{'ours':>10}{'library':>10}{'overhead':>10}  {'(middle half of runs)':<23}"
        f"{'of best':>8}{'differ':>9}"
    )
    for name in names:
        print(time_both(name, PEERS[name], arguments.runs), flush=True)


if __name__ == "__main__":
    main()
