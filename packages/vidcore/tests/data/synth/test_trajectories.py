"""What a clip is: its geometry, its camera, its independence from everything but seed and index."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from vidcore.data import synth
from vidcore.data.synth import LABELS, render_scene
from vidcore.errors import DataError

# What is said of paths here holds of the easy clips; test_difficulty.py has the others.
clip_label, draw_scene, render_clip = (
    partial(function, difficulty="easy") for function in (synth.clip_label, synth.draw_scene, synth.render_clip)
)

SCENES = [draw_scene(3, index) for index in range(240)]


def scenes_of(label, scenes=SCENES):
    return [scene for scene in scenes if scene.path.label == label]


def evaluate(equation, frames):
    """The ideal path from the metadata alone."""
    s = np.linspace(0, 1, frames)[:, None]
    if "start" in equation:
        return np.array(equation["start"]) + s * np.array(equation["velocity"])
    if "apex" in equation:
        since = s - equation["apex_time"]
        fall = np.array([0, 0, equation["gravity"] / 2])
        return np.array(equation["apex"]) + since * np.array(equation["velocity"]) - since**2 * fall
    angle = equation["phase"] + 2 * np.pi * equation["turns"] * np.arange(frames) / frames
    height = equation.get("rise", 0.0) * (s[:, 0] - 0.5)
    return np.stack([equation["radius"] * np.cos(angle), equation["radius"] * np.sin(angle), height], axis=1)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("frames", [2, 5, 16, 40])
def test_equation_gives_world_positions_up_to_jitter(label, frames):
    for scene in scenes_of(label, [draw_scene(1, index, frames=frames) for index in range(24)]):
        meta = scene.metadata()
        ideal = evaluate(meta["equation"], frames)
        away = np.linalg.norm(np.array(meta["world_positions"]) - ideal, axis=1)
        assert away.max() <= meta["appearance"]["jitter"] + 1e-4
        assert away.max() > 0


def test_linear_paths_stay_within_a_tenth_of_a_line():
    for scene in scenes_of("linear"):
        centred = scene.world - scene.world.mean(axis=0)
        direction = np.linalg.svd(centred)[2][0]
        away = np.linalg.norm(centred - np.outer(centred @ direction, direction), axis=1)
        assert away.max() < 0.1


@pytest.mark.parametrize(("label", "limit"), [("circular", 0.1), ("helical", 0.15)])
@pytest.mark.parametrize("about", ["origin", "mean"])
def test_radius_in_the_ground_plane_is_constant(label, limit, about):
    for scene in scenes_of(label):
        plane = scene.world[:, :2] - (scene.world[:, :2].mean(axis=0) if about == "mean" else 0)
        assert np.linalg.norm(plane, axis=1).std() < limit


def test_circles_are_flat_and_helices_rise_steadily():
    assert all(np.abs(scene.world[:, 2]).max() <= 0.05 for scene in scenes_of("circular"))
    for scene in scenes_of("helical"):
        steps = np.diff(scene.world[:, 2])
        assert abs(np.ptp(scene.world[:, 2])) > 2
        assert np.all(steps > 0) or np.all(steps < 0)


def test_parabolas_show_their_apex():
    for scene in scenes_of("parabolic"):
        top = int(scene.world[:, 2].argmax())
        assert 3 <= top <= 12
        assert scene.world[top, 2] - max(scene.world[0, 2], scene.world[-1, 2]) > 0.2


def test_metadata_camera_projects_world_to_image():
    for scene in SCENES[:40]:
        meta = json.loads(json.dumps(scene.metadata()))
        camera = meta["camera"]
        rotation = np.array(camera["rotation"])
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
        seen = (np.array(meta["world_positions"]) - camera["position"]) @ rotation.T
        pixels = camera["focal_pixels"] * seen[:, :2] / seen[:, 2:] + camera["principal_point_pixels"]
        np.testing.assert_allclose(pixels, meta["image_positions_pixels"], atol=1e-2)
        # A ball's apparent radius is inversely proportional to its depth.
        product = np.array(meta["image_radii_pixels"]) * seen[:, 2]
        np.testing.assert_allclose(product, product[0], rtol=1e-3)


@pytest.mark.parametrize(("frames", "size"), [(16, 64), (4, 33), (30, 128)])
def test_no_frame_is_clipped_and_every_clip_moves(frames, size):
    for index in range(120):
        scene = draw_scene(9, index, frames=frames, size=size)
        reach = np.abs(scene.image - size / 2) + scene.radii[:, None]
        assert reach.max() <= size / 2
        assert np.ptp(scene.image, axis=0).max() > 0.15 * size


def test_object_is_drawn_where_the_metadata_says():
    checked = 0
    for scene in SCENES[:60]:
        if scene.look.noise > 3:
            continue
        clip = render_scene(scene).astype(float)
        # The background stands still and the object moves, so the median over time is the background.
        change = np.abs(clip - np.median(clip, axis=0)).sum(axis=1)
        for frame, (u, v) in zip(change, scene.image, strict=True):
            mask = np.where(frame > 60, frame, 0)
            if mask.sum() == 0:
                continue
            rows, columns = np.indices(mask.shape) + 0.5
            found = np.array([(columns * mask).sum(), (rows * mask).sum()]) / mask.sum()
            checked += 1
            assert np.linalg.norm(found - (u, v)) < 2.5
    assert checked > 300


def test_clips_are_balanced_and_shuffled():
    labels = [clip_label(0, index) for index in range(1001)]
    counts = [labels.count(label) for label in LABELS]
    assert max(counts) - min(counts) <= 1
    assert all(labels[k::4].count(label) > 40 for k in range(4) for label in LABELS)
    assert labels != [clip_label(1, index) for index in range(1001)]


def test_clips_differ_from_each_other_and_between_seeds():
    clips = {render_clip(seed, index)[0].tobytes() for seed in (0, 1) for index in range(100)}
    assert len(clips) == 200


def test_clip_depends_on_seed_and_index_alone():
    first, meta = render_clip(5, 17)
    render_clip(5, 18)
    again, meta_again = render_clip(5, 17)
    assert np.array_equal(first, again) and meta == meta_again
    assert meta["label"] == clip_label(5, 17)
    assert first.dtype == np.uint8 and first.shape == (16, 3, 64, 64)


@pytest.mark.parametrize(("frames", "size"), [(2, 16), (3, 17), (7, 50), (40, 96)])
def test_any_length_and_size(frames, size):
    for index in range(8):
        clip, meta = render_clip(0, index, frames=frames, size=size)
        assert clip.shape == (frames, 3, size, size)
        assert len(meta["world_positions"]) == len(meta["image_positions_pixels"]) == frames
        assert clip[0].std() > 0 and not np.array_equal(clip[0], clip[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 1}, r"frames must be a whole number of at least 2 \(motion needs two\), got 1"),
        ({"size": 8}, r"size must be a whole number of at least 16 .*, got 8"),
        ({"size": 64.0}, r"size must be a whole number .*, got 64.0"),
        ({"seed": -1}, r"seed must be a whole number of at least 0, got -1"),
        ({"index": True}, r"index must be a whole number of at least 0, got True"),
    ],
)
def test_bad_numbers_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        render_clip(**{"seed": 0, "index": 0, **arguments})


@pytest.mark.parametrize("frames", [4, 5, 16, 40])
def test_the_future_continues_the_path(frames):
    """Its formula gives the clip's own positions, and the frames of a longer clip that holds the same motion."""
    for scene in [draw_scene(1, index, frames=frames) for index in range(60)]:
        inside = scene.path.place(np.arange(frames, dtype=float))
        assert np.allclose(inside, scene.path.positions, atol=1e-12)
        ideal = evaluate(scene.path.equation, frames)
        assert np.allclose(inside, ideal, atol=1e-5)
        pixels, depth = scene.camera.project(scene.path.place(np.arange(frames, frames + frames // 2, dtype=float)))
        assert np.array_equal(scene.future, pixels) and scene.future.shape == (frames // 2, 2)
        assert depth.min() > 0, "in front of the camera"
        assert np.round(scene.future, 4).tolist() == scene.metadata()["future_positions_pixels"]


def test_the_future_starts_where_the_clip_ends():
    """The first step ahead goes on as the last ones in the clip did: no jump, no turn that the motion has not."""
    for scene in [draw_scene(2, index, frames=40) for index in range(40)]:
        ideal, _ = scene.camera.project(scene.path.positions)
        steps = np.diff(np.concatenate([ideal, scene.future]), axis=0)
        turn = np.linalg.norm(np.diff(steps, axis=0), axis=1)
        assert turn[38:40].max() <= 1.5 * turn[:38].max() + 1e-6


def test_very_short_clips_are_not_continued():
    assert draw_scene(1, 0, frames=3).future.shape == (0, 2)
