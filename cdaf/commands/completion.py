"""cdaf completion"""

import click

from cdaf.terminal import console, options


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@options.json
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash   eval "$(cdaf completion bash)"     in ~/.bashrc
    zsh    eval "$(cdaf completion zsh)"      in ~/.zshrc
    fish   cdaf completion fish | source      in ~/.config/fish/config.fish
    """
    from cdaf import cli

    console.answer({"shell": shell, "script": (script := cli.completion(shell))}, [script])
