"""The program `cdaf`."""

import sys


def main() -> int:
    """Run the command line of this process and return its exit code."""
    try:  # imports too: Ctrl-C in the midst of them is no error to be shown
        from cdaf.cli import run

        code = run(sys.argv[1:])
        # The work is done and told: an interruption of the interpreter's last steps would only spoil the answer.
        _heed(default=False)
    except KeyboardInterrupt:  # before or after the command line could take care of itself
        from cdaf.errors import EXIT_INTERRUPTED as code

        _heed(default=True)
    return code


def _heed(*, default: bool) -> None:
    """Let further interruptions end the process at once, or not reach it any more."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL if default else signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
