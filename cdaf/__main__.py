"""The program `cdaf`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process, and end it with the exit code."""
    try:  # imports too: Ctrl-C in the midst of them is no error to be shown
        from cdaf import chores
        from cdaf.cli import run

        code = run(sys.argv[1:])
        chores.finish()
    except KeyboardInterrupt:  # before or after the command line could take care of itself
        from cdaf.errors import EXIT_INTERRUPTED as code
    leave(code)


def leave(code: int) -> NoReturn:
    """End the process at once: to take down all its modules takes Python as long as some commands.

    All is told and closed by now, and an interruption would only spoil the answer.
    """
    import os
    import signal
    from contextlib import suppress

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader is gone: nothing is left to be told
            if stream:  # none where the caller closed it
                stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
