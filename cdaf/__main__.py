"""The program `cdaf`."""

import sys

from cdaf.errors import EXIT_INTERRUPTED


def main() -> int:
    """Run the command line of this process and return its exit code."""
    try:
        from cdaf.cli import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command line could take care of itself
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
