"""``vidcore evaluate RUN|NAME``: what a trained model, or a published classifier, is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vidcore.cli._table import echo_table


@click.command()
@click.argument("run", metavar="RUN|NAME")
@click.option("--data", metavar="PATH|NAME", help="Other data than the run's own.")
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), help="One split.  [default: test; other data: all]"
)
@click.option("--head", metavar="LABEL", help="Of several heads the one whose targets --data has.  [default: all]")
@click.option(
    "--clips", type=click.IntRange(1), default=1, show_default=True, help="Clips per video; answers are averaged."
)
@click.option(
    "--crops",
    type=click.Choice(["1", "3"]),
    default="1",
    show_default=True,
    help="Crops per clip along its longer side.",
)
@click.option("--weights", metavar="FILE|TAG", help="Of an extractor NAME: its published weights.")
@click.option("--classes", metavar="SET|FILE", help="Of an extractor NAME: class names of the weights.")
@click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help="Of an extractor NAME: YAML, label of the data: published class, or a list of them.",
)
@click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--workers", type=click.IntRange(0), help="Loader processes.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def evaluate(
    run: str,
    data: str | None,
    split: str | None,
    head: str | None,
    clips: int,
    crops: str,
    weights: str | None,
    classes: str | None,
    label_map: Path | None,
    on_error: str,
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Measure the model of RUN: accuracy with its interval and baseline, F1 per class, confusion, calibration.

    NAME is an extractor, i3d/inception.k400: its published classifier is measured on --data without training.
    """
    from vidcore.catalog import installed
    from vidcore.config.classifier import names_extractor
    from vidcore.config.early import check_names
    from vidcore.training import open_run

    # Before torch is imported, which takes seconds.
    if not names_extractor(run):
        open_run(run)
    check_names(installed(), source=data)
    from vidcore.analysis import evaluate as measure

    found = measure(
        run,
        data=data,
        split=split,
        head=head,
        clips=clips,
        crops=int(crops),
        skip_bad=on_error == "skip",
        device=device,
        workers=workers,
        show=not as_json,
        weights=weights,
        classes=classes,
        label_map=label_map,
    )
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
        return
    _echo(found.as_dict())


def _echo(found: dict[str, Any]) -> None:
    from vidcore.training.summary import result_rows

    views = found["views"]
    looks = f", {views['clips']} clips x {views['crops']} crops of each" if max(views.values()) > 1 else ""
    click.echo(f"\n{found['clips']} clips, {found['source']}{looks}")
    echo_table(["score", "value", "95 % interval", "baseline"], result_rows({"test": found}), right=(1,))
    if "interval" in found:
        click.echo(f"interval: {found['interval']}")
    for label, judged in found.get("heads", {"": found}).items():
        if "per_class" in judged:
            click.echo(f"\n{label}, {judged['clips']} clips" if label else "")
            _echo_classes(judged)
        for mistake in [one for one in found["mistakes"] if one.get("head", "") == label][:5]:
            click.echo(
                f"mistake: {mistake['video']} is {mistake['label']}, "
                f"taken for {mistake['answer']} with {mistake['probability']:.3f}"
            )
    for skipped in found["skipped"]:
        click.echo(f"skipped: {skipped['video']}: {skipped['reason']}")


def _echo_classes(judged: dict[str, Any]) -> None:
    rows = [
        [name, f"{s['precision']:.3f}", f"{s['recall']:.3f}", f"{s['f1']:.3f}", str(s["support"])]
        for name, s in judged["per_class"].items()
    ]
    echo_table(["class", "precision", "recall", "F1", "clips"], rows, right=(1, 2, 3))
    _echo_confusion(list(judged["per_class"]), judged["confusion"])


def _echo_confusion(classes: list[str], confusion: list[list[int]]) -> None:
    if len(classes) > 12:
        click.echo("\nthe confusion matrix is in --json")
        return
    click.echo("\nrows: true class; columns: answer")
    rows = [[name, *map(str, counts), ""] for name, counts in zip(classes, confusion, strict=True)]
    echo_table(["", *classes, ""], rows, right=range(1, len(classes) + 1))
