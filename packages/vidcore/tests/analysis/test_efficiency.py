"""Figures that can be worked out by hand are measured to be what they must be; no test depends on how fast this is."""

from __future__ import annotations

import gc
import inspect
import mmap
from pathlib import Path

import numpy as np
import pytest
import torch
import vidcore
from torch import nn
from vidcore import runtime
from vidcore.analysis import efficiency
from vidcore.analysis._operations import count_flops
from vidcore.analysis._resident import PeakMemory
from vidcore.analysis.efficiency import Spread, measure, video_shape
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo
from vidcore.config import ExtractorConfig
from vidcore.errors import ConfigError
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap
from vidcore.runtime import RuntimeReport

CPU = torch.device("cpu")
MIB = 1 << 20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of memory")


class Plain(Extractor):
    """One linear layer on the mean colour of each frame; holds ``spare`` bytes while it runs."""

    spare = 0

    def __init__(self, clip=None):
        spec = ExtractorSpec(
            name="fake/plain", target="a:B", config="a:C", summary="s", outputs={"m": FeatureInfo(5)},
            clip=clip or ClipFormat(frames=4, size=(8, 8)),
        )  # fmt: skip
        super().__init__(spec, ExtractorConfig())
        self.layer = nn.Linear(3, 5)
        self.seen = []

    def forward(self, clip):
        self.seen.append(clip.dtype)
        held = torch.ones(self.spare, dtype=torch.uint8)
        found = self.layer(clip.mean((3, 4)).transpose(1, 2)).transpose(1, 2)[..., None, None]
        del held
        return {"m": FeatureMap(found, step_times(clip.shape[2], 1, clip))}


def counted(module, *inputs):
    with torch.inference_mode():
        return count_flops(lambda: module.eval()(*inputs))


def test_a_multiplication_and_an_addition_are_two_operations():
    assert counted(nn.Linear(7, 11), torch.ones(5, 7)) == 2 * 5 * 7 * 11


def test_a_grouped_convolution_counts_its_own_channels_only():
    layer = nn.Conv3d(8, 12, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), groups=4)
    assert counted(layer, torch.ones(2, 8, 6, 16, 16)) == 2 * 2 * (6 * 8 * 8) * 12 * (8 // 4) * (3 * 5 * 5)


def test_a_transformer_layer_counts_although_it_runs_as_one_operator():
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    rows, tokens = 3, 10
    projections = rows * tokens * (4 * 32 * 32 + 2 * 32 * 64)
    attention = 2 * rows * tokens * tokens * 32
    assert counted(layer, torch.ones(rows, tokens, 32)) == 2 * (projections + attention)
    assert torch.backends.mha.get_fastpath_enabled(), "it runs as it did before it was counted"


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("both_ways", [False, True])
def test_a_recurrent_layer_multiplies_by_its_matrices_at_every_step(kind, gates, both_ways):
    steps, rows, width, hidden = 9, 2, 6, 8
    layer = kind(width, hidden, bidirectional=both_ways)
    directions = 1 + both_ways
    assert counted(layer, torch.ones(steps, rows, width)) == (
        2 * steps * rows * directions * gates * hidden * (width + hidden)
    )


@pytest.mark.parametrize("name", ["basic/keypoints", "basic/naive_cnn", "basic/patch_transformer"])
def test_what_runs_on_a_cpu_counts_as_on_the_meta_device_where_nothing_is_fused(name):
    here = vidcore.create(name)
    clip = here.preprocess(torch.zeros(1, 16, 3, 64, 64, dtype=torch.uint8))
    with torch.device("meta"):
        there = vidcore.create(name)
        clip_there = torch.empty_like(clip, device="meta")
    assert counted(here, clip) == counted(there, clip_there) > 10_000_000


def test_the_spread_is_the_median_and_nine_of_ten():
    spread = Spread.of(range(101))
    assert (spread.median, spread.p5, spread.p95, spread.count) == (50, 5, 95, 101)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0, 1)


@linux
def block(mebibytes: int) -> mmap.mmap:
    """Pages of their own: what malloc does with freed blocks depends on what ran before in this process."""
    pages = mmap.mmap(-1, mebibytes * MIB)
    for offset in range(0, len(pages), mmap.PAGESIZE):
        pages[offset] = 1
    return pages


def test_memory_that_is_gone_at_the_end_counts_and_what_preparing_needed_does_not():
    block(80).close()
    with PeakMemory(CPU) as memory:
        block(200).close()
        kept = block(20)
        memory.start()
        block(60).close()
    assert 79 * MIB < memory.bytes < 100 * MIB
    kept.close()


@linux
def test_small_blocks_that_were_freed_before_count_again():
    freed = [np.ones(1000, dtype=np.uint8) for _ in range(40_000)]
    del freed
    gc.collect()
    with PeakMemory(CPU) as memory:
        memory.start()
        again = [np.ones(1000, dtype=np.uint8) for _ in range(40_000)]
    assert memory.bytes > 35 * MIB
    assert len(again) == 40_000


def test_memory_is_unknown_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr("vidcore.analysis._resident._STATUS", tmp_path / "missing")
    with PeakMemory(CPU) as memory:
        memory.start()
    assert memory.bytes is None


@linux
def test_memory_is_unknown_where_the_peak_cannot_be_reset(monkeypatch, tmp_path):
    monkeypatch.setattr("vidcore.analysis._resident._CLEAR", tmp_path)
    with PeakMemory(CPU) as memory:
        memory.start()
    assert memory.bytes is None


