"""Augmentation: the same in every frame, told by the generator alone, and true to the target."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from vidcore.config.augment import AugmentConfig
from vidcore.data.augment import Augment, mix_batch, over_views, views
from vidcore.data.augment._flip import names_side
from vidcore.errors import ConfigError, ShapeError
from vidcore.plugin import ClipFormat
from vidcore.preprocess import fit_frames
from vidcore.testing import fake_video

CLIP = fake_video((1, 6, 3, 40, 56))[0]
STILL = CLIP[:1].expand(6, -1, -1, -1)

CHANGES = {
    "resized": {"crop": "resized"},
    "multi_scale": {"crop": "multi_scale"},
    "flip": {"flip": 1.0},
    "brightness": {"brightness": 0.6},
    "contrast": {"contrast": 0.6},
    "saturation": {"saturation": 0.9},
    "hue": {"hue": 0.5},
    "rand_augment": {"rand_augment": 3, "rand_augment_magnitude": 20},
    "erase": {"erase": 1.0},
}


def drawn(seed=0):
    return np.random.default_rng((7, 0, seed))


def changed(frames=CLIP, seed=0, target=None, size=None, classes=(), **options):
    return Augment(AugmentConfig(**options), size=size, classes=classes)(frames, drawn(seed), target)


@pytest.mark.parametrize("options", CHANGES.values(), ids=CHANGES)
def test_every_frame_is_changed_alike(options):
    before = STILL.clone()
    some = [changed(STILL, seed, **options)[0] for seed in range(8)]
    for frames in some:
        assert frames.dtype == torch.uint8 and frames.shape == STILL.shape
        assert torch.equal(frames, frames[:1].expand_as(frames)), "a still clip stays still"
    assert any(not torch.equal(frames, STILL) for frames in some)
    assert torch.equal(STILL, before), "the input is not written to"


@pytest.mark.parametrize("options", [*CHANGES.values(), {"drop_frames": 0.5}], ids=[*CHANGES, "drop_frames"])
def test_the_generator_alone_decides(options):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = changed(seed=3, **options)[0]
    assert torch.equal(torch.get_rng_state(), before), "torch's own generator is left as it was"
    torch.manual_seed(99)
    assert torch.equal(changed(seed=3, **options)[0], first)
    if options != {"flip": 1.0}:
        assert any(not torch.equal(changed(seed=seed, **options)[0], first) for seed in range(8))


def test_all_off_changes_nothing():
    assert not AugmentConfig().changes_clips and not AugmentConfig().mixes
    frames, target = changed(target=torch.tensor(2))
    assert torch.equal(frames, CLIP) and target == 2


@pytest.mark.parametrize("crop", ["resized", "multi_scale"])
def test_crops_come_out_in_the_size_asked_for(crop):
    assert changed(crop=crop, size=(24, 16))[0].shape == (6, 3, 24, 16)


def test_multi_scale_crops_are_at_corners_or_the_centre():
    """A ramp over the columns and rows tells where a crop was."""
    from vidcore.data.augment._clip import _multi_scale_box

    generator, seen = drawn(), set()
    for _ in range(300):
        top, left, h, w = _multi_scale_box(40, 56, (1.0, 0.75, 0.5), generator)
        sides = [40, 30, 20]
        assert abs(sides.index(h) - sides.index(w)) <= 1, "neighbours: little is distorted"
        assert (top in (0, 40 - h) and left in (0, 56 - w)) or (top, left) == ((40 - h) // 2, (56 - w) // 2)
        seen.add((h, w))
    assert seen == {(40, 40), (40, 30), (30, 40), (30, 30), (30, 20), (20, 30), (20, 20)}


def test_a_crop_shows_a_part_of_the_picture():
    ramp = torch.arange(0, 224, 4, dtype=torch.uint8).expand(6, 3, 40, 56)
    spans = [
        float(f.float().amax() - f.float().amin()) for f in (changed(ramp, s, crop="resized")[0] for s in range(9))
    ]
    assert min(spans) < 0.8 * 220 and len(set(spans)) > 4


def test_lost_frames_hold_the_one_before():
    numbered = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    frames = changed(numbered, drop_frames=0.4)[0][:, 0, 0, 0].tolist()
    assert frames[0] == 0 and len(frames) == 40
    lost = sum(frames[i] != i for i in range(40))
    assert 6 <= lost <= 26
    assert all(frames[i] == i or frames[i] == frames[i - 1] for i in range(1, 40))


def test_the_erased_rectangle_has_the_clips_own_colour():
    frames = changed(erase=1.0, erase_area=(0.2, 0.2))[0]
    gone = (frames != CLIP).any(1).any(0)
    rows, columns = gone.nonzero().amin(0), gone.nonzero().amax(0)
    area = (columns - rows + 1).prod().item() / (40 * 56)
    assert area == pytest.approx(0.2, abs=0.05)
    inside = frames[:, :, rows[0] : columns[0], rows[1] : columns[1]].float()
    assert (
        torch.allclose(inside.mean((0, 2, 3)), CLIP.float().mean((0, 2, 3)), atol=1.0)
        and inside.std((0, 2, 3)).max() == 0
    )


# Mirror images


@pytest.mark.parametrize(
    ("label", "sided"),
    [("turn_left", True), ("Turn Right", True), ("turnLeft", True), ("LEFT-turn", True), ("from left to right", True),
     ("clockwise", True), ("bright", False), ("upright", False), ("leftover", False), ("copyright", False)],
)  # fmt: skip
def test_words_that_name_a_side(label, sided):
    assert names_side(label) == sided


def test_flips_are_off_where_a_class_names_a_side():
    augment = Augment(AugmentConfig(flip=1.0), classes=["jump", "push_left", "push_right"])
    assert not augment.flips
    assert augment.notes == (
        "clips are not mirrored: 2 classes name a side ('push_left', 'push_right'); "
        "say what becomes of them: flip_map: {push_left: push_right}",
    )
    frames, target = augment(CLIP, drawn(), torch.tensor(1))
    assert torch.equal(frames, CLIP) and target == 1
    assert Augment(AugmentConfig(flip=1.0), classes=["jump", "run"]).flips


def test_flip_map_swaps_classes():
    config = AugmentConfig(flip=1.0, flip_map={"push_left": "push_right", "turn right around": "turn right around"})
    augment = Augment(config, classes=["jump", "push_left", "push_right", "turn right around"])
    assert augment.flips and not augment.notes
    for before, after in enumerate([0, 2, 1, 3]):
        frames, target = augment(CLIP, drawn(), torch.tensor(before))
        assert torch.equal(frames, CLIP.flip(-1)) and target == after
    _, several = augment(CLIP, drawn(), torch.tensor([1, 1, 0, 0]))
    assert several.tolist() == [1, 0, 1, 0]
    _, numbers = augment(CLIP, drawn(), torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert numbers.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_clip_that_was_not_mirrored_keeps_its_class():
    augment = Augment(AugmentConfig(flip=0.5, flip_map={"l": "r"}), classes=["l", "r"])
    outcomes = [augment(CLIP, drawn(seed), torch.tensor(0)) for seed in range(20)]
    for frames, target in outcomes:
        assert torch.equal(frames, CLIP.flip(-1) if target == 1 else CLIP)
    assert {int(target) for _, target in outcomes} == {0, 1}


@pytest.mark.parametrize(
    ("flip_map", "said"),
    [
        ({"push_lef": "push_right"}, "flip_map: the data has no class 'push_lef'; did you mean 'push_left'?"),
        (
            {"jump": "push_left", "push_right": "push_left"},
            "'push_left' is the mirror image of 'jump' and of 'push_right'",
        ),
    ],
)
def test_flip_maps_that_do_not_fit(flip_map, said):
    with pytest.raises(ConfigError, match=said):
        Augment(AugmentConfig(flip=1.0, flip_map=flip_map), classes=["jump", "push_left", "push_right"])


def test_positions_are_not_moved():
    for options in ({"crop": "resized"}, {"flip": 0.5}, {"rand_augment": 2}):
        with pytest.raises(ConfigError, match="positions are predicted, which would no longer be true"):
            Augment(AugmentConfig(**options), kind="position")
    Augment(AugmentConfig(brightness=0.4, erase=0.2, drop_frames=0.1), kind="position")


def test_what_is_no_clip_is_refused():
    with pytest.raises(ShapeError, match=r"augment takes uint8 \(T, C, H, W\); got float32 \(6, 3, 40, 56\)"):
        changed(CLIP.float())
    with pytest.raises(ValidationError, match=r"crop_area is \(0.8, 0.2\); the least comes first"):
        AugmentConfig(crop_area=(0.8, 0.2))


# Mixing


def batch():
    small, large = fake_video((5, 4, 3, 16, 16), seed=1), fake_video((5, 4, 3, 24, 32), seed=2)
    return {"a": small, "b": large, "c": small}, torch.tensor([0, 1, 2, 1, 0])


def test_mixup_adds_shares_of_clips_and_of_targets():
    clips, targets = batch()
    before = clips["a"].clone()
    mixed = mix_batch(clips, targets, drawn(2), AugmentConfig(mixup=1.0), classes=3)
    share, partner = mixed.share, mixed.partner
    assert 0.05 < share < 0.95 and sorted(partner.tolist()) == [0, 1, 2, 3, 4]
    assert all(place != other for place, other in enumerate(partner.tolist())), "no clip is mixed with itself"
    for name, clip in clips.items():
        expected = share * clip.float() + (1 - share) * clip[partner].float()
        assert mixed.clips[name].dtype == torch.uint8
        assert (mixed.clips[name].float() - expected).abs().max() <= 0.51
    hot = torch.nn.functional.one_hot(targets, 3).float()
    assert torch.allclose(mixed.targets, share * hot + (1 - share) * hot[partner])
    assert torch.equal(clips["a"], before)
    assert mixed.clips["a"] is mixed.clips["c"], "streams that share a tensor share the result"


def test_cutmix_pastes_a_rectangle_and_counts_its_area():
    clips, targets = batch()
    for seed in range(12):
        mixed = mix_batch(clips, targets, drawn(seed), AugmentConfig(cutmix=1.0), classes=3)
        left = []
        for name in "ab":
            pasted = (mixed.clips[name] != clips[name]).any(2).flatten(0, 1).any(0)
            rows, columns = pasted.any(1).nonzero().flatten(), pasted.any(0).nonzero().flatten()
            expected = clips[name].clone()
            if len(rows):
                box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
                expected[box] = clips[name][mixed.partner][box]
            assert torch.equal(mixed.clips[name], expected), "one rectangle, through all frames of all clips"
            left.append(1 - len(rows) * len(columns) / pasted.numel())
        assert mixed.share == pytest.approx(sum(left) / 2, abs=1e-6)
        assert torch.allclose(mixed.targets.sum(1), torch.ones(5))


def test_mixing_is_told_by_the_generator_and_by_its_chance():
    clips, targets = batch()
    config = AugmentConfig(mixup=0.8, cutmix=1.0, mix=0.5)
    first, again = (mix_batch(clips, targets, drawn(5), config, classes=3) for _ in range(2))
    assert torch.equal(first.clips["b"], again.clips["b"]) and torch.equal(first.targets, again.targets)
    shares = [mix_batch(clips, targets, drawn(seed), config, classes=3).share for seed in range(40)]
    assert 8 <= sum(share == 1.0 for share in shares) <= 32
    plain = mix_batch(clips, targets, drawn(), AugmentConfig(), classes=3)
    assert plain.clips["a"] is clips["a"] and plain.targets.argmax(1).tolist() == targets.tolist()


def test_masks_numbers_and_several_labels_are_mixed():
    clips, _ = batch()
    mask = torch.tensor([[True, True, False, False]] * 4 + [[True] * 4])
    numbers = torch.arange(10.0).reshape(5, 2)
    mixed = mix_batch(clips, numbers, drawn(2), AugmentConfig(mixup=1.0), mask=mask)
    assert torch.allclose(mixed.targets, mixed.share * numbers + (1 - mixed.share) * numbers[mixed.partner])
    assert torch.equal(mixed.mask, mask | mask[mixed.partner])
    several = torch.tensor([[1, 0, 1]] * 5)
    assert torch.allclose(
        mix_batch(clips, several, drawn(2), AugmentConfig(mixup=1.0), classes=3).targets, several.float()
    )
    with pytest.raises(
        ConfigError, match="cutmix pastes a part of one clip into another, whose number is then unknown"
    ):
        mix_batch(clips, numbers, drawn(), AugmentConfig(cutmix=1.0))
    with pytest.raises(ShapeError, match=r"targets \(5,\) are class indices; give the number of classes"):
        mix_batch(clips, torch.arange(5), drawn(), AugmentConfig(mixup=1.0))


# Views


def test_views_are_crops_along_the_longer_side():
    form = ClipFormat(size=(20, 20), resize_short=30)
    wide = views(CLIP, form, 3)
    assert wide.shape == (3, 6, 3, 20, 20)
    whole = fit_frames(CLIP, ClipFormat(size=(30, 42), fit="stretch"))
    for place, left in enumerate((0, 11, 22)):
        assert torch.equal(wide[place], whole[..., 5:25, left : left + 20])
    assert torch.equal(wide[1], fit_frames(CLIP, form)), "the middle one is the usual one"
    tall = views(CLIP.transpose(-1, -2), form, 3)
    # The two sides are resized one after the other, each rounded.
    assert (tall.transpose(-1, -2).int() - wide.int()).abs().max() <= 2
    assert torch.equal(views(CLIP, form, 1)[0], fit_frames(CLIP, form))
    assert views(CLIP[None].expand(4, -1, -1, -1, -1), form, 2).shape == (2, 4, 6, 3, 20, 20)


def test_views_that_cannot_be_cut_are_refused():
    with pytest.raises(ConfigError, match="3 crops are asked for, and the extractor takes whole pictures of any size"):
        views(CLIP, ClipFormat(), 3)
    with pytest.raises(ConfigError, match="whole pictures of one size, stretched; use crops=1"):
        views(CLIP, ClipFormat(size=(20, 20), fit="stretch"), 3)
    with pytest.raises(ConfigError, match="crops is 0; it must be at least 1"):
        views(CLIP, ClipFormat(size=(20, 20)), 0)


@pytest.mark.parametrize("chunk", [1, 4, 5, 99])
def test_the_mean_over_views_does_not_depend_on_the_chunk(chunk):
    looks = torch.randn(3, 4, 2, 3, 5, 5)
    sizes = []

    def answer(part):
        sizes.append(len(part))
        return part.mean((2, 3, 4))

    assert torch.allclose(over_views(answer, looks, chunk), looks.flatten(0, 1).mean((2, 3, 4)).mean(0), atol=1e-6)
    assert max(sizes) <= chunk and sum(sizes) == 12


def test_nothing_imports_torchvision_before_it_is_used():
    code = (
        "import sys\nfrom vidcore.config.augment import AugmentConfig\nassert 'torch' not in sys.modules\n"
        "from vidcore.data.augment import Augment, mix_batch, views\nAugment(AugmentConfig(flip=0.5))\n"
        "assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
