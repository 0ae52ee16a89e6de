"""Records docs/session.svg: real commands on a real terminal, from a project to a published digest.

`python -m tools.session` runs them on a copy of examples/orders, with a registry of its own, and draws what was seen.
"""

from __future__ import annotations

import os
import pty
import re
import struct
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from tempfile import TemporaryDirectory

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tools import demo, machine, serve
from tools.state import CHECKOUT

SVG = CHECKOUT / "docs" / "session.svg"
WIDTH, HEIGHT = 112, 40
PORT = 5000
BUNDLE = "dist/orders-1.4.0.cdaf"
COMMANDS = [
    "cdaf lock",
    "git commit -qam 'Pin the base and the sidecars' && git tag v1.4.0",
    "cdaf package --locked",
    f"python3 {BUNDLE} verify",
    f"cdaf release {BUNDLE} --to registry:127.0.0.1:{PORT}/team/orders",
]
_PIECES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")


class Screen:
    """As much of a terminal as line-wise redrawing needs: lines, carriage return, cursor up, erase line, colours."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0
        self.returned = False

    def feed(self, text: str) -> None:
        """Take what a program wrote."""
        for piece in _PIECES.findall(text):
            if piece == "\r":
                self.returned = True
            elif piece == "\n":
                self.row, self.returned = self.row + 1, False
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif piece.startswith("\x1b[") and piece[-1] == "A":
                self.row = max(0, self.row - int(piece[2:-1] or 1))
            elif piece.startswith("\x1b[") and piece[-1] == "K":
                self.lines[self.row] = ""
            elif not piece.startswith("\x1b[") or piece[-1] == "m":
                self.lines[self.row] = piece if self.returned else self.lines[self.row] + piece
                self.returned = False

    def seen(self) -> list[str]:
        """The lines, the empty ones at the end left out."""
        return "\n".join(self.lines).rstrip().splitlines()


def record(command: str, folder: Path) -> list[str]:
    """Run one command line on a terminal of its own; the lines that stand there at the end."""
    child, handle = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe("sh", ["sh", "-c", command], {**os.environ, "TERM": "xterm-256color", "CI": ""})
    ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    pieces = []
    while True:
        try:
            piece = os.read(handle, 1 << 16)
        except OSError:  # what Linux says when the last program has closed its terminal
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(handle)
    screen = Screen()
    screen.feed(b"".join(pieces).decode())
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("\n".join([*screen.seen(), f"{command}: exit {code}"]))
    return screen.seen()


def draw(lines: list[str]) -> str:
    """The lines as an SVG that needs nothing from elsewhere."""
    console = Console(width=WIDTH, record=True, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115, PTH123
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=False, overflow="fold")
    plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    plain = re.sub(r"\s*<!--.*?-->", "", plain)
    plain = plain.replace("Fira Code", "ui-monospace, SFMono-Regular, Menlo, DejaVu Sans Mono")
    return console.export_svg(title="orders", theme=MONOKAI, code_format=plain, unique_id="session")


def main() -> int:
    """Record and draw it."""
    os.environ.update(machine.environment())
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ |= {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in _PERSON.items()}
    lines: list[str] = []
    with TemporaryDirectory(prefix="cdaf-session-") as folder, serve.serving(Path(folder) / "registry", port=PORT):
        project = Path(folder) / "orders"
        demo.copy(project)
        record("cdaf lock && git add cdaf.lock", project)  # so that what is shown is not how fast a mirror is
        for command in COMMANDS:
            lines += [f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m", *record(command, project), ""]
    SVG.write_text(draw(lines[:-1]), encoding="utf-8")
    return 0


_PERSON = {"NAME": "A. Developer", "EMAIL": "developer@example.com"}


if __name__ == "__main__":
    sys.exit(main())
