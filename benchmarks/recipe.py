"""The default answer beside scikit-learn's: `vidcore train --folds 5` without options, and cross-validated C.

    python benchmarks/recipe.py --data ../shared/data                     all tables
    python benchmarks/recipe.py --data ../shared/data --rows i3d-64 --task action

Both read the same stored features and the same folds. scikit-learn's side is StandardScaler and LogisticRegression, C
of nine powers of ten chosen by accuracy on five inner folds that keep groups together, refitted on training and
validation rows. Everything else is what a person gets who types the short command.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from vidcore.config import run_config
from vidcore.training import RunFolder, train
from vidcore.training.metrics import judge

FOLDS = 5
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """Extractors at a number of frames, by the names of the weights' files."""

    extractors: tuple[tuple[str, str | None], ...]
    frames: int


I3D = ("i3d/inception", "i3d_rgb_kinetics400.safetensors")
LITE = ("timm/tf_efficientnet_lite0", "tf_efficientnet_lite0.safetensors")
HAND = ("handcrafted/forensic", None)
ROWS = {
    "i3d-16": Row((I3D,), 16),
    "i3d-64": Row((I3D,), 64),
    "lite0-16": Row((LITE,), 16),
    "handcrafted-16": Row((HAND,), 16),
    "i3d+lite0-16": Row((I3D, LITE), 16),
    "i3d+handcrafted-16": Row((I3D, HAND), 16),
    "lite0+handcrafted-16": Row((LITE, HAND), 16),
}
TASKS = ("action", "set")
"""What is asked of the clips: what happens, or in which of two places, sequences held out in both."""


def write_manifest(data: Path, task: str, path: Path) -> None:
    """The real clips with the labels of a task; groups stay the sequences."""
    with (data / "actions" / "manifest.csv").open() as file, path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["video", "label", "group"])
        for row in csv.DictReader(file):
            label = row["label"] if task == "action" else f"set {row['set']}"
            writer.writerow([(data / "actions" / row["video"]).absolute(), label, row["group"]])


def default_run(data: Path, manifest: Path, row: Row, out: Path, **train_options: Any) -> RunFolder:
    """``vidcore train --folds 5`` and nothing else."""
    extractors = [
        {"name": name, "options": {"weights": str(data / "weights" / weights)} if weights else {}}
        for name, weights in row.extractors
    ]
    tree: dict[str, Any] = {
        "extractors": extractors,
        "data": {"source": str(manifest), "frames": row.frames},
        "train": {"folds": FOLDS, **train_options},
        "out": str(out),
    }
    return train(run_config(tree))


def stored_features(run: RunFolder) -> Matrix:
    """(N, K) what the head of a run reads of every row, before it is standardised."""
    from vidcore.assemble import assemble
    from vidcore.catalog import installed
    from vidcore.training.batches import in_order
    from vidcore.training.job import open_data, stored_data
    from vidcore.training.progress import Progress
    from vidcore.training.stored import store_features
    from vidcore.training.trained import sampling_of

    config, registry = run.read_config(), installed()
    data = stored_data(config, registry, open_data(config, registry, Progress()), run)
    model = assemble(config, data.info, registry)
    everything = list(range(len(data.rows)))
    stored = store_features(
        model, data.rows, everything, data.targets.values, sampling_of(config), config.data,
        config.train.precision, Progress(),
    )  # fmt: skip
    clips = stored.part(everything)
    read = [model.read(batch.features or {}).double().numpy() for batch in clips.batches(in_order(clips, 64), 0)]
    return np.concatenate(read)


def reference(run: RunFolder) -> dict[str, float]:
    """scikit-learn on the features and folds of a run."""
    features = stored_features(run)
    with run.folds.open() as file:
        lines = sorted(csv.DictReader(file), key=lambda line: int(line["row"]))
    with run.split.open() as file:
        kept = {int(line["row"]): line for line in csv.DictReader(file)}
    rows = sorted(kept)
    classes = sorted({line["label"] for line in kept.values()})
    labels = np.array([classes.index(kept[row]["label"]) for row in rows])
    groups = np.array([kept[row]["group"] for row in rows])
    said = np.zeros((len(rows), len(classes)))
    for fold in range(1, FOLDS + 1):
        part = np.array([line[f"fold{fold}"] for line in lines])
        fit, test = np.flatnonzero(part != "test"), np.flatnonzero(part == "test")
        said[test] = _cross_validated(features[fit], labels[fit], groups[fit]).predict_proba(features[test])
    judged = judge(said, labels, classes, 0, list(groups)).as_dict()["scores"]
    return {"accuracy": judged["accuracy"]["value"], "ece": judged["ece"]["value"]}


def _cross_validated(features: Matrix, labels: NDArray[np.int64], groups: NDArray[Any]) -> GridSearchCV:
    inner = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(model, {"logisticregression__C": np.logspace(-5, 3, 9)}, cv=inner)
        return search.fit(features, labels, groups=groups)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with actions/ and weights/")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--task", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--before", action="store_true", help="also 10 epochs of raw features at 1e-3, the old default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    found = []
    print(f"{'task':<8}{'row':<22}{'before':>8}{'default':>9}{'ece':>7}{'sklearn':>9}{'ece':>7}  streams of fold 1")
    with tempfile.TemporaryDirectory() as scratch:
        for task in options.task:
            manifest = Path(scratch) / f"{task}.csv"
            write_manifest(options.data, task, manifest)
            for name in options.rows:
                found.append(_measured(options.data, manifest, name, Path(scratch) / task / name, options.before))
                one = found[-1] = {"task": task, **found[-1]}
                before = f"{one['before']:.1%}" if one["before"] is not None else "-"
                shares = ", ".join(f"{stream} {share:.0%}" for stream, share in one["shares"].items())
                print(
                    f"{task:<8}{name:<22}{before:>8}{one['accuracy']:>9.1%}{one['ece']:>7.3f}"
                    f"{one['sklearn']:>9.1%}{one['sklearn_ece']:>7.3f}  {shares}",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def _measured(data: Path, manifest: Path, name: str, out: Path, before: bool) -> dict[str, Any]:
    run = default_run(data, manifest, ROWS[name], out)
    scores = run.read_results()["test"]["scores"]
    solution = json.loads(run.fold(1).results.read_text()).get("solution", {})
    other = reference(run)
    old = None
    if before:
        earlier = default_run(
            data, manifest, ROWS[name], out / "before", epochs=10, lr=1e-3, solver="adamw", standardise=False
        )
        old = earlier.read_results()["test"]["scores"]["accuracy"]["value"]
    return {
        "row": name,
        "before": old,
        "accuracy": scores["accuracy"]["value"],
        "ece": scores["ece"]["value"],
        "sklearn": other["accuracy"],
        "sklearn_ece": other["ece"],
        "shares": solution.get("shares", {}),
    }


if __name__ == "__main__":
    main()
