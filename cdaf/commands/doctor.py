"""cdaf doctor"""

import click

from cdaf.terminal import console, options


@click.command()
@options.json
@click.pass_context
def command(context: click.Context) -> None:
    """Show what this machine has of the things cdaf works with, what is missing and how to mend it.

    The exit code is 0 when everything that is needed is there, else that of the errors which the lack would end in.
    """
    import msgspec

    from cdaf.errors import exit_code
    from cdaf.terminal import doctor

    found = doctor.examine()
    lack = doctor.lack(found)
    code = exit_code(lack) if lack else 0
    rows = [(each.name, each.state, each.found, each.mend) for each in found]
    told = {"ok": lack is None, "findings": msgspec.to_builtins(found)}
    if lack is not None:
        told["error"] = console.told(lack)
    console.answer_tables(told, [console.Table("", ("thing", "state", "found", "to mend it"), rows)])
    context.exit(code)
