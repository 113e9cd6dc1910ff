"""The command line: one small file per command, loaded when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NoReturn

import click

from vidcore.errors import VidcoreError

_COMMANDS = {
    "benchmark": "vidcore.cli.benchmark:benchmark",
    "check": "vidcore.cli.check:check",
    "compare": "vidcore.cli.compare:compare",
    "completion": "vidcore.cli.completion:completion",
    "config": "vidcore.cli.config:config",
    "data": "vidcore.cli.data:data",
    "evaluate": "vidcore.cli.evaluate:evaluate",
    "extract": "vidcore.cli.extract:extract",
    "info": "vidcore.cli.info:info",
    "list-models": "vidcore.cli.list_models:list_models",
    "plugins": "vidcore.cli.plugins:plugins",
    "predict": "vidcore.cli.predict:predict",
    "store": "vidcore.cli.store:store",
    "train": "vidcore.cli.train:train",
    "tune": "vidcore.cli.tune:tune",
    "watch": "vidcore.cli.watch:watch",
    "weights": "vidcore.cli.weights:weights",
}


class _LazyGroup(click.Group):
    """Imports a command's file only when that command (or the help) is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        path = _COMMANDS.get(cmd_name)
        if path is None:
            return None
        module, _, attribute = path.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in _COMMANDS:
            near = difflib.get_close_matches(name, _COMMANDS, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"the commands are: {', '.join(sorted(_COMMANDS))}"
            ctx.fail(f"no command '{name}'; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vidcore")
@click.option("--max-frame-pixels", type=click.IntRange(1), help="Refuse videos with larger frames.  [default: 2^26]")
@click.option("--max-frames", type=click.IntRange(1), help="Refuse videos with more frames.  [default: 10000000]")
@click.option("--max-clip-bytes", type=click.IntRange(1), help="Refuse clips that take more memory.  [default: 8 GiB]")
def vidcore(**limits: int | None) -> None:
    """Which video extractor, or which combination, is best for your clips: and the trained model.

    Start with `vidcore train`: it makes its own videos and needs no download.
    """
    # Into the environment, which reaches every process that decodes (vidcore.data.limits).
    for name, value in limits.items():
        if value is not None:
            os.environ[f"VIDCORE_{name.upper()}"] = str(value)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; a deliberate error is printed without a traceback and sets the exit code."""
    if os.name != "posix":
        click.echo("error: vidcore runs on Linux and macOS; on Windows use it inside WSL", err=True)
        sys.exit(1)
    try:
        code: Any = vidcore.main(args=args, prog_name="vidcore", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except VidcoreError as exc:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {exc}", err=True)
        sys.exit(exc.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would print a traceback while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
