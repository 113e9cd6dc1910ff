"""Synthetic videos whose truth is known. Imports no model."""

from __future__ import annotations

from vidcore.data.difficulty import DEFAULT_DIFFICULTY, KNOBS, Difficulty, Knobs
from vidcore.data.synth.paths import LABELS
from vidcore.data.synth.trajectories import Scene, clip_label, draw_scene, labels_of, render_clip, render_scene
from vidcore.data.synth.writer import SynthParameters, SynthReport, generate_trajectories

__all__ = [
    "DEFAULT_DIFFICULTY",
    "KNOBS",
    "LABELS",
    "Difficulty",
    "Knobs",
    "Scene",
    "SynthParameters",
    "SynthReport",
    "clip_label",
    "draw_scene",
    "generate_trajectories",
    "labels_of",
    "render_clip",
    "render_scene",
]
