"""What a difficulty does: the three observers, what is around the ball, and that easy clips are those of ever."""

from __future__ import annotations

import hashlib
from typing import get_args

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from vidcore.data.difficulty import KNOBS, Difficulty
from vidcore.data.synth import LABELS, clip_label, draw_scene, labels_of, render_clip, render_scene
from vidcore.data.synth.loops import ORDERS, fast_step
from vidcore.errors import DataError

CHANCE = 0.25
# A share of 600 held-out clips has a standard error of 0.018: chance plus 3.4 of them.
NEAR_CHANCE = 0.31


@pytest.fixture(scope="module", params=get_args(Difficulty))
def observed(request):
    scenes = [draw_scene(21, index, difficulty=request.param) for index in range(1200)]
    labels = np.array([scene.path.label for scene in scenes])
    image = np.stack([scene.image for scene in scenes])
    radii = np.stack([scene.radii for scene in scenes])
    return request.param, labels, image, radii


def accuracy(features, labels):
    half = len(features) // 2
    trees = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=12, random_state=0)
    return trees.fit(features[:half], labels[:half]).score(features[half:], labels[half:])


def unordered(image, radii):
    """A set of positions, without their order: sorted coordinates and distances, and the second moments."""
    centred = image - image.mean(axis=1, keepdims=True)
    pairs = np.triu_indices(image.shape[1], 1)
    distances = np.linalg.norm(centred[:, :, None] - centred[:, None], axis=-1)[:, pairs[0], pairs[1]]
    moments = np.linalg.eigvalsh(np.einsum("nti,ntj->nij", centred, centred))
    # Every eighth of the 120 sorted distances: trees need no more, and are quick.
    shape = np.sort(distances)[:, ::8]
    parts = (np.sort(image[..., 0])[:, ::3], np.sort(image[..., 1])[:, ::3], np.sort(radii)[:, ::3], shape, moments)
    return np.concatenate(parts, axis=1)


def ordered(image):
    """The shape of a path, and the order in which it is travelled: the sizes of its harmonics, of either sense."""
    centred = image - image.mean(axis=1, keepdims=True)
    size = np.abs(np.fft.fft(centred[..., 0] + 1j * centred[..., 1], axis=1))
    return size / np.linalg.norm(size, axis=1, keepdims=True)


@pytest.mark.parametrize("frame", [0, 7, 15])
def test_a_single_frame_stays_near_chance(observed, frame):
    _, labels, image, radii = observed
    features = np.concatenate([image[:, frame], radii[:, frame, None]], axis=1)
    assert accuracy(features, labels) < NEAR_CHANCE + (0.01 if observed[0] != "hard" else 0)


def test_an_unordered_set_of_frames_stays_near_chance_where_it_is_hard(observed):
    difficulty, labels, image, radii = observed
    found = accuracy(unordered(image, radii), labels)
    assert found < NEAR_CHANCE if difficulty == "hard" else found > 0.85


def test_an_ordered_observer_of_the_true_positions_is_near_100_per_cent(observed):
    difficulty, labels, image, _ = observed
    assert accuracy(ordered(image), labels) > {"easy": 0.98, "medium": 0.94, "hard": 0.98}[difficulty]


def test_reversed_pairs_visit_the_same_positions():
    for index in range(40):
        scene = draw_scene(5, index, difficulty="hard")
        step, shift = scene.path.equation["step"], scene.path.equation["shift"]
        assert step in (1, -1, 3, -3)
        assert sorted((shift + step * t) % 16 for t in range(16)) == list(range(16))
        assert (abs(step) == 3) == scene.path.label.startswith("fast")
        steady = scene.image - scene.around.shifts
        after = np.roll(steady, -1, axis=0)
        # The picture's y points down: a positive area is travelled clockwise.
        area = np.sum(steady[:, 0] * after[:, 1] - after[:, 0] * steady[:, 1])
        assert (area > 0) == scene.path.label.endswith("_clockwise")


def test_classes_are_balanced_and_named_by_the_difficulty():
    assert labels_of("easy") == labels_of("medium") == LABELS
    assert labels_of("hard") == ORDERS
    labels = [clip_label(0, index, "hard") for index in range(101)]
    assert {labels.count(name) for name in ORDERS} <= {25, 26}


@pytest.mark.parametrize("difficulty", ["medium", "hard"])
@pytest.mark.parametrize(("frames", "size"), [(16, 64), (8, 33), (30, 96)])
def test_the_ball_stays_inside_and_every_knob_shows(difficulty, frames, size):
    knobs = KNOBS[difficulty]
    moved = 0
    for index in range(60):
        scene = draw_scene(9, index, frames=frames, size=size, difficulty=difficulty)
        reach = np.abs(scene.image - size / 2) + scene.radii[:, None]
        assert reach.max() <= size / 2
        assert len(scene.around.distractors) == knobs.distractors
        assert len(scene.around.patches) == knobs.occluders
        assert np.abs(scene.around.shifts).max() <= round(knobs.shake * size)
        moved += bool(np.ptp(scene.around.shifts))
        assert all(ball.radii.max() < scene.look.radius * size for ball in scene.around.distractors)
    assert moved > 50


def test_the_ball_is_drawn_where_the_metadata_says_and_patches_hide_it():
    hidden = shown = 0
    for index in range(40):
        scene = draw_scene(2, index, size=64, difficulty="medium")
        clip = render_scene(scene)
        (patch,) = scene.around.patches
        left, top, right, bottom = patch.box
        inside = clip[:, :, top:bottom, left:right].astype(float).mean(axis=(0, 2, 3))
        assert np.abs(inside - patch.colour).max() < 3
        for step, (frame, (u, v), radius) in enumerate(zip(clip, scene.image, scene.radii, strict=True)):
            if left - radius < u < right + radius and top - radius < v < bottom + radius:
                hidden += 1
                continue
            # The ball is drawn over the distractors: its middle has its own colour, shaded and with noise.
            shade = frame[:, int(v), int(u)] / np.maximum(scene.look.colour, 1)
            assert 0.3 < np.median(shade) < 1.3, (index, step)
            shown += 1
    assert hidden > 10 and shown > 400


def test_easy_clips_are_the_bytes_of_earlier_versions():
    digest = hashlib.sha256()
    for index in range(4):
        # Positions are those of every machine; pixels too, as they are rounded to whole grey levels.
        digest.update(np.round(draw_scene(3, index, difficulty="easy").image, 3).tobytes())
    assert digest.hexdigest()[:16] == "4622dc9226ee1299"
    scene = draw_scene(3, 0, difficulty="easy")
    assert not scene.around.shifts.any() and not scene.around.distractors and not scene.around.patches


@pytest.mark.parametrize("frames", [2, 3, 4, 6])
def test_too_few_frames_for_an_order_are_refused(frames):
    with pytest.raises(DataError, match=f"'hard' needs 5 frames, or at least 7; got {frames}"):
        render_clip(0, 0, frames=frames, difficulty="hard")


@pytest.mark.parametrize("frames", [5, *range(7, 60)])
def test_a_fast_order_visits_every_position_and_shows_its_sense(frames):
    step = fast_step(frames)
    assert 1 < step < frames / 2 and np.gcd(step, frames) == 1


def test_an_unknown_difficulty_is_refused():
    with pytest.raises(DataError, match="no difficulty 'extreme'; there are: easy, medium, hard"):
        draw_scene(0, 0, difficulty="extreme")
