"""cdaf schema"""

import click

from cdaf.terminal import console, options


@click.command()
@options.json
def command() -> None:
    """Print the JSON schema of cdaf.toml, for editors and for checking by other tools."""
    from cdaf.settings import schema

    console.result(schema.text())
