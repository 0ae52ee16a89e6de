"""The command line: which commands there are, and the one place where their results and errors become exit codes.

A command's module is imported when it is called, never for `--help`: that answers from the table here.
"""

import importlib
import os
import signal
from collections.abc import Sequence
from types import FrameType

import click

from cdaf import __version__
from cdaf.errors import EXIT_INTERRUPTED, CdafError, UsageError, exit_code
from cdaf.terminal import console

SECTIONS = {
    "Package, in CI": {
        "init": "Write a commented cdaf.toml from what is found.",
        "check": "List all faults of cdaf.toml and the locks; nothing is fetched.",
        "lock": "Write cdaf.lock: base, sidecars and build requirements, pinned.",
        "package": "Seal the service and its dependencies into one file.",
    },
    "Release, in CD": {
        "image": "Assemble the bundle's image, nothing more.",
        "smoke": "Assemble the image and test it beside its sidecars.",
        "up": "Run the service with its sidecars until Ctrl-C.",
        "publish": "Publish an image that has passed its smoke test.",
        "release": "Verify, assemble, test and publish.",
    },
    "Look into": {
        "verify": "Check a bundle against its own checksums; nothing is run.",
        "show": "Show what is in a bundle, or where a project's settings come from.",
        "diff": "Explain what differs between two bundles or images.",
    },
    "Set up": {
        "doctor": "Show what this machine has, what is missing and how to mend it.",
        "schema": "Print the JSON schema of cdaf.toml.",
        "completion": "Print the completion script of a shell.",
    },
}
COMMANDS = {name: help for section in SECTIONS.values() for name, help in section.items()}

_COMPLETE = "_CDAF_COMPLETE"
# Of the library: where locks are taken, by which functions for a moment, and by which while something is waited for.
_LOCKING = ("/threading.py", "/queue.py", "/concurrent/futures/thread.py", "/concurrent/futures/_base.py")
_BRIEF = frozenset(
    {"__enter__", "__exit__", "_adjust_thread_count", "acquire", "notify", "notify_all", "put", "release", "set"}
    | {"set_exception", "set_result", "start", "submit"}
)
_WAITING = frozenset({"_wait_for_tstate_lock", "join", "result", "wait", "wait_for"})
# Called by the interpreter itself, which prints what they raise and goes on: destructors, callbacks of weak references.
_UNHEARD = frozenset({"__del__", "cb", "remove", "_remove"})
_MOMENT = 0.01  # seconds


class Verbs(click.Group):
    """The group of all commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands' names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cdaf.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands by section, from the table alone."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, or say which one is near."""
        if args[0] in COMMANDS or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(args[0], COMMANDS, 1)
        raise UsageError(
            f"no such command: {args[0]}", f"did you mean `cdaf {near[0]}`?" if near else "run `cdaf --help`"
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["click.shell_completion.CompletionItem"]:
        """Complete a command's name from the table, importing none."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Results go to stdout, one a line; everything else to stderr. Every command takes --json.",
)
@click.version_option(__version__, message="cdaf %(version)s")
def cdaf() -> None:
    """Seal a service into one file in CI; publish the very image that was tested in CD.

    \b
    cdaf package            the service in this folder -> dist/NAME-VERSION.cdaf
    cdaf release FILE       verify, assemble, smoke-test, publish -> digest
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error ends here."""
    if _COMPLETE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(cdaf, {}, "cdaf", _COMPLETE, os.environ[_COMPLETE])
    console.begin(as_json="--json" in arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        return _invoke(arguments)
    except KeyboardInterrupt:
        console.interrupted()
        return EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and console.abandoned():
            return 128 + signal.SIGPIPE
        if not isinstance(error, CdafError) and interrupted(error):
            console.interrupted()
            return EXIT_INTERRUPTED
        return _fail(error)


def interrupted(error: BaseException) -> bool:
    """Whether an error comes of an interruption: Ctrl-C between two instructions may leave a lock that cannot be
    released, and it is that error which then arrives."""
    before: BaseException | None = error
    while before is not None and not isinstance(before, KeyboardInterrupt):
        before = before.__context__
    return before is not None


def completion(shell: str) -> str:
    """The script that makes a shell complete cdaf's command line."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}", "take bash, zsh or fish")
    # bash: the class's own `source` runs bash to learn its version; its template needs 4.4 and says so itself
    script = found(cdaf, {}, "cdaf", _COMPLETE)
    return script.source_template % script.source_vars()


def _invoke(arguments: Sequence[str]) -> int:
    words = list(arguments) or ["--help"]
    try:
        with cdaf.make_context("cdaf", words) as context:
            cdaf.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        raise _usage(error) from error
    return 0


def _usage(error: click.ClickException) -> UsageError:
    """Click's complaint in our form: lower case, and the help to look at as the hint."""
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "cdaf"
    return UsageError(message[:1].lower() + message[1:], f"run `{path} --help`")


def _fail(error: Exception) -> int:
    from cdaf.terminal import mishap

    known = mishap.explain(error)
    try:
        console.fail(known)
    except OSError:  # stderr is closed or full: the exit code says it all
        pass
    return exit_code(known)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that everything started is taken down.

    Where the library holds a lock for a moment, it unwinds a moment later: a lock left held would end nothing. So it
    does where nobody would hear of it.
    """
    del number
    if not (_holds_a_lock(frame) or _unheard(frame)):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, _MOMENT)


def _holds_a_lock(frame: FrameType | None) -> bool:
    """Whether the library's innermost calls are among those that take a lock and let go of it; waiting is none."""
    while frame is not None and frame.f_code.co_filename.endswith(_LOCKING):
        if frame.f_code.co_name in _BRIEF:
            return True
        if frame.f_code.co_name in _WAITING:
            return False
        frame = frame.f_back
    return False


def _unheard(frame: FrameType | None) -> bool:
    """Whether what is raised here would be thrown away instead of unwinding."""
    while frame is not None:
        if frame.f_code.co_name in _UNHEARD:
            return True
        frame = frame.f_back
    return False
