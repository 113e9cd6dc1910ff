"""``vidcore completion SHELL``: completion of commands, options and names of components."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print the completion script of SHELL; names of extractors and other components are completed too.

    \b
    bash  vidcore completion bash > ~/.local/share/bash-completion/completions/vidcore
    zsh   vidcore completion zsh > ~/.zfunc/_vidcore    (a folder of your $fpath)
    fish  vidcore completion fish > ~/.config/fish/completions/vidcore.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click has no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "vidcore", "_VIDCORE_COMPLETE").source())
