"""``vidcore predict RUN|NAME VIDEO...``: what a trained model, or a published classifier, says about videos."""

from __future__ import annotations

import json

import click

from vidcore.cli._table import echo_table


@click.command()
@click.argument("run", metavar="RUN|NAME")
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--top-k", type=click.IntRange(1), default=5, show_default=True, help="Classes to name.")
@click.option(
    "--weights", metavar="FILE|TAG", help="Of an extractor NAME: its published weights, where NAME has no tag."
)
@click.option("--classes", metavar="SET|FILE", help="Class names of those weights.  [default: those of NAME]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per video and line.")
@click.pass_context
def predict(
    ctx: click.Context,
    run: str,
    videos: tuple[str, ...],
    top_k: int,
    weights: str | None,
    classes: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Name the most probable classes of each VIDEO, with probabilities; or give the numbers the model predicts.

    RUN is a run folder. NAME is an extractor whose published weights have a classifier: i3d/inception.k400, or
    i3d/inception with --weights FILE.

    A video that cannot be read gets a line on standard error, the others their answer, and the exit code is 1.
    """
    from vidcore.config.classifier import names_extractor
    from vidcore.training import open_run

    # Before torch is imported, which takes seconds.
    if not names_extractor(run):
        open_run(run)
    from vidcore.training import load

    model = load(run, weights=weights, classes=classes, device=device)
    if not as_json:
        # Beside the answers, which may be piped on.
        for line in model.weights_lines():
            click.echo(line, err=True)
    rows: list[list[str]] = []
    failed = 0
    for answer in model.predict_each(videos, top_k, on_error="keep"):
        if as_json:
            click.echo(json.dumps(answer.as_dict()))
        if answer.error is not None:
            failed += 1
            click.echo(f"{click.style('error:', fg='red', bold=True)} {answer.error.splitlines()[0]}", err=True)
        for title, said in answer.heads.items() or (("", answer),):
            what = f"{answer.video}, {title}" if title else str(answer.video)
            if said.values is not None and not as_json:
                click.echo(f"{what}: {json.dumps(said.values)}")
            for rank, (label, chance) in enumerate(said.top):
                rows.append([what if rank == 0 else "", f"{chance:.4f}", label])
    if rows and not as_json:
        echo_table(["video", "probability", "class"], rows, right=(1,))
    if failed:
        click.echo(f"{failed} of {len(videos)} videos could not be read", err=True)
        ctx.exit(1)