def test_a_failure_while_memory_is_watched_is_not_hidden():
    with pytest.raises(ZeroDivisionError), PeakMemory(CPU):
        _ = 1 / 0


def test_figures_of_a_layer():
    found = measure(Plain(), batch=3, repeats=4)
    assert (found.name, found.runtime, found.precision) == ("fake/plain", "eager", "float32")
    assert (found.parameters, found.width, found.batch) == (20, 5, 3)
    assert (found.frames, found.size, found.forwards) == (4, (256, 340), 1)
    assert found.flops == 2 * 4 * 3 * 5, "of one clip, not of the batch"
    assert found.latency.count == found.throughput.count == found.preprocess.count == 4
    assert found.latency.p5 <= found.latency.median <= found.latency.p95
    assert found.difference is None
    assert found.cosine is None
    assert found.as_dict()["latency"]["count"] == 4


def test_a_long_video_takes_several_forwards():
    short, long = measure(Plain(), repeats=1), measure(Plain(), frames=10, repeats=1)
    assert (short.forwards, long.forwards) == (1, 3)
    assert long.flops == 3 * short.flops


def test_throughput_of_single_clips_is_one_over_latency():
    found = measure(Plain(), repeats=3)
    assert found.throughput.median == pytest.approx(1 / found.latency.median)


@linux
def test_peak_memory_is_what_the_forward_held_and_the_parameters(monkeypatch):
    monkeypatch.setattr(Plain, "spare", 64 * MIB)
    found = measure(Plain(), repeats=1)
    # The kernel counts pages per core and adds them up late.
    assert 63 * MIB <= found.peak_memory < 80 * MIB
    large = Plain()
    large.register_buffer("table", torch.zeros(16 * MIB))
    assert found.peak_memory + 60 * MIB < measure(large, repeats=1).peak_memory < found.peak_memory + 70 * MIB
    assert found.memory == "resident memory of the process"


def test_bfloat16_says_how_far_it_is_from_float32():
    found = measure(Plain(), precision="bfloat16", repeats=1)
    assert found.precision == "bfloat16"
    assert 1e-5 < found.difference < 2e-2


def test_measuring_ends_after_the_time_given_but_not_before_three():
    assert len(efficiency._seconds_of(lambda: None, CPU, repeats=50, seconds=0.0)) == 3
    assert len(efficiency._seconds_of(lambda: None, CPU, repeats=2, seconds=0.0)) == 2


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"batch": 0}, "batch must be at least 1; got 0"),
        ({"frames": 0}, "frames must be at least 1; got 0"),
        ({"repeats": 0}, "repeats must be at least 1; got 0"),
        ({"size": (0, 4)}, "rows of size must be at least 1; got 0"),
        ({"precision": "float8"}, "precision is 'float8'; use float32, bfloat16 or int8"),
        ({"calibration": [1]}, "calibration clips are for precision='int8'; precision is 'float32'"),
    ],
)
def test_numbers_and_names_that_cannot_be_are_refused(choices, message):
    with pytest.raises(ConfigError, match=message):
        measure(Plain(), **choices)


def test_the_video_is_that_of_the_extractor_where_nothing_else_is_asked():
    fixed, free = Plain(), Plain(ClipFormat(size_multiple=4))
    assert video_shape(fixed) == (4, (256, 340))
    assert video_shape(free) == (16, (224, 224))
    assert video_shape(free, 7, (30, 40)) == (7, (30, 40))


class Faster(Plain):
    """Stands for what ``accelerate`` gives, which takes seconds to build."""

    def __init__(self, eager, request, batch):
        super().__init__()
        self.load_state_dict(eager.state_dict())
        self.request, self.batches = request, [batch]

    def prepare(self, clip):
        self.batches.append(clip.shape[0])

    @property
    def reports(self):
        return tuple(
            RuntimeReport("auto", f"engine_of_{n}", "float32", (), 0.25 / n, (), False, Path(), cosine=0.5)
            for n in self.batches
        )


def test_another_runtime_runs_instead_and_its_error_is_told(monkeypatch):
    made = []

    def accelerate(extractor, runtime, *, precision, calibration, frames, size, batch):
        made.append(Faster(extractor, (runtime, precision, calibration, frames, size), batch))
        return made[-1]

    assert inspect.signature(accelerate).parameters.keys() <= inspect.signature(runtime.accelerate).parameters.keys()
    monkeypatch.setattr(runtime, "accelerate", accelerate)
    extractor = Plain()
    clips = iter([torch.zeros(4, 3, 8, 8, dtype=torch.uint8)])
    found = measure(
        extractor, runtime="auto", precision="int8", calibration=clips, batch=2, repeats=1, size=(9, 10), frames=6
    )
    assert found.runtime == "engine_of_2 (engine_of_1 for one clip)"
    assert (found.difference, found.cosine) == (0.125, 0.5)
    first, second = made
    assert first.seen == [], "the first only converts; what is measured starts from what that left on disk"
    assert len(second.seen) > 4
    assert len(extractor.seen) == 1, "only its operations were counted"
    for engine in made:
        asked, precision, calibration, frames, size = engine.request
        assert (asked, precision, frames, size, engine.batches) == ("auto", "int8", 6, (9, 10), [2, 1])
        assert len(calibration) == 1
